"""The twins of `rae._verbs.entities`. Written by scripts/async_verbs.py: change those instead."""

from __future__ import annotations

import builtins
from collections.abc import Iterable

from rae._averbs.base import AsyncHandle
from rae._graph import EntityPage, GraphPath, Neighborhood, Snapshot, Subgraph
from rae._types import Time


class AsyncRae(AsyncHandle):
    """Its verbs that ask the knowledge graph."""

    __slots__ = ()

    async def entities(
        self,
        query: str | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        at: Time | None = None,
        snapshot: str | None = None,
    ) -> EntityPage:
        """See `Rae.entities`."""
        return await self._run(
            self._rae.entities, query, limit=limit, cursor=cursor, at=at, snapshot=snapshot
        )

    async def neighbors(
        self,
        entity: str,
        *,
        depth: int = 1,
        relation: str | None = None,
        at: Time | None = None,
        limit: int = 50,
        snapshot: str | None = None,
    ) -> Neighborhood:
        """See `Rae.neighbors`."""
        return await self._run(
            self._rae.neighbors,
            entity,
            depth=depth,
            relation=relation,
            at=at,
            limit=limit,
            snapshot=snapshot,
        )

    async def path(
        self, a: str, b: str, *, at: Time | None = None, snapshot: str | None = None
    ) -> GraphPath | None:
        """See `Rae.path`."""
        return await self._run(self._rae.path, a, b, at=at, snapshot=snapshot)

    async def subgraph(
        self,
        entities: Iterable[str],
        *,
        depth: int = 2,
        at: Time | None = None,
        limit: int = 200,
        snapshot: str | None = None,
    ) -> Subgraph:
        """See `Rae.subgraph`."""
        return await self._run(
            self._rae.subgraph, entities, depth=depth, at=at, limit=limit, snapshot=snapshot
        )

    async def snapshot(self, label: str) -> Snapshot:
        """See `Rae.snapshot`."""
        return await self._run(self._rae.snapshot, label)

    async def snapshots(self) -> builtins.list[Snapshot]:
        """See `Rae.snapshots`."""
        return await self._run(self._rae.snapshots)
