//! Reading what the derived indexes are made of. Each function runs in one read transaction.

use super::{
    apply::{ScopeRow, current_embedder},
    errors::Res,
    row::{Id, columns, decode, int, page, uint, vector_from, vector_key},
};
use crate::model::{Changed, Changes, Head, Memory, MemoryId, Scope, SegmentRow, VectorPoint};
use rusqlite::{Connection, OptionalExtension, params};

pub(super) fn head(conn: &Connection, scope: &Scope) -> Res<Head> {
    let row = ScopeRow::find(conn, scope)?;
    let (seq, tombstone_floor) = row.map_or((0, 0), |r| (r.seq, r.floor));
    Ok(Head { seq, tombstone_floor, embedder: current_embedder(conn)?.map(|(_, name, dim)| (name, dim)) })
}

pub(super) fn last_deletion(conn: &Connection, scope: &Scope, id: MemoryId) -> Res<u64> {
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(0) };
    let mut select = conn.prepare_cached("SELECT seq FROM tombstones WHERE scope = ?1 AND id = ?2")?;
    let mut rows = select.query(params![row.sid, Id(id.0)])?;
    let seq = rows.next()?.map(|row| uint(row, 0)).transpose()?;
    Ok(seq.unwrap_or_default().max(row.floor))
}

fn embedder_no(conn: &Connection, name: &str) -> Res<Option<i64>> {
    let mut select = conn.prepare_cached("SELECT no FROM embedders WHERE name = ?1")?;
    Ok(select.query_row([name], |r| r.get(0)).optional()?)
}

fn vector(conn: &Connection, rid: i64, embedder: i64) -> Res<Option<Vec<f32>>> {
    let mut select = conn.prepare_cached("SELECT data FROM vectors WHERE key = ?1")?;
    let mut rows = select.query([vector_key(rid, embedder)])?;
    match rows.next()? {
        Some(row) => Ok(Some(vector_from(row.get_ref(0)?.as_blob()?)?)),
        None => Ok(None),
    }
}

pub(super) fn changes_since(
    conn: &Connection,
    scope: &Scope,
    (after, upto): (u64, u64),
    limit: usize,
    embedder: &str,
) -> Res<Changes> {
    let limit = page(limit)?;
    let mut changes = Changes { upto: after, ..Changes::default() };
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(changes) };
    let upto = upto.min(row.seq);
    changes.upto = upto.max(after);
    // One more than asked for says whether there is more. A tombstone of an id that came back says nothing any more.
    let range = params![row.sid, int(after), int(upto), limit.saturating_add(1)];
    let mut log: Vec<(u64, Result<i64, MemoryId>)> = Vec::new();
    let mut puts = conn.prepare_cached(
        "SELECT seq, rid FROM memories INDEXED BY memories_seq WHERE scope = ?1 AND seq > ?2 AND seq <= ?3 \
         ORDER BY seq LIMIT ?4",
    )?;
    let mut rows = puts.query(range)?;
    while let Some(row) = rows.next()? {
        log.push((uint(row, 0)?, Ok(row.get(1)?)));
    }
    let mut deletes = conn.prepare_cached(
        "SELECT t.seq, t.id FROM tombstones t INDEXED BY tombstones_seq WHERE t.scope = ?1 AND t.seq > ?2 \
         AND t.seq <= ?3 \
         AND NOT EXISTS (SELECT 1 FROM memories m WHERE m.scope = t.scope AND m.id = t.id) ORDER BY t.seq LIMIT ?4",
    )?;
    let mut rows = deletes.query(range)?;
    while let Some(row) = rows.next()? {
        log.push((uint(row, 0)?, Err(row.get::<_, Id>(1)?.into())));
    }
    log.sort_unstable_by_key(|(seq, _)| *seq);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if log.len() > limit {
        log.truncate(limit);
        changes.upto = log.last().map_or(after, |(seq, _)| *seq);
    }
    let embedder = embedder_no(conn, embedder)?;
    let mut by_rid = conn.prepare_cached(concat!("SELECT ", columns!(), " FROM memories m WHERE m.rid = ?1"))?;
    for (seq, change) in log {
        match change {
            Ok(rid) => {
                let (_, memory) = by_rid.query_row([rid], |r| decode(r, scope))?;
                let vector = embedder.map(|e| vector(conn, rid, e)).transpose()?.flatten();
                changes.puts.push(Changed { memory, vector });
            }
            Err(id) => changes.deletes.push((seq, id)),
        }
    }
    Ok(changes)
}

pub(super) fn segments(conn: &Connection, scope: &Scope) -> Res<Vec<SegmentRow>> {
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let mut select = conn.prepare_cached(
        "SELECT from_seq, to_seq, ids, data FROM segments WHERE scope = ?1 ORDER BY from_seq, to_seq",
    )?;
    let segments = select.query_map([row.sid], |r| {
        let ids = r.get_ref(2)?.as_blob()?.as_chunks::<16>().0;
        Ok(SegmentRow {
            from_seq: uint(r, 0)?,
            to_seq: uint(r, 1)?,
            ids: ids.iter().map(|id| MemoryId(uuid::Uuid::from_bytes(*id))).collect(),
            data: r.get(3)?,
        })
    })?;
    Ok(segments.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn vectors(
    conn: &Connection,
    scope: &Scope,
    embedder: &str,
    after: u64,
    limit: usize,
) -> Res<Vec<(u64, VectorPoint)>> {
    let limit = page(limit)?;
    let mut points = Vec::new();
    let (Some(row), Some(no)) = (ScopeRow::find(conn, scope)?, embedder_no(conn, embedder)?) else { return Ok(points) };
    // Index order of changes, and one look-up each in the tree of vectors: the contents are not touched.
    let mut select = conn.prepare_cached(
        "SELECT m.seq, m.id, v.data FROM memories m INDEXED BY memories_seq CROSS JOIN vectors v \
         WHERE m.scope = ?1 AND m.seq > ?2 AND v.key = m.rid * 256 + ?3 ORDER BY m.seq LIMIT ?4",
    )?;
    let mut rows = select.query([row.sid, int(after), no, limit])?;
    while let Some(row) = rows.next()? {
        let vector = vector_from(row.get_ref(2)?.as_blob()?)?;
        points.push((uint(row, 0)?, VectorPoint { id: row.get::<_, Id>(1)?.into(), vector }));
    }
    Ok(points)
}

pub(super) fn vectors_of(
    conn: &Connection,
    scope: &Scope,
    embedder: &str,
    ids: &[MemoryId],
) -> Res<Vec<Option<Vec<f32>>>> {
    let (Some(row), Some(no)) = (ScopeRow::find(conn, scope)?, embedder_no(conn, embedder)?) else {
        return Ok(vec![None; ids.len()]);
    };
    let mut select = conn.prepare_cached(
        "SELECT v.data FROM memories m JOIN vectors v ON v.key = m.rid * 256 + ?3 WHERE m.scope = ?1 AND m.id = ?2",
    )?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let mut rows = select.query(params![row.sid, Id(id.0), no])?;
        found.push(match rows.next()? {
            Some(row) => Some(vector_from(row.get_ref(0)?.as_blob()?)?),
            None => None,
        });
    }
    Ok(found)
}

pub(super) fn without_vector(
    conn: &Connection,
    scope: &Scope,
    embedder: &str,
    after: Option<MemoryId>,
    limit: usize,
) -> Res<Vec<Memory>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let after = after.map_or_else(Vec::new, |id| id.0.as_bytes().to_vec());
    let no = embedder_no(conn, embedder)?;
    let lacks = match no {
        Some(_) => "AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.key = m.rid * 256 + ?4)",
        None => "AND ?4 IS NULL",
    };
    let mut select = conn.prepare_cached(&format!(
        concat!("SELECT ", columns!(), " FROM memories m WHERE m.scope = ?1 AND m.id > ?2 {} ORDER BY m.id LIMIT ?3"),
        lacks
    ))?;
    let memories = select.query_map(params![row.sid, after, limit, no], |r| decode(r, scope).map(|(_, m)| m))?;
    Ok(memories.collect::<rusqlite::Result<_>>()?)
}
