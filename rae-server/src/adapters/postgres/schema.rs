//! How a database gets its tables, and what it says about itself.

use super::{
    errors::{Fault, Res, no_schema},
    settings::PostgresSettings,
    tls::Rustls,
};
use rae_core::{Error, Result};
use tokio_postgres::{Client, Row};

/// One script a version, the first makes version 1. A script that was released is never changed.
const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_init.sql"),
    include_str!("migrations/0002_hosting.sql"),
    include_str!("migrations/0003_ledger.sql"),
    include_str!("migrations/0004_claims.sql"),
    include_str!("migrations/0005_schedules.sql"),
];

/// The version this build reads and writes.
pub(super) const VERSION: u32 = {
    let n = MIGRATIONS.len();
    assert!(n < 1_000, "fits");
    n as u32
};

/// `RAE1`: whoever migrates holds this lock of the database.
const MIGRATION_LOCK: i64 = 0x5241_4531;

/// The role that every transaction of the server takes: no login, and row-level security holds for it. Roles belong to the
/// whole cluster, so another database, or the operator, may have made it.
const ROLE: &str = "
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'rae_app') THEN
        CREATE ROLE rae_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'rae_app', 'MEMBER') THEN
        EXECUTE format('GRANT rae_app TO %I', current_user);
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$";

/// Brings the database to the version of this build. Safe to run twice at once: the second waits and finds nothing to do.
///
/// The user must own the database or be allowed to create a schema in it, and be allowed to create roles unless there is
/// a role `rae_app` that it belongs to. Errors: Unsupported (`newer_schema`), PermissionDenied, Unavailable.
pub async fn migrate(settings: &PostgresSettings) -> Result<()> {
    let connecting = settings.driver().connect(Rustls::new(settings)?).await;
    let (mut client, connection) = connecting.map_err(Fault::from)?;
    let driver = tokio::spawn(connection);
    let result = run(&mut client).await;
    drop(client);
    // The connection ends with its client; what it says then was said to the client already.
    let _ = driver.await;
    Ok(result?)
}

async fn run(client: &mut Client) -> Res<()> {
    let tx = client.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    tx.batch_execute(ROLE).await?;
    check_role(
        &tx.query_one("SELECT rolsuper OR rolbypassrls OR rolcanlogin FROM pg_roles WHERE rolname = 'rae_app'", &[])
            .await?,
    )?;
    tx.batch_execute(
        "CREATE SCHEMA IF NOT EXISTS rae; CREATE TABLE IF NOT EXISTS rae.schema_version \
         (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
    )
    .await?;
    let found: i32 = tx.query_one("SELECT coalesce(max(version), 0) FROM rae.schema_version", &[]).await?.try_get(0)?;
    let found = known(found)?;
    for (target, script) in (1u32..).zip(MIGRATIONS) {
        if target > found {
            tx.batch_execute(script).await?;
            let target = i32::try_from(target).unwrap_or(i32::MAX);
            tx.execute("INSERT INTO rae.schema_version (version) VALUES ($1)", &[&target]).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

fn check_role(row: &Row) -> Res<()> {
    if row.try_get(0)? {
        let message =
            "the role rae_app may log in or pass by row-level security; make it NOLOGIN NOSUPERUSER NOBYPASSRLS";
        return Err(Error::new(rae_core::ErrorKind::Conflict, message).with_code("role_too_strong").into());
    }
    Ok(())
}

fn known(version: i32) -> Result<u32> {
    let version = u32::try_from(version).map_err(|_| Error::corrupt("the schema has a negative version"))?;
    if version > VERSION {
        let message = format!(
            "the database has schema version {version} and this build knows up to {VERSION}; use a newer build of RAE"
        );
        return Err(Error::unsupported(message).with_code("newer_schema"));
    }
    Ok(version)
}

/// Refuses a version that this build cannot use.
pub(super) fn check(version: i32) -> Result<()> {
    if known(version)? < VERSION { Err(no_schema()) } else { Ok(()) }
}
