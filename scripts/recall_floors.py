"""Recall through the installed `rae` module, with floors: a change that loses quality fails here.

recall_floors.py --demo examples/data [--shared ../shared]

The demo conversation is tried everywhere. The development corpora (see docs/benchmarks.md) are tried where they lie beside
the checkout, with the harness that lies with them, each conversation in a store of its own and then all in one.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import rae

# A little under what docs/benchmarks.md reports, so that noise of one question does not fail a build.
# The demo's questions are hard on purpose (paraphrases without a shared word, several turns of evidence): 65.6 / 56.6 when measured.
DEMO_FLOOR = {"R@10": 0.63, "nDCG@10": 0.54}
DEV_FLOORS = {
    "separate": {
        "locomo": {"R@10": 0.795, "nDCG@10": 0.638},
        "beam": {"R@10": 0.750, "nDCG@10": 0.680},
    },
    "merged": {
        "locomo": {"R@10": 0.785, "nDCG@10": 0.628},
        "beam": {"R@10": 0.730, "nDCG@10": 0.660},
    },
}


def metrics(ranked: list[str], gold: list[str]) -> dict[str, float]:
    """Share of the evidence in the first ten, and its discounted gain over the best possible."""
    places = [i for i, found in enumerate(ranked[:10]) if found in gold]
    ideal = sum(1 / math.log2(i + 2) for i in range(min(10, len(gold))))
    gain = sum(1 / math.log2(i + 2) for i in places)
    return {"R@10": len(places) / len(gold), "nDCG@10": gain / ideal}


def demo(folder: Path) -> dict[str, float]:
    """Recall on the conversation of the demo."""
    turns = [json.loads(line) for line in (folder / "lighthouse.jsonl").read_text().splitlines()]
    questions = json.loads((folder / "lighthouse-questions.json").read_text())["questions"]
    with tempfile.TemporaryDirectory() as tmp, rae.open(Path(tmp) / "demo.rae") as mem:
        items = [{**{k: v for k, v in turn.items() if k != "id"}, "metadata": {"id": turn["id"]}} for turn in turns]
        mem.remember_many(items)
        scores = []
        for question in questions:
            hits = mem.recall(question["question"], k=10)
            scores.append(metrics([h.metadata["id"] for h in hits], question["evidence"]))
    return {name: sum(s[name] for s in scores) / len(scores) for name in DEMO_FLOOR}


def dev(shared: Path, merged: bool) -> dict[str, dict[str, float]]:
    """Headline figures of the development corpora, by the shared harness itself."""
    with tempfile.TemporaryDirectory() as tmp:
        out = Path(tmp) / "out.json"
        data = [str(shared / "data" / name) for name in ("locomo-dev.json", "beam-dev.json")]
        command = [sys.executable, str(shared / "bench/recall/recall.py"), "--data", *data]
        command += ["--out", str(out)] + (["--merge"] if merged else [])
        subprocess.run(command, check=True, timeout=1_200)
        figures = json.loads(out.read_text())
    return {corpus: figures[f"{corpus}/headline"] for corpus in DEV_FLOORS["separate"]}


def judge(name: str, figures: dict[str, float], floors: dict[str, float]) -> bool:
    """Prints the figures beside their floors; whether all hold."""
    line = ", ".join(f"{k} {100 * figures[k]:.1f} (floor {100 * v:.1f})" for k, v in floors.items())
    print(f"{name}: {line}")
    return all(figures[k] >= v for k, v in floors.items())


def main() -> None:
    """Runs what there is data for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--demo", type=Path, required=True)
    parser.add_argument("--shared", type=Path)
    args = parser.parse_args()
    results = [judge("demo conversation", demo(args.demo), DEMO_FLOOR)]
    if args.shared and (args.shared / "data/locomo-dev.json").exists():
        for way, floors in DEV_FLOORS.items():
            figures = dev(args.shared, merged=way == "merged")
            results += [judge(f"{corpus}, {way}", figures[corpus], floors[corpus]) for corpus in floors]
    else:
        print("the development corpora are not beside this checkout: only the demo was tried")
    failed = results.count(False)
    print(f"recall: {len(results) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
