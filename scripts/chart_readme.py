#!/usr/bin/env python3
"""Writes the tables of values into helm/rae-memory/README.md, from the comments of values.yaml.

    python scripts/chart_readme.py            # writes them
    python scripts/chart_readme.py --check    # writes nothing, and fails where they are out of date

A key without a comment, and without one above a key that it lies in, is an error.
"""

from __future__ import annotations

import sys

from chart_values import CHART, Entry, checking, read, shown, write

BEGIN, END = "<!-- values: begin, written by scripts/chart_readme.py -->", "<!-- values: end -->"


def rows(entry: Entry, described: bool) -> list[tuple[str, str, str]]:
    """The rows of a key and of those below it; keys inside a described one need no comment of their own."""
    described = described or bool(entry.comment)
    below = [row for inner in entry.below for row in rows(inner, described)]
    if not described and not below:
        sys.exit(f"values.yaml: {entry.name} has no comment that begins with '# --'")
    if not entry.comment:
        return below
    # The default of a map whose keys have rows of their own is in those rows.
    default = "see below" if below else shown(entry).replace("|", "\\|")
    return [(entry.name, entry.comment.replace("|", "\\|"), default), *below]


def tables(entries: list[Entry]) -> str:
    parts: dict[str, list[str]] = {}
    for entry in entries:
        table = parts.setdefault(entry.section, ["| Parameter | Description | Default |", "|---|---|---|"])
        table += [f"| `{name}` | {text} | `{default}` |" for name, text, default in rows(entry, False)]
    return "\n\n".join("\n".join([f"#### {section}", "", *table]) for section, table in parts.items())


def main() -> int:
    check = checking(__doc__)
    path = CHART / "README.md"
    head, _, rest = path.read_text().partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        sys.exit(f"{path.name}: the marks for the tables are missing")
    new = f"{head}{BEGIN}\n\n{tables(read())}\n\n{END}{tail}"
    return write(path, new, check, "chart_readme.py")


if __name__ == "__main__":
    sys.exit(main())
