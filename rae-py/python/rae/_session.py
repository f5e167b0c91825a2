"""A session of an agent, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rae import _rae
from rae._rae import Page, Receipt
from rae._types import EventType, InfoClass, SessionOutcome, Time, TrustLevel

if TYPE_CHECKING:
    from rae._averbs.base import AsyncHandle


class Session:
    """What an agent does in one session, event by event, and how it ends.

    mem.session("trip-1").log("tool_call", "search(to='Oslo')", {"tool": "search"})
    """

    __slots__ = ("_native", "_whose", "id")

    def __init__(
        self,
        native: _rae.Store,
        id: str,
        user_id: str | None,
        agent_id: str | None,
        info_class: InfoClass | None,
    ) -> None:
        self._native = native
        self._whose = {"user_id": user_id, "agent_id": agent_id, "info_class": info_class}
        self.id = id

    def __repr__(self) -> str:
        return f"<rae.Session {self.id!r}>"

    def log(
        self,
        type: EventType,
        content: str,
        metadata: Mapping[str, Any] | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        speaker: str | None = None,
        occurred_at: Time | None = None,
        ttl: float | timedelta | None = None,
        trust_level: TrustLevel | None = None,
        info_class: InfoClass | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Logs an event; see `Rae.log_event`. What is not given of its owner and class is the
        session's."""
        more = {
            "metadata": metadata,
            "user_id": self._whose["user_id"] if user_id is None else user_id,
            "agent_id": self._whose["agent_id"] if agent_id is None else agent_id,
            "speaker": speaker,
            "occurred_at": occurred_at,
            "ttl": ttl,
            "trust_level": trust_level,
            "info_class": self._whose["info_class"] if info_class is None else info_class,
            "idempotency_key": idempotency_key,
        }
        return self._native.log_event(self.id, type, content, more)

    def end(self, outcome: SessionOutcome, error: str | None = None) -> Receipt:
        """Ends the session; see `Rae.end_session`."""
        # Its own class is the strictest of its events, not the least of what was logged here.
        whose = {"user_id": self._whose["user_id"], "agent_id": self._whose["agent_id"]}
        return self._native.end_session(self.id, outcome, {"error": error, **whose})

    def events(self, limit: int = 50, cursor: str | None = None) -> Page:
        """A page of its events, oldest first; its end is the last one."""
        return self._native.events(self.id, limit, cursor)


class AsyncSession:
    """The asynchronous twin of `Session`."""

    __slots__ = ("_handle", "_session")

    def __init__(self, handle: AsyncHandle, session: Session) -> None:
        self._handle = handle
        self._session = session

    def __repr__(self) -> str:
        return f"<rae.AsyncSession {self.id!r}>"

    @property
    def id(self) -> str:
        """Its name."""
        return self._session.id

    async def log(
        self,
        type: EventType,
        content: str,
        metadata: Mapping[str, Any] | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        speaker: str | None = None,
        occurred_at: Time | None = None,
        ttl: float | timedelta | None = None,
        trust_level: TrustLevel | None = None,
        info_class: InfoClass | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """See `Session.log`."""
        return await self._handle._run(
            self._session.log,
            type,
            content,
            metadata,
            user_id=user_id,
            agent_id=agent_id,
            speaker=speaker,
            occurred_at=occurred_at,
            ttl=ttl,
            trust_level=trust_level,
            info_class=info_class,
            idempotency_key=idempotency_key,
        )

    async def end(self, outcome: SessionOutcome, error: str | None = None) -> Receipt:
        """See `Session.end`."""
        return await self._handle._run(self._session.end, outcome, error)

    async def events(self, limit: int = 50, cursor: str | None = None) -> Page:
        """See `Session.events`."""
        return await self._handle._run(self._session.events, limit, cursor)
