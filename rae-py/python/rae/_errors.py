"""One exception class per kind of the engine's error table; the native module raises them."""

from __future__ import annotations

import builtins
from typing import Any


class RaeError(Exception):
    """Any failure of RAE.

    kind: what went wrong, in the terms a caller can act on, for example "not_found".
    code: a finer name; the kind where there is none.
    details: machine-readable details, or None.
    retry_after: seconds to wait before the same call may succeed, or None.
    operation: the verb that failed, or None.
    """

    kind: str
    code: str
    details: dict[str, Any] | None
    retry_after: float | None
    operation: str | None

    def __init__(
        self,
        message: str = "",
        *,
        kind: str | None = None,
        code: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
        operation: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind or self._kind
        self.code = code or self.kind
        self.details = details
        self.retry_after = retry_after
        self.operation = operation

    _kind = "internal"

    def __str__(self) -> str:
        # KeyError would give the message's repr.
        return str(self.args[0]) if self.args else ""


class InvalidInputError(RaeError, ValueError):
    """The input is wrong; nothing was written."""

    _kind = "invalid_input"


class PermissionDeniedError(RaeError):
    """The credential or the file's permissions do not allow this."""

    _kind = "permission_denied"


class BudgetExceededError(RaeError):
    """A money or token limit would be passed."""

    _kind = "budget_exceeded"


class NotFoundError(RaeError, KeyError):
    """What was named does not exist in this project."""

    _kind = "not_found"


class ConflictError(RaeError):
    """The state is not what the call expected: a version, an idempotency key, an embedder."""

    _kind = "conflict"


class RateLimitedError(RaeError):
    """Too many requests; see retry_after."""

    _kind = "rate_limited"


class TimeoutError(RaeError, builtins.TimeoutError):
    """The time of the call was over."""

    _kind = "timeout"


class CancelledError(RaeError):
    """The call was cancelled."""

    _kind = "cancelled"


class UnavailableError(RaeError):
    """The store is closed, the disk is full, or an embedder or provider does not answer."""

    _kind = "unavailable"


class UnsupportedError(RaeError):
    """This build cannot do that, or the store was made by a newer version."""

    _kind = "unsupported"


class CorruptError(RaeError):
    """Stored data is damaged, or the file is not a store."""

    _kind = "corrupt"


class InternalError(RaeError):
    """A fault of the engine; please report it."""

    _kind = "internal"
