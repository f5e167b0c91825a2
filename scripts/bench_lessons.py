"""Whether lessons help: a scripted agent on tasks that fail in recurring ways, with reflection and without.

bench_lessons.py [--seeds 20] [--tasks 100] [--floor]

The engine is the real one (`session`, `log`, `end`, `reflect`, `context` of the installed `rae` module, the rules alone, no model).
The agent is not a language model. It has a habit for each sort of task, tries other ways at random when that fails, and does first what
a lesson or strategy in its block says worked, by patterns over its words. It understands nothing else of the block: where a real model
would learn something from the plain turns, this one does not, so the figures say that lessons are made, found, and given where
they belong, not how much a given model gains.

What the script assumes: answers have the shapes that tools really give, a sort each: a field `error`, plain text, the output of a shell with an exit code, JSON with
`success: false`, MCP's `isError`; a good answer says nothing but what it found. Of the eight sorts two are helped by another argument that the script knows, one by calling again, one by
calling another tool first, and four by a tool that takes the same arguments. Sessions that did it end in success.

Each sort of trouble comes back with other ids, paths, places and numbers. Between them come tasks where nothing goes wrong: of those
the far ones share nothing with any trouble, and a lesson given there is a fault; the near ones share a word or the field, and how
often they get a lesson is reported.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
from dataclasses import dataclass, field

import rae

ATTEMPTS = 3
MAX_TOKENS = 300
AGAIN, OTHER = "making the same call again", "calling it with `small`"
FIRST = "wake_warehouse"
# What the agent can think of when its habit fails, beside the two above.
TOOLS = ["pay_invoice", "fetch_cached", "upload_file", "read_export", "translate_slow", FIRST]
CITIES = ["Oslo", "Bergen", "Rome", "Lima", "Kyoto", "Quebec", "Porto", "Graz", "Turku", "Cork"]
NAMES = ["Ada", "Bob", "Chen", "Dora", "Emil", "Fatima", "Goran", "Hana"]


@dataclass(frozen=True)
class Trouble:
    """A way in which the agent's habit fails, and what helps."""

    request: str
    tool: str
    arguments: str
    error: str
    helps: str
    shape: str = "field"


@dataclass(frozen=True)
class Easy:
    """A task that the habit does."""

    request: str
    tool: str


TROUBLES = [
    Trouble("Find a flight from {city} to {city2} for order {n}.", "search_flights", "from='{city}', days={n}",
            "Timeout after {n} s for request {hex} at /srv/search/{n}.json", OTHER, "field"),
    Trouble("Pay the bill of customer {n} by card, {n2} euros.", "pay_card", "customer={n}, amount={n2}",
            "Card {n2} declined by bank '{name}'", "pay_invoice", "json"),
    Trouble("Fetch the page https://{hex}.example/{n} for {name}.", "fetch_page", "url='https://{hex}.example/{n}'",
            "HTTP 403 for https://{hex}.example/{n}", "fetch_cached", "text"),
    Trouble("Send a mail with the photos of {city} to {name}, all {n} of them.", "send_mail", "to='{name}', files={n}",
            "Attachment of {n} MB is larger than {n2} MB", "upload_file", "mcp"),
    Trouble("Run the sales query for week {n} on the warehouse of {city}.", "run_query", "week={n}, of='{city}'",
            "connection to 10.0.{n}.7:{n2} was refused, wake the warehouse first", FIRST, "output"),
    Trouble("Reserve a seat in train {n} to {city}.", "reserve_seat", "train={n}, seat='{n2}A'",
            "seat '{n2}A' of train {n} is taken", OTHER, "json"),
    Trouble("Read the spreadsheet /home/{name}/{hex}.xlsx and tell the total.", "read_spreadsheet", "'/home/{name}/{hex}.xlsx'",
            "permission denied: /home/{name}/{hex}.xlsx", "read_export", "output"),
    Trouble("Translate document {hex} of {name} into Finnish.", "translate", "document='{hex}'",
            "language pair of job {hex} is not supported after {n} ms", AGAIN, "text"),
]  # fmt: skip
FAR = [
    Easy("What is seven times {n}?", "calculator"),
    Easy("Remind {name} to water the plants on Monday.", "set_reminder"),
    Easy("Who wrote the novel about the lighthouse?", "lookup_book"),
    Easy("Draw a picture of a blue whale.", "draw"),
    Easy("How warm is it in {city} right now?", "weather"),
]
NEAR = [
    Easy("Reserve a table for {n} at a restaurant in {city}.", "reserve_table"),
    Easy("Which mail did {name} send yesterday?", "list_mail"),
    Easy("How long is the flight to {city}, in hours?", "flight_facts"),
]


@dataclass
class Tally:
    """What one run of one agent came to."""

    recurring: list[bool] = field(default_factory=list)
    later: list[bool] = field(default_factory=list)
    easy: list[bool] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    far_lessons: int = 0
    far: int = 0
    near_lessons: int = 0
    near: int = 0


def filled(rng: random.Random) -> dict[str, str]:
    """The names and numbers of one task."""
    city, city2 = rng.sample(CITIES, 2)
    return {
        "city": city, "city2": city2, "name": rng.choice(NAMES), "hex": f"{rng.getrandbits(32):08x}",
        "n": str(rng.randint(2, 98)), "n2": str(rng.randint(100, 998)),
    }  # fmt: skip


def hints(block: str, tool: str) -> list[str]:
    """The fake model: what the lessons of a block say to do instead of calling `tool`."""
    named = []
    for told in (
        rf"- Calls of `{tool}` failed .*?What worked then: (.*)",
        rf"- After `{tool}` failed with '.*?', (.*?) worked,",
    ):
        for ways in re.findall(told, block):
            named += re.findall(rf"calling `(\w+)` (?:instead|first)|({AGAIN}|{OTHER})", ways)
    return list(dict.fromkeys(a or b for a, b in named))


def plan(block: str, tool: str, rng: random.Random) -> list[str]:
    """The ways that the agent will try, in their order; "" is its habit."""
    known, others = hints(block, tool), [AGAIN, OTHER, *TOOLS]
    rng.shuffle(others)
    # "The same again" and "this first" need the first call; other arguments and other tools do not.
    first = ["", *known] if AGAIN in known or FIRST in known else [*known, ""]
    return list(dict.fromkeys([*first, *others]))


def answer(shape: str, error: str | None) -> tuple[str, dict[str, object]]:
    """What a tool of this shape answers, in words and in fields."""
    if error is None:
        return "done", {"exit_code": 0} if shape == "output" else {}
    return {
        "field": ("no result", {"error": error}),
        "text": (f"Error: {error}", {}),
        "output": (f"starting\nusing 2 workers\nerror: {error}\nstopped", {"exit_code": 1}),
        "json": (json.dumps({"success": False, "message": error}), {}),
        "mcp": (json.dumps({"isError": True, "content": [{"type": "text", "text": error}]}), {}),
    }[shape]


def attempt(session: rae.Session, way: str, tool: str, arguments: str, error: str | None, shape: str) -> None:
    """One call and its answer, as an agent logs them."""
    called = way if way not in ("", AGAIN, OTHER) else tool
    shown = arguments if way != OTHER else f"{arguments}, small=True"
    text, fields = answer(shape, error)
    session.log("tool_call", f"{called}({shown})", {"tool": called})
    session.log("tool_response", text, {"tool": called, **fields})


def do(
    mem: rae.Rae, name: str, task: Trouble | Easy, values: dict[str, str], rng: random.Random
) -> tuple[bool, int, rae.Context]:
    """One task: whether it was done, in how many calls, and the block that was given for it."""
    request = task.request.format(**values)
    block = mem.context(request, max_tokens=MAX_TOKENS)
    session = mem.session(name)
    session.log("user_input", request)
    helps = task.helps if isinstance(task, Trouble) else ""
    arguments = task.arguments.format(**values) if isinstance(task, Trouble) else f"'{values['n']}'"
    fails = task.error.format(**values) if isinstance(task, Trouble) else "this is not the tool for that"
    habit_failed = False
    for calls, way in enumerate(plan(block.text, task.tool, rng)[:ATTEMPTS], 1):
        # A call that is made again helps only after the first; so does what was to be called before it, which then is made again.
        worked = way == helps and (way not in (AGAIN, FIRST) or habit_failed)
        habit_failed |= way == ""
        wrong = fails if way in ("", AGAIN, OTHER) else f"{way} cannot do this"
        shape = task.shape if isinstance(task, Trouble) else "field"
        attempt(session, way, task.tool, arguments, None if worked else wrong, shape)
        if worked and way == FIRST:
            attempt(session, "", task.tool, arguments, None, shape)
        if worked:
            session.end("success")
            return True, calls, block
    session.end("failure")
    return False, ATTEMPTS, block


def run(seed: int, tasks: int, reflects: bool) -> Tally:
    """One agent with a store of its own."""
    rng, tally = random.Random(seed), Tally()
    seen: dict[str, int] = {}
    with rae.open(":memory:") as mem:
        for i in range(tasks):
            kind = rng.choices([TROUBLES, FAR, NEAR], [6, 3, 1])[0]
            task = rng.choice(kind)
            values = filled(rng)
            done, calls, block = do(mem, f"task-{i}", task, values, random.Random(f"{seed} {i}"))
            lessons = sum(source.kind in ("lesson", "strategy") for source in block.sources)
            tally.tokens.append(block.token_count)
            if isinstance(task, Trouble):
                tally.recurring.append(done)
                tally.calls.append(calls)
                if seen.get(task.tool, 0) >= 2:
                    tally.later.append(done)
                seen[task.tool] = seen.get(task.tool, 0) + 1
            else:
                tally.easy.append(done)
                tally.far += kind is FAR
                tally.near += kind is NEAR
                tally.far_lessons += kind is FAR and lessons > 0
                tally.near_lessons += kind is NEAR and lessons > 0
            if reflects:
                mem.reflect(session_id=f"task-{i}")
    return tally


def rate(values: list[bool]) -> float:
    """The share of the true ones."""
    return sum(values) / len(values) if values else 0.0


def interval(values: list[float]) -> tuple[float, float, float]:
    """The mean over seeds and its 95 % interval, by resampling the seeds."""
    rng = random.Random(0)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(4_000))
    return statistics.fmean(values), means[100], means[3_899]


def percent(name: str, values: list[float]) -> float:
    """Prints a share with its interval; gives the mean."""
    mean, low, high = interval(values)
    print(f"  {name}: {100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]")
    return mean


def main() -> None:
    """Runs both agents on the same tasks, seed by seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument(
        "--floor", action="store_true", help="fail where lessons do not help, or are given where they do not belong"
    )
    args = parser.parse_args()
    runs = [(run(seed, args.tasks, True), run(seed, args.tasks, False)) for seed in range(args.seeds)]
    on, off = [a for a, _ in runs], [b for _, b in runs]
    recurring = sum(len(t.recurring) for t in on)
    print(
        f"{args.seeds} seeds of {args.tasks} tasks, {recurring} with trouble, rules alone; mean over seeds [95 % interval]"
    )
    print("reflection on")
    mine = percent("tasks with trouble that were done", [rate(t.recurring) for t in on])
    percent("those whose trouble came twice before", [rate(t.later) for t in on])
    easy = percent("tasks without trouble that were done", [rate(t.easy) for t in on])
    print("reflection off")
    percent("tasks with trouble that were done", [rate(t.recurring) for t in off])
    percent("those whose trouble came twice before", [rate(t.later) for t in off])
    percent("tasks without trouble that were done", [rate(t.easy) for t in off])
    print("difference, on less off")
    gain = percent("tasks with trouble that were done", [rate(a.recurring) - rate(b.recurring) for a, b in runs])
    for name, tallies in (("on", on), ("off", off)):
        tokens = statistics.fmean(token for t in tallies for token in t.tokens)
        calls = statistics.fmean(call for t in tallies for call in t.calls)
        print(
            f"{name}: {tokens:.0f} tokens of context a task (at most {MAX_TOKENS}), {calls:.2f} calls a task with trouble"
        )
    far, far_lessons = sum(t.far for t in on), sum(t.far_lessons for t in on)
    near, near_lessons = sum(t.near for t in on), sum(t.near_lessons for t in on)
    print(
        f"lessons given to tasks that are about something else: {far_lessons} of {far}; to near ones: {near_lessons} of {near}"
    )
    # Just under what five seeds give: nothing but the code moves the figures.
    if args.floor and not (gain >= 0.31 and mine >= 0.55 and easy == 1.0 and far_lessons == 0):
        sys.exit("lessons: FAILED, the figures are under their floors")


if __name__ == "__main__":
    main()
