//! Named documents of a project.

use super::{
    apply::{ScopeRow, Work},
    errors::Res,
    row::{Micros, page},
};
use crate::model::{Record, RecordKind, Scope, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn decode(row: &Row<'_>) -> Res<Record> {
    let body = serde_json::from_str(row.get_ref(3)?.as_str()?)?;
    Ok(Record { kind: row.get_ref(0)?.as_str()?.parse()?, name: row.get(1)?, at: row.get::<_, Micros>(2)?.0, body })
}

pub(super) fn record(conn: &Connection, scope: &Scope, kind: RecordKind, name: &str) -> Res<Option<Record>> {
    let Some(scope) = ScopeRow::find(conn, scope)? else { return Ok(None) };
    let sql = "SELECT kind, name, at, body FROM records WHERE scope = ?1 AND kind = ?2 AND name = ?3";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query(params![scope.sid, kind.as_str(), name])?;
    rows.next()?.map(decode).transpose()
}

pub(super) fn records(
    conn: &Connection,
    scope: &Scope,
    kind: RecordKind,
    after: Option<&str>,
    limit: usize,
) -> Res<Vec<Record>> {
    let limit = page(limit)?;
    let Some(scope) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let sql = "SELECT kind, name, at, body FROM records WHERE scope = ?1 AND kind = ?2 AND (?3 IS NULL OR name > ?3) \
               ORDER BY name LIMIT ?4";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query(params![scope.sid, kind.as_str(), after, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(decode(row)?);
    }
    Ok(found)
}

impl Work<'_> {
    /// Writes a record in the place of the one with its name.
    pub fn put_record(&self, record: &Record) -> Res<()> {
        let sql = "INSERT OR REPLACE INTO records (scope, kind, name, at, body) VALUES (?1, ?2, ?3, ?4, ?5)";
        let body = serde_json::to_string(&record.body)?;
        let (sid, kind, at) = (self.row.sid, record.kind.as_str(), self.at.micros());
        self.conn.prepare_cached(sql)?.execute(params![sid, kind, record.name, at, body])?;
        Ok(())
    }

    /// When a record was written, where there is one.
    pub fn record_at(&self, kind: RecordKind, name: &str) -> Res<Option<Timestamp>> {
        let sql = "SELECT at FROM records WHERE scope = ?1 AND kind = ?2 AND name = ?3";
        let mut select = self.conn.prepare_cached(sql)?;
        let at = select.query_row(params![self.row.sid, kind.as_str(), name], |row| row.get::<_, Micros>(0));
        Ok(at.optional()?.map(|at| at.0))
    }

    /// Whether there was one.
    pub fn drop_record(&self, kind: RecordKind, name: &str) -> Res<bool> {
        let sql = "DELETE FROM records WHERE scope = ?1 AND kind = ?2 AND name = ?3";
        Ok(self.conn.prepare_cached(sql)?.execute(params![self.row.sid, kind.as_str(), name])? > 0)
    }
}
