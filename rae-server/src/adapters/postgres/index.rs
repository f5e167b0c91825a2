//! Reading what the derived indexes are made of. Each function runs in one read transaction.

use super::{
    apply::{ScopeRow, current_embedder},
    errors::Res,
    row::{columns, decode, id, ids, int, page, uint, vector_from, vector_opt},
    session::{Params, Tx},
};
use futures::try_join;
use rae_core::model::{Changed, Changes, Head, Memory, MemoryId, SegmentRow, VectorPoint};
use std::collections::HashMap;
use uuid::Uuid;

/// The column of a vector behind those of its memory.
const VECTOR: usize = 32;

pub(super) async fn head(tx: &Tx) -> Res<Head> {
    let (row, embedder) = try_join!(ScopeRow::find(tx), current_embedder(tx))?;
    let (seq, tombstone_floor) = row.map_or((0, 0), |r| (r.seq, r.floor));
    Ok(Head { seq, tombstone_floor, embedder: embedder.map(|(_, name, dim)| (name, dim)) })
}

pub(super) async fn changes_since(tx: &Tx, (after, upto): (u64, u64), limit: usize, embedder: &str) -> Res<Changes> {
    let limit = page(limit)?;
    let mut changes = Changes { upto: after, ..Changes::default() };
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(changes) };
    let upto = upto.min(row.seq);
    changes.upto = upto.max(after);
    // One more than asked for says whether there is more. A tombstone of an id that came back says nothing any more.
    let (sid, from, to, more) = (row.sid, int(after), int(upto), limit.saturating_add(1));
    let puts = concat!(
        "SELECT ",
        columns!(),
        ", v.data FROM rae.memories m LEFT JOIN rae.vectors v ON v.memory = m.rid AND v.embedder = \
         (SELECT e.no FROM rae.embedders e WHERE e.name = $5) \
         WHERE m.scope = $1 AND m.seq > $2 AND m.seq <= $3 ORDER BY m.seq LIMIT $4"
    );
    let deletes = "SELECT t.seq, t.id FROM rae.tombstones t WHERE t.scope = $1 AND t.seq > $2 AND t.seq <= $3 \
                   AND NOT EXISTS (SELECT 1 FROM rae.memories m WHERE m.scope = t.scope AND m.id = t.id) \
                   ORDER BY t.seq LIMIT $4";
    let name = embedder.as_bytes();
    let range: Params<'_> = &[&sid, &from, &to, &more];
    let named: Params<'_> = &[&sid, &from, &to, &more, &name];
    let (puts, deletes) = try_join!(tx.query(puts, named), tx.query(deletes, range))?;
    let mut log: Vec<(u64, Result<usize, MemoryId>)> = Vec::with_capacity(puts.len() + deletes.len());
    for (n, row) in puts.iter().enumerate() {
        log.push((uint(row, 2)?, Ok(n)));
    }
    for row in &deletes {
        log.push((uint(row, 0)?, Err(id(row, 1)?)));
    }
    log.sort_unstable_by_key(|(seq, _)| *seq);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if log.len() > limit {
        log.truncate(limit);
        changes.upto = log.last().map_or(after, |(seq, _)| *seq);
    }
    for (seq, change) in log {
        match change {
            Ok(n) => {
                let Some(row) = puts.get(n) else { continue };
                let (_, memory) = decode(row, &tx.scope)?;
                changes.puts.push(Changed { memory, vector: vector_opt(row, VECTOR)? });
            }
            Err(id) => changes.deletes.push((seq, id)),
        }
    }
    Ok(changes)
}

pub(super) async fn segments(tx: &Tx) -> Res<Vec<SegmentRow>> {
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = "SELECT from_seq, to_seq, ids, data FROM rae.segments WHERE scope = $1 ORDER BY from_seq, to_seq";
    let rows = tx.query(sql, &[&row.sid]).await?;
    let decode = |row: &tokio_postgres::Row| {
        let ids: Vec<Uuid> = row.try_get(2)?;
        let ids = ids.into_iter().map(MemoryId).collect();
        Ok(SegmentRow { from_seq: uint(row, 0)?, to_seq: uint(row, 1)?, ids, data: row.try_get(3)? })
    };
    rows.iter().map(decode).collect()
}

pub(super) async fn vectors(tx: &Tx, embedder: &str, after: u64, limit: usize) -> Res<Vec<(u64, VectorPoint)>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = "SELECT m.seq, m.id, v.data FROM rae.memories m JOIN rae.vectors v ON v.memory = m.rid \
               AND v.embedder = (SELECT e.no FROM rae.embedders e WHERE e.name = $2) \
               WHERE m.scope = $1 AND m.seq > $3 ORDER BY m.seq LIMIT $4";
    let rows = tx.query(sql, &[&row.sid, &embedder.as_bytes(), &int(after), &limit]).await?;
    let decode = |row: &tokio_postgres::Row| {
        let vector = vector_from(row.try_get(2)?)?;
        Ok((uint(row, 0)?, VectorPoint { id: id(row, 1)?, vector }))
    };
    rows.iter().map(decode).collect()
}

pub(super) async fn vectors_of(tx: &Tx, embedder: &str, wanted: &[MemoryId]) -> Res<Vec<Option<Vec<f32>>>> {
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(vec![None; wanted.len()]) };
    let sql = "SELECT m.id, v.data FROM unnest($2::uuid[]) u (id), \
               LATERAL (SELECT m.id, m.rid FROM rae.memories m WHERE m.scope = $1 AND m.id = u.id OFFSET 0) m \
               JOIN rae.vectors v ON v.memory = m.rid \
               AND v.embedder = (SELECT e.no FROM rae.embedders e WHERE e.name = $3)";
    let mut found = HashMap::new();
    for row in tx.query(sql, &[&row.sid, &ids(wanted), &embedder.as_bytes()]).await? {
        found.insert(id(&row, 0)?, vector_from(row.try_get(1)?)?);
    }
    Ok(wanted.iter().map(|id| found.get(id).cloned()).collect())
}

pub(super) async fn without_vector(tx: &Tx, embedder: &str, after: Option<MemoryId>, limit: usize) -> Res<Vec<Memory>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM rae.memories m WHERE m.scope = $1 AND ($2::uuid IS NULL OR m.id > $2) AND NOT EXISTS \
         (SELECT 1 FROM rae.vectors v WHERE v.memory = m.rid AND v.embedder = \
         (SELECT e.no FROM rae.embedders e WHERE e.name = $3)) ORDER BY m.id LIMIT $4"
    );
    let rows = tx.query(sql, &[&row.sid, &after.map(|id| id.0), &embedder.as_bytes(), &limit]).await?;
    rows.iter().map(|row| decode(row, &tx.scope).map(|(_, memory)| memory)).collect()
}
