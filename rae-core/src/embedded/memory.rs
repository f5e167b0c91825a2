//! The reference store: the relational port in memory, as the simplest code that keeps every rule of the port.
//!
//! It is what other adapters are compared with (see `conformance`) and what tests of the engine run on. Nothing in it is fast on
//! purpose: each batch works on a copy of the scopes it touches, and look-ups scan.

mod apply;
mod jobs;
mod keys;
mod ledger;
mod scope;
#[cfg(test)]
mod tests;

use crate::{
    ctx::Ctx,
    error::{Error, Result},
    limits::{PAGE_MAX, TOMBSTONES_MAX},
    model::{
        ApiKey, Applied, Audit, Changed, Changes, Filter, Head, JobKind, JobState, KeptIds, KeyId, KeyedIds, Layer,
        Life, Memory, MemoryId, MemoryVersion, Owner, Record, RecordKind, Scan, Scope, SegmentRow, StoreStats, Tenant,
        Timestamp, VectorPoint, WriteBatch,
    },
    ports::{AdminRead, Clock, IndexRead, MemoryRead, RelationalCapability, RelationalStore},
};
use async_trait::async_trait;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use scope::ScopeState;
use std::{
    collections::{BTreeMap, HashSet, hash_map::RandomState},
    fmt,
    hash::{BuildHasher, Hasher},
    path::Path,
    sync::Arc,
};

/// Everything the store holds. Cloning it is cheap: scopes are shared until one is written to.
#[derive(Debug, Clone, Default)]
struct State {
    embedder: Option<(String, usize)>,
    scopes: BTreeMap<Scope, Arc<ScopeState>>,
    doors: Arc<keys::Doors>,
    money: Arc<ledger::Money>,
    /// Jobs queued so far.
    jobs: u64,
    /// Leases given so far, and the last one of each tenant.
    turns: (u64, BTreeMap<String, u64>),
    /// When the period of a scheduled kind is over, by scope and kind.
    schedules: BTreeMap<(Scope, JobKind), Timestamp>,
}

/// The in-memory reference implementation of [`RelationalStore`]. Keeps nothing on disk, serves one process.
pub struct ReferenceStore {
    clock: Arc<dyn Clock>,
    receipt_key: [u8; 32],
    /// `None` once closed.
    state: Mutex<Option<State>>,
}

impl ReferenceStore {
    /// An empty store. `clock` says when batch ids, idempotency keys and leases run out.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, receipt_key: random_key(), state: Mutex::new(Some(State::default())) }
    }

    fn open(&self) -> Result<MappedMutexGuard<'_, State>> {
        MutexGuard::try_map(self.state.lock(), Option::as_mut)
            .map_err(|_| Error::unavailable("the store is closed; open it again").with_code("closed"))
    }

    /// The scope as it stands; an unknown one is empty.
    fn read(&self, ctx: &Ctx) -> Result<Arc<ScopeState>> {
        ctx.check()?;
        Ok(self.open()?.scopes.get(ctx.scope()).cloned().unwrap_or_default())
    }
}

impl fmt::Debug for ReferenceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReferenceStore").finish_non_exhaustive()
    }
}

/// The standard library's hash keys come from the system's generator: enough for a store that lives as long as the process.
fn random_key() -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for _ in 0..4 {
        hasher.update(&RandomState::new().build_hasher().finish().to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn page(limit: usize) -> Result<usize> {
    if limit == 0 { Err(Error::invalid(format!("limit must be 1 to {PAGE_MAX}"))) } else { Ok(limit.min(PAGE_MAX)) }
}

#[async_trait]
impl RelationalStore for ReferenceStore {
    fn capability(&self) -> RelationalCapability {
        RelationalCapability::new(false, false)
    }

    async fn apply(&self, ctx: &Ctx, batch: WriteBatch) -> Result<Applied> {
        ctx.check()?;
        let mut state = self.open()?;
        let mut next = state.clone();
        let applied = apply::apply(&mut next, ctx.scope(), &batch, self.clock.now())?;
        *state = next;
        Ok(applied)
    }

    async fn checkpoint(&self, ctx: &Ctx, now: Timestamp) -> Result<bool> {
        ctx.check()?;
        let mut state = self.open()?;
        Arc::make_mut(&mut state.money).forget_spend(now);
        for scope in state.scopes.values_mut() {
            let scope = Arc::make_mut(scope);
            scope.forget_due(now);
            scope.trim_tombstones(TOMBSTONES_MAX);
        }
        Ok(true)
    }

    async fn verify(&self, ctx: &Ctx) -> Result<Vec<String>> {
        let mut findings = self.read(ctx)?.findings(ctx.scope());
        findings.extend(self.open()?.money.findings());
        Ok(findings)
    }

    async fn backup(&self, ctx: &Ctx, _target: &Path) -> Result<()> {
        self.read(ctx)?;
        Err(Error::unsupported("the reference store keeps nothing on disk, so there is nothing to back up"))
    }

    async fn close(&self) -> Result<()> {
        *self.state.lock() = None;
        Ok(())
    }
}

#[async_trait]
impl MemoryRead for ReferenceStore {
    async fn get(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<Option<Memory>>> {
        let scope = self.read(ctx)?;
        Ok(ids.iter().map(|id| scope.rows.get(id).map(|row| row.memory.clone())).collect())
    }

    async fn keyed(&self, ctx: &Ctx, keys: &[[u8; 32]]) -> Result<Vec<Option<Memory>>> {
        let scope = self.read(ctx)?;
        let by_key = |key: &[u8; 32]| scope.rows.values().find(|row| row.memory.dedup_key.as_ref() == Some(key));
        Ok(keys.iter().map(|key| by_key(key).map(|row| row.memory.clone())).collect())
    }

    async fn scan(&self, ctx: &Ctx, scan: &Scan) -> Result<Vec<Memory>> {
        let (scope, limit) = (self.read(ctx)?, page(scan.limit)?);
        let after = scan.after.map(|cursor| cursor.0);
        let rows = scope.rows.values().filter(|row| after.is_none_or(|after| row.memory.id > after));
        let rows = rows.filter(|row| scan.filter.as_ref().is_none_or(|f| f.matches(&row.memory)));
        Ok(rows.take(limit).map(|row| row.memory.clone()).collect())
    }

    async fn history(&self, ctx: &Ctx, id: MemoryId) -> Result<Vec<MemoryVersion>> {
        let scope = self.read(ctx)?;
        let Some(row) = scope.rows.get(&id) else { return Ok(Vec::new()) };
        let present = MemoryVersion { memory: row.memory.clone(), replaced_at: None };
        Ok(row.history.iter().cloned().chain([present]).collect())
    }

    async fn matching(&self, ctx: &Ctx, filter: &Filter) -> Result<Arc<HashSet<MemoryId>>> {
        let scope = self.read(ctx)?;
        Ok(Arc::new(scope.rows.values().filter(|row| filter.matches(&row.memory)).map(|row| row.memory.id).collect()))
    }

    async fn expired(&self, ctx: &Ctx, now: Timestamp, limit: usize) -> Result<Vec<MemoryId>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let rows = scope.rows.values().filter(|row| row.memory.is_expired(now));
        let mut due: Vec<_> = rows.map(|row| (row.memory.expires_at, row.memory.id)).collect();
        due.sort_unstable();
        Ok(due.into_iter().take(limit).map(|(_, id)| id).collect())
    }

    async fn derived_from(&self, ctx: &Ctx, ids: &[MemoryId], limit: usize) -> Result<Vec<Memory>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let rows =
            scope.rows.values().filter(|row| row.memory.provenance.derived_from.iter().any(|id| ids.contains(id)));
        Ok(rows.take(limit).map(|row| row.memory.clone()).collect())
    }

    async fn once_derived_from(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(MemoryId, Vec<u32>)>> {
        let scope = self.read(ctx)?;
        let named = |old: &&MemoryVersion| old.memory.provenance.derived_from.iter().any(|id| ids.contains(id));
        let all = scope.rows.values().map(|row| {
            let versions: Vec<u32> = row.history.iter().filter(named).map(|old| old.memory.version).collect();
            (row.memory.id, versions)
        });
        Ok(all.filter(|(_, versions)| !versions.is_empty()).collect())
    }

    async fn claims(&self, ctx: &Ctx, keys: &[[u8; 16]], owner: Option<&Owner>, limit: usize) -> Result<Vec<Memory>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let is_own = |m: &Memory| owner.is_none_or(|owner| *owner == Owner::of(m));
        let asked = |m: &Memory| m.claim.as_ref().is_some_and(|claim| keys.contains(&claim.key())) && is_own(m);
        Ok(scope.rows.values().map(|row| &row.memory).filter(|m| asked(m)).take(limit).cloned().collect())
    }

    async fn claimed(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Memory>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let rows = scope.rows.values().map(|row| &row.memory).filter(|m| after.is_none_or(|after| m.id > after));
        Ok(rows.filter(|m| m.claim.is_some()).take(limit).cloned().collect())
    }

    async fn lives(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Life>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let rows = scope.rows.values().filter(|row| after.is_none_or(|after| row.memory.id > after));
        Ok(rows.take(limit).map(|row| row.life()).collect())
    }

    async fn access(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(u64, Option<Timestamp>)>> {
        let scope = self.read(ctx)?;
        Ok(ids.iter().map(|id| scope.rows.get(id).map(|row| row.access).unwrap_or_default()).collect())
    }
}

#[async_trait]
impl IndexRead for ReferenceStore {
    async fn head(&self, ctx: &Ctx) -> Result<Head> {
        ctx.check()?;
        let state = self.open()?;
        let (seq, tombstone_floor) = state.scopes.get(ctx.scope()).map_or((0, 0), |scope| (scope.seq, scope.floor));
        Ok(Head { seq, tombstone_floor, embedder: state.embedder.clone() })
    }

    async fn last_deletion(&self, ctx: &Ctx, id: MemoryId) -> Result<u64> {
        let scope = self.read(ctx)?;
        Ok(scope.tombstones.get(&id).copied().unwrap_or_default().max(scope.floor))
    }

    async fn changes_since(&self, ctx: &Ctx, after: u64, upto: u64, limit: usize, embedder: &str) -> Result<Changes> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let upto = upto.min(scope.seq);
        // Every change has a number of its own, so this map is the log in order.
        let mut log: BTreeMap<u64, MemoryId> = scope.rows.values().map(|row| (row.memory.seq, row.memory.id)).collect();
        log.extend(scope.deleted().map(|(id, seq)| (seq, id)));
        let mut due: Vec<_> = log.into_iter().filter(|(seq, _)| *seq > after && *seq <= upto).collect();
        let mut changes = Changes { upto: upto.max(after), ..Changes::default() };
        if due.len() > limit {
            due.truncate(limit);
            changes.upto = due.last().map_or(after, |(seq, _)| *seq);
        }
        for (seq, id) in due {
            match scope.rows.get(&id) {
                Some(row) => {
                    let vector = row.vectors.get(embedder).cloned();
                    changes.puts.push(Changed { memory: row.memory.clone(), vector });
                }
                None => changes.deletes.push((seq, id)),
            }
        }
        Ok(changes)
    }

    async fn segments(&self, ctx: &Ctx) -> Result<Vec<SegmentRow>> {
        Ok(self.read(ctx)?.segments.iter().map(|segment| SegmentRow::clone(segment)).collect())
    }

    async fn vectors(&self, ctx: &Ctx, embedder: &str, after: u64, limit: usize) -> Result<Vec<(u64, VectorPoint)>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let mut rows: Vec<_> = scope.rows.values().filter(|row| row.memory.seq > after).collect();
        rows.sort_unstable_by_key(|row| row.memory.seq);
        let points = rows.into_iter().filter_map(|row| {
            let vector = row.vectors.get(embedder)?.clone();
            Some((row.memory.seq, VectorPoint { id: row.memory.id, vector }))
        });
        Ok(points.take(limit).collect())
    }

    async fn vectors_of(&self, ctx: &Ctx, embedder: &str, ids: &[MemoryId]) -> Result<Vec<Option<Vec<f32>>>> {
        let scope = self.read(ctx)?;
        Ok(ids.iter().map(|id| scope.rows.get(id).and_then(|row| row.vectors.get(embedder).cloned())).collect())
    }

    async fn without_vector(
        &self,
        ctx: &Ctx,
        embedder: &str,
        after: Option<MemoryId>,
        limit: usize,
    ) -> Result<Vec<Memory>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let rows = scope.rows.values().filter(|row| after.is_none_or(|after| row.memory.id > after));
        let rows = rows.filter(|row| !row.vectors.contains_key(embedder));
        Ok(rows.take(limit).map(|row| row.memory.clone()).collect())
    }
}

#[async_trait]
impl AdminRead for ReferenceStore {
    async fn stats(&self, ctx: &Ctx) -> Result<StoreStats> {
        ctx.check()?;
        let state = self.open()?;
        let scope = state.scopes.get(ctx.scope()).cloned().unwrap_or_default();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let in_layer = |layer: Layer| count(scope.rows.values().filter(|row| row.memory.layer == layer).count());
        let in_state = |wanted: JobState| count(scope.jobs.iter().filter(|row| row.job.state == wanted).count());
        let has_vector =
            |embedder: &str| count(scope.rows.values().filter(|row| row.vectors.contains_key(embedder)).count());
        Ok(StoreStats {
            memories: count(scope.rows.len()),
            by_layer: Layer::ALL.map(in_layer),
            vectors: state.embedder.as_ref().map_or(0, |(embedder, _)| has_vector(embedder)),
            bytes: count(state.scopes.values().map(|scope| scope.bytes()).sum()),
            jobs_queued: in_state(JobState::Queued),
            jobs_dead: in_state(JobState::Dead),
            schema_version: 1,
        })
    }

    async fn scopes(&self) -> Result<Vec<Scope>> {
        let state = self.open()?;
        Ok(state.scopes.iter().filter(|(_, s)| s.seq > 0 || !s.rows.is_empty()).map(|(name, _)| name.clone()).collect())
    }

    async fn audit(&self, ctx: &Ctx, limit: usize) -> Result<Vec<(Timestamp, Audit)>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        Ok(scope.audit.iter().rev().take(limit).cloned().collect())
    }

    async fn audit_page(&self, ctx: &Ctx, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Timestamp, Audit)>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let rows = (scope.audit_trimmed..).zip(&scope.audit).collect::<Vec<_>>().into_iter().rev();
        let older = rows.filter(|(number, _)| before.is_none_or(|before| *number < before));
        Ok(older.take(limit).map(|(number, (at, row))| (number, *at, row.clone())).collect())
    }

    async fn record(&self, ctx: &Ctx, kind: RecordKind, name: &str) -> Result<Option<Record>> {
        Ok(self.read(ctx)?.records.get(&(kind, name.to_owned())).cloned())
    }

    async fn records(&self, ctx: &Ctx, kind: RecordKind, after: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        let of_kind = scope.records.values().filter(|r| r.kind == kind);
        Ok(of_kind.filter(|r| after.is_none_or(|after| r.name.as_str() > after)).take(limit).cloned().collect())
    }

    async fn receipt_key(&self) -> Result<[u8; 32]> {
        self.open().map(|_| self.receipt_key)
    }

    async fn find_kept(&self, ctx: &Ctx, wanted: &KeyedIds) -> Result<KeptIds> {
        let scope = self.read(ctx)?;
        let count = |ids: &mut dyn Iterator<Item = MemoryId>| ids.filter(|id| wanted.contains(*id)).count() as u64;
        Ok(KeptIds {
            receipts: count(&mut scope.receipts.values().map(|receipt| receipt.id)),
            batches: count(&mut scope.batches.values().flat_map(|(_, applied)| applied.ids())),
        })
    }

    async fn key(&self, id: KeyId) -> Result<Option<ApiKey>> {
        Ok(self.open()?.doors.keys.get(&id).cloned())
    }

    async fn has_had_keys(&self) -> Result<bool> {
        Ok(self.open()?.doors.keyed)
    }

    async fn keys(&self, ctx: &Ctx, after: Option<KeyId>, limit: usize) -> Result<Vec<ApiKey>> {
        ctx.check()?;
        let (state, limit) = (self.open()?, page(limit)?);
        let own = state.doors.keys.values().filter(|key| key.tenant == ctx.scope().tenant());
        Ok(own.filter(|key| after.is_none_or(|after| key.id > after)).take(limit).cloned().collect())
    }

    async fn tenant(&self, ctx: &Ctx) -> Result<Option<Tenant>> {
        ctx.check()?;
        Ok(self.open()?.tenants().remove(ctx.scope().tenant()))
    }

    async fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<Tenant>> {
        let (all, limit) = (self.open()?.tenants(), page(limit)?);
        Ok(all.into_values().filter(|t| after.is_none_or(|after| t.id.as_str() > after)).take(limit).collect())
    }
}
