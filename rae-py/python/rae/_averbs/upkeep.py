"""The twins of `rae._verbs.upkeep`. Written by scripts/async_verbs.py: change those instead."""

from __future__ import annotations

import builtins
from typing import Literal

from rae._averbs.base import AsyncHandle
from rae._changes import ChangePage, JobPage, Undone
from rae._rae import Audit, Exported, Finding, Imported, Maintained, Reembedded, Stats
from rae._types import Embedder, Path, Time


class AsyncRae(AsyncHandle):
    """Its verbs for the store as a whole."""

    __slots__ = ()

    async def stats(self) -> Stats:
        """See `Rae.stats`."""
        return await self._run(self._rae.stats)

    async def export(self, path: Path) -> Exported:
        """See `Rae.export`."""
        return await self._run(self._rae.export, path)

    async def import_(self, path: Path) -> Imported:
        """See `Rae.import_`."""
        return await self._run(self._rae.import_, path)

    async def reembed(self, embedder: Embedder | None) -> Reembedded:
        """See `Rae.reembed`."""
        return await self._run(self._rae.reembed, embedder)

    async def maintain(self, now: Time | None = None) -> Maintained:
        """See `Rae.maintain`."""
        return await self._run(self._rae.maintain, now)

    async def audit(self, *, limit: int = 100, fix: bool = False) -> Audit:
        """See `Rae.audit`."""
        return await self._run(self._rae.audit, limit=limit, fix=fix)

    async def changes(self, *, limit: int = 100, cursor: str | None = None) -> ChangePage:
        """See `Rae.changes`."""
        return await self._run(self._rae.changes, limit=limit, cursor=cursor)

    async def undo(self, id: str) -> Undone:
        """See `Rae.undo`."""
        return await self._run(self._rae.undo, id)

    async def jobs(
        self,
        *,
        state: Literal["queued", "dead"] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobPage:
        """See `Rae.jobs`."""
        return await self._run(self._rae.jobs, state=state, limit=limit, cursor=cursor)

    async def requeue_job(self, id: str) -> None:
        """See `Rae.requeue_job`."""
        await self._run(self._rae.requeue_job, id)

    async def doctor(self) -> builtins.list[Finding]:
        """See `Rae.doctor`."""
        return await self._run(self._rae.doctor)

    async def backup(self, path: Path) -> None:
        """See `Rae.backup`."""
        await self._run(self._rae.backup, path)
