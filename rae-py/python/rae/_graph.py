"""The knowledge graph: what its verbs give."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rae._money import _Record, _time


@dataclass(frozen=True, slots=True)
class Entity(_Record):
    """Someone or something that relations name."""

    name: str
    """The most frequent spelling."""
    aliases: list[str]
    """Other names that `same_as` relations join to it."""
    degree: int
    """Relations that hold at the time of the question, `same_as` aside."""


@dataclass(frozen=True, slots=True)
class EntityPage(_Record):
    """A page of entities, the best first. It is iterated and indexed as its items."""

    items: list[Entity]
    next_cursor: str | None
    """What `entities(cursor=...)` takes to go on; None on the last page."""

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Entity]:
        return iter(self.items)

    def __getitem__(self, index: int) -> Entity:
        return self.items[index]

    @classmethod
    def _of(cls, value: dict[str, Any]) -> EntityPage:
        return cls([Entity(**item) for item in value["items"]], value["next_cursor"])


@dataclass(frozen=True, slots=True)
class Relation(_Record):
    """A relation; `get(id)` has the rest."""

    id: str
    """The memory that claims it."""
    subject: str
    relation: str
    object: str
    weight: float
    """How strong it is."""
    confidence: float
    """How sure it is, 0 to 1."""
    valid_from: datetime
    """From when it holds, UTC."""
    valid_to: datetime | None
    """Until when it holds (exclusive), UTC; None where no end is known."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Relation:
        end = value["valid_to"]
        times = {
            "valid_from": _time(value["valid_from"]),
            "valid_to": None if end is None else _time(end),
        }
        return cls(**{**value, **times})


def _relations(values: builtins.list[dict[str, Any]]) -> builtins.list[Relation]:
    return [Relation._of(value) for value in values]


@dataclass(frozen=True, slots=True)
class Neighbor(_Record):
    """An entity that was reached."""

    name: str
    depth: int
    """Relations on the shortest way to it."""
    strength: float
    """Weight times confidence of `relation`."""
    relation: Relation
    """The strongest relation by which it was reached."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Neighbor:
        return cls(**{**value, "relation": Relation._of(value["relation"])})


@dataclass(frozen=True, slots=True)
class Neighborhood(_Record):
    """What is around an entity. It is iterated and indexed as its neighbors."""

    entity: Entity | None
    """None where no relation names it."""
    neighbors: list[Neighbor]
    """Near ones first, then those with the stronger relation, then by name."""
    truncated: bool
    """Whether there are more."""

    def __len__(self) -> int:
        return len(self.neighbors)

    def __iter__(self) -> Iterator[Neighbor]:
        return iter(self.neighbors)

    def __getitem__(self, index: int) -> Neighbor:
        return self.neighbors[index]

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Neighborhood:
        entity = value["entity"]
        found = None if entity is None else Entity(**entity)
        return cls(found, [Neighbor._of(n) for n in value["neighbors"]], value["truncated"])


@dataclass(frozen=True, slots=True)
class GraphPath(_Record):
    """A way from one entity to another."""

    entities: list[str]
    """Both ends included."""
    relations: list[Relation]
    """One fewer."""
    cost: float
    """The sum of 1 over weight times confidence."""

    @classmethod
    def _of(cls, value: dict[str, Any] | None) -> GraphPath | None:
        if value is None:
            return None
        return cls(value["entities"], _relations(value["relations"]), value["cost"])


@dataclass(frozen=True, slots=True)
class Subgraph(_Record):
    """Entities and what relates them."""

    entities: list[Entity]
    """Those asked about first, then the near ones."""
    relations: list[Relation]
    truncated: bool
    """Whether there is more within that depth."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Subgraph:
        entities = [Entity(**entity) for entity in value["entities"]]
        return cls(entities, _relations(value["relations"]), value["truncated"])


@dataclass(frozen=True, slots=True)
class Snapshot(_Record):
    """An instant of the knowledge graph with a name."""

    id: str
    """The memory that holds it; `forget` of it forgets the snapshot."""
    label: str
    at: datetime
    """The instant, UTC: what was stored by then is in it."""

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Snapshot:
        return cls(**{**value, "at": _time(value["at"])})
