"""What the command `rae` prints, and how."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from datetime import datetime
from typing import Any, TextIO

import rae

CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def ink(text: str, *styles: str) -> str:
    if not text or not colours(sys.stdout):
        return text
    return f"\x1b[{';'.join(CODES[style] for style in styles)}m{text}\x1b[0m"


def printable(text: str) -> str:
    """Text from a store without what a terminal would obey."""
    return "".join(
        c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def width() -> int:
    return max(40, min(100, shutil.get_terminal_size().columns))


def paragraph(text: str, indent: str, lines_max: int | None = None) -> None:
    one = " ".join(printable(text).split())
    rows = textwrap.wrap(one, width() - len(indent), max_lines=lines_max, placeholder=" ...")
    for row in rows:
        print(indent + row)


def moment(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if value else ""


def as_json(value: Any) -> None:
    def default(other: Any) -> Any:
        if isinstance(other, datetime):
            return other.isoformat().replace("+00:00", "Z")
        if hasattr(other, "to_dict"):
            return other.to_dict()
        raise TypeError(type(other).__name__)

    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=default)
    print()


def head(memory: rae.Memory | rae.MemoryVersion | rae.Hit) -> str:
    """Who, when and where, in one dim line."""
    when = moment(memory.occurred_at) or f"stored {moment(memory.created_at)}"
    session = f"session {memory.session_id}" if memory.session_id else None
    tags = " ".join(f"#{tag}" for tag in memory.tags) or None
    parts = [memory.speaker or memory.role, when, session, memory.kind, tags]
    return printable("  ".join(part for part in parts if part))


class Progress:
    """A line on stderr that counts, on a terminal only."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._on = sys.stderr.isatty()

    def show(self, count: int) -> None:
        if self._on:
            sys.stderr.write(f"\r{self._what} {count:,} ...")
            sys.stderr.flush()

    def done(self) -> None:
        if self._on:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def told(mem: rae.Rae, memory_id: str) -> str:
    try:
        return mem.get(memory_id).content
    except rae.NotFoundError:
        return "(gone meanwhile)"
