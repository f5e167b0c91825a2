"""The twins of `rae._verbs.money`. Written by scripts/async_verbs.py: change those instead."""

from __future__ import annotations

from collections.abc import Iterable

from rae._averbs.base import AsyncHandle
from rae._money import Amount, Budget, CostGroup, CostLog, Costs, Limits
from rae._types import UNSET, Time, Unset


class AsyncRae(AsyncHandle):
    """Its verbs of budgets and costs."""

    __slots__ = ()

    async def set_budget(
        self,
        *,
        daily_limit: Amount | Unset | None = UNSET,
        monthly_limit: Amount | Unset | None = UNSET,
        daily_token_limit: int | Unset | None = UNSET,
        monthly_token_limit: int | Unset | None = UNSET,
        warning_threshold: float | Unset | None = UNSET,
        project: bool = False,
    ) -> Limits:
        """See `Rae.set_budget`."""
        return await self._run(
            self._rae.set_budget,
            daily_limit=daily_limit,
            monthly_limit=monthly_limit,
            daily_token_limit=daily_token_limit,
            monthly_token_limit=monthly_token_limit,
            warning_threshold=warning_threshold,
            project=project,
        )

    async def limits(self, *, project: bool = False) -> Limits:
        """See `Rae.limits`."""
        return await self._run(self._rae.limits, project=project)

    async def budget(self, *, project: bool = False) -> Budget:
        """See `Rae.budget`."""
        return await self._run(self._rae.budget, project=project)

    async def costs(
        self,
        *,
        group_by: Iterable[CostGroup] = (),
        since: Time | None = None,
        until: Time | None = None,
        project: bool = False,
    ) -> Costs:
        """See `Rae.costs`."""
        return await self._run(
            self._rae.costs, group_by=group_by, since=since, until=until, project=project
        )

    async def cost_log(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        since: Time | None = None,
        until: Time | None = None,
        project: bool = False,
    ) -> CostLog:
        """See `Rae.cost_log`."""
        return await self._run(
            self._rae.cost_log, limit, cursor, since=since, until=until, project=project
        )
