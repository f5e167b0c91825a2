"""RAE: long-term memory for AI agents, in one file.

    import rae

    with rae.open("agent.rae") as mem:
        mem.remember("I adopted a puppy called Scout.", speaker="Caroline", session_id="s1")
        for hit in mem.recall("What did Caroline adopt?"):
            print(hit.score, hit.content)

`open` and `aopen` give a `Rae` or an `AsyncRae`; both have the same verbs. `connect` and `aconnect`
give the same for the memories of a server. Times come back as aware
datetimes in UTC. Errors are subclasses of `RaeError`.
"""

from __future__ import annotations

import os as _os
from collections.abc import Sequence as _Sequence
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from rae import _rae as _native
from rae._changes import AutomaticChange, ChangePage, Job, JobPage, Undone
from rae._client import Rae, connect, open
from rae._errors import (
    BudgetExceededError,
    CancelledError,
    ConflictError,
    CorruptError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    RaeError,
    RateLimitedError,
    TimeoutError,
    UnavailableError,
    UnsupportedError,
)
from rae._evals import (
    Answered,
    Comparison,
    Difference,
    Evaluation,
    EvaluationRun,
    Label,
    MetricChange,
    Metrics,
    Question,
    QuestionSet,
)
from rae._graph import (
    Entity,
    EntityPage,
    GraphPath,
    Neighbor,
    Neighborhood,
    Relation,
    Snapshot,
    Subgraph,
)
from rae._money import (
    Budget,
    CostLog,
    CostRow,
    Costs,
    LedgerRow,
    Limits,
    LlmAnswer,
    LlmChunk,
    LlmEstimate,
    LlmStream,
    Meter,
    TokenWindow,
    TokenWindows,
    Usage,
    UsdWindow,
)
from rae._rae import (
    Audit,
    AuditFinding,
    Claim,
    Context,
    ContextSource,
    EmbedderInfo,
    ErasurePlace,
    ErasureReport,
    Exported,
    Finding,
    Forgotten,
    Hit,
    Hits,
    Imported,
    Jobs,
    Maintained,
    Memory,
    MemoryVersion,
    Page,
    Passage,
    Receipt,
    Reembedded,
    Reflected,
    Signals,
    Stats,
    __version__,
)
from rae._session import Session
from rae._types import UNSET, Unset

if _TYPE_CHECKING:
    from rae._aio import (
        AsyncLlmStream,
        AsyncMeter,
        AsyncRae,
        AsyncSession,
        aconnect,
        aopen,
    )

# What `match` and isinstance ask for; the native class cannot inherit from it.
_Sequence.register(Hits)

__all__ = [
    "UNSET",
    "Answered",
    "AsyncLlmStream",
    "AsyncMeter",
    "AsyncRae",
    "AsyncSession",
    "Audit",
    "AuditFinding",
    "AutomaticChange",
    "Budget",
    "BudgetExceededError",
    "CancelledError",
    "ChangePage",
    "Claim",
    "Comparison",
    "ConflictError",
    "Context",
    "ContextSource",
    "CorruptError",
    "CostLog",
    "CostRow",
    "Costs",
    "Difference",
    "EmbedderInfo",
    "Entity",
    "EntityPage",
    "ErasurePlace",
    "ErasureReport",
    "Evaluation",
    "EvaluationRun",
    "Exported",
    "Finding",
    "Forgotten",
    "GraphPath",
    "Hit",
    "Hits",
    "Imported",
    "InternalError",
    "InvalidInputError",
    "Job",
    "JobPage",
    "Jobs",
    "Label",
    "LedgerRow",
    "Limits",
    "LlmAnswer",
    "LlmChunk",
    "LlmEstimate",
    "LlmStream",
    "Maintained",
    "Memory",
    "MemoryVersion",
    "Meter",
    "MetricChange",
    "Metrics",
    "Neighbor",
    "Neighborhood",
    "NotFoundError",
    "Page",
    "Passage",
    "PermissionDeniedError",
    "Question",
    "QuestionSet",
    "Rae",
    "RaeError",
    "RateLimitedError",
    "Receipt",
    "Reembedded",
    "Reflected",
    "Relation",
    "Session",
    "Signals",
    "Snapshot",
    "Stats",
    "Subgraph",
    "TimeoutError",
    "TokenWindow",
    "TokenWindows",
    "UnavailableError",
    "Undone",
    "Unset",
    "UnsupportedError",
    "Usage",
    "UsdWindow",
    "__version__",
    "aconnect",
    "aopen",
    "connect",
    "open",
]


if hasattr(_os, "register_at_fork"):
    # SQLite's global locks must be free at the fork, or the child could never open a store.
    _os.register_at_fork(
        before=_native._before_fork,
        after_in_parent=_native._after_fork_in_parent,
        after_in_child=_native._after_fork_in_child,
    )


def __getattr__(name: str) -> _Any:
    # asyncio takes longer to import than the rest of the package.
    if name in ("AsyncLlmStream", "AsyncMeter", "AsyncRae", "AsyncSession", "aconnect", "aopen"):
        from rae import _aio

        return getattr(_aio, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
