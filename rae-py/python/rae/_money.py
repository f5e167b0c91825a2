"""Budgets, costs and calls of chat models: what the verbs of money give, and the meter."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rae._errors import InvalidInputError

if TYPE_CHECKING:
    from rae import _rae

Amount: TypeAlias = Decimal | float | int | str
"""US dollars with at most six decimals; text like "20.00" too."""
CostGroup: TypeAlias = Literal["day", "model", "provider", "project", "operation", "user"]
Outcome: TypeAlias = Literal["ok", "failed", "cancelled", "dropped"]


def _usd(dollars: float) -> Decimal:
    # The engine counts whole micro-dollars; its JSON holds them exactly up to a billion dollars.
    return Decimal(round(dollars * 1_000_000)).scaleb(-6)


def _some_usd(dollars: float | None) -> Decimal | None:
    return None if dollars is None else _usd(dollars)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if "." not in text else _exact(text)


def _exact(text: str) -> datetime:
    # Python 3.10 reads three or six decimals and no others.
    whole, decimals = text.removesuffix("Z").split(".")
    return datetime.fromisoformat(f"{whole}.{decimals[:6]:0<6}+00:00")


def amount(value: Any) -> Any:
    """An amount as JSON has it, without a float between."""
    return format(value, "f") if isinstance(value, Decimal) else value


def seconds(value: float | timedelta | None) -> float | None:
    """Seconds of a number or a timedelta."""
    return value.total_seconds() if isinstance(value, timedelta) else value


class _Record:
    """What all of them can do."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes, money stays Decimal."""

        def plain(value: Any) -> Any:
            if isinstance(value, _Record):
                return value.to_dict()
            return [plain(item) for item in value] if isinstance(value, list) else value

        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return {name: plain(getattr(self, name)) for name in names}


@dataclass(frozen=True, slots=True)
class Limits(_Record):
    """The limits that count: those that were set, and the defaults for the rest. None: no limit."""

    daily_limit: Decimal | None
    monthly_limit: Decimal | None
    daily_token_limit: int | None
    monthly_token_limit: int | None
    warning_threshold: float
    """The share of a limit from which on callers are warned, 0 to 1."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Limits:
        money = {name: _some_usd(value[name]) for name in ("daily_limit", "monthly_limit")}
        return cls(**{**value, **money})


@dataclass(frozen=True, slots=True)
class UsdWindow(_Record):
    """Money of a UTC day or month. `remaining_usd` counts what is held for calls under way."""

    limit_usd: Decimal | None
    used_usd: Decimal
    reserved_usd: Decimal
    remaining_usd: Decimal | None
    resets_at: datetime

    @classmethod
    def _of(cls, value: dict[str, Any]) -> UsdWindow:
        return cls(
            limit_usd=_some_usd(value["limit_usd"]),
            used_usd=_usd(value["used_usd"]),
            reserved_usd=_usd(value["reserved_usd"]),
            remaining_usd=_some_usd(value["remaining_usd"]),
            resets_at=_time(value["resets_at"]),
        )


@dataclass(frozen=True, slots=True)
class TokenWindow(_Record):
    """Tokens of a UTC day or month, read and written together."""

    limit: int | None
    used: int
    reserved: int
    remaining: int | None
    resets_at: datetime

    @classmethod
    def _of(cls, value: dict[str, Any]) -> TokenWindow:
        return cls(**{**value, "resets_at": _time(value["resets_at"])})


@dataclass(frozen=True, slots=True)
class TokenWindows(_Record):
    """Tokens of both windows."""

    daily: TokenWindow
    monthly: TokenWindow


@dataclass(frozen=True, slots=True)
class Budget(_Record):
    """Limits and spending now, of a tenant or a project."""

    scope: str
    """"tenant" or "project"."""
    daily: UsdWindow
    monthly: UsdWindow
    tokens: TokenWindows
    warning_threshold: float
    warning: bool
    """Whether spending, what is held counted, has reached the threshold of any limit."""
    tracking: bool
    """Whether limits are kept at all."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Budget:
        tokens = {name: TokenWindow._of(value["tokens"][name]) for name in ("daily", "monthly")}
        money = {name: UsdWindow._of(value[name]) for name in ("daily", "monthly")}
        return cls(**{**value, **money, "tokens": TokenWindows(**tokens)})


@dataclass(frozen=True, slots=True)
class CostRow(_Record):
    """A sum of the ledger. The groups that were not asked for are None."""

    calls: int
    failed: int
    """Attempts that did not end well."""
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal
    unconfirmed_usd: Decimal
    """Of that, booked at what was held, as nobody said how the call ended."""
    saved_usd: Decimal
    """What a cache of responses saved."""
    day: str | None = None
    model: str | None = None
    provider: str | None = None
    project: str | None = None
    operation: str | None = None
    user: str | None = None

    @classmethod
    def _of(cls, value: dict[str, Any]) -> CostRow:
        names = ("cost_usd", "unconfirmed_usd", "saved_usd")
        return cls(**{**value, **{name: _usd(value[name]) for name in names}})

    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict, without groups that were not asked for."""
        mine = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in mine.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Costs(_Record):
    """What was spent, in sums."""

    group_by: builtins.list[str]
    items: builtins.list[CostRow]
    truncated: bool
    """Whether there are more; ask for a shorter time or fewer groups then."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Costs:
        return cls(**{**value, "items": [CostRow._of(item) for item in value["items"]]})


@dataclass(frozen=True, slots=True)
class LedgerRow(_Record):
    """One attempt of a call that ended. Such rows are never changed."""

    id: str
    at: datetime
    """When it began: the day and month that it is booked to."""
    settled_at: datetime
    project: str
    provider: str
    model: str
    operation: str
    user_id: str | None
    request_id: str | None
    attempt: int
    status: str
    """"ok", "failed", "cancelled", "dropped" (left in the middle of a stream), "unconfirmed"
    (booked at what was held) or "cached"."""
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool
    """Whether the tokens were counted here, as the provider gave none."""
    cost_usd: Decimal
    saved_usd: Decimal
    error: str | None

    @classmethod
    def _of(cls, value: dict[str, Any]) -> LedgerRow:
        made: dict[str, Any] = {name: _time(value[name]) for name in ("at", "settled_at")}
        made |= {name: _usd(value[name]) for name in ("cost_usd", "saved_usd")}
        return cls(**{**value, **made})


@dataclass(frozen=True, slots=True)
class CostLog(_Record):
    """A page of the ledger: the attempt that was booked last comes first."""

    items: builtins.list[LedgerRow]
    next_cursor: str | None
    """What `cost_log(cursor=...)` takes to go on; None on the last page."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> CostLog:
        return cls([LedgerRow._of(item) for item in value["items"]], value["next_cursor"])


@dataclass(frozen=True, slots=True)
class Usage(_Record):
    """Tokens of a call."""

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool
    """Whether they were counted here, as the provider gave none."""
    cache_write_tokens: int = 0
    """Of input_tokens, those that were written to the provider's cache, at its own price."""


@dataclass(frozen=True, slots=True)
class LlmAnswer(_Record):
    """An answer of a model, and what it cost."""

    id: str
    model: str
    text: str
    message: dict[str, Any]
    """The whole message in OpenAI's shape, tool calls too: it can be appended to `messages`."""
    finish_reason: str
    """"stop", "length", "tool_calls", "content_filter", or the provider's own word."""
    provider: str
    usage: Usage | None
    """None where nobody could count: it was booked at what was held then."""
    cost_usd: Decimal
    attempts: int
    warnings: builtins.list[dict[str, str]]
    """Limits whose warning threshold is reached: `{"scope": "tenant", "limit": "daily_limit"}`."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> LlmAnswer:
        return cls(**{**value, **_end(value)})

    def __str__(self) -> str:
        return self.text


def _end(value: dict[str, Any]) -> dict[str, Any]:
    usage = value["usage"]
    return {
        "usage": None if usage is None else Usage(**usage),
        "cost_usd": _usd(value["cost_usd"]),
    }


@dataclass(frozen=True, slots=True)
class LlmEstimate(_Record):
    """What a call would cost at most."""

    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    """What would be held before the call."""
    allowed: bool
    """Whether the budgets have room for it now."""
    refusal: dict[str, Any] | None
    """Else the error that it would get: kind, code, message and details."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> LlmEstimate:
        return cls(**{**value, "cost_usd": _usd(value["cost_usd"])})


@dataclass(frozen=True, slots=True)
class LlmChunk(_Record):
    """A piece of a streamed answer."""

    text: str
    delta: dict[str, Any]
    """What is new, in OpenAI's shape."""
    finish_reason: str | None

    def __str__(self) -> str:
        return self.text


class LlmStream:
    """A streamed answer: an iterator of `LlmChunk`.

    `cost_usd`, `usage` and `warnings` are there at its end.
    Closing it, or leaving its `with` block, gives the rest up; what was produced is booked.
    """

    __slots__ = ("__weakref__", "_native")

    def __init__(self, native: _rae.LlmPieces) -> None:
        self._native = native

    def __iter__(self) -> Iterator[LlmChunk]:
        return self

    def __next__(self) -> LlmChunk:
        piece = self._next()
        if piece is None:
            raise StopIteration
        return piece

    def _next(self) -> LlmChunk | None:
        piece = self._native.next()
        return None if piece is None else LlmChunk(**piece)

    def __enter__(self) -> LlmStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the rest of the answer up. Twice is fine."""
        self._native.close()

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost; None until it has ended well."""
        end = self._native.end()
        return None if end is None else _usd(end["cost_usd"])

    @property
    def usage(self) -> Usage | None:
        """Its tokens; None until it has ended well."""
        end = self._native.end()
        return None if end is None else _end(end)["usage"]

    @property
    def warnings(self) -> list[dict[str, str]]:
        """Limits whose warning threshold is reached; empty until it has ended well."""
        end = self._native.end()
        return [] if end is None else end["warnings"]


def _usage(given: Any) -> dict[str, Any]:
    """A usage as JSON: a mapping, or an object of a provider's client."""
    if isinstance(given, Mapping):
        return dict(given)
    # pydantic, as the clients of OpenAI, Anthropic and Google use it; our own records.
    for dump in ("model_dump", "to_dict"):
        method = getattr(given, dump, None)
        if callable(method):
            return _plain(method())
    raise InvalidInputError(
        f"usage must be a mapping or the usage of an answer, not {type(given).__name__}"
    )


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    # What is no number or group of numbers says nothing of tokens.
    kept: dict[str, Any] = {}
    for name, part in value.items():
        if isinstance(part, Mapping):
            kept[name] = _plain(part)
        elif isinstance(part, int) and not isinstance(part, bool):
            kept[name] = part
    return kept


class Metered:
    """Money that is held for a call that you make yourself: what `Rae.meter` gives.

    Say how the call ended with `used` or `free`; without either it is booked at all that is held.
    """

    __slots__ = ("_ended", "_fields", "_start", "_unsaid")

    def __init__(self, call: dict[str, Any]) -> None:
        self._fields = call
        self._start: dict[str, Any] | None = None
        self._unsaid: dict[str, Any] | None = None
        self._ended: Decimal | None = None

    @property
    def id(self) -> str | None:
        """Id of its row of the ledger; None before the block."""
        return None if self._start is None else self._start["id"]

    @property
    def held_usd(self) -> Decimal | None:
        """The most that the call may cost; None before the block."""
        return None if self._start is None else _usd(self._start["held_usd"])

    @property
    def held_tokens(self) -> int | None:
        """The most tokens that it may take; None before the block."""
        return None if self._start is None else self._start["held_tokens"]

    @property
    def warning(self) -> bool:
        """Whether a limit has reached its warning threshold, this call counted."""
        return self._start is not None and self._start["warning"]

    @property
    def cost_usd(self) -> Decimal | None:
        """What was booked; None before the block has ended."""
        return self._ended

    def used(
        self,
        usage: Any = None,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        outcome: Outcome = "ok",
    ) -> None:
        """Says what the call used: the `usage` of an answer, or numbers.

        cached_input_tokens: of input_tokens, those that came from the provider's cache.
        cache_write_tokens: of input_tokens, those that were written to that cache.
        reasoning_tokens: of output_tokens, those that are not shown.
        outcome: "ok", "failed", "cancelled" or "dropped".

        It is booked when the block ends.
        """
        if usage is None:
            if input_tokens is None or output_tokens is None:
                raise InvalidInputError(
                    "give the usage of the answer, or input_tokens and output_tokens"
                )
            usage = {
                "input_tokens": input_tokens,
                "cached_input_tokens": cached_input_tokens,
                "cache_write_tokens": cache_write_tokens,
                "output_tokens": output_tokens,
                "reasoning_tokens": reasoning_tokens,
            }
        self._unsaid = {"usage": _usage(usage), "outcome": outcome}

    def free(self) -> None:
        """Says that the call was not sent, or that the provider charged nothing."""
        self._unsaid = {"outcome": "free"}

    def _begun(self, start: dict[str, Any]) -> None:
        self._start = start
        # What was counted once need not be counted again.
        for name in ("messages", "tools"):
            self._fields.pop(name, None)
        self._fields["input_tokens"] = start["input_tokens"]

    def _settlement(self, raised: bool) -> dict[str, Any]:
        end = self._unsaid
        if end is None:
            end = {"outcome": "unknown"}
            if not raised:
                warnings.warn(
                    "the metered call did not say what it used, and was booked at all that was "
                    "held: call used(...) or free() in the block",
                    RuntimeWarning,
                    stacklevel=4,
                )
        return {**self._fields, "id": self.id, **end}

    def _settled(self, answer: dict[str, Any]) -> None:
        self._ended = _usd(answer["cost_usd"])

    def _check_new(self) -> None:
        if self._start is not None:
            raise InvalidInputError("a meter is for one call; make another one")


class Meter(Metered):
    """A meter round a call of your own: `with mem.meter(...) as call:`."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[str, dict[str, Any]], Any], given: dict[str, Any]) -> None:
        super().__init__(given)
        self._call = call

    def __enter__(self) -> Meter:
        self._check_new()
        self._begun(self._call("meter", self._fields))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end = self._settlement(raised=kind is not None)
        try:
            self._settled(self._call("end_metered", end))
        except InvalidInputError:
            # A usage that cannot be one must not leave the money held.
            self._settled(
                self._call("end_metered", {**self._fields, "id": self.id, "outcome": "unknown"})
            )
            raise
