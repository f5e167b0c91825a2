//! What the lifecycle reads and changes: memories without their texts, strength, audit rows.

use super::{
    apply::{ScopeRow, Work},
    errors::Res,
    row::{id, int, json, micros, named, page, text_opt, time, time_opt, uint, version},
    session::Tx,
};
use futures::{TryStreamExt, pin_mut};
use rae_core::model::{Applied, KeptIds, KeyedIds, Life, LifeStamp, MemoryId};
use tokio_postgres::Row;
use uuid::Uuid;

/// The columns that [`decode`] reads. Texts lie elsewhere and are not read.
macro_rules! life_columns {
    () => {
        "SELECT m.id, m.seq, m.layer, m.kind, m.info_class, m.session_id, m.tags, m.importance, m.strength, \
         m.created_at, m.updated_at, m.witness_count, coalesce(a.count, 0), a.last_at \
         FROM rae.memories m LEFT JOIN rae.access a ON a.memory = m.rid WHERE m.scope = $1"
    };
}

pub(super) async fn lives(tx: &Tx, after: Option<MemoryId>, limit: usize) -> Res<Vec<Life>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    // The smallest id is one too: nothing is before the first page.
    let rows = match after {
        None => tx.query(concat!(life_columns!(), " ORDER BY m.id LIMIT $2"), &[&row.sid, &limit]).await?,
        Some(after) => {
            let sql = concat!(life_columns!(), " AND m.id > $2 ORDER BY m.id LIMIT $3");
            let after: Uuid = after.0;
            tx.query(sql, &[&row.sid, &after, &limit]).await?
        }
    };
    rows.iter().map(decode).collect()
}

fn decode(row: &Row) -> Res<Life> {
    Ok(Life {
        id: id(row, 0)?,
        seq: uint(row, 1)?,
        layer: named(row, 2)?,
        kind: named(row, 3)?,
        info_class: named(row, 4)?,
        session_id: text_opt(row, 5)?,
        tags: json(row, 6)?,
        importance: row.try_get(7)?,
        strength: row.try_get(8)?,
        created_at: time(row, 9)?,
        updated_at: time(row, 10)?,
        witness_count: version(row, 11)?,
        access_count: uint(row, 12)?,
        last_access: time_opt(row, 13)?,
    })
}

/// How many of the ids that receipts and batches hold are wanted. Answers are read one by one: there may be many in a day.
pub(super) async fn find_kept(tx: &Tx, wanted: &KeyedIds) -> Res<KeptIds> {
    let mut kept = KeptIds::default();
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(kept) };
    let receipts = tx.client()?.query_raw("SELECT memory FROM rae.idempotency WHERE scope = $1", [row.sid]).await?;
    pin_mut!(receipts);
    while let Some(row) = receipts.try_next().await? {
        kept.receipts += u64::from(wanted.contains(id(&row, 0)?));
    }
    let batches = tx.client()?.query_raw("SELECT applied FROM rae.batches WHERE scope = $1", [row.sid]).await?;
    pin_mut!(batches);
    while let Some(row) = batches.try_next().await? {
        kept.batches += Applied::from_bytes(row.try_get(0)?)?.ids().filter(|id| wanted.contains(*id)).count() as u64;
    }
    Ok(kept)
}

impl Work<'_> {
    /// The row and the strength of a live memory that nobody touched since it was looked up.
    pub async fn untouched(&self, stamp: &LifeStamp) -> Res<Option<(i64, f64)>> {
        let sql = "SELECT m.rid, m.strength FROM rae.memories m LEFT JOIN rae.access a ON a.memory = m.rid \
                   WHERE m.scope = $1 AND m.id = $2 AND m.seq = $3 AND a.last_at IS NOT DISTINCT FROM $4";
        let (seq, last) = (int(stamp.seq), micros(stamp.last_access));
        let row = self.tx.query_opt(sql, &[&self.row.sid, &stamp.id.0, &seq, &last]).await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// Lowers the strength of a memory that nobody touched; whether it did.
    pub async fn fade(&mut self, stamp: &LifeStamp, strength: f64) -> Res<bool> {
        let found = self.untouched(stamp).await?;
        let Some((rid, _)) = found.filter(|(_, now)| *now > strength) else { return Ok(false) };
        let seq = int(self.next_seq());
        let sql = "UPDATE rae.memories SET seq = $2, strength = $3 WHERE rid = $1";
        self.tx.execute(sql, &[&rid, &seq, &strength]).await?;
        Ok(true)
    }

    /// Moves a strength that is exactly what was left; whether it was.
    pub async fn restore_strength(&mut self, id: MemoryId, left: f64, strength: f64) -> Res<bool> {
        let sql = "SELECT rid FROM rae.memories WHERE scope = $1 AND id = $2 AND strength = $3";
        let Some(row) = self.tx.query_opt(sql, &[&self.row.sid, &id.0, &left]).await? else { return Ok(false) };
        let (rid, seq): (i64, i64) = (row.try_get(0)?, int(self.next_seq()));
        let sql = "UPDATE rae.memories SET seq = $2, strength = $3 WHERE rid = $1";
        self.tx.execute(sql, &[&rid, &seq, &strength]).await?;
        Ok(true)
    }

    /// Keeps the newest audit rows of the scope; whether others went.
    pub async fn trim_audit(&self, keep: usize) -> Res<bool> {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let sql = "DELETE FROM rae.audit WHERE scope = $1 AND aid <= \
                   (SELECT aid FROM rae.audit WHERE scope = $1 ORDER BY aid DESC LIMIT 1 OFFSET $2)";
        Ok(self.tx.execute(sql, &[&self.row.sid, &keep]).await? > 0)
    }
}
