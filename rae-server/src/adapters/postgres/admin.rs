//! Numbers and records about the store, housekeeping and checks.

use super::{
    apply::{ScopeRow, current_embedder, forgotten_before},
    costs,
    errors::Res,
    ledger,
    row::{page, text, time, uint},
    schema,
    session::Tx,
};
use futures::try_join;
use rae_core::{
    limits::{FINDINGS_MAX, TOMBSTONES_MAX},
    model::{Audit, Scope, StoreStats, Timestamp},
};

pub(super) async fn stats(tx: &Tx) -> Res<StoreStats> {
    let bytes = "SELECT pg_database_size(current_database())";
    let (bytes, row, embedder) = try_join!(tx.query_one(bytes, &[]), ScopeRow::find(tx), current_embedder(tx))?;
    let mut stats = StoreStats { schema_version: schema::VERSION, bytes: uint(&bytes, 0)?, ..StoreStats::default() };
    let Some(row) = row else { return Ok(stats) };
    stats.by_layer = row.counts;
    stats.memories = row.counts.iter().sum();
    if let Some((no, ..)) = embedder {
        let sql = "SELECT count(*) FROM rae.memories m JOIN rae.vectors v ON v.memory = m.rid AND v.embedder = $2 \
                   WHERE m.scope = $1";
        stats.vectors = uint(&tx.query_one(sql, &[&row.sid, &no]).await?, 0)?;
    }
    let sql = "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'dead') \
               FROM rae.jobs WHERE scope = $1";
    let jobs = tx.query_one(sql, &[&row.sid]).await?;
    (stats.jobs_queued, stats.jobs_dead) = (uint(&jobs, 0)?, uint(&jobs, 1)?);
    Ok(stats)
}

/// By name. The door `all_scopes` shows those of every tenant.
pub(super) async fn scopes(tx: &Tx) -> Res<Vec<Scope>> {
    let rows = tx.query("SELECT tenant, project FROM rae.all_scopes() ORDER BY tenant, project", &[]).await?;
    rows.iter().map(|row| Ok(Scope::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?)?)).collect()
}

pub(super) async fn audit(tx: &Tx, before: Option<u64>, limit: usize) -> Res<Vec<(u64, Timestamp, Audit)>> {
    let (limit, before) = (page(limit)?, before.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX));
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = "SELECT at, action, details, aid FROM rae.audit WHERE scope = $1 AND aid < $3 ORDER BY aid DESC LIMIT $2";
    let mut found = Vec::new();
    for row in tx.query(sql, &[&row.sid, &limit, &before]).await? {
        let details = serde_json::from_str(row.try_get(2)?)?;
        let number = u64::try_from(row.try_get::<_, i64>(3)?).unwrap_or_default();
        found.push((number, time(&row, 0)?, Audit { action: text(&row, 1)?, details }));
    }
    Ok(found)
}

/// Forgets what is due, of every tenant.
pub(super) async fn checkpoint(tx: &Tx, now: Timestamp) -> Res<()> {
    let keep = i64::try_from(TOMBSTONES_MAX).unwrap_or(i64::MAX);
    tx.query("SELECT rae.forget_due($1, $2)", &[&forgotten_before(now), &keep]).await?;
    ledger::forget_spend(tx, now).await
}

/// Rules of the store as queries that must find nothing, with what to say about each row found. Row-level security makes
/// them look at the tenant of the call.
const INVARIANTS: [(&str, &str); 13] = [
    (
        "a claim has no key, or a key no claim",
        "SELECT rid FROM rae.memories WHERE (claim IS NULL) <> (claim_key IS NULL) OR octet_length(claim_key) <> 16",
    ),
    (
        "a vector belongs to no memory or to no embedder",
        "SELECT v.memory FROM rae.vectors v WHERE NOT EXISTS (SELECT 1 FROM rae.memories m WHERE m.rid = v.memory) \
         OR NOT EXISTS (SELECT 1 FROM rae.embedders e WHERE e.no = v.embedder)",
    ),
    (
        "a vector does not have its embedder's dimension",
        "SELECT v.memory FROM rae.vectors v JOIN rae.embedders e ON e.no = v.embedder \
         WHERE octet_length(v.data) <> e.dim * 4",
    ),
    (
        "a memory, segment, tombstone, job or receipt belongs to no scope or memory",
        "SELECT rid FROM rae.memories WHERE scope NOT IN (SELECT sid FROM rae.scopes) \
         UNION ALL SELECT segment FROM rae.segments WHERE scope NOT IN (SELECT sid FROM rae.scopes) \
         UNION ALL SELECT seq FROM rae.tombstones WHERE scope NOT IN (SELECT sid FROM rae.scopes) \
         UNION ALL SELECT jid FROM rae.jobs WHERE scope NOT IN (SELECT sid FROM rae.scopes) \
         UNION ALL SELECT i.scope FROM rae.idempotency i \
         WHERE NOT EXISTS (SELECT 1 FROM rae.memories m WHERE m.scope = i.scope AND m.id = i.memory)",
    ),
    (
        "the change log of a scope ends before a change",
        "SELECT sid FROM rae.scopes s WHERE seq < greatest((SELECT max(seq) FROM rae.memories m WHERE m.scope = s.sid), \
         (SELECT max(seq) FROM rae.tombstones t WHERE t.scope = s.sid), tombstone_floor)",
    ),
    (
        "two memories have the same change number",
        "SELECT seq FROM rae.memories GROUP BY scope, seq HAVING count(*) > 1",
    ),
    (
        "a deletion has the change number of a memory",
        "SELECT t.seq FROM rae.tombstones t JOIN rae.memories m ON m.scope = t.scope AND m.seq = t.seq",
    ),
    (
        "the counts by layer of a scope are wrong",
        "SELECT sid FROM rae.scopes s LEFT JOIN (SELECT scope, count(*) FILTER (WHERE layer = 'sensory') a, \
         count(*) FILTER (WHERE layer = 'working') b, count(*) FILTER (WHERE layer = 'episodic') c, \
         count(*) FILTER (WHERE layer = 'semantic') d, count(*) FILTER (WHERE layer = 'reflective') e \
         FROM rae.memories GROUP BY scope) m ON m.scope = s.sid \
         WHERE (sensory, working, episodic, semantic, reflective) <> (coalesce(a, 0), coalesce(b, 0), coalesce(c, 0), \
         coalesce(d, 0), coalesce(e, 0))",
    ),
    (
        "a memory of a session has no place in it",
        "SELECT rid FROM rae.memories WHERE (session_id IS NULL) <> (seq_in_session IS NULL)",
    ),
    (
        "a record of a derivation belongs to no memory",
        "SELECT d.memory FROM rae.derived d WHERE NOT EXISTS (SELECT 1 FROM rae.memories m WHERE m.rid = d.memory \
         AND m.scope = d.scope)",
    ),
    (
        "the store's embedder is not known",
        "SELECT embedder::bigint FROM rae.meta WHERE embedder IS NOT NULL AND embedder NOT IN (SELECT no FROM rae.embedders)",
    ),
    (
        "a segment is malformed or holds a memory that was deleted after it was built",
        "SELECT g.segment FROM rae.segments g WHERE g.to_seq < g.from_seq OR EXISTS (SELECT 1 FROM rae.tombstones t \
         JOIN unnest(g.ids) i (id) ON i.id = t.id WHERE t.scope = g.scope AND t.seq > g.to_seq)",
    ),
    (
        "two live memories say the same",
        "SELECT min(rid) FROM rae.memories WHERE dedup_key IS NOT NULL GROUP BY scope, dedup_key HAVING count(*) > 1",
    ),
];

pub(super) async fn verify(tx: &Tx) -> Res<Vec<String>> {
    let mut findings = Vec::new();
    for (rule, sql) in INVARIANTS {
        for row in tx.query(sql, &[]).await? {
            if findings.len() >= FINDINGS_MAX {
                return Ok(findings);
            }
            findings.push(format!("{rule} (row {})", row.try_get::<_, i64>(0)?));
        }
    }
    findings.extend(costs::verify(tx, FINDINGS_MAX - findings.len()).await?);
    Ok(findings)
}
