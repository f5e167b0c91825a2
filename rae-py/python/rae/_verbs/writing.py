"""Verbs that write memories, change them and erase them."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rae._rae import ErasureReport, Forgotten, Memory, Receipt
from rae._types import UNSET, ForgetScope, InfoClass, Kind, Layer, Path, Time, TrustLevel, Unset
from rae._verbs.base import Handle, changed


class Rae(Handle):
    """Its verbs that write."""

    __slots__ = ()

    def remember(
        self,
        content: str,
        *,
        kind: Kind | None = None,
        layer: Layer | None = None,
        role: str | None = None,
        speaker: str | None = None,
        session_id: str | None = None,
        occurred_at: Time | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        importance: float | None = None,
        confidence: float | None = None,
        ttl: float | timedelta | None = None,
        source: str | None = None,
        trust_level: TrustLevel | None = None,
        info_class: InfoClass = "internal",
        agent_id: str | None = None,
        user_id: str | None = None,
        valid_from: Time | None = None,
        valid_to: Time | None = None,
        infer: bool = False,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Stores a memory, durably when it returns. No model is called.

        content: 1 byte to 1 MiB of text, not only white space.
        kind: default "conversation" when session_id, speaker or role is given, else "text".
        layer: default by kind: conversations are episodic; texts, facts and documents semantic;
            reflections, lessons and strategies reflective.
        role: "user", "assistant", "system", "tool" or a name of your own. speaker: who said it.
        session_id, agent_id, user_id: whom it belongs to, at most 256 bytes each.
        occurred_at: when it happened.
        tags: at most 64, of at most 128 bytes.
        metadata: a JSON object of at most 64 KiB and 16 levels; integers have at most 64 bits.
        importance: 0 to 1; default by layer. confidence: 0 to 1; default 1.
        ttl: seconds to live, or a timedelta; default by layer (sensory a day, working a week).
        source: name of its source; sources join when statements merge.
        valid_from, valid_to: when the statement holds; `recall(as_of=...)` asks for it.
        infer: reads facts from the text, by rules and without a model, when `maintain` or a worker
            runs.
        idempotency_key: makes the call safe to repeat for 24 hours.

        The same statement (text, fact, document, lesson, strategy) in the same layer merges, and so
        does the same turn of a session: `receipt.merged`. Raises ConflictError when the idempotency
        key was used for another body.
        """
        return self._native.remember(
            {
                "content": content,
                "kind": kind,
                "layer": layer,
                "role": role,
                "speaker": speaker,
                "session_id": session_id,
                "occurred_at": occurred_at,
                "tags": tags,
                "metadata": metadata,
                "importance": importance,
                "confidence": confidence,
                "ttl": ttl,
                "source": source,
                "trust_level": trust_level,
                "info_class": info_class,
                "agent_id": agent_id,
                "user_id": user_id,
                "valid_from": valid_from,
                "valid_to": valid_to,
                "infer": infer,
                "idempotency_key": idempotency_key,
            }
        )

    def remember_many(self, items: Iterable[Mapping[str, Any]]) -> builtins.list[Receipt]:
        """Stores many memories, at most 100,000; far faster than one by one.

        items: mappings with the fields of `remember`; None is the same as no value. All are checked
        before the first is written: an InvalidInputError names the item, in `details["item"]` too.
        Then one transaction per at most 1,000 items; an error after that has `details["committed"]`
        and the receipts so far.
        """
        return self._native.remember_many(items)

    def update(
        self,
        id: str,
        *,
        content: str | Unset = UNSET,
        kind: Kind | Unset = UNSET,
        layer: Layer | Unset = UNSET,
        role: str | Unset | None = UNSET,
        speaker: str | Unset | None = UNSET,
        occurred_at: Time | Unset | None = UNSET,
        tags: Iterable[str] | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        importance: float | Unset = UNSET,
        confidence: float | Unset = UNSET,
        ttl: float | timedelta | Unset | None = UNSET,
        source: str | Unset | None = UNSET,
        trust_level: TrustLevel | Unset | None = UNSET,
        info_class: InfoClass | Unset = UNSET,
        valid_from: Time | Unset | None = UNSET,
        valid_to: Time | Unset | None = UNSET,
        superseded_by: str | Unset | None = UNSET,
        expected_version: int | None = None,
    ) -> Receipt:
        """Changes a memory: its id stays, its version grows, the old version stays in `history`.

        Fields that are left out stay; None clears a field. ttl counts from now; None lifts it.
        superseded_by: id of the memory that replaces this one. expected_version: raises
        ConflictError unless the memory has this version. Raises NotFoundError; InvalidInputError
        when nothing would change.
        """
        fields: dict[str, Any] = {
            "content": content,
            "kind": kind,
            "layer": layer,
            "role": role,
            "speaker": speaker,
            "occurred_at": occurred_at,
            "tags": tags,
            "metadata": metadata,
            "importance": importance,
            "confidence": confidence,
            "ttl": ttl,
            "source": source,
            "trust_level": trust_level,
            "info_class": info_class,
            "valid_from": valid_from,
            "valid_to": valid_to,
            "superseded_by": superseded_by,
            "expected_version": expected_version,
        }
        return self._native.update(id, changed(fields))

    def forget(
        self,
        id: str | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        scope: ForgetScope | None = None,
        target: str | None = None,
    ) -> Forgotten:
        """Erases memories from rows, words, vectors, history and the log; exactly one way:

        `forget(id)`: one memory (a missing one is no error: `deleted` is 0).
        `forget(filter={...})`: all that match; an empty filter is InvalidInputError.
        `forget(scope="session" | "user" | "project" | "tenant", target=name)`: a whole scope; a
        tenant's name must be the one of this handle.
        Memories derived from these alone go too.
        """
        return self._native.forget(id, filter, scope, target)

    def verify_erasure(
        self,
        receipt: Mapping[str, Any] | Forgotten,
        *,
        exports: Sequence[Path] = (),
        texts: Sequence[str] = (),
    ) -> ErasureReport:
        """Looks for whatever a receipt of `forget` names in every place of the project. Changes
        nothing; takes a time in proportion to the project.

        receipt: that of an answer of `forget`, or the answer.
        exports: export files to look into as well; not on a server.
        texts: texts that you know were erased, at most 16 of 4 to 1,000 bytes. They are looked for,
            whatever their case, in memories, history, jobs, stored sets and runs, the exports, and
            in the raw bytes of the store's own file (not on a server). Neither stored nor logged.

        Raises InvalidInputError with code "not_a_receipt"; "other_project" for that of another
        store or project; "no_ids" for one that names none, as that of a whole project;
        "invalid_texts".
        """
        named = receipt.receipt if isinstance(receipt, Forgotten) else receipt
        return self._native.verify_erasure(named, exports, texts)

    def feedback(self, id: str, useful: bool) -> Memory:
        """Says whether a memory helped: strength moves a fifth of the way to 1 or 0, importance a
        tenth. Gives the memory. Raises NotFoundError.
        """
        return self._native.feedback(id, useful)
