"""Evaluations of recall: what their verbs give."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from rae._money import _Record, _time


class Label(TypedDict, total=False):
    """What makes a hit right: exactly one of the two."""

    id: str
    """It is this memory."""
    text: str
    """It contains this text, whatever its case."""


class Question(TypedDict):
    """A question and what should be found; a plain text among the labels is an id."""

    query: str
    relevant: builtins.list[Label | str]


@dataclass(frozen=True, slots=True)
class Metrics(_Record):
    """Means over the questions, 0 to 1 each."""

    recall: float
    """Labels met by the first k hits, of all labels."""
    mrr: float
    """1 / the rank of the first hit that meets a label."""
    ndcg: float
    """Normalised discounted cumulative gain."""
    hit_rate: float
    """Questions with any label met."""


@dataclass(frozen=True, slots=True)
class Answered(_Record):
    """How one question was answered."""

    query: str
    ranks: builtins.list[int | None]
    """For each label the rank, from 1, of the first hit that meets it."""
    hits: builtins.list[str]
    """Ids, best first."""
    recall: float
    mrr: float
    ndcg: float


@dataclass(frozen=True, slots=True)
class Evaluation(_Record):
    """A run over all questions."""

    at: datetime
    k: int
    options: dict[str, Any]
    """The options that were given, other than k."""
    embedder: str
    memories: int
    metrics: Metrics
    degraded: int
    """Questions that a part of recall could not answer."""
    questions: builtins.list[Answered]
    report: str
    """The same in words."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Evaluation:
        answered = [Answered(**question) for question in value["questions"]]
        metrics = Metrics(**value["metrics"])
        return cls(**{**value, "at": _time(value["at"]), "metrics": metrics, "questions": answered})


@dataclass(frozen=True, slots=True)
class MetricChange(_Record):
    """One measure in both runs."""

    metric: str
    a: float
    b: float
    change: float
    low: float
    """Lower bound of the change at 95 %, by a paired bootstrap over the questions."""
    high: float
    significant: bool
    """Whether the bounds leave out 0 and at least six questions differ."""


@dataclass(frozen=True, slots=True)
class Difference(_Record):
    """A question that was answered otherwise, with its nDCG in both runs."""

    query: str
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Comparison(_Record):
    """What differs between two runs."""

    questions: int
    """Questions in both."""
    left_out: int
    """Questions of one run alone."""
    metrics: builtins.list[MetricChange]
    overlap: float
    """Drift: the mean share of hits that both gave, of all that either gave."""
    unchanged: int
    """Questions with the same hits in the same order."""
    lost: builtins.list[Difference]
    """Those that lost most, at most 10."""
    gained: builtins.list[Difference]
    report: str
    """The same in words."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Comparison:
        differences = {
            side: [Difference(**item) for item in value[side]] for side in ("lost", "gained")
        }
        metrics = [MetricChange(**metric) for metric in value["metrics"]]
        return cls(**{**value, **differences, "metrics": metrics})


@dataclass(frozen=True, slots=True)
class QuestionSet(_Record):
    """A stored set of questions."""

    name: str
    at: datetime
    questions: builtins.list[Question]

    @classmethod
    def _of(cls, value: dict[str, Any]) -> QuestionSet:
        return cls(**{**value, "at": _time(value["at"])})


@dataclass(frozen=True, slots=True)
class EvaluationRun(_Record):
    """A stored run of a set, and what has changed since the one before."""

    questions: str
    """Name of the set."""
    evaluation: Evaluation
    drift: Comparison | None
    """None for the first run, and where k was another."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> EvaluationRun:
        drift = value["drift"]
        return cls(
            questions=value["questions"],
            evaluation=Evaluation._of(value["evaluation"]),
            drift=None if drift is None else Comparison._of(drift),
        )
