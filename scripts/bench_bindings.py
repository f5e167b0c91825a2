"""What a call costs from Rust, Python and Node: the same calls on the same texts, one process after the other.

bench_bindings.py TEXTS PYTHON INDEX_MJS [ROUNDS]: TEXTS is a file of one text a line, PYTHON an interpreter that has the release
wheel, INDEX_MJS the built Node package. Prints a Markdown table; microseconds.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMPARED = ("remember", "recall", "remember_many(1000)")


def rows(command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    texts, python, index = (str(Path(a).absolute()) for a in sys.argv[1:4])
    rounds = sys.argv[4] if len(sys.argv) > 4 else "2000"
    scripts = HERE / "bindings"
    found = rows(["cargo", "bench", "--quiet", "-p", "rae-core", "--bench", "bindings", "--", texts, rounds])
    found += rows([python, str(scripts / "bindings.py"), texts, rounds])
    found += rows([python, str(scripts / "bindings.py"), texts, rounds, "async"])
    found += rows(["node", str(scripts / "bindings.mjs"), index, texts, rounds])
    rust = {r["verb"]: r for r in found if r["surface"] == "Rust"}
    print("| surface | verb | n | p50 us | p99 us | p50 over Rust us | event loop held ms |")
    print("|---|---|---|---|---|---|---|")
    for r in sorted(found, key=lambda r: (*COMPARED, r["verb"]).index(r["verb"])):
        over = f"{r['p50'] - rust[r['verb']]['p50']:+.0f}" if r["verb"] in rust else ""
        held = f"{r['held_ms']:.1f}" if "held_ms" in r else ""
        print(f"| {r['surface']} | {r['verb']} | {r['n']} | {r['p50']:.0f} | {r['p99']:.0f} | {over} | {held} |")


if __name__ == "__main__":
    main()
