//! One batch inside a transaction: preconditions, then the ops in order. Whoever calls rolls back when this fails.
//!
//! Locks are taken in one order: the advisory lock of the embedder, then scopes by their numbers, then the tenant's row for
//! who touches its money, then anything inside them. Every writer of a scope holds its row until it commits, so inside a scope nothing races, and the numbers of its
//! change log become visible in order. Who only prolongs a lease writes nothing of the scope: it locks the row of its job and waits for
//! no other.

use super::{
    bulk::Run,
    errors::{Fault, Res},
    jobs,
    ledger::touches_money,
    row::{int, uint, version},
    session::{Params, Tx},
};
use futures::try_join;
use rae_core::{
    Ctx, Error, Result,
    limits::{DIM_MAX, IDEMPOTENCY_SECONDS},
    model::{Applied, Audit, DropTarget, EndedCall, Layer, MemoryId, Op, Outcome, Precondition, Timestamp, WriteBatch},
};
use std::{collections::HashMap, sync::Arc};
use tokio_postgres::Row;
use uuid::Uuid;

/// `RAE2`: shared by every writer, exclusive for who changes the store's embedder.
const EMBEDDER_LOCK: i64 = 0x5241_4532;

/// The row of a scope, loaded when a batch begins and written once when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScopeRow {
    pub sid: i64,
    pub tid: i64,
    pub project: String,
    pub seq: u64,
    pub floor: u64,
    /// Live memories in [`Layer::ALL`] order.
    pub counts: [u64; Layer::ALL.len()],
}

/// The columns of a scope. Row-level security shows those of the transaction's tenant alone.
macro_rules! scope_columns {
    () => {
        "s.sid, s.tid, s.project, s.seq, s.tombstone_floor, s.sensory, s.working, s.episodic, s.semantic, s.reflective"
    };
}

const LOCK_SCOPE: &str = concat!(
    "SELECT ",
    scope_columns!(),
    " FROM rae.scopes s JOIN rae.tenants t ON t.tid = s.tid WHERE t.name = $1 AND s.project = $2 FOR UPDATE OF s"
);

impl ScopeRow {
    fn decode(row: &Row) -> Res<Self> {
        let mut counts = [0; Layer::ALL.len()];
        for (column, count) in (5..).zip(&mut counts) {
            *count = uint(row, column)?;
        }
        let (seq, floor) = (uint(row, 3)?, uint(row, 4)?);
        Ok(Self { sid: row.try_get(0)?, tid: row.try_get(1)?, project: row.try_get(2)?, seq, floor, counts })
    }

    /// The scope of the call, for reading.
    pub async fn find(tx: &Tx) -> Res<Option<Self>> {
        let sql = concat!(
            "SELECT ",
            scope_columns!(),
            " FROM rae.scopes s JOIN rae.tenants t ON t.tid = s.tid WHERE t.name = $1 AND s.project = $2"
        );
        let row = tx.query_opt(sql, &[&tx.scope.tenant(), &tx.scope.project()]).await?;
        row.as_ref().map(Self::decode).transpose()
    }

    async fn lock(tx: &Tx) -> Res<Option<Self>> {
        let row = tx.query_opt(LOCK_SCOPE, &[&tx.scope.tenant(), &tx.scope.project()]).await?;
        row.as_ref().map(Self::decode).transpose()
    }

    /// All scopes of the tenant, by number.
    async fn lock_all(tx: &Tx) -> Res<Vec<Self>> {
        let sql = concat!(
            "SELECT ",
            scope_columns!(),
            " FROM rae.scopes s JOIN rae.tenants t ON t.tid = s.tid WHERE t.name = $1 ORDER BY s.sid FOR UPDATE OF s"
        );
        tx.query(sql, &[&tx.scope.tenant()]).await?.iter().map(Self::decode).collect()
    }

    async fn make(tx: &Tx) -> Res<()> {
        let tenant = "INSERT INTO rae.tenants (name) VALUES ($1) ON CONFLICT DO NOTHING";
        tx.execute(tenant, &[&tx.scope.tenant()]).await?;
        let scope = "INSERT INTO rae.scopes (tid, project) SELECT tid, $2 FROM rae.tenants WHERE name = $1 \
                     ON CONFLICT DO NOTHING";
        tx.execute(scope, &[&tx.scope.tenant(), &tx.scope.project()]).await?;
        Ok(())
    }

    pub async fn save(&self, tx: &Tx) -> Res<()> {
        let [sensory, working, episodic, semantic, reflective] = self.counts.map(int);
        tx.execute(
            "UPDATE rae.scopes SET seq = $2, tombstone_floor = $3, sensory = $4, working = $5, episodic = $6, \
             semantic = $7, reflective = $8 WHERE sid = $1",
            &[&self.sid, &int(self.seq), &int(self.floor), &sensory, &working, &episodic, &semantic, &reflective],
        )
        .await?;
        Ok(())
    }

    /// One memory more in `layer`.
    pub fn count(&mut self, layer: Layer) {
        let n = &mut self.counts[layer as usize];
        *n = n.saturating_add(1);
    }

    /// One memory less in `layer`.
    pub fn uncount(&mut self, layer: Layer) {
        let n = &mut self.counts[layer as usize];
        *n = n.saturating_sub(1);
    }
}

/// A batch at work.
pub(super) struct Work<'a> {
    pub tx: &'a Tx,
    pub row: ScopeRow,
    /// The other scopes of the tenant, where the batch may erase them; locked.
    pub others: Vec<ScopeRow>,
    /// What dates the rows of the batch.
    pub at: Timestamp,
    /// The store's own time: what ran out is decided by it.
    pub now: Timestamp,
    /// Next place in each session the batch wrote to.
    pub next_in_session: HashMap<String, u32>,
    /// Number and dimension of the embedders the batch named.
    pub embedders: Vec<(String, i32, usize)>,
    /// The first audit row of this batch, which an erasure later in it leaves.
    pub first_audit: Option<i64>,
    /// What ran out and was booked by this batch.
    pub ran_out: Vec<EndedCall>,
}

/// Applies `batch` to the scope of the transaction.
pub(super) async fn apply(tx: &Tx, ctx: &Ctx, batch: &WriteBatch) -> Res<Applied> {
    let now = tx.now()?;
    let Locked { row, others, seen } = lock(tx, batch, now).await?;
    if let Some(applied) = seen {
        return Ok(applied);
    }
    let before = row.clone();
    let mut work = Work::new(tx, row, others, batch.now, now);
    for precondition in &batch.preconditions {
        match work.check(precondition).await {
            Err(Fault::Ours(_)) if work.has_receipts(batch).await? => break,
            checked => checked?,
        }
    }
    let mut outcomes = Vec::with_capacity(batch.ops.len());
    let mut rest = batch.ops.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        ctx.check()?;
        let puts = rest.iter().take_while(|op| matches!(op, Op::PutMemory { .. })).count();
        if puts > 0 {
            let (ops, tail) = rest.split_at(puts);
            let done = work.put_all(&[Run { ops, at: batch.now }]).await?;
            outcomes.extend(done.into_iter().flat_map(|done| done.outcomes));
            rest = tail;
        } else {
            outcomes.push(work.run(first).await?);
            rest = tail;
        }
    }
    let ran_out = std::mem::take(&mut work.ran_out);
    let applied = Applied { seq_before: before.seq, seq: work.row.seq, outcomes, ran_out };
    let kept = [(batch.id, applied.clone())];
    if work.row == before {
        keep(tx, &before, &kept, now).await?;
    } else {
        try_join!(work.row.save(tx), keep(tx, &work.row, &kept, now))?;
    }
    // Past this point the deadline no longer means that nothing was written.
    ctx.check()?;
    Ok(applied)
}

/// Applies batches that [`joins`] lets through, which have the same preconditions, to the scope of the transaction: as if one came
/// after the other. Gives their answers in order. Fails as a whole, also where one alone would have failed.
pub(super) async fn apply_all(tx: &Tx, batches: &[Arc<WriteBatch>]) -> Res<Vec<Applied>> {
    let now = tx.now()?;
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let Locked { row, others, seen } = lock(tx, first, now).await?;
    let mut answers = HashMap::new();
    answers.extend(seen.map(|applied| (first.id, applied)));
    answers.extend(replay_all(tx, row.sid, &batches.iter().map(|b| b.id).collect::<Vec<_>>(), now).await?);
    let mut fresh: Vec<&WriteBatch> = Vec::with_capacity(batches.len());
    for batch in batches {
        // A batch that comes twice is done once.
        if !answers.contains_key(&batch.id) && !fresh.iter().any(|known| known.id == batch.id) {
            fresh.push(batch);
        }
    }
    if !fresh.is_empty() {
        let before = row.clone();
        let mut work = Work::new(tx, row, others, first.now, now);
        for precondition in &first.preconditions {
            work.check(precondition).await?;
        }
        let runs: Vec<_> = fresh.iter().map(|batch| Run { ops: &batch.ops, at: batch.now }).collect();
        let mut seq_before = before.seq;
        let mut kept = Vec::with_capacity(fresh.len());
        for (batch, done) in fresh.iter().zip(work.put_all(&runs).await?) {
            let applied = Applied { seq_before, seq: done.seq, outcomes: done.outcomes, ran_out: Vec::new() };
            seq_before = done.seq;
            kept.push((batch.id, applied));
        }
        try_join!(work.row.save(tx), keep(tx, &work.row, &kept, now))?;
        answers.extend(kept);
    }
    let lost = || Error::internal("a batch of a group has no answer");
    batches.iter().map(|batch| Ok(answers.get(&batch.id).cloned().ok_or_else(lost)?)).collect()
}

/// Whether a batch may share a transaction with others: it only puts memories, which hardly ever fails.
pub(super) fn joins(batch: &WriteBatch) -> bool {
    let puts = batch.ops.iter().all(|op| matches!(op, Op::PutMemory { .. }));
    puts && batch.preconditions.iter().all(|p| matches!(p, Precondition::EmbedderIs(_)))
}

/// Whether a batch only prolongs leases: what its [`Precondition::LeaseHeld`] locks is all that it touches.
pub(super) fn beats(batch: &WriteBatch) -> bool {
    let leases = batch.ops.iter().all(|op| matches!(op, Op::ExtendLease { .. }));
    let held = batch.preconditions.iter().all(|p| matches!(p, Precondition::LeaseHeld(..)));
    leases && held && !batch.ops.is_empty() && !batch.preconditions.is_empty()
}

/// Applies a batch that [`beats`] without the lock of its scope: a lease must not run out because others write for long. `None` where
/// there is no scope yet.
pub(super) async fn apply_beat(tx: &Tx, batch: &WriteBatch) -> Res<Option<Applied>> {
    let now = tx.now()?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(None) };
    let (seq_before, seq) = (row.seq, row.seq);
    let mut work = Work::new(tx, row.clone(), Vec::new(), batch.now, now);
    let mut held = Ok(());
    for precondition in &batch.preconditions {
        match work.check(precondition).await {
            Ok(()) => {}
            Err(Fault::Ours(error)) => held = Err(error),
            Err(fault) => return Err(fault),
        }
    }
    // Behind the lock of the job: an earlier attempt with this very batch has ended.
    if let Some(applied) = replay(tx, batch.id, now).await? {
        return Ok(Some(applied));
    }
    held?;
    let mut outcomes = Vec::with_capacity(batch.ops.len());
    for op in &batch.ops {
        outcomes.push(work.run(op).await?);
    }
    let applied = Applied { seq_before, seq, outcomes, ran_out: Vec::new() };
    keep(tx, &row, &[(batch.id, applied.clone())], now).await?;
    Ok(Some(applied))
}

/// What a batch finds once it has its locks.
struct Locked {
    row: ScopeRow,
    /// The tenant's other scopes, where the batch may erase them.
    others: Vec<ScopeRow>,
    /// What the batch answered before.
    seen: Option<Applied>,
}

/// Takes the locks that the batch needs.
async fn lock(tx: &Tx, batch: &WriteBatch, now: Timestamp) -> Res<Locked> {
    let changes_embedder = batch.ops.iter().any(|op| matches!(op, Op::SetEmbedder { .. }));
    let embedder = match changes_embedder {
        true => "SELECT pg_advisory_xact_lock($1)",
        false => "SELECT pg_advisory_xact_lock_shared($1)",
    };
    let key: Params<'_> = &[&EMBEDDER_LOCK];
    let wide = |op: &Op| matches!(op, Op::DropScope { target: DropTarget::Project(_) | DropTarget::Tenant });
    let lost = || Error::internal("a scope that was made is not there");
    if batch.ops.iter().any(wide) {
        tx.query(embedder, key).await?;
        let mut others = ScopeRow::lock_all(tx).await?;
        if !others.iter().any(|row| row.project == tx.scope.project()) {
            ScopeRow::make(tx).await?;
            others = ScopeRow::lock_all(tx).await?;
        }
        let own = others.iter().position(|row| row.project == tx.scope.project()).ok_or_else(lost)?;
        let row = others.remove(own);
        return Ok(Locked { row, others, seen: replay(tx, batch.id, now).await? });
    }
    // Sent together, done in this order: what was committed before the lock was given is seen behind it.
    tx.prepare(&[embedder, LOCK_SCOPE, REPLAY]).await?;
    let (_, found, seen) = try_join!(tx.query(embedder, key), ScopeRow::lock(tx), replay(tx, batch.id, now))?;
    if let Some(row) = found {
        return Ok(Locked { row, others: Vec::new(), seen });
    }
    ScopeRow::make(tx).await?;
    let row = ScopeRow::lock(tx).await?.ok_or_else(lost)?;
    // Another server may have made the scope meanwhile, with this very batch.
    Ok(Locked { row, others: Vec::new(), seen: replay(tx, batch.id, now).await? })
}

/// What was kept at this instant or before is forgotten at `now`.
pub(super) fn forgotten_before(now: Timestamp) -> i64 {
    now.saturating_add_seconds(-IDEMPOTENCY_SECONDS).micros()
}

const REPLAY: &str = "SELECT b.applied FROM rae.batches b JOIN rae.scopes s ON s.sid = b.scope \
    JOIN rae.tenants t ON t.tid = s.tid WHERE t.name = $1 AND s.project = $2 AND b.id = $3 AND b.at > $4";

async fn replay(tx: &Tx, id: Uuid, now: Timestamp) -> Res<Option<Applied>> {
    let params: Params<'_> = &[&tx.scope.tenant(), &tx.scope.project(), &id, &forgotten_before(now)];
    let Some(row) = tx.query_opt(REPLAY, params).await? else { return Ok(None) };
    Ok(Some(Applied::from_bytes(row.try_get(0)?)?))
}

async fn replay_all(tx: &Tx, sid: i64, ids: &[Uuid], now: Timestamp) -> Res<Vec<(Uuid, Applied)>> {
    let sql = "SELECT id, applied FROM rae.batches WHERE scope = $1 AND id = ANY($2::uuid[]) AND at > $3";
    let rows = tx.query(sql, &[&sid, &ids, &forgotten_before(now)]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, Applied::from_bytes(row.try_get(1)?)?))).collect()
}

/// Keeps what batches answered, for as long as they may be repeated.
async fn keep(tx: &Tx, row: &ScopeRow, answers: &[(Uuid, Applied)], now: Timestamp) -> Res<()> {
    let ids: Vec<_> = answers.iter().map(|(id, _)| *id).collect();
    let bytes = answers.iter().map(|(_, applied)| applied.to_bytes()).collect::<Result<Vec<_>>>()?;
    // One that ran out but was not yet swept is written over.
    let sql = "INSERT INTO rae.batches (scope, id, tid, at, applied) \
               SELECT $1::bigint, u.id, $2::bigint, $3::bigint, u.applied FROM unnest($4::uuid[], $5::bytea[]) u (id, applied) \
               ON CONFLICT (scope, id) DO UPDATE SET at = excluded.at, applied = excluded.applied";
    tx.execute(sql, &[&row.sid, &row.tid, &now.micros(), &ids, &bytes]).await?;
    Ok(())
}

/// There is no such live memory.
pub(super) fn missing(id: MemoryId) -> Error {
    Error::not_found(format!("there is no memory {id} in this project"))
}

/// A Conflict with `code` unless `condition`.
pub(super) fn holds(condition: bool, code: &'static str, message: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(Error::conflict(message()).with_code(code)) }
}

fn done(did: bool) -> Outcome {
    if did { Outcome::Done } else { Outcome::Skipped }
}

/// The store's embedder: number, id and dimension.
pub(super) async fn current_embedder(tx: &Tx) -> Res<Option<(i32, String, usize)>> {
    let sql = "SELECT e.no, e.name, e.dim FROM rae.meta JOIN rae.embedders e ON e.no = meta.embedder";
    let Some(row) = tx.query_opt(sql, &[]).await? else { return Ok(None) };
    Ok(Some((row.try_get(0)?, super::row::text(&row, 1)?, dimension(&row, 2)?)))
}

fn dimension(row: &Row, column: usize) -> Res<usize> {
    let n: i32 = row.try_get(column)?;
    Ok(usize::try_from(n).map_err(|_| Error::corrupt("an embedder has a negative dimension"))?)
}

impl<'a> Work<'a> {
    fn new(tx: &'a Tx, row: ScopeRow, others: Vec<ScopeRow>, at: Timestamp, now: Timestamp) -> Self {
        let (next_in_session, embedders) = (HashMap::new(), Vec::new());
        Self { tx, row, others, at, now, next_in_session, embedders, first_audit: None, ran_out: Vec::new() }
    }
}

impl Work<'_> {
    /// The next number of the scope's change log.
    pub fn next_seq(&mut self) -> u64 {
        self.row.seq += 1;
        self.row.seq
    }

    async fn check(&self, precondition: &Precondition) -> Res<()> {
        match precondition {
            Precondition::VersionIs(id, version) => {
                let found = self.version_of(*id).await?.ok_or_else(|| missing(*id))?;
                let text = || format!("memory {id} has version {found}, not {version}; read it again");
                holds(found == *version, "version_changed", text)?;
            }
            Precondition::SeqIs(id, seq) => {
                let sql = "SELECT seq FROM rae.memories WHERE scope = $1 AND id = $2";
                let row = self.tx.query_opt(sql, &[&self.row.sid, &id.0]).await?.ok_or_else(|| missing(*id))?;
                let text = || format!("memory {id} was touched since; read it again");
                holds(uint(&row, 0)? == *seq, "version_changed", text)?;
            }
            Precondition::Absent(id) => {
                let absent = self.version_of(*id).await?.is_none();
                holds(absent, "exists", || format!("there is a memory {id} already"))?;
            }
            Precondition::KeyFree(key) => {
                let sql = "SELECT 1 FROM rae.memories WHERE scope = $1 AND dedup_key = $2";
                let taken = self.tx.query_opt(sql, &[&self.row.sid, &&key[..]]).await?.is_some();
                holds(!taken, "exists", || "there is a memory with this key already".to_owned())?;
            }
            Precondition::EmbedderIs(wanted) => {
                let same = current_embedder(self.tx).await?.is_some_and(|(_, name, _)| name == *wanted);
                let text = || "the store's embedder is another one now; open it again".to_owned();
                holds(same, "embedder_changed", text)?;
            }
            Precondition::LeaseHeld(id, fence) => {
                let held = jobs::is_held(self.tx, self.row.sid, *id, *fence, self.now).await?;
                holds(held, "lease_lost", || format!("job {id} is not leased with this number any more"))?;
            }
            Precondition::RecordIs(kind, name, at) => {
                let same = self.record_at(*kind, name).await? == Some(*at);
                let text = || format!("the {} {name:?} was written anew or is gone; read it again", kind.as_str());
                holds(same, "record_changed", text)?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// Version of a live memory.
    pub async fn version_of(&self, id: MemoryId) -> Res<Option<u32>> {
        let sql = "SELECT version FROM rae.memories WHERE scope = $1 AND id = $2";
        let row = self.tx.query_opt(sql, &[&self.row.sid, &id.0]).await?;
        row.map(|row| version(&row, 0)).transpose()
    }

    async fn run(&mut self, op: &Op) -> Res<Outcome> {
        let (tx, sid) = (self.tx, self.row.sid);
        Ok(match op {
            // Runs of puts are taken together, by `put_all`.
            Op::PutMemory { .. } => return Err(Error::internal("a put came alone").into()),
            Op::RestoreMemory { memory, vector, history, access } => {
                self.restore(memory, vector.as_ref(), history, *access).await?
            }
            Op::PatchMemory { id, patch, mode, vector } => {
                Outcome::Patched { version: self.patch(*id, patch, *mode, vector.as_ref()).await? }
            }
            Op::DeleteMemory { id } => Outcome::Deleted { existed: self.delete_all(&[*id]).await? > 0 },
            Op::DeleteExpired { id, now } => {
                let sql = "SELECT 1 FROM rae.memories WHERE scope = $1 AND id = $2 AND expires_at <= $3";
                let due = tx.query_opt(sql, &[&sid, &id.0, &now.micros()]).await?.is_some();
                Outcome::Deleted { existed: due && self.delete_all(&[*id]).await? > 0 }
            }
            Op::Fade { stamp, strength } => done(self.fade(stamp, *strength).await?),
            Op::RestoreStrength { id, left, strength } => done(self.restore_strength(*id, *left, *strength).await?),
            Op::DeleteUntouched { stamp } => {
                let untouched = self.untouched(stamp).await?.is_some();
                Outcome::Deleted { existed: untouched && self.delete_all(&[stamp.id]).await? > 0 }
            }
            Op::DropVersions { id, versions } => done(self.drop_versions(*id, versions).await?),
            Op::TrimAudit { keep } => done(self.trim_audit(*keep).await?),
            Op::PutVector { id, version, vector } => done(self.put_vector(*id, *version, vector).await?),
            Op::TrimLayer { layer, session_id, keep } => {
                Outcome::Trimmed { ids: self.trim(*layer, session_id.as_deref(), *keep).await? }
            }
            Op::SetEmbedder { embedder, dim } => {
                self.set_embedder(embedder, *dim).await?;
                Outcome::Done
            }
            Op::RecordAccess { counts } => {
                self.record_access(counts.iter().map(|(id, count, last)| (*id, u64::from(*count), *last))).await?;
                Outcome::Done
            }
            Op::PutSegment { row } => done(self.put_segment(row).await?),
            Op::EnqueueJob { job } => {
                jobs::enqueue(tx, &self.row, job).await?;
                Outcome::Done
            }
            Op::FinishJob { id } => done(jobs::finish(tx, sid, *id).await?),
            Op::RetryJob { id, run_at, error } => done(jobs::retry(tx, sid, *id, *run_at, error).await?),
            Op::BuryJob { id, error } => done(jobs::bury(tx, sid, *id, error).await?),
            Op::ParkJob { id, run_at, error } => done(jobs::park(tx, sid, *id, *run_at, error).await?),
            Op::RequeueJob { id } => done(jobs::requeue(tx, sid, *id, self.at).await?),
            Op::ExtendLease { id, until } => done(jobs::extend(tx, sid, *id, *until).await?),
            Op::Audit(audit) => {
                self.audit(audit).await?;
                Outcome::Done
            }
            Op::DropScope { target } => self.drop_scope(target).await?,
            Op::PutTenant { label } => done(self.put_tenant(label.as_ref()).await?),
            Op::PutKey { key } => {
                self.put_key(key).await?;
                Outcome::Done
            }
            Op::RevokeKey { id } => done(self.revoke_key(*id).await?),
            Op::PutRecord { record } => {
                self.put_record(record).await?;
                Outcome::Done
            }
            Op::DropRecord { kind, name } => done(self.drop_record(*kind, name).await?),
            op if touches_money(op) => self.money(op).await?,
            _ => return Err(unknown()),
        })
    }

    async fn audit(&mut self, audit: &Audit) -> Res<()> {
        let details = serde_json::to_string(&audit.details)?;
        let sql = "INSERT INTO rae.audit (tid, scope, at, action, details) VALUES ($1, $2, $3, $4, $5) RETURNING aid";
        let (row, at) = (&self.row, self.at.micros());
        let row = self.tx.query_one(sql, &[&row.tid, &row.sid, &at, &audit.action.as_bytes(), &details]).await?;
        let aid = row.try_get(0)?;
        self.first_audit.get_or_insert(aid);
        Ok(())
    }

    /// Adds to the access data of live memories; a memory that went meanwhile must not leave a row behind.
    pub async fn record_access(&self, counts: impl Iterator<Item = (MemoryId, u64, Timestamp)>) -> Res<()> {
        // One row a memory: a statement may not touch a row twice.
        let mut sums: HashMap<MemoryId, (u64, Timestamp)> = HashMap::new();
        for (id, count, last) in counts {
            let sum = sums.entry(id).or_insert((0, last));
            *sum = (sum.0.saturating_add(count), sum.1.max(last));
        }
        let ids: Vec<_> = sums.keys().map(|id| id.0).collect();
        let counts: Vec<_> = sums.values().map(|(count, _)| int(*count)).collect();
        let lasts: Vec<_> = sums.values().map(|(_, last)| last.micros()).collect();
        self.tx
            .execute(
                "INSERT INTO rae.access (memory, tid, count, last_at) SELECT m.rid, m.tid, u.count, u.last_at \
                 FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) u (id, count, last_at), \
                 LATERAL (SELECT m.rid, m.tid FROM rae.memories m WHERE m.scope = $1 AND m.id = u.id OFFSET 0) m \
                 ON CONFLICT (memory) DO UPDATE SET \
                 count = access.count + least(excluded.count, 9223372036854775807 - access.count), \
                 last_at = greatest(access.last_at, excluded.last_at)",
                &[&self.row.sid, &ids, &counts, &lasts],
            )
            .await?;
        Ok(())
    }

    /// The number of an embedder, which is made where it is new. Vectors of one embedder have one dimension.
    pub async fn embedder(&mut self, name: &str, dim: usize) -> Res<i32> {
        let found = match self.embedders.iter().find(|(known, ..)| known == name) {
            Some((_, no, known)) => (*no, *known),
            None => {
                let found = self.find_or_make_embedder(name, dim).await?;
                self.embedders.push((name.to_owned(), found.0, found.1));
                found
            }
        };
        if found.1 != dim {
            let message = format!("embedder {name} has dimension {}, and this vector has {dim}", found.1);
            return Err(Error::invalid(message).with_code("invalid_vector").into());
        }
        Ok(found.0)
    }

    /// Looks up the embedders that a run of puts names, so that it is not done one by one.
    pub async fn known_embedders(&self, names: &[&[u8]]) -> Res<Vec<(String, i32, usize)>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT name, no, dim FROM rae.embedders WHERE name = ANY ($1)";
        let rows = self.tx.query(sql, &[&names]).await?;
        rows.iter().map(|row| Ok((super::row::text(row, 0)?, row.try_get(1)?, dimension(row, 2)?))).collect()
    }

    async fn find_or_make_embedder(&self, name: &str, dim: usize) -> Res<(i32, usize)> {
        let find = "SELECT no, dim FROM rae.embedders WHERE name = $1";
        if let Some(row) = self.tx.query_opt(find, &[&name.as_bytes()]).await? {
            return Ok((row.try_get(0)?, dimension(&row, 1)?));
        }
        let stored = i32::try_from(dim).ok().filter(|_| (1..=DIM_MAX).contains(&dim));
        let stored =
            stored.ok_or_else(|| Error::invalid(format!("an embedder must have a dimension of 1 to {DIM_MAX}")))?;
        // Another scope may be making the same one: then this waits for it, and reads what it made.
        let make = "INSERT INTO rae.embedders (name, dim) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.tx.execute(make, &[&name.as_bytes(), &stored]).await?;
        let row = self.tx.query_one(find, &[&name.as_bytes()]).await?;
        Ok((row.try_get(0)?, dimension(&row, 1)?))
    }

    async fn set_embedder(&mut self, name: &str, dim: usize) -> Res<()> {
        let no = self.embedder(name, dim).await?;
        self.tx.execute("UPDATE rae.meta SET embedder = $1", &[&no]).await?;
        self.tx.query("SELECT rae.keep_embedder($1)", &[&no]).await?;
        self.embedders.retain(|(known, ..)| known == name);
        Ok(())
    }
}

/// The ports may grow; an adapter that does not know an op must not pass it by.
pub(super) fn unknown() -> Fault {
    Error::unsupported("this adapter does not know that change; use a newer build").into()
}
