//! One batch inside a transaction: preconditions, then the ops in order. Whoever calls rolls back when this fails.

use super::{
    errors::{Fault, Res},
    jobs,
    row::{Id, dimension, int, uint},
};
use crate::{
    ctx::Ctx,
    error::{Error, Result},
    limits::{DIM_MAX, IDEMPOTENCY_SECONDS},
    model::{Applied, Audit, EndedCall, Layer, MemoryId, Op, Outcome, Precondition, Scope, Timestamp, WriteBatch},
};
use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashMap;
use uuid::Uuid;

/// The row of a scope, loaded when a batch begins and written once when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScopeRow {
    pub sid: i64,
    pub seq: u64,
    pub floor: u64,
    /// Live memories in [`Layer::ALL`] order.
    pub counts: [u64; Layer::ALL.len()],
}

impl ScopeRow {
    pub fn find(conn: &Connection, scope: &Scope) -> Res<Option<Self>> {
        let mut select = conn.prepare_cached(
            "SELECT sid, seq, tombstone_floor, sensory, working, episodic, semantic, reflective \
             FROM scopes WHERE tenant = ?1 AND project = ?2",
        )?;
        let read = |r: &rusqlite::Row<'_>| {
            let mut counts = [0; Layer::ALL.len()];
            for (column, count) in (3..).zip(&mut counts) {
                *count = uint(r, column)?;
            }
            Ok(Self { sid: r.get(0)?, seq: uint(r, 1)?, floor: uint(r, 2)?, counts })
        };
        Ok(select.query_row([scope.tenant(), scope.project()], read).optional()?)
    }

    fn find_or_make(conn: &Connection, scope: &Scope) -> Res<Self> {
        if let Some(found) = Self::find(conn, scope)? {
            return Ok(found);
        }
        let mut insert = conn.prepare_cached("INSERT INTO scopes (tenant, project) VALUES (?1, ?2)")?;
        let sid = insert.insert([scope.tenant(), scope.project()])?;
        Ok(Self { sid, seq: 0, floor: 0, counts: [0; Layer::ALL.len()] })
    }

    pub fn save(&self, conn: &Connection) -> Res<()> {
        let [sensory, working, episodic, semantic, reflective] = self.counts.map(int);
        conn.prepare_cached(
            "UPDATE scopes SET seq = ?2, tombstone_floor = ?3, sensory = ?4, working = ?5, episodic = ?6, \
             semantic = ?7, \
             reflective = ?8 WHERE sid = ?1",
        )?
        .execute(params![
            self.sid,
            int(self.seq),
            int(self.floor),
            sensory,
            working,
            episodic,
            semantic,
            reflective
        ])?;
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
    pub conn: &'a Connection,
    pub scope: &'a Scope,
    pub row: ScopeRow,
    /// What dates the rows of the batch.
    pub at: Timestamp,
    /// The store's own time: what ran out is decided by it.
    pub now: Timestamp,
    /// Next place in each session the batch wrote to.
    pub next_in_session: FxHashMap<String, u32>,
    /// Number and dimension of the embedders the batch named.
    pub embedders: Vec<(String, i64, usize)>,
    /// The first audit row of this batch, which an erasure later in it leaves.
    pub first_audit: Option<i64>,
    /// What ran out and was booked by this batch.
    pub ran_out: Vec<EndedCall>,
}

/// Applies `batch` to the scope of `ctx`.
pub(super) fn apply(conn: &Connection, ctx: &Ctx, batch: &WriteBatch, now: Timestamp) -> Res<Applied> {
    let scope = ctx.scope();
    let row = ScopeRow::find_or_make(conn, scope)?;
    if let Some(applied) = replay(conn, row.sid, batch.id, now)? {
        return Ok(applied);
    }
    let before = row.clone();
    let mut work = Work {
        conn,
        scope,
        row,
        at: batch.now,
        now,
        next_in_session: FxHashMap::default(),
        embedders: Vec::new(),
        first_audit: None,
        ran_out: Vec::new(),
    };
    let held = batch.preconditions.iter().try_for_each(|precondition| work.check(precondition));
    if let Err(fault) = held
        && !work.has_receipts(batch)?
    {
        return Err(fault);
    }
    let mut outcomes = Vec::with_capacity(batch.ops.len());
    for op in &batch.ops {
        ctx.check()?;
        outcomes.push(work.run(op)?);
    }
    if work.row != before {
        work.row.save(conn)?;
    }
    let applied = Applied { seq_before: before.seq, seq: work.row.seq, outcomes, ran_out: work.ran_out };
    keep(conn, work.row.sid, batch.id, now, &applied)?;
    Ok(applied)
}

/// Whether what was kept at the instant it ran out, at `now`.
pub(super) fn forgotten_before(now: Timestamp) -> i64 {
    now.saturating_add_seconds(-IDEMPOTENCY_SECONDS).micros()
}

fn replay(conn: &Connection, sid: i64, id: Uuid, now: Timestamp) -> Res<Option<Applied>> {
    let mut select = conn.prepare_cached("SELECT applied FROM batches WHERE scope = ?1 AND id = ?2 AND at > ?3")?;
    let found = select.query_row(params![sid, Id(id), forgotten_before(now)], |r| r.get::<_, Vec<u8>>(0)).optional()?;
    Ok(found.map(|bytes| Applied::from_bytes(&bytes)).transpose()?)
}

fn keep(conn: &Connection, sid: i64, id: Uuid, now: Timestamp, applied: &Applied) -> Res<()> {
    let bytes = applied.to_bytes()?;
    // One that ran out but was not yet swept is written over.
    conn.prepare_cached(
        "INSERT INTO batches (scope, id, at, applied) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (scope, id) DO UPDATE SET at = excluded.at, applied = excluded.applied",
    )?
    .execute(params![sid, Id(id), now.micros(), bytes])?;
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
pub(super) fn current_embedder(conn: &Connection) -> Res<Option<(i64, String, usize)>> {
    let mut select = conn.prepare_cached(
        "SELECT e.no, e.name, e.dim FROM meta JOIN embedders e ON e.no = meta.value WHERE meta.key = 'embedder'",
    )?;
    Ok(select.query_row([], |r| Ok((r.get(0)?, r.get(1)?, dimension(r, 2)?))).optional()?)
}

impl Work<'_> {
    /// The next number of the scope's change log.
    pub fn next_seq(&mut self) -> u64 {
        self.row.seq += 1;
        self.row.seq
    }

    fn check(&self, precondition: &Precondition) -> Res<()> {
        match precondition {
            Precondition::VersionIs(id, version) => {
                let found = self.version_of(*id)?.ok_or_else(|| missing(*id))?;
                let text = || format!("memory {id} has version {found}, not {version}; read it again");
                holds(found == *version, "version_changed", text)?;
            }
            Precondition::SeqIs(id, seq) => {
                let found = self.seq_of(*id)?.ok_or_else(|| missing(*id))?;
                let text = || format!("memory {id} was touched since; read it again");
                holds(found == int(*seq), "version_changed", text)?;
            }
            Precondition::Absent(id) => {
                let absent = self.version_of(*id)?.is_none();
                holds(absent, "exists", || format!("there is a memory {id} already"))?;
            }
            Precondition::KeyFree(key) => {
                let sql = "SELECT 1 FROM memories WHERE scope = ?1 AND dedup_key = ?2";
                let taken = self.conn.prepare_cached(sql)?.exists(params![self.row.sid, key])?;
                holds(!taken, "exists", || "there is a memory with this key already".to_owned())?;
            }
            Precondition::EmbedderIs(wanted) => {
                let same = current_embedder(self.conn)?.is_some_and(|(_, name, _)| name == *wanted);
                let text = || "the store's embedder is another one now; open it again".to_owned();
                holds(same, "embedder_changed", text)?;
            }
            Precondition::LeaseHeld(id, fence) => {
                let held = jobs::is_held(self.conn, self.row.sid, *id, *fence, self.now)?;
                holds(held, "lease_lost", || format!("job {id} is not leased with this number any more"))?;
            }
            Precondition::RecordIs(kind, name, at) => {
                let same = self.record_at(*kind, name)? == Some(*at);
                let text = || format!("the {} {name:?} was written anew or is gone; read it again", kind.as_str());
                holds(same, "record_changed", text)?;
            }
        }
        Ok(())
    }

    /// Version of a live memory.
    pub fn version_of(&self, id: MemoryId) -> Res<Option<u32>> {
        let mut select = self.conn.prepare_cached("SELECT version FROM memories WHERE scope = ?1 AND id = ?2")?;
        Ok(select.query_row(params![self.row.sid, Id(id.0)], |r| r.get(0)).optional()?)
    }

    /// Number of the change that last touched a live memory.
    fn seq_of(&self, id: MemoryId) -> Res<Option<i64>> {
        let mut select = self.conn.prepare_cached("SELECT seq FROM memories WHERE scope = ?1 AND id = ?2")?;
        Ok(select.query_row(params![self.row.sid, Id(id.0)], |r| r.get(0)).optional()?)
    }

    fn run(&mut self, op: &Op) -> Res<Outcome> {
        let (conn, sid) = (self.conn, self.row.sid);
        Ok(match op {
            Op::PutMemory { memory, vector, idempotency } => self.put(memory, vector.as_ref(), idempotency.as_ref())?,
            Op::RestoreMemory { memory, vector, history, access } => {
                self.restore(memory, vector.as_ref(), history, *access)?
            }
            Op::PatchMemory { id, patch, mode, vector } => {
                Outcome::Patched { version: self.patch(*id, patch, *mode, vector.as_ref())? }
            }
            Op::DeleteMemory { id } => Outcome::Deleted { existed: self.delete(*id)? },
            Op::DeleteExpired { id, now } => {
                let sql = "SELECT 1 FROM memories WHERE scope = ?1 AND id = ?2 AND expires_at <= ?3";
                let due = self.conn.prepare_cached(sql)?.exists(params![self.row.sid, Id(id.0), now.micros()])?;
                Outcome::Deleted { existed: due && self.delete(*id)? }
            }
            Op::Fade { stamp, strength } => done(self.fade(stamp, *strength)?),
            Op::RestoreStrength { id, left, strength } => done(self.restore_strength(*id, *left, *strength)?),
            Op::DeleteUntouched { stamp } => {
                Outcome::Deleted { existed: self.untouched(stamp)?.is_some() && self.delete(stamp.id)? }
            }
            Op::DropVersions { id, versions } => done(self.drop_versions(*id, versions)?),
            Op::TrimAudit { keep } => done(self.trim_audit(*keep)?),
            Op::PutVector { id, version, vector } => done(self.put_vector(*id, *version, vector)?),
            Op::TrimLayer { layer, session_id, keep } => {
                Outcome::Trimmed { ids: self.trim(*layer, session_id.as_deref(), *keep)? }
            }
            Op::SetEmbedder { embedder, dim } => {
                self.set_embedder(embedder, *dim)?;
                Outcome::Done
            }
            Op::RecordAccess { counts } => {
                for (id, count, last) in counts {
                    self.record_access(*id, u64::from(*count), *last)?;
                }
                Outcome::Done
            }
            Op::PutSegment { row } => done(self.put_segment(row)?),
            Op::EnqueueJob { job } => {
                jobs::enqueue(conn, sid, job)?;
                Outcome::Done
            }
            Op::FinishJob { id } => done(jobs::finish(conn, sid, *id)?),
            Op::RetryJob { id, run_at, error } => done(jobs::retry(conn, sid, *id, *run_at, error)?),
            Op::BuryJob { id, error } => done(jobs::bury(conn, sid, *id, error)?),
            Op::ParkJob { id, run_at, error } => done(jobs::park(conn, sid, *id, *run_at, error)?),
            Op::RequeueJob { id } => done(jobs::requeue(conn, sid, *id, self.at)?),
            Op::ExtendLease { id, until } => done(jobs::extend(conn, sid, *id, *until)?),
            Op::Audit(audit) => {
                self.audit(audit)?;
                Outcome::Done
            }
            Op::DropScope { target } => self.drop_scope(target)?,
            Op::PutTenant { label } => done(self.put_tenant(label.as_ref())?),
            Op::PutKey { key } => {
                self.put_key(key)?;
                Outcome::Done
            }
            Op::RevokeKey { id } => done(self.revoke_key(*id)?),
            Op::SetBudget { level, change } => Outcome::Budget(self.set_budget(*level, change)?),
            Op::Reserve { reservation } => self.reserve(reservation)?,
            Op::MarkSent { id } => done(self.mark_sent(*id)?),
            Op::Settle { id, settlement, defaults } => self.settle(*id, settlement, defaults)?,
            Op::SettleCall { id, provider, model, settlement, defaults } => {
                self.settle_call(*id, provider, model, settlement.as_deref(), defaults)?
            }
            Op::Release { id } => done(self.release(*id)?),
            Op::Book { booking } => self.book(booking)?,
            Op::ExpireReservations => self.expire_reservations()?,
            Op::PutRecord { record } => {
                self.put_record(record)?;
                Outcome::Done
            }
            Op::DropRecord { kind, name } => done(self.drop_record(*kind, name)?),
        })
    }

    fn audit(&mut self, audit: &Audit) -> Res<()> {
        let mut insert =
            self.conn.prepare_cached("INSERT INTO audit (scope, at, action, details) VALUES (?1, ?2, ?3, ?4)")?;
        let details = serde_json::to_string(&audit.details)?;
        let aid = insert.insert(params![self.row.sid, self.at.micros(), audit.action, details])?;
        self.first_audit.get_or_insert(aid);
        Ok(())
    }

    /// Adds to the access data of a live memory; a memory that went meanwhile must not leave a row behind.
    pub fn record_access(&self, id: MemoryId, count: u64, last: Timestamp) -> Res<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO access (memory, count, last_at) SELECT rid, ?3, ?4 FROM memories WHERE scope = ?1 AND \
                 id = ?2 \
                 ON CONFLICT (memory) DO UPDATE SET count = count + min(excluded.count, 9223372036854775807 - count), \
                 last_at = max(ifnull(last_at, excluded.last_at), excluded.last_at)",
            )?
            .execute(params![self.row.sid, Id(id.0), int(count), last.micros()])?;
        Ok(())
    }

    /// The number of an embedder, which is made where it is new. Vectors of one embedder have one dimension.
    pub fn embedder(&mut self, name: &str, dim: usize) -> Res<i64> {
        let found = match self.embedders.iter().find(|(known, ..)| known == name) {
            Some((_, no, known)) => (*no, *known),
            None => {
                let found = self.find_or_make_embedder(name, dim)?;
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

    fn find_or_make_embedder(&self, name: &str, dim: usize) -> Res<(i64, usize)> {
        let mut select = self.conn.prepare_cached("SELECT no, dim FROM embedders WHERE name = ?1")?;
        if let Some(found) = select.query_row([name], |r| Ok((r.get(0)?, dimension(r, 1)?))).optional()? {
            return Ok(found);
        }
        if dim == 0 || dim > DIM_MAX {
            return Err(Error::invalid(format!("an embedder must have a dimension of 1 to {DIM_MAX}")).into());
        }
        let free = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 255) \
                    SELECT min(i) FROM n WHERE i NOT IN (SELECT no FROM embedders)";
        let no: Option<i64> = self.conn.query_row(free, [], |r| r.get(0))?;
        let full = || {
            Error::unsupported("a store keeps vectors of at most 256 embedders at a time; finish re-embedding first")
        };
        let no = no.ok_or_else(full)?;
        let mut insert = self.conn.prepare_cached("INSERT INTO embedders (no, name, dim) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![no, name, i64::try_from(dim).unwrap_or(i64::MAX)])?;
        Ok((no, dim))
    }

    fn set_embedder(&mut self, name: &str, dim: usize) -> Res<()> {
        let no = self.embedder(name, dim)?;
        let conn = self.conn;
        conn.prepare_cached(
            "INSERT INTO meta (key, value) VALUES ('embedder', ?1) ON CONFLICT (key) \
             DO UPDATE SET value = excluded.value",
        )?
        .execute([no])?;
        // Without another embedder there are no other vectors, and the whole tree need not be read.
        if conn.prepare_cached("DELETE FROM embedders WHERE no <> ?1")?.execute([no])? > 0 {
            conn.execute("DELETE FROM vectors WHERE key & 255 <> ?1", [no])?;
        }
        self.embedders.retain(|(known, ..)| known == name);
        Ok(())
    }
}

/// A fault where SQLite said that a row is there already.
pub(super) fn is_constraint(fault: &Fault) -> bool {
    matches!(fault, Fault::Sql(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation))
}
