//! Export, import and backup: what the server streams, from and to files of this machine.

use super::{
    Remote, answer,
    transport::{Body, Request},
};
use crate::{
    error::{Error, Result},
    ops::{self, Exported, Imported},
};
use reqwest::Method;
use serde::Deserialize;
use std::{
    ffi::OsString,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// How every SQLite file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// The last line of an export.
#[derive(Deserialize)]
struct Trailer {
    end: bool,
    memories: u64,
}

/// A file that is being written beside its target; it goes when this does.
struct Part(PathBuf);

impl Part {
    fn beside(target: &Path) -> Result<(Self, File)> {
        let mut name = OsString::from(target.as_os_str());
        name.push(format!(".{}.partial", uuid::Uuid::new_v4().simple()));
        let part = Self(name.into());
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = options.open(&part.0).map_err(|e| ops::io_error("created", target, e))?;
        Ok((part, file))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After a success it has another name.
        let _ = fs::remove_file(&self.0);
    }
}

impl Remote {
    /// Writes the project with vectors and history to a file of this machine. Replaces an older export, and nothing else.
    pub async fn export(&self, path: impl AsRef<Path>) -> Result<Exported> {
        self.save_export(path.as_ref()).await.map_err(|e| e.with_operation("export"))
    }

    async fn save_export(&self, path: &Path) -> Result<Exported> {
        ops::refuse_foreign_target(path)?;
        let (part, file) = Part::beside(path)?;
        let tail = self.download(Request::get("v1/export").bulk(), file, ops::MARK).await?;
        let last = tail.strip_suffix(b"\n").and_then(|t| t.split(|&b| b == b'\n').next_back());
        let trailer = last.and_then(|line| serde_json::from_slice::<Trailer>(line).ok()).filter(|t| t.end);
        let cut = || {
            Error::unavailable("the export that the server sent is cut off; try again").with_code("truncated_export")
        };
        let trailer = trailer.filter(|_| begins_with(&part.0, ops::MARK)).ok_or_else(cut)?;
        fs::rename(&part.0, path).map_err(|e| ops::io_error("renamed", path, e))?;
        let bytes = fs::metadata(path).map_err(|e| ops::io_error("read", path, e))?.len();
        Ok(Exported { memories: trailer.memories, bytes })
    }

    /// Reads an export of this machine into the project. The server checks all of it first; reading it twice changes nothing.
    pub async fn import(&self, path: impl AsRef<Path>) -> Result<Imported> {
        self.send_import(path.as_ref()).await.map_err(|e| e.with_operation("import"))
    }

    async fn send_import(&self, path: &Path) -> Result<Imported> {
        if path.is_dir() {
            return Err(Error::invalid("the import's path is a directory; name the file"));
        }
        File::open(path).map_err(|e| ops::io_error("opened", path, e))?;
        let request = Request { method: Method::POST, body: Body::File(path.to_owned()), ..Request::get("v1/import") };
        self.json(Request { writes: true, ..request }.bulk()).await
    }

    /// Writes a consistent copy of the server's whole store, all tenants, to a new file of this machine. Needs the operator's key.
    /// Unsupported where the server keeps its memories in PostgreSQL.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_backup(path.as_ref()).await.map_err(|e| e.with_operation("backup"))
    }

    async fn save_backup(&self, path: &Path) -> Result<()> {
        let shown = path.display();
        let exists =
            || Error::conflict(format!("{shown} exists already; give the path of a new file")).with_code("exists");
        if fs::symlink_metadata(path).is_ok() {
            return Err(exists());
        }
        let (part, file) = Part::beside(path)?;
        self.download(Request::get("v1/admin/backup").bulk(), file, SQLITE).await?;
        if !begins_with(&part.0, SQLITE) {
            return Err(answer::foreign("what it sent is no store"));
        }
        // Unlike a rename, a link replaces nothing that came meanwhile. Some file systems have none.
        match fs::hard_link(&part.0, path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(exists()),
            Err(_) => fs::rename(&part.0, path).map_err(|e| ops::io_error("renamed", path, e)),
        }
    }
}

fn begins_with(path: &Path, mark: &[u8]) -> bool {
    let mut start = vec![0; mark.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == mark
}
