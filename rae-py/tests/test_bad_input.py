"""Bad input: one clear typed error, or a sensible answer, and nothing half-written."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

import rae

MIB = 1 << 20
NOWHERE = "0190a0a0-0000-7000-8000-000000000000"


def refused(call: Callable[[], object], *words: str) -> rae.InvalidInputError:
    with pytest.raises(rae.InvalidInputError) as caught:
        call()
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.kind == "invalid_input"
    for word in words:
        assert word in str(error)
    return error


@pytest.mark.parametrize("content", ["", " ", "\n\t\u2003 "])
def test_empty_content_is_refused(mem: rae.Rae, content: str) -> None:
    assert refused(lambda: mem.remember(content), "content").code == "content_empty"


def test_content_of_one_mebibyte_is_kept_whole_and_more_is_refused(mem: rae.Rae) -> None:
    text = ("All work and no play makes Jack a dull boy. " * 25_000)[: MIB - 1] + "."
    assert len(text.encode()) == MIB
    receipt = mem.remember(text)
    assert mem.get(receipt.id).content == text
    hit = mem.recall("dull boy")[0]
    assert hit.content == text
    assert 0 <= hit.passage.start < hit.passage.end <= len(text)
    for too_long in (text + "x", "é" * (MIB // 2) + "x", "a" * (100 * MIB)):
        error = refused(lambda text=too_long: mem.remember(text), "1 MiB")
        assert error.code == "content_too_long"
    assert mem.stats().memories == 1


@pytest.mark.parametrize(
    "text",
    [
        "zero \0 byte",
        "smile 🙂 family 👩‍👩‍👧‍👦 flag 🇺🇦",
        "שלום עולם מימין לשמאל",
        "مرحبا بالعالم",
        "我昨天在北京吃了烤鸭",
        "東京タワーに登りました",
        "สวัสดีชาวโลก",
        "e\u0301clair\u200d\u202e reversed",
        "\x7f\x1b[31m control",
        "zqxv wkjh pfft",
        "𝕬𝖗𝖙 \U0010ffff",
        "🙂",
        "!?.,",
        "😀" * 1000,
        "a" * 10_000,
    ],
)
def test_text_of_any_kind_is_kept_and_found(mem: rae.Rae, text: str) -> None:
    mem.remember("Something else entirely, about boats.")
    receipt = mem.remember(text)
    assert mem.get(receipt.id).content == text
    hits = mem.recall(text[:1000])
    assert isinstance(hits, rae.Hits)
    if any(c.isalnum() for c in text):
        assert receipt.id in [hit.id for hit in hits]
    assert mem.context(text[:1000]).token_count >= 0


@pytest.mark.parametrize("text", ["\ud800", "tail \udfff", "\udc80byte"])
def test_lone_surrogates_are_refused_wherever_text_goes(mem: rae.Rae, text: str) -> None:
    memory_id = mem.remember("x").id
    calls: list[Callable[[], object]] = [
        lambda: mem.remember(text),
        lambda: mem.remember("x", speaker=text),
        lambda: mem.remember("x", tags=[text]),
        lambda: mem.remember("x", metadata={"a": [text]}),
        lambda: mem.remember("x", metadata={text: 1}),
        lambda: mem.remember("x", occurred_at=text),
        lambda: mem.remember("x", kind=text),  # type: ignore[arg-type]
        lambda: mem.remember_many([{"content": text}]),
        lambda: mem.remember_many([{text: "x"}]),
        lambda: mem.recall(text),
        lambda: mem.recall("x", filter={"speaker": text}),
        lambda: mem.context(text),
        lambda: mem.get(text),
        lambda: mem.list(cursor=text),
        lambda: mem.update(memory_id, content=text),
        lambda: mem.forget(scope="session", target=text),
        lambda: mem.with_scope(tenant=text),
        lambda: rae.open(":memory:", project=text),
    ]
    for call in calls:
        refused(call)
    refused(lambda: rae.open("\ud800"), "path")
    assert mem.stats().memories == 1


@pytest.mark.parametrize("k", [-1, 0, 1001, 10**9, 10**30, -(10**30), 2**63])
def test_k_out_of_range_is_refused(mem: rae.Rae, k: int) -> None:
    refused(lambda: mem.recall("x", k=k), "k must be a whole number from 1 to 1000")


@pytest.mark.parametrize("k", [True, False, 1.5, 1.0, "5", None, [], Decimal(3), math.nan])
def test_k_of_another_type_is_refused(mem: rae.Rae, k: Any) -> None:
    refused(lambda: mem.recall("x", k=k), "k must be a whole number", type(k).__name__)


def test_limits_and_budgets_out_of_range_are_refused(mem: rae.Rae) -> None:
    for n in (-1, 0, 10**9, 10**30, True, 1.5, None):
        bad: Any = n
        refused(lambda: mem.list(limit=bad), "limit")
        refused(lambda: mem.context("x", max_tokens=bad), "max_tokens")
        if n is not None:
            refused(lambda: mem.recall("x", max_tokens=bad), "max_tokens")
    for score in (-0.1, 1.1, math.nan, math.inf, 10**400, True, "1"):
        bad = score
        refused(lambda: mem.recall("x", min_score=bad), "min_score")
        refused(lambda: mem.remember("x", importance=bad), "importance")
        refused(lambda: mem.remember("x", confidence=bad), "confidence")
    for ttl in (
        0,
        -1,
        10**12,
        10**400,
        math.nan,
        math.inf,
        True,
        "60",
        timedelta(0),
        timedelta(days=-1),
    ):
        bad = ttl
        refused(lambda: mem.remember("x", ttl=bad), "ttl")


@pytest.mark.parametrize(
    "field",
    [
        "content",
        "kind",
        "layer",
        "role",
        "speaker",
        "session_id",
        "source",
        "trust_level",
        "info_class",
        "agent_id",
        "user_id",
        "idempotency_key",
    ],
)
def test_text_fields_of_another_type_are_refused_by_name(mem: rae.Rae, field: str) -> None:
    for value in (1, b"bytes", ["list"], object(), 1.5, True):
        item: dict[str, Any] = {"content": "x", field: value}
        refused(lambda: mem.remember(**item), field, type(value).__name__)
        refused(lambda: mem.remember_many([item]), field, "item 0")


@pytest.mark.parametrize(
    "field", ["speaker", "session_id", "role", "source", "agent_id", "user_id"]
)
def test_names_are_bounded_and_not_empty(mem: rae.Rae, field: str) -> None:
    for value in ("", "  ", "x" * 257, "new\nline", "nul\0"):
        item: dict[str, Any] = {"content": "x", field: value}
        refused(lambda: mem.remember(**item), field)
        assert refused(lambda: mem.remember_many([{"content": "ok"}, item])).details == {"item": 1}
    assert mem.stats().memories == 0


def test_tags_are_a_list_of_str(mem: rae.Rae) -> None:
    for tags in ("pets", b"pets", {"a": 1}, 5, [1], [None], [["a"]], ["x" * 129], [""]):
        bad: Any = tags
        refused(lambda: mem.remember("x", tags=bad))
        refused(lambda: mem.recall("x", tags=bad))
        refused(lambda: mem.list(tags=bad))
    refused(lambda: mem.remember("x", tags=[str(i) for i in range(65)]), "64")
    refused(lambda: mem.remember("x", tags=(str(i) for i in iter(int, 1))), "tags")
    for layers in ("episodic", ["nowhere"], [1]):
        bad = layers
        refused(lambda: mem.recall("x", layers=bad), "layer")
    refused(lambda: mem.recall("x", kinds=["note"]), "kind must be one of")


def test_metadata_is_a_bounded_json_object(mem: rae.Rae) -> None:
    cycle: dict[str, Any] = {}
    cycle["again"] = cycle
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    wide: Any = "leaf"
    for _ in range(16):
        wide = [wide] * 10  # small in memory, 10^16 leaves as JSON
    bad: list[Any] = [
        [],
        "text",
        1,
        {1: "x"},
        {None: 1},
        {"a": {1, 2}},
        {"a": object()},
        {"a": b"x"},
        {"a": datetime.now(timezone.utc)},
        {"a": math.nan},
        {"a": [math.inf]},
        {"a": 2**64},
        {"a": -(2**63) - 1},
        {"a": {"b": {"c": deep}}},
        {"a": wide},
        {"a": "x" * 70_000},
        {"x" * 70_000: 1},
        cycle,
    ]
    for metadata in bad:
        refused(lambda metadata=metadata: mem.remember("x", metadata=metadata), "metadata")
        refused(
            lambda metadata=metadata: mem.remember_many([{"content": "x", "metadata": metadata}])
        )
    numbers = {
        "i": [2**63, -(2**63), 2**64 - 1, 0],
        "f": [0.1 + 0.2, 1e308, 5e-324, -0.0, 2.0],
        "b": [True, False],
    }
    back = mem.get(mem.remember("numbers", metadata=numbers).id).metadata
    assert back == numbers
    assert [type(n) for n in back["b"]] == [bool, bool]
    assert [type(n) for n in back["f"]] == [float] * 5
    assert [type(n) for n in back["i"]] == [int] * 4
    back["i"] = None
    assert mem.list().items[0].metadata == numbers


def test_times_out_of_range_or_shape_are_refused(mem: rae.Rae) -> None:
    bad: list[Any] = [
        "yesterday",
        "",
        "2023-02-30",
        "2023-13-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-000001-01-01T00:00:00Z",
        "0000-12-31",
        "1700000000",
        1_700_000_000,
        1.5,
        True,
        b"2023-01-01",
        timedelta(days=1),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ]
    for time in bad:
        for call in (
            lambda time=time: mem.remember("x", occurred_at=time),
            lambda time=time: mem.remember("x", valid_from=time),
            lambda time=time: mem.recall("x", since=time),
            lambda time=time: mem.recall("x", as_of=time),
            lambda time=time: mem.maintain(now=time),
        ):
            refused(call)
    refused(lambda: mem.remember("x", occurred_at="never"), "occurred_at")
    refused(lambda: mem.remember("x", valid_from="2024-01-02", valid_to="2024-01-01"), "valid_to")
    refused(lambda: mem.recall("x", since="2024-01-02", until="2024-01-01"), "until")
    for extreme in (
        datetime(1, 1, 1),
        datetime(9999, 12, 30),
        datetime(1, 1, 1, tzinfo=timezone.utc),
    ):
        memory = mem.get(mem.remember(f"At {extreme}", occurred_at=extreme).id)
        assert memory.occurred_at == extreme.replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "filter",
    [
        [],
        "speaker",
        1,
        True,
        {"unknown": 1},
        {"speaker": {"like": "x"}},
        {"speaker": {}},
        {"speaker": 1},
        {"speaker": ["a"]},
        {"speaker": {"in": "a"}},
        {"importance": "high"},
        {"importance": {"gt": math.nan}},
        {"created_at": "soon"},
        {"created_at": 5},
        {"and": []},
        {"or": {}},
        {"not": []},
        {"and": [1]},
        {1: 2},
        {"metadata.": 1},
        {"metadata.a": {"eq": object()}},
        {"metadata.a": {1, object()}},
        {"created_at": {"gt": {1}}},
        {"session_id": {"in": [str(i) for i in range(65)]}},
    ],
)
def test_filters_of_the_wrong_shape_are_refused(mem: rae.Rae, filter: Any) -> None:
    mem.remember("x")
    refused(lambda: mem.recall("x", filter=filter))
    refused(lambda: mem.list(filter=filter))
    refused(lambda: mem.forget(filter=filter))
    assert mem.stats().memories == 1


def test_a_filter_that_holds_itself_or_nests_without_end_is_refused(mem: rae.Rae) -> None:
    cycle: dict[str, Any] = {}
    cycle["not"] = cycle
    deep: dict[str, Any] = {"speaker": "x"}
    for _ in range(50_000):
        deep = {"not": deep}
    for endless in (cycle, deep, {"metadata.a": "x" * 10_000_000}):
        refused(lambda: mem.recall("x", filter=endless), "filter")


def test_queries_are_bounded_text(mem: rae.Rae) -> None:
    for query in ("", "  ", "x" * 70_000):
        refused(lambda query=query: mem.recall(query), "query")
        refused(lambda query=query: mem.context(query), "query")
    for query in (None, 1, b"x", ["x"]):
        bad: Any = query
        refused(lambda: mem.recall(bad), "query")
    assert len(mem.recall("nothing is here")) == 0


def test_ids_that_are_none_are_refused(mem: rae.Rae) -> None:
    for bad in ("", "nope", "0190a0a0", NOWHERE + "0", None, 5, b"x", ["x"]):
        value: Any = bad
        refused(lambda: mem.get(value), "id")
        refused(lambda: mem.history(value), "id")
        refused(lambda: mem.update(value, content="x"), "id")
        refused(lambda: mem.feedback(value, useful=True), "id")
        if bad is not None:
            refused(lambda: mem.forget(value), "id")
    for useful in (1, None, "yes"):
        bad_flag: Any = useful
        refused(lambda: mem.feedback(NOWHERE, bad_flag), "useful")
    refused(lambda: mem.list(cursor="next"), "cursor")
    refused(lambda: mem.update(NOWHERE, content="x", superseded_by="nope"), "id")
    for version in (0, -1, 2**32, 1.5, True):
        refused(lambda version=version: mem.update(NOWHERE, content="x", expected_version=version))


def test_items_that_are_no_memories_are_refused_whole(mem: rae.Rae) -> None:
    cases: list[tuple[Any, str]] = [
        ("text", "items"),
        (b"bytes", "items"),
        ({"content": "x"}, "items"),
        (5, "items"),
        (None, "items"),
        ([{"content": "ok"}, "text"], "item 1"),
        ([{"content": "ok"}, None], "item 1"),
        ([{"content": "ok"}, ("content", "x")], "item 1"),
        ([{"content": "ok"}, {}], "content is missing"),
        ([{"content": "ok"}, {"content": None}], "content is missing"),
        ([{"content": "ok"}, {"content": "x", "contents": 1}], '"contents"'),
        ([{"content": "ok"}, {"content": "x", "contents": None}], '"contents"'),
        ([{"content": "ok"}, {"content": "x", 1: 2}], "field names"),
        ([{"content": "ok"}, {"content": ""}], "item 1"),
        ([{"content": "ok"}, {"content": "x" * (MIB + 1)}], "item 1"),
        ([{"content": "ok"}] * 100_001, "100000"),
        (({"content": "ok"} for _ in iter(int, 1)), "100000"),
    ]
    for items, words in cases:
        refused(lambda items=items: mem.remember_many(items), words)
    assert mem.stats().memories == 0


def test_an_exception_of_the_callers_iterable_goes_on_unchanged(mem: rae.Rae) -> None:
    def broken() -> Any:
        yield {"content": "x"}
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        mem.remember_many(broken())
    assert mem.stats().memories == 0


def test_flags_and_options_of_open_are_checked() -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"tenant": ""}, "tenant"),
        ({"tenant": "x" * 257}, "tenant"),
        ({"tenant": None}, "tenant"),
        ({"project": "a\0b"}, "project"),
        ({"project": 5}, "project"),
        ({"durability": "maybe"}, "durability"),
        ({"durability": None}, "durability"),
        ({"reembed": 1}, "reembed"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": math.nan}, "timeout"),
        ({"timeout": math.inf}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"embedder": 5}, "embedder"),
    ]
    for options, word in bad:
        refused(lambda options=options: rae.open(":memory:", **options), word)
    with rae.open(":memory:", durability="normal", timeout=timedelta(minutes=1)) as mem:
        for flag in ("infer", "explain", "rerank"):
            refused(
                lambda flag=flag: (
                    mem.remember("x", infer="no")
                    if flag == "infer"
                    else mem.recall("x", **{flag: 1})
                ),
                flag,
            )


def test_numpy_scalars_are_numbers(mem: rae.Rae) -> None:
    numpy = pytest.importorskip("numpy")
    memory = mem.get(mem.remember("x", importance=numpy.float32(0.5), ttl=numpy.int64(60)).id)
    assert memory.importance == 0.5
    assert len(mem.recall("x", k=numpy.int32(3))) == 1
    refused(lambda: mem.recall("x", k=numpy.float64(3)), "k")
