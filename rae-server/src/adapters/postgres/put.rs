//! Merging, restoring and patching memories, their vectors and receipts: one memory at a time.

use super::{
    apply::{Work, forgotten_before, holds, missing},
    bulk::Bulk,
    errors::Res,
    row::{Texts, array, bytes, columns, decode, id, int, micros, vector_bytes, version},
    session::Params,
};
use rae_core::{
    Error, Result,
    limits::HISTORY_VERSIONS_MAX,
    model::{
        Idempotency, Memory, MemoryId, MemoryPatch, MemoryVersion, Outcome, PatchMode, Timestamp, VectorRow, WriteBatch,
    },
};

const BY_DEDUP: &str = concat!("SELECT ", columns!(), " FROM rae.memories m WHERE m.scope = $1 AND m.dedup_key = $2");
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM rae.memories m WHERE m.scope = $1 AND m.id = $2");

/// What a patch can move, beside the columns of [`UPDATE_LIGHT`].
const UPDATE: &str = "UPDATE rae.memories SET version = $2, updated_at = $3, occurred_at = $4, valid_from = $5, \
    valid_to = $6, expires_at = $7, superseded_by = $8, content_hash = $9, dedup_key = $10, layer = $11, kind = $12, \
    info_class = $13, trust_level = $14, role = $15, speaker = $16, metadata = $17, content = $18, \
    claim_key = $19 WHERE rid = $1";

/// What moves without the text: merging, feedback, decay.
const UPDATE_LIGHT: &str = "UPDATE rae.memories SET seq = $2, witness_count = $3, importance = $4, strength = $5, \
    confidence = $6, tags = $7, provenance = $8, expires_at = $9, claim = $10 WHERE rid = $1";

impl Work<'_> {
    /// A put whose id, statement or key may be there already.
    pub async fn put_one(
        &mut self,
        memory: &Memory,
        vector: Option<&VectorRow>,
        key: Option<&Idempotency>,
    ) -> Res<Outcome> {
        if let Some(key) = key
            && let Some(seen) = self.receipt(key).await?
        {
            return Ok(seen);
        }
        // What expired or ended is over, purged or not: the same words said now are a new memory.
        let mut inserted = self.insert(memory, vector, None, self.at, self.at).await?;
        if !inserted && self.retire_duplicate(memory).await? {
            inserted = self.insert(memory, vector, None, self.at, self.at).await?;
        }
        let outcome = if inserted {
            Outcome::Put { id: memory.id, version: memory.version, merged: false, replayed: false }
        } else {
            match self.merge(memory).await? {
                Some((id, version)) => Outcome::Put { id, version, merged: true, replayed: false },
                None => return Err(exists(memory.id).into()),
            }
        };
        if let (Some(key), Outcome::Put { id, version, merged, .. }) = (key, &outcome) {
            self.keep_receipts(&[(key, *id, *version, *merged)]).await?;
        }
        Ok(outcome)
    }

    pub async fn restore(
        &mut self,
        memory: &Memory,
        vector: Option<&VectorRow>,
        history: &[MemoryVersion],
        access: Option<(u64, Timestamp)>,
    ) -> Res<Outcome> {
        self.own(memory)?;
        vector.map(vector_bytes).transpose()?;
        let put = |id, version, merged| Ok(Outcome::Put { id, version, merged, replayed: false });
        if let Some(found) = self.version_of(memory.id).await? {
            let text = || format!("memory {} is here already with version {found}, not {}", memory.id, memory.version);
            holds(found == memory.version, "version_changed", text)?;
            return Ok(Outcome::Put { id: memory.id, version: found, merged: false, replayed: true });
        }
        let apart = self.restored_beside(memory).await?;
        let memory = apart.as_ref().unwrap_or(memory);
        let (created, updated) = (memory.created_at, memory.updated_at);
        let mut inserted = self.insert(memory, vector, memory.seq_in_session, created, updated).await?;
        if !inserted && self.retire_duplicate(memory).await? {
            inserted = self.insert(memory, vector, memory.seq_in_session, created, updated).await?;
        }
        if !inserted {
            let (id, version) = self.merge(memory).await?.ok_or_else(|| exists(memory.id))?;
            return put(id, version, true);
        }
        let newest = history.len().saturating_sub(HISTORY_VERSIONS_MAX);
        let history = history.get(newest..).unwrap_or_default();
        if !history.is_empty() {
            let (rid, _) = self.load(BY_ID, &[&self.row.sid, &memory.id.0]).await?.ok_or_else(|| missing(memory.id))?;
            for old in history {
                self.own(&old.memory)?;
                let same = old.memory.id == memory.id && old.memory.version < memory.version;
                if !same {
                    return Err(
                        Error::invalid("older versions must be of the same memory, with smaller numbers").into()
                    );
                }
                self.keep_version(rid, &old.memory, old.replaced_at).await?;
            }
        }
        if let Some((count, last)) = access {
            self.record_access(std::iter::once((memory.id, count, last))).await?;
        }
        put(memory.id, memory.version, false)
    }

    /// How a memory is restored where another one is about the same subject; `None` where it is restored as it is.
    async fn restored_beside(&self, memory: &Memory) -> Res<Option<Memory>> {
        let Some(key) = memory.dedup_key.filter(|_| memory.has_subject_key()) else { return Ok(None) };
        let held = self.load(BY_DEDUP, &[&self.row.sid, &&key[..]]).await?;
        Ok(held.and_then(|(_, held)| memory.restored_beside(&held, self.at)))
    }

    pub fn own(&self, memory: &Memory) -> Result<()> {
        if memory.scope == self.tx.scope {
            return Ok(());
        }
        Err(Error::invalid("a memory must name the tenant and project of the call that writes it"))
    }

    /// Whether it was inserted; not, and nothing written, where the id or the dedup key is taken.
    async fn insert(
        &mut self,
        memory: &Memory,
        vector: Option<&VectorRow>,
        place: Option<u32>,
        created: Timestamp,
        updated: Timestamp,
    ) -> Res<bool> {
        let sql = "SELECT 1 FROM rae.memories WHERE scope = $1 AND id = $2 UNION ALL \
                   SELECT 1 FROM rae.memories WHERE scope = $1 AND dedup_key = $3";
        let key = memory.dedup_key.as_ref().map(|key| &key[..]);
        // The scope is locked: what is free now stays free.
        if !self.tx.query(sql, &[&self.row.sid, &memory.id.0, &key]).await?.is_empty() {
            return Ok(false);
        }
        let mut bulk = Bulk::default();
        bulk.add(self, memory, vector, place, created, updated).await?;
        self.insert_all(bulk).await?;
        Ok(true)
    }

    /// Merges into the live memory that says the same; its id and version. `None` where there is none.
    async fn merge(&mut self, other: &Memory) -> Res<Option<(MemoryId, u32)>> {
        let Some(key) = &other.dedup_key else { return Ok(None) };
        let Some((rid, mut memory)) = self.load(BY_DEDUP, &[&self.row.sid, &&key[..]]).await? else { return Ok(None) };
        let before = memory.merge(other, self.at);
        self.update_light(rid, &memory).await?;
        if let Some(before) = before {
            self.replace_version(rid, &before.memory, memory.version).await?;
            self.update(rid, &memory).await?;
        }
        self.derive(&[(memory.id, &memory.provenance.derived_from)]).await?;
        Ok(Some((memory.id, memory.version)))
    }

    /// Makes way where the live memory that says the same has expired (it is deleted) or ended (it merges no more); whether it
    /// did.
    async fn retire_duplicate(&mut self, memory: &Memory) -> Res<bool> {
        let Some(key) = &memory.dedup_key else { return Ok(false) };
        match self.load(BY_DEDUP, &[&self.row.sid, &&key[..]]).await? {
            Some((_, old)) if old.is_expired(self.at) => Ok(self.delete_all(&[old.id]).await? > 0),
            Some((rid, old)) if !old.merges_at(self.at) => {
                self.tx.execute("UPDATE rae.memories SET dedup_key = NULL WHERE rid = $1", &[&rid]).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn load(&self, sql: &'static str, params: Params<'_>) -> Res<Option<(i64, Memory)>> {
        let row = self.tx.query_opt(sql, params).await?;
        row.map(|row| decode(&row, &self.tx.scope)).transpose()
    }

    async fn update_light(&mut self, rid: i64, m: &Memory) -> Res<()> {
        let texts = Texts::of(m)?;
        let seq = int(self.next_seq());
        let params: Params<'_> = &[
            &rid,
            &seq,
            &i64::from(m.witness_count),
            &m.importance,
            &m.strength,
            &m.confidence,
            &texts.tags,
            &texts.provenance,
            &micros(m.expires_at),
            &texts.claim,
        ];
        self.tx.execute(UPDATE_LIGHT, params).await?;
        Ok(())
    }

    pub async fn patch(
        &mut self,
        id: MemoryId,
        patch: &MemoryPatch,
        mode: PatchMode,
        vector: Option<&Option<VectorRow>>,
    ) -> Res<u32> {
        let (rid, old) = self.load(BY_ID, &[&self.row.sid, &id.0]).await?.ok_or_else(|| missing(id))?;
        let mut new = old.clone();
        patch.apply_to(&mut new);
        if mode == PatchMode::NewVersion {
            new.version = old.version.saturating_add(1);
            new.updated_at = self.at;
            self.replace_version(rid, &old, new.version).await?;
        }
        if new.dedup_key != old.dedup_key {
            self.retire_duplicate(&new).await?;
        }
        if patch.provenance.is_some() {
            self.tx.execute("DELETE FROM rae.derived WHERE memory = $1", &[&rid]).await?;
            self.derive(&[(id, &new.provenance.derived_from)]).await?;
        }
        self.update_light(rid, &new).await?;
        if mode == PatchMode::NewVersion || !is_light(patch) {
            self.update(rid, &new).await?;
        }
        self.row.uncount(old.layer);
        self.row.count(new.layer);
        if let Some(vector) = vector {
            vector.as_ref().map(vector_bytes).transpose()?;
            // Vectors under every embedder describe the old text.
            self.tx.execute("DELETE FROM rae.vectors WHERE memory = $1", &[&rid]).await?;
            if let Some(vector) = vector {
                self.store_vectors(&[(id, vector)]).await?;
            }
        }
        Ok(new.version)
    }

    async fn update(&self, rid: i64, m: &Memory) -> Res<()> {
        let texts = Texts::of(m)?;
        let params: Params<'_> = &[
            &rid,
            &i64::from(m.version),
            &m.updated_at.micros(),
            &micros(m.occurred_at),
            &micros(m.valid_from),
            &micros(m.valid_to),
            &micros(m.expires_at),
            &m.superseded_by.map(|id| id.0),
            &&m.content_hash[..],
            &m.dedup_key.as_ref().map(|key| &key[..]),
            &m.layer.as_str(),
            &m.kind.as_str(),
            &m.info_class.as_str(),
            &m.trust_level.map(|t| t.as_str()),
            &bytes(m.role.as_ref()),
            &bytes(m.speaker.as_ref()),
            &texts.metadata,
            &m.content.as_bytes(),
            &m.claim.as_ref().map(|claim| claim.key().to_vec()),
        ];
        match self.tx.execute(UPDATE, params).await {
            Err(fault) if fault.constraint() == Some("memories_dedup") => {
                let text = "another memory says the same already; forget one of the two";
                Err(Error::conflict(text).with_code("duplicate").into())
            }
            result => result.map(|_| ()),
        }
    }

    /// Keeps the state before the version `next`, and no more older ones than may be kept.
    async fn replace_version(&self, rid: i64, old: &Memory, next: u32) -> Res<()> {
        self.keep_version(rid, old, Some(self.at)).await?;
        let keep = i64::from(next) - i64::try_from(HISTORY_VERSIONS_MAX).unwrap_or(i64::MAX);
        self.tx.execute("DELETE FROM rae.versions WHERE memory = $1 AND version < $2", &[&rid, &keep]).await?;
        Ok(())
    }

    async fn keep_version(&self, rid: i64, state: &Memory, replaced_at: Option<Timestamp>) -> Res<()> {
        let json = serde_json::to_string(state)?;
        let sql = "INSERT INTO rae.versions (memory, tid, version, replaced_at, state) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT DO NOTHING";
        let version = i64::from(state.version);
        let written = self.tx.execute(sql, &[&rid, &self.row.tid, &version, &micros(replaced_at), &json]).await?;
        if written == 0 {
            return Err(Error::invalid(format!("version {} of memory {} comes twice", state.version, state.id)).into());
        }
        Ok(())
    }

    /// Stores a vector of a live memory that still has `version`; whether it did.
    pub async fn put_vector(&mut self, id: MemoryId, version: u32, vector: &VectorRow) -> Res<bool> {
        vector_bytes(vector)?;
        if self.version_of(id).await? != Some(version) {
            return Ok(false);
        }
        self.store_vectors(&[(id, vector)]).await?;
        let seq = int(self.next_seq());
        let sql = "UPDATE rae.memories SET seq = $3 WHERE scope = $1 AND id = $2";
        self.tx.execute(sql, &[&self.row.sid, &id.0, &seq]).await?;
        Ok(true)
    }

    /// Whether all that a batch puts was put before, so that its receipts answer.
    pub async fn has_receipts(&self, batch: &WriteBatch) -> Res<bool> {
        let Some(keys) = batch.keys() else { return Ok(false) };
        for key in keys {
            if self.receipt(key).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn receipt(&self, key: &Idempotency) -> Res<Option<Outcome>> {
        let sql = "SELECT body_hash, memory, version, merged FROM rae.idempotency \
                   WHERE scope = $1 AND verb = $2 AND key = $3 AND at > $4";
        let params: Params<'_> =
            &[&self.row.sid, &key.verb.as_bytes(), &key.key.as_bytes(), &forgotten_before(self.now)];
        let Some(row) = self.tx.query_opt(sql, params).await? else { return Ok(None) };
        let text = || "this idempotency key was used with another request; use a new key".to_owned();
        holds(array(&row, 0)? == Some(key.body_hash), "idempotency_key_reused", text)?;
        let merged = row.try_get(3)?;
        Ok(Some(Outcome::Put { id: id(&row, 1)?, version: version(&row, 2)?, merged, replayed: true }))
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
