//! Numbers and records about the store, housekeeping, checks and copies.

use super::{
    apply::{ScopeRow, current_embedder, forgotten_before},
    budgets,
    errors::{Fault, Res, from_io, is_busy},
    open::beside,
    row::{Id, Micros, holds_id, page, uint},
    schema,
    worker::write,
};
use crate::{
    ctx::Ctx,
    error::Error,
    limits::{BACKUP_PAGES, FINDINGS_MAX, SQLITE_CHECKPOINT_MILLIS, SQLITE_VACUUM_PAGES},
    model::{Audit, Scope, StoreStats, Timestamp},
};
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
    params,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use uuid::Uuid;

pub(super) fn stats(conn: &Connection, scope: &Scope, path: Option<&Path>) -> Res<StoreStats> {
    let pragma = |sql| conn.query_row(sql, [], |r| uint(r, 0));
    let mut stats = StoreStats { schema_version: schema::VERSION, ..StoreStats::default() };
    stats.bytes = match path {
        None => pragma("PRAGMA page_count")?.saturating_mul(pragma("PRAGMA page_size")?),
        Some(path) => {
            let length = |p: &Path| fs::metadata(p).map_or(0, |m| m.len());
            length(path).saturating_add(length(&beside(path, "-wal")))
        }
    };
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(stats) };
    stats.by_layer = row.counts;
    stats.memories = row.counts.iter().sum();
    if let Some((no, ..)) = current_embedder(conn)? {
        let sql = "SELECT count(*) FROM memories m INDEXED BY memories_seq CROSS JOIN vectors v \
                   WHERE m.scope = ?1 AND v.key = m.rid * 256 + ?2";
        stats.vectors = conn.prepare_cached(sql)?.query_row([row.sid, no], |r| uint(r, 0))?;
    }
    let mut jobs = conn.prepare_cached("SELECT count(*) FROM jobs WHERE scope = ?1 AND state = ?2")?;
    stats.jobs_queued = jobs.query_row(params![row.sid, "queued"], |r| uint(r, 0))?;
    stats.jobs_dead = jobs.query_row(params![row.sid, "dead"], |r| uint(r, 0))?;
    Ok(stats)
}

pub(super) fn scopes(conn: &Connection) -> Res<Vec<Scope>> {
    let mut select =
        conn.prepare_cached("SELECT tenant, project FROM scopes WHERE seq > 0 ORDER BY tenant, project")?;
    let mut rows = select.query([])?;
    let mut scopes = Vec::new();
    while let Some(row) = rows.next()? {
        scopes.push(Scope::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?)?);
    }
    Ok(scopes)
}

pub(super) fn audit(
    conn: &Connection,
    scope: &Scope,
    before: Option<u64>,
    limit: usize,
) -> Res<Vec<(u64, Timestamp, Audit)>> {
    let (limit, before) = (page(limit)?, before.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX));
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let mut select = conn.prepare_cached(
        "SELECT at, action, details, aid FROM audit WHERE scope = ?1 AND aid < ?3 ORDER BY aid DESC LIMIT ?2",
    )?;
    let mut rows = select.query([row.sid, limit, before])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let details = serde_json::from_str(row.get_ref(2)?.as_str()?)?;
        let number = u64::try_from(row.get::<_, i64>(3)?).unwrap_or_default();
        found.push((number, row.get::<_, Micros>(0)?.0, Audit { action: row.get(1)?, details }));
    }
    Ok(found)
}

/// Forgets what is due, gives pages back and empties the log; whether nothing is left in it.
pub(super) fn checkpoint(conn: &Connection, now: Timestamp, tombstones: usize) -> Res<bool> {
    write(conn, |conn| {
        let due = forgotten_before(now);
        conn.execute("DELETE FROM batches WHERE at <= ?1", [due])?;
        conn.execute("DELETE FROM idempotency WHERE at <= ?1", [due])?;
        budgets::forget_spend(conn, now)?;
        prune_tombstones(conn, tombstones)
    })?;
    conn.execute_batch(&format!("PRAGMA incremental_vacuum({SQLITE_VACUUM_PAGES})"))?;
    empty_log(conn)
}

/// Writes everything in the log to the file and cuts the log; whether that was possible now. Readers are not waited for
/// long: the writer has better things to do.
pub(super) fn empty_log(conn: &Connection) -> Res<bool> {
    let usual: i64 = conn.query_row("PRAGMA busy_timeout", [], |r| r.get(0))?;
    conn.busy_timeout(Duration::from_millis(SQLITE_CHECKPOINT_MILLIS))?;
    let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, i64>(0));
    conn.busy_timeout(Duration::from_millis(u64::try_from(usual).unwrap_or_default()))?;
    match busy {
        Ok(busy) => Ok(busy == 0),
        Err(e) if is_busy(&e) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Keeps the newest `keep` tombstones of each scope and raises the floor to the newest one that goes.
fn prune_tombstones(conn: &Connection, keep: usize) -> Res<()> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let mut select = conn.prepare(
        "SELECT s.sid, (SELECT t.seq FROM tombstones t WHERE t.scope = s.sid ORDER BY t.seq DESC LIMIT 1 OFFSET ?1) \
         FROM scopes s",
    )?;
    let floors = select.query_map([keep], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let floors = floors.collect::<rusqlite::Result<Vec<(i64, Option<i64>)>>>()?;
    for (sid, floor) in floors {
        let Some(floor) = floor else { continue };
        conn.execute("DELETE FROM tombstones WHERE scope = ?1 AND seq <= ?2", [sid, floor])?;
        conn.execute("UPDATE scopes SET tombstone_floor = max(tombstone_floor, ?2) WHERE sid = ?1", [sid, floor])?;
    }
    Ok(())
}

/// Rules of the store as queries that must find nothing, with what to say about each row found.
const INVARIANTS: [(&str, &str); 12] = [
    (
        "a claim has no key, or a key no claim",
        "SELECT rid FROM memories WHERE (claim IS NULL) <> (claim_key IS NULL) OR length(claim_key) <> 16",
    ),
    (
        "a vector belongs to no memory or to no embedder",
        "SELECT v.key FROM vectors v WHERE NOT EXISTS (SELECT 1 FROM memories m WHERE m.rid = v.key >> 8) \
         OR NOT EXISTS (SELECT 1 FROM embedders e WHERE e.no = v.key & 255)",
    ),
    (
        "a vector does not have its embedder's dimension",
        "SELECT v.key FROM vectors v JOIN embedders e ON e.no = v.key & 255 WHERE length(v.data) <> e.dim * 4",
    ),
    (
        "a memory, version, access row, segment, tombstone, job or receipt belongs to no scope or memory",
        "SELECT rid FROM memories WHERE scope NOT IN (SELECT sid FROM scopes) \
         UNION ALL SELECT vid FROM versions WHERE memory NOT IN (SELECT rid FROM memories) \
         UNION ALL SELECT memory FROM access WHERE memory NOT IN (SELECT rid FROM memories) \
         UNION ALL SELECT segment FROM segments WHERE scope NOT IN (SELECT sid FROM scopes) \
         UNION ALL SELECT seq FROM tombstones WHERE scope NOT IN (SELECT sid FROM scopes) \
         UNION ALL SELECT jid FROM jobs WHERE scope NOT IN (SELECT sid FROM scopes) \
         UNION ALL SELECT i.rowid FROM (SELECT 0 AS rowid, scope, memory FROM idempotency) i \
         WHERE NOT EXISTS (SELECT 1 FROM memories m WHERE m.scope = i.scope AND m.id = i.memory)",
    ),
    (
        "the change log of a scope ends before a change",
        "SELECT sid FROM scopes s WHERE seq < max(ifnull((SELECT max(seq) FROM memories m WHERE m.scope = s.sid), 0), \
         ifnull((SELECT max(seq) FROM tombstones t WHERE t.scope = s.sid), 0), tombstone_floor)",
    ),
    ("two memories have the same change number", "SELECT seq FROM memories GROUP BY scope, seq HAVING count(*) > 1"),
    (
        "a deletion has the change number of a memory",
        "SELECT t.seq FROM tombstones t JOIN memories m ON m.scope = t.scope AND m.seq = t.seq",
    ),
    (
        "the counts by layer of a scope are wrong",
        "SELECT sid FROM scopes s LEFT JOIN (SELECT scope, sum(layer = 'sensory') a, sum(layer = 'working') b, \
         sum(layer = 'episodic') c, sum(layer = 'semantic') d, sum(layer = 'reflective') e \
         FROM memories GROUP BY scope) m \
         ON m.scope = s.sid WHERE sensory <> ifnull(a, 0) OR working <> ifnull(b, 0) OR episodic <> ifnull(c, 0) \
         OR semantic <> ifnull(d, 0) OR reflective <> ifnull(e, 0)",
    ),
    (
        "a memory of a session has no place in it",
        "SELECT rid FROM memories WHERE (session_id IS NULL) <> (seq_in_session IS NULL)",
    ),
    (
        "a record of a derivation belongs to no memory",
        "SELECT memory FROM derived d WHERE NOT EXISTS (SELECT 1 FROM memories m WHERE m.rid = d.memory \
         AND m.scope = d.scope)",
    ),
    ("a segment is malformed", "SELECT segment FROM segments WHERE length(ids) % 16 <> 0 OR to_seq < from_seq"),
    (
        "the store's embedder is not known",
        "SELECT 1 FROM meta WHERE key = 'embedder' AND value NOT IN (SELECT no FROM embedders)",
    ),
];

pub(super) fn verify(conn: &Connection, now: Timestamp) -> Res<Vec<String>> {
    let mut findings = Vec::new();
    let mut check = conn.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        if text != "ok" {
            findings.push(format!("the file is damaged: {text}"));
        }
    }
    for (rule, sql) in INVARIANTS {
        let mut select = conn.prepare(sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if findings.len() >= FINDINGS_MAX {
                return Ok(findings);
            }
            findings.push(format!("{rule} (row {})", row.get::<_, i64>(0)?));
        }
    }
    stale_segments(conn, &mut findings)?;
    budgets::verify(conn, now, &mut findings)?;
    Ok(findings)
}

/// Segments that still hold a memory which was deleted after they were built.
fn stale_segments(conn: &Connection, findings: &mut Vec<String>) -> Res<()> {
    let mut select = conn.prepare(
        "SELECT g.segment, g.ids, t.id FROM segments g JOIN tombstones t ON t.scope = g.scope AND t.seq > g.to_seq \
         AND t.id BETWEEN g.least AND g.greatest",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let ids = row.get_ref(1)?.as_blob()?;
        let deleted = row.get::<_, Id>(2)?.into();
        if findings.len() < FINDINGS_MAX && holds_id(ids, deleted) {
            findings.push(format!("segment {} holds a deleted memory", row.get::<_, i64>(0)?));
        }
    }
    Ok(())
}

/// Copies the store as it stands now to `target`, which appears only when the copy is whole and on the disk.
pub(super) fn backup(conn: &Connection, ctx: &Ctx, source: Option<&Path>, target: &Path) -> Res<()> {
    let shown = target.display().to_string();
    let name = target.file_name().ok_or_else(|| Error::invalid(format!("{shown} is not the path of a file")))?;
    let folder = target.parent().filter(|f| f.is_dir());
    let folder =
        folder.ok_or_else(|| Error::invalid(format!("the folder of {shown} does not exist; make it first")))?;
    if fs::symlink_metadata(target).is_ok() {
        return Err(exists(&shown).into());
    }
    let random: [u8; 16] = conn.query_row("SELECT randomblob(16)", [], |r| r.get(0))?;
    let mut part = std::ffi::OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", Uuid::from_bytes(random).simple()));
    let part = Part(folder.join(part));
    copy(conn, ctx, &part.0)?;
    let fail = |e: io::Error| from_io(e, &format!("the backup {shown} cannot be written"));
    if let Some(source) = source {
        let permissions = fs::metadata(source).map_err(fail)?.permissions();
        fs::set_permissions(&part.0, permissions).map_err(fail)?;
    }
    fs::File::open(&part.0).and_then(|f| f.sync_all()).map_err(fail)?;
    publish(&part.0, target).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => exists(&shown),
        _ => fail(e),
    })?;
    sync_folder(folder).map_err(fail)?;
    Ok(())
}

fn exists(shown: &str) -> Error {
    Error::conflict(format!("{shown} exists already; give the path of a new file")).with_code("exists")
}

/// A file that goes when this does.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            // Most of them were never there.
            let _ = fs::remove_file(beside(&self.0, suffix));
        }
    }
}

fn copy(conn: &Connection, ctx: &Ctx, part: &Path) -> Res<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(part, flags)?;
    // The file is synced once, when it is whole.
    copy.execute_batch("PRAGMA synchronous = OFF")?;
    // The caller's read transaction holds the state, so that writers do not make the copy begin again.
    let backup = Backup::new(conn, &mut copy)?;
    loop {
        match backup.step(BACKUP_PAGES)? {
            StepResult::Done => break,
            StepResult::More => ctx.check()?,
            _ => return Err(Error::unavailable("the store is locked; try again").with_code("busy").temporary().into()),
        }
    }
    drop(backup);
    copy.close().map_err(|(_, e)| Fault::from(e))
}

/// Gives `part` its name without ever replacing a file.
fn publish(part: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(part, target) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
        // A file system without links: the look and the rename are two steps there.
        Err(_) if fs::symlink_metadata(target).is_err() => fs::rename(part, target),
        Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Makes the new name last. Only on Unix can a folder be opened for that.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
