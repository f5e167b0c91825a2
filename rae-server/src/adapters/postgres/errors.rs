//! From PostgreSQL's codes to the error table of the engine.
//!
//! What the server says in words is not passed on: a detail may quote a row. The code (SQLSTATE) and the name of a
//! constraint say enough.

use deadpool_postgres::{PoolError, TimeoutType};
use rae_core::{Error, ErrorKind};
use tokio_postgres::error::SqlState;

/// A failure inside the store: the driver's, or already ours.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(tokio_postgres::Error),
    Ours(Error),
}

/// Result inside the store.
pub(super) type Res<T> = Result<T, Fault>;

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Ours(Error::corrupt("a stored value is not the JSON it should be").with_source(error))
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        let temporary =
            |code: &'static str, text: &str| Self::Ours(Error::unavailable(text).with_code(code).temporary());
        match error {
            PoolError::Backend(error) => Self::Sql(error),
            PoolError::Timeout(TimeoutType::Wait) => temporary(
                "pool_exhausted",
                "all connections to the database are in use; try again, or raise the size of the pool",
            ),
            PoolError::Timeout(_) => {
                temporary("connect_timeout", "the database did not take a connection in time; try again")
            }
            PoolError::Closed => Self::Ours(closed()),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Self::Ours(Error::internal("the pool of connections is set up in a wrong way"))
            }
        }
    }
}

impl Fault {
    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Sql(error) => error.code(),
            Self::Ours(_) => None,
        }
    }

    /// Whether the transaction lost to another one and did nothing: the same again may succeed at once.
    pub fn is_lost_race(&self) -> bool {
        self.code()
            .is_some_and(|code| [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code))
    }

    /// Whether the connection is gone, and with it the answer.
    pub fn is_lost_connection(&self) -> bool {
        match self {
            Self::Sql(error) => match error.code() {
                Some(code) => is_shutdown(code),
                None => error.is_closed() || has_io(error),
            },
            Self::Ours(_) => false,
        }
    }

    /// The constraint that a row broke.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Sql(error) => error.as_db_error().and_then(|e| e.constraint()),
            Self::Ours(_) => None,
        }
    }
}

fn is_shutdown(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW].contains(code)
}

fn has_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Ours(error) => error,
            Fault::Sql(error) => from_sql(&error),
        }
    }
}

fn from_sql(error: &tokio_postgres::Error) -> Error {
    let Some(code) = error.code() else { return from_driver(error) };
    let new = |kind, code: &'static str, message: &str| Error::new(kind, message).with_code(code);
    let unavailable = |code, message| new(ErrorKind::Unavailable, code, message);
    let class = code.code().get(..2).unwrap_or_default();
    let mapped = match code {
        c if *c == SqlState::QUERY_CANCELED => {
            new(ErrorKind::Timeout, "timeout", "the deadline of the call passed while the database worked on it")
        }
        c if *c == SqlState::LOCK_NOT_AVAILABLE => unavailable("busy", "a row is locked; try again").temporary(),
        c if *c == SqlState::TOO_MANY_CONNECTIONS => unavailable(
            "too_many_connections",
            "the database takes no more connections; make the pools smaller or its limit larger",
        )
        .temporary(),
        c if *c == SqlState::DISK_FULL => unavailable(
            "disk_full",
            "the disk of the database is full; nothing was written. Free some space and try again",
        ),
        c if is_shutdown(c) => connection_lost(),
        c if *c == SqlState::INVALID_CATALOG_NAME => {
            new(ErrorKind::NotFound, "no_database", "the database does not exist; create it, or correct its name")
        }
        // The last one: there is no role rae_app yet.
        c if [
            SqlState::INVALID_PARAMETER_VALUE,
            SqlState::UNDEFINED_TABLE,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::UNDEFINED_FUNCTION,
        ]
        .contains(c) =>
        {
            no_schema()
        }
        c if *c == SqlState::READ_ONLY_SQL_TRANSACTION => new(
            ErrorKind::PermissionDenied,
            "read_only",
            "the database takes no writes: it is a standby or set read-only; connect to the primary",
        ),
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE => new(
            ErrorKind::PermissionDenied,
            "no_permission",
            "the user of the database may not do this; grant it the role rae_app (`GRANT rae_app TO user`)",
        ),
        c if *c == SqlState::UNIQUE_VIOLATION => Error::conflict("there is such a row already").with_code("exists"),
        _ => match class {
            "28" => new(
                ErrorKind::PermissionDenied,
                "no_permission",
                "the database refused the user or its password; check DATABASE_URL or PGUSER and PGPASSWORD",
            ),
            "40" => unavailable("lost_race", "other writers were quicker, again and again; try again").temporary(),
            "53" => {
                unavailable("no_resources", "the database is short of memory or other resources; try again").temporary()
            }
            "58" => unavailable("io_error", "reading or writing the files of the database failed; check its disk"),
            "54" | "22" => Error::invalid("the database cannot hold one of the values").with_code("value_refused"),
            "XX" => Error::corrupt("the database reports damage; restore a backup, or export what is readable"),
            _ => Error::internal("the database refused a statement of the store"),
        },
    };
    mapped.with_context("sqlstate", code.code())
}

/// Failures that no server reported.
fn from_driver(error: &tokio_postgres::Error) -> Error {
    // Kinds are told apart by their first words alone: what follows may quote a value.
    let text = error.to_string();
    if text.starts_with("error performing TLS") {
        Error::unavailable(
            "no encrypted connection could be made; check sslmode and that sslrootcert holds the authority that signed \
             the server's certificate",
        )
        .with_code("tls")
    } else if error.is_closed() || has_io(error) || text.starts_with("error connecting") || text.starts_with("timeout")
    {
        connection_lost()
    } else if text.starts_with("error deserializing") || text.starts_with("invalid column") {
        Error::corrupt("a stored row does not read back; check the store with doctor")
    } else if text.starts_with("authentication") || text.starts_with("invalid configuration") {
        Error::new(ErrorKind::PermissionDenied, "the database asks for another way to log in; check user and password")
            .with_code("no_permission")
    } else {
        Error::internal("the store used its database in a wrong way")
    }
}

/// The connection ended before the answer came. Repeating is safe: batches are applied once per id.
pub(super) fn connection_lost() -> Error {
    Error::unavailable("the database cannot be reached, or the connection broke; try again")
        .with_code("connection_lost")
        .temporary()
}

/// Every call after `close`.
pub(super) fn closed() -> Error {
    Error::unavailable("the store is closed; open it again").with_code("closed")
}

/// The database holds no store, or an older one.
pub(super) fn no_schema() -> Error {
    Error::unsupported("the database holds no store of this version yet; run `rae-server migrate` first")
        .with_code("no_schema")
}

pub(super) fn deadline_passed() -> Error {
    Error::new(ErrorKind::Timeout, "the deadline of the call has passed")
}
