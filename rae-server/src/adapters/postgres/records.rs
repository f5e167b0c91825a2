//! Named documents of a project.

use super::{
    apply::{ScopeRow, Work},
    errors::Res,
    row::{named, page, text, time},
    session::{Params, Tx},
};
use rae_core::model::{Record, RecordKind, Timestamp};
use tokio_postgres::Row;

fn decode(row: &Row) -> Res<Record> {
    let body = serde_json::from_str(row.try_get(3)?)?;
    Ok(Record { kind: named(row, 0)?, name: text(row, 1)?, at: time(row, 2)?, body })
}

pub(super) async fn record(tx: &Tx, kind: RecordKind, name: &str) -> Res<Option<Record>> {
    let Some(scope) = ScopeRow::find(tx).await? else { return Ok(None) };
    let sql = "SELECT kind, name, at, body FROM rae.records WHERE scope = $1 AND kind = $2 AND name = $3";
    let params: Params<'_> = &[&scope.sid, &kind.as_str(), &name.as_bytes()];
    tx.query_opt(sql, params).await?.as_ref().map(decode).transpose()
}

pub(super) async fn records(tx: &Tx, kind: RecordKind, after: Option<&str>, limit: usize) -> Res<Vec<Record>> {
    let limit = page(limit)?;
    let Some(scope) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = "SELECT kind, name, at, body FROM rae.records WHERE scope = $1 AND kind = $2 \
               AND ($3::bytea IS NULL OR name > $3) ORDER BY name LIMIT $4";
    let params: Params<'_> = &[&scope.sid, &kind.as_str(), &after.map(str::as_bytes), &limit];
    tx.query(sql, params).await?.iter().map(decode).collect()
}

impl Work<'_> {
    /// Writes a record in the place of the one with its name.
    pub async fn put_record(&self, record: &Record) -> Res<()> {
        let sql = "INSERT INTO rae.records (tid, scope, kind, name, at, body) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (scope, kind, name) DO UPDATE SET at = excluded.at, body = excluded.body";
        let body = serde_json::to_string(&record.body)?;
        let (row, kind, at) = (&self.row, record.kind.as_str(), self.at.micros());
        self.tx.execute(sql, &[&row.tid, &row.sid, &kind, &record.name.as_bytes(), &at, &body]).await?;
        Ok(())
    }

    /// When a record was written, where there is one.
    pub async fn record_at(&self, kind: RecordKind, name: &str) -> Res<Option<Timestamp>> {
        let sql = "SELECT at FROM rae.records WHERE scope = $1 AND kind = $2 AND name = $3";
        let row = self.tx.query_opt(sql, &[&self.row.sid, &kind.as_str(), &name.as_bytes()]).await?;
        row.map(|row| time(&row, 0)).transpose()
    }

    /// Whether there was one.
    pub async fn drop_record(&self, kind: RecordKind, name: &str) -> Res<bool> {
        let sql = "DELETE FROM rae.records WHERE scope = $1 AND kind = $2 AND name = $3";
        Ok(self.tx.execute(sql, &[&self.row.sid, &kind.as_str(), &name.as_bytes()]).await? > 0)
    }
}
