"""Verbs of sessions, and of what is learnt from them."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rae._rae import Page, Receipt, Reflected
from rae._types import EventType, InfoClass, SessionOutcome, Time, TrustLevel
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
        user_id: str | None = None,
        agent_id: str | None = None,
        speaker: str | None = None,
        occurred_at: Time | None = None,
        ttl: float | timedelta | None = None,
        trust_level: TrustLevel | None = None,
        info_class: InfoClass | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Logs an event of a session, durably when it returns; `session(id).log` is the same.

        type: "user_input", "llm_call", "llm_response", "tool_call", "tool_response",
            "system_event" or "error_event".
        content: what was said, called or answered: at most 1 MiB; of a call without arguments, or
            an answer without a word, it may be empty.
        metadata: a JSON object of your own, without a key "event". Reflection reads "tool",
            "error", "ok", "status", "exit_code" and "call_id".
        user_id, agent_id: whose it is: what is learnt from it is that one's own, and is erased with
            the user. speaker: who said it. occurred_at: default now. ttl: seconds to live.
        trust_level, info_class: as in `remember`, "internal" by default; what is learnt from a
            session has the strictest class of its events.
        idempotency_key: makes the call safe to repeat for 24 hours.

        Raises ConflictError with code "session_ended" once the session has ended.
        """
        more = {
            "metadata": metadata,
            "user_id": user_id,
            "agent_id": agent_id,
            "speaker": speaker,
            "occurred_at": occurred_at,
            "ttl": ttl,
            "trust_level": trust_level,
            "info_class": info_class,
            "idempotency_key": idempotency_key,
        }
        return self._native.log_event(session_id, type, content, more)

    def end_session(
        self,
        session_id: str,
        outcome: SessionOutcome,
        *,
        error: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        info_class: InfoClass | None = None,
    ) -> Receipt:
        """Ends a session and queues a reflection on it; `session(id).end` is the same.

        outcome: "success", "failure", "partial", "timeout" or "error". error: what went wrong, at
            most 8 KiB.
        user_id, agent_id: whose the end is; by default the only one whose events are in the
            session, or whose event says the error. info_class: the strictest of them by default.
        Ending it so again gives the same receipt. Raises ConflictError with code "session_ended"
        where it ended otherwise.
        """
        more = {
            "error": error,
            "user_id": user_id,
            "agent_id": agent_id,
            "info_class": info_class,
        }
        return self._native.end_session(session_id, outcome, more)

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
