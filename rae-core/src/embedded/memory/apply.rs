//! Applying one batch to a copy of the state: whoever calls throws the copy away when this fails.

use super::{
    State,
    scope::{JobRow, Receipt, ScopeState, is_remembered, keep_newest_versions, missing},
};
use crate::{
    error::{Error, Result},
    limits::JOB_ATTEMPTS_MAX,
    model::{
        Applied, DropTarget, Idempotency, JobState, Layer, Memory, MemoryId, MemoryVersion, NewJob, Op, Outcome,
        Precondition, Record, Scope, Timestamp, VectorRow, WriteBatch,
    },
};
use std::sync::Arc;
use uuid::Uuid;

/// Applies `batch` to `scope`. `now` is the store's own time: what ran out is decided by it, what is written is dated by the batch.
pub(super) fn apply(state: &mut State, scope: &Scope, batch: &WriteBatch, now: Timestamp) -> Result<Applied> {
    let mut work = Work { state, scope, now, batch };
    if let Some((_, applied)) = work.scope_mut().batches.get(&batch.id).filter(|(at, _)| is_remembered(*at, now)) {
        return Ok(applied.clone());
    }
    let held = batch.preconditions.iter().try_for_each(|precondition| work.check(precondition));
    if let Err(error) = held
        && !work.has_receipts()
    {
        return Err(error);
    }
    let seq_before = work.scope_mut().seq;
    let outcomes = batch.ops.iter().map(|op| work.run(op)).collect::<Result<Vec<_>>>()?;
    let ran_out = work.state.take_ran_out();
    let applied = Applied { seq_before, seq: work.scope_mut().seq, outcomes, ran_out };
    work.scope_mut().batches.insert(batch.id, (now, applied.clone()));
    Ok(applied)
}

struct Work<'a> {
    state: &'a mut State,
    scope: &'a Scope,
    now: Timestamp,
    batch: &'a WriteBatch,
}

impl Work<'_> {
    fn scope_mut(&mut self) -> &mut ScopeState {
        Arc::make_mut(self.state.scopes.entry(self.scope.clone()).or_default())
    }

    fn check(&mut self, precondition: &Precondition) -> Result<()> {
        let now = self.now;
        match precondition {
            Precondition::VersionIs(id, version) => {
                let row = self.scope_mut().rows.get(id).ok_or_else(|| missing(*id))?;
                let found = row.memory.version;
                let text = || format!("memory {id} has version {found}, not {version}; read it again");
                holds(found == *version, "version_changed", text)
            }
            Precondition::SeqIs(id, seq) => {
                let found = self.scope_mut().rows.get(id).ok_or_else(|| missing(*id))?.memory.seq;
                holds(found == *seq, "version_changed", || format!("memory {id} was touched since; read it again"))
            }
            Precondition::Absent(id) => {
                let absent = !self.scope_mut().rows.contains_key(id);
                holds(absent, "exists", || format!("there is a memory {id} already"))
            }
            Precondition::KeyFree(key) => {
                let taken = self.scope_mut().rows.values().any(|row| row.memory.dedup_key == Some(*key));
                holds(!taken, "exists", || "there is a memory with this key already".to_owned())
            }
            Precondition::EmbedderIs(wanted) => {
                let same = self.state.embedder.as_ref().is_some_and(|(id, _)| id == wanted);
                holds(same, "embedder_changed", || "the store's embedder is another one now; open it again".to_owned())
            }
            Precondition::LeaseHeld(id, fence) => {
                let held = |row: &JobRow| row.job.id == *id && row.fence == *fence && row.is_leased(now);
                let held = self.scope_mut().jobs.iter().any(held);
                holds(held, "lease_lost", || format!("job {id} is not leased with this number any more"))
            }
            Precondition::RecordIs(kind, name, at) => {
                let found = self.scope_mut().records.get(&(*kind, name.clone())).map(|record| record.at);
                let text = || format!("the {} {name:?} was written anew or is gone; read it again", kind.as_str());
                holds(found == Some(*at), "record_changed", text)
            }
        }
    }

    fn run(&mut self, op: &Op) -> Result<Outcome> {
        let at = self.batch.now;
        Ok(match op {
            Op::PutMemory { memory, vector, idempotency } => self.put(memory, vector.as_ref(), idempotency.as_ref())?,
            Op::RestoreMemory { memory, vector, history, access } => {
                self.restore(memory, vector.as_ref(), history, *access)?
            }
            Op::PatchMemory { id, patch, mode, vector } => {
                Outcome::Patched { version: self.scope_mut().patch(*id, patch, *mode, vector.as_ref(), at)? }
            }
            Op::DeleteMemory { id } => Outcome::Deleted { existed: self.scope_mut().delete(*id) },
            Op::DeleteExpired { id, now } => {
                let scope = self.scope_mut();
                let due = scope.rows.get(id).is_some_and(|row| row.memory.expires_at.is_some_and(|at| at <= *now));
                Outcome::Deleted { existed: due && scope.delete(*id) }
            }
            Op::Fade { stamp, strength } => done(self.scope_mut().fade(stamp, *strength)),
            Op::RestoreStrength { id, left, strength } => {
                done(self.scope_mut().restore_strength(*id, *left, *strength))
            }
            Op::DeleteUntouched { stamp } => {
                let scope = self.scope_mut();
                Outcome::Deleted { existed: scope.is_untouched(stamp) && scope.delete(stamp.id) }
            }
            Op::DropVersions { id, versions } => done(self.scope_mut().drop_versions(*id, versions)),
            Op::TrimAudit { keep } => done(self.scope_mut().trim_audit(*keep)),
            Op::PutVector { id, version, vector } => done(self.scope_mut().put_vector(*id, *version, vector)),
            Op::TrimLayer { layer, session_id, keep } => self.trim(*layer, session_id.as_deref(), *keep),
            Op::SetEmbedder { embedder, dim } => self.set_embedder(embedder, *dim),
            Op::RecordAccess { counts } => self.record_access(counts),
            Op::PutSegment { row } => done(self.scope_mut().put_segment(row)),
            Op::Audit(audit) => {
                self.scope_mut().audit.push((at, audit.clone()));
                Outcome::Done
            }
            Op::DropScope { target } => self.drop_scope(target),
            Op::PutTenant { label } => done(self.state.put_tenant(self.scope.tenant(), label.as_ref(), at)),
            Op::PutKey { key } => {
                self.state.put_key(self.scope.tenant(), key)?;
                Outcome::Done
            }
            Op::RevokeKey { id } => done(self.state.revoke_key(self.scope.tenant(), *id, at)),
            Op::PutRecord { record } => {
                let key = (record.kind, record.name.clone());
                self.scope_mut().records.insert(key, Record { at, ..(**record).clone() });
                Outcome::Done
            }
            Op::DropRecord { kind, name } => done(self.scope_mut().records.remove(&(*kind, name.clone())).is_some()),
            op => return self.job(op),
        })
    }

    /// What concerns the queue.
    fn job(&mut self, op: &Op) -> Result<Outcome> {
        let at = self.batch.now;
        Ok(match op {
            Op::EnqueueJob { job } => self.enqueue(job)?,
            Op::FinishJob { id } => {
                let jobs = &mut self.scope_mut().jobs;
                let before = jobs.len();
                jobs.retain(|row| row.job.id != *id);
                done(jobs.len() < before)
            }
            Op::RetryJob { id, run_at, error } => self.on_job(*id, |row| {
                row.until = None;
                row.job.run_at = *run_at;
                row.job.last_error = Some(error.clone());
                if row.job.attempts >= JOB_ATTEMPTS_MAX {
                    row.job.state = JobState::Dead;
                }
            }),
            Op::BuryJob { id, error } => self.on_job(*id, |row| {
                row.until = None;
                row.job.last_error = Some(error.clone());
                row.job.state = JobState::Dead;
            }),
            Op::ParkJob { id, run_at, error } => self.on_job(*id, |row| {
                row.until = None;
                row.job.run_at = *run_at;
                row.job.last_error = Some(error.clone());
                row.job.attempts = row.job.attempts.saturating_sub(1);
            }),
            Op::RequeueJob { id } => {
                let dead = |row: &JobRow| row.job.id == *id && row.job.state == JobState::Dead;
                let row = self.scope_mut().jobs.iter_mut().find(|row| dead(row));
                done(
                    row.map(|row| (row.job.state, row.job.attempts, row.job.run_at) = (JobState::Queued, 0, at))
                        .is_some(),
                )
            }
            Op::ExtendLease { id, until } => self.on_job(*id, |row| row.until = Some(*until)),
            op => return self.money(op),
        })
    }

    /// What concerns budgets and the ledger: all that is left.
    fn money(&mut self, op: &Op) -> Result<Outcome> {
        let now = self.now;
        Ok(match op {
            Op::SetBudget { level, change } => self.state.set_budget(self.scope, *level, change)?,
            Op::Reserve { reservation } => self.state.reserve(self.scope, reservation, now)?,
            Op::MarkSent { id } => done(self.state.mark_sent(self.scope, *id)),
            Op::Settle { id, settlement, defaults } => self.state.settle(self.scope, *id, settlement, defaults, now)?,
            Op::SettleCall { id, provider, model, settlement, defaults } => {
                self.state.settle_call(self.scope, *id, (provider, model), settlement.as_deref(), defaults, now)?
            }
            Op::Release { id } => done(self.state.release(self.scope, *id, now)),
            Op::Book { booking } => self.state.book(self.scope, booking, now)?,
            Op::ExpireReservations => self.state.expire_reservations(self.scope, now),
            _ => return Err(Error::internal("the reference store does not know this change")),
        })
    }

    fn own(&self, memory: &Memory) -> Result<()> {
        if memory.scope == *self.scope {
            return Ok(());
        }
        Err(Error::invalid("a memory must name the tenant and project of the call that writes it"))
    }

    fn has_receipts(&mut self) -> bool {
        let (keys, now) = (self.batch.keys(), self.now);
        let receipts = &self.scope_mut().receipts;
        let has = |key: &Idempotency| {
            receipts.get(&(key.verb.to_owned(), key.key.clone())).is_some_and(|r| is_remembered(r.at, now))
        };
        keys.is_some_and(|keys| keys.into_iter().all(has))
    }

    fn put(&mut self, memory: &Memory, vector: Option<&VectorRow>, key: Option<&Idempotency>) -> Result<Outcome> {
        self.own(memory)?;
        let (now, at) = (self.now, self.batch.now);
        let scope = self.scope_mut();
        let slot = key.map(|key| (key.verb.to_owned(), key.key.clone()));
        let seen = slot.as_ref().and_then(|slot| scope.receipts.get(slot)).filter(|r| is_remembered(r.at, now));
        if let (Some(key), Some(seen)) = (key, seen) {
            let text = || "this idempotency key was used with another request; use a new key".to_owned();
            holds(seen.body_hash == key.body_hash, "idempotency_key_reused", text)?;
            return Ok(Outcome::Put { id: seen.id, version: seen.version, merged: seen.merged, replayed: true });
        }
        let duplicate = scope.duplicate_at(memory.dedup_key, at);
        let (id, version, merged) = match duplicate {
            Some(id) => (id, scope.merge(id, memory, at)?, true),
            None => {
                let absent = !scope.rows.contains_key(&memory.id);
                holds(absent, "exists", || format!("there is a memory {} already", memory.id))?;
                // Both numbers are the store's to give.
                let memory = Memory { seq: 0, seq_in_session: None, created_at: at, updated_at: at, ..memory.clone() };
                let row = scope.insert(memory, vector.cloned());
                (row.memory.id, row.memory.version, false)
            }
        };
        if let (Some(slot), Some(key)) = (slot, key) {
            scope.receipts.insert(slot, Receipt { at: now, body_hash: key.body_hash, id, version, merged });
        }
        Ok(Outcome::Put { id, version, merged, replayed: false })
    }

    fn restore(
        &mut self,
        memory: &Memory,
        vector: Option<&VectorRow>,
        history: &[MemoryVersion],
        access: Option<(u64, Timestamp)>,
    ) -> Result<Outcome> {
        self.own(memory)?;
        let at = self.batch.now;
        let scope = self.scope_mut();
        let put = |id, version, merged| Outcome::Put { id, version, merged, replayed: false };
        if let Some(row) = scope.rows.get(&memory.id) {
            let found = row.memory.version;
            let text = || format!("memory {} is here already with version {found}, not {}", memory.id, memory.version);
            holds(found == memory.version, "version_changed", text)?;
            return Ok(Outcome::Put { id: memory.id, version: found, merged: false, replayed: true });
        }
        let held = scope.duplicate(memory.dedup_key).and_then(|id| scope.rows.get(&id));
        let apart = held.and_then(|held| memory.restored_beside(&held.memory, at));
        let memory = apart.as_ref().unwrap_or(memory);
        if let Some(id) = scope.duplicate_at(memory.dedup_key, at) {
            return Ok(put(id, scope.merge(id, memory, at)?, true));
        }
        let row = scope.insert(memory.clone(), vector.cloned());
        row.history.extend(history.iter().cloned());
        keep_newest_versions(&mut row.history);
        row.access = access.map_or((0, None), |(count, last)| (count, Some(last)));
        Ok(put(memory.id, memory.version, false))
    }

    fn trim(&mut self, layer: Layer, session: Option<&str>, keep: usize) -> Outcome {
        let scope = self.scope_mut();
        let inside = |m: &Memory| m.layer == layer && session.is_none_or(|s| m.session_id.as_deref() == Some(s));
        let rows = scope.rows.values().filter(|row| inside(&row.memory));
        let mut oldest_first: Vec<_> = rows.map(|row| (row.memory.created_at, row.memory.id)).collect();
        oldest_first.sort_unstable();
        oldest_first.truncate(oldest_first.len().saturating_sub(keep));
        let ids: Vec<_> = oldest_first.into_iter().map(|(_, id)| id).collect();
        for id in &ids {
            scope.delete(*id);
        }
        Outcome::Trimmed { ids }
    }

    fn set_embedder(&mut self, embedder: &str, dim: usize) -> Outcome {
        self.state.embedder = Some((embedder.to_owned(), dim));
        for scope in self.state.scopes.values_mut() {
            for row in Arc::make_mut(scope).rows.values_mut() {
                Arc::make_mut(row).vectors.retain(|id, _| id == embedder);
            }
        }
        Outcome::Done
    }

    fn record_access(&mut self, counts: &[(MemoryId, u32, Timestamp)]) -> Outcome {
        let scope = self.scope_mut();
        for (id, count, last) in counts {
            // A memory that went meanwhile must not leave a row behind.
            if let Some(row) = scope.row_mut(*id) {
                row.access = (row.access.0.saturating_add(u64::from(*count)), row.access.1.max(Some(*last)));
            }
        }
        Outcome::Done
    }

    fn enqueue(&mut self, new: &NewJob) -> Result<Outcome> {
        let jobs = &mut self.scope_mut().jobs;
        let fresh = !jobs.iter().any(|row| row.job.id == new.id);
        holds(fresh, "exists", || format!("there is a job {} already", new.id))?;
        self.state.jobs += 1;
        let row = JobRow::new(self.state.jobs, new.clone());
        self.scope_mut().jobs.push(row);
        Ok(Outcome::Done)
    }

    fn on_job(&mut self, id: Uuid, change: impl FnOnce(&mut JobRow)) -> Outcome {
        let row = self.scope_mut().jobs.iter_mut().find(|row| row.job.id == id);
        done(row.map(change).is_some())
    }

    fn drop_scope(&mut self, target: &DropTarget) -> Outcome {
        self.state.erase_money(self.scope, target);
        let (tenant, own) = (self.scope.tenant().to_owned(), self.scope.project().to_owned());
        let (memories, projects) = match target {
            DropTarget::Session(session) => {
                let payload = DropTarget::job_of(session);
                self.scope_mut().jobs.retain(|row| row.job.payload != payload);
                (self.drop_where(|m| m.session_id.as_deref() == Some(session)), vec![own])
            }
            DropTarget::User(user) => (self.drop_where(|m| m.user_id.as_deref() == Some(user)), vec![own]),
            DropTarget::Project(project) => self.erase(|s| s.tenant() == tenant && s.project() == project),
            DropTarget::Tenant => {
                self.state.shut_doors(&tenant);
                self.erase(|s| s.tenant() == tenant)
            }
        };
        Outcome::Dropped { memories, projects }
    }

    fn drop_where(&mut self, gone: impl Fn(&Memory) -> bool) -> u64 {
        u64::try_from(self.scope_mut().delete_where(gone).len()).unwrap_or(u64::MAX)
    }

    fn erase(&mut self, gone: impl Fn(&Scope) -> bool) -> (u64, Vec<String>) {
        let mut erased = (0, Vec::new());
        for (name, scope) in self.state.scopes.iter_mut().filter(|(name, _)| gone(name)) {
            erased.0 += Arc::make_mut(scope).erase();
            erased.1.push(name.project().to_owned());
        }
        erased
    }
}

fn holds(condition: bool, code: &'static str, message: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(Error::conflict(message()).with_code(code)) }
}

fn done(did: bool) -> Outcome {
    if did { Outcome::Done } else { Outcome::Skipped }
}
