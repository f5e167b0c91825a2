"""RAE in one minute: remember nine months of conversation, then ask about them.

`make demo` runs this file. It opens a store in a temporary folder (or at the path given as
the first argument), remembers `examples/data/lighthouse.jsonl` session by session, asks twelve
questions whose answers are known, builds a context block for a prompt, updates a fact, and
opens the same file again. It needs Python 3.10 and `rae`, and nothing else.

    python quickstart.py [STORE]

The exit code is 1 when fewer than nine of the twelve questions have their evidence among the
first three memories, or when a memory is missing after the file was opened again.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import rae

DATA = Path(__file__).resolve().parent.parent / "data"
TENANT, PROJECT = "demo", "lighthouse"
FETCHED = 3
FOUND_MIN = 9
QUOTE_LINES_MAX = 3
CONTEXT_TOKENS = 300
CONTEXT_QUESTION = "What can Tomas and Noa not eat?"

# A signal's name in `hit.signals`, and the plain word this page prints for it.
SIGNALS = {
    "dense": "meaning",
    "lexical": "words",
    "passage": "passage",
    "actor": "speaker",
    "session": "session",
    "time": "time",
    "graph": "graph",
}
SIGNAL_SHOWN_MIN = 0.05
SIGNALS_SHOWN_MAX = 5

Turn = dict[str, str]


@dataclass
class Page:
    """Writes to the terminal: width, colour and the characters it can show."""

    width: int = field(default_factory=lambda: max(48, min(100, shutil.get_terminal_size().columns)))
    colour: bool = field(
        default_factory=lambda: (
            sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )
    )
    unicode: bool = field(default_factory=lambda: "utf" in (sys.stdout.encoding or "").lower())

    CODES: ClassVar[dict[str, str]] = {
        "bold": "1",
        "dim": "2",
        "green": "32",
        "yellow": "33",
        "cyan": "36",
        "red": "31",
    }

    def ink(self, text: str, *styles: str) -> str:
        if not self.colour or not styles or not text:
            return text
        return f"\x1b[{';'.join(self.CODES[s] for s in styles)}m{text}\x1b[0m"

    def glyph(self, pretty: str, plain: str) -> str:
        return pretty if self.unicode else plain

    def bar(self, share: float, cells: int) -> str:
        full = round(max(0.0, min(1.0, share)) * cells)
        return self.glyph("━", "=") * full + " " * (cells - full)

    def level(self, share: float) -> str:
        """One character whose height is the share, on a terminal that has it."""
        return "▁▂▃▄▅▆▇█"[min(7, int(max(0.0, share) * 8))] if self.unicode else ""

    def line(self, text: str = "") -> None:
        print(text)

    def sides(self, left: str, right: str, indent: int = 2, styles: tuple[str, ...] = ()) -> None:
        """`left` and, at the right margin, `right` in dim; `left` wraps when it is long."""
        room = self.width - indent - len(right) - 2
        rows = textwrap.wrap(left, room) or [""]
        gap = " " * (self.width - indent - len(rows[0]) - len(right))
        self.line(" " * indent + self.ink(rows[0], *styles) + gap + self.ink(right, "dim"))
        for row in rows[1:]:
            self.line(" " * indent + self.ink(row, *styles))

    def wrapped(self, text: str, prefix: str, *styles: str, lines_max: int | None = None) -> None:
        mark = self.glyph(" …", " ...")
        options: dict[str, Any] = {"max_lines": lines_max, "placeholder": mark}
        for row in textwrap.wrap(text, self.width - len(prefix), **options):
            self.line(self.ink(prefix, "dim") + self.ink(row, *styles))

    def heading(self, title: str, note: str = "") -> None:
        self.line()
        tail = f"  {note}" if note and len(title) + len(note) + 7 <= self.width else ""
        rule = self.glyph("─", "-") * max(3, self.width - len(title) - len(tail) - 2)
        self.line(f"{self.ink(title, 'bold', 'cyan')}  {self.ink(rule + tail, 'dim')}")
        self.line()


@dataclass
class Tally:
    """What the run has measured, for the last lines and the exit code."""

    turns: int = 0
    sessions: int = 0
    write_s: float = 0.0
    recall_ms: list[float] = field(default_factory=list)
    asked: int = 0
    first: int = 0
    found: int = 0
    connections: int = 0


def watch_connections(tally: Tally) -> None:
    """Counts every connection made through Python's socket module from here on."""

    def hook(event: str, _args: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            tally.connections += 1

    sys.addaudithook(hook)


def load_turns() -> list[Turn]:
    lines = (DATA / "lighthouse.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def load_questions() -> list[dict[str, Any]]:
    text = (DATA / "lighthouse-questions.json").read_text(encoding="utf-8")
    return [question for question in json.loads(text)["questions"] if question["demo"]]


def as_memory(turn: Turn) -> dict[str, Any]:
    """One turn as `remember_many` takes it; the turn's id travels along as metadata."""
    memory: dict[str, Any] = {k: turn[k] for k in ("content", "speaker", "role", "session_id", "occurred_at")}
    return memory | {"kind": "conversation", "metadata": {"turn": turn["id"]}}


def day(moment: datetime | None) -> str:
    return f"{moment.day} {moment:%B %Y}" if moment else "undated"


def names(turns: Iterable[Turn]) -> str:
    return ", ".join(dict.fromkeys(turn["speaker"] for turn in turns))


def figure(share: float) -> str:
    """.62, or 1 when it is all of it."""
    return "1" if share >= 0.995 else f"{share:.2f}"[1:]


def part(thing: Any, name: str) -> Any:
    """A field of a record, whether the record is an object or a mapping."""
    return thing[name] if isinstance(thing, dict) else getattr(thing, name)


def size_bytes(path: Path) -> int:
    """The store and whatever files it keeps beside itself."""
    return sum(f.stat().st_size for f in path.parent.glob(path.name + "*") if f.is_file())


def timed_recall(mem: Any, question: str, tally: Tally) -> tuple[Sequence[Any], float]:
    start = time.perf_counter()
    hits = mem.recall(question, k=FETCHED)
    spent_ms = (time.perf_counter() - start) * 1000
    tally.recall_ms.append(spent_ms)
    return hits, spent_ms


def title(page: Page, turns: list[Turn]) -> None:
    first, last = (datetime.fromisoformat(turns[i]["session_id"]) for i in (0, -1))
    page.line()
    page.line(page.ink("RAE", "bold", "cyan") + page.ink("  memory that an agent can keep", "bold"))
    page.line()
    page.wrapped(
        "Ines mends boats and is turning a lighthouse keeper's house into a guesthouse. Kit is "
        f"her agent. They talk from {day(first)} to {day(last)}; her brother Tomas joins in. Plans "
        "move, suppliers fail, a dog falls ill, something turns up inside a wall. Kit has to "
        "remember it.",
        "  ",
    )


def remember(page: Page, mem: Any, turns: list[Turn], tally: Tally) -> dict[str, Turn]:
    """Remembers one session after the other; returns the turn behind each memory's id."""
    page.heading("1  Remember", f"remember_many, {len(turns)} turns")
    turn_of: dict[str, Turn] = {}
    merged = 0
    by_session = [list(group) for _, group in groupby(turns, key=lambda turn: turn["session_id"])]
    longest = max(map(len, by_session))
    for session in by_session:
        start = time.perf_counter()
        receipts = mem.remember_many([as_memory(turn) for turn in session])
        spent = time.perf_counter() - start
        tally.write_s += spent
        merged += sum(receipt.merged for receipt in receipts)
        turn_of |= {receipt.id: turn for receipt, turn in zip(receipts, session, strict=True)}
        cells = max(4, min(36, page.width - 60))
        bar = page.ink(page.bar(len(session) / longest, cells), "cyan")
        who = page.ink(names(session), "dim") if page.width >= 70 else ""
        page.line(f"  {session[0]['session_id']}  {bar}  {len(session):3} turns {spent * 1000:8.1f} ms  {who}".rstrip())
    tally.turns, tally.sessions = len(turns), len(by_session)
    page.line()
    page.line(
        f"  {len(turns)} turns stored in {tally.write_s * 1000:,.0f} ms, {len(turns) / tally.write_s:,.0f} a second."
    )
    if merged:
        page.line(f"  {merged} were in this file already and were merged, not doubled.")
    return turn_of


def signals_line(page: Page, hit: Any) -> str:
    """Why this memory was found: its strongest signals, with their figures."""
    values = {word: float(part(hit.signals, name) or 0.0) for name, word in SIGNALS.items()}
    strong = sorted(values.items(), key=lambda item: -item[1])[:SIGNALS_SHOWN_MAX]
    cells = [f"{word} {page.level(value)}{figure(value)}" for word, value in strong if value >= SIGNAL_SHOWN_MIN]
    return "  ".join(cells) or "no signal above the threshold"


def quote(page: Page, hit: Any, lead: str = "") -> None:
    page.line(f"       {lead}{page.ink(f'{hit.speaker}, {day(hit.occurred_at)}', 'bold')}")
    page.wrapped(hit.content, "       " + page.glyph("│ ", "| "), lines_max=QUOTE_LINES_MAX)


def ask(page: Page, mem: Any, number: int, question: dict[str, Any], tally: Tally) -> None:
    hits, spent_ms = timed_recall(mem, question["question"], tally)
    evidence = set(question["evidence"])
    places = [i for i, hit in enumerate(hits) if hit.metadata.get("turn") in evidence]
    tally.asked += 1
    tally.found += bool(places)
    tally.first += places[:1] == [0]

    mark = page.ink(page.glyph("✓", "+"), "green") if places else page.ink(page.glyph("✗", "x"), "red")
    page.line(f" {mark} {number:2}  {page.ink(question['category'], 'dim')}")
    page.sides(question["question"], f"{spent_ms:.1f} ms", indent=7, styles=("bold", "yellow"))
    if hits:
        quote(page, hits[0])
    if places and places[0] > 0:
        quote(page, hits[places[0]], lead=page.ink(f"and in place {places[0] + 1}: ", "green"))
    if hits:
        shown = hits[places[0]] if places else hits[0]
        page.wrapped("found by  " + signals_line(page, shown), "       ", "cyan")
    if not places:
        page.wrapped(f"expected: {question['answer']}", "       ", "red")


def ask_all(page: Page, mem: Any, questions: list[dict[str, Any]], tally: Tally) -> None:
    page.heading("2  Ask", f"recall, k={FETCHED}; a tick: the evidence is among the {FETCHED}")
    for number, question in enumerate(questions, start=1):
        if number > 1:
            page.line()
        ask(page, mem, number, question, tally)


def show_context(page: Page, mem: Any, turn_of: dict[str, Turn]) -> None:
    page.heading("3  Put it into a prompt", f"context, max_tokens={CONTEXT_TOKENS}")
    page.line(f"  {page.ink(CONTEXT_QUESTION, 'bold', 'yellow')}")
    page.line()
    block = mem.context(CONTEXT_QUESTION, max_tokens=CONTEXT_TOKENS)
    for row in block.text.splitlines():
        page.wrapped(row, "  " + page.glyph("│ ", "| "))
    known = [turn_of.get(part(source, "id")) for source in block.sources]
    told = "; ".join(dict.fromkeys(f"{turn['speaker']} {turn['session_id']}" for turn in known if turn))
    page.line()
    page.line(f"  {block.token_count} of {CONTEXT_TOKENS} tokens, {len(block.sources)} sources:")
    page.wrapped(told or "none", "  ", "dim")


def show_update(page: Page, mem: Any) -> str:
    """A fact that changes twice: one id, three versions."""
    page.heading("4  Change a fact", "remember, update, history")
    receipt = mem.remember("The guesthouse opens on 1 September 2025.", kind="fact")
    mem.update(receipt.id, content="The guesthouse opens on 10 October 2025.")
    mem.update(receipt.id, content="The guesthouse opens on 31 October 2025.")
    versions = sorted(mem.history(receipt.id), key=lambda version: part(version, "version"))
    for version in versions:
        last = version is versions[-1]
        style = ("bold",) if last else ("dim",)
        page.line(
            f"  version {part(version, 'version')}  {page.ink(part(version, 'content'), *style)}"
            + (page.ink("  now", "green") if last else "")
        )
    page.line()
    page.wrapped("One id. Recall sees the last version; the history keeps the others.", "  ")
    return str(receipt.id)


def answers(mem: Any, questions: list[dict[str, Any]], tally: Tally) -> list[list[str]]:
    """The ids of the memories that answer each question, in order."""
    return [[hit.id for hit in timed_recall(mem, q["question"], tally)[0]] for q in questions]


def reopen(page: Page, path: Path, before: list[list[str]], fact: str, tally: Tally) -> tuple[Any, bool]:
    """Opens the file a second time; true when nothing that was remembered is missing."""
    page.heading("5  Close, open again", "the same file")
    start = time.perf_counter()
    with rae.open(str(path), tenant=TENANT, project=PROJECT) as mem:
        opened_ms = (time.perf_counter() - start) * 1000
        page.line(f"  open          {opened_ms:.1f} ms, {mem.stats().memories} memories")
        after = answers(mem, load_questions(), tally)
        same = sum(a == b for a, b in zip(after, before, strict=True))
        page.line(f"  questions     {same} of {len(before)} with the same memories in the same order")
        page.line(f"  the fact      {len(mem.history(fact))} versions in its history")
        mem.forget(fact)
        kept = mem.stats()
        page.line(f"  forget(fact)  {kept.memories} memories left")
    if same == len(before):
        page.line()
        page.line(f"  {page.ink('The same file, opened again, answers the same.', 'green')}")
    return kept, kept.memories >= tally.turns


def totals(page: Page, stats: Any, path: Path, tally: Tally) -> None:
    page.heading("Totals")
    embedder = part(stats, "embedder")
    median_ms, worst_ms = statistics.median(tally.recall_ms), max(tally.recall_ms)
    size_kib, calls = size_bytes(path) / 1024, len(tally.recall_ms)
    rows = {
        "memories": f"{stats.memories} in {tally.sessions} sessions, a file of {size_kib:,.0f} KiB",
        "written": f"{tally.turns / tally.write_s:,.0f} turns a second, one call per session",
        "recall": f"median {median_ms:.1f} ms, worst {worst_ms:.1f} ms, {calls} calls",
        "evidence": f"first in {tally.first} of {tally.asked} questions, "
        f"among the first {FETCHED} in {tally.found} of {tally.asked}",
        "embedder": f"{part(embedder, 'id')}, {part(embedder, 'dim')} dimensions",
        "network": f"{tally.connections} connections through Python's sockets (watched); no API key in this script",
    }
    for name, text in rows.items():
        label = name.ljust(10)
        for row in textwrap.wrap(text, page.width - 13):
            page.line(f"  {page.ink(label, 'dim')} {row}")
            label = " " * 10
    page.line()


def run(page: Page, path: Path) -> int:
    tally = Tally()
    watch_connections(tally)
    turns, questions = load_turns(), load_questions()
    title(page, turns)
    with rae.open(str(path), tenant=TENANT, project=PROJECT) as mem:
        turn_of = remember(page, mem, turns, tally)
        ask_all(page, mem, questions, tally)
        show_context(page, mem, turn_of)
        fact = show_update(page, mem)
        before = answers(mem, questions, tally)
    stats, kept = reopen(page, path, before, fact, tally)
    totals(page, stats, path, tally)
    if tally.found < FOUND_MIN:
        page.line(page.ink(f"  {tally.found} of {tally.asked} found; {FOUND_MIN} are needed.", "red"))
    if not kept:
        page.line(page.ink("  Memories are missing after the file was opened again.", "red"))
    return 0 if kept and tally.found >= FOUND_MIN else 1


def main(argv: Sequence[str]) -> int:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    if len(argv) > 1:
        return run(Page(), Path(argv[1]))
    with tempfile.TemporaryDirectory(prefix="rae-demo-") as folder:
        return run(Page(), Path(folder) / "lighthouse.rae")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
