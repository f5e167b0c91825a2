//! One scope of the reference store and the rules that concern one memory.

use crate::{
    error::{Error, Result},
    limits::{HISTORY_VERSIONS_MAX, IDEMPOTENCY_SECONDS, JOB_ATTEMPTS_MAX},
    model::{
        Applied, Audit, Job, JobEntry, JobScan, JobState, Lease, Life, LifeStamp, Memory, MemoryId, MemoryPatch,
        MemoryVersion, NewJob, PatchMode, Record, RecordKind, Scope, SegmentRow, Timestamp, VectorRow,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

/// A live memory with everything that goes when it goes.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub memory: Memory,
    /// By embedder.
    pub vectors: BTreeMap<String, Vec<f32>>,
    /// Older states, oldest first.
    pub history: VecDeque<MemoryVersion>,
    /// Recalls that returned it, and the last of them.
    pub access: (u64, Option<Timestamp>),
}

impl Row {
    /// As the lifecycle sees it.
    pub fn life(&self) -> Life {
        let Memory { id, seq, layer, kind, info_class, importance, strength, created_at, updated_at, .. } = self.memory;
        let (session_id, tags) = (self.memory.session_id.clone(), self.memory.tags.clone());
        let (witness_count, (access_count, last_access)) = (self.memory.witness_count, self.access);
        Life {
            id,
            seq,
            layer,
            kind,
            info_class,
            session_id,
            tags,
            importance,
            strength,
            created_at,
            updated_at,
            witness_count,
            access_count,
            last_access,
        }
    }
}

/// A stored job and its lease.
#[derive(Debug, Clone)]
pub(super) struct JobRow {
    /// In the order of queueing, over all scopes.
    pub no: u64,
    pub job: Job,
    pub fence: u64,
    pub until: Option<Timestamp>,
}

impl JobRow {
    pub fn new(no: u64, new: NewJob) -> Self {
        let NewJob { id, kind, payload, run_at } = new;
        let job = Job { id, kind, payload, state: JobState::Queued, attempts: 0, run_at, last_error: None };
        Self { no, job, fence: 0, until: None }
    }

    /// Lays it aside when it was taken as often as is allowed without a word: whoever takes this job dies of it.
    pub fn lay_aside(&mut self, now: Timestamp) {
        if self.is_due(now) && self.job.attempts >= JOB_ATTEMPTS_MAX {
            self.job.state = JobState::Dead;
            self.until = None;
            self.job.last_error.get_or_insert_with(|| "every lease of the job ran out".to_owned());
        }
    }

    pub fn take(&mut self, until: Timestamp) -> Lease {
        self.job.attempts += 1;
        self.fence += 1;
        self.until = Some(until);
        Lease { job: self.job.clone(), fence: self.fence, until }
    }

    pub fn is_in(&self, scan: &JobScan) -> bool {
        scan.after.is_none_or(|after| self.no > after) && scan.state.is_none_or(|state| self.job.state == state)
    }

    pub fn entry(&self, scope: &Scope) -> JobEntry {
        let Job { id, kind, state, attempts, run_at, ref last_error, .. } = self.job;
        let (no, scope, kind) = (self.no, scope.clone(), kind.as_str().to_owned());
        JobEntry { no, scope, id, kind, state, attempts, run_at, last_error: last_error.clone() }
    }

    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    pub fn is_due(&self, now: Timestamp) -> bool {
        self.job.state == JobState::Queued && self.job.run_at <= now && !self.is_leased(now)
    }
}

/// What an idempotent write answered.
#[derive(Debug, Clone)]
pub(super) struct Receipt {
    pub at: Timestamp,
    pub body_hash: [u8; 32],
    pub id: MemoryId,
    pub version: u32,
    pub merged: bool,
}

/// Whether what was kept at `at` still counts at `now`.
pub(super) fn is_remembered(at: Timestamp, now: Timestamp) -> bool {
    at.saturating_add_seconds(IDEMPOTENCY_SECONDS) > now
}

/// One tenant's project.
#[derive(Debug, Clone, Default)]
pub(super) struct ScopeState {
    pub seq: u64,
    pub floor: u64,
    pub rows: BTreeMap<MemoryId, Arc<Row>>,
    /// Number of the last deletion of an id. Stays when the id is put again, so that a segment built before is still refused.
    pub tombstones: BTreeMap<MemoryId, u64>,
    /// By ascending `from_seq`.
    pub segments: Vec<Arc<SegmentRow>>,
    /// In the order they were queued.
    pub jobs: Vec<JobRow>,
    /// By verb and key.
    pub receipts: BTreeMap<(String, String), Receipt>,
    pub batches: BTreeMap<Uuid, (Timestamp, Applied)>,
    /// Oldest first.
    pub audit: Vec<(Timestamp, Audit)>,
    /// How many went before them.
    pub audit_trimmed: u64,
    /// By kind and name.
    pub records: BTreeMap<(RecordKind, String), Record>,
}

impl ScopeState {
    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub fn row_mut(&mut self, id: MemoryId) -> Option<&mut Row> {
        self.rows.get_mut(&id).map(Arc::make_mut)
    }

    /// The live memory with this key.
    pub fn duplicate(&self, key: Option<[u8; 32]>) -> Option<MemoryId> {
        let key = key?;
        self.rows.values().find(|row| row.memory.dedup_key == Some(key)).map(|row| row.memory.id)
    }

    /// The live memory with this key that a new one merges into. One that expired goes, one that ended keeps no key: the same
    /// words said now are a new memory.
    pub fn duplicate_at(&mut self, key: Option<[u8; 32]>, at: Timestamp) -> Option<MemoryId> {
        let id = self.duplicate(key)?;
        let row = self.row_mut(id)?;
        if row.memory.is_expired(at) {
            self.delete(id);
            return None;
        }
        if !row.memory.merges_at(at) {
            row.memory.dedup_key = None;
            return None;
        }
        Some(id)
    }

    /// Deletions that readers must hear of: ids that did not come back.
    pub fn deleted(&self) -> impl Iterator<Item = (MemoryId, u64)> {
        self.tombstones.iter().filter(|(id, _)| !self.rows.contains_key(id)).map(|(id, seq)| (*id, *seq))
    }

    fn next_in_session(&self, session: &str) -> u32 {
        let inside = self.rows.values().filter(|row| row.memory.session_id.as_deref() == Some(session));
        inside.filter_map(|row| row.memory.seq_in_session).max().map_or(0, |last| last.saturating_add(1))
    }

    /// Stores a memory that is not live yet.
    pub fn insert(&mut self, mut memory: Memory, vector: Option<VectorRow>) -> &mut Row {
        memory.seq = self.next_seq();
        if memory.seq_in_session.is_none() {
            memory.seq_in_session = memory.session_id.as_deref().map(|session| self.next_in_session(session));
        }
        let vectors = vector.map(|v| (v.embedder, v.vector)).into_iter().collect();
        let row = Row { vectors, history: VecDeque::new(), access: (0, None), memory };
        let slot = self.rows.entry(row.memory.id);
        Arc::make_mut(slot.insert_entry(Arc::new(row)).into_mut())
    }

    /// Merges `other` into the live memory `id`; gives its version. The text stays, and so do the vectors made from it.
    pub fn merge(&mut self, id: MemoryId, other: &Memory, at: Timestamp) -> Result<u32> {
        let seq = self.next_seq();
        let row = self.row_mut(id).ok_or_else(|| missing(id))?;
        row.history.extend(row.memory.merge(other, at));
        keep_newest_versions(&mut row.history);
        row.memory.seq = seq;
        Ok(row.memory.version)
    }

    /// Changes a live memory; gives its version.
    pub fn patch(
        &mut self,
        id: MemoryId,
        patch: &MemoryPatch,
        mode: PatchMode,
        vector: Option<&Option<VectorRow>>,
        now: Timestamp,
    ) -> Result<u32> {
        let old = self.rows.get(&id).map(|row| row.memory.clone()).ok_or_else(|| missing(id))?;
        if let Some(key) = patch.dedup_key.filter(|key| *key != old.dedup_key) {
            self.duplicate_at(key, now);
        }
        let seq = self.next_seq();
        let row = self.row_mut(id).ok_or_else(|| missing(id))?;
        patch.apply_to(&mut row.memory);
        row.memory.seq = seq;
        if mode == PatchMode::NewVersion {
            row.memory.version = old.version.saturating_add(1);
            row.memory.updated_at = now;
            row.history.push_back(MemoryVersion { memory: old, replaced_at: Some(now) });
            keep_newest_versions(&mut row.history);
        }
        if let Some(vector) = vector {
            // Vectors under every embedder describe the old text.
            row.vectors = vector.iter().map(|v| (v.embedder.clone(), v.vector.clone())).collect();
        }
        let (version, key) = (row.memory.version, row.memory.dedup_key);
        let same_key = |row: &&Arc<Row>| key.is_some() && row.memory.dedup_key == key;
        if self.rows.values().filter(same_key).count() > 1 {
            return Err(
                Error::conflict("another memory says the same already; forget one of the two").with_code("duplicate")
            );
        }
        Ok(version)
    }

    /// Stores a vector of a live memory that still has `version`; gives whether it did.
    pub fn put_vector(&mut self, id: MemoryId, version: u32, vector: &VectorRow) -> bool {
        if self.rows.get(&id).is_none_or(|row| row.memory.version != version) {
            return false;
        }
        let seq = self.next_seq();
        if let Some(row) = self.row_mut(id) {
            row.memory.seq = seq;
            row.vectors.insert(vector.embedder.clone(), vector.vector.clone());
        }
        true
    }

    /// Whether it is live and nobody touched it since it was looked up.
    pub fn is_untouched(&self, stamp: &LifeStamp) -> bool {
        self.rows.get(&stamp.id).is_some_and(|row| row.memory.seq == stamp.seq && row.access.1 == stamp.last_access)
    }

    /// Lowers the strength of a memory that nobody touched; gives whether it did.
    pub fn fade(&mut self, stamp: &LifeStamp, strength: f64) -> bool {
        if !self.is_untouched(stamp) || self.rows.get(&stamp.id).is_none_or(|row| row.memory.strength <= strength) {
            return false;
        }
        let seq = self.next_seq();
        if let Some(row) = self.row_mut(stamp.id) {
            (row.memory.seq, row.memory.strength) = (seq, strength);
        }
        true
    }

    /// Moves a strength that is exactly what was left; gives whether it was.
    pub fn restore_strength(&mut self, id: MemoryId, left: f64, strength: f64) -> bool {
        if self.rows.get(&id).is_none_or(|row| row.memory.strength != left) {
            return false;
        }
        let seq = self.next_seq();
        if let Some(row) = self.row_mut(id) {
            (row.memory.seq, row.memory.strength) = (seq, strength);
        }
        true
    }

    /// Removes older versions of a live memory; gives whether there were any of these.
    pub fn drop_versions(&mut self, id: MemoryId, versions: &[u32]) -> bool {
        let Some(row) = self.row_mut(id) else { return false };
        let before = row.history.len();
        row.history.retain(|old| !versions.contains(&old.memory.version));
        row.history.len() < before
    }

    /// Keeps the newest audit rows; gives whether others went.
    pub fn trim_audit(&mut self, keep: usize) -> bool {
        let excess = self.audit.len().saturating_sub(keep);
        self.audit.drain(..excess);
        self.audit_trimmed += excess as u64;
        excess > 0
    }

    /// Removes a memory with all that belongs to it; gives whether there was one.
    pub fn delete(&mut self, id: MemoryId) -> bool {
        if self.rows.remove(&id).is_none() {
            return false;
        }
        let seq = self.next_seq();
        self.tombstones.insert(id, seq);
        self.receipts.retain(|_, receipt| receipt.id != id);
        self.segments.retain(|segment| !segment.ids.contains(&id));
        true
    }

    /// Deletes every memory that `gone` names; gives their ids, in id order.
    pub fn delete_where(&mut self, gone: impl Fn(&Memory) -> bool) -> Vec<MemoryId> {
        let ids: Vec<_> = self.rows.values().filter(|row| gone(&row.memory)).map(|row| row.memory.id).collect();
        for id in &ids {
            self.delete(*id);
        }
        ids
    }

    /// Erases the scope; gives the number of memories. Its number keeps growing, so that every reader learns that it must rebuild, and
    /// batch ids stay (numbers only), so that a late retry does not bring anything back.
    pub fn erase(&mut self) -> u64 {
        let memories = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        // Also where nothing lived any more: whoever read of it before must learn that it is another life.
        let seq = self.seq.saturating_add(memories.max(self.seq.min(1)));
        *self = Self { seq, floor: seq, batches: std::mem::take(&mut self.batches), ..Self::default() };
        memories
    }

    /// Stores a segment unless a memory in it was, or may have been, deleted since it was built; gives whether it did.
    pub fn put_segment(&mut self, row: &SegmentRow) -> bool {
        let deleted = |id: &MemoryId| self.tombstones.get(id).is_some_and(|seq| *seq > row.to_seq);
        if row.to_seq < self.floor || row.ids.iter().any(deleted) {
            return false;
        }
        self.segments.retain(|old| old.from_seq < row.from_seq || old.to_seq > row.to_seq);
        self.segments.push(Arc::new(row.clone()));
        self.segments.sort_by_key(|segment| (segment.from_seq, segment.to_seq));
        true
    }

    /// Forgets batch ids and idempotency keys that are due.
    pub fn forget_due(&mut self, now: Timestamp) {
        self.batches.retain(|_, (at, _)| is_remembered(*at, now));
        self.receipts.retain(|_, receipt| is_remembered(receipt.at, now));
    }

    /// Keeps the newest `keep` tombstones and raises the floor to the newest one that goes.
    pub fn trim_tombstones(&mut self, keep: usize) {
        let mut seqs: Vec<_> = self.tombstones.values().copied().collect();
        seqs.sort_unstable();
        let Some(last_gone) = seqs.len().checked_sub(keep + 1).and_then(|i| seqs.get(i)).copied() else { return };
        self.tombstones.retain(|_, seq| *seq > last_gone);
        self.floor = self.floor.max(last_gone);
    }

    /// About how much it holds.
    pub fn bytes(&self) -> usize {
        let row = |row: &Arc<Row>| {
            let texts = row.history.iter().map(|v| v.memory.content.len()).sum::<usize>() + row.memory.content.len();
            texts + row.vectors.values().map(|v| v.len() * size_of::<f32>()).sum::<usize>() + size_of::<Row>()
        };
        self.rows.values().map(row).sum::<usize>() + self.segments.iter().map(|s| s.data.len()).sum::<usize>()
    }

    /// What is inconsistent; empty when sound.
    pub fn findings(&self, scope: &Scope) -> Vec<String> {
        let mut findings = Vec::new();
        let (mut keys, mut seqs) = (BTreeSet::new(), BTreeSet::new());
        for (id, row) in &self.rows {
            let memory = &row.memory;
            if memory.id != *id || memory.scope != *scope {
                findings.push(format!("memory {id} is filed in the wrong place"));
            }
            if memory.dedup_key.is_some_and(|key| !keys.insert(key)) {
                findings.push(format!("memory {id} says the same as another one"));
            }
            if memory.seq == 0 || memory.seq > self.seq || !seqs.insert(memory.seq) {
                findings.push(format!("memory {id} has change number {}, which is not its own", memory.seq));
            }
            if memory.session_id.is_some() != memory.seq_in_session.is_some() {
                findings.push(format!("memory {id} has no place in its session"));
            }
        }
        let live_and_gone = self.deleted().filter(|(_, seq)| *seq > self.seq || seqs.contains(seq));
        findings.extend(
            live_and_gone
                .map(|(id, seq)| format!("the deletion of {id} has change number {seq}, which is not its own")),
        );
        for segment in &self.segments {
            if segment.ids.iter().any(|id| self.tombstones.get(id).is_some_and(|seq| *seq > segment.to_seq)) {
                findings.push(format!("segment ({}, {}] holds a deleted memory", segment.from_seq, segment.to_seq));
            }
        }
        findings
    }
}

/// The oldest versions go first.
pub(super) fn keep_newest_versions(history: &mut VecDeque<MemoryVersion>) {
    let excess = history.len().saturating_sub(HISTORY_VERSIONS_MAX);
    history.drain(..excess);
}

/// There is no such live memory.
pub(super) fn missing(id: MemoryId) -> Error {
    Error::not_found(format!("there is no memory {id} in this project"))
}
