"""The commands of `rae` about relations and the graph."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_cli import Cli

import rae


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def graph(cli: Cli) -> Cli:
    cli("relate", "a.rae", "Ada", "works_at", "Acme", "--from", "2024-01-01")
    cli("relate", "a.rae", "Acme", "located_in", "Oslo", "--weight", 2)
    cli("relate", "a.rae", "Bob", "works_at", "Acme", "--from", "2020-01-01", "--to", "2022-01-01")
    return cli


def test_relations_are_written_once_and_listed(cli: Cli) -> None:
    said = cli("remember", "a.rae", "Ada works at Acme.").stdout.split()[-1]
    first = cli.json("relate", "a.rae", "Ada", "Works at", "Acme", "--source", said)
    assert not first["merged"]
    assert "was there already" in cli("relate", "a.rae", "ada", "works_at", "ACME").stdout
    listed = cli("relations", "a.rae", "--subject", "ada").stdout
    assert f"{first['id']}  Ada --works_at--> Acme" in listed
    page = cli.json("relations", "a.rae", "--relation", "works_at", "--limit", 1)
    assert page["items"][0]["claim"]["object"] == "Acme"
    assert page["items"][0]["derived_from"] == [said]
    assert cli("relations", "a.rae", "--object", "nobody").stdout == ""


def test_the_graph_is_shown(graph: Cli) -> None:
    assert "    2  Acme" in graph("entities", "a.rae").stdout
    assert graph.json("entities", "a.rae", "osl")["items"][0]["name"] == "Oslo"
    near = graph("neighbors", "a.rae", "Ada", "--depth", 2).stdout
    assert near.index("Acme") < near.index("Oslo")
    assert "Bob" in graph("neighbors", "a.rae", "Acme", "--at", "2021-01-01").stdout
    assert graph("neighbors", "a.rae", "nobody").stdout == "no relation names it\n"
    way = graph("path", "a.rae", "Ada", "Oslo").stdout
    assert way.startswith("Ada - Acme - Oslo\n")
    assert graph.json("path", "a.rae", "Ada", "Oslo")["cost"] == 1.5
    around = graph("subgraph", "a.rae", "Ada", "Oslo", "--depth", 1).stdout
    assert "3 entities, 2 relations" in around
    assert len(graph.json("subgraph", "a.rae", "Ada")["relations"]) == 2


def test_no_way_between_two_entities_is_exit_code_1(graph: Cli) -> None:
    assert "no way" in graph("path", "a.rae", "Ada", "nobody", code=1).stdout
    assert graph("path", "a.rae", "Ada", "nobody", "--json", code=1).stdout == "null\n"


def test_a_snapshot_shows_what_was_known(graph: Cli) -> None:
    assert graph("snapshot", "a.rae", "before").stdout.startswith("before is ")
    graph("relate", "a.rae", "Ada", "likes", "tea")
    known = graph.json("neighbors", "a.rae", "Ada", "--snapshot", "before")
    assert [near["name"] for near in known["neighbors"]] == ["Acme"]
    assert "before" in graph("snapshots", "a.rae").stdout
    assert graph.json("snapshots", "a.rae")[0]["label"] == "before"
    assert "snapshot" in graph("snapshot", "a.rae", "before", code=1).stderr
    assert "snapshot" in graph("entities", "a.rae", "--snapshot", "none", code=1).stderr


def test_communities_are_those_that_maintain_found(graph: Cli) -> None:
    assert "rae maintain a.rae" in graph("communities", "a.rae").stdout
    graph("maintain", "a.rae")
    assert "belong together" in graph("communities", "a.rae").stdout
    assert graph.json("communities", "a.rae")["items"][0]["kind"] == "entity-summary"


def test_wrong_usage_is_exit_code_2(graph: Cli) -> None:
    assert "depth" in graph("neighbors", "a.rae", "Ada", "--depth", 9, code=2).stderr
    assert "weight" in graph("relate", "a.rae", "a", "b", "c", "--weight", 0, code=2).stderr
    assert "no store" in graph("entities", "none.rae", code=2).stderr
    graph("subgraph", "a.rae", code=2)


def test_the_weight_of_the_graph_is_an_option_of_recall(graph: Cli, tmp_path: Path) -> None:
    shown = graph.json("recall", "a.rae", "What does Ada do?", "--graph-weight", 0.2)
    by_text = {hit["content"]: hit["signals"]["graph"] for hit in shown["hits"]}
    assert by_text["Ada works at Acme"] == 1.0
    assert "graph_weight" in graph("recall", "a.rae", "Ada", "--graph-weight", 2, code=2).stderr
    with rae.open(tmp_path / "a.rae") as mem:
        assert len(mem.recall("Ada", graph_weight=0.0)) > 0


def test_what_sessions_teach_and_what_waits_is_shown(cli: Cli, tmp_path: Path) -> None:
    with rae.open(tmp_path / "a.rae") as mem:
        session = mem.session("trip")
        session.log("tool_call", "pay(card=1)", {"tool": "pay"})
        session.log("tool_response", "Error: card declined", {"tool": "pay"})
        session.end("failure")
    rae.open(tmp_path / "empty.rae").close()
    assert cli("jobs", "empty.rae").stdout == "no jobs wait\n"
    assert "reflect" in cli("jobs", "a.rae").stdout
    assert cli("jobs", "a.rae", "--dead").stdout == "no jobs failed for good\n"
    learnt = cli("reflect", "a.rae", "--session", "trip").stdout
    assert "lesson" in learnt
    assert "card declined" in learnt
    assert cli("reflect", "a.rae").stdout == "nothing new\n"
    kinds = {item["kind"] for item in cli.json("reflections", "a.rae")["items"]}
    assert kinds == {"lesson", "reflection"}
    assert "card declined" in cli("reflections", "a.rae").stdout
    missing = cli("requeue", "a.rae", "019b76da-a800-7f8b-b8ba-e301f1cd0878", code=1)
    assert "dead letter" in missing.stderr
