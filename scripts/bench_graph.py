"""How fast the graph of relations answers, beside networkx on the same graph in the same process.

bench_graph.py [--relations 10000 100000] [--queries 300]

Relations come in by `import` of a file that is written here: a graph that grows as people meet, each new entity with five relations
of which most go to what is known already. RAE answers from a store in a file; networkx holds the graph alone. The costs of the paths
of both are compared, so that both are known to answer the same. Times are those of one caller, in milliseconds.
"""

import argparse
import json
import random
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx

import rae

HEADER = {
    "rae_export": 1, "engine": "0.1.0", "exported_at": "2026-01-01T00:00:00Z", "tenant": "t", "project": "p",
    "embedder": {"id": "none@1/3", "dim": 3},
}  # fmt: skip
MEMORY = {
    "scope": {"tenant": "t", "project": "p"}, "layer": "semantic", "kind": "fact", "role": None, "speaker": None,
    "session_id": None, "agent_id": None, "user_id": None, "tags": [], "metadata": {}, "importance": 0.7,
    "strength": 1.0, "confidence": 1.0, "trust_level": None, "info_class": "internal", "provenance": {},
    "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z", "occurred_at": None, "valid_from": None,
    "valid_to": None, "superseded_by": None, "expires_at": None, "version": 1, "seq": 1, "seq_in_session": None,
    "content_hash": [0] * 32, "dedup_key": None, "witness_count": 1,
}  # fmt: skip
Edge = tuple[str, str, float]


def edges(count: int, rng: random.Random) -> list[Edge]:
    """Names and weights; no pair twice."""
    ends, seen, found, people = ["Person 0"], set(), [], 1
    while len(found) < count:
        name = f"Person {people}"
        people += 1
        for _ in range(5):
            other = rng.choice(ends)
            if other != name and (name, other) not in seen and len(found) < count:
                seen.add((name, other))
                found.append((name, other, rng.choice([0.5, 1.0, 2.0, 4.0])))
                ends += [name, other]
    return found


def export(path: Path, graph: list[Edge], rng: random.Random) -> None:
    """The relations as an export, as anybody may write one."""
    with path.open("w") as out:
        out.write(json.dumps(HEADER) + "\n")
        for subject, other, weight in graph:
            claim = {"subject": subject, "relation": "knows", "object": other, "weight": weight}
            memory = {**MEMORY, "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)), "claim": claim}
            memory["content"] = f"{subject} knows {other}"
            out.write(json.dumps({"memory": memory, "vector": None}) + "\n")
        out.write(json.dumps({"end": True, "memories": len(graph)}) + "\n")


def resident() -> float:
    """Of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def timed(queries: list[Any], ask: Callable[[Any], object]) -> str:
    """The median and the 99th of a hundred."""
    times = []
    for query in queries:
        start = time.perf_counter()
        ask(query)
        times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    return f"{times[len(times) // 2]:.3f} / {times[int(len(times) * 0.99)]:.3f}"


def around(graph: nx.Graph, name: str, depth: int, limit: int) -> list[str]:
    """The nearest, then by name: what `neighbors` gives, but for the strength."""
    found = nx.single_source_shortest_path_length(graph, name, cutoff=depth)
    return sorted((n for n in found if n != name), key=lambda n: (found[n], n))[:limit]


def ours(mem: rae.Rae, names: list[str], pairs: list[tuple[str, str]]) -> dict[str, str]:
    """RAE's figures."""
    before, start = resident(), time.perf_counter()
    mem.neighbors(names[0])
    first = time.perf_counter() - start
    rows = {
        "first question, with reading the graph, s": f"{first:.2f}",
        "memory of the graph, MB": f"{resident() - before:.0f}",
    }
    rows["neighbors, depth 1"] = timed(names, lambda name: mem.neighbors(name))
    rows["neighbors, depth 2"] = timed(names, lambda name: mem.neighbors(name, depth=2))
    refused = []

    def way(pair: tuple[str, str]) -> None:
        try:
            mem.path(*pair)
        except rae.UnsupportedError:
            refused.append(pair)

    rows["path"] = timed(pairs, way) + (f", {len(refused)} of {len(pairs)} refused as too large" if refused else "")
    rows["subgraph, depth 1"] = timed(names, lambda name: mem.subgraph([name], depth=1))
    rows["subgraph, depth 2, at most 200"] = timed(names, lambda name: mem.subgraph([name]))
    return rows


def theirs(graph: nx.Graph, names: list[str], pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The peer's: without a bound where it has none."""
    rows = {"neighbors, depth 1": timed(names, lambda name: around(graph, name, 1, 50))}
    rows["neighbors, depth 2"] = timed(names, lambda name: around(graph, name, 2, 50))
    rows["path"] = timed(pairs, lambda pair: nx.bidirectional_dijkstra(graph, *pair, weight="cost"))
    rows["subgraph, depth 1"] = timed(names, lambda name: nx.ego_graph(graph, name, radius=1))
    rows["subgraph, depth 2, at most 200"] = timed(
        names, lambda name: graph.subgraph([name, *around(graph, name, 2, 199)]).copy()
    )
    return rows


def measure(count: int, queries: int) -> None:
    """Both on one graph."""
    rng = random.Random(11)
    relations = edges(count, rng)
    everybody = sorted({name for subject, other, _ in relations for name in (subject, other)})
    names = rng.choices(everybody, k=queries)
    pairs = [tuple(rng.sample(everybody, 2)) for _ in range(queries)]
    before, start, graph = resident(), time.perf_counter(), nx.Graph()
    for subject, other, weight in relations:
        graph.add_edge(subject, other, cost=1 / weight)
    peer = {"first question, with reading the graph, s": f"{time.perf_counter() - start:.2f} (building)"}
    peer["memory of the graph, MB"] = f"{resident() - before:.0f}"
    with tempfile.TemporaryDirectory() as tmp, rae.open(Path(tmp) / "graph.rae") as mem:
        export(Path(tmp) / "graph.jsonl", relations, rng)
        start = time.perf_counter()
        mem.import_(Path(tmp) / "graph.jsonl")
        print(
            f"{count:,} relations of {len(everybody):,} entities, imported at {count / (time.perf_counter() - start):,.0f}/s"
        )
        mine = ours(mem, names, pairs)
        for a, b in pairs[:20]:
            try:
                way = mem.path(a, b)
            except rae.UnsupportedError:
                continue
            cost, _ = nx.bidirectional_dijkstra(graph, a, b, weight="cost")
            if way is None or abs(way.cost - cost) > 1e-9:
                raise SystemExit(f"{a} to {b}: {way and way.cost} is not {cost}")
    peer.update(theirs(graph, names, pairs))
    print(f"| {count:,} relations, p50 / p99 ms | RAE | networkx {nx.__version__} |\n|---|---|---|")
    for what, figure in mine.items():
        print(f"| {what} | {figure} | {peer[what]} |")


def main() -> None:
    """Each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--relations", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=300)
    args = parser.parse_args()
    for count in args.relations:
        measure(count, args.queries)


if __name__ == "__main__":
    main()
