"""What the verbs return: values that compare, copy, pickle and print."""

from __future__ import annotations

import copy
import pickle
from datetime import timezone
from pathlib import Path
from typing import Any

import pytest

import rae


def every_value(mem: rae.Rae, folder: Path) -> list[Any]:
    receipt = mem.remember(
        "Ada saw a heron.", speaker="Ada", occurred_at="2024-05-01", metadata={"n": [1, 0.5]}
    )
    mem.update(receipt.id, content="Ada saw two herons.")
    other = mem.remember("A note.").id
    hits = mem.recall("herons", explain=True)
    context = mem.context("herons")
    stats = mem.stats()
    mem.remember("Ada lives in Porto.")
    mem.remember("Ada lives in Ghent.")
    report = mem.audit()
    gone = mem.forget(other)
    erased = mem.verify_erasure(gone)
    mem.session("s").log("error_event", "The tool `search` failed: timeout after 3 s")
    (*learnt,) = mem.reflect(session_id="s")
    claim = mem.get(mem.relate("Ada", "lives_in", "Porto", weight=0.5).id).claim
    return [
        receipt,
        hits,
        hits[0],
        hits[0].signals,
        hits[0].passage,
        mem.get(receipt.id),
        *mem.history(receipt.id),
        claim,
        *learnt,
        mem.list(limit=1),
        context,
        context.sources[0],
        gone,
        erased,
        *erased.places,
        stats,
        stats.jobs,
        stats.embedder,
        mem.export(folder / "dump.jsonl"),
        mem.import_(folder / "dump.jsonl"),
        mem.reembed(lambda texts: [[1.0, 2.0]] * len(texts)),
        mem.maintain(),
        *mem.doctor(),
        report,
        *report.findings,
    ]


def test_every_class_compares_copies_pickles_and_prints(mem: rae.Rae, tmp_path: Path) -> None:
    values = every_value(mem, tmp_path)
    returned = {type(value) for value in values}
    public = {
        value
        for value in vars(rae).values()
        if isinstance(value, type) and value.__module__ == "rae"
    }
    assert returned == public
    for value in values:
        for twin in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
            assert twin == value
            assert twin.to_dict() == value.to_dict()
            assert repr(twin) == repr(value)
        assert value != 5
        assert value == value
        assert repr(value).startswith(type(value).__name__ + "(")
        with pytest.raises(TypeError):
            hash(value)
        with pytest.raises(AttributeError):
            value.id = 1
        with pytest.raises(TypeError):
            type(value)()


def test_to_dict_has_every_attribute(mem: rae.Rae, tmp_path: Path) -> None:
    for value in every_value(mem, tmp_path):
        if isinstance(value, rae.Hits):
            continue
        attributes = {name for name in dir(value) if not name.startswith("_") and name != "to_dict"}
        assert attributes == set(value.to_dict())
        for name, plain in value.to_dict().items():
            attribute = getattr(value, name)
            assert plain == (attribute.to_dict() if hasattr(attribute, "to_dict") else plain)
    page = mem.list()
    assert page.to_dict() == {"items": [m.to_dict() for m in page.items], "next_cursor": None}


def test_hits_are_a_sequence() -> None:
    mem = rae.open(":memory:", _test_now="2024-01-01")
    mem.remember_many({"content": f"heron number {i}"} for i in range(5))
    hits = mem.recall("heron")
    assert len(hits) == 5
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert hits[0] == next(iter(hits))
    assert hits[-1] == list(hits)[-1] == hits[4]
    assert hits[1:3] == [hits[1], hits[2]]
    assert hits[::-1] == list(reversed(hits))
    assert hits[2] in hits
    assert "x" not in hits
    assert hits.index(hits[3]) == 3
    assert hits.count(hits[3]) == 1
    assert bool(hits)
    assert not mem.recall("heron", session_id="absent")
    match hits:
        case [first, *rest]:
            assert first == hits[0]
            assert len(rest) == 4
        case _:
            pytest.fail("hits are no sequence to match")
    for beyond in (5, -6, 10**30):
        with pytest.raises((IndexError, OverflowError)):
            hits[beyond]
    with pytest.raises(TypeError):
        hits["0"]  # type: ignore[call-overload]
    with pytest.raises(ValueError):
        hits.index(hits[0], 1)
    assert mem.recall("heron") == mem.recall("heron")
    assert hits.to_dict()["hits"][0] == hits[0].to_dict()


def test_reading_an_attribute_gives_fresh_lists_and_dicts(mem: rae.Rae) -> None:
    memory = mem.get(mem.remember("x", tags=["a"], metadata={"b": [1]}).id)
    memory.tags.append("z")
    memory.metadata["b"].append(2)
    assert memory.tags == ["a"]
    assert memory.metadata == {"b": [1]}


def test_times_are_aware_and_in_utc(mem: rae.Rae) -> None:
    memory = mem.get(mem.remember("x", occurred_at="2024-05-01T10:00:00.123456+02:00").id)
    for time in (memory.occurred_at, memory.created_at, memory.updated_at):
        assert time is not None
        assert time.tzinfo is timezone.utc
    assert memory.occurred_at is not None
    assert memory.occurred_at.isoformat() == "2024-05-01T08:00:00.123456+00:00"


def test_a_long_text_is_cut_in_a_repr_only(mem: rae.Rae) -> None:
    memory = mem.get(mem.remember("wörd " * 1000).id)
    assert len(repr(memory)) < 400
    assert len(memory.content) == 5000


def test_a_year_that_datetime_does_not_have_is_said_and_not_changed(store: Path) -> None:
    with rae.open(store) as mem:
        memory_id = mem.remember("Rome was founded.", occurred_at="0001-01-01").id
        mem.export(store.parent / "dump.jsonl")
    dump = store.parent / "dump.jsonl"
    dump.write_text(dump.read_text().replace('"0001-01-01T00:00:00Z"', '"-000752-04-21T00:00:00Z"'))
    with rae.open(":memory:") as mem:
        mem.import_(dump)
        memory = mem.get(memory_id)
        assert memory.content == "Rome was founded."
        assert "-000752-04-21" in repr(memory)
        with pytest.raises(rae.UnsupportedError) as caught:
            _ = memory.occurred_at
        assert caught.value.code == "year_out_of_range"


def test_the_error_table_has_a_class_for_every_kind() -> None:
    from rae import _rae

    table = _rae._error_table()
    assert len(table) >= 13
    for kind, name, _retry in table:
        error_class = getattr(rae, name)
        assert issubclass(error_class, rae.RaeError)
        assert name in rae.__all__
        error = error_class("what happened", kind=kind, details={"a": 1}, retry_after=1.5)
        assert str(error) == "what happened"
        assert (error.kind, error.code, error.details, error.retry_after) == (
            kind,
            kind,
            {"a": 1},
            1.5,
        )
        twin = pickle.loads(pickle.dumps(error))
        assert (str(twin), twin.kind, twin.code, twin.details) == (
            "what happened",
            kind,
            kind,
            {"a": 1},
        )
    named = {name for _, name, _ in table}
    classes = {
        n for n, v in vars(rae).items() if isinstance(v, type) and issubclass(v, rae.RaeError)
    }
    assert classes == named | {"RaeError"}
    assert issubclass(rae.InvalidInputError, ValueError)
    assert issubclass(rae.NotFoundError, KeyError)
    assert issubclass(rae.TimeoutError, TimeoutError)


def test_a_panic_of_the_engine_is_an_internal_error(capfd: pytest.CaptureFixture[str]) -> None:
    from rae import _rae

    with pytest.raises(rae.InternalError) as caught:
        _rae._test_panic()
    assert caught.value.code == "panic"
    assert "on purpose" in str(caught.value)
    assert "on purpose" in capfd.readouterr().err
