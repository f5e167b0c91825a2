"""A program that cannot spend more than it may: a budget, a meter round a call, and what was spent.

    python budget.py [STORE]

It needs `rae` and nothing else, and calls no model: `fake_client` stands for the client of your
provider. With a key in the environment (`OPENAI_API_KEY`), `mem.llm([...], model="gpt-4o-mini")`
makes the call itself, holds the money before it and books it after.
"""

from __future__ import annotations

import sys
from typing import Any

import rae

MODEL = "gpt-4o-mini"


def fake_client(messages: list[dict[str, str]], max_tokens: int) -> dict[str, Any]:
    """The answer of a provider, with the usage that it counted."""
    words = sum(len(message["content"].split()) for message in messages)
    return {
        "content": "It leaves from the old pier.",
        "usage": {"prompt_tokens": words + 10, "completion_tokens": min(max_tokens, 8)},
    }


def main(path: str) -> None:
    with rae.open(path) as mem:
        # Enough for about three calls of at most 500 tokens.
        mem.set_budget(daily_limit="0.001", monthly_limit=10, warning_threshold=0.5)
        messages = [{"role": "user", "content": "Where does the ferry leave from?"}]
        for user in ("ada", "ben"):
            with mem.meter("openai", MODEL, messages=messages, max_output_tokens=500, user_id=user) as call:
                answer = fake_client(messages, max_tokens=500)
                call.used(answer["usage"])
            print(f"{user}: held ${call.held_usd}, cost ${call.cost_usd}")

        # A call that could pass the limit is refused before it is made.
        try:
            with mem.meter("openai", MODEL, messages=messages, max_output_tokens=5000):
                raise AssertionError("the budget has no room for this call")
        except rae.BudgetExceededError as error:
            print(f"refused: {error.code}")

        today = mem.budget().daily
        print(f"today: ${today.used_usd} of ${today.limit_usd}, ${today.remaining_usd} are left")
        for row in mem.costs(group_by=["user"]).items:
            print(f"{row.user}: {row.calls} call, ${row.cost_usd}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ":memory:")
