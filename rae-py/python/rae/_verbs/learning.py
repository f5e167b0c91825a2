"""Verbs of sessions, and of what is learnt from them."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from rae._rae import Page, Receipt, Reflected
from rae._types import EventType, SessionOutcome, Time
from rae._verbs.base import Handle


class Rae(Handle):
    """Its verbs of sessions and reflection."""

    __slots__ = ()

    def log_event(
        self,
        session_id: str,
        type: EventType,
        content: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Logs an event of a session, durably when it returns; `session(id).log` is the same.

        type: "user_input", "llm_call", "llm_response", "tool_call", "tool_response",
            "system_event" or "error_event".
        content: what was said, called or answered: 1 byte to 1 MiB.
        metadata: a JSON object of your own, without a key "event". Reflection reads "tool",
            "error", "ok", "status", "exit_code" and "call_id".
        idempotency_key: makes the call safe to repeat for 24 hours.

        Raises ConflictError with code "session_ended" once the session has ended.
        """
        return self._native.log_event(session_id, type, content, metadata, idempotency_key)

    def end_session(
        self, session_id: str, outcome: SessionOutcome, *, error: str | None = None
    ) -> Receipt:
        """Ends a session and queues a reflection on it; `session(id).end` is the same.

        outcome: "success", "failure", "partial", "timeout" or "error". error: what went wrong, at
            most 8 KiB.
        Ending it so again gives the same receipt. Raises ConflictError with code "session_ended"
        where it ended otherwise.
        """
        return self._native.end_session(session_id, outcome, error)

    def events(self, session_id: str, limit: int = 50, cursor: str | None = None) -> Page:
        """A page of the events of a session, oldest first; its end is the last one."""
        return self._native.events(session_id, limit, cursor)

    def reflect(
        self, session_id: str | None = None, since: Time | None = None
    ) -> builtins.list[Reflected]:
        """Learns from a session, or from all that have news, now.

        Gives the lessons, strategies and reflections that were made or grew stronger, and nothing
        where there is nothing new. since: only sessions with an event at or after this time.
        """
        return self._native.reflect(session_id, since)

    def reflections(self, limit: int = 50, cursor: str | None = None) -> Page:
        """A page of lessons, strategies and reflections."""
        return self._native.reflections(limit, cursor)
