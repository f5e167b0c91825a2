"""The twins of `rae._verbs.evals`. Written by scripts/async_verbs.py: change those instead."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

from rae._averbs.base import AsyncHandle
from rae._evals import Comparison, Evaluation, EvaluationRun, Question, QuestionSet


class AsyncRae(AsyncHandle):
    """Its verbs that judge recall."""

    __slots__ = ()

    async def evaluate(
        self,
        questions: Iterable[Question],
        *,
        k: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """See `Rae.evaluate`."""
        return await self._run(self._rae.evaluate, questions, k=k, options=options)

    async def compare_evaluations(
        self, a: Evaluation | Mapping[str, Any], b: Evaluation | Mapping[str, Any]
    ) -> Comparison:
        """See `Rae.compare_evaluations`."""
        return await self._run(self._rae.compare_evaluations, a, b)

    async def set_questions(self, name: str, questions: Iterable[Question]) -> None:
        """See `Rae.set_questions`."""
        await self._run(self._rae.set_questions, name, questions)

    async def question_sets(self) -> builtins.list[QuestionSet]:
        """See `Rae.question_sets`."""
        return await self._run(self._rae.question_sets)

    async def run_questions(
        self, name: str, *, k: int | None = None, options: Mapping[str, Any] | None = None
    ) -> EvaluationRun:
        """See `Rae.run_questions`."""
        return await self._run(self._rae.run_questions, name, k=k, options=options)

    async def evaluations(self, name: str) -> builtins.list[EvaluationRun]:
        """See `Rae.evaluations`."""
        return await self._run(self._rae.evaluations, name)
