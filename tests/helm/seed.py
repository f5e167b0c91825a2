"""The user's own description of the chart, taken apart: its tables, its values files, its commands."""

from __future__ import annotations

import functools
import re
import shlex
from typing import Any

import yaml
from support import HERE

TEXT = (HERE / "fixtures" / "seed-chart-readme.md").read_text()


@functools.cache
def table() -> dict[str, str]:
    """Parameter -> default, of every table."""
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| `([^`]+)` \|$", TEXT, re.M)
    assert len(rows) >= 34, rows
    return dict(rows)


def section(title: str) -> str:
    """The text below a heading, up to the next one that is as high or higher."""
    head = re.search(rf"^(#+) {re.escape(title)}$", TEXT, re.M)
    assert head, title
    rest = TEXT[head.end() :]
    end = re.search(rf"^#{{1,{len(head[1])}}} ", _without_code(rest), re.M)
    return rest[: end.start()] if end else rest


def _without_code(text: str) -> str:
    """The same length, with the code blanked, so that comments of a shell are no headings."""
    return re.sub(r"^```.*?^```$", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.M | re.S)


def blocks(title: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section(title), re.M | re.S)


def values(title: str, index: int = 0) -> dict[str, Any]:
    return yaml.safe_load(blocks(title, "yaml")[index])


@functools.cache
def commands() -> list[list[str]]:
    """Every command line of the shell blocks, split as a shell does."""
    found = []
    for block in re.findall(r"^```bash\n(.*?)^```$", TEXT, re.M | re.S):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            words = shlex.split(line, comments=True)
            if words:
                found.append(words)
    return found


def starting(*words: str) -> list[list[str]]:
    found = [c for c in commands() if tuple(c[: len(words)]) == words]
    assert found, words
    return found


def flags(command: list[str], *names: str) -> list[str]:
    """What stands behind a flag, as `--set X`, `--set=X` or `-n X`."""
    found = []
    for index, word in enumerate(command):
        for name in names:
            if word == name:
                found.append(command[index + 1])
            elif word.startswith(name + "="):
                found.append(word[len(name) + 1 :])
    return found
