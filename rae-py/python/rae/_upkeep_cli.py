"""The commands of `rae` that keep a store in order, and show what it did by itself."""

from __future__ import annotations

import argparse

from rae._graph_cli import Command, Opened, more
from rae._terminal import as_json, ink, moment, paragraph, printable, told

KINDS = {"duplicate": "yellow", "contradiction": "red", "orphan": "cyan"}
LEVELS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "error": ("error", "red")}


class Upkeep:
    """The commands, on the store that `opened` gives."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened

    def maintain(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            done = mem.maintain()
        if args.json:
            as_json(done)
        else:
            for name, count in done.ran.items():
                print(f"{ink(name.ljust(16), 'dim')}{count:,}")
        return 0

    def doctor(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            findings = mem.doctor()
        if args.json:
            as_json(findings)
        else:
            for finding in findings:
                label, style = LEVELS.get(finding.level, (finding.level, "bold"))
                print(f"{ink(label.ljust(8), style)}{finding.check.ljust(9)}{finding.message}")
        return 1 if any(finding.level == "error" for finding in findings) else 0

    def audit(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            report = mem.audit(limit=args.limit, fix=args.fix)
            if args.json:
                as_json(report)
                return 0
            for finding in report.findings:
                print(f"{ink(finding.kind, KINDS.get(finding.kind, 'bold'))}  {finding.message}")
                for memory_id in finding.ids:
                    print(f"  {memory_id}")
                    paragraph(told(mem, memory_id), "    ", lines_max=1)
                if finding.change:
                    paragraph(f"fixed: {finding.automatic}; rae undo {finding.change}", "  ")
                    continue
                paragraph(f"fix: {finding.fix}", "  ")
                if finding.automatic:
                    paragraph(f"with --fix it {finding.automatic}", "  ")
        further = " or more; --limit shows up to 1,000" if report.truncated else ""
        fixed = f", fixed {report.fixed:,}" if args.fix else ""
        print(f"checked {report.checked:,}, findings {len(report.findings):,}{further}{fixed}")
        if report.kept_out:
            print(
                "no facts read from: "
                + ", ".join(f"{n:,} {reason}" for reason, n in sorted(report.kept_out.items()))
            )
        return 0

    def changes(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            page = mem.changes(limit=args.limit, cursor=args.cursor)
        if args.json:
            as_json(page)
            return 0
        for change in page.items:
            state = "undone" if change.undone_by else "" if change.undoable else "for good"
            print(f"{change.id}  {moment(change.at)}  {change.action.ljust(12)}  {state}".rstrip())
            for memory_id in change.ids:
                print(f"  {memory_id}")
        more(page.next_cursor)
        return 0

    def undo(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            undone = mem.undo(args.change)
        if args.json:
            as_json(undone)
        else:
            print(f"{'undone already' if undone.replayed else 'undone'}, as change {undone.id}")
        return 0

    def jobs(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            page = mem.jobs(
                state="dead" if args.dead else None, limit=args.limit, cursor=args.cursor
            )
        if args.json:
            as_json(page)
            return 0
        for job in page.items:
            why = f"  {job.last_error}" if job.last_error else ""
            line = f"{job.id}  {moment(job.run_at)}  {job.kind.ljust(10)}  {job.state}"
            print(f"{line}, {job.attempts} attempts{why}")
        if not page.items and not args.cursor:
            print("no jobs failed for good" if args.dead else "no jobs wait")
        more(page.next_cursor)
        return 0

    def requeue(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            mem.requeue_job(args.job)
        print(f"requeued {args.job}; rae maintain runs it")
        return 0

    def reflect(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            learnt = mem.reflect(args.session)
        if args.json:
            as_json(learnt)
            return 0
        for made in learnt:
            state = "new" if made.created else f"version {made.version}"
            print(f"{made.id}  {ink(made.kind.ljust(10), 'bold')}  {state}")
            paragraph(printable(made.content), "  ")
        if not learnt:
            print("nothing new")
        return 0

    def reflections(self, args: argparse.Namespace) -> int:
        with self.opened(args) as mem:
            page = mem.reflections(limit=args.limit, cursor=args.cursor)
        if args.json:
            as_json(page)
            return 0
        for memory in page.items:
            print(f"{memory.id}  {moment(memory.updated_at)}  {ink(memory.kind, 'bold')}")
            paragraph(printable(memory.content), "  ")
        more(page.next_cursor)
        return 0


def add(command: Command, opened: Opened) -> None:
    """Adds the commands."""
    upkeep = Upkeep(opened)
    command("maintain", upkeep.maintain, "run due housekeeping now")
    sub = command("audit", upkeep.audit, "look for duplicates, contradictions and orphans")
    sub.add_argument("--limit", type=int, default=100, metavar="N", help="most findings (100)")
    sub.add_argument("--fix", action="store_true", help="do what needs nobody's judgement")
    sub = command("changes", upkeep.changes, "list what the engine changed by itself, newest first")
    sub.add_argument("--limit", type=int, default=20, metavar="N", help="most changes (20)")
    sub.add_argument("--cursor", metavar="C", help="the next page")
    sub = command("undo", upkeep.undo, "take back a change that the engine made by itself")
    sub.add_argument("change", metavar="CHANGE", help="its id, as changes gives it")
    sub = command("jobs", upkeep.jobs, "list the jobs that wait, and those that failed for good")
    sub.add_argument("--dead", action="store_true", help="only those that failed for good")
    sub.add_argument("--limit", type=int, default=50, metavar="N", help="most jobs (50)")
    sub.add_argument("--cursor", metavar="C", help="the next page")
    sub = command("requeue", upkeep.requeue, "take a job that failed for good back into the queue")
    sub.add_argument("job", metavar="JOB", help="its id, as jobs gives it")
    sub = command("reflect", upkeep.reflect, "learn from sessions that have news")
    sub.add_argument("--session", metavar="NAME", help="from this one alone")
    sub = command("reflections", upkeep.reflections, "list lessons, strategies and reflections")
    sub.add_argument("--limit", type=int, default=50, metavar="N", help="most (50)")
    sub.add_argument("--cursor", metavar="C", help="the next page")
    command("doctor", upkeep.doctor, "look for damage")
