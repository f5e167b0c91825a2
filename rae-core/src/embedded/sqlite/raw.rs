//! The files of a store as files: where, which, and their raw bytes, used pages and others.

use super::SqliteStore;
use crate::error::{Error, Result};
use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// What is read at once, beside the overlap.
const CHUNK: usize = 1 << 20;

impl SqliteStore {
    /// The file, absolute; `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The store's own id, made with it. A backup has the same one.
    pub fn store_uuid(&self) -> Uuid {
        self.uuid
    }
}

/// How often the file, its log and its index have one of `needles`, whatever the case of ASCII letters; those that are there, by name.
pub(super) fn find(path: &Path, needles: &[Vec<u8>]) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for suffix in ["", "-wal", "-shm"] {
        let mut name: OsString = path.as_os_str().to_owned();
        name.push(suffix);
        let file = PathBuf::from(name);
        let count = count(&file, needles).map_err(|e| {
            Error::unavailable(format!("{} could not be read: {e}", file.display())).with_code("io_error")
        })?;
        let shown = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        found.extend(count.map(|count| (shown, count)));
    }
    Ok(found)
}

fn count(path: &Path, needles: &[Vec<u8>]) -> std::io::Result<Option<u64>> {
    let Some(file) = kept::open(path)? else { return Ok(None) };
    let overlap = needles.iter().map(Vec::len).max().unwrap_or(1).saturating_sub(1);
    let (mut buffer, mut carried, mut at, mut found) = (vec![0; overlap + CHUNK], 0, 0u64, 0u64);
    while let Some(free) = buffer.get_mut(carried..) {
        let read = kept::read_at(file.as_ref(), free, at)?;
        if read == 0 {
            break;
        }
        at = at.saturating_add(read as u64);
        let whole = buffer.get(..carried + read).unwrap_or_default();
        found += needles.iter().map(|needle| ends_behind(whole, needle, carried)).sum::<u64>();
        let keep = whole.len().min(overlap);
        let from = whole.len() - keep;
        buffer.copy_within(from..from + keep, 0);
        carried = keep;
    }
    Ok(Some(found))
}

/// How often `bytes` has `needle` with its end behind the first `seen` bytes: what ends before was counted with the chunk before.
fn ends_behind(bytes: &[u8], needle: &[u8], seen: usize) -> u64 {
    let Some(first) = needle.first() else { return 0 };
    let (mut found, mut from) = (0, 0);
    let (small, capital) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let is_first = |byte: &u8| *byte == small || *byte == capital;
    while let Some(next) = bytes.get(from..).and_then(|rest| rest.iter().position(is_first)) {
        let at = from + next;
        let Some(here) = bytes.get(at..at + needle.len()) else { break };
        found += u64::from(here.eq_ignore_ascii_case(needle) && at + needle.len() > seen);
        from = at + 1;
    }
    found
}

/// Files that are never closed again. POSIX drops a process's locks on a file when it closes any descriptor of it, those of SQLite,
/// which hold the log in its place, among them.
#[cfg(unix)]
mod kept {
    use super::{File, Path};
    use parking_lot::Mutex;
    use std::{
        collections::HashMap,
        os::unix::fs::{FileExt, MetadataExt},
        sync::Arc,
    };

    /// By device and inode: a store has three, however often it is looked at.
    static OPEN: Mutex<Option<HashMap<(u64, u64), Arc<File>>>> = Mutex::new(None);

    pub fn open(path: &Path) -> std::io::Result<Option<Arc<File>>> {
        let about = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            about => about?,
        };
        let mut open = OPEN.lock();
        let open = open.get_or_insert_with(HashMap::new);
        if let Some(file) = open.get(&(about.dev(), about.ino())) {
            return Ok(Some(Arc::clone(file)));
        }
        let file = Arc::new(File::open(path)?);
        let own = file.metadata()?;
        // Where another file took the name meanwhile, both stay open.
        open.insert((own.dev(), own.ino()), Arc::clone(&file));
        Ok(Some(file))
    }

    pub fn read_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
        file.read_at(buffer, at)
    }
}

/// Elsewhere closing a file touches no locks of others.
#[cfg(not(unix))]
mod kept {
    use super::{File, Path};
    use std::{
        io::{Read, Seek, SeekFrom},
        sync::Arc,
    };

    pub fn open(path: &Path) -> std::io::Result<Option<Arc<File>>> {
        match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            file => file.map(|file| Some(Arc::new(file))),
        }
    }

    pub fn read_at(mut file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
        file.seek(SeekFrom::Start(at))?;
        file.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_counted_once_wherever_chunks_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw");
        for before in [0, CHUNK - 3, CHUNK, CHUNK + 2, CHUNK + 5, 2 * CHUNK + 4] {
            let mut bytes = vec![b'x'; before];
            bytes.extend(b"needle");
            bytes.extend(vec![b'y'; CHUNK]);
            bytes.extend(b"needle");
            std::fs::write(&path, &bytes).unwrap();
            let needles = [b"Needle".to_vec(), b"needles".to_vec(), b"a longer one".to_vec()];
            assert_eq!(find(&path, &needles).unwrap(), [("raw".to_owned(), 2)], "{before}");
        }
        assert_eq!(find(&folder.path().join("none"), &[b"needle".to_vec()]).unwrap(), []);
    }
}
