"""Every verb of the contract, on the blocking class."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType

import pytest

import rae

from conftest import turns

NOWHERE = "0190a0a0-0000-7000-8000-000000000000"


def test_the_example_of_the_readme_remembers_and_recalls(store: Path) -> None:
    with rae.open(store) as mem:
        receipt = mem.remember(
            "Caroline adopted a puppy called Scout.",
            speaker="Caroline",
            role="user",
            session_id="s1",
            occurred_at="2023-05-08T13:56:00Z",
            layer="episodic",
            kind="conversation",
            tags=["pets"],
            metadata={"n": 1},
            importance=0.5,
            ttl=None,
            source=None,
            agent_id=None,
            user_id=None,
            idempotency_key=None,
        )
        assert not receipt.merged
        assert receipt.degraded == []
        assert receipt.version == 1
    with rae.open(store) as mem:
        hits = mem.recall("What did Caroline adopt?", k=10, explain=True)
        assert isinstance(hits, Sequence)
        assert [hit.id for hit in hits] == [receipt.id]
        hit = hits[0]
        assert hit.content == "Caroline adopted a puppy called Scout."
        assert 0 < hit.score <= 1
        assert 0 < hit.relevance <= 1
        assert 0 < hit.signals.lexical <= 1
        assert hit.metadata == {"n": 1}
        assert hit.tags == ["pets"]
        assert (hit.speaker, hit.role, hit.session_id) == ("Caroline", "user", "s1")
        assert (hit.kind, hit.layer, hit.importance) == ("conversation", "episodic", 0.5)
        assert hit.occurred_at == datetime(2023, 5, 8, 13, 56, tzinfo=timezone.utc)
        assert hit.content[hit.passage.start : hit.passage.end] == hit.content
        assert hits.degraded == []
        assert hits.trace is not None
        assert mem.recall("What did Caroline adopt?").trace is None


def test_remember_fills_every_field(mem: rae.Rae) -> None:
    before = datetime.now(timezone.utc)
    receipt = mem.remember(
        "The harbour opens at six.",
        kind="fact",
        layer="sm",
        role="tool",
        speaker="Kit",
        session_id="s",
        agent_id="a",
        user_id="u",
        occurred_at=datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2))),
        tags=("x", "y", "x"),
        metadata={"a": {"b": [1, 2.5, None, True, "t"]}},
        importance=0.25,
        confidence=0.75,
        ttl=timedelta(days=1),
        source="radio",
        trust_level="high",
        info_class="confidential",
        valid_from=date(2024, 1, 1),
        valid_to="2030-01-01T00:00:00Z",
    )
    memory = mem.get(receipt.id)
    assert (memory.kind, memory.layer, memory.role, memory.speaker) == (
        "fact",
        "semantic",
        "tool",
        "Kit",
    )
    assert (memory.session_id, memory.agent_id, memory.user_id) == ("s", "a", "u")
    assert memory.occurred_at == datetime(2024, 1, 2, 1, 4, 5, 678901, tzinfo=timezone.utc)
    assert memory.tags == ["x", "y"]
    assert memory.metadata == {"a": {"b": [1, 2.5, None, True, "t"]}}
    assert (memory.importance, memory.confidence, memory.strength) == (0.25, 0.75, 1.0)
    assert memory.sources == ["radio"]
    assert memory.derived_from == []
    assert (memory.trust_level, memory.info_class) == ("high", "confidential")
    assert memory.valid_from == datetime(2024, 1, 1, tzinfo=timezone.utc)
    assert memory.valid_to == datetime(2030, 1, 1, tzinfo=timezone.utc)
    assert memory.superseded_by is None
    assert memory.expires_at is not None
    assert timedelta(hours=23) < memory.expires_at - before < timedelta(hours=25)
    assert before - timedelta(seconds=1) < memory.created_at == memory.updated_at
    assert (memory.tenant, memory.project) == ("default", "default")
    assert (memory.version, memory.witness_count) == (1, 1)
    assert uuid.UUID(memory.id).version == 7


def test_a_statement_said_twice_merges_and_a_turn_without_a_time_does_not(mem: rae.Rae) -> None:
    first = mem.remember("Water boils at 100 degrees.", tags=["a"])
    again = mem.remember("Water boils at 100 degrees.", tags=["b"])
    assert again.merged
    assert again.id == first.id
    assert mem.get(first.id).tags == ["a", "b"]
    assert mem.get(first.id).witness_count == 2
    assert not mem.remember("Yes.", speaker="Ada").merged
    assert not mem.remember("Yes.", speaker="Ada").merged


def test_an_idempotency_key_gives_the_first_receipt_and_refuses_another_body(mem: rae.Rae) -> None:
    first = mem.remember("One.", idempotency_key="key")
    assert mem.remember("One.", idempotency_key="key").id == first.id
    with pytest.raises(rae.ConflictError):
        mem.remember("Two.", idempotency_key="key")
    assert mem.stats().memories == 1


def test_remember_many_takes_any_iterable_of_mappings(mem: rae.Rae) -> None:
    items = [
        MappingProxyType({"content": "proxy"}),
        {"content": "dict", "speaker": None, "tags": ["t"]},
    ]
    receipts = mem.remember_many(item for item in items)
    assert [mem.get(r.id).content for r in receipts] == ["proxy", "dict"]
    assert mem.remember_many([]) == []
    assert mem.remember_many({}.values()) == []
    assert len(mem.remember_many(turns(2_500))) == 2_500


def test_the_options_of_recall_choose(mem: rae.Rae) -> None:
    mem.remember_many(
        [
            {
                "content": "boats in spring",
                "session_id": "s1",
                "occurred_at": "2024-03-01",
                "tags": ["a"],
            },
            {
                "content": "boats in summer",
                "session_id": "s2",
                "occurred_at": "2024-07-01",
                "tags": ["a", "b"],
            },
            {
                "content": "boats as a fact",
                "kind": "fact",
                "agent_id": "x",
                "user_id": "u",
                "metadata": {"n": 3},
            },
        ]
    )

    def found(**options: object) -> set[str]:
        return {hit.content.removeprefix("boats ") for hit in mem.recall("boats", **options)}  # type: ignore[arg-type]

    assert found() == {"in spring", "in summer", "as a fact"}
    assert len(found(k=1)) == 1
    assert found(layers=["episodic"]) == {"in spring", "in summer"}
    assert found(layers=("ltm",)) == {"as a fact"}
    assert found(kinds=["fact"]) == {"as a fact"}
    assert found(tags=["a", "b"]) == {"in summer"}
    assert found(tags_any={"b"}) == {"in summer"}
    assert found(session_id="s1") == {"in spring"}
    assert found(agent_id="x") == found(user_id="u") == {"as a fact"}
    assert found(since="2024-03-01", until=date(2024, 7, 1)) == {"in spring"}
    assert found(filter={"metadata.n": {"gte": 3}}) == {"as a fact"}
    assert found(filter={"or": [{"session_id": "s1"}, {"tags": {"contains": "b"}}]}) == {
        "in spring",
        "in summer",
    }
    assert found(filter={"occurred_at": {"gte": datetime(2024, 7, 1, tzinfo=timezone.utc)}}) == {
        "in summer"
    }
    assert found(filter={"occurred_at": {"lt": date(2024, 7, 1)}}) == {"in spring"}
    assert found(filter={"session_id": {"in": {"s1", "s9"}}}) == {"in spring"}
    assert found(min_score=1.0) == set()
    assert "rerank" in mem.recall("boats", rerank=True).degraded


def test_as_of_and_known_at_look_back(store: Path) -> None:
    with rae.open(store, _test_now="2024-01-01T00:00:00Z", _test_seed=1) as mem:
        fact = mem.remember("The shop is open.", kind="fact", valid_from="2023-01-01").id
        mem._native.test_advance(86_400)
        mem.update(fact, content="The shop is shut.", valid_to="2024-01-02T00:00:00Z")
        mem._native.test_advance(86_400)
        assert not mem.recall("shop")
        assert [hit.content for hit in mem.recall("shop", as_of="2023-06-01")] == [
            "The shop is shut."
        ]
        known = mem.recall("shop", as_of="2023-06-01", known_at="2024-01-01T12:00:00Z")
        assert [hit.content for hit in known] == ["The shop is open."]


def test_the_same_seed_and_clock_give_the_same_answers() -> None:
    def run() -> list[object]:
        with rae.open(":memory:", _test_now="2024-01-01T00:00:00Z", _test_seed=7) as mem:
            receipts = mem.remember_many(turns(50))
            return [receipts, mem.recall("subject 7"), mem.context("subject 7"), mem.list(limit=3)]

    assert run() == run()


def test_context_is_a_block_under_its_budget(mem: rae.Rae) -> None:
    for i in range(30):
        mem.remember(f"Fact {i}: the lighthouse lamp was cleaned on day {i}.", kind="fact")
    last = mem.remember("Who cleaned the lamp?", speaker="Ines", session_id="s9")
    block = mem.context("lighthouse lamp cleaned", max_tokens=120)
    assert 0 < block.token_count <= 120
    assert str(block) == block.text
    assert len(block.sources) >= 2
    for source in block.sources:
        assert mem.get(source.id).content.split(":")[0] in block.text[source.start : source.end]
    recent = mem.context(session_id="s9")
    assert last.id in {source.id for source in recent.sources}
    assert mem.context("zebra stripes quantum").sources == []
    with pytest.raises(rae.InvalidInputError):
        mem.context()


def test_list_pages_through_everything_once(mem: rae.Rae) -> None:
    receipts = mem.remember_many(turns(120))
    seen, cursor = [], None
    while True:
        page = mem.list(50, cursor)
        seen += [memory.id for memory in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(receipt.id for receipt in receipts)
    assert len(mem.list(layer="semantic").items) == 0
    assert len(mem.list(limit=1000, filter={"session_id": "s3"}).items) == 3
    mem.remember("tagged", tags=["t"])
    assert [memory.content for memory in mem.list(tags=["t"]).items] == ["tagged"]


def test_update_keeps_versions_and_clears_with_none(mem: rae.Rae) -> None:
    memory_id = mem.remember(
        "First.", kind="fact", speaker="Ada", source="s", tags=["t"], metadata={"a": 1}
    ).id
    receipt = mem.update(memory_id, content="Second.", speaker=None)
    assert (receipt.id, receipt.version) == (memory_id, 2)
    memory = mem.get(memory_id)
    assert (memory.content, memory.speaker, memory.tags, memory.metadata) == (
        "Second.",
        None,
        ["t"],
        {"a": 1},
    )
    mem.update(memory_id, tags=None, metadata=None, source=None, ttl=None, expected_version=2)
    memory = mem.get(memory_id)
    assert (memory.tags, memory.metadata, memory.sources, memory.expires_at) == ([], {}, [], None)
    versions = mem.history(memory_id)
    assert [v.version for v in versions] == [1, 2, 3]
    assert [v.content for v in versions] == ["First.", "Second.", "Second."]
    assert versions[0].replaced_at == versions[1].updated_at
    assert versions[-1].replaced_at is None
    with pytest.raises(rae.ConflictError, match="version 3") as caught:
        mem.update(memory_id, content="Third.", expected_version=1)
    assert caught.value.code == "version_mismatch"
    for nothing in ({}, {"content": rae.UNSET}, {"expected_version": 3}):
        with pytest.raises(rae.InvalidInputError):
            mem.update(memory_id, **nothing)
    for field in ("content", "kind", "layer", "importance", "confidence", "info_class"):
        with pytest.raises(rae.InvalidInputError, match=field):
            mem.update(memory_id, **{field: None})
    assert repr(rae.UNSET) == "UNSET"


def test_an_update_names_its_successor(mem: rae.Rae) -> None:
    old = mem.remember("The tax is 19 percent.", kind="fact").id
    new = mem.remember("The tax is 16 percent.", kind="fact").id
    mem.update(old, superseded_by=new)
    assert mem.get(old).superseded_by == new


def test_what_is_missing_is_not_found(mem: rae.Rae) -> None:
    calls = [
        lambda: mem.get(NOWHERE),
        lambda: mem.history(NOWHERE),
        lambda: mem.update(NOWHERE, content="x"),
        lambda: mem.feedback(NOWHERE, useful=True),
    ]
    for call in calls:
        with pytest.raises(rae.NotFoundError) as caught:
            call()
        assert isinstance(caught.value, KeyError)
        assert str(caught.value) == f"there is no memory {NOWHERE} in this project"
    assert mem.forget(NOWHERE).deleted == 0


def test_forget_takes_exactly_one_way(mem: rae.Rae) -> None:
    ids = [r.id for r in mem.remember_many(turns(10, user_id="u1"))]
    assert mem.forget(ids[0]).deleted == 1
    with pytest.raises(rae.NotFoundError):
        mem.get(ids[0])
    gone = mem.forget(filter={"session_id": {"in": ["s1", "s2"]}})
    assert (gone.deleted, gone.derived) == (2, 0)
    assert gone.receipt["deleted"] == 2
    assert len(gone.receipt["ids_keyed_blake3"]) == 2
    assert mem.forget(scope="session", target="s3").deleted == 1
    assert mem.forget(scope="user", target="u1").deleted == 6
    mem.remember("left")
    assert mem.forget(scope="project", target="default").deleted == 1
    assert mem.stats().memories == 0
    wrong = [
        {},
        {"id": ids[1], "filter": {"kind": "text"}},
        {"filter": {}},
        {"scope": "project"},
        {"target": "default"},
        {"id": ids[1], "target": "x"},
        {"scope": "planet", "target": "earth"},
        {"scope": "tenant", "target": "other"},
    ]
    for arguments in wrong:
        with pytest.raises(rae.InvalidInputError):
            mem.forget(**arguments)


def test_feedback_moves_strength_and_importance(mem: rae.Rae) -> None:
    memory_id = mem.remember("Maybe.", importance=0.5).id
    assert mem.feedback(memory_id, useful=False).strength == pytest.approx(0.8)
    assert mem.feedback(memory_id, True).importance == pytest.approx(0.45 + 0.1 * 0.55)
    assert mem.get(memory_id).version == 1


def test_stats_counts(mem: rae.Rae) -> None:
    mem.remember_many(turns(3))
    mem.remember("A fact.", kind="fact")
    stats = mem.stats()
    assert (stats.memories, stats.vectors) == (4, 4)
    assert stats.by_layer == {
        "sensory": 0,
        "working": 0,
        "episodic": 3,
        "semantic": 1,
        "reflective": 0,
    }
    assert (stats.jobs.queued, stats.jobs.dead) == (0, 0)
    assert stats.embedder.dim > 0
    assert stats.embedder.id.endswith(f"/{stats.embedder.dim}")
    assert stats.bytes > 0
    assert stats.seq >= 4
    assert stats.schema_version >= 1


def test_export_and_import_carry_everything_over(tmp_path: Path) -> None:
    dump = tmp_path / "dump.jsonl"
    with rae.open(tmp_path / "a.rae") as mem:
        receipts = mem.remember_many(turns(30))
        mem.update(receipts[0].id, content="A new wording.")
        written = mem.export(dump)
        assert (written.memories, written.bytes) == (30, dump.stat().st_size)
        assert mem.export(str(dump)).memories == 30
        before = mem.recall("subject 5"), mem.history(receipts[0].id)
    with rae.open(tmp_path / "b.rae") as mem:
        assert mem.import_(dump).imported == 30
        assert mem.import_(dump).unchanged == 30
        after = mem.recall("subject 5"), mem.history(receipts[0].id)
        assert [h.id for h in after[0]] == [h.id for h in before[0]]
        assert [(v.version, v.content) for v in after[1]] == [
            (v.version, v.content) for v in before[1]
        ]
        foreign = tmp_path / "notes.txt"
        foreign.write_text("mine")
        with pytest.raises(rae.ConflictError):
            mem.export(foreign)
        with pytest.raises(rae.InvalidInputError):
            mem.import_(foreign)
        with pytest.raises(rae.InvalidInputError):
            mem.import_(tmp_path / "absent.jsonl")
        assert foreign.read_text() == "mine"


def test_backup_makes_a_store_of_its_own(tmp_path: Path, store: Path) -> None:
    with rae.open(store) as mem:
        mem.remember_many(turns(10))
        mem.backup(tmp_path / "copy.rae")
        mem.remember("later")
        with pytest.raises(rae.RaeError):
            mem.backup(tmp_path / "copy.rae")
    with rae.open(tmp_path / "copy.rae") as copy:
        assert copy.stats().memories == 10
        assert all(finding.level == "ok" for finding in copy.doctor())


def test_maintain_purges_what_expired(mem: rae.Rae) -> None:
    memory_id = mem.remember("Soon gone.", ttl=60).id
    assert mem.maintain().ran["expired"] == 0
    assert mem.maintain(datetime.now(timezone.utc) + timedelta(hours=1)).ran["expired"] == 1
    with pytest.raises(rae.NotFoundError):
        mem.get(memory_id)


def test_doctor_finds_a_new_store_sound(mem: rae.Rae) -> None:
    mem.remember("Sound.")
    findings = mem.doctor()
    assert {finding.level for finding in findings} == {"ok"}
    assert {finding.check for finding in findings} >= {"store", "words", "vectors"}


def test_tenants_and_projects_do_not_see_each_other(store: Path) -> None:
    with rae.open(store, tenant="a", project="p%") as mem:
        assert (mem.tenant, mem.project) == ("a", "p%")
        secret = mem.remember("The password is swordfish.").id
        other = mem.with_scope(project="p1")
        assert (other.tenant, other.project) == ("a", "p1")
        for stranger in (other, mem.with_scope(tenant="b"), mem.with_scope("A", "p%")):
            assert not stranger.recall("password swordfish")
            assert stranger.stats().memories == 0
            with pytest.raises(rae.NotFoundError):
                stranger.get(secret)
            assert stranger.forget(secret).deleted == 0
        assert mem.recall("password swordfish")[0].id == secret
        with pytest.raises(rae.InvalidInputError):
            mem.with_scope(tenant="")


def test_closing_is_final_and_may_be_repeated(store: Path) -> None:
    mem = rae.open(store)
    mem.remember("Kept.")
    other = mem.with_scope(project="other")
    assert repr(mem) == f"<rae.Rae {str(store)!r} tenant='default' project='default'>"
    mem.close()
    mem.close()
    assert "closed" in repr(mem)
    calls = [mem.stats, mem.doctor, other.stats, lambda: mem.recall("x"), lambda: mem.remember("x")]
    for call in calls:
        with pytest.raises(rae.UnavailableError) as caught:
            call()
        assert caught.value.code == "closed"
    with rae.open(store) as again:
        assert again.stats().memories == 1


def test_a_call_ends_at_its_timeout(store: Path) -> None:
    rae.open(store).close()
    with pytest.raises(rae.TimeoutError) as caught:
        rae.open(store, timeout=1e-9).recall("anything")
    assert isinstance(caught.value, TimeoutError)
