"""Judging recall on questions of the user's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import rae

QUESTIONS: list[rae.Question] = [
    {"query": "When does the ferry leave?", "relevant": [{"text": "at TEN"}]},
    {"query": "Which pet has Ada?", "relevant": [{"text": "puppy"}]},
    {"query": "Who sank it?", "relevant": [{"text": "a pirate"}]},
]


@pytest.fixture
def mem() -> Iterator[rae.Rae]:
    with rae.open(":memory:") as store:
        store.remember_many(
            {"content": text}
            for text in ("The ferry leaves at ten.", "Ada adopted a puppy.", "The oven is blue.")
        )
        yield store


def test_a_run_says_which_labels_were_met_and_where(mem: rae.Rae) -> None:
    run = mem.evaluate(QUESTIONS, k=2)
    assert [answered.ranks for answered in run.questions] == [[1], [1], [None]]
    assert run.metrics == rae.Metrics(recall=2 / 3, mrr=2 / 3, ndcg=2 / 3, hit_rate=2 / 3)
    assert (run.k, run.memories, run.options) == (2, 3, {})
    assert "Who sank it?" in run.report
    facts = mem.evaluate(iter(QUESTIONS), options={"kinds": ["fact"]})
    assert (facts.metrics.recall, facts.options, facts.k) == (0, {"kinds": ["fact"]}, 10)


def test_two_runs_are_compared_also_as_dicts(mem: rae.Rae) -> None:
    a, b = mem.evaluate(QUESTIONS), mem.evaluate(QUESTIONS, options={"kinds": ["fact"]})
    found = mem.compare_evaluations(a, b)
    assert found == mem.compare_evaluations(a.to_dict(), b)
    assert [metric.metric for metric in found.metrics] == ["recall", "mrr", "ndcg", "hit_rate"]
    assert (found.questions, len(found.lost), found.gained) == (3, 2, [])
    assert not any(metric.significant for metric in found.metrics), "three questions show nothing"
    with pytest.raises(rae.InvalidInputError, match="one k"):
        mem.compare_evaluations(a, mem.evaluate(QUESTIONS, k=3))


def test_a_stored_set_is_run_and_its_drift_told(mem: rae.Rae) -> None:
    mem.set_questions("ferries", QUESTIONS)
    assert [(s.name, len(s.questions)) for s in mem.question_sets()] == [("ferries", 3)]
    assert mem.run_questions("ferries").drift is None
    (ferry,) = mem.recall("ferry", k=1)
    mem.forget(ferry.id)
    run = mem.run_questions("ferries")
    assert run.drift is not None
    assert [lost.query for lost in run.drift.lost] == ["When does the ferry leave?"]
    assert mem.evaluations("ferries")[0] == run
    mem.set_questions("ferries", [])
    assert mem.question_sets() == []
    with pytest.raises(rae.NotFoundError):
        mem.run_questions("ferries")


@pytest.mark.parametrize(
    ("questions", "says"),
    [
        ([], "0 questions"),
        ([{"query": "q", "relevant": []}], "0 labels"),
        ([{"query": "q"}], "question 0: relevant is missing"),
        ([{"query": "q", "relevant": ["x"]}], "question 0"),
        ([{"query": "q", "relevant": [{"text": "x", "id": "y"}]}], "question 0"),
        (["q"], "question 0: a question must be an object"),
    ],
)
def test_questions_that_cannot_be_judged_are_refused(
    mem: rae.Rae, questions: list[rae.Question], says: str
) -> None:
    with pytest.raises(rae.InvalidInputError, match=says):
        mem.evaluate(questions)


def test_the_command_evaluates_compares_and_keeps_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rae import cli

    monkeypatch.chdir(tmp_path)
    with rae.open("a.rae") as store:
        store.remember("The ferry leaves at ten.")
    lines = "\n".join(json.dumps(question) for question in QUESTIONS)
    Path("q.jsonl").write_text(lines + "\n\n", encoding="utf-8")

    def run(*args: str) -> tuple[int, str, str]:
        code = cli.main(["eval", *args])
        out, err = capsys.readouterr()
        return code, out, err

    code, out, _ = run("a.rae", "q.jsonl", "--out", "run.json", "--b", '{"kinds": ["fact"]}')
    assert code == 0
    assert "with --b:" in out
    assert "3 questions in both runs" in out
    code, out, _ = run("a.rae", "q.jsonl", "--against", "run.json", "--json")
    assert code == 0
    assert json.loads(out)["drift"]["unchanged"] == 3
    for args, says in [
        (("a.rae", "none.jsonl"), "cannot be read"),
        (("a.rae", "q.jsonl", "--against", "q.jsonl"), "not a run that --out wrote"),
        (("a.rae", "q.jsonl", "--k", "0"), "k must be"),
    ]:
        code, _, err = run(*args)
        assert code == 2, err
        assert says in err


def test_a_k_of_more_than_64_bits_is_refused_as_any_other_out_of_range(mem: rae.Rae) -> None:
    questions = [{"query": "q", "relevant": [{"text": "x"}]}]
    for k in (10**30, -(10**30), 1001):
        for given in ({"k": k}, {"options": {"k": k}}):
            with pytest.raises(rae.InvalidInputError) as caught:
                mem.evaluate(questions, **given)
            assert caught.value.code == "invalid_k"


def test_k_stands_beside_the_options_or_in_them_and_two_that_differ_are_refused() -> None:
    questions = QUESTIONS[:1]
    with rae.open(":memory:") as mem:
        mem.remember("The ferry leaves at ten.")
        assert mem.evaluate(questions).k == 10
        assert mem.evaluate(questions, k=3).k == 3
        assert mem.evaluate(questions, options={"k": 3}).k == 3
        assert mem.evaluate(questions, k=3, options={"k": 3}).k == 3
        with pytest.raises(rae.InvalidInputError) as caught:
            mem.evaluate(questions, k=3, options={"k": 4})
        assert caught.value.code == "conflicting_fields"
