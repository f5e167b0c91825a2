//! Builders and helpers that the cases share; public, so that adapters can write cases of their own in the same words.

use crate::{
    ctx::Ctx,
    error::{ErrorKind, Result},
    limits::PAGE_MAX,
    model::{
        Applied, Changes, Claim, Cursor, DropTarget, Filter, Head, IdGenerator, InfoClass, Job, Kind, Layer, Memory,
        MemoryId, MemoryPatch, MemoryVersion, NewJob, Op, Outcome, PatchMode, Precondition, Provenance, Scan, Scope,
        SegmentRow, StoreStats, Timestamp, TrustLevel, VectorPoint, VectorRow, WriteBatch,
    },
    ports::{Clock, ManualClock, RelationalStore},
};
use serde_json::{Map, json};
use std::sync::Arc;
use uuid::Uuid;

/// The embedder of the cases; vectors have 4 dimensions.
pub const EMBEDDER: &str = "conformance@1/4";
/// Another embedder of 4 dimensions.
pub const OTHER_EMBEDDER: &str = "conformance@2/4";
/// A day, in seconds.
pub const DAY: i64 = 86_400;

/// Where the clock of a case should stand at first: 2026-01-01.
pub fn start() -> Timestamp {
    Timestamp::parse("2026-01-01").unwrap()
}

/// A relational store under test, seen from one scope.
#[derive(Debug, Clone)]
pub struct Rig<'a> {
    /// The store.
    pub store: &'a dyn RelationalStore,
    /// The clock that the store and the batches go by.
    pub clock: &'a ManualClock,
    /// The scope of every call.
    pub ctx: Ctx,
    ids: Arc<IdGenerator>,
}

impl<'a> Rig<'a> {
    /// The scope "default" / "default" of `store`.
    pub fn new(store: &'a dyn RelationalStore, clock: &'a ManualClock) -> Self {
        Self { store, clock, ctx: Ctx::new(Scope::default()), ids: Arc::new(IdGenerator::seeded(1)) }
    }

    /// The same store seen from another scope.
    pub fn at(&self, tenant: &str, project: &str) -> Self {
        Self { ctx: Ctx::new(Scope::new(tenant, project).unwrap()), ..self.clone() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh memory id; later ones are greater.
    pub fn id(&self) -> MemoryId {
        self.ids.next(self.now())
    }

    /// A fresh id for a batch or a job.
    pub fn uuid(&self) -> Uuid {
        self.id().0
    }

    /// A plain text that never merges.
    pub fn memory(&self, content: &str) -> Memory {
        memory(self.ctx.scope(), self.id(), self.now(), content)
    }

    /// A statement: merges with the same text.
    pub fn statement(&self, content: &str) -> Memory {
        Memory { dedup_key: Some(key(content)), ..self.memory(content) }
    }

    /// A turn of a conversation.
    pub fn turn(&self, session: &str, content: &str) -> Memory {
        let plain = self.memory(content);
        let session_id = Some(session.to_owned());
        Memory { kind: Kind::Conversation, layer: Layer::Episodic, role: Some("user".into()), session_id, ..plain }
    }

    /// A memory with every field set.
    pub fn full_memory(&self) -> Memory {
        let now = self.now();
        let text = |t: &str| Some(t.to_owned());
        Memory {
            layer: Layer::Reflective,
            kind: Kind::EntitySummary,
            role: text("assistant"),
            speaker: text("Ada"),
            session_id: text("s-1"),
            agent_id: text("agent"),
            user_id: text("user"),
            tags: vec!["b".into(), "a".into()],
            metadata: object(json!({"a": {"b": [1, "two", null, true]}, "": "empty key"})),
            importance: 0.1 + 0.2,
            strength: 0.25,
            confidence: 0.75,
            trust_level: Some(TrustLevel::Low),
            info_class: InfoClass::Restricted,
            provenance: Provenance {
                derived_from: vec![self.id(), self.id()],
                sources: vec!["web".into(), "mail".into()],
            },
            occurred_at: Some(now.saturating_add_seconds(-100)),
            valid_from: Some(now.saturating_add_seconds(-90)),
            valid_to: Some(now.saturating_add_seconds(90)),
            superseded_by: Some(self.id()),
            expires_at: Some(now.saturating_add_seconds(1_000)),
            witness_count: 3,
            claim: Some(Claim::new("Ada Löwe", "works_at", "Acme \u{202e}!", 1.0 / 3.0).unwrap()),
            ..self.statement("a memory with every field set")
        }
    }

    /// A batch of `ops` under a fresh id, dated now.
    pub fn batch(&self, ops: Vec<Op>) -> WriteBatch {
        WriteBatch { id: self.uuid(), now: self.now(), preconditions: Vec::new(), ops }
    }

    /// Applies `ops` in one batch; must succeed.
    pub async fn apply(&self, ops: Vec<Op>) -> Applied {
        self.try_apply(Vec::new(), ops).await.expect("the batch must be applied")
    }

    /// Applies `ops` in one batch with preconditions.
    pub async fn try_apply(&self, preconditions: Vec<Precondition>, ops: Vec<Op>) -> Result<Applied> {
        self.store.apply(&self.ctx, WriteBatch { preconditions, ..self.batch(ops) }).await
    }

    /// Applies one op; must succeed.
    pub async fn run(&self, op: Op) -> Outcome {
        let mut applied = self.apply(vec![op]).await;
        assert_eq!(applied.outcomes.len(), 1, "one outcome per op");
        applied.outcomes.remove(0)
    }

    /// Puts a memory; gives it as stored.
    pub async fn put(&self, memory: Memory) -> Memory {
        let Outcome::Put { id, .. } = self.run(put(memory)).await else { panic!("a put must give Outcome::Put") };
        self.live(id).await
    }

    /// Puts a memory with a vector under [`EMBEDDER`]; gives it as stored.
    pub async fn put_with_vector(&self, memory: Memory, vector: Vec<f32>) -> Memory {
        let id = memory.id;
        self.run(put_with_vector(memory, EMBEDDER, vector)).await;
        self.live(id).await
    }

    /// Patches a memory into a new version.
    pub async fn patch(&self, id: MemoryId, patch: MemoryPatch) -> Outcome {
        self.run(patch_op(id, patch, PatchMode::NewVersion)).await
    }

    /// Deletes a memory; gives whether there was one.
    pub async fn delete(&self, id: MemoryId) -> bool {
        let Outcome::Deleted { existed } = self.run(Op::DeleteMemory { id }).await else {
            panic!("a delete must give Outcome::Deleted")
        };
        existed
    }

    /// Erases a target; gives the number of memories and the projects.
    pub async fn erase(&self, target: DropTarget) -> (u64, Vec<String>) {
        let Outcome::Dropped { memories, projects } = self.run(Op::DropScope { target }).await else {
            panic!("an erasure must give Outcome::Dropped")
        };
        (memories, projects)
    }

    /// Queues a job that is due at `run_at`; gives its id.
    pub async fn enqueue(&self, run_at: Timestamp) -> Uuid {
        let id = self.uuid();
        let job = NewJob { id, kind: crate::model::JobKind::Embed, payload: json!({"ids": [id.to_string()]}), run_at };
        assert_eq!(self.run(Op::EnqueueJob { job }).await, Outcome::Done);
        id
    }

    /// A memory, where it is live.
    pub async fn get(&self, id: MemoryId) -> Option<Memory> {
        let mut found = self.store.get(&self.ctx, &[id]).await.unwrap();
        assert_eq!(found.len(), 1, "get gives one answer per id");
        found.remove(0)
    }

    /// A memory that must be live.
    pub async fn live(&self, id: MemoryId) -> Memory {
        self.get(id).await.unwrap_or_else(|| panic!("memory {id} must be live"))
    }

    /// The scope's head.
    pub async fn head(&self) -> Head {
        self.store.head(&self.ctx).await.unwrap()
    }

    /// Number of the scope's last change.
    pub async fn seq(&self) -> u64 {
        self.head().await.seq
    }

    /// All changes after `after`, in one page of the largest size.
    pub async fn changes(&self, after: u64) -> Changes {
        self.store.changes_since(&self.ctx, after, u64::MAX, PAGE_MAX, EMBEDDER).await.unwrap()
    }

    /// All live memories, read in pages.
    pub async fn all(&self, filter: Option<&Filter>) -> Vec<Memory> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let scan = Scan { filter: filter.cloned(), after, limit: 17 };
            let page = self.store.scan(&self.ctx, &scan).await.unwrap();
            let Some(last) = page.last() else { return all };
            assert!(page.len() <= 17, "a page has at most `limit` memories");
            after = Some(Cursor(last.id));
            all.extend(page);
        }
    }

    /// Everything that a reader of the scope can see, to compare.
    pub async fn snapshot(&self) -> Snapshot {
        let (store, ctx) = (self.store, &self.ctx);
        let memories = self.all(None).await;
        let ids: Vec<_> = memories.iter().map(|m| m.id).collect();
        let mut histories = Vec::new();
        for id in &ids {
            let mut history = store.history(ctx, *id).await.unwrap();
            // What number an older state once had is nobody's business any more.
            history.iter_mut().filter(|v| v.replaced_at.is_some()).for_each(|v| v.memory.seq = 0);
            histories.push(history);
        }
        let mut vectors = Vec::new();
        let mut without_vector = Vec::new();
        for embedder in [EMBEDDER, OTHER_EMBEDDER] {
            vectors.push(store.vectors(ctx, embedder, 0, PAGE_MAX).await.unwrap());
            let lacking = store.without_vector(ctx, embedder, None, PAGE_MAX).await.unwrap();
            without_vector.push(lacking.into_iter().map(|m| m.id).collect());
        }
        let mut expired = store.expired(ctx, self.now(), PAGE_MAX).await.unwrap();
        expired.sort_unstable();
        let mut jobs = store.jobs(ctx, PAGE_MAX).await.unwrap();
        jobs.sort_by_key(|job| job.id);
        let derived = store.derived_from(ctx, &ids, PAGE_MAX).await.unwrap();
        let claimed = store.claimed(ctx, None, PAGE_MAX).await.unwrap();
        let head = self.head().await;
        let changes = self.changes(head.tombstone_floor).await;
        Snapshot {
            access: store.access(ctx, &ids).await.unwrap(),
            stats: StoreStats { bytes: 0, schema_version: 0, ..store.stats(ctx).await.unwrap() },
            segments: store.segments(ctx).await.unwrap(),
            derived: derived.into_iter().map(|m| m.id).collect(),
            claimed: claimed.into_iter().map(|m| m.id).collect(),
            memories,
            histories,
            vectors,
            without_vector,
            expired,
            jobs,
            head,
            changes,
        }
    }
}

/// Everything that a reader of a scope can see. Older versions come without their `seq`, jobs by id.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the names are those of the reads
pub struct Snapshot {
    pub head: Head,
    pub memories: Vec<Memory>,
    pub histories: Vec<Vec<MemoryVersion>>,
    pub access: Vec<(u64, Option<Timestamp>)>,
    pub vectors: Vec<Vec<(u64, VectorPoint)>>,
    pub without_vector: Vec<Vec<MemoryId>>,
    pub expired: Vec<MemoryId>,
    pub derived: Vec<MemoryId>,
    pub claimed: Vec<MemoryId>,
    pub changes: Changes,
    pub segments: Vec<SegmentRow>,
    pub jobs: Vec<Job>,
    pub stats: StoreStats,
}

impl Snapshot {
    /// Whether nothing of a scope is left but numbers.
    pub fn is_empty(&self) -> bool {
        let Self {
            memories,
            histories,
            access,
            vectors,
            without_vector,
            expired,
            derived,
            claimed,
            changes,
            segments,
            jobs,
            stats,
            ..
        } = self;
        memories.is_empty()
            && histories.is_empty()
            && access.is_empty()
            && vectors.iter().all(Vec::is_empty)
            && without_vector.iter().all(Vec::is_empty)
            && expired.is_empty()
            && derived.is_empty()
            && claimed.is_empty()
            && changes.puts.is_empty()
            && changes.deletes.is_empty()
            && segments.is_empty()
            && jobs.is_empty()
            && *stats == StoreStats::default()
    }
}

/// A plain text that never merges.
pub fn memory(scope: &Scope, id: MemoryId, now: Timestamp, content: &str) -> Memory {
    Memory {
        id,
        scope: scope.clone(),
        layer: Layer::Semantic,
        kind: Kind::Text,
        content: content.to_owned(),
        role: None,
        speaker: None,
        session_id: None,
        agent_id: None,
        user_id: None,
        tags: Vec::new(),
        metadata: Map::new(),
        importance: 0.5,
        strength: 1.0,
        confidence: 1.0,
        trust_level: None,
        info_class: InfoClass::Internal,
        provenance: Provenance::default(),
        created_at: now,
        updated_at: now,
        occurred_at: None,
        valid_from: None,
        valid_to: None,
        superseded_by: None,
        expires_at: None,
        version: 1,
        seq: 0,
        seq_in_session: None,
        content_hash: key(content),
        dedup_key: None,
        witness_count: 1,
        claim: None,
    }
}

/// BLAKE3 of a text.
pub fn key(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

/// A JSON object; an empty one for anything else.
pub fn object(json: serde_json::Value) -> Map<String, serde_json::Value> {
    if let serde_json::Value::Object(map) = json { map } else { Map::new() }
}

/// A filter, from JSON that must be one.
pub fn filter(json: &serde_json::Value) -> Filter {
    Filter::parse(json).expect("the filter of a case must be valid")
}

/// A unit vector of 4 dimensions, another one for each `n` below 10,000.
pub fn unit(n: u16) -> Vec<f32> {
    let angle = f32::from(n) * 0.000_6;
    let (sin, cos) = angle.sin_cos();
    vec![cos * 0.6, sin * 0.6, 0.8, 0.0]
}

/// A put without vector or key.
pub fn put(memory: Memory) -> Op {
    Op::PutMemory { memory: Box::new(memory), vector: None, idempotency: None }
}

/// A put with a vector.
pub fn put_with_vector(memory: Memory, embedder: &str, vector: Vec<f32>) -> Op {
    let vector = Some(vector_row(embedder, vector));
    Op::PutMemory { memory: Box::new(memory), vector, idempotency: None }
}

/// A vector as stored.
pub fn vector_row(embedder: &str, vector: Vec<f32>) -> VectorRow {
    VectorRow { embedder: embedder.to_owned(), vector }
}

/// A patch that leaves the vectors.
pub fn patch_op(id: MemoryId, patch: MemoryPatch, mode: PatchMode) -> Op {
    Op::PatchMemory { id, patch: Box::new(patch), mode, vector: None }
}

/// A patch of the content.
pub fn content_patch(content: &str) -> MemoryPatch {
    MemoryPatch { content: Some(content.to_owned()), content_hash: Some(key(content)), ..MemoryPatch::default() }
}

/// A patch of the importance.
pub fn importance_patch(importance: f64) -> MemoryPatch {
    MemoryPatch { importance: Some(importance), ..MemoryPatch::default() }
}

/// The kind of the error that `result` must be.
#[track_caller]
pub fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("the call must fail").kind()
}
