"""The twins of `rae._verbs.writing`. Written by scripts/async_verbs.py: change those instead."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rae._averbs.base import AsyncHandle
from rae._rae import ErasureReport, Forgotten, Memory, Receipt
from rae._types import UNSET, ForgetScope, InfoClass, Kind, Layer, Path, Time, TrustLevel, Unset


class AsyncRae(AsyncHandle):
    """Its verbs that write."""

    __slots__ = ()

    async def remember(
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
        """See `Rae.remember`."""
        return await self._run(
            self._rae.remember,
            content,
            kind=kind,
            layer=layer,
            role=role,
            speaker=speaker,
            session_id=session_id,
            occurred_at=occurred_at,
            tags=tags,
            metadata=metadata,
            importance=importance,
            confidence=confidence,
            ttl=ttl,
            source=source,
            trust_level=trust_level,
            info_class=info_class,
            agent_id=agent_id,
            user_id=user_id,
            valid_from=valid_from,
            valid_to=valid_to,
            infer=infer,
            idempotency_key=idempotency_key,
        )

    async def remember_many(self, items: Iterable[Mapping[str, Any]]) -> builtins.list[Receipt]:
        """See `Rae.remember_many`."""
        return await self._run(self._rae.remember_many, items)

    async def update(
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
        """See `Rae.update`."""
        return await self._run(
            self._rae.update,
            id,
            content=content,
            kind=kind,
            layer=layer,
            role=role,
            speaker=speaker,
            occurred_at=occurred_at,
            tags=tags,
            metadata=metadata,
            importance=importance,
            confidence=confidence,
            ttl=ttl,
            source=source,
            trust_level=trust_level,
            info_class=info_class,
            valid_from=valid_from,
            valid_to=valid_to,
            superseded_by=superseded_by,
            expected_version=expected_version,
        )

    async def forget(
        self,
        id: str | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        scope: ForgetScope | None = None,
        target: str | None = None,
    ) -> Forgotten:
        """See `Rae.forget`."""
        return await self._run(self._rae.forget, id, filter=filter, scope=scope, target=target)

    async def verify_erasure(
        self,
        receipt: Mapping[str, Any] | Forgotten,
        *,
        exports: Sequence[Path] = (),
        texts: Sequence[str] = (),
    ) -> ErasureReport:
        """See `Rae.verify_erasure`."""
        return await self._run(self._rae.verify_erasure, receipt, exports=exports, texts=texts)

    async def feedback(self, id: str, useful: bool) -> Memory:
        """See `Rae.feedback`."""
        return await self._run(self._rae.feedback, id, useful)
