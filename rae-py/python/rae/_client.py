"""The blocking handle on a store."""

from __future__ import annotations

import builtins
import enum
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, overload

from rae import _rae
from rae._errors import UnsupportedError
from rae._money import (
    Amount,
    Budget,
    CostGroup,
    CostLog,
    Costs,
    Limits,
    LlmAnswer,
    LlmEstimate,
    LlmStream,
    Meter,
    amount,
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

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[numpy.float32]
else:
    # numpy is not needed to install or import rae; `embed` and `vector` alone ask for it.
    Array = Any


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Leaves a field as it is, where None would clear it."""

Path: TypeAlias = str | os.PathLike[str]
Time: TypeAlias = str | datetime | date
"""RFC 3339 text, a datetime (a naive one is taken as UTC), or a date (midnight UTC)."""
Kind: TypeAlias = Literal[
    "text",
    "fact",
    "conversation",
    "document",
    "code",
    "image-ref",
    "reflection",
    "lesson",
    "strategy",
    "entity-summary",
]
Layer: TypeAlias = Literal[
    "sensory", "working", "episodic", "semantic", "reflective", "stm", "wm", "em", "ltm", "sm", "rm"
]
TrustLevel: TypeAlias = Literal["unverified", "low", "medium", "high"]
InfoClass: TypeAlias = Literal["public", "internal", "confidential", "restricted"]
ForgetScope: TypeAlias = Literal["session", "user", "project", "tenant"]
EmbedRole: TypeAlias = Literal["document", "query"]
Embedder: TypeAlias = Path | Callable[[builtins.list[str]], Any]
Messages: TypeAlias = Iterable[Mapping[str, Any]]
"""Messages in the shape of OpenAI's chat completions: `{"role": "user", "content": "..."}`."""
Providers: TypeAlias = Mapping[str, Mapping[str, str]]
Prices: TypeAlias = Path | Mapping[str, Any]
UnknownModel: TypeAlias = Literal["reject"] | Mapping[str, Amount]


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


class Rae:
    """A store, for one tenant and project; `open` makes it, and `connect` one on a server.

    Safe to use from several threads; the interpreter is free while a call runs, and Ctrl-C ends it.
    Several processes may open one file. After a fork it works in the parent only; in the child its
    calls raise UnsupportedError with code "forked". Close it, or use it in a `with` block; handles
    made by `with_scope` share the store and close with it.

    Every verb raises InvalidInputError for wrong input (before anything is written) and
    UnavailableError with code "closed" after `close`.
    """

    __slots__ = ("__weakref__", "_closed", "_native")

    def __init__(self, native: _rae.Store) -> None:
        self._native = native
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

    def remember(
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
        """Stores a memory, durably when it returns. No model is called.

        content: 1 byte to 1 MiB of text, not only white space.
        kind: default "conversation" when session_id, speaker or role is given, else "text".
        layer: default by kind: conversations are episodic; texts, facts and documents semantic;
            reflections, lessons and strategies reflective.
        role: "user", "assistant", "system", "tool" or a name of your own. speaker: who said it.
        session_id, agent_id, user_id: whom it belongs to, at most 256 bytes each.
        occurred_at: when it happened.
        tags: at most 64, of at most 128 bytes.
        metadata: a JSON object of at most 64 KiB and 16 levels; integers have at most 64 bits.
        importance: 0 to 1; default by layer. confidence: 0 to 1; default 1.
        ttl: seconds to live, or a timedelta; default by layer (sensory a day, working a week).
        source: name of its source; sources join when statements merge.
        valid_from, valid_to: when the statement holds; `recall(as_of=...)` asks for it.
        infer: asks for enrichment by a model; `degraded` has "infer" where none is configured.
        idempotency_key: makes the call safe to repeat for 24 hours.

        The same statement (text, fact, document, lesson, strategy) in the same layer merges, and so
        does the same turn of a session: `receipt.merged`. Raises ConflictError when the idempotency
        key was used for another body.
        """
        return self._native.remember(
            {
                "content": content,
                "kind": kind,
                "layer": layer,
                "role": role,
                "speaker": speaker,
                "session_id": session_id,
                "occurred_at": occurred_at,
                "tags": tags,
                "metadata": metadata,
                "importance": importance,
                "confidence": confidence,
                "ttl": ttl,
                "source": source,
                "trust_level": trust_level,
                "info_class": info_class,
                "agent_id": agent_id,
                "user_id": user_id,
                "valid_from": valid_from,
                "valid_to": valid_to,
                "infer": infer,
                "idempotency_key": idempotency_key,
            }
        )

    def remember_many(self, items: Iterable[Mapping[str, Any]]) -> builtins.list[Receipt]:
        """Stores many memories, at most 100,000; far faster than one by one.

        items: mappings with the fields of `remember`; None is the same as no value. All are checked
        before the first is written: an InvalidInputError names the item, in `details["item"]` too.
        Then one transaction per at most 1,000 items; an error after that has `details["committed"]`
        and the receipts so far.
        """
        return self._native.remember_many(items)

    def recall(
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
        """Finds memories: meaning, words, speaker, session and time together. No model is called.

        query: 1 byte to 64 KiB. k: most hits, 1 to 1,000.
        layers, kinds: only these. tags: all of these. tags_any: any of these.
        filter: `{field: value | {eq, ne, in, nin, gt, gte, lt, lte, contains}}`, combined by "and",
            "or", "not"; fields are those of `Memory`, and "metadata.a.b"; at most 64 comparisons.
        since (inclusive), until (exclusive): on occurred_at, else created_at.
        as_of: what held at that time. known_at: what was stored by that time, in its wording then.
        min_score: least `hit.relevance`, 0 to 1, which is absolute; 0 keeps everything.
        max_tokens: most tokens of all hits together. rerank: asks the configured reranker.
        explain: fills `hits.trace`.
        """
        return self._native.recall(
            query,
            {
                "k": k,
                "layers": layers,
                "kinds": kinds,
                "tags": tags,
                "tags_any": tags_any,
                "filter": filter,
                "since": since,
                "until": until,
                "as_of": as_of,
                "known_at": known_at,
                "session_id": session_id,
                "agent_id": agent_id,
                "user_id": user_id,
                "min_score": min_score,
                "max_tokens": max_tokens,
                "rerank": rerank,
                "explain": explain,
            },
        )

    def context(
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
        """A block of memories for a prompt: lessons, relevant memories, the session's last turns.

        query: what it is about; without one the last turn of `session_id` is the question.
        max_tokens: most tokens of the whole text, counted exactly, 1 to 1,000,000.
        session_id: adds its last turns. min_score: least relevance, default 0.12.
        The other options are those of `recall`. Raises InvalidInputError without query and session.
        """
        return self._native.context(
            query,
            {
                "session_id": session_id,
                "max_tokens": max_tokens,
                "agent_id": agent_id,
                "user_id": user_id,
                "layers": layers,
                "tags": tags,
                "filter": filter,
                "min_score": min_score,
            },
        )

    def get(self, id: str) -> Memory:
        """A memory. Raises NotFoundError when there is none."""
        return self._native.get(id)

    def list(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        layer: Layer | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Page:
        """A page of memories, oldest first.

        limit: 1 to 1,000. cursor: `next_cursor` of the page before. layer, tags (all of these) and
        filter as in `recall`.
        """
        return self._native.list(
            {"limit": limit, "cursor": cursor, "layer": layer, "tags": tags, "filter": filter}
        )

    def update(
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
        """Changes a memory: its id stays, its version grows, the old version stays in `history`.

        Fields that are left out stay; None clears a field. ttl counts from now; None lifts it.
        superseded_by: id of the memory that replaces this one. expected_version: raises
        ConflictError unless the memory has this version. Raises NotFoundError; InvalidInputError
        when nothing would change.
        """
        fields: dict[str, Any] = {
            "content": content,
            "kind": kind,
            "layer": layer,
            "role": role,
            "speaker": speaker,
            "occurred_at": occurred_at,
            "tags": tags,
            "metadata": metadata,
            "importance": importance,
            "confidence": confidence,
            "ttl": ttl,
            "source": source,
            "trust_level": trust_level,
            "info_class": info_class,
            "valid_from": valid_from,
            "valid_to": valid_to,
            "superseded_by": superseded_by,
            "expected_version": expected_version,
        }
        given = {name: value for name, value in fields.items() if value is not UNSET}
        return self._native.update(id, given)

    def history(self, id: str) -> builtins.list[MemoryVersion]:
        """All versions, oldest first; the last one is the present. Raises NotFoundError."""
        return self._native.history(id)

    def forget(
        self,
        id: str | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        scope: ForgetScope | None = None,
        target: str | None = None,
    ) -> Forgotten:
        """Erases memories from rows, words, vectors, history and the log; exactly one way:

        `forget(id)`: one memory (a missing one is no error: `deleted` is 0).
        `forget(filter={...})`: all that match; an empty filter is InvalidInputError.
        `forget(scope="session" | "user" | "project" | "tenant", target=name)`: a whole scope; a
        tenant's name must be the one of this handle.
        Memories derived from these alone go too.
        """
        return self._native.forget(id, filter, scope, target)

    def feedback(self, id: str, useful: bool) -> Memory:
        """Says whether a memory helped: strength moves a fifth of the way to 1 or 0, importance a
        tenth. Gives the memory. Raises NotFoundError.
        """
        return self._native.feedback(id, useful)

    def embed(self, texts: Iterable[str], *, role: EmbedRole = "document") -> Array:
        """Vectors of texts, as a numpy array of float32 with a row of unit length for each text.

        texts: at most 1,000, of at most 1 MiB each; taken as they are, without a date or names.
        role: "document" for what is to be found, "query" for a question; some embedders tell them
            apart, the built-in one and callables do not.

        The shape is (number of texts, dimension). A text with nothing the embedder knows has a row
        of zeros. Raises UnsupportedError with code "numpy_missing" where numpy is not installed,
        UnavailableError when the embedder fails.
        """
        array = _numpy("embed")
        floats, dim = self._native.embed(texts, role)
        rows: Array = array.frombuffer(floats, dtype=array.float32).reshape(-1, dim)
        return rows

    def vector(self, id: str) -> Array | None:
        """The stored vector of a memory, as a numpy array of float32 and unit length.

        None where the memory has none: its text has nothing the embedder knows, or its vector is
        still owed (see `maintain`). Raises NotFoundError, and UnsupportedError with code
        "numpy_missing" where numpy is not installed.
        """
        array = _numpy("vector")
        floats = self._native.vector(id)
        if floats is None:
            return None
        vector: Array = array.frombuffer(floats, dtype=array.float32)
        return vector

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

    def audit(self, *, limit: int = 100) -> Audit:
        """Looks for duplicates, contradictions and orphans in the project. Changes nothing.

        limit: most findings, 1 to 1,000, shared by the kinds; `truncated` says that there are more.

        "duplicate": the same words but for case, punctuation and white space. "contradiction":
        English facts and texts with two values for what has one ("Ada lives in ..."), or one that
        denies the other; found by patterns, so most go unseen, and some that are found may both
        hold. "orphan": derived from memories that are gone, or superseded by one that is gone.
        Takes a time in proportion to the project: about a second for 100,000 memories.
        """
        return self._native.audit(limit)

    def doctor(self) -> builtins.list[Finding]:
        """Looks for damage and says what to do; takes a time in proportion to the store."""
        return self._native.doctor()

    def backup(self, path: Path) -> None:
        """Writes a consistent copy of the whole store (all tenants) to a new file."""
        self._native.backup(path)

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
        given: dict[str, Any] = {
            "daily_limit": amount(daily_limit),
            "monthly_limit": amount(monthly_limit),
            "daily_token_limit": daily_token_limit,
            "monthly_token_limit": monthly_token_limit,
            "warning_threshold": warning_threshold,
        }
        args = {name: value for name, value in given.items() if value is not UNSET}
        return Limits._of(self._native.call("set_budget", {**args, "project": project}))

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


def _ceiling(policy: UnknownModel) -> Any:
    if isinstance(policy, str):
        return policy
    return {name: amount(rate) for name, rate in policy.items()}


def _numpy(verb: str) -> Any:
    try:
        import numpy
    except ImportError as error:
        raise UnsupportedError(
            f"{verb} gives numpy arrays and numpy is not installed: pip install numpy",
            code="numpy_missing",
        ) from error
    return numpy
