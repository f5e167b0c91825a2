"""Embedders of the caller's own."""

from __future__ import annotations

import functools
import gc
import math
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rae

VOWELS = "aeiou"


def vowels(texts: list[str]) -> list[list[float]]:
    """A poor embedder, but a deterministic one."""
    return [[1.0 + text.lower().count(v) for v in VOWELS] for text in texts]


class Model:
    def __call__(self, texts: list[str]) -> list[list[float]]:
        return vowels(texts)

    def method(self, texts: list[str]) -> list[list[float]]:
        return vowels(texts)


def check(embedder: Any) -> rae.Stats:
    with rae.open(":memory:", embedder=embedder) as mem:
        mem.remember_many([{"content": "aaa"}, {"content": "eee uuu"}, {"content": "iii"}])
        hits = mem.recall("uuu eee")
        assert hits[0].content == "eee uuu"
        assert hits[0].signals.dense == pytest.approx(1.0)
        assert hits.degraded == []
        return mem.stats()


def test_a_function_embeds_and_is_named_by_its_qualified_name() -> None:
    stats = check(vowels)
    assert stats.vectors == 3
    assert (stats.embedder.id, stats.embedder.dim) == (f"python:{__name__}.vowels/5", 5)


def test_other_callables_have_names_too() -> None:
    assert check(Model()).embedder.id == f"python:{__name__}.Model/5"
    assert check(Model().method).embedder.id == f"python:{__name__}.Model.method/5"
    assert check(functools.partial(vowels)).embedder.id == f"python:{__name__}.vowels/5"
    assert check(lambda texts: vowels(texts)).embedder.id.endswith("<lambda>/5")


def test_rae_id_is_the_id() -> None:
    model = Model()
    model.rae_id = "vowels@2/5"  # type: ignore[attr-defined]
    assert check(model).embedder.id == "vowels@2/5"
    for bad in ("", 5, "x" * 300, "\ud800"):
        model.rae_id = bad  # type: ignore[attr-defined]
        with pytest.raises(rae.InvalidInputError, match="rae_id"):
            rae.open(":memory:", embedder=model)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int64"])
@pytest.mark.parametrize("shape", ["matrix", "rows", "fortran", "slice"])
def test_numpy_arrays_are_vectors(dtype: str, shape: str) -> None:
    numpy = pytest.importorskip("numpy")

    def embed(texts: list[str]) -> Any:
        matrix = numpy.array(vowels(texts), dtype=dtype)
        if shape == "rows":
            return list(matrix)
        if shape == "fortran":
            return numpy.asfortranarray(matrix)
        if shape == "slice":
            return numpy.repeat(matrix, 2, axis=1)[:, ::2]
        return matrix

    check(embed)


def test_other_shapes_of_vectors_work() -> None:
    check(lambda texts: tuple(map(tuple, vowels(texts))))
    check(lambda texts: (row for row in vowels(texts)))
    check(lambda texts: [map(int, row) for row in vowels(texts)])


def test_none_and_zeros_are_no_vector() -> None:
    def embed(texts: list[str]) -> list[Any]:
        return [None if "none" in t else [0.0, 0.0] if "zero" in t else [1.0, 2.0] for t in texts]

    with rae.open(":memory:", embedder=embed) as mem:
        mem.remember_many([{"content": c} for c in ("none lantern", "zero lantern", "one lantern")])
        assert mem.stats().vectors == 1
        assert len(mem.recall("lantern")) == 3
        assert len(mem.recall("none")) >= 1
        assert mem.maintain().ran["embedded"] == 0


class Switch:
    """Gives good vectors until it is told something else."""

    rae_id = "switch/2"

    def __init__(self) -> None:
        self.answer: Callable[[list[str]], Any] = lambda texts: [[1.0, 0.5]] * len(texts)

    def __call__(self, texts: list[str]) -> Any:
        return self.answer(texts)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda texts: [[math.nan, 1.0]] * len(texts), "vector_not_finite"),
        (lambda texts: [[math.inf, 1.0]] * len(texts), "vector_not_finite"),
        (lambda texts: [[1e300, 1.0]] * len(texts), "vector_not_finite"),
        (lambda texts: [[1.0]] * len(texts), "wrong_dimension"),
        (lambda texts: [[1.0, 2.0, 3.0]] * len(texts), "wrong_dimension"),
        (lambda texts: [[]] * len(texts), "wrong_dimension"),
        (lambda texts: [[1.0] * 5000] * len(texts), "embedder_output"),
        (lambda texts: [], "embedder_output"),
        (lambda texts: [[1.0, 2.0]] * (len(texts) + 1), "embedder_output"),
        (lambda texts: None, "embedder_output"),
        (lambda texts: "vectors", "embedder_output"),
        (lambda texts: ["ab"] * len(texts), "embedder_output"),
        (lambda texts: [[[1.0, 2.0]]] * len(texts), "embedder_output"),
        (lambda texts: [["a", "b"]] * len(texts), "embedder_output"),
        (lambda texts: [1.0] * len(texts), "embedder_output"),
        (lambda texts: b"bytes", "embedder_output"),
    ],
)
def test_vectors_that_are_none_are_refused_and_nothing_is_written(answer: Any, code: str) -> None:
    model = Switch()
    with rae.open(":memory:", embedder=model) as mem:
        mem.remember("Good.")
        model.answer = answer
        with pytest.raises(rae.InvalidInputError) as caught:
            mem.remember("Bad.")
        assert caught.value.code == code
        assert mem.stats().memories == 1
        hits = mem.recall("good")
        assert hits.degraded == ["dense"]
        assert hits[0].content == "Good."


def test_a_numpy_array_with_nan_or_of_one_dimension_is_refused() -> None:
    numpy = pytest.importorskip("numpy")
    model = Switch()
    with rae.open(":memory:", embedder=model) as mem:
        for bad in (
            numpy.array([[numpy.nan, 1]]),
            numpy.array([1.0, 2.0]),
            numpy.zeros((1, 1, 2)),
            numpy.array([["a", "b"]]),
        ):
            model.answer = lambda texts: bad
            with pytest.raises(rae.InvalidInputError):
                mem.remember("Bad.")
        assert mem.stats().memories == 0


def test_an_embedder_that_fails_at_open_says_why() -> None:
    def broken(texts: list[str]) -> Any:
        raise ConnectionError("no route to the model")

    with pytest.raises(rae.UnavailableError, match="the embedder raised ConnectionError") as caught:
        rae.open(":memory:", embedder=broken)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert "no route" not in str(caught.value)  # a provider's message may quote what it was given

    async def asynchronous(texts: list[str]) -> Any:
        return vowels(texts)

    with pytest.raises(rae.InvalidInputError, match="plain function"):
        rae.open(":memory:", embedder=asynchronous)
    for shape in (lambda texts: [[]], lambda texts: [None], lambda texts: [[1.0] * 5000]):
        with pytest.raises(rae.InvalidInputError):
            rae.open(":memory:", embedder=shape)


def test_an_embedder_that_fails_later_costs_the_vector_and_not_the_memory() -> None:
    def raises(texts: list[str]) -> Any:
        raise ConnectionError("down")

    model = Switch()
    with rae.open(":memory:", embedder=model, _test_now="2024-01-01") as mem:
        working = model.answer
        model.answer = raises
        receipt = mem.remember("The lamp is green.")
        assert receipt.degraded == ["dense"]
        assert mem.stats().jobs.queued == 1
        hits = mem.recall("green lamp")
        assert (hits.degraded, hits[0].id) == (["dense"], receipt.id)
        with pytest.raises(rae.UnavailableError) as caught:
            mem.reembed(Switch2())
        assert isinstance(caught.value.__cause__, ConnectionError)
        model.answer = working
        assert mem.maintain().ran["embedded"] == 1
        assert (mem.stats().vectors, mem.stats().jobs.queued) == (1, 0)


def test_a_job_that_failed_for_good_is_listed_with_the_reason_and_requeued() -> None:
    def raises(texts: list[str]) -> Any:
        raise ConnectionError("down")

    model = Switch()
    with rae.open(":memory:", embedder=model, _test_now="2024-01-01") as mem:
        working = model.answer
        model.answer = raises
        mem.remember("The lamp is green.")
        waiting = mem.jobs().items[0]
        assert (waiting.kind, waiting.state, waiting.last_error) == ("embed", "queued", None)
        for _ in range(8):
            mem._native.test_advance(7_200)
            mem.maintain()
        dead = mem.jobs(state="dead").items[0]
        assert (dead.id, dead.attempts, mem.jobs(state="queued").items) == (waiting.id, 5, [])
        assert dead.last_error
        model.answer = working
        with pytest.raises(rae.NotFoundError) as caught:
            mem.requeue_job("019b76da-a800-7f8b-b8ba-e301f1cd0878")
        assert caught.value.code == "job_not_found"
        mem.requeue_job(dead.id)
        assert mem.maintain().ran["embedded"] == 1
        assert (mem.jobs().items, mem.stats().vectors) == ([], 1)


class Switch2(Switch):
    """Good for the probe, and broken after it."""

    rae_id = "switch2/2"

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def __call__(self, texts: list[str]) -> Any:
        self._calls += 1
        if self._calls > 1:
            raise ConnectionError("gone")
        return [[1.0, 2.0]] * len(texts)


def test_a_keyboard_interrupt_inside_the_embedder_ends_the_call() -> None:
    def interrupted(texts: list[str]) -> Any:
        raise KeyboardInterrupt

    model = Switch()
    with rae.open(":memory:", embedder=model) as mem:
        model.answer = interrupted
        for call in (lambda: mem.remember("x"), lambda: mem.recall("x")):
            with pytest.raises(KeyboardInterrupt):
                call()
        assert mem.stats().memories == 0
    with pytest.raises(KeyboardInterrupt):
        rae.open(":memory:", embedder=interrupted)


def test_an_embedder_may_use_the_store_it_serves() -> None:
    model = Switch()
    with rae.open(":memory:", embedder=model) as mem:
        mem.remember("First.")

        def nested(texts: list[str]) -> Any:
            mem.stats()
            return [[1.0, 2.0]] * len(texts)

        model.answer = nested
        mem.remember("Second.")
        assert len(mem.recall("second first")) == 2


def test_an_agent_that_embeds_for_its_own_store_is_collected_after_close() -> None:
    class Agent:
        def __init__(self) -> None:
            self.mem = rae.open(":memory:", embedder=self.embed)

        def embed(self, texts: list[str]) -> list[list[float]]:
            return vowels(texts)

    agent = Agent()
    agent.mem.remember("aaa")
    agent.mem.reembed(agent.embed)
    gone = weakref.ref(agent)
    agent.mem.close()
    del agent
    gc.collect()
    assert gone() is None


def test_threads_may_share_a_slow_embedder() -> None:
    def embed(texts: list[str]) -> Any:
        threading.Event().wait(0.001)
        return vowels(texts)

    with rae.open(":memory:", embedder=embed) as mem:

        def work(n: int) -> None:
            for i in range(20):
                mem.remember(f"thread {n} note {i}")
                mem.recall("note")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert (mem.stats().memories, mem.stats().vectors) == (120, 120)


def test_a_store_refuses_another_embedder_and_names_reembed(store: Path) -> None:
    with rae.open(store) as mem:
        mem.remember("uuu eee")
        built_in = mem.stats().embedder.id
    with pytest.raises(rae.ConflictError, match="reembed") as caught:
        rae.open(store, embedder=vowels)
    assert caught.value.code == "embedder_mismatch"
    assert caught.value.details == {"stored": built_in, "given": f"python:{__name__}.vowels/5"}
    with rae.open(store, embedder=vowels, reembed=True) as mem:
        assert mem.stats().embedder.dim == 5
        assert mem.recall("eee uuu")[0].signals.dense == pytest.approx(1.0)
        done = mem.reembed(None)
        assert (done.from_, done.to, done.vectors) == (f"python:{__name__}.vowels/5", built_in, 1)
    rae.open(store).close()


def test_providers_and_folders_say_what_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name in (
        "openai:text-embedding-3-small",
        "nobody:model@8",
        "openai:",
        "openai:text-embedding-3-small@x",
    ):
        with pytest.raises(rae.InvalidInputError, match="provider") as caught:
            rae.open(":memory:", embedder=name)
        assert caught.value.code == "embedder_provider"
    for folder in (str(tmp_path), tmp_path, tmp_path / "absent"):
        with pytest.raises(rae.RaeError):
            rae.open(":memory:", embedder=folder)
    with rae.open(":memory:") as mem, pytest.raises(rae.RaeError):
        mem.reembed("openai:text-embedding-3-small")


def test_numpy_is_not_imported(python: Any) -> None:
    code = """
        import sys, rae
        with rae.open(":memory:", embedder=lambda texts: [[1.0, 2.0]] * len(texts)) as mem:
            mem.remember("x"); mem.recall("x")
        print(sorted({"numpy", "asyncio"} & set(sys.modules)))
    """
    assert python.run(code) == "[]"
