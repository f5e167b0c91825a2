"""Verbs that write relations and list them."""

from __future__ import annotations

from rae._rae import Page, Receipt
from rae._types import InfoClass, Time, TrustLevel
from rae._verbs.base import Handle


class Rae(Handle):
    """Its verbs about relations."""

    __slots__ = ()

    def relate(
        self,
        subject: str,
        relation: str,
        object: str,
        *,
        weight: float = 1.0,
        confidence: float = 1.0,
        valid_from: Time | None = None,
        valid_to: Time | None = None,
        source_id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        trust_level: TrustLevel | None = None,
        info_class: InfoClass | None = None,
    ) -> Receipt:
        """Stores a relation: a fact in words ("Ada works at Acme") that carries subject, relation
        and object as its `claim`. No model is called.

        subject, object: names of 1 to 200 characters, compared whatever their case and spacing.
        relation: such as "works_at": letters, digits and underscores, at most 64; "Works at" is the
            same.
        weight: how strong it is, more than 0 and at most 1,000. confidence: 0 to 1.
        valid_from, valid_to: when it holds; the end is exclusive.
        source_id: the memory that says so; forgetting it takes what it alone said.
        user_id, agent_id: whose it is: erased with the user, and merges with that one's alone.
        trust_level, info_class: as in `remember`, "internal" by default.

        The same relation with the same validity merges: `receipt.merged`. The id is that of a
        memory, for `get`, `update`, `history` and `forget`. Raises NotFoundError where source_id
        names no memory.
        """
        return self._native.relate(
            {
                "subject": subject,
                "relation": relation,
                "object": object,
                "weight": weight,
                "confidence": confidence,
                "valid_from": valid_from,
                "valid_to": valid_to,
                "source_id": source_id,
                "user_id": user_id,
                "agent_id": agent_id,
                "trust_level": trust_level,
                "info_class": info_class,
            }
        )

    def relations(
        self,
        subject: str | None = None,
        relation: str | None = None,
        object: str | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """A page of relations, oldest first: the memories that carry them, past ones too.

        subject, relation, object: only those, compared as in `relate`. limit: 1 to 1,000.
        cursor: `next_cursor` of the page before.
        """
        return self._native.relations(
            {
                "subject": subject,
                "relation": relation,
                "object": object,
                "limit": limit,
                "cursor": cursor,
            }
        )
