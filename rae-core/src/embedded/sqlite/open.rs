//! From a path to connections: what may be opened, how, and what is said when it may not.

use super::{
    Durability, OpenOptions, ReadOnly,
    errors::{Fault, Res, from_io, is_busy, read_only},
    schema::{self, APPLICATION_ID, Mark},
    worker::Frozen,
};
use crate::{
    error::{Error, ErrorKind, Result},
    limits::{
        SQLITE_READER_CACHE_KIB, SQLITE_STATEMENTS, SQLITE_WAL_BYTES_KEPT, SQLITE_WAL_PAGES, SQLITE_WRITER_CACHE_KIB,
    },
};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::{
    ffi::OsString,
    fs,
    io::Read,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// The connections of a store.
pub(super) struct Opened {
    /// None when it is open read-only.
    pub writer: Option<Connection>,
    pub readers: Vec<Connection>,
    /// Set when the file is read without locks, because nothing beside it can be written.
    pub immutable: bool,
}

/// The path to use: absolute, so that SQLite takes nothing in it for a URI. `None` is a store in memory.
pub(super) fn resolve(path: Option<&Path>) -> Result<Option<PathBuf>> {
    let Some(path) = path.filter(|p| p.as_os_str() != ":memory:") else { return Ok(None) };
    let bad = |message: String| Error::invalid(message).with_code("invalid_path");
    let shown = path.display();
    if path.as_os_str().is_empty() || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(bad("the path of a store must not be empty or hold a NUL".into()));
    }
    let full = std::path::absolute(path).map_err(|e| from_io(e, &format!("the path {shown} cannot be used")))?;
    match fs::metadata(&full) {
        Ok(found) if found.is_dir() => Err(bad(format!("{shown} is a folder; give the path of a file in it"))),
        Ok(found) if !found.is_file() => Err(bad(format!("{shown} is not a regular file; give the path of a file"))),
        Ok(_) => Ok(Some(full)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => match full.parent() {
            Some(parent) if parent.is_dir() => Ok(Some(full)),
            _ => Err(bad(format!("the folder of {shown} does not exist; make it first"))),
        },
        Err(e) => Err(from_io(e, &format!("{shown} cannot be opened"))),
    }
}

/// The file beside `path` that SQLite names with `suffix`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    name.into()
}

/// Opens the store in memory.
pub(super) fn in_memory(options: &OpenOptions) -> Res<Opened> {
    let conn =
        Connection::open_in_memory_with_flags(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    configure(&conn, options, SQLITE_WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "auto_vacuum", 2)?;
    schema::migrate(&conn, &*options.clock, options.seed)?;
    Ok(Opened { writer: Some(conn), readers: Vec::new(), immutable: false })
}

/// Opens the store in a file, making it where there is none.
pub(super) fn in_file(path: &Path, options: &OpenOptions, readers: usize) -> Res<Opened> {
    make_file(path, options)?;
    if let Some(mark) = probe(path)? {
        mark.check()?;
    }
    if options.read_only == ReadOnly::Always {
        return read_only_connections(path, options, readers);
    }
    match writable(path, options) {
        Ok(writer) => {
            let readers = (0..readers).map(|_| reader(path, options)).collect::<Res<Vec<_>>>()?;
            Ok(Opened { writer: Some(writer), readers, immutable: false })
        }
        Err(fault) if options.read_only == ReadOnly::Auto && is_refused(&fault) => {
            read_only_connections(path, options, readers)
        }
        Err(fault) => Err(fault),
    }
}

/// An empty file is a fresh store; making it here gives the system's own words when that is refused.
fn make_file(path: &Path, options: &OpenOptions) -> Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let shown = path.display();
    if options.read_only == ReadOnly::Always {
        return Err(Error::not_found(format!("there is no store at {shown} to be read")).with_code("no_store"));
    }
    let made = fs::OpenOptions::new().write(true).create_new(true).open(path);
    match made {
        Ok(_) => Ok(()),
        // Another process was quicker.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(from_io(e, &format!("the store {shown} cannot be made"))),
    }
}

/// What the file says it is, without changing a byte of it; `None` for an empty file.
fn probe(path: &Path) -> Res<Option<Mark>> {
    let shown = path.display();
    let fail = |e| from_io(e, &format!("{shown} cannot be read"));
    let mut head = Vec::with_capacity(100);
    let mut file = fs::File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    file.by_ref().take(100).read_to_end(&mut head).map_err(fail)?;
    if head.is_empty() {
        return Ok(None);
    }
    let word = |at: usize| head.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    let page = head.get(16..18).and_then(|b| b.try_into().ok()).map(u16::from_be_bytes);
    let (Some(version), Some(application), Some(page), true) =
        (word(60), word(68), page, head.starts_with(b"SQLite format 3\0"))
    else {
        return Err(schema::not_a_store().into());
    };
    let page = if page == 1 { 65_536 } else { u64::from(page) };
    let has_log = fs::metadata(beside(path, "-wal")).is_ok_and(|m| m.len() > 0);
    // The header is what the file says unless the log has a newer one. A single page may be a store that was being
    // made.
    if has_log || (application == 0 && length <= page) {
        match probe_through_sqlite(path) {
            Ok(mark) => return Ok(Some(mark)),
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                return Err(schema::not_a_store().into());
            }
            // Nothing beside the file may be written, or a journal waits to be rolled back: the header decides, and the
            // connection that writes looks again.
            Err(_) => {}
        }
    }
    let tables = application != APPLICATION_ID && length > page;
    Ok(Some(Mark { application, version, tables }))
}

fn probe_through_sqlite(path: &Path) -> rusqlite::Result<Mark> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::mark(&conn)
}

fn writable(path: &Path, options: &OpenOptions) -> Res<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(options.busy_timeout)?;
    if conn.is_readonly("main")? {
        return Err(read_only().into());
    }
    retry_busy(options.busy_timeout, || schema::mark(&conn))?.check()?;
    configure(&conn, options, SQLITE_WRITER_CACHE_KIB)?;
    // Has no effect unless the file is still empty, and must come before the log is switched on.
    conn.pragma_update(None, "auto_vacuum", 2)?;
    // Two processes that switch at once get Busy without SQLite waiting for them.
    let mode = retry_busy(options.busy_timeout, || {
        conn.query_row("PRAGMA journal_mode = WAL", [], |r| r.get::<_, String>(0))
    })?;
    if mode != "wal" {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the file system cannot share a write-ahead log; put the store on a local disk",
        )
        .with_code("no_wal")
        .into());
    }
    schema::migrate(&conn, &*options.clock, options.seed)?;
    Ok(conn)
}

fn retry_busy<T>(most: Duration, mut work: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let begun = Instant::now();
    loop {
        match work() {
            Err(e) if is_busy(&e) && begun.elapsed() < most => sleep(Duration::from_millis(5)),
            result => return result,
        }
    }
}

/// Whether the system lets us read, perhaps, but not write.
fn is_refused(fault: &Fault) -> bool {
    match fault {
        Fault::Ours(error) => error.kind() == ErrorKind::PermissionDenied,
        Fault::Sql(error) => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
        ),
    }
}

fn reader(path: &Path, options: &OpenOptions) -> Res<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    configure(&conn, options, SQLITE_READER_CACHE_KIB)?;
    Ok(conn)
}

fn read_only_connections(path: &Path, options: &OpenOptions, readers: usize) -> Res<Opened> {
    let usable = |conn: &Connection| -> Res<()> {
        let mark = retry_busy(options.busy_timeout, || schema::mark(conn))?;
        mark.check()?;
        if mark.version == schema::VERSION {
            return Ok(());
        }
        let message =
            "the store must be made or migrated first, and it cannot be written; open it once where it can be";
        Err(Error::new(ErrorKind::PermissionDenied, message).with_code("read_only").into())
    };
    let open_all = |open: &dyn Fn() -> Res<Connection>| -> Res<Vec<Connection>> {
        let all = (0..readers).map(|_| open()).collect::<Res<Vec<_>>>()?;
        all.iter().try_for_each(usable)?;
        Ok(all)
    };
    match open_all(&|| reader(path, options)) {
        Ok(readers) => Ok(Opened { writer: None, readers, immutable: false }),
        // Without a log there is nothing to share with a writer, so the file alone can be read.
        Err(Fault::Sql(_)) if fs::symlink_metadata(beside(path, "-wal")).is_err() => {
            Ok(Opened { writer: None, readers: open_all(&|| immutable(path, options))?, immutable: true })
        }
        Err(fault) => Err(fault),
    }
}

/// Reads the file without locks and without anything beside it.
fn immutable(path: &Path, options: &OpenOptions) -> Res<Connection> {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(uri, flags)?;
    configure(&conn, options, SQLITE_READER_CACHE_KIB)?;
    Ok(conn)
}

/// Fails from the moment on that a file which is read without locks is written by somebody.
pub(super) fn frozen(path: &Path) -> Result<Frozen> {
    let look = |path: &Path| fs::metadata(path).and_then(|m| Ok((m.len(), m.modified()?)));
    let then = look(path).map_err(|e| from_io(e, "the store cannot be read"))?;
    let (path, log) = (path.to_owned(), beside(path, "-wal"));
    Ok(Box::new(move || {
        if log.exists() || look(&path).ok() != Some(then) {
            return Err(Error::unavailable("another process writes to the store; open it again to see its changes")
                .with_code("store_changed"));
        }
        Ok(())
    }))
}

fn configure(conn: &Connection, options: &OpenOptions, cache_kib: i64) -> Res<()> {
    conn.busy_timeout(options.busy_timeout)?;
    conn.set_prepared_statement_cache_capacity(SQLITE_STATEMENTS);
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    conn.execute_batch(&format!(
        "PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; \
         PRAGMA temp_store = MEMORY; \
         PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0; PRAGMA cache_size = -{cache_kib}; \
         PRAGMA journal_size_limit = {SQLITE_WAL_BYTES_KEPT}; PRAGMA wal_autocheckpoint = {SQLITE_WAL_PAGES};"
    ))?;
    Ok(())
}
