//! Runs of puts: what nothing stands in the way of is inserted by one statement a table, however many memories there are.

use super::{
    apply::Work,
    errors::Res,
    row::{Texts, bytes, ids, int, micros, vector_bytes},
    session::Params,
};
use futures::try_join;
use rae_core::{
    Error,
    model::{Idempotency, Memory, MemoryId, Op, Outcome, Timestamp, VectorRow},
};
use std::collections::HashSet;
use uuid::Uuid;

/// Columns by columns, as `unnest` takes them.
const INSERT: &str = "INSERT INTO rae.memories (tid, scope, id, seq, seq_in_session, version, witness_count, \
    importance, strength, confidence, created_at, updated_at, occurred_at, valid_from, valid_to, expires_at, \
    superseded_by, content_hash, dedup_key, layer, kind, info_class, trust_level, role, speaker, session_id, agent_id, \
    user_id, tags, provenance, metadata, content, claim, claim_key) \
    SELECT $1::bigint, $2::bigint, u.* FROM unnest($3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
    $8::float8[], $9::float8[], $10::float8[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], \
    $15::bigint[], $16::bigint[], $17::uuid[], $18::bytea[], $19::bytea[], $20::text[], $21::text[], $22::text[], \
    $23::text[], $24::bytea[], $25::bytea[], $26::bytea[], $27::bytea[], $28::bytea[], $29::text[], $30::text[], \
    $31::text[], $32::bytea[], $33::text[], $34::bytea[]) u";

const INSERT_VECTORS: &str = "INSERT INTO rae.vectors (memory, embedder, tid, data) \
    SELECT m.rid, u.embedder, m.tid, u.data FROM unnest($2::uuid[], $3::integer[], $4::bytea[]) u (id, embedder, data), \
    LATERAL (SELECT m.rid, m.tid FROM rae.memories m WHERE m.scope = $1 AND m.id = u.id OFFSET 0) m \
    ON CONFLICT (memory, embedder) DO UPDATE SET data = excluded.data";

const INSERT_DERIVED: &str = "INSERT INTO rae.derived (scope, source, memory, tid) \
    SELECT m.scope, u.source, m.rid, m.tid FROM unnest($2::uuid[], $3::uuid[]) u (id, source), \
    LATERAL (SELECT m.scope, m.rid, m.tid FROM rae.memories m WHERE m.scope = $1 AND m.id = u.id OFFSET 0) m \
    ON CONFLICT DO NOTHING";

/// One that ran out but was not yet swept is written over.
const INSERT_RECEIPTS: &str = "INSERT INTO rae.idempotency (scope, tid, at, verb, key, body_hash, memory, version, \
    merged) SELECT $1::bigint, $2::bigint, $3::bigint, u.* FROM unnest($4::bytea[], $5::bytea[], $6::bytea[], \
    $7::uuid[], $8::bigint[], $9::boolean[]) u ON CONFLICT (scope, verb, key) DO UPDATE SET at = excluded.at, \
    body_hash = excluded.body_hash, memory = excluded.memory, version = excluded.version, merged = excluded.merged";

// What is looked up one by one inside a statement: `OFFSET 0` keeps the planner from joining in another way. It does not
// know how unequal scopes are, and reading a whole scope for a few of its rows looks cheap where the average one is small.

const TAKEN_IDS: &str = "SELECT m.id FROM unnest($2::uuid[]) u (id), \
    LATERAL (SELECT m.id FROM rae.memories m WHERE m.scope = $1 AND m.id = u.id OFFSET 0) m";

const TAKEN_STATEMENTS: &str = "SELECT m.dedup_key FROM unnest($2::bytea[]) u (statement), \
    LATERAL (SELECT m.dedup_key FROM rae.memories m WHERE m.scope = $1 AND m.dedup_key = u.statement OFFSET 0) m";

/// Memories to be inserted, with what goes with them. Numbers and places are theirs already.
#[derive(Default)]
pub(super) struct Bulk<'b> {
    memories: Vec<&'b Memory>,
    seqs: Vec<i64>,
    places: Vec<Option<i64>>,
    created: Vec<i64>,
    updated: Vec<i64>,
    texts: Vec<Texts>,
    vectors: Vec<(MemoryId, &'b VectorRow)>,
    receipts: Vec<(&'b Idempotency, MemoryId, u32, bool)>,
}

impl<'b> Bulk<'b> {
    /// Adds a memory whose id and statement are free, and counts it.
    pub async fn add(
        &mut self,
        work: &mut Work<'_>,
        memory: &'b Memory,
        vector: Option<&'b VectorRow>,
        place: Option<u32>,
        created: Timestamp,
        updated: Timestamp,
    ) -> Res<()> {
        let assigned = if place.is_none() { work.place(memory).await? } else { None };
        if let Some(session) = &memory.session_id {
            match assigned {
                Some(n) => drop(work.next_in_session.insert(session.clone(), n.saturating_add(1))),
                // A place that was given may lie beyond the next one.
                None => drop(work.next_in_session.remove(session)),
            }
        }
        self.texts.push(Texts::of(memory)?);
        self.memories.push(memory);
        self.seqs.push(int(work.next_seq()));
        self.places.push(place.or(assigned).map(i64::from));
        self.created.push(created.micros());
        self.updated.push(updated.micros());
        self.vectors.extend(vector.map(|vector| (memory.id, vector)));
        work.row.count(memory.layer);
        Ok(())
    }
}

/// What of a run of puts is in the scope already: a hint, which the path for one memory checks again.
#[derive(Default)]
struct Taken {
    ids: HashSet<Uuid>,
    statements: HashSet<Vec<u8>>,
    keys: HashSet<(Vec<u8>, Vec<u8>)>,
}

impl Taken {
    fn stands_in_the_way(&self, memory: &Memory, key: Option<&Idempotency>) -> bool {
        self.ids.contains(&memory.id.0)
            || memory.dedup_key.is_some_and(|statement| self.statements.contains(&statement[..]))
            || key.is_some_and(|key| self.keys.contains(&name(key)))
    }

    fn add(&mut self, memory: &Memory, key: Option<&Idempotency>) {
        self.ids.insert(memory.id.0);
        self.statements.extend(memory.dedup_key.map(|statement| statement.to_vec()));
        self.keys.extend(key.map(name));
    }
}

fn name(key: &Idempotency) -> (Vec<u8>, Vec<u8>) {
    (key.verb.as_bytes().to_vec(), key.key.as_bytes().to_vec())
}

type Put<'b> = (&'b Memory, Option<&'b VectorRow>, Option<&'b Idempotency>);

/// Puts of one batch, and what dates their rows.
pub(super) struct Run<'b> {
    pub ops: &'b [Op],
    pub at: Timestamp,
}

/// What became of the puts of one batch, and the scope's number after them.
pub(super) struct Done {
    pub outcomes: Vec<Outcome>,
    pub seq: u64,
}

fn as_put(op: &Op) -> Res<Put<'_>> {
    match op {
        Op::PutMemory { memory, vector, idempotency } => Ok((memory, vector.as_ref(), idempotency.as_ref())),
        _ => Err(Error::internal("a run of puts holds something else").into()),
    }
}

impl Work<'_> {
    /// Does runs of [`Op::PutMemory`], in order: as if each were done alone.
    pub async fn put_all(&mut self, runs: &[Run<'_>]) -> Res<Vec<Done>> {
        let puts = runs.iter().flat_map(|run| run.ops).map(as_put).collect::<Res<Vec<_>>>()?;
        let mut taken = self.taken(&puts).await?;
        let mut puts = puts.into_iter();
        let (mut bulk, mut done) = (Bulk::default(), Vec::with_capacity(runs.len()));
        for run in runs {
            self.at = run.at;
            let outcomes = self.put_run(puts.by_ref().take(run.ops.len()), &mut taken, &mut bulk).await?;
            done.push(Done { outcomes, seq: self.row.seq });
        }
        self.insert_all(bulk).await?;
        Ok(done)
    }

    async fn put_run<'b>(
        &mut self,
        puts: impl Iterator<Item = Put<'b>>,
        taken: &mut Taken,
        bulk: &mut Bulk<'b>,
    ) -> Res<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for (memory, vector, key) in puts {
            self.own(memory)?;
            // The vector is checked before it is known whether the memory merges, so that the answer does not depend on it.
            if !taken.stands_in_the_way(memory, key) {
                vector.map(vector_bytes).transpose()?;
                bulk.add(self, memory, vector, None, self.at, self.at).await?;
                bulk.receipts.extend(key.map(|key| (key, memory.id, memory.version, false)));
                let version = memory.version;
                outcomes.push(Outcome::Put { id: memory.id, version, merged: false, replayed: false });
            } else {
                self.insert_all(std::mem::take(bulk)).await?;
                // A key that was seen answers whatever comes with it.
                if key.is_none_or(|key| !taken.keys.contains(&name(key))) {
                    vector.map(vector_bytes).transpose()?;
                }
                outcomes.push(self.put_one(memory, vector, key).await?);
            }
            taken.add(memory, key);
        }
        Ok(outcomes)
    }

    async fn taken(&mut self, puts: &[Put<'_>]) -> Res<Taken> {
        let sid = self.row.sid;
        let ids: Vec<_> = puts.iter().map(|(memory, ..)| memory.id.0).collect();
        let statements: Vec<&[u8]> = puts.iter().filter_map(|(m, ..)| m.dedup_key.as_ref().map(|k| &k[..])).collect();
        let keys = || puts.iter().filter_map(|(.., key)| *key);
        let (verbs, names): (Vec<&[u8]>, Vec<&[u8]>) = keys().map(|k| (k.verb.as_bytes(), k.key.as_bytes())).unzip();
        let known = |session: &&String| !self.next_in_session.contains_key(*session);
        let sessions: HashSet<_> = puts.iter().filter_map(|(m, ..)| m.session_id.as_ref()).filter(known).collect();
        let session_bytes: Vec<_> = sessions.iter().map(|s| s.as_bytes()).collect();
        let embedders: HashSet<_> = puts.iter().filter_map(|(_, v, _)| v.map(|v| v.embedder.as_bytes())).collect();
        let embedders: Vec<_> = embedders
            .into_iter()
            .filter(|e| !self.embedders.iter().any(|(known, ..)| known.as_bytes() == *e))
            .collect();
        let (by_id, by_statement, by_key, places, embedders) = try_join!(
            async { self.tx.query(TAKEN_IDS, &[&sid, &ids]).await },
            async {
                if statements.is_empty() {
                    return Ok(Vec::new());
                }
                self.tx.query(TAKEN_STATEMENTS, &[&sid, &statements]).await
            },
            async {
                if verbs.is_empty() {
                    return Ok(Vec::new());
                }
                let sql = "SELECT i.verb, i.key FROM unnest($2::bytea[], $3::bytea[]) u (verb, key) \
                           JOIN rae.idempotency i ON i.scope = $1 AND i.verb = u.verb AND i.key = u.key";
                self.tx.query(sql, &[&sid, &verbs, &names]).await
            },
            async {
                if session_bytes.is_empty() {
                    return Ok(Vec::new());
                }
                let sql = "SELECT u.id, (SELECT m.seq_in_session FROM rae.memories m WHERE m.scope = $1 \
                           AND m.session_id = u.id ORDER BY m.seq_in_session DESC LIMIT 1) \
                           FROM unnest($2::bytea[]) u (id)";
                self.tx.query(sql, &[&sid, &session_bytes]).await
            },
            self.known_embedders(&embedders),
        )?;
        self.embedders.extend(embedders);
        let mut taken = Taken::default();
        for row in by_id {
            taken.ids.insert(row.try_get(0)?);
        }
        for row in by_statement {
            taken.statements.insert(row.try_get(0)?);
        }
        for row in by_key {
            taken.keys.insert((row.try_get(0)?, row.try_get(1)?));
        }
        for row in places {
            let last: Option<i64> = row.try_get(1)?;
            self.next_in_session.insert(super::row::text(&row, 0)?, next_place(last));
        }
        Ok(taken)
    }

    /// The next place in the memory's session.
    pub async fn place(&self, memory: &Memory) -> Res<Option<u32>> {
        let Some(session) = &memory.session_id else { return Ok(None) };
        if let Some(next) = self.next_in_session.get(session) {
            return Ok(Some(*next));
        }
        let sql = "SELECT seq_in_session FROM rae.memories WHERE scope = $1 AND session_id = $2 \
                   ORDER BY seq_in_session DESC LIMIT 1";
        let row = self.tx.query_opt(sql, &[&self.row.sid, &session.as_bytes()]).await?;
        Ok(Some(next_place(row.map(|row| row.try_get(0)).transpose()?.flatten())))
    }

    /// Inserts what was added, and nothing where nothing was.
    pub async fn insert_all(&mut self, bulk: Bulk<'_>) -> Res<()> {
        if bulk.memories.is_empty() {
            return Ok(());
        }
        let derived: Vec<_> = bulk.memories.iter().map(|m| (m.id, &m.provenance.derived_from)).collect();
        for (_, vector) in &bulk.vectors {
            self.embedder(&vector.embedder, vector.vector.len()).await?;
        }
        // Sent together, done in this order: the other tables look the memories up. A statement that had yet to be prepared
        // would be overtaken by one that had not.
        self.tx.prepare(&[INSERT, INSERT_VECTORS, INSERT_DERIVED, INSERT_RECEIPTS]).await?;
        try_join!(
            self.insert_memories(&bulk),
            self.write_vectors(&bulk.vectors),
            self.derive(&derived),
            self.keep_receipts(&bulk.receipts)
        )?;
        Ok(())
    }

    async fn insert_memories(&self, bulk: &Bulk<'_>) -> Res<()> {
        macro_rules! column {
            (|$m:ident| $value:expr) => {
                bulk.memories.iter().map(|$m| $value).collect::<Vec<_>>()
            };
        }
        macro_rules! text {
            ($field:ident) => {
                bulk.texts.iter().map(|t| t.$field.as_deref()).collect::<Vec<_>>()
            };
        }
        let params: Params<'_> = &[
            &self.row.tid,
            &self.row.sid,
            &column!(|m| m.id.0),
            &bulk.seqs,
            &bulk.places,
            &column!(|m| i64::from(m.version)),
            &column!(|m| i64::from(m.witness_count)),
            &column!(|m| m.importance),
            &column!(|m| m.strength),
            &column!(|m| m.confidence),
            &bulk.created,
            &bulk.updated,
            &column!(|m| micros(m.occurred_at)),
            &column!(|m| micros(m.valid_from)),
            &column!(|m| micros(m.valid_to)),
            &column!(|m| micros(m.expires_at)),
            &column!(|m| m.superseded_by.map(|id| id.0)),
            &column!(|m| &m.content_hash[..]),
            &column!(|m| m.dedup_key.as_ref().map(|key| &key[..])),
            &column!(|m| m.layer.as_str()),
            &column!(|m| m.kind.as_str()),
            &column!(|m| m.info_class.as_str()),
            &column!(|m| m.trust_level.map(|t| t.as_str())),
            &column!(|m| bytes(m.role.as_ref())),
            &column!(|m| bytes(m.speaker.as_ref())),
            &column!(|m| bytes(m.session_id.as_ref())),
            &column!(|m| bytes(m.agent_id.as_ref())),
            &column!(|m| bytes(m.user_id.as_ref())),
            &text!(tags),
            &text!(provenance),
            &text!(metadata),
            &column!(|m| m.content.as_bytes()),
            &text!(claim),
            &column!(|m| m.claim.as_ref().map(|claim| claim.key().to_vec())),
        ];
        self.tx.execute(INSERT, params).await?;
        Ok(())
    }

    /// Stores vectors of live memories that were checked.
    pub async fn store_vectors(&mut self, vectors: &[(MemoryId, &VectorRow)]) -> Res<()> {
        for (_, vector) in vectors {
            self.embedder(&vector.embedder, vector.vector.len()).await?;
        }
        self.write_vectors(vectors).await
    }

    async fn write_vectors(&self, vectors: &[(MemoryId, &VectorRow)]) -> Res<()> {
        if vectors.is_empty() {
            return Ok(());
        }
        let (mut ids, mut embedders, mut data) = (Vec::new(), Vec::new(), Vec::new());
        for (id, vector) in vectors {
            let known = self.embedders.iter().find(|(name, ..)| *name == vector.embedder);
            let (_, no, _) = known.ok_or_else(|| Error::internal("the embedder of a vector was not looked up"))?;
            ids.push(id.0);
            embedders.push(*no);
            data.push(vector_bytes(vector)?);
        }
        self.tx.execute(INSERT_VECTORS, &[&self.row.sid, &ids, &embedders, &data]).await?;
        Ok(())
    }

    /// Records what memories were derived from.
    pub async fn derive(&self, derived: &[(MemoryId, &Vec<MemoryId>)]) -> Res<()> {
        let pairs = derived.iter().flat_map(|(id, sources)| sources.iter().map(|source| (id.0, source.0)));
        let (memories, sources): (Vec<_>, Vec<_>) = pairs.unzip();
        if memories.is_empty() {
            return Ok(());
        }
        self.tx.execute(INSERT_DERIVED, &[&self.row.sid, &memories, &sources]).await?;
        Ok(())
    }

    /// Keeps what writes under a key answered: id, version and whether it merged.
    pub async fn keep_receipts(&self, receipts: &[(&Idempotency, MemoryId, u32, bool)]) -> Res<()> {
        if receipts.is_empty() {
            return Ok(());
        }
        let verbs: Vec<_> = receipts.iter().map(|(key, ..)| key.verb.as_bytes()).collect();
        let names: Vec<_> = receipts.iter().map(|(key, ..)| key.key.as_bytes()).collect();
        let hashes: Vec<_> = receipts.iter().map(|(key, ..)| &key.body_hash[..]).collect();
        let memories = ids(&receipts.iter().map(|(_, id, ..)| *id).collect::<Vec<_>>());
        let versions: Vec<_> = receipts.iter().map(|(_, _, version, _)| i64::from(*version)).collect();
        let merged: Vec<_> = receipts.iter().map(|(.., merged)| *merged).collect();
        let (row, now) = (&self.row, self.now.micros());
        self.tx
            .execute(
                INSERT_RECEIPTS,
                &[&row.sid, &row.tid, &now, &verbs, &names, &hashes, &memories, &versions, &merged],
            )
            .await?;
        Ok(())
    }
}

fn next_place(last: Option<i64>) -> u32 {
    last.map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1))
}
