"""Does the graph help recall? The development corpora with relations in the store, and weights of the graph beside none.

graph_ablation.py --shared ../shared [--graph facts mentions] [--weights 0.05 0.1 0.2 0.4] [--questions N]

Facts are read by the engine's rules (`infer=True`, then `maintain`). As they are few, the same is tried with a graph that is dense:
who says a turn `mentions` each name with a capital letter in it. Every relation has its turn as its source. One store a conversation,
one recall a question; hits are turns (`kind` is not `fact`), and with `facts` also what is found without that filter, where a fact stands
for its source. Beside the weights: `names`, the question with the names of its entities' neighbors behind it.

Prints R@10 and nDCG@10 of the headline categories, and what each adds to weight 0 with the interval of a paired bootstrap. No
figure depends on the machine.
"""

import argparse
import importlib.util
import json
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import rae

RESAMPLES = 2_000
METRICS = ("R@10", "nDCG@10")
TURNS = {"kind": {"ne": "fact"}}
NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][a-z]+(?: [A-Z][a-z]+)*\b")


def harness(shared: Path) -> ModuleType:
    """The shared harness: its memories, its metrics, its headline categories."""
    spec = importlib.util.spec_from_file_location("harness", shared / "bench/recall/recall.py")
    if spec is None or spec.loader is None:
        raise SystemExit("the harness is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fill(mem: rae.Rae, bench: ModuleType, conversation: dict[str, Any], graph: str) -> dict[str, str]:
    """Stores a conversation with its relations; gives the harness's id of each turn by its own."""
    labels = {}
    for _, item in bench.memories(conversation):
        receipt = mem.remember(**item, infer=graph == "facts" or None)
        labels[receipt.id] = item["metadata"]["id"]
        if graph == "mentions":
            who = item.get("speaker") or item.get("role") or "user"
            names = dict.fromkeys(name for name in NAME.findall(item["content"]) if name.lower() != who.lower())
            for name in list(names)[:20]:
                mem.relate(who, "mentions", name[:200], source_id=receipt.id)
    mem.maintain()
    return labels


def relations(mem: rae.Rae) -> Iterator[rae.Memory]:
    """All of them."""
    cursor = None
    while True:
        page = mem.relations(limit=1_000, cursor=cursor)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def with_names(mem: rae.Rae, names: list[str], question: str) -> str:
    """The question, and behind it the nearest neighbors of each entity that it names."""
    low = f" {' '.join(re.findall(r'[a-z0-9]+', question.lower()))} "
    near: dict[str, None] = {}
    for name in names:
        if f" {name.lower()} " in low:
            near.update(dict.fromkeys(n.name for n in mem.neighbors(name, limit=10).neighbors))
    return f"{question} {' '.join(near)}" if near else question


def ways(args: argparse.Namespace, graph: str) -> dict[str, dict[str, Any]]:
    """What is tried, by name; the first is what the others are compared with."""
    found: dict[str, dict[str, Any]] = {"turns, weight 0": {"filter": TURNS}}
    for weight in args.weights:
        found[f"turns, weight {weight}"] = {"filter": TURNS, "graph_weight": weight}
    found["turns, names"] = {"filter": TURNS, "names": True}
    if graph == "facts":
        found["turns and facts, weight 0"] = {}
        for weight in args.weights:
            found[f"turns and facts, weight {weight}"] = {"graph_weight": weight}
    return found


def ranked(mem: rae.Rae, labels: dict[str, str], query: str, options: dict[str, Any]) -> list[str]:
    """The turns that answer, best first; a fact stands for the turns it was read from."""
    found: dict[str, None] = {}
    for hit in mem.recall(query, k=50, **options):
        if hit.id in labels:
            found[labels[hit.id]] = None
        elif hit.kind == "fact":
            sources = mem.get(hit.id).derived_from
            found.update((labels[source], None) for source in sources if source in labels)
    return list(found)


def interval(differences: list[float], rng: random.Random) -> tuple[float, float]:
    """95 % of the means of the questions drawn again with replacement."""
    n = len(differences)
    means = sorted(sum(rng.choices(differences, k=n)) / n for _ in range(RESAMPLES))
    return means[int(RESAMPLES * 0.025)], means[int(RESAMPLES * 0.975) - 1]


def measure(args: argparse.Namespace, bench: ModuleType, graph: str) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Scores by corpus and way, in the order of the questions."""
    scores: dict[str, dict[str, list[dict[str, float]]]] = {}
    for corpus in ("locomo", "beam"):
        conversations = json.loads((args.shared / f"data/{corpus}-dev.json").read_text())
        edges, tried = 0, ways(args, graph)
        by_way = scores.setdefault(corpus, {way: [] for way in tried})
        for conversation in conversations:
            with tempfile.TemporaryDirectory() as tmp, rae.open(Path(tmp) / "one.rae") as mem:
                labels = fill(mem, bench, conversation, graph)
                claims = [memory.claim for memory in relations(mem) if memory.claim]
                edges += len(claims)
                names = sorted({name for claim in claims for name in (claim.subject, claim.object)})
                questions = [q for q in conversation["questions"] if q["category"] in bench.HEADLINE[corpus]]
                for question in questions[: args.questions]:
                    gold = [f"{conversation['name']}/{turn}" for turn in question["evidence"]]
                    for way, options in tried.items():
                        query, options = question["question"], dict(options)
                        if options.pop("names", False):
                            query = with_names(mem, names, query)
                        by_way[way].append(bench.score(ranked(mem, labels, query, options), gold))
        print(f"{corpus}, {graph}: {edges:,} relations")
    return scores


def report(scores: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    """One line a way: the figures, and what they add to weight 0."""
    rng = random.Random(7)
    for corpus, by_way in scores.items():
        base: list[dict[str, float]] = []
        for way, found in by_way.items():
            base = found if way.endswith("weight 0") else base
            cells = []
            for metric in METRICS:
                mean = sum(score[metric] for score in found) / len(found)
                differences = [a[metric] - b[metric] for a, b in zip(found, base, strict=True)]
                low, high = interval(differences, rng)
                delta = sum(differences) / len(differences)
                cells.append(f"{100 * mean:.1f} ({100 * delta:+.2f}, {100 * low:+.2f} to {100 * high:+.2f})")
            print(f"| {corpus} (n = {len(found)}) | {way} | {' | '.join(cells)} |")


def main() -> None:
    """Runs each graph."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--graph", nargs="+", default=["facts", "mentions"], choices=["facts", "mentions"])
    parser.add_argument("--weights", nargs="+", type=float, default=[0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--questions", type=int, help="of each conversation; default all")
    args = parser.parse_args()
    bench = harness(args.shared)
    for graph in args.graph:
        report(measure(args, bench, graph))


if __name__ == "__main__":
    main()
