"""One agent, two runs: what it learnt in the first is there in the second.

The memory is real, the model is not: `fake_model` stands where your call to a provider goes.
It reads the prompt and nothing else, so what it knows it knows from memory.

    python agent_loop.py
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import rae

SYSTEM = "You are Kit, an assistant. Use what you remember; say so when you remember nothing."


def fake_model(prompt: str) -> str:
    """Stands in for a language model: answers a question with the first memory in its prompt."""
    memory, now = prompt.split("# Memory\n", 1)[1].split("\n# Now\n", 1)
    if not now.endswith("?"):
        return "Noted."
    return f"I remember: {memory.strip().splitlines()[0]}" if memory.strip() else "I do not know."


def turn(mem: Any, session: str, speaker: str, said: str) -> str:
    """One turn of the loop: look back, answer, remember both sides."""
    # 1. Before the model: the memories that matter for this message, cut to a token budget.
    memory = mem.context(said, max_tokens=200)

    # 2. The model sees the memories and the message.
    answer = fake_model(f"{SYSTEM}\n# Memory\n{memory.text}\n# Now\n{speaker}: {said}")

    # 3. After the model: keep what was said, by whom and when. No model runs to store it.
    now = datetime.now().astimezone().isoformat()
    where = {"session_id": session, "occurred_at": now, "kind": "conversation"}
    mem.remember_many(
        [
            {"content": said, "speaker": speaker, "role": "user", **where},
            {"content": answer, "speaker": "Kit", "role": "assistant", **where},
        ]
    )
    return answer


def talk(path: Path, session: str, messages: list[str]) -> None:
    """One run of the agent. Opening the file is all it takes to have its memories back."""
    with rae.open(str(path), tenant="demo", project="agent-loop") as mem:
        print(f"\n[{session}] {mem.stats().memories} memories")
        for said in messages:
            print(f"  Ines: {said}")
            print(f"  Kit:  {turn(mem, session, 'Ines', said)}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rae-agent-") as folder:
        path = Path(folder) / "agent.rae"
        talk(
            path,
            "monday",
            [
                "The ferry to the island leaves at ten past seven, and only on weekdays.",
                "My sister is vegetarian, keep that in mind for Friday's dinner.",
            ],
        )
        talk(
            path,
            "thursday",
            ["Could my sister eat roast lamb tomorrow?", "When does the ferry leave?"],
        )


if __name__ == "__main__":
    main()
