"""What the graph's verbs give in Python; what they answer is in the scenarios."""

from __future__ import annotations

import pickle
from datetime import datetime, timezone

import pytest

import rae

RELATION = {
    "id": "019b76da-a800-7f8b-b8ba-e301f1cd0878",
    "subject": "Ada",
    "relation": "works_at",
    "object": "Acme",
    "weight": 1.0,
    "confidence": 1.0,
    "valid_from": "2026-01-01T00:00:00Z",
    "valid_to": None,
}


@pytest.fixture
def mem() -> rae.Rae:
    return rae.open(":memory:")


def test_an_empty_graph_answers_with_nothing(mem: rae.Rae) -> None:
    page = mem.entities()
    assert (page.items, page.next_cursor, len(page), list(page)) == ([], None, 0, [])
    around = mem.neighbors("Ada")
    assert around.to_dict() == {"entity": None, "neighbors": [], "truncated": False}
    assert mem.path("Ada", "Bob") is None
    assert mem.subgraph(["Ada"]).to_dict() == {"entities": [], "relations": [], "truncated": False}
    assert mem.subgraph("Ada") == mem.subgraph(["Ada"])


def test_a_snapshot_has_a_time_and_its_name_is_taken_once(mem: rae.Rae) -> None:
    taken = mem.snapshot("first")
    assert mem.snapshots() == [taken]
    assert taken.at.tzinfo is not None
    assert taken.at <= datetime.now(timezone.utc)
    assert taken.label == "first"
    assert mem.get(taken.id).tags == ["rae:snapshot", "pinned"]
    with pytest.raises(rae.ConflictError) as raised:
        mem.snapshot("first")
    assert raised.value.code == "snapshot_exists"
    with pytest.raises(rae.NotFoundError):
        mem.entities(snapshot="second")


def test_answers_are_iterated_compared_pickled_and_made_plain() -> None:
    from rae._graph import GraphPath, Neighborhood

    one = {"name": "Acme", "depth": 1, "strength": 1.0, "relation": RELATION}
    entity = {"name": "Ada", "aliases": [], "degree": 1}
    around = Neighborhood._of({"entity": entity, "neighbors": [one], "truncated": False})
    assert [n.name for n in around] == ["Acme"]
    assert around[0] is around.neighbors[0]
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert around[0].relation.valid_from == start
    assert around[0].relation.valid_to is None
    assert around.to_dict()["neighbors"][0]["relation"] == {**RELATION, "valid_from": start}
    assert pickle.loads(pickle.dumps(around)) == around
    path = GraphPath._of({"entities": ["Ada", "Acme"], "relations": [RELATION], "cost": 1.0})
    assert path is not None
    assert path.relations == [around[0].relation]
    assert GraphPath._of(None) is None


def test_what_is_out_of_bounds_is_invalid_input(mem: rae.Rae) -> None:
    for call in (
        lambda: mem.neighbors("Ada", depth=6),
        lambda: mem.neighbors("", depth=1),
        lambda: mem.entities(limit=0),
        lambda: mem.entities(cursor="x"),
        lambda: mem.subgraph([]),
        lambda: mem.path("Ada", "x" * 201),
        lambda: mem.snapshot(" "),
        lambda: mem.neighbors("Ada", at="yesterday"),
    ):
        with pytest.raises(rae.InvalidInputError):
            call()
