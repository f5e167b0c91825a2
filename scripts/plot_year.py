"""Draws docs/images/year.png from what `cargo bench -p rae-core --bench year` prints.

plot_year.py YEAR.csv [--out docs/images/year.png]

Needs matplotlib.
"""

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["sensory", "working", "episodic", "semantic", "reflective"]
PARTS = [
    ("strength", "mean strength of the oldest 1,000"),
    ("file_mb", "file, MB"),
    ("rss_mb", "memory of the process, MB"),
]
TITLES = {"default": "no policy", "forgetting": "a policy that forgets"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "year.png")
    args = parser.parse_args()
    with args.csv.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    figure, axes = plt.subplots(1, len(policies) + len(PARTS), figsize=(20, 3.8), dpi=110)

    def line(policy: str, column: str) -> tuple[list[int], list[float]]:
        own = [row for row in rows if row["policy"] == policy]
        return [int(row["day"]) for row in own], [float(row[column]) for row in own]

    top = max(float(row[layer]) for row in rows for layer in LAYERS) * 1.05
    for place, policy in zip(axes, policies, strict=False):
        for layer in LAYERS:
            place.plot(*line(policy, layer), label=layer)
        place.set_title(f"memories by layer, {TITLES.get(policy, policy)}", fontsize=9)
        place.set_ylim(0, top)
    axes[0].legend(fontsize=7)
    for place, (column, title) in zip(axes[len(policies) :], PARTS, strict=True):
        for policy in policies:
            place.plot(*line(policy, column), label=TITLES.get(policy, policy))
        place.set_title(title, fontsize=9)
        place.set_ylim(bottom=0)
        place.legend(fontsize=7)
    for place in axes:
        place.set_xlabel("day", fontsize=8)
        place.tick_params(labelsize=7)
        place.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(args.out)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
