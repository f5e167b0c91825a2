"""What every part of `AsyncRae` stands on: the threads that wait for the engine."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from rae import _rae
from rae._client import Rae
from rae._errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

# Enough for two readers, a writer and one that waits; more would only wait inside the engine.
_THREADS = 4
# Calls of models take seconds and do nothing meanwhile: they must not keep the others waiting.
_MODEL_THREADS = 64


class Pool:
    """The threads of one open store, shared by its handles."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="rae")
        self._models = ThreadPoolExecutor(_MODEL_THREADS, thread_name_prefix="rae-llm")
        self.closed = False

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(self._executor, functools.partial(call, *args, **kwargs))

    async def run_model(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(self._models, functools.partial(call, *args, **kwargs))

    async def _run(self, executor: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        cancel = _rae.Cancel()

        def work() -> T:
            with cancel:
                return call()

        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        try:
            return await loop.run_in_executor(executor, context.run, work)
        except asyncio.CancelledError:
            cancel.cancel()
            raise

    def shutdown(self) -> None:
        self.closed = True
        self._executor.shutdown(wait=False)
        self._models.shutdown(wait=False)


class AsyncHandle:
    """Has the blocking handle, and runs its verbs in the store's threads."""

    __slots__ = ("_pool", "_rae")

    def __init__(self, opened: Rae, pool: Pool) -> None:
        self._rae = opened
        self._pool = pool

    def _check(self) -> None:
        # The pool's threads do not exist in a forked child: waiting for them would never end.
        self._rae._native.check_process()
        if self._pool.closed:
            raise UnavailableError("the store is closed; open it again", code="closed")

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._check()
        return await self._pool.run(call, *args, **kwargs)

    async def _run_model(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._check()
        return await self._pool.run_model(call, *args, **kwargs)
