"""`embed` and `vector`: numpy arrays, where numpy is there."""

from __future__ import annotations

from typing import Any

import pytest

import rae

NOWHERE = "0190a0a0-0000-7000-8000-000000000000"


def test_texts_become_rows_of_unit_length(mem: rae.Rae) -> None:
    numpy = pytest.importorskip("numpy")
    rows = mem.embed(["A dog barked.", "", "zzqqxxy", "A puppy barked."])
    assert (rows.shape, rows.dtype) == ((4, mem.stats().embedder.dim), numpy.float32)
    lengths = numpy.linalg.norm(rows, axis=1)
    assert lengths == pytest.approx([1, 0, lengths[2], 1], abs=1e-5)
    assert rows[0] @ rows[3] > 0.5
    rows[0] = 0  # it belongs to the caller
    assert mem.embed([]).shape == (0, 128)
    assert mem.embed(iter(["x", "y"]), role="query").shape == (2, 128)
    assert mem.embed(["dog"] * 1000).shape == (1000, 128)


def test_a_memory_has_the_vector_of_its_text(mem: rae.Rae) -> None:
    numpy = pytest.importorskip("numpy")
    memory_id = mem.remember("A dog barked.").id
    vector = mem.vector(memory_id)
    assert vector is not None
    assert (vector.shape, vector.dtype) == ((128,), numpy.float32)
    assert (vector == mem.embed(["A dog barked."])[0]).all()
    question = mem.embed(["Which animal made a noise?"], role="query")[0]
    hit = mem.recall("Which animal made a noise?")[0]
    assert hit.signals.dense == pytest.approx(float(vector @ question), abs=1e-5)
    with pytest.raises(rae.NotFoundError):
        mem.vector(NOWHERE)


def test_vectors_of_an_own_embedder_are_scaled_and_none_is_zeros() -> None:
    numpy = pytest.importorskip("numpy")

    def embed(texts: list[str]) -> list[list[float] | None]:
        return [None if "none" in text else [3.0, 4.0] for text in texts]

    with rae.open(":memory:", embedder=embed) as mem:
        rows = mem.embed(["none", "some", " "])
        assert rows == pytest.approx(numpy.array([[0, 0], [0.6, 0.8], [0, 0]]))
        assert mem.embed(["none"]).shape == (1, 2)
        assert mem.vector(mem.remember("none").id) is None
        assert mem.vector(mem.remember("some").id) == pytest.approx([0.6, 0.8])


def test_an_embedder_that_fails_is_unavailable_with_its_cause() -> None:
    pytest.importorskip("numpy")
    calls: list[int] = []

    def embed(texts: list[str]) -> list[list[float]]:
        calls.append(len(texts))
        if len(calls) > 1:
            raise ConnectionError("down")
        return [[1.0, 2.0]] * len(texts)

    with rae.open(":memory:", embedder=embed) as mem:
        with pytest.raises(rae.UnavailableError) as caught:
            mem.embed(["x"])
        assert isinstance(caught.value.__cause__, ConnectionError)


def test_what_is_too_much_or_no_text_is_refused(mem: rae.Rae) -> None:
    pytest.importorskip("numpy")
    bad: Any
    for bad, code in (
        (["x"] * 1001, "too_many_texts"),
        (["fine", "x" * (2**20 + 1)], "text_too_long"),
    ):
        with pytest.raises(rae.InvalidInputError) as caught:
            mem.embed(bad)
        assert caught.value.code == code
    for bad in ("text", b"text", [5], None, {"a": 1}, ["\ud800"]):
        with pytest.raises(rae.InvalidInputError, match="texts"):
            mem.embed(bad)
    for bad in ("question", None, 5, "Document"):
        with pytest.raises(rae.InvalidInputError, match="role"):
            mem.embed(["x"], role=bad)
    with pytest.raises(rae.InvalidInputError):
        mem.vector("no id")


def test_without_numpy_the_error_says_what_to_install(python: Any) -> None:
    code = """
        import sys, typing
        sys.modules["numpy"] = None
        import rae
        with rae.open(":memory:") as mem:
            memory_id = mem.remember("A dog barked.").id
            for call in (lambda: mem.embed(["x"]), lambda: mem.vector(memory_id)):
                try:
                    call()
                except rae.UnsupportedError as error:
                    assert error.code == "numpy_missing"
                    print(error)
            assert len(mem.recall("dog")) == 1 and mem.audit().checked == 1
        typing.get_type_hints(rae.Rae.embed)
    """
    out = python.run(code).splitlines()
    assert out == [
        f"{verb} gives numpy arrays and numpy is not installed: pip install numpy"
        for verb in ("embed", "vector")
    ]


def test_numpy_is_imported_by_these_verbs_alone(python: Any) -> None:
    pytest.importorskip("numpy")
    code = """
        import sys, rae
        with rae.open(":memory:") as mem:
            mem.remember("x"); mem.recall("x"); mem.audit()
            before = "numpy" in sys.modules
            mem.embed(["x"])
            print(before, "numpy" in sys.modules)
    """
    assert python.run(code) == "False True"
