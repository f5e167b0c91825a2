"""The twins of `rae._verbs.learning`. Written by scripts/async_verbs.py: change those instead."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from rae._averbs.base import AsyncHandle
from rae._rae import Page, Receipt, Reflected
from rae._types import EventType, SessionOutcome, Time


class AsyncRae(AsyncHandle):
    """Its verbs of sessions and reflection."""

    __slots__ = ()

    async def log_event(
        self,
        session_id: str,
        type: EventType,
        content: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """See `Rae.log_event`."""
        return await self._run(
            self._rae.log_event,
            session_id,
            type,
            content,
            metadata=metadata,
            idempotency_key=idempotency_key,
        )

    async def end_session(
        self, session_id: str, outcome: SessionOutcome, *, error: str | None = None
    ) -> Receipt:
        """See `Rae.end_session`."""
        return await self._run(self._rae.end_session, session_id, outcome, error=error)

    async def events(self, session_id: str, limit: int = 50, cursor: str | None = None) -> Page:
        """See `Rae.events`."""
        return await self._run(self._rae.events, session_id, limit, cursor)

    async def reflect(
        self, session_id: str | None = None, since: Time | None = None
    ) -> builtins.list[Reflected]:
        """See `Rae.reflect`."""
        return await self._run(self._rae.reflect, session_id, since)

    async def reflections(self, limit: int = 50, cursor: str | None = None) -> Page:
        """See `Rae.reflections`."""
        return await self._run(self._rae.reflections, limit, cursor)
