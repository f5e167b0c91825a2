"""The twins of `rae._verbs.learning`. Written by scripts/async_verbs.py: change those instead."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rae._averbs.base import AsyncHandle
from rae._rae import Page, Receipt, Reflected
from rae._types import EventType, InfoClass, SessionOutcome, Time, TrustLevel


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
        user_id: str | None = None,
        agent_id: str | None = None,
        speaker: str | None = None,
        occurred_at: Time | None = None,
        ttl: float | timedelta | None = None,
        trust_level: TrustLevel | None = None,
        info_class: InfoClass | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """See `Rae.log_event`."""
        return await self._run(
            self._rae.log_event,
            session_id,
            type,
            content,
            metadata=metadata,
            user_id=user_id,
            agent_id=agent_id,
            speaker=speaker,
            occurred_at=occurred_at,
            ttl=ttl,
            trust_level=trust_level,
            info_class=info_class,
            idempotency_key=idempotency_key,
        )

    async def end_session(
        self,
        session_id: str,
        outcome: SessionOutcome,
        *,
        error: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        info_class: InfoClass | None = None,
    ) -> Receipt:
        """See `Rae.end_session`."""
        return await self._run(
            self._rae.end_session,
            session_id,
            outcome,
            error=error,
            user_id=user_id,
            agent_id=agent_id,
            info_class=info_class,
        )

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
