"""The commands of `rae` about relations and the graph."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import rae
from rae._terminal import as_json, ink, moment, paragraph, printable

Opened = Callable[..., rae.Rae]
Command = Callable[
    [str, Callable[[argparse.Namespace], int], str],
    argparse.ArgumentParser,
]
SUMMARIES = {"and": [{"kind": "entity-summary"}, {"tags": {"contains": "rae:community"}}]}


def chosen(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given, under the names of the verbs."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def arrow(relation: rae.Relation) -> str:
    """A relation in one line."""
    line = f"{relation.subject} --{relation.relation}--> {relation.object}"
    return printable(line) + ink(since(relation.valid_from, relation.valid_to), "dim")


def since(start: Any, end: Any) -> str:
    """When it holds; nothing where no end is known."""
    return f"  {moment(start)} to {moment(end)}" if end else ""


def more(cursor: str | None) -> None:
    if cursor:
        print(ink(f"more: --cursor {cursor}", "dim"))


class Graph:
    """The commands, on the store that `opened` gives."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened

    def relate(self, args: argparse.Namespace) -> int:
        options = chosen(args, "weight", "confidence", "valid_from", "valid_to", "source_id")
        with self.opened(args, create=True) as mem:
            receipt = mem.relate(args.subject, args.relation, args.object, **options)
        if args.json:
            as_json(receipt)
        else:
            print(("was there already, as " if receipt.merged else "related ") + receipt.id)
        return 0

    def relations(self, args: argparse.Namespace) -> int:
        options = chosen(args, "subject", "relation", "object", "cursor")
        with self.opened(args) as mem:
            page = mem.relations(limit=args.limit, **options)
        if args.json:
            as_json(page)
            return 0
        for memory in page.items:
            if claim := memory.claim:
                line = printable(f"{claim.subject} --{claim.relation}--> {claim.object}")
                start = memory.valid_from or memory.occurred_at or memory.created_at
                print(f"{memory.id}  {line}{ink(since(start, memory.valid_to), 'dim')}")
        more(page.next_cursor)
        return 0

    def entities(self, args: argparse.Namespace) -> int:
        options = chosen(args, "cursor", "at", "snapshot")
        with self.opened(args) as mem:
            page = mem.entities(args.query, limit=args.limit, **options)
        if args.json:
            as_json(page)
            return 0
        for entity in page.items:
            also = f"  also {', '.join(entity.aliases)}" if entity.aliases else ""
            print(f"{entity.degree:5}  {printable(entity.name)}{ink(printable(also), 'dim')}")
        more(page.next_cursor)
        return 0

    def neighbors(self, args: argparse.Namespace) -> int:
        options = chosen(args, "relation", "at", "snapshot")
        with self.opened(args) as mem:
            found = mem.neighbors(args.entity, depth=args.depth, limit=args.limit, **options)
        if args.json:
            as_json(found)
            return 0
        for near in found.neighbors:
            print(f"{near.depth}  {printable(near.name).ljust(24)}  {arrow(near.relation)}")
        if not found.neighbors:
            print("nothing is around it" if found.entity else "no relation names it")
        if found.truncated:
            print(ink("there are more; --limit shows up to 1,000", "dim"))
        return 0

    def path(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            found = mem.path(args.a, args.b, **chosen(args, "at", "snapshot"))
        if args.json:
            as_json(found)
        elif found is None:
            print("there is no way from one to the other")
        else:
            print(printable(" - ".join(found.entities)))
            for relation in found.relations:
                print(f"  {arrow(relation)}")
        return 0 if found else 1

    def subgraph(self, args: argparse.Namespace) -> int:
        options = chosen(args, "at", "snapshot")
        with self.opened(args) as mem:
            found = mem.subgraph(args.entities, depth=args.depth, limit=args.limit, **options)
        if args.json:
            as_json(found)
            return 0
        for relation in found.relations:
            print(arrow(relation))
        count = f"{len(found.entities):,} entities, {len(found.relations):,} relations"
        print(ink(count + (", and more" if found.truncated else ""), "dim"))
        return 0

    def snapshot(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            made = mem.snapshot(args.label)
        if args.json:
            as_json(made)
        else:
            print(f"{printable(made.label)} is {moment(made.at)}")
        return 0

    def snapshots(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            found = mem.snapshots()
        if args.json:
            as_json(found)
            return 0
        for one in found:
            print(f"{one.id}  {moment(one.at)}  {printable(one.label)}")
        return 0

    def communities(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            page = mem.list(args.limit, args.cursor, filter=SUMMARIES)
        if args.json:
            as_json(page)
            return 0
        for memory in page.items:
            print(memory.id)
            paragraph(memory.content, "  ")
        if not page.items:
            print(f"there are none; `rae maintain {args.store}` looks for them")
        more(page.next_cursor)
        return 0


def add(command: Command, opened: Opened) -> None:
    """Adds them to the command line."""
    graph = Graph(opened)

    def paged(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--limit", type=int, default=50, metavar="N", help="size of the page (50)")
        sub.add_argument("--cursor", metavar="CURSOR", help="go on where the page before ended")

    def timed(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--at", metavar="TIME", help="what held then")
        sub.add_argument("--snapshot", metavar="LABEL", help="what was known at this snapshot")

    sub = command("relate", graph.relate, "store a relation; makes the file where there is none")
    sub.add_argument("subject", metavar="SUBJECT")
    sub.add_argument("relation", metavar="RELATION", help="such as works_at")
    sub.add_argument("object", metavar="OBJECT")
    sub.add_argument("--weight", type=float, metavar="W", help="how strong it is (1)")
    sub.add_argument("--confidence", type=float, metavar="0..1", help="how sure it is (1)")
    sub.add_argument("--from", dest="valid_from", metavar="TIME", help="since when it holds")
    sub.add_argument("--to", dest="valid_to", metavar="TIME", help="until when it held")
    sub.add_argument("--source", dest="source_id", metavar="ID", help="the memory that says so")

    sub = command("relations", graph.relations, "list relations, oldest first, past ones too")
    sub.add_argument("--subject", metavar="NAME")
    sub.add_argument("--relation", metavar="RELATION")
    sub.add_argument("--object", metavar="NAME")
    paged(sub)

    sub = command("entities", graph.entities, "list what relations name, with how many do")
    sub.add_argument("query", metavar="QUERY", nargs="?", help="a name, or the beginning of one")
    paged(sub)
    timed(sub)

    sub = command("neighbors", graph.neighbors, "show what is around an entity")
    sub.add_argument("entity", metavar="ENTITY")
    sub.add_argument("--depth", type=int, default=1, metavar="N", help="relations away, 1 to 5 (1)")
    sub.add_argument("--relation", metavar="RELATION", help="only by this one")
    sub.add_argument("--limit", type=int, default=50, metavar="N", help="most neighbors (50)")
    timed(sub)

    sub = command("path", graph.path, "show the cheapest way between two entities; 1 if none")
    sub.add_argument("a", metavar="A")
    sub.add_argument("b", metavar="B")
    timed(sub)

    sub = command("subgraph", graph.subgraph, "show the relations around some entities")
    sub.add_argument("entities", metavar="ENTITY", nargs="+")
    sub.add_argument("--depth", type=int, default=2, metavar="N", help="relations away, 0 to 5 (2)")
    sub.add_argument("--limit", type=int, default=200, metavar="N", help="most entities (200)")
    timed(sub)

    sub = command("snapshot", graph.snapshot, "give what is known of the graph now a name")
    sub.add_argument("label", metavar="LABEL")
    command("snapshots", graph.snapshots, "list the snapshots of the graph")
    sub = command("communities", graph.communities, "list the communities of the graph")
    paged(sub)
