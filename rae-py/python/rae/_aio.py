"""The asynchronous handle: the blocking one on a few threads of its own.

The engine works outside of the interpreter; what a thread here does is wait. So a small pool per
store is all that is needed, the event loop is never blocked, and the two classes cannot drift
apart. Cancelling a task cancels the engine's call: what was not committed is not written.
A server that was connected to may finish the call all the same.
"""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import functools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, overload

from rae import _client, _rae
from rae._client import (
    UNSET,
    Array,
    Embedder,
    EmbedRole,
    ForgetScope,
    InfoClass,
    Kind,
    Layer,
    Messages,
    Path,
    Prices,
    Providers,
    Rae,
    Time,
    TrustLevel,
    UnknownModel,
    Unset,
)
from rae._errors import InvalidInputError, UnavailableError
from rae._money import (
    Amount,
    Budget,
    CostGroup,
    CostLog,
    Costs,
    Limits,
    LlmAnswer,
    LlmChunk,
    LlmEstimate,
    LlmStream,
    Metered,
    Usage,
    seconds,
)
from rae._rae import (
    Audit,
    Context,
    Exported,
    Finding,
    Forgotten,
    Hits,
    Imported,
    Maintained,
    Memory,
    MemoryVersion,
    Page,
    Receipt,
    Reembedded,
    Stats,
)

P = ParamSpec("P")
T = TypeVar("T")

# Enough for two readers, a writer and one that waits; more would only wait inside the engine.
_THREADS = 4
# Calls of models take seconds and do nothing meanwhile: they must not keep the others waiting.
_MODEL_THREADS = 64


class _Pool:
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
    _test_now: Time | None = None,
    _test_seed: int | None = None,
) -> AsyncRae:
    """Opens a store without blocking the event loop; arguments and errors as of `open`.

    A callable embedder is a plain function; it is called in a thread of the store's pool.
    """
    pool = _Pool()
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
    pool = _Pool()
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


class AsyncRae:
    """A store, for one tenant and project; `aopen` makes it, and `aconnect` one on a server.

    The verbs are those of `Rae`, awaited.

    Any number of tasks may use it at once; at most four calls run at a time, the others wait their
    turn. A task that is cancelled cancels its call: a write of many ends after the transaction in
    hand. After a fork it works in the parent only.
    """

    __slots__ = ("__weakref__", "_pool", "_rae")

    def __init__(self, opened: Rae, pool: _Pool) -> None:
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

    async def remember(
        self,
        content: str,
        *,
        kind: Kind | None = None,
        layer: Layer | None = None,
        role: str | None = None,
        speaker: str | None = None,
        session_id: str | None = None,
        occurred_at: Time | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        importance: float | None = None,
        confidence: float | None = None,
        ttl: float | timedelta | None = None,
        source: str | None = None,
        trust_level: TrustLevel | None = None,
        info_class: InfoClass = "internal",
        agent_id: str | None = None,
        user_id: str | None = None,
        valid_from: Time | None = None,
        valid_to: Time | None = None,
        infer: bool = False,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """See `Rae.remember`."""
        return await self._run(
            self._rae.remember,
            content,
            kind=kind,
            layer=layer,
            role=role,
            speaker=speaker,
            session_id=session_id,
            occurred_at=occurred_at,
            tags=tags,
            metadata=metadata,
            importance=importance,
            confidence=confidence,
            ttl=ttl,
            source=source,
            trust_level=trust_level,
            info_class=info_class,
            agent_id=agent_id,
            user_id=user_id,
            valid_from=valid_from,
            valid_to=valid_to,
            infer=infer,
            idempotency_key=idempotency_key,
        )

    async def remember_many(self, items: Iterable[Mapping[str, Any]]) -> builtins.list[Receipt]:
        """See `Rae.remember_many`."""
        return await self._run(self._rae.remember_many, items)

    async def recall(
        self,
        query: str,
        *,
        k: int = 10,
        layers: Iterable[Layer] | None = None,
        kinds: Iterable[Kind] | None = None,
        tags: Iterable[str] | None = None,
        tags_any: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        since: Time | None = None,
        until: Time | None = None,
        as_of: Time | None = None,
        known_at: Time | None = None,
        session_id: str | None = None,
        agent_id: str | None = None,
        user_id: str | None = None,
        min_score: float | None = None,
        max_tokens: int | None = None,
        rerank: bool = False,
        explain: bool = False,
    ) -> Hits:
        """See `Rae.recall`."""
        return await self._run(
            self._rae.recall,
            query,
            k=k,
            layers=layers,
            kinds=kinds,
            tags=tags,
            tags_any=tags_any,
            filter=filter,
            since=since,
            until=until,
            as_of=as_of,
            known_at=known_at,
            session_id=session_id,
            agent_id=agent_id,
            user_id=user_id,
            min_score=min_score,
            max_tokens=max_tokens,
            rerank=rerank,
            explain=explain,
        )

    async def context(
        self,
        query: str | None = None,
        *,
        session_id: str | None = None,
        max_tokens: int = 1000,
        agent_id: str | None = None,
        user_id: str | None = None,
        layers: Iterable[Layer] | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        min_score: float | None = None,
    ) -> Context:
        """See `Rae.context`."""
        return await self._run(
            self._rae.context,
            query,
            session_id=session_id,
            max_tokens=max_tokens,
            agent_id=agent_id,
            user_id=user_id,
            layers=layers,
            tags=tags,
            filter=filter,
            min_score=min_score,
        )

    async def get(self, id: str) -> Memory:
        """See `Rae.get`."""
        return await self._run(self._rae.get, id)

    async def list(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        layer: Layer | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Page:
        """See `Rae.list`."""
        return await self._run(self._rae.list, limit, cursor, layer=layer, tags=tags, filter=filter)

    async def update(
        self,
        id: str,
        *,
        content: str | Unset = UNSET,
        kind: Kind | Unset = UNSET,
        layer: Layer | Unset = UNSET,
        role: str | Unset | None = UNSET,
        speaker: str | Unset | None = UNSET,
        occurred_at: Time | Unset | None = UNSET,
        tags: Iterable[str] | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        importance: float | Unset = UNSET,
        confidence: float | Unset = UNSET,
        ttl: float | timedelta | Unset | None = UNSET,
        source: str | Unset | None = UNSET,
        trust_level: TrustLevel | Unset | None = UNSET,
        info_class: InfoClass | Unset = UNSET,
        valid_from: Time | Unset | None = UNSET,
        valid_to: Time | Unset | None = UNSET,
        superseded_by: str | Unset | None = UNSET,
        expected_version: int | None = None,
    ) -> Receipt:
        """See `Rae.update`."""
        return await self._run(
            self._rae.update,
            id,
            content=content,
            kind=kind,
            layer=layer,
            role=role,
            speaker=speaker,
            occurred_at=occurred_at,
            tags=tags,
            metadata=metadata,
            importance=importance,
            confidence=confidence,
            ttl=ttl,
            source=source,
            trust_level=trust_level,
            info_class=info_class,
            valid_from=valid_from,
            valid_to=valid_to,
            superseded_by=superseded_by,
            expected_version=expected_version,
        )

    async def history(self, id: str) -> builtins.list[MemoryVersion]:
        """See `Rae.history`."""
        return await self._run(self._rae.history, id)

    async def forget(
        self,
        id: str | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        scope: ForgetScope | None = None,
        target: str | None = None,
    ) -> Forgotten:
        """See `Rae.forget`."""
        return await self._run(self._rae.forget, id, filter=filter, scope=scope, target=target)

    async def feedback(self, id: str, useful: bool) -> Memory:
        """See `Rae.feedback`."""
        return await self._run(self._rae.feedback, id, useful)

    async def embed(self, texts: Iterable[str], *, role: EmbedRole = "document") -> Array:
        """See `Rae.embed`."""
        return await self._run(self._rae.embed, texts, role=role)

    async def vector(self, id: str) -> Array | None:
        """See `Rae.vector`."""
        return await self._run(self._rae.vector, id)

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

    async def audit(self, *, limit: int = 100) -> Audit:
        """See `Rae.audit`."""
        return await self._run(self._rae.audit, limit=limit)

    async def doctor(self) -> builtins.list[Finding]:
        """See `Rae.doctor`."""
        return await self._run(self._rae.doctor)

    async def backup(self, path: Path) -> None:
        """See `Rae.backup`."""
        await self._run(self._rae.backup, path)

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

    def meter(
        self,
        provider: str,
        model: str,
        *,
        input_tokens: int | None = None,
        messages: Messages | None = None,
        tools: Messages | None = None,
        max_output_tokens: int | None = None,
        operation: str = "chat",
        user_id: str | None = None,
        request_id: str | None = None,
        timeout: float | timedelta | None = None,
    ) -> AsyncMeter:
        """See `Rae.meter`: `async with mem.meter(...) as call:`."""
        given = _client._metered(
            provider=provider,
            model=model,
            input_tokens=input_tokens,
            messages=messages,
            tools=tools,
            output_tokens=max_output_tokens,
            operation=operation,
            user_id=user_id,
            request_id=request_id,
            timeout=seconds(timeout),
        )
        return AsyncMeter(self, given)

    @overload
    async def llm(
        self,
        messages: Messages,
        *,
        model: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        tools: Messages | None = None,
        response_format: Mapping[str, Any] | None = None,
        stream: Literal[False] = False,
        user_id: str | None = None,
        operation: str = "chat",
        request_id: str | None = None,
        timeout: float | timedelta | None = None,
        **extra: Any,
    ) -> LlmAnswer: ...
    @overload
    async def llm(
        self,
        messages: Messages,
        *,
        model: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        tools: Messages | None = None,
        response_format: Mapping[str, Any] | None = None,
        stream: Literal[True],
        user_id: str | None = None,
        operation: str = "chat",
        request_id: str | None = None,
        timeout: float | timedelta | None = None,
        **extra: Any,
    ) -> AsyncLlmStream: ...
    async def llm(
        self,
        messages: Messages,
        *,
        model: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        tools: Messages | None = None,
        response_format: Mapping[str, Any] | None = None,
        stream: bool = False,
        user_id: str | None = None,
        operation: str = "chat",
        request_id: str | None = None,
        timeout: float | timedelta | None = None,
        **extra: Any,
    ) -> LlmAnswer | AsyncLlmStream:
        """See `Rae.llm`. A task that is cancelled gives the call up, and it is booked."""
        call: Callable[..., Any] = functools.partial(
            self._rae.llm,
            messages,
            model=model,
            max_tokens=max_tokens,
            temperature=temperature,
            tools=tools,
            response_format=response_format,
            user_id=user_id,
            operation=operation,
            request_id=request_id,
            timeout=timeout,
            **extra,
        )
        answer: LlmAnswer | LlmStream = await self._run_model(call, stream=stream)
        return answer if isinstance(answer, LlmAnswer) else AsyncLlmStream(answer, self)

    async def llm_estimate(
        self,
        messages: Messages,
        *,
        model: str,
        max_tokens: int | None = None,
        tools: Messages | None = None,
        response_format: Mapping[str, Any] | None = None,
        **extra: Any,
    ) -> LlmEstimate:
        """See `Rae.llm_estimate`."""
        return await self._run(
            self._rae.llm_estimate,
            messages,
            model=model,
            max_tokens=max_tokens,
            tools=tools,
            response_format=response_format,
            **extra,
        )


class AsyncLlmStream:
    """A streamed answer: an asynchronous iterator of `LlmChunk`. `cost_usd`, `usage` and `warnings`
    are there at its end. Closing it gives the rest up: what was produced is booked.
    """

    __slots__ = ("__weakref__", "_rae", "_stream")

    def __init__(self, stream: LlmStream, rae: AsyncRae) -> None:
        self._stream = stream
        self._rae = rae

    def __aiter__(self) -> AsyncIterator[LlmChunk]:
        return self

    async def __anext__(self) -> LlmChunk:
        piece = await self._rae._run_model(self._stream._next)
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def __aenter__(self) -> AsyncLlmStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Gives the rest of the answer up. Twice is fine."""
        # It does not wait for anything.
        self._stream.close()

    aclose = close

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost; None until it has ended well."""
        return self._stream.cost_usd

    @property
    def usage(self) -> Usage | None:
        """Its tokens; None until it has ended well."""
        return self._stream.usage

    @property
    def warnings(self) -> list[dict[str, str]]:
        """Limits whose warning threshold is reached; empty until it has ended well."""
        return self._stream.warnings


class AsyncMeter(Metered):
    """A meter round a call of your own: `async with mem.meter(...) as call:`."""

    __slots__ = ("_rae",)

    def __init__(self, rae: AsyncRae, given: dict[str, Any]) -> None:
        super().__init__(given)
        self._rae = rae

    async def _call(self, verb: str, args: dict[str, Any]) -> Any:
        return await self._rae._run(self._rae._rae._native.call, verb, args)

    async def __aenter__(self) -> AsyncMeter:
        self._check_new()
        self._begun(await self._call("meter", self._fields))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end = self._settlement(raised=kind is not None)
        try:
            self._settled(await self._call("end_metered", end))
        except InvalidInputError:
            # A usage that cannot be one must not leave the money held.
            unknown = {**self._fields, "id": self.id, "outcome": "unknown"}
            self._settled(await self._call("end_metered", unknown))
            raise
