"""The native half of the package: what the verbs return, and the handle behind `Rae`.

The classes of values are public as `rae.Receipt`, `rae.Hit` and so on. They are frozen, compare by
value, can be pickled, and make each attribute when it is read.
"""

import builtins
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex, final, overload

__version__: str

@final
class Receipt:
    """What became of a write."""

    @property
    def id(self) -> str:
        """Id of the memory that holds the text now: an older one when it merged."""
    @property
    def version(self) -> int:
        """Its version."""
    @property
    def merged(self) -> bool:
        """Whether the text was there already, so that its witness count grew instead."""
    @property
    def degraded(self) -> list[str]:
        """What could not be done at once: "dense" (the vector is owed as a job)."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Signals:
    """The parts of a hit's score, each 0 to 1."""

    @property
    def dense(self) -> float:
        """Cosine to the question, negative ones as 0."""
    @property
    def lexical(self) -> float:
        """Word score over the best of all."""
    @property
    def passage(self) -> float:
        """Word score with the neighbours of the same exchange over the best."""
    @property
    def actor(self) -> float:
        """1 when the question is about who spoke, 0.5 for one of two reasons."""
    @property
    def session(self) -> float:
        """How good the best of its session is."""
    @property
    def time(self) -> float:
        """Nearness to a time that the question names."""
    @property
    def graph(self) -> float:
        """Nearness in the knowledge graph."""
    @property
    def recency(self) -> float:
        """0.5 to the power of age over the layer's half-life; 0 for layers that do not age."""
    @property
    def importance(self) -> float:
        """Importance as stored."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Passage:
    """A part of a content, in characters: `content[start:end]`."""

    @property
    def start(self) -> int:
        """First character."""
    @property
    def end(self) -> int:
        """One past the last."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Claim:
    """A relation that a memory states."""

    @property
    def subject(self) -> str:
        """What it is about."""
    @property
    def relation(self) -> str:
        """How the two stand to each other, such as works_at."""
    @property
    def object(self) -> str:
        """The other end."""
    @property
    def weight(self) -> float:
        """How strong the relation is, more than 0."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: builtins.object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Hit:
    """A memory that answers."""

    @property
    def id(self) -> str:
        """Id."""
    @property
    def content(self) -> str:
        """The whole text."""
    @property
    def score(self) -> float:
        """0 to 1, in relation to the best that was found; hits sort by it, then by id."""
    @property
    def relevance(self) -> float:
        """0 to 1, absolute: half cosine, half the share of the question's words. What `min_score`
        compares.
        """
    @property
    def signals(self) -> Signals:
        """The parts of the score."""
    @property
    def passage(self) -> Passage:
        """The part of a long text that fits best; all of a short one."""
    @property
    def kind(self) -> str:
        """Kind."""
    @property
    def layer(self) -> str:
        """Layer."""
    @property
    def role(self) -> str | None:
        """Role."""
    @property
    def speaker(self) -> str | None:
        """Speaker."""
    @property
    def session_id(self) -> str | None:
        """Session."""
    @property
    def tags(self) -> list[str]:
        """Tags."""
    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata, a fresh dict with each reading."""
    @property
    def occurred_at(self) -> datetime | None:
        """When it happened, UTC."""
    @property
    def created_at(self) -> datetime:
        """When it was stored, UTC."""
    @property
    def importance(self) -> float:
        """Importance, 0 to 1."""
    @property
    def version(self) -> int:
        """Version."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Hits:
    """The answer of `recall`: a sequence of `Hit`, best first."""

    @property
    def degraded(self) -> list[str]:
        """Parts that could not be used: "dense" (the embedder failed), "rerank" (there is none)."""
    @property
    def trace(self) -> dict[str, Any] | None:
        """How the answer came about, with `explain=True`; else None."""
    def to_dict(self) -> dict[str, Any]:
        """`{"hits": [...], "degraded": [...], "trace": ...}` as fresh dicts and lists; times stay
        datetimes."""
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Hit: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Hit]: ...
    def __iter__(self) -> Iterator[Hit]: ...
    def __reversed__(self) -> Iterator[Hit]: ...
    def __contains__(self, hit: object, /) -> bool: ...
    def index(self, value: Hit, start: int = ..., stop: int = ..., /) -> int:
        """Position of a hit; ValueError when it is not there."""
    def count(self, value: Hit, /) -> int:
        """How often a hit is there."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Memory:
    """One memory."""

    @property
    def id(self) -> str:
        """Id."""
    @property
    def tenant(self) -> str:
        """Tenant."""
    @property
    def project(self) -> str:
        """Project."""
    @property
    def content(self) -> str:
        """The whole text."""
    @property
    def kind(self) -> str:
        """Kind."""
    @property
    def layer(self) -> str:
        """Layer."""
    @property
    def role(self) -> str | None:
        """Role."""
    @property
    def speaker(self) -> str | None:
        """Who said it."""
    @property
    def session_id(self) -> str | None:
        """Session."""
    @property
    def agent_id(self) -> str | None:
        """Agent."""
    @property
    def user_id(self) -> str | None:
        """User."""
    @property
    def tags(self) -> list[str]:
        """Tags, without doubles."""
    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata, a fresh dict with each reading."""
    @property
    def importance(self) -> float:
        """How much it matters, 0 to 1."""
    @property
    def strength(self) -> float:
        """How vivid it is, 0 to 1; feedback and decay move it."""
    @property
    def confidence(self) -> float:
        """How sure it is, 0 to 1."""
    @property
    def trust_level(self) -> str | None:
        """Trust in its source."""
    @property
    def info_class(self) -> str:
        """Class of information."""
    @property
    def sources(self) -> list[str]:
        """Names of its sources; they join when statements merge."""
    @property
    def derived_from(self) -> list[str]:
        """Ids of the memories it was derived from."""
    @property
    def created_at(self) -> datetime:
        """When it was first stored, UTC."""
    @property
    def updated_at(self) -> datetime:
        """When this version was stored, UTC."""
    @property
    def occurred_at(self) -> datetime | None:
        """When it happened, UTC."""
    @property
    def valid_from(self) -> datetime | None:
        """From when it holds, UTC; occurred_at, else created_at, where it is None."""
    @property
    def valid_to(self) -> datetime | None:
        """Until when it holds (exclusive), UTC; None: open."""
    @property
    def superseded_by(self) -> str | None:
        """Id of the memory that replaced it."""
    @property
    def expires_at(self) -> datetime | None:
        """When it ceases to exist, UTC; None: never."""
    @property
    def version(self) -> int:
        """1 at first, one more with each update."""
    @property
    def seq(self) -> int:
        """Number of the change that last touched it, within its project."""
    @property
    def seq_in_session(self) -> int | None:
        """Its place in its session, from 0."""
    @property
    def content_hash(self) -> str:
        """BLAKE3 of the content, in hexadecimal digits."""
    @property
    def witness_count(self) -> int:
        """How often it was said."""
    @property
    def claim(self) -> Claim | None:
        """The relation that it states; None where it states none."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class MemoryVersion:
    """A memory as it was, or is."""

    @property
    def id(self) -> str:
        """Id."""
    @property
    def tenant(self) -> str:
        """Tenant."""
    @property
    def project(self) -> str:
        """Project."""
    @property
    def content(self) -> str:
        """The whole text."""
    @property
    def kind(self) -> str:
        """Kind."""
    @property
    def layer(self) -> str:
        """Layer."""
    @property
    def role(self) -> str | None:
        """Role."""
    @property
    def speaker(self) -> str | None:
        """Who said it."""
    @property
    def session_id(self) -> str | None:
        """Session."""
    @property
    def agent_id(self) -> str | None:
        """Agent."""
    @property
    def user_id(self) -> str | None:
        """User."""
    @property
    def tags(self) -> list[str]:
        """Tags, without doubles."""
    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata, a fresh dict with each reading."""
    @property
    def importance(self) -> float:
        """How much it matters, 0 to 1."""
    @property
    def strength(self) -> float:
        """How vivid it is, 0 to 1; feedback and decay move it."""
    @property
    def confidence(self) -> float:
        """How sure it is, 0 to 1."""
    @property
    def trust_level(self) -> str | None:
        """Trust in its source."""
    @property
    def info_class(self) -> str:
        """Class of information."""
    @property
    def sources(self) -> list[str]:
        """Names of its sources; they join when statements merge."""
    @property
    def derived_from(self) -> list[str]:
        """Ids of the memories it was derived from."""
    @property
    def created_at(self) -> datetime:
        """When it was first stored, UTC."""
    @property
    def updated_at(self) -> datetime:
        """When this version was stored, UTC."""
    @property
    def occurred_at(self) -> datetime | None:
        """When it happened, UTC."""
    @property
    def valid_from(self) -> datetime | None:
        """From when it holds, UTC; occurred_at, else created_at, where it is None."""
    @property
    def valid_to(self) -> datetime | None:
        """Until when it holds (exclusive), UTC; None: open."""
    @property
    def superseded_by(self) -> str | None:
        """Id of the memory that replaced it."""
    @property
    def expires_at(self) -> datetime | None:
        """When it ceases to exist, UTC; None: never."""
    @property
    def version(self) -> int:
        """1 at first, one more with each update."""
    @property
    def seq(self) -> int:
        """Number of the change that last touched it, within its project."""
    @property
    def seq_in_session(self) -> int | None:
        """Its place in its session, from 0."""
    @property
    def content_hash(self) -> str:
        """BLAKE3 of the content, in hexadecimal digits."""
    @property
    def witness_count(self) -> int:
        """How often it was said."""
    @property
    def claim(self) -> Claim | None:
        """The relation that it states; None where it states none."""
    @property
    def replaced_at(self) -> datetime | None:
        """When this state was replaced, UTC; None for the present one."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Page:
    """A page of memories, oldest first."""

    @property
    def items(self) -> list[Memory]:
        """The memories."""
    @property
    def next_cursor(self) -> str | None:
        """What `list(cursor=...)` takes to go on; None on the last page."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Reflected:
    """What `reflect` made, or made stronger."""

    @property
    def id(self) -> str:
        """Id of the memory."""
    @property
    def kind(self) -> str:
        """A "lesson", "strategy", "reflection", or a "fact" that was consolidated."""
    @property
    def content(self) -> str:
        """What it says now."""
    @property
    def version(self) -> int:
        """Its version."""
    @property
    def created(self) -> bool:
        """Whether it is new."""
    @property
    def session_id(self) -> str | None:
        """The session that it sums up, where it is a reflection."""
    @property
    def tool(self) -> str | None:
        """The tool that failed, where one did."""
    @property
    def error(self) -> str | None:
        """The error in its general form."""
    @property
    def count(self) -> int | None:
        """How often it happened."""
    @property
    def sessions(self) -> int | None:
        """In how many sessions."""
    @property
    def importance(self) -> float:
        """How much it matters, 0 to 1."""
    @property
    def confidence(self) -> float:
        """How sure it is, 0 to 1."""
    @property
    def sources(self) -> list[str]:
        """Ids of the events it was learnt from, at most 64."""
    @property
    def degraded(self) -> list[str]:
        """Has "model" where one is configured and could not be asked: a job asks it later."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class ContextSource:
    """A memory in a context's text."""

    @property
    def id(self) -> str:
        """Id."""
    @property
    def kind(self) -> str:
        """Kind."""
    @property
    def layer(self) -> str:
        """Layer."""
    @property
    def start(self) -> int:
        """First character of its line: `text[start:end]`."""
    @property
    def end(self) -> int:
        """One past the last."""
    @property
    def score(self) -> float:
        """Its score; 0 for a recent turn, or a line of the profile, that was not recalled."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Context:
    """A block for a prompt."""

    @property
    def text(self) -> str:
        """The text; empty when nothing was relevant enough and there is no profile."""
    @property
    def token_count(self) -> int:
        """Its exact number of tokens."""
    @property
    def sources(self) -> list[ContextSource]:
        """What is in it, in order."""
    @property
    def degraded(self) -> list[str]:
        """As in `recall`."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Forgotten:
    """What was forgotten."""

    @property
    def deleted(self) -> int:
        """Memories that were asked for and are gone."""
    @property
    def derived(self) -> int:
        """Memories derived from these alone, gone with them."""
    @property
    def pending(self) -> list[str]:
        """What still holds traces for now: "wal" until the next `maintain`."""
    @property
    def receipt(self) -> dict[str, Any]:
        """What was done and when, with keyed hashes of the ids: enough to check, nothing to
        read."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class ErasurePlace:
    """What one place holds of what was to be erased."""

    @property
    def place(self) -> str:
        """Which, for example "memories", "vectors", "cache" or "export FILE"."""
    @property
    def found(self) -> int:
        """How many of the ids were found there."""
    @property
    def state(self) -> str:
        """ "clean", "found", or "kept": bare ids that the engine keeps on purpose."""
    @property
    def note(self) -> str | None:
        """What it means and what to do; None where it is clean."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class ErasureReport:
    """The answer of `verify_erasure`."""

    @property
    def clean(self) -> bool:
        """Whether no place is "found"."""
    @property
    def ids(self) -> int:
        """Ids that the receipt names."""
    @property
    def bound(self) -> bool:
        """Whether the receipt says that it is of this store and project; those of older versions do
        not say."""
    @property
    def places(self) -> list[ErasurePlace]:
        """Place by place."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Jobs:
    """Jobs of a project."""

    @property
    def queued(self) -> int:
        """Waiting or running."""
    @property
    def dead(self) -> int:
        """Failed too often."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class EmbedderInfo:
    """An embedder."""

    @property
    def id(self) -> str:
        """Its id, by convention `name@revision/dim`."""
    @property
    def dim(self) -> int:
        """Numbers per vector."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Stats:
    """Numbers about a project and its store."""

    @property
    def memories(self) -> int:
        """Live memories."""
    @property
    def by_layer(self) -> dict[str, int]:
        """The same by layer; every layer is named."""
    @property
    def vectors(self) -> int:
        """Memories with a vector."""
    @property
    def bytes(self) -> int:
        """Bytes of the whole store on disk (all tenants), or in memory."""
    @property
    def jobs(self) -> Jobs:
        """Jobs."""
    @property
    def embedder(self) -> EmbedderInfo:
        """The store's embedder."""
    @property
    def seq(self) -> int:
        """Number of the project's last change."""
    @property
    def schema_version(self) -> int:
        """Version of the schema."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Exported:
    """What was exported."""

    @property
    def memories(self) -> int:
        """Number of memories."""
    @property
    def bytes(self) -> int:
        """Bytes of the file."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Imported:
    """What was imported."""

    @property
    def imported(self) -> int:
        """Memories written."""
    @property
    def merged(self) -> int:
        """Statements, lessons and summaries that were there under another id and joined."""
    @property
    def unchanged(self) -> int:
        """Memories that were there already, same id and version, or joined before."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Reembedded:
    """What re-embedding did."""

    @property
    def from_(self) -> str:
        """Id of the embedder before."""
    @property
    def to(self) -> str:
        """Id of the embedder now."""
    @property
    def vectors(self) -> int:
        """Vectors computed by this call, over all tenants and projects."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Maintained:
    """What `maintain` did."""

    @property
    def ran(self) -> dict[str, int]:
        """Work by name, for example "expired": memories purged."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Finding:
    """Something that `doctor` found."""

    @property
    def level(self) -> str:
        """ "ok", "warning" or "error"."""
    @property
    def check(self) -> str:
        """What was looked at."""
    @property
    def message(self) -> str:
        """What was seen and what to do."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class AuditFinding:
    """Something that `audit` found, for you to judge."""

    @property
    def kind(self) -> str:
        """ "duplicate", "contradiction" or "orphan"."""
    @property
    def ids(self) -> list[str]:
        """Ids of the memories, oldest first; at most 32."""
    @property
    def message(self) -> str:
        """What was seen, without content."""
    @property
    def fix(self) -> str:
        """What to do, in the verbs of `Rae`."""
    @property
    def automatic(self) -> str | None:
        """What `fix=True` would do about it, or did; None where somebody must decide."""
    @property
    def change(self) -> str | None:
        """Id of the change by which it was fixed, for `undo`."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Audit:
    """The answer of `audit`."""

    @property
    def checked(self) -> int:
        """Memories looked at: all that have not expired."""
    @property
    def findings(self) -> list[AuditFinding]:
        """By kind, then by the oldest memory."""
    @property
    def truncated(self) -> bool:
        """Whether there is more to find than is told."""
    @property
    def fixed(self) -> int:
        """How many of the findings were fixed."""
    @property
    def kept_out(self) -> dict[str, int]:
        """Memories that no facts were read from although that was asked for, by reason."""
    def to_dict(self) -> dict[str, Any]:
        """The fields as a fresh dict; times stay datetimes."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__ = None  # type: ignore[assignment]

@final
class Cancel:
    """Cancels calls from another thread; in force for the thread inside the `with` block."""

    def __new__(cls) -> Cancel: ...
    def cancel(self) -> None:
        """Ends the running call, and any later one inside the block, with CancelledError."""
    def __enter__(self) -> None: ...
    def __exit__(self, kind: object, value: object, trace: object, /) -> None: ...

@final
class LlmPieces:
    """A streamed answer of a model; `rae.LlmStream` gives it types."""

    def next(self) -> dict[str, Any] | None:
        """The next piece; None at the end. An exception, Ctrl-C too, ends the stream: what was
        produced is booked.
        """
    def end(self) -> dict[str, Any] | None:
        """What it cost; None until it has ended well."""
    def close(self) -> None:
        """Gives the rest of the answer up: what was produced is booked."""

@final
class Store:
    """A handle on an open store; `rae.Rae` gives it signatures and documentation."""

    @staticmethod
    def open(path: str | PathLike[str], options: dict[str, Any]) -> Store: ...
    @staticmethod
    def connect(url: str, options: dict[str, Any]) -> Store: ...
    @property
    def url(self) -> str | None: ...
    @property
    def is_key_in_clear(self) -> bool: ...
    def with_scope(self, tenant: str | None, project: str | None) -> Store: ...
    @property
    def tenant(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def path(self) -> Path | None: ...
    @property
    def is_forked(self) -> bool: ...
    def check_process(self) -> None: ...
    def remember(self, fields: dict[str, Any]) -> Receipt: ...
    def remember_many(self, items: object) -> list[Receipt]: ...
    def recall(self, query: str, options: dict[str, Any]) -> Hits: ...
    def context(self, query: str | None, options: dict[str, Any]) -> Context: ...
    def get(self, memory_id: str) -> Memory: ...
    def update(self, memory_id: str, fields: dict[str, Any]) -> Receipt: ...
    def history(self, memory_id: str) -> list[MemoryVersion]: ...
    def forget(
        self, memory_id: str | None, filter: object, scope: str | None, target: str | None
    ) -> Forgotten: ...
    def verify_erasure(
        self,
        receipt: Mapping[str, Any],
        exports: Sequence[str | PathLike[str]],
        given: Sequence[str],
    ) -> ErasureReport: ...
    def feedback(self, memory_id: str, useful: bool) -> Memory: ...
    def relate(self, fields: dict[str, Any]) -> Receipt: ...
    def relations(self, options: dict[str, Any]) -> Page: ...
    def stats(self) -> Stats: ...
    def export(self, path: str | PathLike[str]) -> Exported: ...
    def import_(self, path: str | PathLike[str]) -> Imported: ...
    def reembed(self, embedder: object) -> Reembedded: ...
    def maintain(self, now: object) -> Maintained: ...
    def doctor(self) -> list[Finding]: ...
    def audit(self, limit: int, fix: bool) -> Audit: ...
    def embed(self, given: object, role: str) -> tuple[bytearray, int]: ...
    def vector(self, memory_id: str) -> bytearray | None: ...
    def backup(self, path: str | PathLike[str]) -> None: ...
    def log_event(
        self,
        session: str,
        event_type: str,
        content: str,
        more: dict[str, Any],
    ) -> Receipt: ...
    def end_session(self, session: str, outcome: str, more: dict[str, Any]) -> Receipt: ...
    def events(self, session: str, limit: int, cursor: str | None) -> Page: ...
    def reflect(self, session: str | None, since: object) -> list[Reflected]: ...
    def reflections(self, limit: int, cursor: str | None) -> Page: ...
    def call(self, verb: str, args: dict[str, Any]) -> Any: ...
    def llm_stream(self, args: dict[str, Any]) -> LlmPieces: ...
    def close(self) -> None: ...
    def test_advance(self, seconds: int) -> None: ...
    def list(self, options: dict[str, Any]) -> Page: ...

def _error_table() -> list[tuple[str, str, bool]]: ...
def _prices(
    overrides: str | None, provider: str | None, model: str | None
) -> list[dict[str, Any]]: ...
def _test_panic() -> None: ...
def _before_fork() -> bool: ...
def _after_fork_in_parent() -> None: ...
def _after_fork_in_child() -> None: ...
