//! What the verbs return: frozen classes whose attributes are made when they are read, so that a recall pays for no attribute that
//! nobody looks at.

mod convert;
mod field;
mod hits;

use field::{Counts, Field, Json, Time};
pub(crate) use hits::Hits;
use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};

/// A class per record: attributes, `repr`, equality, `to_dict` and pickling from one list of fields. `shows` names the fields of its
/// `repr` where all would be too many.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident $(shows [$($shown:ident),+])? { $($(#[doc = $doc:literal])* $field:ident: $type:ty),+ $(,)? } $($method:item)*) => {
        $(#[$meta])*
        #[pyclass(frozen, eq, module = "rae")]
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name { $($field: $type),+ }

        #[pymethods]
        impl $name {
            $(
                $(#[doc = $doc])*
                #[getter]
                fn $field<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> { self.$field.to_py(py) }
            )+

            $($method)*

            /// The fields as a fresh dict; times stay datetimes.
            fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let dict = PyDict::new(py);
                $(dict.set_item(stringify!($field), self.$field.to_plain(py)?)?;)+
                Ok(dict)
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                const SHOWN: &[&str] = &[$($(stringify!($shown)),+)?];
                let mut shown: Vec<String> = Vec::new();
                $(if SHOWN.is_empty() || SHOWN.contains(&stringify!($field)) {
                    let value = self.$field.show(py)?;
                    if !value.is_empty() {
                        shown.push(format!("{}={value}", stringify!($field)));
                    }
                })+
                Ok(format!(concat!(stringify!($name), "({})"), shown.join(", ")))
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
                let (py, this) = (slf.py(), slf.get());
                let fields = [$(this.$field.to_py(py)?),+];
                let restore = slf.get_type().getattr("_restore")?;
                Ok((restore, PyTuple::new(py, fields)?))
            }

            #[staticmethod]
            #[pyo3(signature = (*fields))]
            fn _restore(fields: &Bound<'_, PyTuple>) -> PyResult<Self> {
                let mut fields = fields.iter();
                let mut next = || fields.next().ok_or_else(|| pyo3::exceptions::PyTypeError::new_err("a field is missing"));
                Ok(Self { $($field: Field::from_py(&next()?)?),+ })
            }
        }

        impl Field for $name {
            fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                Ok(Bound::new(py, self.clone())?.into_any())
            }
            fn to_plain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                Ok(self.to_dict(py)?.into_any())
            }
            fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self> {
                Ok(value.cast::<Self>()?.get().clone())
            }
            fn show(&self, py: Python<'_>) -> PyResult<String> {
                self.__repr__(py)
            }
        }
    };
}

record! {
    /// What became of a write.
    Receipt {
        /// Id of the memory that holds the text now: an older one when it merged.
        id: String,
        /// Its version.
        version: u32,
        /// Whether the text was there already, so that its witness count grew instead.
        merged: bool,
        /// What could not be done at once: "dense" (the vector is owed as a job).
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
    /// A relation that a memory states.
    Claim {
        /// What it is about.
        subject: String,
        /// How the two stand to each other, such as works_at.
        relation: String,
        /// The other end.
        object: String,
        /// How strong the relation is, more than 0.
        weight: f64,
    }
}

record! {
    /// A memory that answers.
    Hit shows [id, content, score, speaker, session_id, occurred_at] {
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
            $name shows [id, content, kind, layer, speaker, session_id, tags, metadata, occurred_at, expires_at, version $(, $extra)*] {
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
                /// The relation that it states; None where it states none.
                claim: Option<Claim>,
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
    /// What `reflect` made, or made stronger.
    Reflected {
        /// Id of the memory.
        id: String,
        /// A "lesson", "strategy", "reflection", or a "fact" that was consolidated.
        kind: String,
        /// What it says now.
        content: String,
        /// Its version.
        version: u32,
        /// Whether it is new.
        created: bool,
        /// The session that it sums up, where it is a reflection.
        session_id: Option<String>,
        /// The tool that failed, where one did.
        tool: Option<String>,
        /// The error in its general form.
        error: Option<String>,
        /// How often it happened.
        count: Option<u64>,
        /// In how many sessions.
        sessions: Option<u64>,
        /// How much it matters, 0 to 1.
        importance: f64,
        /// How sure it is, 0 to 1.
        confidence: f64,
        /// Ids of the events it was learnt from, at most 64.
        sources: Vec<String>,
        /// Has "model" where one is configured and could not be asked: a job asks it later.
        degraded: Vec<String>,
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
        /// Its score; 0 for a recent turn, or a line of the profile, that was not recalled.
        score: f64,
    }
}

record! {
    /// A block for a prompt.
    Context {
        /// The text; empty when nothing was relevant enough and there is no profile.
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
        /// Statements, lessons and summaries that were there under another id and joined.
        merged: u64,
        /// Memories that were there already, same id and version, or joined before.
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
    /// Something that `doctor` found.
    Finding {
        /// "ok", "warning" or "error".
        level: String,
        /// What was looked at.
        check: String,
        /// What was seen and what to do.
        message: String,
    }
}

record! {
    /// Something that `audit` found, for you to judge.
    AuditFinding {
        /// "duplicate", "contradiction" or "orphan".
        kind: String,
        /// Ids of the memories, oldest first; at most 32.
        ids: Vec<String>,
        /// What was seen, without content.
        message: String,
        /// What to do, in the verbs of `Rae`.
        fix: String,
        /// What `fix=True` would do about it, or did; None where somebody must decide.
        automatic: Option<String>,
        /// Id of the change by which it was fixed, for `undo`.
        change: Option<String>,
    }
}

record! {
    /// The answer of `audit`.
    Audit {
        /// Memories looked at: all that have not expired.
        checked: u64,
        /// By kind, then by the oldest memory.
        findings: Vec<AuditFinding>,
        /// Whether there is more to find than is told.
        truncated: bool,
        /// How many of the findings were fixed.
        fixed: u64,
        /// Memories that no facts were read from although that was asked for, by reason.
        kept_out: Counts,
    }
}

record! {
    /// What one place holds of what was to be erased.
    ErasurePlace {
        /// Which, for example "memories", "vectors", "cache" or "export FILE".
        place: String,
        /// How many of the ids were found there.
        found: u64,
        /// "clean", "found", or "kept": bare ids that the engine keeps on purpose.
        state: String,
        /// What it means and what to do; None where it is clean.
        note: Option<String>,
    }
}

record! {
    /// The answer of `verify_erasure`.
    ErasureReport {
        /// Whether no place is "found".
        clean: bool,
        /// Ids that the receipt names.
        ids: u64,
        /// Whether the receipt says that it is of this store and project; those of older versions do not say.
        bound: bool,
        /// Place by place.
        places: Vec<ErasurePlace>,
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    macro_rules! add {
        ($($class:ty),+ $(,)?) => { $(module.add_class::<$class>()?;)+ };
    }
    add!(Receipt, Signals, Passage, Hit, Hits, Claim, Memory, MemoryVersion, Page, Context, ContextSource, Forgotten);
    add!(Jobs, EmbedderInfo, Stats, Exported, Imported, Reembedded, Reflected, Maintained, Finding, Audit);
    add!(AuditFinding, ErasureReport, ErasurePlace);
    Ok(())
}
