//! Reading memories. Each function runs in one read transaction.

use super::{
    apply::ScopeRow,
    errors::Res,
    prefilter::Prefilter,
    row::{columns, decode, head_columns, id, ids, page, time_opt, uint, version},
    session::Tx,
};
use futures::{TryStreamExt, pin_mut};
use rae_core::{
    limits::PAGE_MAX,
    model::{Filter, Memory, MemoryId, MemoryVersion, Owner, Scan, Timestamp},
};
use std::collections::{BTreeMap, HashMap, HashSet};
use tokio_postgres::{RowStream, types::ToSql};
use uuid::Uuid;

/// One look-up an id: see the note in `bulk`.
const BY_IDS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM unnest($2::uuid[]) u (id), \
     LATERAL (SELECT * FROM rae.memories m WHERE m.scope = $1 AND m.id = u.id OFFSET 0) m"
);

/// One look-up a key, as above.
const BY_KEYS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM unnest($2::bytea[]) u (key), \
     LATERAL (SELECT * FROM rae.memories m WHERE m.scope = $1 AND m.dedup_key = u.key OFFSET 0) m"
);

pub(super) async fn get(tx: &Tx, wanted: &[MemoryId]) -> Res<Vec<Option<Memory>>> {
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(vec![None; wanted.len()]) };
    let mut found = HashMap::new();
    for row in tx.query(BY_IDS, &[&row.sid, &ids(wanted)]).await? {
        let (_, memory) = decode(&row, &tx.scope)?;
        found.insert(memory.id, memory);
    }
    Ok(wanted.iter().map(|id| found.get(id).cloned()).collect())
}

pub(super) async fn keyed(tx: &Tx, keys: &[[u8; 32]]) -> Res<Vec<Option<Memory>>> {
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(vec![None; keys.len()]) };
    let wanted: Vec<_> = keys.iter().map(|key| &key[..]).collect();
    let mut found = HashMap::new();
    for row in tx.query(BY_KEYS, &[&row.sid, &wanted]).await? {
        let (_, memory) = decode(&row, &tx.scope)?;
        found.extend(memory.dedup_key.map(|key| (key, memory)));
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// Rows of a statement that is put together, one after the other: a large answer is never held whole.
async fn stream(tx: &Tx, sql: &str, first: &[&(dyn ToSql + Sync)], pre: &Prefilter) -> Res<RowStream> {
    let rest = pre.params.iter().map(|p| &**p as &(dyn ToSql + Sync));
    let params: Vec<_> = first.iter().copied().chain(rest).collect();
    Ok(tx.client()?.query_raw(sql, params).await?)
}

pub(super) async fn scan(tx: &Tx, scan: &Scan) -> Res<Vec<Memory>> {
    page(scan.limit)?;
    let limit = scan.limit.min(PAGE_MAX);
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let filter = scan.filter.as_ref();
    let pre = Prefilter::of(filter, 4);
    let sql = format!(
        concat!(
            "SELECT ",
            columns!(),
            " FROM rae.memories m WHERE m.scope = $1 AND m.id > $2{} ORDER BY m.id LIMIT $3"
        ),
        pre.sql
    );
    let step = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut after = scan.after.map(|cursor| cursor.0.0);
    let mut found = Vec::new();
    // A filter that SQL tells in part leaves some of each page: then there are more pages.
    loop {
        // The smallest id is one too: nothing is before the first page.
        let sql = if after.is_some() { sql.clone() } else { sql.replacen("m.id > $2", "m.id >= $2", 1) };
        let rows = stream(tx, &sql, &[&row.sid, &after.unwrap_or(Uuid::nil()), &step], &pre).await?;
        pin_mut!(rows);
        let mut seen = 0;
        while let Some(row) = rows.try_next().await? {
            let (_, memory) = decode(&row, &tx.scope)?;
            seen += 1;
            after = Some(memory.id.0);
            if found.len() < limit && filter.is_none_or(|f| f.matches(&memory)) {
                found.push(memory);
            }
        }
        if seen < limit || found.len() >= limit {
            return Ok(found);
        }
    }
}

pub(super) async fn history(tx: &Tx, id: MemoryId) -> Res<Vec<MemoryVersion>> {
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let Some(row) = tx.query_opt(BY_IDS, &[&row.sid, &vec![id.0]]).await? else { return Ok(Vec::new()) };
    let (rid, memory) = decode(&row, &tx.scope)?;
    let sql = "SELECT state, replaced_at FROM rae.versions WHERE memory = $1 ORDER BY version";
    let mut versions = Vec::new();
    for row in tx.query(sql, &[&rid]).await? {
        let memory = serde_json::from_str(row.try_get(0)?)?;
        versions.push(MemoryVersion { memory, replaced_at: time_opt(&row, 1)? });
    }
    versions.push(MemoryVersion { memory, replaced_at: None });
    Ok(versions)
}

pub(super) async fn matching(tx: &Tx, filter: &Filter) -> Res<HashSet<MemoryId>> {
    let mut found = HashSet::new();
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(found) };
    let pre = Prefilter::of(Some(filter), 2);
    if pre.is_exact {
        let sql = format!("SELECT m.id FROM rae.memories m WHERE m.scope = $1{}", pre.sql);
        let rows = stream(tx, &sql, &[&row.sid], &pre).await?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await? {
            found.insert(id(&row, 0)?);
        }
        return Ok(found);
    }
    // What the filter does not look at is not read: long texts lie elsewhere.
    let text = if pre.needs_text { "m.metadata, m.content" } else { "NULL::text, ''::bytea" };
    let sql =
        format!(concat!("SELECT ", head_columns!(), ", {} FROM rae.memories m WHERE m.scope = $1{}"), text, pre.sql);
    let rows = stream(tx, &sql, &[&row.sid], &pre).await?;
    pin_mut!(rows);
    while let Some(row) = rows.try_next().await? {
        let (_, memory) = decode(&row, &tx.scope)?;
        if filter.matches(&memory) {
            found.insert(memory.id);
        }
    }
    Ok(found)
}

pub(super) async fn expired(tx: &Tx, now: Timestamp, limit: usize) -> Res<Vec<MemoryId>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = "SELECT id FROM rae.memories WHERE scope = $1 AND expires_at IS NOT NULL AND expires_at <= $2 \
               ORDER BY expires_at, id LIMIT $3";
    tx.query(sql, &[&row.sid, &now.micros(), &limit]).await?.iter().map(|row| id(row, 0)).collect()
}

pub(super) async fn derived_from(tx: &Tx, sources: &[MemoryId], limit: usize) -> Res<Vec<Memory>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM rae.memories m WHERE m.rid IN (SELECT d.memory FROM rae.derived d WHERE d.scope = $1 \
         AND d.source = ANY ($2)) ORDER BY m.id LIMIT $3"
    );
    let rows = tx.query(sql, &[&row.sid, &ids(sources), &limit]).await?;
    rows.iter().map(|row| decode(row, &tx.scope).map(|(_, memory)| memory)).collect()
}

/// Versions are read one by one: there may be many. Those without sources are not decoded.
pub(super) async fn once_derived_from(tx: &Tx, sources: &HashSet<MemoryId>) -> Res<Vec<(MemoryId, Vec<u32>)>> {
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = "SELECT m.id, v.version, v.state FROM rae.versions v JOIN rae.memories m ON m.rid = v.memory \
               WHERE m.scope = $1 AND strpos(v.state, '\"derived_from\":[\"') > 0";
    let rows = tx.client()?.query_raw(sql, [row.sid]).await?;
    pin_mut!(rows);
    let mut found: BTreeMap<MemoryId, Vec<u32>> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let old: Memory = serde_json::from_str(row.try_get(2)?)?;
        if old.provenance.derived_from.iter().any(|id| sources.contains(id)) {
            found.entry(id(&row, 0)?).or_default().push(version(&row, 1)?);
        }
    }
    found.values_mut().for_each(|versions| versions.sort_unstable());
    Ok(found.into_iter().collect())
}

pub(super) async fn claims(tx: &Tx, keys: &[[u8; 16]], owner: Option<&Owner>, limit: usize) -> Res<Vec<Memory>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let keys: Vec<_> = keys.iter().map(|key| &key[..]).collect();
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM rae.memories m WHERE m.scope = $1 AND m.claim_key IS NOT NULL AND m.claim_key = ANY ($2) \
         AND ($4 OR (m.user_id IS NOT DISTINCT FROM $5 AND m.agent_id IS NOT DISTINCT FROM $6)) ORDER BY m.id LIMIT $3"
    );
    let name = |name: fn(&Owner) -> Option<&String>| owner.and_then(name).map(String::as_bytes);
    let (user, agent) = (name(|owner| owner.user_id.as_ref()), name(|owner| owner.agent_id.as_ref()));
    let rows = tx.query(sql, &[&row.sid, &keys, &limit, &owner.is_none(), &user, &agent]).await?;
    rows.iter().map(|row| decode(row, &tx.scope).map(|(_, memory)| memory)).collect()
}

pub(super) async fn claimed(tx: &Tx, after: Option<MemoryId>, limit: usize) -> Res<Vec<Memory>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM rae.memories m WHERE m.scope = $1 AND m.claim_key IS NOT NULL AND m.id >= $2 ORDER BY m.id LIMIT $3"
    );
    let Some(from) = after.map_or(Some(0), |id| id.0.as_u128().checked_add(1)) else { return Ok(Vec::new()) };
    let rows = tx.query(sql, &[&row.sid, &Uuid::from_u128(from), &limit]).await?;
    rows.iter().map(|row| decode(row, &tx.scope).map(|(_, memory)| memory)).collect()
}

pub(super) async fn access(tx: &Tx, wanted: &[MemoryId]) -> Res<Vec<(u64, Option<Timestamp>)>> {
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(vec![(0, None); wanted.len()]) };
    let sql = "SELECT m.id, a.count, a.last_at FROM unnest($2::uuid[]) u (id), \
               LATERAL (SELECT m.id, m.rid FROM rae.memories m WHERE m.scope = $1 AND m.id = u.id OFFSET 0) m \
               JOIN rae.access a ON a.memory = m.rid";
    let mut found = HashMap::new();
    for row in tx.query(sql, &[&row.sid, &ids(wanted)]).await? {
        found.insert(id(&row, 0)?, (uint(&row, 1)?, time_opt(&row, 2)?));
    }
    Ok(wanted.iter().map(|id| found.get(id).copied().unwrap_or_default()).collect())
}
