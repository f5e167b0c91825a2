"""Verbs of budgets and costs."""

from __future__ import annotations

import builtins
from collections.abc import Iterable

from rae._money import Amount, Budget, CostGroup, CostLog, Costs, Limits, amount
from rae._types import UNSET, Time, Unset
from rae._verbs.base import Handle, changed


class Rae(Handle):
    """Its verbs of budgets and costs."""

    __slots__ = ()

    def set_budget(
        self,
        *,
        daily_limit: Amount | Unset | None = UNSET,
        monthly_limit: Amount | Unset | None = UNSET,
        daily_token_limit: int | Unset | None = UNSET,
        monthly_token_limit: int | Unset | None = UNSET,
        warning_threshold: float | Unset | None = UNSET,
        project: bool = False,
    ) -> Limits:
        """Changes the limits of the tenant, or of the project; gives those that count now.

        Limits that are left out stay; None lifts one. Money is in US dollars (Decimal, int, float
        or text) with at most six decimals; days and months are those of UTC.
        warning_threshold: the share of a limit from which on callers are warned, 0 to 1.

        A call of a model is held to both the tenant's and the project's limits: one that could pass
        any of them raises BudgetExceededError before its first byte is sent.
        """
        limits = changed(
            {
                "daily_limit": amount(daily_limit),
                "monthly_limit": amount(monthly_limit),
                "daily_token_limit": daily_token_limit,
                "monthly_token_limit": monthly_token_limit,
                "warning_threshold": warning_threshold,
            }
        )
        return Limits._of(self._native.call("set_budget", {**limits, "project": project}))

    def limits(self, *, project: bool = False) -> Limits:
        """The limits that count for the tenant, or for the project."""
        return Limits._of(self._native.call("limits", {"project": project}))

    def budget(self, *, project: bool = False) -> Budget:
        """Limits and spending in this UTC day and month, of the tenant or of the project."""
        return Budget._of(self._native.call("budget", {"project": project}))

    def costs(
        self,
        *,
        group_by: Iterable[CostGroup] = (),
        since: Time | None = None,
        until: Time | None = None,
        project: bool = False,
    ) -> Costs:
        """What was spent, in sums, by the tenant or by the project.

        group_by: "day", "model", "provider", "project", "operation" and "user"; none gives one sum.
        since (inclusive), until (exclusive): on the time when the call began.
        """
        groups = [group_by] if isinstance(group_by, str) else builtins.list(group_by)
        args = {"group_by": groups, "since": since, "until": until, "project": project}
        return Costs._of(self._native.call("costs", args))

    def cost_log(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        since: Time | None = None,
        until: Time | None = None,
        project: bool = False,
    ) -> CostLog:
        """A page of the ledger, with a row for each attempt of a call: the last booked comes first.

        limit: 1 to 1,000. cursor: `next_cursor` of the page before. since, until as in `costs`.
        """
        args = {
            "limit": limit,
            "cursor": cursor,
            "since": since,
            "until": until,
            "project": project,
        }
        return CostLog._of(self._native.call("cost_log", args))
