"""The command `rae`: a store from the terminal.

Exit codes: 0 done, 1 it failed (or the doctor found damage), 2 wrong usage or input, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, cast

import rae
from rae import _graph_cli, _rae, _upkeep_cli
from rae._terminal import Progress, as_json, colours, head, ink, moment, paragraph, printable

BATCH = 1_000


class UsageError(Exception):
    """A wrong argument that argparse cannot see."""


# --- Input


def opened(args: argparse.Namespace, *, create: bool = False) -> rae.Rae:
    """The store. Only `remember` and `import` make one."""
    if not create and args.store != ":memory:" and not Path(args.store).exists():
        raise UsageError(
            f"there is no store at {args.store}; `rae remember {args.store} TEXT` makes one"
        )
    where = {"tenant": args.tenant, "project": args.project}
    try:
        return rae.open(args.store, **where)
    except rae.ConflictError as error:
        stored = (error.details or {}).get("stored", "")
        dim = stored.rpartition("/")[2]
        if error.code != "embedder_mismatch" or not dim.isdigit():
            raise
        return rae.open(args.store, embedder=Absent(stored, int(dim)), **where)


class Absent:
    """Stands for the embedder of a program of the user's: everything works but meaning.

    Recall answers by words alone and says so; what is written waits for its vector until that
    program calls `maintain`.
    """

    def __init__(self, id: str, dim: int) -> None:
        self.rae_id = id
        self._first: list[float] | None = [1.0] * dim

    def __call__(self, texts: list[str]) -> list[list[float]]:
        if self._first is None:
            raise RuntimeError(f"{self.rae_id} is not available on the command line")
        answer, self._first = [self._first] * len(texts), None
        return answer


def json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('must be a JSON object, like \'{"speaker": "Ada"}\'')
    return value


def json_lines(stream: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise UsageError(f"line {number} is not JSON: {error}") from None
        if not isinstance(item, dict):
            raise UsageError(f"line {number} must be a JSON object")
        yield item


def chosen(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given, under the names of the verbs."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


# --- Commands


def remember(args: argparse.Namespace) -> int:
    fields = chosen(
        args, "speaker", "role", "session_id", "occurred_at", "kind", "layer", "tags", "metadata",
        "source", "importance", "ttl",
    )  # fmt: skip
    if args.jsonl:
        return remember_lines(args, fields)
    content = sys.stdin.read() if args.text == "-" else args.text
    with opened(args, create=True) as mem:
        receipt = mem.remember(content, **fields)
    if args.json:
        as_json(receipt)
    else:
        print(("was there already, as " if receipt.merged else "remembered ") + receipt.id)
    return 0


def remember_lines(args: argparse.Namespace, fields: dict[str, Any]) -> int:
    if args.text != "-":
        raise UsageError("--jsonl reads standard input: give - as TEXT")
    progress, count, merged, first = Progress("remembered"), 0, 0, 1
    lines = json_lines(sys.stdin)
    with opened(args, create=True) as mem:
        while batch := [fields | item for item in islice(lines, BATCH)]:
            try:
                receipts = mem.remember_many(batch)
            except rae.InvalidInputError as error:
                stored = f"; the {count:,} memories before were stored" if count else ""
                item = first + (error.details or {}).get("item", 0)
                raise UsageError(f"memory {item} of the input: {error}{stored}") from None
            count += len(receipts)
            first += len(receipts)
            merged += sum(receipt.merged for receipt in receipts)
            progress.show(count)
        progress.done()
    if args.json:
        as_json({"remembered": count - merged, "merged": merged})
    else:
        print(
            f"remembered {count - merged:,}"
            + (f", {merged:,} were there already" if merged else "")
        )
    return 0


def recall(args: argparse.Namespace) -> int:
    options = chosen(
        args, "layers", "kinds", "tags", "filter", "since", "until", "as_of", "session_id",
        "min_score", "graph_weight",
    )  # fmt: skip
    with opened(args) as mem:
        hits = mem.recall(args.query, k=args.k, explain=args.explain, **options)
    if args.json:
        as_json(hits)
        return 0
    if hits.degraded:
        print(f"answered without: {', '.join(hits.degraded)}", file=sys.stderr)
    for place, hit in enumerate(hits, start=1):
        rank, score = ink(f"{place:2}", "bold"), ink(f"{hit.score:.2f}", "cyan")
        print(f"{rank}  {score}  {ink(head(hit), 'dim')}")
        paragraph(hit.content, "          ", lines_max=None if args.explain else 4)
        if args.explain:
            signals = [
                f"{name} {value:.2f}" for name, value in hit.signals.to_dict().items() if value
            ]
            print(
                ink(
                    f"          {hit.id}  relevance {hit.relevance:.2f}  {'  '.join(signals)}",
                    "dim",
                )
            )
    if not hits:
        print("nothing found")
    if args.explain and hits.trace:
        print(json.dumps(hits.trace, ensure_ascii=False, indent=2))
    return 0


def context(args: argparse.Namespace) -> int:
    with opened(args) as mem:
        block = mem.context(args.query, max_tokens=args.max_tokens, **chosen(args, "session_id"))
    if args.json:
        as_json(block)
    else:
        sys.stdout.write(block.text)
        print(f"{block.token_count} tokens, {len(block.sources)} memories", file=sys.stderr)
    return 0


def list_(args: argparse.Namespace) -> int:
    with opened(args) as mem:
        page = mem.list(args.limit, args.cursor, **chosen(args, "layer", "tags", "filter"))
    if args.json:
        as_json(page)
        return 0
    for memory in page.items:
        print(f"{memory.id}  {ink(head(memory), 'dim')}")
        paragraph(memory.content, "  ", lines_max=1)
    if page.next_cursor:
        print(ink(f"more: --cursor {page.next_cursor}", "dim"))
    return 0


def get(args: argparse.Namespace) -> int:
    with opened(args) as mem:
        shown = mem.history(args.id) if args.history else [mem.get(args.id)]
    if args.json:
        as_json(shown if args.history else shown[0])
        return 0
    for memory in shown:
        print(ink(f"version {memory.version}  {head(memory)}", "dim"))
        print(printable(memory.content))
        for name, value in memory.to_dict().items():
            if not args.history and value not in (None, [], {}) and name != "content":
                value = moment(value) if isinstance(value, datetime) else value
                print(f"  {ink(name.ljust(16), 'dim')} {printable(str(value))}")
    return 0


def forget(args: argparse.Namespace) -> int:
    ways = [args.id is not None, args.filter is not None, args.scope is not None]
    if sum(ways) != 1 or (args.scope is None) != (args.target is None):
        raise UsageError("give exactly one of ID, --filter JSON, or --scope SCOPE --target NAME")
    with opened(args) as mem:
        if args.id is None and not args.yes:
            what = f"{args.scope} {args.target}" if args.scope else "all memories that match"
            confirm(f"erase {what} from {args.store}? This cannot be undone.")
        gone = mem.forget(args.id, filter=args.filter, scope=args.scope, target=args.target)
    if args.json:
        as_json(gone)
    else:
        derived = f" and {gone.derived:,} derived from them" if gone.derived else ""
        print(f"forgot {gone.deleted:,}{derived}")
        if gone.pending:
            left = ", ".join(gone.pending)
            print(f"traces remain in: {left}; run `rae maintain {args.store}` later")
    return 0 if gone.deleted or args.id is None else 1


def verify_erasure(args: argparse.Namespace) -> int:
    try:
        receipt = json.loads(Path(args.receipt).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{args.receipt} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{args.receipt} is not JSON") from None
    texts: list[str] = []
    if args.texts is not None:
        try:
            said = sys.stdin.read() if args.texts == "-" else Path(args.texts).read_text("utf-8")
        except OSError as error:
            raise UsageError(f"{args.texts} cannot be read: {error.strerror}") from None
        except ValueError:
            raise UsageError(f"{args.texts} is not UTF-8") from None
        texts = [line for line in said.splitlines() if line]
    with opened(args) as mem:
        report = mem.verify_erasure(receipt, exports=args.exports, texts=texts)
    if args.json:
        as_json(report)
    else:
        for place in report.places:
            colour = {"clean": "green", "kept": "dim"}.get(place.state, "red")
            note = f": {place.note}" if place.note else ""
            print(f"{ink(place.state.ljust(5), colour)}  {printable(place.place)}{printable(note)}")
        ids = "1 id" if report.ids == 1 else f"{report.ids:,} ids"
        if not report.bound:
            print(
                "the receipt does not say of which store and project it is; be sure that it is this"
            )
        print(f"{ids}: " + ("nothing is left" if report.clean else "something is left"))
    return 0 if report.clean else 1


def confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Say so with --yes")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was erased")


def stats(args: argparse.Namespace) -> int:
    with opened(args) as mem:
        numbers = mem.stats()
    if args.json:
        as_json(numbers)
        return 0
    by_layer = ", ".join(f"{layer} {count:,}" for layer, count in numbers.by_layer.items() if count)
    rows = {
        "memories": f"{numbers.memories:,}" + (f" ({by_layer})" if by_layer else ""),
        "vectors": f"{numbers.vectors:,}",
        "size": f"{numbers.bytes / 1024:,.0f} KiB",
        "jobs": f"{numbers.jobs.queued} queued, {numbers.jobs.dead} failed",
        "embedder": f"{numbers.embedder.id}, {numbers.embedder.dim} dimensions",
        "changes": f"{numbers.seq:,}",
        "schema": str(numbers.schema_version),
    }
    for name, value in rows.items():
        print(f"{ink(name.ljust(10), 'dim')}{value}")
    return 0


def export(args: argparse.Namespace) -> int:
    with opened(args) as mem:
        written = mem.export(args.path)
    if args.json:
        as_json(written)
    else:
        size = f"{written.bytes / 1024:,.0f} KiB"
        print(f"exported {written.memories:,} memories to {args.path} ({size})")
    return 0


def import_(args: argparse.Namespace) -> int:
    with opened(args, create=True) as mem:
        before = mem.stats().memories
        read = watched(
            lambda: mem.import_(args.path),
            Progress("imported"),
            lambda: mem.stats().memories - before,
        )
    if args.json:
        as_json(read)
    else:
        print(f"imported {read.imported:,}, merged {read.merged:,}, unchanged {read.unchanged:,}")
    return 0


def watched(
    work: Callable[[], rae.Imported], progress: Progress, count: Callable[[], int]
) -> rae.Imported:
    """Shows how far a long call is: the count is read beside it."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            progress.show(count())

    watcher = threading.Thread(target=watch, daemon=True)
    if sys.stderr.isatty():
        watcher.start()
    try:
        return work()
    finally:
        over.set()
        if watcher.is_alive():
            watcher.join()
        progress.done()


def evaluate(args: argparse.Namespace) -> int:
    try:
        with Path(args.questions).open(encoding="utf-8") as file:
            questions = cast(list[rae.Question], list(json_lines(file)))
    except OSError as error:
        raise UsageError(f"{args.questions} cannot be read: {error.strerror}") from None
    with opened(args) as mem:
        run = mem.evaluate(questions, k=args.k, options=args.options)
        found = {"run": run.to_dict()}
        shown = [run.report]
        if args.b is not None:
            other = mem.evaluate(questions, k=args.k, options=args.b)
            against = mem.compare_evaluations(run, other)
            found.update(b=other.to_dict(), comparison=against.to_dict())
            shown += ["", "with --b:", other.report, "", "the second against the first:"]
            shown.append(against.report)
        if args.against is not None:
            drift = mem.compare_evaluations(earlier(args.against), run)
            found["drift"] = drift.to_dict()
            shown += ["", f"against {args.against}:", drift.report]
    if args.out is not None:
        with Path(args.out).open("w", encoding="utf-8") as out:
            json.dump(run.to_dict(), out, default=datetime.isoformat)
    if args.json:
        as_json(found)
    else:
        print("\n".join(part.rstrip() for part in shown))
    return 0


def earlier(path: str) -> rae.Evaluation:
    """A run that --out wrote."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            return rae.Evaluation._of(json.load(file))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise UsageError(f"{path} is not a run that --out wrote") from None


def backup(args: argparse.Namespace) -> int:
    with opened(args) as mem:
        mem.backup(args.path)
    if args.json:
        as_json({"path": args.path, "bytes": Path(args.path).stat().st_size})
    else:
        print(f"copied to {args.path}")
    return 0


def prices(args: argparse.Namespace) -> int:
    overrides = None
    if args.file is not None:
        try:
            overrides = Path(args.file).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{args.file} cannot be read: {error.strerror}") from None
    found = _rae._prices(overrides, args.provider, args.model)
    if args.json:
        as_json(found)
        return 0
    rows = [("provider", "model", "input", "cached", "output", "since", "source")]
    for price in found:
        source = price.get("source", "your file" if price["override"] else "")
        rows.append(
            (price["provider"], price["model"], *rates(price), price.get("from", ""), source)
        )
        if long := price.get("long_prompt"):
            rows.append(("", f"  input above {long['above']:,}", *rates(long), "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(wide) if 2 <= column <= 4 else cell.ljust(wide)
            for column, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ]
        print(printable("  ".join(cells).rstrip()))
    print("US dollars for a million tokens", file=sys.stderr)
    return 0


def rates(price: dict[str, Any]) -> tuple[str, str, str]:
    """Of input, of cached input and of output; an embedder has the first."""
    first = price.get("input") or price.get("embedding", "")
    return first, price.get("cached_input", ""), price.get("output", "")


# --- Arguments


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="rae", description="Long-term memory for AI agents, in one file."
    )
    root.add_argument("--version", action="version", version=f"rae {rae.__version__}")
    commands = root.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], help: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(run=run)
        sub.add_argument("store", metavar="FILE", help="the store")
        sub.add_argument("--tenant", default="default", metavar="NAME")
        sub.add_argument("--project", default="default", metavar="NAME")
        sub.add_argument("--json", action="store_true", help="print JSON")
        return sub

    sub = command("remember", remember, "store a memory; makes the file where there is none")
    sub.add_argument("text", metavar="TEXT", help="the text, or - for standard input")
    sub.add_argument(
        "--jsonl", action="store_true", help="read one JSON object a line: content, ..."
    )
    sub.add_argument("--speaker", metavar="NAME")
    sub.add_argument("--role", metavar="ROLE", help="user, assistant, system, tool, ...")
    sub.add_argument("--session", dest="session_id", metavar="ID")
    sub.add_argument("--at", dest="occurred_at", metavar="TIME", help="when it happened, RFC 3339")
    sub.add_argument("--kind", metavar="KIND", help="text, fact, conversation, document, ...")
    sub.add_argument(
        "--layer", metavar="LAYER", help="sensory, working, episodic, semantic, reflective"
    )
    sub.add_argument("--tag", dest="tags", action="append", metavar="TAG", help="may be repeated")
    sub.add_argument("--metadata", type=json_object, metavar="JSON")
    sub.add_argument("--source", metavar="NAME")
    sub.add_argument("--importance", type=float, metavar="0..1")
    sub.add_argument("--ttl", type=float, metavar="SECONDS")

    sub = command("recall", recall, "find memories")
    sub.add_argument("query", metavar="QUERY")
    sub.add_argument("-k", type=int, default=5, metavar="N", help="most hits (5)")
    sub.add_argument("--explain", action="store_true", help="show why: signals and the trace")
    sub.add_argument("--session", dest="session_id", metavar="ID")
    sub.add_argument("--since", metavar="TIME")
    sub.add_argument("--until", metavar="TIME")
    sub.add_argument("--as-of", metavar="TIME", help="what held then")
    sub.add_argument("--layer", dest="layers", action="append", metavar="LAYER")
    sub.add_argument("--kind", dest="kinds", action="append", metavar="KIND")
    sub.add_argument("--tag", dest="tags", action="append", metavar="TAG")
    sub.add_argument("--filter", type=json_object, metavar="JSON")
    sub.add_argument("--min-score", type=float, metavar="0..1")
    sub.add_argument("--graph-weight", type=float, metavar="0..1", help="weigh the graph (0)")

    sub = command("context", context, "print a block of memories for a prompt")
    sub.add_argument("query", metavar="QUERY", nargs="?")
    sub.add_argument("--max-tokens", type=int, default=1000, metavar="N", help="(1000)")
    sub.add_argument("--session", dest="session_id", metavar="ID")

    sub = command("list", list_, "list memories, oldest first")
    sub.add_argument("--limit", type=int, default=50, metavar="N", help="size of the page (50)")
    sub.add_argument("--cursor", metavar="CURSOR", help="go on where the page before ended")
    sub.add_argument("--layer", metavar="LAYER")
    sub.add_argument("--tag", dest="tags", action="append", metavar="TAG")
    sub.add_argument("--filter", type=json_object, metavar="JSON")

    sub = command("get", get, "show a memory")
    sub.add_argument("id", metavar="ID")
    sub.add_argument("--history", action="store_true", help="all its versions")

    sub = command("forget", forget, "erase a memory, all that match a filter, or a scope")
    sub.add_argument("id", metavar="ID", nargs="?")
    sub.add_argument("--filter", type=json_object, metavar="JSON")
    sub.add_argument("--scope", choices=("session", "user", "project", "tenant"))
    sub.add_argument("--target", metavar="NAME", help="which session, user, project or tenant")
    sub.add_argument("--yes", action="store_true", help="do not ask")

    sub = command(
        "verify-erasure", verify_erasure, "check by its receipt that an erasure left nothing"
    )
    sub.add_argument(
        "receipt", metavar="RECEIPT", help="file with what `rae forget --json` printed"
    )
    help = "an export file to look into as well; may be repeated"
    sub.add_argument(
        "--export", dest="exports", action="append", default=[], metavar="F", help=help
    )
    help = "a file with texts that were erased, one a line, to look for as well; - for the input"
    sub.add_argument("--texts", metavar="F", help=help)

    _graph_cli.add(command, opened)

    command("stats", stats, "show numbers about the store")
    sub = command("export", export, "write the project to a file of JSON lines")
    sub.add_argument("path", metavar="PATH")
    sub = command("import", import_, "read an export; makes the file where there is none")
    sub.add_argument("path", metavar="PATH")
    _upkeep_cli.add(command, opened)
    sub = command("eval", evaluate, "judge recall on questions of your own")
    sub.add_argument("questions", metavar="QUESTIONS", help="a file with one JSON object a line")
    sub.description = (
        "Asks every question and judges the hits. A line of QUESTIONS is "
        '{"query": "...", "relevant": [LABEL, ...]}; a label is the id of a memory or '
        '{"text": "..."}, which a hit contains.'
    )
    sub.add_argument("--k", type=int, metavar="N", help="hits looked at (10)")
    sub.add_argument("--options", type=json_object, metavar="JSON", help="options of recall")
    sub.add_argument("--b", type=json_object, metavar="JSON", help="others, to compare with")
    sub.add_argument("--out", metavar="FILE", help="keep the run, for a later --against")
    sub.add_argument("--against", metavar="FILE", help="a run of before: what has drifted?")
    sub = command("backup", backup, "copy the whole store to a new file")
    sub.add_argument("path", metavar="PATH")

    help = "list what models cost, in US dollars for a million tokens"
    sub = commands.add_parser("prices", help=help, description=help[0].upper() + help[1:] + ".")
    sub.set_defaults(run=prices)
    sub.add_argument("--provider", metavar="NAME", help="openai, anthropic, google, ...")
    sub.add_argument("--model", metavar="NAME", help="the price that a call of this model has now")
    sub.add_argument("--file", metavar="FILE", help="prices of your own, over the built-in ones")
    sub.add_argument("--json", action="store_true", help="print JSON")
    return root


def fail(message: str, code: int) -> int:
    label = "\x1b[31mrae:\x1b[0m" if colours(sys.stderr) else "rae:"
    print(f"{label} {message}", file=sys.stderr)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit code."""
    for stream, encoding in ((sys.stdin, "utf-8"), (sys.stdout, None), (sys.stderr, None)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="strict" if encoding else "replace")
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except UsageError as error:
        return fail(str(error), 2)
    except rae.InvalidInputError as error:
        return fail(str(error), 2)
    except rae.RaeError as error:
        return fail(str(error), 1)
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    except UnicodeDecodeError as error:
        return fail(f"the input is not UTF-8: {error}", 2)
    except BrokenPipeError:
        return broken_pipe()
    return code


def broken_pipe() -> NoReturn:
    # Whoever read the output has gone; Python would complain once more when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)


if __name__ == "__main__":
    sys.exit(main())
