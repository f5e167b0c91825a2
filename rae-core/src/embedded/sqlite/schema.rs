//! What marks a file as ours, and how it gets its tables.

use super::errors::{Fault, Res};
use crate::{
    error::{Error, ErrorKind},
    ports::Clock,
};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use uuid::Uuid;

/// `RAE1` in the header of the file: SQLite's field for telling applications' files apart.
pub(super) const APPLICATION_ID: u32 = 0x5241_4531;

/// One script a version, the first makes version 1. A script that was released is never changed.
const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001_init.sql"),
    include_str!("migrations/0002_hosting.sql"),
    include_str!("migrations/0003_ledger.sql"),
    include_str!("migrations/0004_claims.sql"),
];

/// The version this build reads and writes.
pub(super) const VERSION: u32 = {
    let n = MIGRATIONS.len();
    assert!(n < 1_000, "fits");
    n as u32
};

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub application: u32,
    pub version: u32,
    /// Whether there is any table.
    pub tables: bool,
}

/// Reads the mark through SQLite, which sees what is still in the log. All of it from one moment: another process may
/// be making the store, and its number of before with its tables of after would be nobody's file.
pub(super) fn mark(conn: &Connection) -> rusqlite::Result<Mark> {
    let _one_moment = conn.is_autocommit().then(|| conn.unchecked_transaction()).transpose()?;
    let number = |sql| conn.query_row(sql, [], |r| r.get::<_, i64>(0));
    let unsigned = |n: i64| u32::try_from(n & 0xffff_ffff).unwrap_or_default();
    Ok(Mark {
        application: unsigned(number("PRAGMA application_id")?),
        version: unsigned(number("PRAGMA user_version")?),
        tables: number("SELECT count(*) FROM sqlite_master")? > 0,
    })
}

impl Mark {
    /// Whether this is a database that nobody has used yet.
    pub fn is_fresh(self) -> bool {
        self.application == 0 && self.version == 0 && !self.tables
    }

    /// Refuses what is neither fresh nor a store that this build can use.
    pub fn check(self) -> Result<(), Error> {
        if self.is_fresh() {
            return Ok(());
        }
        if self.application != APPLICATION_ID {
            return Err(not_a_store());
        }
        if self.version > VERSION {
            let message = format!(
                "the store has schema version {} and this build knows up to {VERSION}; use a newer build of RAE",
                self.version
            );
            return Err(Error::new(ErrorKind::Unsupported, message).with_code("newer_schema"));
        }
        Ok(())
    }
}

pub(super) fn not_a_store() -> Error {
    Error::corrupt(
        "the file is not a RAE store and was left as it is; give the path of a store, or of a file to be made",
    )
    .with_code("not_a_store")
}

/// Brings the file to [`VERSION`], each step in a transaction of its own that looks again first: another process may
/// have been quicker.
pub(super) fn migrate(conn: &Connection, clock: &dyn Clock, seed: Option<u64>) -> Res<()> {
    for (target, script) in (1u32..).zip(MIGRATIONS) {
        if mark(conn)?.version >= target {
            continue;
        }
        let tx = rusqlite::Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
        let found = mark(&tx)?;
        found.check()?;
        if found.version < target {
            tx.execute_batch(script)?;
            if target == 1 {
                tx.pragma_update(None, "application_id", APPLICATION_ID)?;
                first_rows(&tx, clock, seed)?;
            }
            tx.pragma_update(None, "user_version", target)?;
        }
        tx.commit()?;
    }
    Ok(())
}

fn first_rows(conn: &Connection, clock: &dyn Clock, seed: Option<u64>) -> Res<()> {
    // SQLite's generator is seeded by the system and made for keys; a seed replays, for tests.
    let random = |what: &str| -> Res<[u8; 32]> {
        Ok(match seed {
            Some(seed) => blake3::derive_key(what, &seed.to_le_bytes()),
            None => conn.query_row("SELECT randomblob(32)", [], |r| r.get(0))?,
        })
    };
    let mut insert = conn.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")?;
    let uuid = random("rae 2026 store uuid")?;
    let (uuid, _) = uuid.split_first_chunk::<16>().ok_or_else(|| Error::internal("32 bytes hold 16"))?;
    insert.execute(params!["store_uuid", uuid])?;
    insert.execute(params!["receipt_key", random("rae 2026 receipt key")?])?;
    insert.execute(params!["created_at", clock.now().micros()])?;
    Ok(())
}

/// Id and key that were made with the store.
pub(super) fn identity(conn: &Connection) -> Res<(Uuid, [u8; 32])> {
    let read = "SELECT value FROM meta WHERE key = ?1";
    let missing = || Fault::from(Error::corrupt("the store lacks its own id; restore a backup"));
    let uuid: [u8; 16] = conn.query_row(read, ["store_uuid"], |r| r.get(0)).optional()?.ok_or_else(missing)?;
    let key: [u8; 32] = conn.query_row(read, ["receipt_key"], |r| r.get(0)).optional()?.ok_or_else(missing)?;
    Ok((Uuid::from_bytes(uuid), key))
}
