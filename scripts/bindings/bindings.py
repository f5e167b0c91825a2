"""One of the programs of bench_bindings.py: bindings.py TEXTS ROUNDS [async]."""

import asyncio
import json
import sys
import time
from pathlib import Path

import rae

TEXTS = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
ROUNDS = int(sys.argv[2])


def text(i):
    return f"{TEXTS[i % len(TEXTS)]} {i}"


def items(start):
    return [{"content": text(i)} for i in range(start, start + 1_000)]


def report(surface, verb, micros):
    micros.sort()
    n = len(micros)
    row = {"surface": surface, "verb": verb, "n": n, "p50": micros[n // 2], "p99": micros[min(n * 99 // 100, n - 1)]}
    print(json.dumps(row))


def blocking():
    def timed(verb, rounds, call):
        micros = []
        for i in range(rounds):
            begun = time.perf_counter()
            call(i)
            micros.append((time.perf_counter() - begun) * 1e6)
        report("Python", verb, micros)

    with rae.open(":memory:") as mem:
        mem.remember_many(items(0))
        timed("remember", ROUNDS, lambda i: mem.remember(text(1_001 + i)))
        timed("recall", ROUNDS, lambda i: mem.recall(TEXTS[i % len(TEXTS)]))
        timed("remember_many(1000)", 30, lambda i: mem.remember_many(items(1_000_000 + 1_000 * i)))


async def asynchronous():
    async def timed(verb, rounds, call):
        micros = []
        for i in range(rounds):
            begun = time.perf_counter()
            await call(i)
            micros.append((time.perf_counter() - begun) * 1e6)
        report("Python async", verb, micros)

    async with await rae.aopen(":memory:") as mem:
        await mem.remember_many(items(0))
        await timed("remember", ROUNDS, lambda i: mem.remember(text(1_001 + i)))
        await timed("recall", ROUNDS, lambda i: mem.recall(TEXTS[i % len(TEXTS)]))
        await timed("remember_many(1000)", 30, lambda i: mem.remember_many(items(1_000_000 + 1_000 * i)))


if sys.argv[3:] == ["async"]:
    asyncio.run(asynchronous())
else:
    blocking()
