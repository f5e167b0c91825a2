//! Keys and registered tenants.

use super::{
    apply::{Work, holds},
    errors::Res,
    row::{Id, Micros, page},
};
use crate::{
    error::Error,
    model::{ApiKey, KeyId, Tenant},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "SELECT id, tenant, project, role, label, created_at, expires_at, revoked_at, hash FROM api_keys";

/// Tenants that are registered, and those that have live memories.
const TENANTS: &str = "SELECT name, label, created_at FROM tenants UNION ALL SELECT DISTINCT s.tenant, NULL, NULL \
    FROM scopes s WHERE s.sensory + s.working + s.episodic + s.semantic + s.reflective > 0 \
    AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.name = s.tenant)";

fn decode(row: &Row<'_>) -> Res<ApiKey> {
    let time = |column| -> rusqlite::Result<_> { Ok(row.get::<_, Option<Micros>>(column)?.map(|t| t.0)) };
    Ok(ApiKey {
        id: KeyId(row.get::<_, Id>(0)?.0),
        tenant: row.get(1)?,
        project: row.get(2)?,
        role: row.get_ref(3)?.as_str()?.parse()?,
        label: row.get(4)?,
        created_at: row.get::<_, Micros>(5)?.0,
        expires_at: time(6)?,
        revoked_at: time(7)?,
        hash: row.get(8)?,
    })
}

pub(super) fn key(conn: &Connection, id: KeyId) -> Res<Option<ApiKey>> {
    let mut select = conn.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?;
    let mut rows = select.query([Id(id.0)])?;
    rows.next()?.map(decode).transpose()
}

pub(super) fn has_had_keys(conn: &Connection) -> Res<bool> {
    Ok(conn.prepare_cached("SELECT 1 FROM meta WHERE key = 'keyed'")?.exists([])?)
}

pub(super) fn keys(conn: &Connection, tenant: &str, after: Option<KeyId>, limit: usize) -> Res<Vec<ApiKey>> {
    let sql = format!("{COLUMNS} WHERE tenant = ?1 AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3");
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![tenant, after.map(|id| Id(id.0)), page(limit)?])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(decode(row)?);
    }
    Ok(found)
}

fn decode_tenant(row: &Row<'_>) -> rusqlite::Result<Tenant> {
    let created_at = row.get::<_, Option<Micros>>(2)?.map(|t| t.0);
    Ok(Tenant { id: row.get(0)?, label: row.get(1)?, created_at })
}

pub(super) fn tenant(conn: &Connection, name: &str) -> Res<Option<Tenant>> {
    let mut select = conn.prepare_cached(&format!("SELECT * FROM ({TENANTS}) WHERE name = ?1"))?;
    Ok(select.query_row([name], decode_tenant).optional()?)
}

pub(super) fn tenants(conn: &Connection, after: Option<&str>, limit: usize) -> Res<Vec<Tenant>> {
    let sql = format!("SELECT * FROM ({TENANTS}) WHERE ?1 IS NULL OR name > ?1 ORDER BY name LIMIT ?2");
    let mut select = conn.prepare_cached(&sql)?;
    let found = select.query_map(params![after, page(limit)?], decode_tenant)?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

impl Work<'_> {
    /// Registers the tenant; whether it was new.
    pub fn put_tenant(&self, label: Option<&String>) -> Res<bool> {
        let sql = "INSERT INTO tenants (name, label, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        Ok(self.conn.execute(sql, params![self.scope.tenant(), label, self.at.micros()])? > 0)
    }

    pub fn put_key(&self, key: &ApiKey) -> Res<()> {
        if key.tenant != self.scope.tenant() {
            return Err(Error::invalid("a key must name the tenant of the call that writes it").into());
        }
        let times = [Some(key.created_at), key.expires_at, key.revoked_at].map(|t| t.map(Micros));
        let sql = "INSERT INTO api_keys (id, tenant, project, role, label, created_at, expires_at, revoked_at, hash) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";
        let [created, expires, revoked] = times;
        let role = key.role.as_str();
        let new = self.conn.execute(
            sql,
            params![Id(key.id.0), key.tenant, key.project, role, key.label, created, expires, revoked, key.hash],
        )?;
        holds(new > 0, "exists", || format!("there is a key {} already", key.id))?;
        self.conn.execute("INSERT INTO meta (key, value) VALUES ('keyed', 1) ON CONFLICT DO NOTHING", [])?;
        Ok(())
    }

    /// Revokes a key of the tenant; whether there is one.
    pub fn revoke_key(&self, id: KeyId) -> Res<bool> {
        let sql = "UPDATE api_keys SET revoked_at = ifnull(revoked_at, ?3) WHERE id = ?1 AND tenant = ?2";
        Ok(self.conn.execute(sql, params![Id(id.0), self.scope.tenant(), self.at.micros()])? > 0)
    }

    /// Forgets the tenant's registration and its keys.
    pub fn shut_doors(&self) -> Res<()> {
        self.conn.execute("DELETE FROM api_keys WHERE tenant = ?1", [self.scope.tenant()])?;
        self.conn.execute("DELETE FROM tenants WHERE name = ?1", [self.scope.tenant()])?;
        Ok(())
    }
}
