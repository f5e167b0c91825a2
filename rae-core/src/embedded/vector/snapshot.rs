//! The graphs on disk: a folder beside the store that can be deleted at any time.
//!
//! ```text
//! agent.rae-index/  lock                advisory lock of whoever writes
//!                   <space>.json        manifest, written last by rename; then a line with its own checksum
//!                   <space>-<generation>/   graph.hnsw.graph  graph.hnsw.data  nodes (16 bytes an id)
//! ```
//! `hnsw_rs` ends the process on some damaged dumps and panics on others, so nothing reaches it before every byte has
//! passed a checksum. Nothing here is ever an error for the caller: a snapshot that cannot be used is a warning and a
//! graph to build again.

use super::{
    Key,
    ann::{CoarseCosine, Graph, Links},
};
use crate::model::MemoryId;
use hnsw_rs::prelude::HnswIo;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Format of the manifest and of what it names.
const FORMAT: u32 = 1;
/// Name of the dump inside its folder; `hnsw_rs` adds the endings.
const DUMP: &str = "graph";
const FILES: [&str; 3] = ["graph.hnsw.graph", "graph.hnsw.data", "nodes"];
/// Dumps are in the byte order and word size of the machine that wrote them.
const MACHINE: &str = if cfg!(target_endian = "little") { "little" } else { "big" };
/// First bytes of a dump of `hnsw_rs` 0.3.5, and where its layer scale stands.
const DUMP_MAGIC: u32 = 0x002a_6779;
const LAYER_SCALE_AT: u64 = 6;
/// Largest manifest that is read.
const MANIFEST_BYTES_MAX: u64 = 64 << 10;

/// Where the snapshots of one store are.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) dir: PathBuf,
    pub(super) store: Uuid,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Manifest {
    format: u32,
    machine: String,
    word: u32,
    store: Uuid,
    tenant: String,
    project: String,
    embedder: String,
    dim: usize,
    watermark: u64,
    generation: String,
    nodes: usize,
    files: Vec<FileSum>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct FileSum {
    name: String,
    bytes: u64,
    blake3: String,
}

impl Manifest {
    fn parse(text: &str) -> Result<Self, Unusable> {
        let (body, check) = text.trim_end().split_once('\n').ok_or_else(|| damaged("the manifest is cut off"))?;
        if blake3::hash(body.as_bytes()).to_hex().as_str() != check {
            return Err(damaged("the manifest's checksum does not match"));
        }
        serde_json::from_str(body).map_err(|e| damaged(&e.to_string()))
    }

    fn text(&self) -> serde_json::Result<String> {
        let body = serde_json::to_string(self)?;
        Ok(format!("{body}\n{}\n", blake3::hash(body.as_bytes()).to_hex()))
    }
}

/// Reads a manifest and writes it again, for the fuzz targets.
#[cfg(feature = "fuzz")]
pub(crate) fn rewrite_manifest(text: &str) -> Option<String> {
    Manifest::parse(text).ok()?.text().ok()
}

/// A manifest that is accepted, for the fuzz targets.
#[cfg(feature = "fuzz")]
pub(crate) fn some_manifest() -> String {
    let file = |name: &&str| FileSum { name: (*name).into(), bytes: 3, blake3: "00".into() };
    let manifest = Manifest {
        format: FORMAT,
        machine: MACHINE.into(),
        word: usize::BITS,
        store: Uuid::nil(),
        tenant: "default".into(),
        project: "default".into(),
        embedder: "e@1/2".into(),
        dim: 2,
        watermark: 7,
        generation: "0".into(),
        nodes: 1,
        files: FILES.iter().map(file).collect(),
    };
    manifest.text().unwrap_or_default()
}

impl Folder {
    /// Writes the graph of `key`, whose vectors are those of sequence `watermark` or earlier. `false` when another
    /// process is writing, or there is nothing to write.
    pub(super) fn save(&self, key: &Key, watermark: u64, graph: &Graph) -> io::Result<bool> {
        fs::create_dir_all(&self.dir)?;
        let lock = self.lock_file()?;
        if lock.try_lock().is_err() {
            return Ok(false);
        }
        let space = space_name(key);
        self.sweep(&space, self.manifest(&space).ok().map(|m| m.generation).as_deref());
        let generation = format!("{:016x}", fastrand::u64(..));
        let temporary = self.dir.join(format!("{space}-{generation}.tmp"));
        fs::create_dir(&temporary)?;
        // A full disk or a panic of the library must leave the older snapshot as it was.
        let dumped = catch_unwind(AssertUnwindSafe(|| graph.dump(&temporary, DUMP)));
        match dumped {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return fs::remove_dir_all(&temporary).map(|()| false),
            Ok(Err(message)) => return Err(io::Error::other(message)),
            Err(_) => return Err(io::Error::other("the graph library failed while writing")),
        }
        set_layer_scale(&temporary.join(FILES[0]))?;
        let ids: Vec<u8> = graph.ids().iter().flat_map(|id| *id.0.as_bytes()).collect();
        fs::write(temporary.join(FILES[2]), ids)?;
        let files = FILES.iter().map(|name| sum_and_sync(&temporary, name)).collect::<io::Result<_>>()?;
        sync_folder(&temporary)?;
        fs::rename(&temporary, self.dir.join(format!("{space}-{generation}")))?;
        let manifest = Manifest {
            format: FORMAT,
            machine: MACHINE.into(),
            word: usize::BITS,
            store: self.store,
            tenant: key.scope.tenant().into(),
            project: key.scope.project().into(),
            embedder: key.collection.embedder.clone(),
            dim: key.collection.dim,
            watermark,
            generation,
            nodes: graph.nodes(),
            files,
        };
        self.put_manifest(&space, &manifest)?;
        self.sweep(&space, Some(&manifest.generation));
        Ok(true)
    }

    /// The links and node ids of `key`, checked byte by byte. `None` without a usable snapshot; one of another store,
    /// or from after `head` (the store was restored from a backup), is deleted.
    pub(super) fn load(&self, key: &Key, head: u64) -> Option<(Links, Vec<MemoryId>)> {
        let space = space_name(key);
        if !self.dir.join(format!("{space}.json")).exists() {
            return None;
        }
        match self.try_load(key, &space, head) {
            Ok(loaded) => Some(loaded),
            Err(Unusable::Foreign(why)) => {
                tracing::warn!(space, why, "discarding a vector snapshot; the graph is built again");
                self.remove(key);
                None
            }
            Err(Unusable::Damaged(why)) => {
                tracing::warn!(space, why, "ignoring a vector snapshot; the graph is built again");
                None
            }
        }
    }

    fn try_load(&self, key: &Key, space: &str, head: u64) -> Result<(Links, Vec<MemoryId>), Unusable> {
        // Shared: many may read, but nobody sweeps the generation away that is being read.
        let lock = self.lock_file()?;
        lock.try_lock_shared().map_err(|_| damaged("another process is writing it"))?;
        let manifest = self.manifest(space)?;
        let same_machine = manifest.machine == MACHINE && manifest.word == usize::BITS;
        let same_space = manifest.tenant == key.scope.tenant()
            && manifest.project == key.scope.project()
            && manifest.embedder == key.collection.embedder
            && manifest.dim == key.collection.dim;
        if manifest.format != FORMAT || !same_machine || !same_space {
            return Err(damaged("it is of another format, machine or space"));
        }
        if manifest.store != self.store {
            return Err(Unusable::Foreign("it belongs to another store".into()));
        }
        if manifest.watermark > head {
            return Err(Unusable::Foreign("it is newer than the store".into()));
        }
        if !manifest.files.iter().map(|f| f.name.as_str()).eq(FILES) {
            return Err(damaged("it names other files"));
        }
        let folder = self.dir.join(format!("{space}-{}", manifest.generation));
        for file in &manifest.files {
            if sum(&folder, &file.name)? != *file {
                return Err(damaged("a checksum does not match"));
            }
        }
        let bytes = fs::read(folder.join(FILES[2]))?;
        let (ids, rest) = bytes.as_chunks::<16>();
        let ids: Vec<MemoryId> = ids.iter().map(|id| MemoryId(Uuid::from_bytes(*id))).collect();
        let links = load_links(&folder)?;
        if !rest.is_empty() || ids.len() != manifest.nodes || links.get_nb_point() != ids.len() {
            return Err(damaged("its parts do not fit"));
        }
        Ok((links, ids))
    }

    /// Deletes the snapshot of `key`; a missing one is fine.
    pub(super) fn remove(&self, key: &Key) {
        let space = space_name(key);
        if let Err(error) = fs::remove_file(self.dir.join(format!("{space}.json")))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(space, %error, "a vector snapshot could not be deleted");
        }
        self.sweep(&space, None);
    }

    fn lock_file(&self) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).read(true).open(self.dir.join("lock"))
    }

    fn manifest(&self, space: &str) -> Result<Manifest, Unusable> {
        let mut text = String::new();
        let file = File::open(self.dir.join(format!("{space}.json")))?;
        file.take(MANIFEST_BYTES_MAX).read_to_string(&mut text)?;
        Manifest::parse(&text)
    }

    fn put_manifest(&self, space: &str, manifest: &Manifest) -> io::Result<()> {
        let text = manifest.text()?;
        let temporary = self.dir.join(format!("{space}.json.tmp"));
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, self.dir.join(format!("{space}.json")))?;
        sync_folder(&self.dir)
    }

    /// Deletes the generations of a space other than `keep`, finished or not. Best effort: what stays is swept next time.
    fn sweep(&self, space: &str, keep: Option<&str>) {
        let kept = keep.map(|generation| format!("{space}-{generation}"));
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(&format!("{space}-")) && kept.as_deref() != Some(name) {
                let _swept_next_time = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Why a snapshot is not used.
#[derive(Debug)]
enum Unusable {
    /// It will never fit this store: delete it.
    Foreign(String),
    /// It cannot be read.
    Damaged(String),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

fn damaged(why: &str) -> Unusable {
    Unusable::Damaged(why.into())
}

/// File name of a space: a hash, since names may hold any character. Each part goes in with its length.
fn space_name(key: &Key) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [&key.collection.embedder, key.scope.tenant(), key.scope.project(), &key.collection.dim.to_string()] {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

fn load_links(folder: &Path) -> Result<Links, Unusable> {
    // The graph borrows its loader for as long as it lives, although without memory mapping nothing of it is used.
    // Leaking the loader (about 150 bytes, once for each space and opening) spares an unsafe self-reference.
    let io = Box::new(HnswIo::new(folder, DUMP));
    match catch_unwind(AssertUnwindSafe(move || Box::leak(io).load_hnsw::<i8, CoarseCosine>())) {
        Ok(Ok(links)) => Ok(links),
        Ok(Err(error)) => Err(damaged(&error.to_string())),
        Err(_) => Err(damaged("the graph library failed while reading")),
    }
}

/// `hnsw_rs` 0.3.5 writes the layer scale as it is and multiplies it with the default again when it reads, so that nodes
/// added after a load would hardly ever reach an upper layer. Writing 1 makes it the default again.
fn set_layer_scale(graph: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(graph)?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if u32::from_ne_bytes(magic) != DUMP_MAGIC {
        return Err(io::Error::other("the graph library writes another format than the one known here"));
    }
    file.seek(SeekFrom::Start(LAYER_SCALE_AT))?;
    file.write_all(&1.0f64.to_ne_bytes())
}

fn sum(folder: &Path, name: &str) -> io::Result<FileSum> {
    let mut hasher = blake3::Hasher::new();
    let file = File::open(folder.join(name))?;
    let bytes = file.metadata()?.len();
    hasher.update_reader(file)?;
    Ok(FileSum { name: name.into(), bytes, blake3: hasher.finalize().to_hex().to_string() })
}

fn sum_and_sync(folder: &Path, name: &str) -> io::Result<FileSum> {
    OpenOptions::new().write(true).open(folder.join(name))?.sync_all()?;
    sum(folder, name)
}

/// Makes renames durable. Windows has no such call and journals them itself.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
