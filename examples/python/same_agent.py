"""One agent, written once: its memory is a file, or a server, as you say.

    python same_agent.py agent.rae
    python same_agent.py http://127.0.0.1:8000

For a server that wants a key, set RAE_API_KEY.
"""

from __future__ import annotations

import os
import sys

import rae


def memory(place: str) -> rae.Rae:
    """The only line that knows where memories lie."""
    if place.startswith(("http://", "https://")):
        return rae.connect(place, api_key=os.environ.get("RAE_API_KEY"), tenant="demo")
    return rae.open(place, tenant="demo")


def agent(mem: rae.Rae) -> None:
    mem.remember_many(
        [
            {"content": "Ines is allergic to hazelnuts.", "kind": "fact"},
            {"content": "The ferry leaves at ten past seven.", "speaker": "Ines", "session_id": "s1"},
        ]
    )
    (hit,) = mem.recall("What is Ines allergic to?", k=1)
    print(hit.content)
    print(mem.context("When does the ferry leave?", max_tokens=100).text)
    print(mem.stats().memories, "memories")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with memory(sys.argv[1]) as mem:
        agent(mem)
