"""Uses the whole surface, for the type checker alone; it is never run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import rae


def embed(texts: list[str]) -> list[list[float]]:
    return [[1.0] for _ in texts]


def blocking() -> None:
    with rae.open(
        Path("a.rae"), tenant="t", project="p", embedder=embed, durability="normal", timeout=5
    ) as mem:
        receipt: rae.Receipt = mem.remember(
            "x",
            kind="fact",
            layer="em",
            tags=("a",),
            metadata={"n": 1},
            ttl=timedelta(days=1),
            occurred_at=date(2024, 1, 2),
        )
        receipts: list[rae.Receipt] = mem.remember_many([{"content": "x"}])
        merged: bool = receipts[0].merged
        degraded: list[str] = receipt.degraded
        hits: rae.Hits = mem.recall(
            "x", k=5, layers=["semantic"], since=datetime.now(timezone.utc), filter={"kind": "fact"}
        )
        first: rae.Hit = hits[0]
        some: list[rae.Hit] = hits[1:3]
        for hit in hits:
            when: datetime | None = hit.occurred_at
            parts: tuple[float, int] = (hit.signals.dense, hit.passage.start)
            print(hit.metadata["n"], when, parts)
        trace: dict[str, Any] | None = hits.trace
        context: rae.Context = mem.context(session_id="s", max_tokens=10)
        text: str = context.text + str(context.token_count) + context.sources[0].id
        memory: rae.Memory = mem.get(receipt.id)
        page: rae.Page = mem.list(10, None, layer="working")
        cursor: str | None = page.next_cursor
        mem.update(memory.id, content="y", speaker=None, tags=None, expected_version=1)
        edge = mem.relate("Ada", "works_at", "Acme", weight=2, source_id=memory.id)
        claim: rae.Claim | None = mem.get(edge.id).claim
        print(claim.object if claim else mem.relations("Ada", limit=1).next_cursor)
        versions: list[rae.MemoryVersion] = mem.history(memory.id)
        replaced: datetime | None = versions[0].replaced_at
        forgotten: rae.Forgotten = mem.forget(scope="session", target="s")
        mem.forget(memory.id)
        erased: rae.ErasureReport = mem.verify_erasure(
            forgotten.receipt, exports=["a.jsonl"], texts=["a text"]
        )
        print(erased.clean, [place.note for place in erased.places])
        mem.forget(filter={"kind": "fact"})
        mem.feedback(memory.id, useful=True)
        stats: rae.Stats = mem.stats()
        layers: dict[str, int] = stats.by_layer
        dim: int = stats.embedder.dim + stats.jobs.queued
        exported: rae.Exported = mem.export("d.jsonl")
        imported: rae.Imported = mem.import_(Path("d.jsonl"))
        limits: rae.Limits = mem.set_budget(daily_limit=Decimal("20"), monthly_limit=None)
        left: Decimal | None = mem.budget(project=True).daily.remaining_usd
        sums: list[rae.CostRow] = mem.costs(group_by=["day", "user"], since=date(2026, 1, 1)).items
        attempts: list[rae.LedgerRow] = mem.cost_log(5).items
        messages = [{"role": "user", "content": "x"}]
        with mem.meter("openai", "gpt-4o-mini", messages=messages) as call:
            call.used(input_tokens=1, output_tokens=1)
        said: str = mem.llm(messages, model="gpt-4o-mini", seed=1).text
        words: list[str] = [piece.text for piece in mem.llm(messages, model="m", stream=True)]
        allowed: bool = mem.llm_estimate(messages, model="m").allowed
        print(limits, left, sums, attempts, call.cost_usd, said, words, allowed)
        done: rae.Reembedded = mem.reembed(None)
        ran: dict[str, int] = mem.maintain(now="2024-01-01").ran
        findings: list[rae.Finding] = mem.doctor()
        report: rae.Audit = mem.audit(limit=10, fix=True)
        changes: rae.ChangePage = mem.changes(limit=10, cursor=None)
        undone: rae.Undone = mem.undo(changes.items[0].id)
        for found in report.findings:
            told: tuple[str, list[str], str] = (found.kind, found.ids, found.message + found.fix)
            print(told, report.checked + 1, report.truncated, undone.ids)
        names: list[str] = [entity.name for entity in mem.entities("ada", limit=5)]
        near: list[rae.Neighbor] = mem.neighbors("Ada", depth=2, at=date(2026, 1, 1)).neighbors
        way: rae.GraphPath | None = mem.path("Ada", "Oslo", snapshot="before")
        around: list[rae.Relation] = mem.subgraph(["Ada"], depth=1).relations
        taken: list[rae.Snapshot] = [mem.snapshot("now"), *mem.snapshots()]
        print(names, near, way, around, taken[0].at.year)
        rows = mem.embed(["x", "y"], role="query")
        vector = mem.vector(memory.id)
        print(rows.shape[1] + 1, rows @ rows.T, None if vector is None else vector.tolist())
        mem.backup("b.rae")
        other: rae.Rae = mem.with_scope(project="q")
        print(merged, degraded, first, some, trace, text, cursor, replaced, forgotten, layers, dim)
        print(exported, imported, done.from_, ran, findings, other.tenant, sequence(list(hits)))


def sequence(hits: Sequence[rae.Hit]) -> int:
    return len(hits)


def remote() -> str:
    with rae.connect("http://127.0.0.1:8000", api_key=None, tenant="t", timeout=5) as mem:
        return mem.remember("text").id


async def awaited() -> None:
    async with await rae.aconnect("http://127.0.0.1:8000", ca=Path("ca.pem")) as far:
        await far.recall("q")
    async with await rae.aopen(":memory:") as mem:
        receipt: rae.Receipt = await mem.remember("x", role="user")
        hits: rae.Hits = await mem.recall("x")
        page: rae.Page = await mem.list()
        await mem.update(receipt.id, ttl=None)
        other: rae.AsyncRae = mem.with_scope(tenant="t")
        await other.aclose()
        print(hits[0].score, page.items)


def errors() -> None:
    try:
        blocking()
    except rae.NotFoundError as error:
        raise KeyError(error.code) from error
    except rae.InvalidInputError as error:
        value: ValueError = error
        print(value, error.details, error.retry_after, error.kind, error.operation)
    except rae.RaeError:
        raise
