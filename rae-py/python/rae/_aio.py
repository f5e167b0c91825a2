"""The asynchronous handle: the blocking one on a few threads of its own.

The engine works outside of the interpreter; what a thread here does is wait. So a small pool per
store is all that is needed, the event loop is never blocked, and the two classes cannot drift
apart. Cancelling a task cancels the engine's call: what was not committed is not written.
A server that was connected to may finish the call all the same.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal

from rae import _client
from rae._averbs import (
    entities,
    evals,
    learning,
    models,
    money,
    reading,
    relations,
    upkeep,
    writing,
)
from rae._averbs.base import Pool
from rae._averbs.models import AsyncLlmStream, AsyncMeter
from rae._session import AsyncSession
from rae._types import Embedder, Path, Prices, Providers, Time, UnknownModel

__all__ = ["AsyncLlmStream", "AsyncMeter", "AsyncRae", "AsyncSession", "aconnect", "aopen"]


async def aopen(
    path: Path,
    *,
    tenant: str = "default",
    project: str = "default",
    embedder: Embedder | None = None,
    durability: Literal["full", "normal"] = "full",
    reembed: bool = False,
    timeout: float | timedelta | None = None,
    providers: Providers | None = None,
    prices: Prices | None = None,
    unknown_model: UnknownModel | None = None,
    lifecycle: Mapping[str, Any] | None = None,
    model: str | None = None,
    reflect_after: int | None = None,
    enrich: Literal["off", "rules", "model"] | None = None,
    _test_now: Time | None = None,
    _test_seed: int | None = None,
) -> AsyncRae:
    """Opens a store without blocking the event loop; arguments and errors as of `open`.

    A callable embedder is a plain function; it is called in a thread of the store's pool.
    """
    pool = Pool()
    opening = functools.partial(
        _client.open,
        path,
        tenant=tenant,
        project=project,
        embedder=embedder,
        durability=durability,
        reembed=reembed,
        timeout=timeout,
        providers=providers,
        prices=prices,
        unknown_model=unknown_model,
        lifecycle=lifecycle,
        model=model,
        reflect_after=reflect_after,
        enrich=enrich,
        _test_now=_test_now,
        _test_seed=_test_seed,
    )
    try:
        opened = await pool.run(opening)
    except BaseException:
        pool.shutdown()
        raise
    return AsyncRae(opened, pool)


async def aconnect(
    url: str,
    *,
    api_key: str | None = None,
    tenant: str | None = None,
    project: str | None = None,
    timeout: float | timedelta | None = None,
    ca: Path | None = None,
) -> AsyncRae:
    """The memories of a server, without blocking the event loop; arguments and errors as of
    `connect`.
    """
    pool = Pool()
    connecting = functools.partial(
        _client.connect,
        url,
        api_key=api_key,
        tenant=tenant,
        project=project,
        timeout=timeout,
        ca=ca,
    )
    try:
        connected = await pool.run(connecting)
    except BaseException:
        pool.shutdown()
        raise
    return AsyncRae(connected, pool)


class AsyncRae(
    writing.AsyncRae,
    reading.AsyncRae,
    relations.AsyncRae,
    entities.AsyncRae,
    learning.AsyncRae,
    upkeep.AsyncRae,
    evals.AsyncRae,
    money.AsyncRae,
    models.AsyncRae,
):
    """A store, for one tenant and project; `aopen` makes it, and `aconnect` one on a server.

    The verbs are those of `Rae`, awaited.

    Any number of tasks may use it at once; at most four calls run at a time, the others wait their
    turn. A task that is cancelled cancels its call: a write of many ends after the transaction in
    hand. After a fork it works in the parent only.
    """

    __slots__ = ("__weakref__",)

    async def __aenter__(self) -> AsyncRae:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return repr(self._rae).replace("<rae.Rae", "<rae.AsyncRae", 1)

    @property
    def tenant(self) -> str:
        """The tenant of this handle."""
        return self._rae.tenant

    @property
    def project(self) -> str:
        """The project of this handle."""
        return self._rae.project

    def with_scope(self, tenant: str | None = None, project: str | None = None) -> AsyncRae:
        """The same store for another tenant or project; None keeps the present one. Not awaited."""
        return AsyncRae(self._rae.with_scope(tenant, project), self._pool)

    async def close(self) -> None:
        """Finishes what is queued and releases the file, for all handles. Twice is fine."""
        if self._pool.closed or self._rae._native.is_forked:
            return
        try:
            await self._pool.run(self._rae.close)
        finally:
            self._pool.shutdown()

    aclose = close
