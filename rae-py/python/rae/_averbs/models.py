"""The twins of `rae._verbs.models`, and the handles that they give. Written by hand."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, overload

from rae._averbs.base import AsyncHandle
from rae._errors import InvalidInputError
from rae._money import LlmAnswer, LlmChunk, LlmEstimate, LlmStream, Meter, Metered, Usage
from rae._session import AsyncSession
from rae._types import InfoClass, Messages


class AsyncRae(AsyncHandle):
    """Its verbs that call models, and those that give handles."""

    __slots__ = ()

    def session(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        info_class: InfoClass | None = None,
    ) -> AsyncSession:
        """See `Rae.session`."""
        session = self._rae.session(id, user_id=user_id, agent_id=agent_id, info_class=info_class)
        return AsyncSession(self, session)

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
        return AsyncMeter(
            self,
            self._rae.meter(
                provider,
                model,
                input_tokens=input_tokens,
                messages=messages,
                tools=tools,
                max_output_tokens=max_output_tokens,
                operation=operation,
                user_id=user_id,
                request_id=request_id,
                timeout=timeout,
            ),
        )

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

    def __init__(self, stream: LlmStream, rae: AsyncHandle) -> None:
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

    def __init__(self, rae: AsyncHandle, meter: Meter) -> None:
        super().__init__(meter._fields)
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
