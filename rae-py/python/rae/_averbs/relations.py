"""The twins of `rae._verbs.relations`. Written by scripts/async_verbs.py: change those instead."""

from __future__ import annotations

from rae._averbs.base import AsyncHandle
from rae._rae import Page, Receipt
from rae._types import InfoClass, Time, TrustLevel


class AsyncRae(AsyncHandle):
    """Its verbs about relations."""

    __slots__ = ()

    async def relate(
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
        """See `Rae.relate`."""
        return await self._run(
            self._rae.relate,
            subject,
            relation,
            object,
            weight=weight,
            confidence=confidence,
            valid_from=valid_from,
            valid_to=valid_to,
            source_id=source_id,
            user_id=user_id,
            agent_id=agent_id,
            trust_level=trust_level,
            info_class=info_class,
        )

    async def relations(
        self,
        subject: str | None = None,
        relation: str | None = None,
        object: str | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """See `Rae.relations`."""
        return await self._run(
            self._rae.relations, subject, relation, object, limit=limit, cursor=cursor
        )
