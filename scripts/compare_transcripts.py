"""Requires that the scenarios gave the same answers on every surface, floats to the last bit.

Usage: compare_transcripts.py FOLDER. Each surface leaves `<surface>.json` there: a list of {"rule", "results"}, one result a
step. Those of Rust, Python and Node must be there, of open stores and of stores on a server; the latter may lack the scenarios
that need an embedded store, whose number the tests of each pin. Exit code 1 where anything differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

EMBEDDED = ("rust", "python", "python-async", "node")
REMOTE = ("rest", "python-remote", "python-remote-async", "node-remote")
NEEDED = EMBEDDED + REMOTE


def read(path: Path) -> dict[str, Any]:
    entries = json.loads(path.read_text(encoding="utf-8"))
    rules = {entry["rule"]: entry["results"] for entry in entries}
    if len(rules) != len(entries):
        sys.exit(f"{path}: two scenarios have the same rule")
    return rules


def difference(one: Any, other: Any, at: str = "") -> str | None:
    """The first place where two answers differ. 1 and 1.0 are one number: JavaScript has no other."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        parts = [(one[key], other[key], f"{at}/{key}") for key in sorted(one)]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = [(a, b, f"{at}/{i}") for i, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (one, other))
        same = one == other and (numbers or type(one) is type(other))
        return None if same else f"{at}: {shown(one)} and {shown(other)}"
    return next((d for d in (difference(*part) for part in parts) if d), None)


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else text[:300] + "..."


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    missing = [name for name in NEEDED if not (folder / f"{name}.json").exists()]
    if missing:
        sys.exit(f"no transcript of {', '.join(missing)} in {folder}: run the tests of these surfaces first")
    surfaces = {name: read(folder / f"{name}.json") for name in NEEDED}
    unknown = {path.stem for path in folder.glob("*.json")} - set(NEEDED)
    surfaces |= {name: read(folder / f"{name}.json") for name in sorted(unknown)}
    rules = list(dict.fromkeys(rule for transcript in surfaces.values() for rule in transcript))
    failed = apart = 0
    for rule in rules:
        absent = {name for name, transcript in surfaces.items() if rule not in transcript}
        # All of them lack it, or none may.
        if absent == set(REMOTE):
            absent = set()
            apart += 1
        wrong = [f"{name} did not finish it" for name in sorted(absent)]
        if not absent:
            first = surfaces["rust"][rule]
            there = [name for name in surfaces if rule in surfaces[name]]
            found = ((name, difference(first, surfaces[name][rule])) for name in there)
            wrong = [f"rust and {name} differ at {at}" for name, at in found if at]
        if wrong:
            failed += 1
            print(f"{rule}\n  " + "\n  ".join(wrong))
    print(f"scenarios the same on {', '.join(surfaces)}: {len(rules) - failed} passed, {failed} failed")
    print(f"of these only on embedded stores: {apart}")
    sys.exit(1 if failed or not rules else 0)


if __name__ == "__main__":
    main()
