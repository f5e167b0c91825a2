//! Deleting: one memory, what a layer has too much, a session, a user, a project, a tenant.

use super::{
    apply::{ScopeRow, Work},
    errors::Res,
    row::{Id, holds_id, int},
};
use crate::model::{DropTarget, Layer, MemoryId, Outcome, Provenance, Scope, SegmentRow};
use rusqlite::{OptionalExtension, Params, params};

impl Work<'_> {
    /// Removes a memory with all that belongs to it and leaves a tombstone; whether there was one.
    pub fn delete(&mut self, id: MemoryId) -> Res<bool> {
        let (conn, sid) = (self.conn, self.row.sid);
        let mut select = conn.prepare_cached(
            "SELECT rid, layer, provenance, session_id IS NULL FROM memories WHERE scope = ?1 AND id = ?2",
        )?;
        let found = select
            .query_row(params![sid, Id(id.0)], |r| {
                Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?, r.get::<_, Option<String>>(2)?, r.get::<_, bool>(3)?))
            })
            .optional()?;
        let Some((rid, layer, provenance, no_session)) = found else { return Ok(false) };
        if let Some(provenance) = provenance {
            let provenance: Provenance = serde_json::from_str(&provenance)?;
            self.underive(rid, &provenance.derived_from)?;
        }
        self.drop_vectors(rid)?;
        conn.prepare_cached("DELETE FROM idempotency WHERE scope = ?1 AND memory = ?2")?
            .execute(params![sid, Id(id.0)])?;
        // Versions and access data go with it, by reference.
        conn.prepare_cached("DELETE FROM memories WHERE rid = ?1")?.execute([rid])?;
        self.drop_segments_with(id)?;
        let seq = int(self.next_seq());
        conn.prepare_cached("INSERT OR REPLACE INTO tombstones (scope, id, seq) VALUES (?1, ?2, ?3)")?
            .execute(params![sid, Id(id.0), seq])?;
        self.row.uncount(layer.parse::<Layer>()?);
        if !no_session {
            self.next_in_session.clear();
        }
        Ok(true)
    }

    /// Removes older versions of a live memory; whether there were any of these.
    pub fn drop_versions(&self, id: MemoryId, versions: &[u32]) -> Res<bool> {
        let mut delete = self.conn.prepare_cached(
            "DELETE FROM versions WHERE memory = (SELECT rid FROM memories WHERE scope = ?1 AND id = ?2) AND version = ?3",
        )?;
        let mut gone = 0;
        for version in versions {
            gone += delete.execute(params![self.row.sid, Id(id.0), version])?;
        }
        Ok(gone > 0)
    }

    fn drop_segments_with(&self, id: MemoryId) -> Res<()> {
        let mut select = self
            .conn
            .prepare_cached("SELECT segment, ids FROM segments WHERE scope = ?1 AND least <= ?2 AND greatest >= ?2")?;
        let mut rows = select.query(params![self.row.sid, Id(id.0)])?;
        let mut gone = Vec::new();
        while let Some(row) = rows.next()? {
            if holds_id(row.get_ref(1)?.as_blob()?, id) {
                gone.push(row.get::<_, i64>(0)?);
            }
        }
        drop(rows);
        for segment in gone {
            self.conn.prepare_cached("DELETE FROM segments WHERE segment = ?1")?.execute([segment])?;
        }
        Ok(())
    }

    fn ids(&self, sql: &str, params: impl Params) -> Res<Vec<MemoryId>> {
        let mut select = self.conn.prepare_cached(sql)?;
        let ids = select.query_map(params, |r| r.get::<_, Id>(0).map(Into::into))?.collect::<rusqlite::Result<_>>()?;
        Ok(ids)
    }

    fn delete_all(&mut self, ids: &[MemoryId]) -> Res<u64> {
        let mut deleted = 0;
        for id in ids {
            deleted += u64::from(self.delete(*id)?);
        }
        Ok(deleted)
    }

    /// Deletes all but the newest `keep` of a layer; gives what went, oldest first.
    pub fn trim(&mut self, layer: Layer, session: Option<&str>, keep: usize) -> Res<Vec<MemoryId>> {
        // The layer is spelled out, as the partial indexes are only used for a constant.
        let session_is = if session.is_some() { "AND session_id = ?3" } else { "" };
        let sql = format!(
            "SELECT id FROM memories WHERE scope = ?1 AND layer = '{layer}' {session_is} \
             ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?2"
        );
        let (sid, keep) = (self.row.sid, i64::try_from(keep).unwrap_or(i64::MAX));
        let mut ids = match session {
            Some(session) => self.ids(&sql, params![sid, keep, session])?,
            None => self.ids(&sql, params![sid, keep])?,
        };
        ids.reverse();
        self.delete_all(&ids)?;
        Ok(ids)
    }

    /// Stores a segment unless a memory in it was, or may have been, deleted since it was built; whether it did.
    pub fn put_segment(&self, row: &SegmentRow) -> Res<bool> {
        if row.to_seq < self.row.floor {
            return Ok(false);
        }
        let (conn, sid) = (self.conn, self.row.sid);
        let mut ids: Vec<[u8; 16]> = row.ids.iter().map(|id| *id.0.as_bytes()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut select = conn.prepare_cached("SELECT id FROM tombstones WHERE scope = ?1 AND seq > ?2")?;
        let mut deleted = select.query([sid, int(row.to_seq)])?;
        while let Some(tombstone) = deleted.next()? {
            if ids.binary_search(tombstone.get::<_, Id>(0)?.0.as_bytes()).is_ok() {
                return Ok(false);
            }
        }
        let range = [sid, int(row.from_seq), int(row.to_seq)];
        conn.prepare_cached("DELETE FROM segments WHERE scope = ?1 AND from_seq >= ?2 AND to_seq <= ?3")?
            .execute(range)?;
        conn.prepare_cached(
            "INSERT INTO segments (scope, from_seq, to_seq, least, greatest, ids, data) VALUES (?1, ?2, ?3, ?4, ?5, \
             ?6, ?7)",
        )?
        .execute(params![
            sid,
            int(row.from_seq),
            int(row.to_seq),
            ids.first().map(|id| &id[..]),
            ids.last().map(|id| &id[..]),
            ids.as_flattened(),
            row.data
        ])?;
        Ok(true)
    }

    pub fn drop_scope(&mut self, target: &DropTarget) -> Res<Outcome> {
        self.erase_money(target)?;
        let own = vec![self.scope.project().to_owned()];
        let by = |column| format!("SELECT id FROM memories WHERE scope = ?1 AND {column} = ?2 ORDER BY id");
        let (memories, projects) = match target {
            DropTarget::Session(session) => {
                let ids = self.ids(&by("session_id"), params![self.row.sid, session])?;
                let sql = "DELETE FROM jobs WHERE scope = ?1 AND payload = ?2";
                self.conn
                    .prepare_cached(sql)?
                    .execute(params![self.row.sid, DropTarget::job_of(session).to_string()])?;
                (self.delete_all(&ids)?, own)
            }
            DropTarget::User(user) => {
                let ids = self.ids(&by("user_id"), params![self.row.sid, user])?;
                (self.delete_all(&ids)?, own)
            }
            DropTarget::Project(project) => self.erase(Some(project))?,
            DropTarget::Tenant => {
                self.shut_doors()?;
                self.erase(None)?
            }
        };
        Ok(Outcome::Dropped { memories, projects })
    }

    /// Erases one project of the tenant, or all of them.
    fn erase(&mut self, project: Option<&str>) -> Res<(u64, Vec<String>)> {
        let tenant = self.scope.tenant();
        let mut select = self.conn.prepare_cached(
            "SELECT project FROM scopes WHERE tenant = ?1 AND (?2 IS NULL OR project = ?2) ORDER BY project",
        )?;
        let projects = select.query_map(params![tenant, project], |r| r.get(0))?;
        let projects = projects.collect::<rusqlite::Result<Vec<String>>>()?;
        let mut memories = 0;
        for project in &projects {
            let name = Scope::new(tenant, project)?;
            if name == *self.scope {
                let mut row = self.row.clone();
                memories += self.erase_one(&mut row, self.first_audit)?;
                self.row = row;
                self.next_in_session.clear();
            } else if let Some(mut row) = ScopeRow::find(self.conn, &name)? {
                memories += self.erase_one(&mut row, None)?;
                row.save(self.conn)?;
            }
        }
        Ok((memories, projects))
    }

    /// Erases a scope. Its number keeps growing and the floor goes with it, also where nothing lived any more, so that every reader
    /// learns that it must rebuild; batch ids stay (numbers only), so that a late retry does not bring anything back. Audit rows from
    /// `first_audit` on are of the erasing batch itself and stay.
    fn erase_one(&self, row: &mut ScopeRow, first_audit: Option<i64>) -> Res<u64> {
        let conn = self.conn;
        conn.execute(
            "DELETE FROM vectors WHERE key IN (SELECT m.rid * 256 + e.no FROM memories m, embedders e \
             WHERE m.scope = ?1)",
            [row.sid],
        )?;
        for table in ["memories", "derived", "segments", "tombstones", "idempotency", "jobs", "schedules", "records"] {
            conn.execute(&format!("DELETE FROM {table} WHERE scope = ?1"), [row.sid])?;
        }
        conn.execute("DELETE FROM audit WHERE scope = ?1 AND (?2 IS NULL OR aid < ?2)", params![row.sid, first_audit])?;
        let memories: u64 = row.counts.iter().sum();
        row.seq = row.seq.saturating_add(memories.max(row.seq.min(1)));
        row.floor = row.seq;
        row.counts = Default::default();
        Ok(memories)
    }
}
