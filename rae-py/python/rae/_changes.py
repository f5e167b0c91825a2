"""What the engine changed by itself, and what it is to do: what these verbs give."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rae._money import _Record, _time


@dataclass(frozen=True, slots=True)
class AutomaticChange(_Record):
    """Something that the engine changed by itself."""

    id: str
    """Opaque, for `undo`."""
    at: datetime
    action: str
    """What happened: "facts", "derived", "reflect", "audit_fix", "resume", "joined", "parted",
    "fade", "undo"; and what cannot be undone: "communities", "forget_faded", "retire", "expire",
    "trim", "capacity", "forget"."""
    ids: builtins.list[str]
    """The memories that it added or changed; empty where only their number is known."""
    undoable: bool
    """Whether `undo` can take it back."""
    undone_by: str | None
    """The change that took it back."""

    @classmethod
    def _of(cls, change: dict[str, Any]) -> AutomaticChange:
        return cls(**{**change, "at": _time(change["at"])})


@dataclass(frozen=True, slots=True)
class ChangePage(_Record):
    """A page of changes, newest first."""

    items: builtins.list[AutomaticChange]
    next_cursor: str | None
    """For the next page; None on the last one."""

    @classmethod
    def _of(cls, page: dict[str, Any]) -> ChangePage:
        return cls([AutomaticChange._of(item) for item in page["items"]], page["next_cursor"])


@dataclass(frozen=True, slots=True)
class Undone(_Record):
    """A change that was taken back."""

    id: str
    """The undoing, itself a change."""
    undone: str
    """What was undone."""
    ids: builtins.list[str]
    """The memories that are as before. What the change added holds no longer."""
    replayed: bool
    """Whether it was undone already, and nothing was done."""

    @classmethod
    def _of(cls, undone: dict[str, Any]) -> Undone:
        return cls(**undone)


@dataclass(frozen=True, slots=True)
class Job(_Record):
    """A background job that waits, or that failed for good."""

    id: str
    """For `requeue_job`."""
    kind: str
    """What it does, such as "embed", "extract" or "reflect"."""
    state: str
    """"queued"; or "dead": it failed as often as is allowed, and waits to be requeued."""
    attempts: int
    """Attempts begun."""
    run_at: datetime
    """Not before."""
    last_error: str | None
    """Why its last attempt failed: the code of an error, without content."""

    @classmethod
    def _of(cls, job: dict[str, Any]) -> Job:
        return cls(**{**job, "run_at": _time(job["run_at"])})


@dataclass(frozen=True, slots=True)
class JobPage(_Record):
    """A page of jobs, oldest first."""

    items: builtins.list[Job]
    next_cursor: str | None
    """For the next page; None on the last one."""

    @classmethod
    def _of(cls, page: dict[str, Any]) -> JobPage:
        return cls([Job._of(item) for item in page["items"]], page["next_cursor"])
