"""The twins of `rae._verbs.reading`. Written by scripts/async_verbs.py: change those instead."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

from rae._averbs.base import AsyncHandle
from rae._rae import Context, Hits, Memory, MemoryVersion, Page
from rae._types import Array, EmbedRole, Kind, Layer, Time


class AsyncRae(AsyncHandle):
    """Its verbs that read."""

    __slots__ = ()

    async def recall(
        self,
        query: str,
        *,
        k: int = 10,
        layers: Iterable[Layer] | None = None,
        kinds: Iterable[Kind] | None = None,
        tags: Iterable[str] | None = None,
        tags_any: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        since: Time | None = None,
        until: Time | None = None,
        as_of: Time | None = None,
        known_at: Time | None = None,
        session_id: str | None = None,
        agent_id: str | None = None,
        user_id: str | None = None,
        min_score: float | None = None,
        max_tokens: int | None = None,
        graph_weight: float | None = None,
        rerank: bool = False,
        explain: bool = False,
    ) -> Hits:
        """See `Rae.recall`."""
        return await self._run(
            self._rae.recall,
            query,
            k=k,
            layers=layers,
            kinds=kinds,
            tags=tags,
            tags_any=tags_any,
            filter=filter,
            since=since,
            until=until,
            as_of=as_of,
            known_at=known_at,
            session_id=session_id,
            agent_id=agent_id,
            user_id=user_id,
            min_score=min_score,
            max_tokens=max_tokens,
            graph_weight=graph_weight,
            rerank=rerank,
            explain=explain,
        )

    async def context(
        self,
        query: str | None = None,
        *,
        session_id: str | None = None,
        max_tokens: int = 1000,
        agent_id: str | None = None,
        user_id: str | None = None,
        layers: Iterable[Layer] | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        min_score: float | None = None,
    ) -> Context:
        """See `Rae.context`."""
        return await self._run(
            self._rae.context,
            query,
            session_id=session_id,
            max_tokens=max_tokens,
            agent_id=agent_id,
            user_id=user_id,
            layers=layers,
            tags=tags,
            filter=filter,
            min_score=min_score,
        )

    async def get(self, id: str) -> Memory:
        """See `Rae.get`."""
        return await self._run(self._rae.get, id)

    async def list(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        layer: Layer | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Page:
        """See `Rae.list`."""
        return await self._run(self._rae.list, limit, cursor, layer=layer, tags=tags, filter=filter)

    async def history(self, id: str) -> builtins.list[MemoryVersion]:
        """See `Rae.history`."""
        return await self._run(self._rae.history, id)

    async def embed(self, texts: Iterable[str], *, role: EmbedRole = "document") -> Array:
        """See `Rae.embed`."""
        return await self._run(self._rae.embed, texts, role=role)

    async def vector(self, id: str) -> Array | None:
        """See `Rae.vector`."""
        return await self._run(self._rae.vector, id)
