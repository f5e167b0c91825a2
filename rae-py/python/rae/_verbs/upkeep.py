"""Verbs for the store as a whole: its numbers, its health, its copies, its embedder."""

from __future__ import annotations

import builtins
from typing import Literal

from rae._changes import ChangePage, JobPage, Undone
from rae._rae import Audit, Exported, Finding, Imported, Maintained, Reembedded, Stats
from rae._types import Embedder, Path, Time
from rae._verbs.base import Handle


class Rae(Handle):
    """Its verbs for the store as a whole."""

    __slots__ = ()

    def stats(self) -> Stats:
        """Numbers about the project and its store; sizes in bytes."""
        return self._native.stats()

    def export(self, path: Path) -> Exported:
        """Writes the project with vectors and history to a file of JSON lines.

        Replaces an older export and nothing else: ConflictError with code "target_exists". An
        interrupted export leaves no file.
        """
        return self._native.export(path)

    def import_(self, path: Path) -> Imported:
        """Reads an export into this project. The file is checked whole before the first memory is
        written; reading it twice changes nothing.
        """
        return self._native.import_(path)

    def reembed(self, embedder: Embedder | None) -> Reembedded:
        """Changes the embedding model of the whole store (all tenants) while it stays in use.

        embedder: as in `open`. Interrupted, it goes on at the next call. Raises UnavailableError,
        caused by the original exception, when the embedder fails.
        """
        return self._native.reembed(embedder)

    def maintain(self, now: Time | None = None) -> Maintained:
        """Runs due housekeeping now and waits for it: purges what expired, pays owed vectors."""
        return self._native.maintain(now)

    def audit(self, *, limit: int = 100, fix: bool = False) -> Audit:
        """Looks for duplicates, contradictions and orphans in the project. Changes nothing.

        limit: most findings, 1 to 1,000, shared by the kinds; `truncated` says that there are more.
        fix: does what `automatic` of the findings says, where it says anything: nothing is deleted,
            what is protected by a tag stays as it is, and `undo(finding.change)` takes it back.

        "duplicate": the same words but for case, punctuation and white space. "contradiction":
        English facts and texts with two values for what has one ("Ada lives in ..."), or one that
        denies the other; found by patterns, so most go unseen, and some that are found may both
        hold. "orphan": derived from memories that are gone, or superseded by one that is gone.
        Takes a time in proportion to the project: about a second for 100,000 memories.
        """
        return self._native.audit(limit, fix)

    def changes(self, *, limit: int = 100, cursor: str | None = None) -> ChangePage:
        """A page of what the engine changed by itself, newest first.

        Facts that were read, what reflection learnt, what an audit fixed, what age and capacities
        ended, and undoings; as far as audit rows go back (10,000 a project).

        limit: 1 to 1,000. cursor: `next_cursor` of the page before.
        """
        args: dict[str, object] = {"limit": limit, "cursor": cursor}
        return ChangePage._of(self._native.call("changes", args))

    def undo(self, id: str) -> Undone:
        """Takes back a change that the engine made by itself, by its id of `changes`.

        What it changed is as before; what it added holds no longer and stays in history. Done twice
        it is done once, and it is itself a change that can be undone. NotFoundError: there is no
        such change. ConflictError with code "changed_since": one of its memories was changed or
        deleted since; with code "not_undoable": what it deleted is gone for good, or it follows
        from relations.
        """
        return Undone._of(self._native.call("undo", {"id": id}))

    def jobs(
        self,
        *,
        state: Literal["queued", "dead"] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobPage:
        """A page of the project's background jobs, oldest first.

        `maintain` runs those that are due; on a server its worker does. A job that failed as often
        as is allowed is "dead", with the reason in `last_error`: `requeue_job` takes it back.

        state: only those. limit: 1 to 1,000. cursor: `next_cursor` of the page before.
        """
        args: dict[str, object] = {"state": state, "limit": limit, "cursor": cursor}
        return JobPage._of(self._native.call("jobs", args))

    def requeue_job(self, id: str) -> None:
        """Takes a dead job back into the queue, due now, with all its attempts before it.

        NotFoundError with code "job_not_found": the project has no dead job of this id.
        """
        self._native.call("requeue_job", {"id": id})

    def doctor(self) -> builtins.list[Finding]:
        """Looks for damage and says what to do; takes a time in proportion to the store."""
        return self._native.doctor()

    def backup(self, path: Path) -> None:
        """Writes a consistent copy of the whole store (all tenants) to a new file."""
        self._native.backup(path)
