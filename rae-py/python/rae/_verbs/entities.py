"""Verbs that ask the knowledge graph."""

from __future__ import annotations

import builtins
from collections.abc import Iterable

from rae._graph import EntityPage, GraphPath, Neighborhood, Snapshot, Subgraph
from rae._types import Time
from rae._verbs.base import Handle


class Rae(Handle):
    """Its verbs that ask the knowledge graph."""

    __slots__ = ()

    def entities(
        self,
        query: str | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        at: Time | None = None,
        snapshot: str | None = None,
    ) -> EntityPage:
        """A page of the entities that relations name.

        query: a name, the beginning of one, or words of it; without one all entities. Those whose
            name is the query come first, then those that begin with it, then those with its words;
            within these the ones with the most relations.
        limit: 1 to 1,000. cursor: `next_cursor` of the page before.
        at: what held at that time; default: what holds now and was not superseded.
        snapshot: what was known when the snapshot of this name was taken. NotFoundError without it.
        """
        args = {"query": query, "limit": limit, "cursor": cursor, "at": at, "snapshot": snapshot}
        return EntityPage._of(self._native.call("entities", args))

    def neighbors(
        self,
        entity: str,
        *,
        depth: int = 1,
        relation: str | None = None,
        at: Time | None = None,
        limit: int = 50,
        snapshot: str | None = None,
    ) -> Neighborhood:
        """What is around an entity, the nearest first, whichever way the relations point.

        depth: how many relations away at most, 1 to 5. relation: only by this one.
        limit: 1 to 1,000. at, snapshot: as in `entities`. Nothing is around a name that no relation
        has.
        """
        args = {
            "entity": entity,
            "depth": depth,
            "relation": relation,
            "at": at,
            "limit": limit,
            "snapshot": snapshot,
        }
        return Neighborhood._of(self._native.call("neighbors", args))

    def path(
        self, a: str, b: str, *, at: Time | None = None, snapshot: str | None = None
    ) -> GraphPath | None:
        """The cheapest way from one entity to another; None where there is none.

        Each relation costs 1 over its weight times its confidence, and may be gone both ways: with
        certain relations of weight 1 it is the shortest way. at, snapshot: as in `entities`.
        """
        args = {"a": a, "b": b, "at": at, "snapshot": snapshot}
        return GraphPath._of(self._native.call("path", args))

    def subgraph(
        self,
        entities: Iterable[str],
        *,
        depth: int = 2,
        at: Time | None = None,
        limit: int = 200,
        snapshot: str | None = None,
    ) -> Subgraph:
        """The entities around some, and the relations among them all.

        entities: at most 100 names. depth: how many relations away at most, 0 to 5.
        limit: most entities, 1 to 1,000. at, snapshot: as in `entities`.
        """
        names = [entities] if isinstance(entities, str) else builtins.list(entities)
        args = {
            "entities": names,
            "depth": depth,
            "at": at,
            "limit": limit,
            "snapshot": snapshot,
        }
        return Subgraph._of(self._native.call("subgraph", args))

    def snapshot(self, label: str) -> Snapshot:
        """Gives this instant a name, by which the graph can later be asked as it is known now.

        Nothing is copied: a later question reads the history. Raises ConflictError with code
        "snapshot_exists" for a name that is taken.
        """
        return Snapshot._of(self._native.call("snapshot", {"label": label}))

    def snapshots(self) -> builtins.list[Snapshot]:
        """The snapshots of the project, oldest first."""
        return [Snapshot._of(value) for value in self._native.call("snapshots", {})]
