"""Mistakes that a type checker must find: each marked line, and no other."""

from __future__ import annotations

import rae

mem = rae.open(":memory:")
mem.remember(5)  # wrong
mem.remember("x", kind="note")  # wrong
mem.remember("x", colour="red")  # wrong
mem.remember("x", layer="deep")  # wrong
mem.recall("x", k="5")  # wrong
mem.recall("x", 5)  # wrong
mem.update("id", content=None)  # wrong
mem.update("id", speaker=None)
mem.forget(scope="planet", target="earth")  # wrong
print(mem.recall("x")[0].scores)  # wrong
mem.get("id").version = 2  # wrong
rae.open(":memory:", durability="maybe")  # wrong
mem.embed(["x"], role="question")  # wrong
mem.embed("x", "query")  # wrong
mem.audit(10)  # wrong
print(mem.audit().findings[0].id)  # wrong
