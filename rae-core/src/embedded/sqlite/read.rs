//! Reading memories. Each function runs in one read transaction.

use super::{
    apply::ScopeRow,
    errors::Res,
    prefilter::Prefilter,
    row::{Id, Micros, columns, decode, head_columns, page, uint},
};
use crate::model::{Filter, Memory, MemoryId, MemoryVersion, Owner, Scan, Scope, Timestamp};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use std::collections::{BTreeMap, HashSet};

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM memories m WHERE m.scope = ?1 AND m.id = ?2");

pub(super) fn get(conn: &Connection, scope: &Scope, ids: &[MemoryId]) -> Res<Vec<Option<Memory>>> {
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(vec![None; ids.len()]) };
    let mut select = conn.prepare_cached(BY_ID)?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let memory = select.query_row(params![row.sid, Id(id.0)], |r| decode(r, scope)).optional()?;
        found.push(memory.map(|(_, m)| m));
    }
    Ok(found)
}

pub(super) fn keyed(conn: &Connection, scope: &Scope, keys: &[[u8; 32]]) -> Res<Vec<Option<Memory>>> {
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(vec![None; keys.len()]) };
    let sql = concat!("SELECT ", columns!(), " FROM memories m WHERE m.scope = ?1 AND m.dedup_key = ?2");
    let mut select = conn.prepare_cached(sql)?;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let memory = select.query_row(params![row.sid, key], |r| decode(r, scope)).optional()?;
        found.push(memory.map(|(_, m)| m));
    }
    Ok(found)
}

/// Parameters by reference, as `query` takes them.
fn all<'a>(first: &[&'a dyn ToSql], rest: &'a [Box<dyn ToSql>]) -> Vec<&'a dyn ToSql> {
    first.iter().copied().chain(rest.iter().map(|p| &**p as &dyn ToSql)).collect()
}

pub(super) fn scan(conn: &Connection, scope: &Scope, scan: &Scan) -> Res<Vec<Memory>> {
    page(scan.limit)?;
    let limit = scan.limit.min(crate::limits::PAGE_MAX);
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let filter = scan.filter.as_ref();
    let pre = Prefilter::of(filter, 3);
    // A session's rows are few: its own index beats the order of ids, which the `+` keeps the planner from choosing.
    let id = if pre.sql.contains("m.session_id = ") { "+m.id" } else { "m.id" };
    let sql = format!(
        concat!("SELECT ", columns!(), " FROM memories m WHERE m.scope = ?1 AND {} > ?2{} ORDER BY {}"),
        id, pre.sql, id
    );
    let after = scan.after.map_or_else(Vec::new, |cursor| cursor.0.0.as_bytes().to_vec());
    let mut select = conn.prepare(&sql)?;
    let mut rows = select.query(&*all(&[&row.sid, &after], &pre.params))?;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let (_, memory) = decode(row, scope)?;
        if filter.is_none_or(|f| f.matches(&memory)) {
            found.push(memory);
        }
    }
    Ok(found)
}

pub(super) fn history(conn: &Connection, scope: &Scope, id: MemoryId) -> Res<Vec<MemoryVersion>> {
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let found = conn.prepare_cached(BY_ID)?.query_row(params![row.sid, Id(id.0)], |r| decode(r, scope)).optional()?;
    let Some((rid, memory)) = found else { return Ok(Vec::new()) };
    let mut select =
        conn.prepare_cached("SELECT state, replaced_at FROM versions WHERE memory = ?1 ORDER BY version")?;
    let mut rows = select.query([rid])?;
    let mut versions = Vec::new();
    while let Some(row) = rows.next()? {
        let memory = serde_json::from_str(row.get_ref(0)?.as_str()?)?;
        versions.push(MemoryVersion { memory, replaced_at: row.get::<_, Option<Micros>>(1)?.map(|m| m.0) });
    }
    versions.push(MemoryVersion { memory, replaced_at: None });
    Ok(versions)
}

pub(super) fn matching(conn: &Connection, scope: &Scope, filter: &Filter) -> Res<HashSet<MemoryId>> {
    let mut found = HashSet::new();
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(found) };
    let is_empty_and = matches!(filter, Filter::And(list) if list.is_empty());
    if is_empty_and {
        let mut select = conn.prepare_cached("SELECT id FROM memories INDEXED BY memories_seq WHERE scope = ?1")?;
        let mut rows = select.query([row.sid])?;
        while let Some(row) = rows.next()? {
            found.insert(row.get::<_, Id>(0)?.into());
        }
        return Ok(found);
    }
    let pre = Prefilter::of(Some(filter), 2);
    // What the filter does not look at is not read: long texts lie on pages of their own.
    let text = if pre.needs_text { "m.metadata, m.content" } else { "NULL, ''" };
    let sql = format!(concat!("SELECT ", head_columns!(), ", {} FROM memories m WHERE m.scope = ?1{}"), text, pre.sql);
    let mut select = conn.prepare(&sql)?;
    let mut rows = select.query(&*all(&[&row.sid], &pre.params))?;
    while let Some(row) = rows.next()? {
        let (_, memory) = decode(row, scope)?;
        if filter.matches(&memory) {
            found.insert(memory.id);
        }
    }
    Ok(found)
}

pub(super) fn expired(conn: &Connection, scope: &Scope, now: Timestamp, limit: usize) -> Res<Vec<MemoryId>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let mut select = conn.prepare_cached(
        "SELECT id FROM memories WHERE scope = ?1 AND expires_at IS NOT NULL AND expires_at <= ?2 \
         ORDER BY expires_at, id LIMIT ?3",
    )?;
    let ids = select.query_map(params![row.sid, now.micros(), limit], |r| r.get::<_, Id>(0).map(Into::into))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn derived_from(conn: &Connection, scope: &Scope, ids: &[MemoryId], limit: usize) -> Res<Vec<Memory>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let mut select = conn.prepare_cached(
        "SELECT m.id, m.rid FROM derived d JOIN memories m ON m.rid = d.memory \
         WHERE d.scope = ?1 AND d.source = ?2 ORDER BY m.id LIMIT ?3",
    )?;
    let mut children: BTreeMap<MemoryId, i64> = BTreeMap::new();
    for id in ids {
        let mut rows = select.query(params![row.sid, Id(id.0), limit])?;
        while let Some(row) = rows.next()? {
            children.insert(row.get::<_, Id>(0)?.into(), row.get(1)?);
        }
        while i64::try_from(children.len()).is_ok_and(|n| n > limit) {
            children.pop_last();
        }
    }
    by_rid(conn, scope, &children)
}

/// Versions are walked in their order, as a scope may have far more memories than versions; those without sources are not decoded.
pub(super) fn once_derived_from(
    conn: &Connection,
    scope: &Scope,
    ids: &HashSet<MemoryId>,
) -> Res<Vec<(MemoryId, Vec<u32>)>> {
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let mut select = conn.prepare_cached(
        "SELECT m.id, v.version, v.state FROM versions v CROSS JOIN memories m ON m.rid = v.memory \
         WHERE m.scope = ?1 AND instr(v.state, '\"derived_from\":[\"') > 0",
    )?;
    let mut rows = select.query([row.sid])?;
    let mut found: BTreeMap<MemoryId, Vec<u32>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let old: Memory = serde_json::from_str(row.get_ref(2)?.as_str()?)?;
        if old.provenance.derived_from.iter().any(|id| ids.contains(id)) {
            found.entry(row.get::<_, Id>(0)?.into()).or_default().push(row.get(1)?);
        }
    }
    found.values_mut().for_each(|versions| versions.sort_unstable());
    Ok(found.into_iter().collect())
}

fn by_rid(conn: &Connection, scope: &Scope, rows: &BTreeMap<MemoryId, i64>) -> Res<Vec<Memory>> {
    let mut select = conn.prepare_cached(concat!("SELECT ", columns!(), " FROM memories m WHERE m.rid = ?1"))?;
    let memories = rows.values().map(|rid| select.query_row([rid], |r| decode(r, scope)).map(|(_, m)| m));
    Ok(memories.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn claims(
    conn: &Connection,
    scope: &Scope,
    keys: &[[u8; 16]],
    owner: Option<&Owner>,
    limit: usize,
) -> Res<Vec<Memory>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let mut select = conn.prepare_cached(
        "SELECT id, rid FROM memories WHERE scope = ?1 AND claim_key IS NOT NULL AND claim_key = ?2 \
         AND (?4 OR (user_id IS ?5 AND agent_id IS ?6)) ORDER BY id LIMIT ?3",
    )?;
    let (user, agent) = owner.map_or((None, None), |owner| (owner.user_id.as_ref(), owner.agent_id.as_ref()));
    let mut found: BTreeMap<MemoryId, i64> = BTreeMap::new();
    for key in keys {
        let mut rows = select.query(params![row.sid, key, limit, owner.is_none(), user, agent])?;
        while let Some(row) = rows.next()? {
            found.insert(row.get::<_, Id>(0)?.into(), row.get(1)?);
        }
        while i64::try_from(found.len()).is_ok_and(|n| n > limit) {
            found.pop_last();
        }
    }
    by_rid(conn, scope, &found)
}

pub(super) fn claimed(conn: &Connection, scope: &Scope, after: Option<MemoryId>, limit: usize) -> Res<Vec<Memory>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    // The planner knows no sizes of scopes: without the hint it may walk all their ids.
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM memories m INDEXED BY memories_claimed WHERE m.scope = ?1 AND m.claim_key IS NOT NULL AND m.id > ?2 \
         ORDER BY m.id LIMIT ?3"
    ))?;
    let after = after.map_or_else(Vec::new, |id| id.0.as_bytes().to_vec());
    let memories = select.query_map(params![row.sid, after, limit], |r| decode(r, scope).map(|(_, m)| m))?;
    Ok(memories.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn access(conn: &Connection, scope: &Scope, ids: &[MemoryId]) -> Res<Vec<(u64, Option<Timestamp>)>> {
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(vec![(0, None); ids.len()]) };
    let mut select = conn.prepare_cached(
        "SELECT a.count, a.last_at FROM memories m JOIN access a ON a.memory = m.rid WHERE m.scope = ?1 AND m.id = ?2",
    )?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let read = |r: &rusqlite::Row<'_>| Ok((uint(r, 0)?, r.get::<_, Option<Micros>>(1)?.map(|m| m.0)));
        found.push(select.query_row(params![row.sid, Id(id.0)], read).optional()?.unwrap_or_default());
    }
    Ok(found)
}
