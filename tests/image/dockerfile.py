"""Reads the Dockerfile: its stages, its instructions, and what the last stage holds."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [rest for name, rest in self.instructions if name == word]

    def last(self, word: str) -> str:
        return self.all(word)[-1]

    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for line in self.all("ENV") for pair in shlex.split(line))

    def labels(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for line in self.all("LABEL") for pair in shlex.split(line))

    def commands(self) -> list[str]:
        """The single commands of every RUN, without the flags that are BuildKit's."""
        found = []
        for line in self.all("RUN"):
            found += [part.strip() for part in re.sub(r"^(--\S+\s+)+", "", line).split("&&")]
        return found

    def packages(self) -> list[str]:
        found = []
        for command in self.commands():
            words = [word for word in shlex.split(command) if "=" not in word]
            if words[:2] == ["apt-get", "install"]:
                found += [word for word in words[2:] if not word.startswith("-")]
        return found

    def folders(self) -> list[str]:
        """What may be written, beside /tmp."""
        return json.loads(self.last("VOLUME"))


def parse(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The ARGs before the first FROM, and the stages."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name))
        elif not stages:
            name, _, value = rest.partition("=")
            arguments[name] = value.strip('"')
        else:
            stages[-1].instructions.append((word, rest.strip()))
    return arguments, stages


def read() -> tuple[dict[str, str], list[Stage]]:
    return parse((ROOT / "Dockerfile").read_text())
