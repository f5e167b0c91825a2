"""Names of the arguments that the verbs take."""

from __future__ import annotations

import builtins
import enum
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from rae._money import Amount

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[numpy.float32]
else:
    # numpy is not needed to install or import rae; `embed` and `vector` alone ask for it.
    Array = Any


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Leaves a field as it is, where None would clear it."""

Path: TypeAlias = str | os.PathLike[str]
Time: TypeAlias = str | datetime | date
"""RFC 3339 text, a datetime (a naive one is taken as UTC), or a date (midnight UTC)."""
Kind: TypeAlias = Literal[
    "text",
    "fact",
    "conversation",
    "document",
    "code",
    "image-ref",
    "reflection",
    "lesson",
    "strategy",
    "entity-summary",
]
Layer: TypeAlias = Literal[
    "sensory", "working", "episodic", "semantic", "reflective", "stm", "wm", "em", "ltm", "sm", "rm"
]
TrustLevel: TypeAlias = Literal["unverified", "low", "medium", "high"]
InfoClass: TypeAlias = Literal["public", "internal", "confidential", "restricted"]
ForgetScope: TypeAlias = Literal["session", "user", "project", "tenant"]
EmbedRole: TypeAlias = Literal["document", "query"]
Embedder: TypeAlias = Path | Callable[[builtins.list[str]], Any]
Messages: TypeAlias = Iterable[Mapping[str, Any]]
"""Messages in the shape of OpenAI's chat completions: `{"role": "user", "content": "..."}`."""
Providers: TypeAlias = Mapping[str, Mapping[str, str]]
Prices: TypeAlias = Path | Mapping[str, Any]
UnknownModel: TypeAlias = Literal["reject"] | Mapping[str, Amount]
