//! What the lifecycle reads and changes: memories without their texts, strength, audit rows.

use super::{
    apply::{ScopeRow, Work},
    errors::Res,
    row::{Id, Micros, int, json, named, page, uint},
};
use crate::model::{Applied, KeptIds, KeyedIds, Life, LifeStamp, MemoryId, Scope};
use rusqlite::{Connection, OptionalExtension, params};

pub(super) fn lives(conn: &Connection, scope: &Scope, after: Option<MemoryId>, limit: usize) -> Res<Vec<Life>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    // The columns lie before the text, so that the pages a long one overflows to are not read.
    let mut select = conn.prepare_cached(
        "SELECT m.id, m.seq, m.layer, m.kind, m.info_class, m.session_id, m.tags, m.importance, m.strength, \
         m.created_at, m.updated_at, m.witness_count, ifnull(a.count, 0), a.last_at \
         FROM memories m LEFT JOIN access a ON a.memory = m.rid WHERE m.scope = ?1 AND m.id > ?2 ORDER BY m.id LIMIT ?3",
    )?;
    let after = after.map_or_else(Vec::new, |id| id.0.as_bytes().to_vec());
    let lives = select.query_map(params![row.sid, after, limit], |r| {
        Ok(Life {
            id: r.get::<_, Id>(0)?.into(),
            seq: uint(r, 1)?,
            layer: named(r, 2)?,
            kind: named(r, 3)?,
            info_class: named(r, 4)?,
            session_id: r.get(5)?,
            tags: json(r, 6)?,
            importance: r.get(7)?,
            strength: r.get(8)?,
            created_at: r.get::<_, Micros>(9)?.0,
            updated_at: r.get::<_, Micros>(10)?.0,
            witness_count: r.get(11)?,
            access_count: uint(r, 12)?,
            last_access: r.get::<_, Option<Micros>>(13)?.map(|m| m.0),
        })
    })?;
    Ok(lives.collect::<rusqlite::Result<_>>()?)
}

/// How many of the ids that receipts and batches hold are wanted.
pub(super) fn find_kept(conn: &Connection, scope: &Scope, wanted: &KeyedIds) -> Res<KeptIds> {
    let mut kept = KeptIds::default();
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(kept) };
    let mut select = conn.prepare_cached("SELECT memory FROM idempotency WHERE scope = ?1")?;
    let mut rows = select.query([row.sid])?;
    while let Some(row) = rows.next()? {
        kept.receipts += u64::from(wanted.contains(row.get::<_, Id>(0)?.into()));
    }
    let mut select = conn.prepare_cached("SELECT applied FROM batches WHERE scope = ?1")?;
    let mut rows = select.query([row.sid])?;
    while let Some(row) = rows.next()? {
        let applied = Applied::from_bytes(row.get_ref(0)?.as_blob()?)?;
        kept.batches += applied.ids().filter(|id| wanted.contains(*id)).count() as u64;
    }
    Ok(kept)
}

impl Work<'_> {
    /// The row and the strength of a live memory that nobody touched since it was looked up.
    pub fn untouched(&self, stamp: &LifeStamp) -> Res<Option<(i64, f64)>> {
        let mut select = self.conn.prepare_cached(
            "SELECT m.rid, m.strength FROM memories m LEFT JOIN access a ON a.memory = m.rid \
             WHERE m.scope = ?1 AND m.id = ?2 AND m.seq = ?3 AND a.last_at IS ?4",
        )?;
        let wanted = params![self.row.sid, Id(stamp.id.0), int(stamp.seq), stamp.last_access.map(Micros)];
        Ok(select.query_row(wanted, |r| Ok((r.get(0)?, r.get(1)?))).optional()?)
    }

    /// Lowers the strength of a memory that nobody touched; whether it did.
    pub fn fade(&mut self, stamp: &LifeStamp, strength: f64) -> Res<bool> {
        let Some((rid, _)) = self.untouched(stamp)?.filter(|(_, now)| *now > strength) else { return Ok(false) };
        let seq = int(self.next_seq());
        let sql = "UPDATE memories SET seq = ?2, strength = ?3 WHERE rid = ?1";
        self.conn.prepare_cached(sql)?.execute(params![rid, seq, strength])?;
        Ok(true)
    }

    /// Moves a strength that is exactly what was left; whether it was.
    pub fn restore_strength(&mut self, id: MemoryId, left: f64, strength: f64) -> Res<bool> {
        let mut select =
            self.conn.prepare_cached("SELECT rid FROM memories WHERE scope = ?1 AND id = ?2 AND strength = ?3")?;
        let found = select.query_row(params![self.row.sid, Id(id.0), left], |r| r.get::<_, i64>(0)).optional()?;
        let Some(rid) = found else { return Ok(false) };
        let seq = int(self.next_seq());
        let sql = "UPDATE memories SET seq = ?2, strength = ?3 WHERE rid = ?1";
        self.conn.prepare_cached(sql)?.execute(params![rid, seq, strength])?;
        Ok(true)
    }

    /// Keeps the newest audit rows of the scope; whether others went.
    pub fn trim_audit(&self, keep: usize) -> Res<bool> {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let sql = "DELETE FROM audit WHERE scope = ?1 AND aid <= \
                   (SELECT aid FROM audit WHERE scope = ?1 ORDER BY aid DESC LIMIT 1 OFFSET ?2)";
        Ok(self.conn.prepare_cached(sql)?.execute([self.row.sid, keep])? > 0)
    }
}
