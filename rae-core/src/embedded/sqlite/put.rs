//! Putting, merging, restoring and patching memories, and their vectors.

use super::{
    apply::{Work, forgotten_before, holds, is_constraint, missing},
    errors::Res,
    row::{Id, Micros, Texts, columns, decode, int, vector_bytes, vector_key},
};
use crate::{
    error::{Error, Result},
    limits::HISTORY_VERSIONS_MAX,
    model::{
        Claim, Idempotency, Memory, MemoryId, MemoryPatch, MemoryVersion, Outcome, PatchMode, Timestamp, VectorRow,
        WriteBatch,
    },
};
use rusqlite::{OptionalExtension, ToSql, params};

/// Nothing is written where the id or the dedup key is taken: the caller finds out which.
const INSERT: &str = "INSERT INTO memories (scope, id, seq, seq_in_session, version, witness_count, importance, \
    strength, \
    confidence, created_at, updated_at, occurred_at, valid_from, valid_to, expires_at, superseded_by, content_hash, \
    dedup_key, layer, kind, info_class, trust_level, role, speaker, session_id, agent_id, user_id, tags, provenance, \
    metadata, content, claim, claim_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, \
    ?20, \
    ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33) ON CONFLICT DO NOTHING";

/// What a patch can move, beside the columns of [`UPDATE_LIGHT`].
const UPDATE: &str = "UPDATE memories SET version = ?2, updated_at = ?3, occurred_at = ?4, valid_from = ?5, \
    valid_to = ?6, \
    expires_at = ?7, superseded_by = ?8, content_hash = ?9, dedup_key = ?10, layer = ?11, kind = ?12, \
    info_class = ?13, \
    trust_level = ?14, role = ?15, speaker = ?16, metadata = ?17, content = ?18, \
    claim_key = ?19 WHERE rid = ?1";

/// What moves without the text: merging, feedback, decay. Touches one index.
const UPDATE_LIGHT: &str = "UPDATE memories SET seq = ?2, witness_count = ?3, importance = ?4, strength = ?5, \
    confidence = ?6, tags = ?7, provenance = ?8, expires_at = ?9, claim = ?10 WHERE rid = ?1";

const BY_DEDUP: &str = concat!("SELECT ", columns!(), " FROM memories m WHERE m.scope = ?1 AND m.dedup_key = ?2");
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM memories m WHERE m.scope = ?1 AND m.id = ?2");

impl Work<'_> {
    pub fn put(&mut self, memory: &Memory, vector: Option<&VectorRow>, key: Option<&Idempotency>) -> Res<Outcome> {
        self.own(memory)?;
        if let Some(seen) = key.map(|key| self.receipt(key)).transpose()?.flatten() {
            return Ok(seen);
        }
        // The vector is checked before it is known whether the memory merges, so that the answer does not depend on it.
        let bytes = vector.map(vector_bytes).transpose()?;
        let inserted = match self.insert(memory, None, self.at, self.at)? {
            // What expired or ended is over, purged or not: the same words said now are a new memory.
            None if self.retire_duplicate(memory)? => self.insert(memory, None, self.at, self.at)?,
            inserted => inserted,
        };
        let outcome = match inserted {
            Some(rid) => {
                self.store_vector(rid, vector, bytes)?;
                Outcome::Put { id: memory.id, version: memory.version, merged: false, replayed: false }
            }
            None => match self.merge(memory)? {
                Some((id, version)) => Outcome::Put { id, version, merged: true, replayed: false },
                None => return Err(exists(memory.id).into()),
            },
        };
        if let (Some(key), Outcome::Put { id, version, merged, .. }) = (key, &outcome) {
            self.keep_receipt(key, *id, *version, *merged)?;
        }
        Ok(outcome)
    }

    pub fn restore(
        &mut self,
        memory: &Memory,
        vector: Option<&VectorRow>,
        history: &[MemoryVersion],
        access: Option<(u64, Timestamp)>,
    ) -> Res<Outcome> {
        self.own(memory)?;
        let bytes = vector.map(vector_bytes).transpose()?;
        let put = |id, version, merged| Ok(Outcome::Put { id, version, merged, replayed: false });
        if let Some(found) = self.version_of(memory.id)? {
            let text = || format!("memory {} is here already with version {found}, not {}", memory.id, memory.version);
            holds(found == memory.version, "version_changed", text)?;
            return Ok(Outcome::Put { id: memory.id, version: found, merged: false, replayed: true });
        }
        let apart = self.restored_beside(memory)?;
        let memory = apart.as_ref().unwrap_or(memory);
        let insert = |work: &mut Self| work.insert(memory, memory.seq_in_session, memory.created_at, memory.updated_at);
        let inserted = match insert(self)? {
            None if self.retire_duplicate(memory)? => insert(self)?,
            inserted => inserted,
        };
        let Some(rid) = inserted else {
            let (id, version) = self.merge(memory)?.ok_or_else(|| exists(memory.id))?;
            return put(id, version, true);
        };
        self.store_vector(rid, vector, bytes)?;
        let newest = history.len().saturating_sub(HISTORY_VERSIONS_MAX);
        for old in history.get(newest..).unwrap_or_default() {
            self.own(&old.memory)?;
            let same = old.memory.id == memory.id && old.memory.version < memory.version;
            if !same {
                return Err(Error::invalid("older versions must be of the same memory, with smaller numbers").into());
            }
            self.keep_version(rid, &old.memory, old.replaced_at)?;
        }
        if let Some((count, last)) = access {
            self.record_access(memory.id, count, last)?;
        }
        put(memory.id, memory.version, false)
    }

    /// How a memory is restored where another one is about the same subject; `None` where it is restored as it is.
    fn restored_beside(&self, memory: &Memory) -> Res<Option<Memory>> {
        let Some(key) = memory.dedup_key.filter(|_| memory.has_subject_key()) else { return Ok(None) };
        Ok(self.load(BY_DEDUP, &key)?.and_then(|(_, held)| memory.restored_beside(&held, self.at)))
    }

    fn own(&self, memory: &Memory) -> Result<()> {
        if memory.scope == *self.scope {
            return Ok(());
        }
        Err(Error::invalid("a memory must name the tenant and project of the call that writes it"))
    }

    /// The row number; `None`, and nothing written, where the id or the dedup key is taken.
    fn insert(&mut self, m: &Memory, place: Option<u32>, created: Timestamp, updated: Timestamp) -> Res<Option<i64>> {
        let texts = Texts::of(m)?;
        let assigned = if place.is_none() { self.place(m)? } else { None };
        let written = self.conn.prepare_cached(INSERT)?.execute(params![
            self.row.sid,
            Id(m.id.0),
            int(self.row.seq + 1),
            place.or(assigned),
            m.version,
            m.witness_count,
            m.importance,
            m.strength,
            m.confidence,
            created.micros(),
            updated.micros(),
            m.occurred_at.map(Micros),
            m.valid_from.map(Micros),
            m.valid_to.map(Micros),
            m.expires_at.map(Micros),
            m.superseded_by.map(|id| Id(id.0)),
            m.content_hash,
            m.dedup_key,
            m.layer.as_str(),
            m.kind.as_str(),
            m.info_class.as_str(),
            m.trust_level.map(|t| t.as_str()),
            m.role,
            m.speaker,
            m.session_id,
            m.agent_id,
            m.user_id,
            texts.tags,
            texts.provenance,
            texts.metadata,
            m.content,
            texts.claim,
            m.claim.as_ref().map(Claim::key),
        ])?;
        if written == 0 {
            return Ok(None);
        }
        let rid = self.conn.last_insert_rowid();
        self.next_seq();
        self.row.count(m.layer);
        if let (Some(session), Some(n)) = (&m.session_id, assigned) {
            self.next_in_session.insert(session.clone(), n.saturating_add(1));
        } else if let Some(session) = &m.session_id {
            // A place that was given may lie beyond the next one.
            self.next_in_session.remove(session);
        }
        self.derive(rid, m)?;
        Ok(Some(rid))
    }

    /// The next place in the memory's session.
    fn place(&self, memory: &Memory) -> Res<Option<u32>> {
        let Some(session) = &memory.session_id else { return Ok(None) };
        if let Some(next) = self.next_in_session.get(session) {
            return Ok(Some(*next));
        }
        let mut select = self
            .conn
            .prepare_cached("SELECT max(seq_in_session) FROM memories WHERE scope = ?1 AND session_id = ?2")?;
        let last: Option<u32> = select.query_row(params![self.row.sid, session], |r| r.get(0))?;
        Ok(Some(last.map_or(0, |n| n.saturating_add(1))))
    }

    /// Merges into the live memory that says the same; its id and version. `None` where there is none.
    fn merge(&mut self, other: &Memory) -> Res<Option<(MemoryId, u32)>> {
        let Some(key) = other.dedup_key else { return Ok(None) };
        let Some((rid, mut memory)) = self.load(BY_DEDUP, &key)? else { return Ok(None) };
        let before = memory.merge(other, self.at);
        self.update_light(rid, &memory)?;
        if let Some(before) = before {
            self.replace_version(rid, &before.memory, memory.version)?;
            self.update(rid, &memory)?;
        }
        self.derive(rid, &memory)?;
        Ok(Some((memory.id, memory.version)))
    }

    /// Makes way where the live memory that says the same has expired (it is deleted) or ended (it merges no more); whether it
    /// did.
    fn retire_duplicate(&mut self, memory: &Memory) -> Res<bool> {
        let Some(key) = memory.dedup_key else { return Ok(false) };
        match self.load(BY_DEDUP, &key)? {
            Some((_, old)) if old.is_expired(self.at) => self.delete(old.id),
            Some((rid, old)) if !old.merges_at(self.at) => {
                self.conn.prepare_cached("UPDATE memories SET dedup_key = NULL WHERE rid = ?1")?.execute([rid])?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn load(&self, sql: &str, key: &dyn ToSql) -> Res<Option<(i64, Memory)>> {
        let mut select = self.conn.prepare_cached(sql)?;
        Ok(select.query_row(params![self.row.sid, key], |r| decode(r, self.scope)).optional()?)
    }

    fn update_light(&mut self, rid: i64, m: &Memory) -> Res<()> {
        let texts = Texts::of(m)?;
        let seq = int(self.next_seq());
        self.conn.prepare_cached(UPDATE_LIGHT)?.execute(params![
            rid,
            seq,
            m.witness_count,
            m.importance,
            m.strength,
            m.confidence,
            texts.tags,
            texts.provenance,
            m.expires_at.map(Micros),
            texts.claim
        ])?;
        Ok(())
    }

    /// Records what a memory was derived from.
    fn derive(&self, rid: i64, memory: &Memory) -> Res<()> {
        for source in &memory.provenance.derived_from {
            self.conn
                .prepare_cached(
                    "INSERT INTO derived (scope, source, memory) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![self.row.sid, Id(source.0), rid])?;
        }
        Ok(())
    }

    /// Takes back what [`Work::derive`] recorded.
    pub fn underive(&self, rid: i64, sources: &[MemoryId]) -> Res<()> {
        for source in sources {
            self.conn
                .prepare_cached("DELETE FROM derived WHERE scope = ?1 AND source = ?2 AND memory = ?3")?
                .execute(params![self.row.sid, Id(source.0), rid])?;
        }
        Ok(())
    }

    pub fn patch(
        &mut self,
        id: MemoryId,
        patch: &MemoryPatch,
        mode: PatchMode,
        vector: Option<&Option<VectorRow>>,
    ) -> Res<u32> {
        let (rid, old) = self.load(BY_ID, &Id(id.0))?.ok_or_else(|| missing(id))?;
        let mut new = old.clone();
        patch.apply_to(&mut new);
        if mode == PatchMode::NewVersion {
            new.version = old.version.saturating_add(1);
            new.updated_at = self.at;
            self.replace_version(rid, &old, new.version)?;
        }
        if new.dedup_key != old.dedup_key {
            self.retire_duplicate(&new)?;
        }
        if patch.provenance.is_some() {
            self.underive(rid, &old.provenance.derived_from)?;
            self.derive(rid, &new)?;
        }
        self.update_light(rid, &new)?;
        if mode == PatchMode::NewVersion || !is_light(patch) {
            self.update(rid, &new).map_err(|fault| match is_constraint(&fault) {
                true => Error::conflict("another memory says the same already; forget one of the two")
                    .with_code("duplicate")
                    .into(),
                false => fault,
            })?;
        }
        self.row.uncount(old.layer);
        self.row.count(new.layer);
        if let Some(vector) = vector {
            let bytes = vector.as_ref().map(vector_bytes).transpose()?;
            // Vectors under every embedder describe the old text.
            self.drop_vectors(rid)?;
            self.store_vector(rid, vector.as_ref(), bytes)?;
        }
        Ok(new.version)
    }

    fn update(&self, rid: i64, m: &Memory) -> Res<()> {
        let texts = Texts::of(m)?;
        self.conn.prepare_cached(UPDATE)?.execute(params![
            rid,
            m.version,
            m.updated_at.micros(),
            m.occurred_at.map(Micros),
            m.valid_from.map(Micros),
            m.valid_to.map(Micros),
            m.expires_at.map(Micros),
            m.superseded_by.map(|id| Id(id.0)),
            m.content_hash,
            m.dedup_key,
            m.layer.as_str(),
            m.kind.as_str(),
            m.info_class.as_str(),
            m.trust_level.map(|t| t.as_str()),
            m.role,
            m.speaker,
            texts.metadata,
            m.content,
            m.claim.as_ref().map(Claim::key),
        ])?;
        Ok(())
    }

    /// Keeps the state before the version `next`, and no more older ones than may be kept.
    fn replace_version(&self, rid: i64, old: &Memory, next: u32) -> Res<()> {
        self.keep_version(rid, old, Some(self.at))?;
        let keep = i64::from(next) - i64::try_from(HISTORY_VERSIONS_MAX).unwrap_or(i64::MAX);
        let mut prune = self.conn.prepare_cached("DELETE FROM versions WHERE memory = ?1 AND version < ?2")?;
        prune.execute(params![rid, keep])?;
        Ok(())
    }

    fn keep_version(&self, rid: i64, state: &Memory, replaced_at: Option<Timestamp>) -> Res<()> {
        let json = serde_json::to_string(state)?;
        let insert = "INSERT INTO versions (memory, version, replaced_at, state) VALUES (?1, ?2, ?3, ?4)";
        let written =
            self.conn.prepare_cached(insert)?.execute(params![rid, state.version, replaced_at.map(Micros), json]);
        match written.map_err(Into::into) {
            Ok(_) => Ok(()),
            Err(fault) if is_constraint(&fault) => {
                Err(Error::invalid(format!("version {} of memory {} comes twice", state.version, state.id)).into())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Stores a vector of a live memory that still has `version`; whether it did.
    pub fn put_vector(&mut self, id: MemoryId, version: u32, vector: &VectorRow) -> Res<bool> {
        let bytes = vector_bytes(vector)?;
        let mut select =
            self.conn.prepare_cached("SELECT rid FROM memories WHERE scope = ?1 AND id = ?2 AND version = ?3")?;
        let found = select.query_row(params![self.row.sid, Id(id.0), version], |r| r.get(0)).optional()?;
        let Some(rid) = found else { return Ok(false) };
        self.store_vector(rid, Some(vector), Some(bytes))?;
        let seq = int(self.next_seq());
        self.conn.prepare_cached("UPDATE memories SET seq = ?2 WHERE rid = ?1")?.execute([rid, seq])?;
        Ok(true)
    }

    fn store_vector(&mut self, rid: i64, vector: Option<&VectorRow>, bytes: Option<Vec<u8>>) -> Res<()> {
        let (Some(vector), Some(bytes)) = (vector, bytes) else { return Ok(()) };
        let embedder = self.embedder(&vector.embedder, vector.vector.len())?;
        let sql =
            "INSERT INTO vectors (key, data) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET data = excluded.data";
        self.conn.prepare_cached(sql)?.execute(params![vector_key(rid, embedder), bytes])?;
        Ok(())
    }

    /// Removes the vectors of a memory row under every embedder.
    pub fn drop_vectors(&self, rid: i64) -> Res<()> {
        let sql = "DELETE FROM vectors WHERE key BETWEEN ?1 AND ?2";
        self.conn.prepare_cached(sql)?.execute([vector_key(rid, 0), vector_key(rid, 255)])?;
        Ok(())
    }

    /// Whether all that a batch puts was put before, so that its receipts answer.
    pub fn has_receipts(&self, batch: &WriteBatch) -> Res<bool> {
        let Some(keys) = batch.keys() else { return Ok(false) };
        for key in keys {
            if self.receipt(key)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn receipt(&self, key: &Idempotency) -> Res<Option<Outcome>> {
        let mut select = self.conn.prepare_cached(
            "SELECT body_hash, memory, version, merged FROM idempotency \
             WHERE scope = ?1 AND verb = ?2 AND key = ?3 AND at > ?4",
        )?;
        let found = select
            .query_row(params![self.row.sid, key.verb, key.key, forgotten_before(self.now)], |r| {
                let outcome = Outcome::Put {
                    id: r.get::<_, Id>(1)?.into(),
                    version: r.get(2)?,
                    merged: r.get(3)?,
                    replayed: true,
                };
                Ok((r.get::<_, [u8; 32]>(0)?, outcome))
            })
            .optional()?;
        let Some((body_hash, outcome)) = found else { return Ok(None) };
        let text = || "this idempotency key was used with another request; use a new key".to_owned();
        holds(body_hash == key.body_hash, "idempotency_key_reused", text)?;
        Ok(Some(outcome))
    }

    fn keep_receipt(&self, key: &Idempotency, id: MemoryId, version: u32, merged: bool) -> Res<()> {
        // One that ran out but was not yet swept is written over.
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO idempotency (scope, verb, key, body_hash, memory, version, merged, at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                self.row.sid,
                key.verb,
                key.key,
                key.body_hash,
                Id(id.0),
                version,
                merged,
                self.now.micros()
            ])?;
        Ok(())
    }
}

/// Whether a patch moves only what [`UPDATE_LIGHT`] writes.
fn is_light(patch: &MemoryPatch) -> bool {
    let rest = MemoryPatch {
        importance: None,
        strength: None,
        confidence: None,
        tags: None,
        provenance: None,
        ..patch.clone()
    };
    rest.is_empty()
}

fn exists(id: MemoryId) -> Error {
    Error::conflict(format!("there is a memory {id} already")).with_code("exists")
}
