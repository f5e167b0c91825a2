"""The native half of the package: what the verbs return, and the handle behind `Rae`.

The classes of values are public as `rae.Receipt`, `rae.Hit` and so on. They are frozen, compare by
value, can be pickled, and make each attribute when it is read.
"""

from collections.abc import Iterator
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex, final, overload

__version__: str

@final
class Finding:
    """What became of a write.
        Receipt {
            /// Id of the memory that holds the text now: an older one when it merged.
            id: String,
            /// Its version.
            version: u32,
            /// Whether the text was there already, so that its witness count grew instead.
            merged: bool,
            /// What could not be done at once: "dense" (the vector is owed as a job), "infer" (no model is configured).
            degraded: Vec<String>,
        }
    }

    record! {
        /// The parts of a hit's score, each 0 to 1.
        Signals {
            /// Cosine to the question, negative ones as 0.
            dense: f64,
            /// Word score over the best of all.
            lexical: f64,
            /// Word score with the neighbours of the same exchange over the best.
            passage: f64,
            /// 1 when the question is about who spoke, 0.5 for one of two reasons.
            actor: f64,
            /// How good the best of its session is.
            session: f64,
            /// Nearness to a time that the question names.
            time: f64,
            /// Nearness in the knowledge graph.
            graph: f64,
            /// 0.5 to the power of age over the layer's half-life; 0 for layers that do not age.
            recency: f64,
            /// Importance as stored.
            importance: f64,
        }
    }

    record! {
        /// A part of a content, in characters: `content[start:end]`.
        Passage {
            /// First character.
            start: usize,
            /// One past the last.
            end: usize,
        }
    }

    record! {
        /// A memory that answers.
        Hit {
            /// Id.
            id: String,
            /// The whole text.
            content: String,
            /// 0 to 1, in relation to the best that was found; hits sort by it, then by id.
            score: f64,
            /// 0 to 1, absolute: half cosine, half the share of the question's words. What `min_score` compares.
            relevance: f64,
            /// The parts of the score.
            signals: Signals,
            /// The part of a long text that fits best; all of a short one.
            passage: Passage,
            /// Kind.
            kind: String,
            /// Layer.
            layer: String,
            /// Role.
            role: Option<String>,
            /// Speaker.
            speaker: Option<String>,
            /// Session.
            session_id: Option<String>,
            /// Tags.
            tags: Vec<String>,
            /// Metadata, a fresh dict with each reading.
            metadata: Json,
            /// When it happened, UTC.
            occurred_at: Option<Time>,
            /// When it was stored, UTC.
            created_at: Time,
            /// Importance, 0 to 1.
            importance: f64,
            /// Version.
            version: u32,
        }
    }

    /// The fields of a memory, and those given besides.
    macro_rules! memory_record {
        ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])* $extra:ident: $type:ty),* }) => {
            record! {
                $(#[$meta])*
                $name {
                    /// Id.
                    id: String,
                    /// Tenant.
                    tenant: String,
                    /// Project.
                    project: String,
                    /// The whole text.
                    content: String,
                    /// Kind.
                    kind: String,
                    /// Layer.
                    layer: String,
                    /// Role.
                    role: Option<String>,
                    /// Who said it.
                    speaker: Option<String>,
                    /// Session.
                    session_id: Option<String>,
                    /// Agent.
                    agent_id: Option<String>,
                    /// User.
                    user_id: Option<String>,
                    /// Tags, without doubles.
                    tags: Vec<String>,
                    /// Metadata, a fresh dict with each reading.
                    metadata: Json,
                    /// How much it matters, 0 to 1.
                    importance: f64,
                    /// How vivid it is, 0 to 1; feedback and decay move it.
                    strength: f64,
                    /// How sure it is, 0 to 1.
                    confidence: f64,
                    /// Trust in its source.
                    trust_level: Option<String>,
                    /// Class of information.
                    info_class: String,
                    /// Names of its sources; they join when statements merge.
                    sources: Vec<String>,
                    /// Ids of the memories it was derived from.
                    derived_from: Vec<String>,
                    /// When it was first stored, UTC.
                    created_at: Time,
                    /// When this version was stored, UTC.
                    updated_at: Time,
                    /// When it happened, UTC.
                    occurred_at: Option<Time>,
                    /// From when it holds, UTC; occurred_at, else created_at, where it is None.
                    valid_from: Option<Time>,
                    /// Until when it holds (exclusive), UTC; None: open.
                    valid_to: Option<Time>,
                    /// Id of the memory that replaced it.
                    superseded_by: Option<String>,
                    /// When it ceases to exist, UTC; None: never.
                    expires_at: Option<Time>,
                    /// 1 at first, one more with each update.
                    version: u32,
                    /// Number of the change that last touched it, within its project.
                    seq: u64,
                    /// Its place in its session, from 0.
                    seq_in_session: Option<u32>,
                    /// BLAKE3 of the content, in hexadecimal digits.
                    content_hash: String,
                    /// How often it was said.
                    witness_count: u32,
                    $($(#[doc = $doc])* $extra: $type,)*
                }
            }
        };
    }

    memory_record! {
        /// One memory.
        Memory {}
    }

    memory_record! {
        /// A memory as it was, or is.
        MemoryVersion {
            /// When this state was replaced, UTC; None for the present one.
            replaced_at: Option<Time>
        }
    }

    record! {
        /// A page of memories, oldest first.
        Page {
            /// The memories.
            items: Vec<Memory>,
            /// What `list(cursor=...)` takes to go on; None on the last page.
            next_cursor: Option<String>,
        }
    }

    record! {
        /// A memory in a context's text.
        ContextSource {
            /// Id.
            id: String,
            /// Kind.
            kind: String,
            /// Layer.
            layer: String,
            /// First character of its line: `text[start:end]`.
            start: usize,
            /// One past the last.
            end: usize,
            /// Its score; 0 for a recent turn that was not recalled.
            score: f64,
        }
    }

    record! {
        /// A block for a prompt.
        Context {
            /// The text; empty when nothing was relevant enough.
            text: String,
            /// Its exact number of tokens.
            token_count: usize,
            /// What is in it, in order.
            sources: Vec<ContextSource>,
            /// As in `recall`.
            degraded: Vec<String>,
        }
        /// The text, so that a context can stand in an f-string.
        fn __str__(&self) -> &str { &self.text }
    }

    record! {
        /// What was forgotten.
        Forgotten {
            /// Memories that were asked for and are gone.
            deleted: u64,
            /// Memories derived from these alone, gone with them.
            derived: u64,
            /// What still holds traces for now: "wal" until the next `maintain`.
            pending: Vec<String>,
            /// What was done and when, with keyed hashes of the ids: enough to check, nothing to read.
            receipt: Json,
        }
    }

    record! {
        /// Jobs of a project.
        Jobs {
            /// Waiting or running.
            queued: u64,
            /// Failed too often.
            dead: u64,
        }
    }

    record! {
        /// An embedder.
        EmbedderInfo {
            /// Its id, by convention `name@revision/dim`.
            id: String,
            /// Numbers per vector.
            dim: usize,
        }
    }

    record! {
        /// Numbers about a project and its store.
        Stats {
            /// Live memories.
            memories: u64,
            /// The same by layer; every layer is named.
            by_layer: Counts,
            /// Memories with a vector.
            vectors: u64,
            /// Bytes of the whole store on disk (all tenants), or in memory.
            bytes: u64,
            /// Jobs.
            jobs: Jobs,
            /// The store's embedder.
            embedder: EmbedderInfo,
            /// Number of the project's last change.
            seq: u64,
            /// Version of the schema.
            schema_version: u32,
        }
    }

    record! {
        /// What was exported.
        Exported {
            /// Number of memories.
            memories: u64,
            /// Bytes of the file.
            bytes: u64,
        }
    }

    record! {
        /// What was imported.
        Imported {
            /// Memories written.
            imported: u64,
            /// Statements that were there already under another id and were joined.
            merged: u64,
            /// Memories that were there already, same id and version.
            unchanged: u64,
        }
    }

    record! {
        /// What re-embedding did.
        Reembedded {
            /// Id of the embedder before.
            from_: String,
            /// Id of the embedder now.
            to: String,
            /// Vectors computed by this call, over all tenants and projects.
            vectors: u64,
        }
    }

    record! {
        /// What `maintain` did.
        Maintained {
            /// Work by name, for example "expired": memories purged.
            ran: Counts,
        }
    }

    record! {
        /// Something that `doctor` found."""

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
class Cancel:
    """Cancels calls from another thread; in force for the thread inside the `with` block."""

    def __new__(cls) -> Cancel: ...
    def cancel(self) -> None:
        """Ends the running call, and any later one inside the block, with CancelledError."""
    def __enter__(self) -> None: ...
    def __exit__(self, kind: object, value: object, trace: object, /) -> None: ...

@final
class Store:
    """A handle on an open store; `rae.Rae` gives it signatures and documentation."""

    @staticmethod
    def open(path: str | PathLike[str], options: dict[str, Any]) -> Store: ...
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
    def feedback(self, memory_id: str, useful: bool) -> Memory: ...
    def stats(self) -> Stats: ...
    def export(self, path: str | PathLike[str]) -> Exported: ...
    def import_(self, path: str | PathLike[str]) -> Imported: ...
    def reembed(self, embedder: object) -> Reembedded: ...
    def maintain(self, now: object) -> Maintained: ...
    def doctor(self) -> list[Finding]: ...
    def backup(self, path: str | PathLike[str]) -> None: ...
    def close(self) -> None: ...
    def test_advance(self, seconds: int) -> None: ...
    def list(self, options: dict[str, Any]) -> Page: ...

def _error_table() -> list[tuple[str, str, bool]]: ...
def _test_panic() -> None: ...
