"""Verbs that call chat models, or hold money for a call of your own."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, overload

from rae._money import LlmAnswer, LlmEstimate, LlmStream, Meter, seconds
from rae._session import Session
from rae._types import InfoClass, Messages
from rae._verbs.base import Handle


class Rae(Handle):
    """Its verbs that call models, and those that give handles."""

    __slots__ = ()

    def session(
        self,
        id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        info_class: InfoClass | None = None,
    ) -> Session:
        """A session of an agent by its name: `log`, `end` and `events`. Writes nothing yet.

        user_id, agent_id, info_class: of all that is logged by it; see `log_event`.
        """
        return Session(self._native, id, user_id, agent_id, info_class)

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
    ) -> Meter:
        """A meter round a call that you make with a client of your own:

            model = "gpt-4o-mini"
            with mem.meter("openai", model, messages=messages, max_output_tokens=500) as call:
                answer = client.chat.completions.create(
                    model=model, messages=messages, max_completion_tokens=500
                )
                call.used(answer.usage)

        Entering the block holds the most that the call may cost, or raises BudgetExceededError;
        leaving it books what it did cost. A block that an exception leaves, or that says nothing,
        is booked at all that was held, unless it said `call.free()`.

        input_tokens: most tokens of the request; without them they are counted from messages and
            tools, in OpenAI's shape.
        max_output_tokens: what you tell the provider; 4,096 where you leave it out.
        operation, user_id, request_id: for `costs` and `cost_log`.
        timeout: longest time of the block in seconds, at most 600, which is the default: after it
            the call is booked at all that was held.

        Raises InvalidInputError with code "unknown_model_price" for a model without a price.
        """
        return Meter(
            self._native.call,
            _metered(
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
            ),
        )

    @overload
    def llm(
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
    def llm(
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
    ) -> LlmStream: ...
    def llm(
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
    ) -> LlmAnswer | LlmStream:
        """Asks a chat model of any configured provider, within the budgets.

        messages, tools, response_format and extra fields are in the shape of OpenAI's chat
            completions, whichever provider answers.
        model: "gpt-4o-mini", "claude-haiku-4-5", "openrouter/openai/gpt-4o".
        max_tokens: most tokens of the answer; 4,096 where you leave it out.
        stream: gives an iterator of pieces instead.
        operation, user_id, request_id: for `costs` and `cost_log`.
        timeout: longest time in seconds of all attempts together, at most 600, the default.

        The worst cost is held before the first byte is sent; each attempt is booked at what the
        provider counted, a call that is given up at what was held.

        Raises BudgetExceededError, whose `details` have limit, used, reserved, requested,
        available and resets_at; InvalidInputError with code "unknown_model_provider" or
        "unknown_model_price", or where the provider refuses the request; PermissionDeniedError,
        RateLimitedError, TimeoutError and UnavailableError of the provider. On a server
        (`connect`) the models, prices and budgets are the server's.
        """
        args = _chat(
            messages,
            {
                **extra,
                "model": model,
                "max_tokens": max_tokens,
                "temperature": temperature,
                "tools": tools,
                "response_format": response_format,
                "user_id": user_id,
                "operation": operation,
                "request_id": request_id,
                "timeout": seconds(timeout),
            },
        )
        if stream:
            return LlmStream(self._native.llm_stream(args))
        return LlmAnswer._of(self._native.call("llm", args))

    def llm_estimate(
        self,
        messages: Messages,
        *,
        model: str,
        max_tokens: int | None = None,
        tools: Messages | None = None,
        response_format: Mapping[str, Any] | None = None,
        **extra: Any,
    ) -> LlmEstimate:
        """What `llm` would hold for this call, and whether there is room for it now. Sends nothing.

        Raises as `llm`, but gives a refusal by the budget as `refusal`.
        """
        args = _chat(
            messages,
            {
                **extra,
                "model": model,
                "max_tokens": max_tokens,
                "tools": tools,
                "response_format": response_format,
            },
        )
        return LlmEstimate._of(self._native.call("llm_estimate", args))


def _chat(messages: Messages, fields: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value is not None}
    if "tools" in given:
        given["tools"] = builtins.list(given["tools"])
    return {**given, "messages": builtins.list(messages)}


def _metered(**fields: Any) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value is not None}
    for name in ("messages", "tools"):
        if name in given:
            given[name] = builtins.list(given[name])
    return given
