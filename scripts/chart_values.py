"""Reads helm/rae-memory/values.yaml with its comments, for chart_readme.py and chart_schema.py. Needs PyYAML."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parents[1] / "helm" / "rae-memory"
MARK, SECTION = "# --", "# @section "


@dataclass
class Entry:
    """A key of values.yaml: its path, its comment, its default as written, and what lies below it."""

    path: tuple[str, ...]
    comment: str
    section: str
    node: yaml.Node
    default: object
    below: list[Entry] = field(default_factory=list)

    @property
    def name(self) -> str:
        return ".".join(self.path)


def comment_above(lines: list[str], line: int) -> str:
    """The comment that ends on the line before this one, from its mark on."""
    words: list[str] = []
    for text in reversed(lines[:line]):
        text = text.strip()
        if not text.startswith("#") or text.startswith(SECTION):
            return ""
        words.insert(0, text.removeprefix(MARK).removeprefix("#").strip())
        if text.startswith(MARK):
            return " ".join(words)
    return ""


def read(chart: Path = CHART) -> list[Entry]:
    """The keys at the top, each with those below it."""
    text = (chart / "values.yaml").read_text()
    lines = text.splitlines()
    sections = [(n, line.removeprefix(SECTION)) for n, line in enumerate(lines) if line.startswith(SECTION)]

    def entries(node: yaml.Node, values: dict, path: tuple[str, ...]) -> list[Entry]:
        if not isinstance(node, yaml.MappingNode):
            return []
        found = []
        for key, value in node.value:
            line = key.start_mark.line
            section = next((name for n, name in reversed(sections) if n <= line), "")
            default = values[key.value]
            entry = Entry((*path, key.value), comment_above(lines, line), section, value, default)
            entry.below = entries(value, default, entry.path) if isinstance(default, dict) else []
            found.append(entry)
        return found

    return entries(yaml.compose(text), yaml.safe_load(text), ())


def shown(entry: Entry) -> str:
    """The default as it stands in the file: 10.00 is not 10.0."""
    if isinstance(entry.node, yaml.ScalarNode):
        return "null" if entry.default is None else entry.node.value or '""'
    return json.dumps(entry.default, ensure_ascii=False)


def checking(description: str | None) -> bool:
    """Whether the command line asks only to check."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true")
    return bool(parser.parse_args().check)


def write(path: Path, new: str, check: bool, script: str) -> int:
    """Writes what is out of date, or only says so; gives the exit code."""
    if path.exists() and path.read_text() == new:
        return 0
    if check:
        print(f"helm/rae-memory/{path.name} is out of date: python scripts/{script}", file=sys.stderr)
        return 1
    path.write_text(new)
    return 0
