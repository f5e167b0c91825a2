//! Deleting: memories, what a layer has too much, a session, a user, a project, a tenant.

use super::{
    apply::{ScopeRow, Work},
    errors::Res,
    row::{id, ids, int, named},
    session::Params,
};
use futures::try_join;
use rae_core::model::{DropTarget, Layer, MemoryId, Outcome, SegmentRow};
use std::collections::HashMap;
use tokio_postgres::Row;
use uuid::Uuid;

impl Work<'_> {
    /// Removes older versions of a live memory; whether there were any of these.
    pub async fn drop_versions(&self, id: MemoryId, versions: &[u32]) -> Res<bool> {
        let sql = "DELETE FROM rae.versions WHERE memory = (SELECT rid FROM rae.memories WHERE scope = $1 AND id = $2) \
                   AND version = ANY ($3)";
        let versions: Vec<i64> = versions.iter().copied().map(i64::from).collect();
        Ok(self.tx.execute(sql, &[&self.row.sid, &id.0, &versions]).await? > 0)
    }

    /// Removes memories with all that belongs to them and leaves tombstones, numbered in the order given; how many there
    /// were. Versions and access data go with a memory, by reference.
    pub async fn delete_all(&mut self, gone: &[MemoryId]) -> Res<u64> {
        if gone.is_empty() {
            return Ok(0);
        }
        let (tx, sid) = (self.tx, self.row.sid);
        let sql = "DELETE FROM rae.memories WHERE rid = ANY (ARRAY(SELECT m.rid FROM unnest($2::uuid[]) u (id), \
                   LATERAL (SELECT m.rid FROM rae.memories m WHERE m.scope = $1 AND m.id = u.id OFFSET 0) m)) \
                   RETURNING id, rid, layer, session_id IS NOT NULL";
        let mut found: HashMap<Uuid, (i64, Layer)> = HashMap::new();
        for row in tx.query(sql, &[&sid, &ids(gone)]).await? {
            found.insert(row.try_get(0)?, (row.try_get(1)?, named(&row, 2)?));
            if row.try_get(3)? {
                self.next_in_session.clear();
            }
        }
        if found.is_empty() {
            return Ok(0);
        }
        let rids: Vec<_> = found.values().map(|(rid, _)| *rid).collect();
        let (mut dead, mut seqs) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
        for id in gone {
            if let Some((_, layer)) = found.remove(&id.0) {
                dead.push(id.0);
                seqs.push(int(self.next_seq()));
                self.row.uncount(layer);
            }
        }
        let by_rid: Params<'_> = &[&rids];
        let by_id: Params<'_> = &[&sid, &dead];
        let numbered: Params<'_> = &[&sid, &self.row.tid, &dead, &seqs];
        try_join!(
            tx.execute("DELETE FROM rae.vectors WHERE memory = ANY ($1)", by_rid),
            tx.execute("DELETE FROM rae.derived WHERE memory = ANY ($1)", by_rid),
            tx.execute("DELETE FROM rae.idempotency WHERE scope = $1 AND memory = ANY ($2)", by_id),
            tx.execute(
                "DELETE FROM rae.segments g WHERE g.scope = $1 AND EXISTS (SELECT 1 FROM unnest($2::uuid[]) d (id) \
                 WHERE d.id BETWEEN g.least AND g.greatest) AND EXISTS (SELECT 1 FROM unnest(g.ids) i (id) \
                 JOIN unnest($2::uuid[]) d (id) ON d.id = i.id)",
                by_id
            ),
            tx.execute(
                "INSERT INTO rae.tombstones (scope, tid, id, seq) SELECT $1::bigint, $2::bigint, u.* \
                 FROM unnest($3::uuid[], $4::bigint[]) u ON CONFLICT (scope, id) DO UPDATE SET seq = excluded.seq",
                numbered
            ),
        )?;
        Ok(u64::try_from(dead.len()).unwrap_or(u64::MAX))
    }

    /// Deletes all but the newest `keep` of a layer; gives what went, oldest first.
    pub async fn trim(&mut self, layer: Layer, session: Option<&str>, keep: usize) -> Res<Vec<MemoryId>> {
        // The layer is spelled out where it has an index of its own: a partial one is only used for a constant.
        let sql = match (layer, session) {
            (Layer::Sensory, None) => {
                "SELECT id FROM rae.memories WHERE scope = $1 AND layer = 'sensory' AND layer = $3 AND $4::bytea IS NULL \
                 ORDER BY created_at DESC, id DESC OFFSET $2"
            }
            (Layer::Working, Some(_)) => {
                "SELECT id FROM rae.memories WHERE scope = $1 AND layer = 'working' AND layer = $3 AND session_id = $4 \
                 ORDER BY created_at DESC, id DESC OFFSET $2"
            }
            _ => {
                "SELECT id FROM rae.memories WHERE scope = $1 AND layer = $3 AND ($4::bytea IS NULL OR session_id = $4) \
                 ORDER BY created_at DESC, id DESC OFFSET $2"
            }
        };
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let params: Params<'_> = &[&self.row.sid, &keep, &layer.as_str(), &session.map(str::as_bytes)];
        let mut ids = self.ids(sql, params).await?;
        ids.reverse();
        self.delete_all(&ids).await?;
        Ok(ids)
    }

    async fn ids(&self, sql: &'static str, params: Params<'_>) -> Res<Vec<MemoryId>> {
        self.tx.query(sql, params).await?.iter().map(|row: &Row| id(row, 0)).collect()
    }

    /// Stores a segment unless a memory in it was, or may have been, deleted since it was built; whether it did.
    pub async fn put_segment(&self, row: &SegmentRow) -> Res<bool> {
        if row.to_seq < self.row.floor {
            return Ok(false);
        }
        let (tx, sid) = (self.tx, self.row.sid);
        let mut members = ids(&row.ids);
        members.sort_unstable();
        members.dedup();
        let (from, to) = (int(row.from_seq), int(row.to_seq));
        let deleted = tx
            .query_opt(
                "SELECT 1 FROM rae.tombstones t JOIN unnest($3::uuid[]) i (id) ON i.id = t.id \
                 WHERE t.scope = $1 AND t.seq > $2 LIMIT 1",
                &[&sid, &to, &members],
            )
            .await?;
        if deleted.is_some() {
            return Ok(false);
        }
        let inside = "DELETE FROM rae.segments WHERE scope = $1 AND from_seq >= $2 AND to_seq <= $3";
        tx.execute(inside, &[&sid, &from, &to]).await?;
        tx.execute(
            "INSERT INTO rae.segments (tid, scope, from_seq, to_seq, least, greatest, ids, data) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&self.row.tid, &sid, &from, &to, &members.first(), &members.last(), &members, &row.data],
        )
        .await?;
        Ok(true)
    }

    pub async fn drop_scope(&mut self, target: &DropTarget) -> Res<Outcome> {
        let own = vec![self.tx.scope.project().to_owned()];
        self.erase_money(target).await?;
        let (memories, projects) = match target {
            DropTarget::Session(session) => {
                let sql = "SELECT id FROM rae.memories WHERE scope = $1 AND session_id = $2 ORDER BY id";
                let ids = self.ids(sql, &[&self.row.sid, &session.as_bytes()]).await?;
                let sql = "DELETE FROM rae.jobs WHERE scope = $1 AND payload = $2";
                self.tx.execute(sql, &[&self.row.sid, &DropTarget::job_of(session).to_string()]).await?;
                (self.delete_all(&ids).await?, own)
            }
            DropTarget::User(user) => {
                let sql = "SELECT id FROM rae.memories WHERE scope = $1 AND user_id = $2 ORDER BY id";
                let ids = self.ids(sql, &[&self.row.sid, &user.as_bytes()]).await?;
                (self.delete_all(&ids).await?, own)
            }
            DropTarget::Project(project) => self.erase(Some(project)).await?,
            DropTarget::Tenant => {
                self.shut_doors().await?;
                self.erase(None).await?
            }
        };
        Ok(Outcome::Dropped { memories, projects })
    }

    /// Erases one project of the tenant, or all of them. Their rows were locked when the batch began.
    async fn erase(&mut self, project: Option<&str>) -> Res<(u64, Vec<String>)> {
        let named = |row: &ScopeRow| project.is_none_or(|project| row.project == project);
        let (mut memories, mut projects) = (0, Vec::new());
        if named(&self.row) {
            let mut row = self.row.clone();
            memories += self.erase_one(&mut row, self.first_audit).await?;
            projects.push(row.project.clone());
            self.row = row;
            self.next_in_session.clear();
        }
        let mut others = std::mem::take(&mut self.others);
        for row in others.iter_mut().filter(|row| named(row)) {
            memories += self.erase_one(row, None).await?;
            projects.push(row.project.clone());
            row.save(self.tx).await?;
        }
        self.others = others;
        projects.sort_unstable();
        Ok((memories, projects))
    }

    /// Erases a scope. Its number keeps growing and the floor goes with it, also where nothing lived any more, so that every reader
    /// learns that it must rebuild; batch ids stay (numbers only), so that a late retry does not bring anything back. Audit rows from
    /// `first_audit` on are of the erasing batch itself and stay.
    async fn erase_one(&self, row: &mut ScopeRow, first_audit: Option<i64>) -> Res<u64> {
        let tx = self.tx;
        let sid: Params<'_> = &[&row.sid];
        tx.execute("DELETE FROM rae.vectors v USING rae.memories m WHERE m.scope = $1 AND v.memory = m.rid", sid)
            .await?;
        tx.execute("DELETE FROM rae.memories WHERE scope = $1", sid).await?;
        tx.execute("DELETE FROM rae.derived WHERE scope = $1", sid).await?;
        tx.execute("DELETE FROM rae.segments WHERE scope = $1", sid).await?;
        tx.execute("DELETE FROM rae.tombstones WHERE scope = $1", sid).await?;
        tx.execute("DELETE FROM rae.idempotency WHERE scope = $1", sid).await?;
        tx.execute("DELETE FROM rae.jobs WHERE scope = $1", sid).await?;
        tx.execute("DELETE FROM rae.schedules WHERE scope = $1", sid).await?;
        tx.execute("DELETE FROM rae.records WHERE scope = $1", sid).await?;
        let audit = "DELETE FROM rae.audit WHERE scope = $1 AND ($2::bigint IS NULL OR aid < $2)";
        tx.execute(audit, &[&row.sid, &first_audit]).await?;
        let memories: u64 = row.counts.iter().sum();
        row.seq = row.seq.saturating_add(memories.max(row.seq.min(1)));
        row.floor = row.seq;
        row.counts = Default::default();
        Ok(memories)
    }
}
