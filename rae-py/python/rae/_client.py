"""Opening a store, or connecting to one, and the blocking handle on it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal

from rae import _rae
from rae._money import amount
from rae._types import Embedder, Path, Prices, Providers, Time, UnknownModel
from rae._verbs import entities, evals, learning, models, money, reading, relations, upkeep, writing


def open(
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
) -> Rae:
    """Opens a store and makes it where there is none.

    path: a file (its log and its index lie beside it), or ":memory:".
    tenant, project: whose memories; nothing of another tenant or project is ever seen.
    embedder: what turns texts into vectors. None: the built-in table (no download, no network).
        A callable `list[str] -> vectors`: one list of floats (or None) per text, a list of arrays,
        or a two-dimensional numpy array; its id is its attribute `rae_id`, else
        "python:module.name/dim". It is called in the thread of the verb that needs it, with at most
        256 texts. A path: a folder with all-MiniLM-L6-v2, in builds that have it. A name such as
        "openai:text-embedding-3-small" or "google:gemini-embedding-001@768": a model that a
        provider runs, with the key of the environment (OPENAI_API_KEY, GEMINI_API_KEY ...). Texts
        then go over the network, and each request is held to the budgets and booked.
    durability: "full": on the disk when a write returns. "normal": safe from a crash of the
        process, not from one of the machine.
    reembed: embeds a store anew that was made with another embedder, instead of refusing it.
    timeout: longest time of one call, in seconds; None: no limit.
    providers: of chat models, for `llm`: `{"openai": {"api_key": ..., "base_url": ...}}`. The names
        "openai", "anthropic" and "google" say what they speak; any other speaks as OpenAI does and
        needs a base_url. None: those of the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY,
        GEMINI_API_KEY, OPENROUTER_API_KEY, OLLAMA_BASE_URL, VLLM_BASE_URL); `{}`: none.
    prices: a JSON file (or dict) of prices over the built-in ones; see docs/concepts.
    unknown_model: what becomes of a call of a model without a price. "reject" (default): it is
        refused. `{"input": 5, "output": 20}`: it costs that, in dollars for a million tokens.
    lifecycle: what `maintain` does with memories as they age, like `{"forget_below": 0.05,
        "keep_class_days": {"restricted": 90}}`; see docs/concepts/lifecycle.md. None: strength
        sinks without use, and nothing is deleted by age.
    model: the chat model that background work may ask, such as "openai:gpt-4.1-mini": reflection
        on sessions that failed, within the budgets. None: everything works by rules alone.
    reflect_after: queues a reflection after every so many changes of a project, for agents that do
        not say when a session ends; `maintain` runs it. None and 0: never.
    enrich: "rules" reads facts from all that is remembered, as `infer=True` does for one memory.
        "model" lets `model` read them too, within the budgets. None and "off": only where `infer`
        asks for it, by rules.

    Raises InvalidInputError (a directory, a missing folder, bad names), CorruptError (not a store;
    the file is left as it is), UnsupportedError (made by a newer version; code "forked" for a file
    that was open when this process was forked), ConflictError with code "embedder_mismatch" (made
    with another embedder), PermissionDeniedError, UnavailableError.
    """
    native = _rae.Store.open(
        path,
        {
            "tenant": tenant,
            "project": project,
            "embedder": embedder,
            "durability": durability,
            "reembed": reembed,
            "timeout": timeout,
            "providers": providers,
            "prices": prices,
            "unknown_model": None if unknown_model is None else _ceiling(unknown_model),
            "lifecycle": lifecycle,
            "model": model,
            "reflect_after": reflect_after,
            "enrich": enrich,
            "test_now": _test_now,
            "test_seed": _test_seed,
        },
    )
    return Rae(native)


def connect(
    url: str,
    *,
    api_key: str | None = None,
    tenant: str | None = None,
    project: str | None = None,
    timeout: float | timedelta | None = None,
    ca: Path | None = None,
) -> Rae:
    """The memories of a server (`rae-server`), with the verbs, answers and errors of `open`.

    url: its address, like "http://127.0.0.1:8000", with a path where it lies behind one. It is not
        asked before the first call; redirects and proxies of the environment are not followed.
    api_key: the key that the server wants. A warning says when it would go unencrypted to another
        machine.
    tenant, project: whose memories. None: "default" without a key; with one the key decides, and
        the property is "".
    timeout: longest time of one call, in seconds; None: a minute, and an hour for export, import,
        backup, audit, doctor, maintain and the forgetting of a filter or a scope.
    ca: a PEM file of certificates to trust beside the public ones.

    What a network adds: UnavailableError with code "unreachable", "connection_lost" or
    "not_a_rae_server", TimeoutError, PermissionDeniedError for a key that is not known,
    RateLimitedError. What only reads, and `remember`, is tried again when a connection breaks;
    where another write may have been done all the same, the error says so. `backup`, the forgetting
    of a tenant and `maintain(now=...)` need the operator's key; `reembed` raises UnsupportedError.
    """
    native = _rae.Store.connect(
        url,
        {
            "api_key": api_key,
            "tenant": tenant,
            "project": project,
            "timeout": timeout,
            "ca": ca,
        },
    )
    if native.is_key_in_clear:
        warnings.warn(
            "the API key is sent without encryption; use https:// outside of a network you trust",
            RuntimeWarning,
            stacklevel=2,
        )
    return Rae(native)


class Rae(
    writing.Rae,
    reading.Rae,
    relations.Rae,
    entities.Rae,
    learning.Rae,
    upkeep.Rae,
    evals.Rae,
    money.Rae,
    models.Rae,
):
    """A store, for one tenant and project; `open` makes it, and `connect` one on a server.

    Safe to use from several threads; the interpreter is free while a call runs, and Ctrl-C ends it.
    Several processes may open one file. After a fork it works in the parent only; in the child its
    calls raise UnsupportedError with code "forked". Close it, or use it in a `with` block; handles
    made by `with_scope` share the store and close with it.

    Every verb raises InvalidInputError for wrong input (before anything is written) and
    UnavailableError with code "closed" after `close`.
    """

    __slots__ = ("__weakref__", "_closed")

    def __init__(self, native: _rae.Store) -> None:
        super().__init__(native)
        self._closed = False

    def __enter__(self) -> Rae:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        path = self._native.path
        url = self._native.url
        where = url if url is not None else ":memory:" if path is None else os.fspath(path)
        state = " closed" if self._closed else ""
        return f"<rae.Rae {where!r} tenant={self.tenant!r} project={self.project!r}{state}>"

    @property
    def tenant(self) -> str:
        """The tenant of this handle."""
        return self._native.tenant

    @property
    def project(self) -> str:
        """The project of this handle."""
        return self._native.project

    def with_scope(self, tenant: str | None = None, project: str | None = None) -> Rae:
        """The same store for another tenant or project; None keeps the present one."""
        return Rae(self._native.with_scope(tenant, project))

    def close(self) -> None:
        """Finishes what is queued and releases the file, for all handles. Twice is fine."""
        self._native.close()
        self._closed = True


def _ceiling(policy: UnknownModel) -> Any:
    if isinstance(policy, str):
        return policy
    return {name: amount(rate) for name, rate in policy.items()}
