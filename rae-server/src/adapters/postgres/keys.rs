//! Keys and registered tenants.

use super::{
    apply::{Work, holds},
    errors::Res,
    row::{array, micros, named, page, text, text_opt, time, time_opt},
    session::{Params, Tx},
};
use rae_core::{
    Error,
    model::{ApiKey, KeyId, Tenant},
};
use tokio_postgres::Row;
use uuid::Uuid;

fn decode(row: &Row) -> Res<ApiKey> {
    let hash = array(row, 8)?.ok_or_else(|| Error::corrupt("a key has no hash; restore a backup"))?;
    Ok(ApiKey {
        id: KeyId(row.try_get::<_, Uuid>(0)?),
        tenant: row.try_get(1)?,
        project: row.try_get(2)?,
        role: named(row, 3)?,
        label: text(row, 4)?,
        created_at: time(row, 5)?,
        expires_at: time_opt(row, 6)?,
        revoked_at: time_opt(row, 7)?,
        hash,
    })
}

fn decode_tenant(row: &Row) -> Res<Tenant> {
    Ok(Tenant { id: row.try_get(0)?, label: text_opt(row, 1)?, created_at: time_opt(row, 2)? })
}

/// Through the door `find_key`, which shows one key of any tenant.
pub(super) async fn key(tx: &Tx, id: KeyId) -> Res<Option<ApiKey>> {
    let sql = "SELECT id, tenant, project, role, label, created_at, expires_at, revoked_at, hash FROM rae.find_key($1)";
    tx.query_opt(sql, &[&id.0]).await?.as_ref().map(decode).transpose()
}

pub(super) async fn has_had_keys(tx: &Tx) -> Res<bool> {
    Ok(tx.query_one("SELECT keyed FROM rae.meta", &[]).await?.try_get(0)?)
}

/// Of the transaction's tenant.
pub(super) async fn keys(tx: &Tx, after: Option<KeyId>, limit: usize) -> Res<Vec<ApiKey>> {
    let sql = "SELECT k.id, t.name, k.project, k.role, k.label, k.created_at, k.expires_at, k.revoked_at, k.hash \
               FROM rae.api_keys k JOIN rae.tenants t ON t.tid = k.tid \
               WHERE t.name = $1 AND ($2::uuid IS NULL OR k.id > $2) ORDER BY k.id LIMIT $3";
    let params: Params<'_> = &[&tx.scope.tenant(), &after.map(|id| id.0), &page(limit)?];
    tx.query(sql, params).await?.iter().map(decode).collect()
}

pub(super) async fn tenant(tx: &Tx) -> Res<Option<Tenant>> {
    let sql = "SELECT t.name, t.label, t.created_at FROM rae.tenants t WHERE t.name = $1 AND (t.created_at IS NOT NULL \
               OR EXISTS (SELECT 1 FROM rae.scopes s WHERE s.tid = t.tid \
               AND s.sensory + s.working + s.episodic + s.semantic + s.reflective > 0))";
    tx.query_opt(sql, &[&tx.scope.tenant()]).await?.as_ref().map(decode_tenant).transpose()
}

/// Through the door `list_tenants`.
pub(super) async fn tenants(tx: &Tx, after: Option<&str>, limit: usize) -> Res<Vec<Tenant>> {
    let sql = "SELECT name, label, created_at FROM rae.list_tenants($1, $2) ORDER BY name";
    tx.query(sql, &[&after, &page(limit)?]).await?.iter().map(decode_tenant).collect()
}

impl Work<'_> {
    /// Registers the tenant; whether it was new.
    pub async fn put_tenant(&self, label: Option<&String>) -> Res<bool> {
        let sql = "UPDATE rae.tenants SET label = $2, created_at = $3 WHERE tid = $1 AND created_at IS NULL";
        let label = super::row::bytes(label);
        Ok(self.tx.execute(sql, &[&self.row.tid, &label, &self.at.micros()]).await? > 0)
    }

    pub async fn put_key(&self, key: &ApiKey) -> Res<()> {
        if key.tenant != self.tx.scope.tenant() {
            return Err(Error::invalid("a key must name the tenant of the call that writes it").into());
        }
        let sql = "INSERT INTO rae.api_keys (id, tid, project, role, label, created_at, expires_at, revoked_at, hash) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let params: Params<'_> = &[
            &key.id.0,
            &self.row.tid,
            &key.project,
            &key.role.as_str(),
            &key.label.as_bytes(),
            &key.created_at.micros(),
            &micros(key.expires_at),
            &micros(key.revoked_at),
            &key.hash.as_slice(),
        ];
        let new = self.tx.execute(sql, params).await?;
        holds(new > 0, "exists", || format!("there is a key {} already", key.id))?;
        self.tx.execute("UPDATE rae.meta SET keyed = true WHERE NOT keyed", &[]).await?;
        Ok(())
    }

    /// Revokes a key of the tenant; whether there is one.
    pub async fn revoke_key(&self, id: KeyId) -> Res<bool> {
        let sql = "UPDATE rae.api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE id = $1 AND tid = $2";
        Ok(self.tx.execute(sql, &[&id.0, &self.row.tid, &self.at.micros()]).await? > 0)
    }

    /// Forgets the tenant's registration and its keys.
    pub async fn shut_doors(&self) -> Res<()> {
        self.tx.execute("DELETE FROM rae.api_keys WHERE tid = $1", &[&self.row.tid]).await?;
        let tenant = "UPDATE rae.tenants SET label = NULL, created_at = NULL WHERE tid = $1";
        self.tx.execute(tenant, &[&self.row.tid]).await?;
        Ok(())
    }
}
