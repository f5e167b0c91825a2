//! How far something was looked at, kept apart from the memory that says it: who lets that go, by hand or by a policy, does not have
//! the same learnt, and a model paid, again. A mark has numbers and a keyed hash of what it is about, nothing to read.

use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    limits::{PAGE_MAX, REFLECT_MARK_DAYS_MAX},
    model::{Kind, Memory, Op, Precondition, Record, RecordKind, Scope, Timestamp},
    reflect::Subject,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How far the clocks of two who write may differ.
const SKEW: Duration = Duration::from_secs(300);

/// How far a session was looked at, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub upto: u32,
    pub at: Timestamp,
    /// Whether it is to be summed up again, as an event of it was forgotten: what was counted is not counted again.
    pub is_stale: bool,
}

impl Seen {
    /// As the summary of a session says it.
    pub fn of(summary: &Memory) -> Option<Self> {
        let upto = summary.metadata.get("upto")?.as_u64()?;
        Some(Self { upto: u32::try_from(upto).ok()?, at: summary.updated_at, is_stale: false })
    }

    /// Whether an event was there when the session was looked at. Places are given again when the events that had them are gone:
    /// what was written long after is another one.
    pub fn has(&self, (seq, written): (u32, Timestamp), now: Timestamp) -> bool {
        seq <= self.upto && (written <= self.at.saturating_add(SKEW) || written > now)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Body {
    upto: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    stale: bool,
    /// Until when somebody asks a model about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asking: Option<Timestamp>,
}

impl Body {
    fn upto(upto: u64) -> Self {
        Self { upto, stale: false, asking: None }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What a memory says of how far its subject was looked at: the place in a session, the number of failures, statements or events.
fn progress(kind: Kind, metadata: &Map<String, Value>) -> Option<u64> {
    let number = |key: &str| metadata.get(key).and_then(Value::as_u64);
    match kind {
        Kind::Reflection => number("upto").or_else(|| number("count")).or_else(|| {
            // Summaries of one owner in a session go with that of the session.
            number("events").filter(|_| metadata.contains_key("bucket"))
        }),
        Kind::Fact => number("count").filter(|_| metadata.contains_key("consolidated")),
        _ => None,
    }
}

fn name(key: &[u8; 32], subject: &[u8; 32]) -> String {
    blake3::keyed_hash(&blake3::derive_key("rae mark of reflection", key), subject).to_hex().to_string()
}

fn put(name: String, body: &Body, at: Timestamp) -> Op {
    let body = json!(body);
    Op::PutRecord { record: Box::new(Record { kind: RecordKind::Mark, name, at, body }) }
}

/// The ops that note how far these memories, as they will be, were looked at.
pub(super) async fn noted<'a>(
    deps: &Deps,
    memories: impl Iterator<Item = &'a Memory>,
    now: Timestamp,
) -> Result<Vec<Op>> {
    let key = deps.relational.receipt_key().await?;
    let note = |memory: &Memory| {
        let (subject, upto) = (memory.dedup_key?, progress(memory.kind, &memory.metadata)?);
        Some(put(name(&key, &subject), &Body::upto(upto), now))
    };
    Ok(memories.filter_map(note).collect())
}

async fn find(deps: &Deps, ctx: &Ctx, name: &str) -> Result<Option<(Body, Timestamp)>> {
    let Some(record) = deps.relational.record(ctx, RecordKind::Mark, name).await? else { return Ok(None) };
    let body = serde_json::from_value(record.body)
        .map_err(|e| Error::corrupt("a mark of reflection does not read as one").with_source(e))?;
    Ok(Some((body, record.at)))
}

/// How far a session was looked at whose summary is gone.
pub(super) async fn of_session(deps: &Deps, ctx: &Ctx, session: &str) -> Result<Option<Seen>> {
    let key = deps.relational.receipt_key().await?;
    let found = find(deps, ctx, &name(&key, &Subject::summary(ctx.scope(), session).key)).await?;
    Ok(found.and_then(|(body, at)| Some(Seen { upto: u32::try_from(body.upto).ok()?, at, is_stale: body.stale })))
}

/// Whether a memory that is not there was made once from no less than this, and let go since.
pub(super) async fn was_let_go(
    deps: &Deps,
    ctx: &Ctx,
    subject: &Subject,
    (kind, metadata): (Kind, &Map<String, Value>),
) -> Result<bool> {
    let Some(progress) = progress(kind, metadata) else { return Ok(false) };
    let key = deps.relational.receipt_key().await?;
    Ok(find(deps, ctx, &name(&key, &subject.key)).await?.is_some_and(|(body, _)| body.upto >= progress))
}

/// The claim of one who asks a model about a session: until it is over nobody else asks, in whichever process.
pub(super) struct Asking {
    name: String,
    upto: u64,
    at: Timestamp,
}

/// Unavailable, `asked_already`, where somebody else asks.
pub(super) async fn claim(deps: &Deps, ctx: &Ctx, session: &str, upto: u32, time: Duration) -> Result<Asking> {
    let key = deps.relational.receipt_key().await?;
    let name = name(&key, &Subject::summary(ctx.scope(), session).key);
    let taken = || Error::unavailable("a model is being asked about this session already").with_code("asked_already");
    let (upto, now) = (u64::from(upto), deps.clock.now());
    let known = match find(deps, ctx, &name).await? {
        Some((body, at)) => (body, at),
        // Earlier versions kept no mark. Of two who make it at once the second sees that of the first.
        None => {
            deps.relational.apply(ctx, deps.batch(vec![put(name.clone(), &Body::upto(upto), now)])).await?;
            find(deps, ctx, &name).await?.ok_or_else(taken)?
        }
    };
    if known.0.asking.is_some_and(|until| until > now) && known.0.upto == upto {
        return Err(taken());
    }
    // The instant is what tells one writing from the next, so it moves.
    let at = now.max(known.1.saturating_add(Duration::from_micros(1)));
    let held = put(name.clone(), &Body { asking: Some(now.saturating_add(time)), ..Body::upto(upto) }, at);
    let mut batch = deps.batch_if(vec![Precondition::RecordIs(RecordKind::Mark, name.clone(), known.1)], vec![held]);
    batch.now = at;
    match deps.relational.apply(ctx, batch).await {
        Ok(_) => Ok(Asking { name, upto, at }),
        Err(error) if error.code() == "record_changed" => Err(taken()),
        Err(error) => Err(error),
    }
}

/// Ends a claim, unless somebody wrote the mark since: that ended it.
pub(super) async fn release(deps: &Deps, ctx: &Ctx, Asking { name, upto, at }: Asking) {
    let given_back = put(name.clone(), &Body::upto(upto), deps.clock.now());
    let batch = deps.batch_if(vec![Precondition::RecordIs(RecordKind::Mark, name, at)], vec![given_back]);
    match deps.relational.apply(ctx, batch).await {
        Ok(_) => {}
        Err(error) if error.code() == "record_changed" => {}
        Err(error) => tracing::debug!(kind = error.kind().name(), "a claim runs out by itself"),
    }
}

/// What removes the mark of a session that is erased: its places begin anew.
pub(crate) async fn dropped(deps: &Deps, scope: &Scope, session: &str) -> Result<Op> {
    let key = deps.relational.receipt_key().await?;
    Ok(Op::DropRecord { kind: RecordKind::Mark, name: name(&key, &Subject::summary(scope, session).key) })
}

/// What becomes of the mark of a memory that goes with what it was made from: it is to be made again from the rest. Of a session it
/// stays known what was counted.
pub(crate) async fn of_memory(deps: &Deps, memory: &Memory, now: Timestamp) -> Result<Option<Op>> {
    let progress = progress(memory.kind, &memory.metadata);
    let Some((subject, upto)) = memory.dedup_key.zip(progress) else { return Ok(None) };
    let name = name(&deps.relational.receipt_key().await?, &subject);
    Ok(Some(match memory.metadata.contains_key("upto") {
        true => put(name, &Body { stale: true, ..Body::upto(upto) }, now),
        false => Op::DropRecord { kind: RecordKind::Mark, name },
    }))
}

/// Removes the marks that are older than `limits::REFLECT_MARK_DAYS_MAX`, so that they do not pile up.
pub(crate) async fn trim(deps: &Deps, ctx: &Ctx, now: Timestamp) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = deps.relational.records(ctx, RecordKind::Mark, after.as_deref(), PAGE_MAX).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.name.clone());
        let full = page.len() == PAGE_MAX;
        let is_old = |record: &Record| now.days_since(record.at) > REFLECT_MARK_DAYS_MAX;
        let old = page.into_iter().filter(is_old);
        let ops: Vec<Op> = old.map(|Record { name, kind, .. }| Op::DropRecord { kind, name }).collect();
        if !ops.is_empty() {
            deps.relational.apply(ctx, deps.batch(ops)).await?;
        }
        if !full {
            return Ok(());
        }
    }
}
