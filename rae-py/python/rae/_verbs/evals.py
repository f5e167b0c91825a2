"""Verbs that judge recall on questions of the user's own."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

from rae._evals import Comparison, Evaluation, EvaluationRun, Question, QuestionSet
from rae._verbs.base import Handle


class Rae(Handle):
    """Its verbs that judge recall."""

    __slots__ = ()

    def evaluate(
        self,
        questions: Iterable[Question],
        *,
        k: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """Asks every question as `recall` would and judges the hits. Changes nothing.

        questions: at most 10,000 of `{"query": "...", "relevant": [...]}`. A label is an id,
            `{"id": ...}` or `{"text": ...}`: the hit is that memory, or contains that text.
        k: how many hits are looked at, 10 by default. options: what `recall` takes beside the
            query, by name; a `k` among them that differs from the other is InvalidInputError.

        Gives recall, MRR, nDCG and the hit rate over the questions, the ranks of each, and a
        `report` in words.
        """
        args = {"questions": builtins.list(questions), "k": _whole(k), "options": _options(options)}
        return Evaluation._of(self._native.call("evaluate", args))

    def compare_evaluations(
        self, a: Evaluation | Mapping[str, Any], b: Evaluation | Mapping[str, Any]
    ) -> Comparison:
        """What differs between two runs over the same questions, with bounds at 95 %.

        Two configurations (A/B): run both. Drift: compare with a run that was kept, also as its
        `to_dict()`.
        """
        args = {"a": _run(a), "b": _run(b)}
        return Comparison._of(self._native.call("compare_evaluations", args))

    def set_questions(self, name: str, questions: Iterable[Question]) -> None:
        """Keeps a set of questions, at most 1,000, in the place of the one of that name.

        An empty list removes the set and its runs; NotFoundError where there is none. Workers of a
        server run the stored sets by schedule.
        """
        self._native.call("set_questions", {"name": name, "questions": builtins.list(questions)})

    def question_sets(self) -> builtins.list[QuestionSet]:
        """The stored sets of questions, by name."""
        return [QuestionSet._of(item) for item in self._native.call("question_sets", {})]

    def run_questions(
        self, name: str, *, k: int | None = None, options: Mapping[str, Any] | None = None
    ) -> EvaluationRun:
        """Runs a stored set now, keeps the run and compares it with the one before.

        k, options: as of `evaluate`. At most 30 runs are kept. NotFoundError: there is no such set.
        """
        args = {"name": name, "k": _whole(k), "options": _options(options)}
        return EvaluationRun._of(self._native.call("run_questions", args))

    def evaluations(self, name: str) -> builtins.list[EvaluationRun]:
        """The runs of a stored set that are kept, the newest first."""
        runs = self._native.call("evaluations", {"name": name})
        return [EvaluationRun._of(run) for run in runs]


def _options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(options or {})
    if "k" in given:
        given["k"] = _whole(given["k"])
    return given


def _whole(k: Any) -> Any:
    # As in `recall`: what has more than 64 bits is the nearest that fits, and is refused by its
    # range.
    if isinstance(k, int) and not isinstance(k, bool):
        return max(min(k, 2**63 - 1), -(2**63))
    return k


def _run(run: Evaluation | Mapping[str, Any]) -> dict[str, Any]:
    return run.to_dict() if isinstance(run, Evaluation) else dict(run)
