//! From SQLite's result codes to the error table of the engine.

use crate::error::{Error, ErrorKind};
use rusqlite::{ErrorCode, types::FromSqlError};
use std::io;

/// A failure inside the store: SQLite's, or already ours. Kept apart so that `?` works on both while the driver's
/// error type stays out of the public API.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Ours(Error),
}

/// Result inside the store.
pub(super) type Res<T> = std::result::Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<FromSqlError> for Fault {
    fn from(error: FromSqlError) -> Self {
        Self::Sql(error.into())
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

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Ours(error) => error,
            Fault::Sql(error) => from_sql(error),
        }
    }
}

/// Whether another connection holds a lock that goes by itself.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn from_sql(error: rusqlite::Error) -> Error {
    use rusqlite::Error as E;
    let Some(code) = error.sqlite_error_code() else {
        return match &error {
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..)
            | E::InvalidColumnType(..) => {
                Error::corrupt("a stored row does not read back; check the store with doctor").with_source(error)
            }
            _ => Error::internal("the store used its database in a wrong way").with_source(error),
        };
    };
    let new = |kind, code: &'static str, message: &str| Error::new(kind, message).with_code(code);
    match code {
        ErrorCode::DiskFull => new(
            ErrorKind::Unavailable,
            "disk_full",
            "the disk is full; nothing was written. Free some space and try again",
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            new(ErrorKind::Unavailable, "busy", "another process holds the store locked; try again").temporary()
        }
        ErrorCode::ReadOnly => read_only(),
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            new(ErrorKind::PermissionDenied, "no_permission", "the store's file may not be used; check its permissions")
        }
        ErrorCode::OperationInterrupted => {
            new(ErrorKind::Timeout, "timeout", "the deadline of the call passed while the store worked on it")
        }
        ErrorCode::SystemIoFailure => {
            new(ErrorKind::Unavailable, "io_error", "reading or writing the store's file failed; check the disk")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => new(
            ErrorKind::Corrupt,
            "corrupt",
            "the store's file is damaged; restore a backup, or export what is readable",
        ),
        ErrorCode::CannotOpen => new(
            ErrorKind::Unavailable,
            "cannot_open",
            "the store's file cannot be opened; check the path and its permissions",
        ),
        ErrorCode::OutOfMemory => {
            new(ErrorKind::Unavailable, "out_of_memory", "there is not enough memory for this call")
        }
        ErrorCode::TooBig => Error::invalid("a value is larger than the store can keep").with_code("too_big"),
        _ => Error::internal("the database refused a statement of the store"),
    }
    .with_source(error)
}

/// Every write to a store that was opened read-only.
pub(super) fn read_only() -> Error {
    Error::new(
        ErrorKind::PermissionDenied,
        "the store is open read-only; make the file and its folder writable and reopen it",
    )
    .with_code("read_only")
}

/// Every call after `close`.
pub(super) fn closed() -> Error {
    Error::unavailable("the store is closed; open it again").with_code("closed")
}

/// What the operating system said about a file of the store. `what` begins the message.
pub(super) fn from_io(error: io::Error, what: &str) -> Error {
    use io::ErrorKind as K;
    let (kind, code) = match error.kind() {
        K::PermissionDenied => (ErrorKind::PermissionDenied, "no_permission"),
        K::ReadOnlyFilesystem => (ErrorKind::PermissionDenied, "read_only"),
        K::NotFound | K::NotADirectory | K::IsADirectory | K::InvalidInput | K::InvalidFilename => {
            (ErrorKind::InvalidInput, "invalid_path")
        }
        K::StorageFull | K::QuotaExceeded => (ErrorKind::Unavailable, "disk_full"),
        _ => (ErrorKind::Unavailable, "io_error"),
    };
    Error::new(kind, format!("{what}: {error}")).with_code(code).with_source(error)
}

/// The same failure once more, for each caller whose batch shared a transaction.
pub(super) fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).with_code(error.code().to_owned());
    if error.is_temporary() { copy.temporary() } else { copy }
}
