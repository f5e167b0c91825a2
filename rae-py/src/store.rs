//! The handle: each verb converts its input, drives the engine's future and converts the answer.

use crate::{
    embed::PyEmbedder,
    errors::{OrRaise, exception, invalid},
    fields,
    input::{flag, id, integer, items, name, optional, path, text, texts, time},
    json,
    money::{self, LlmPieces},
    options::{Options, builder, connection, embedding},
    records::{
        Audit, Context, ErasureReport, Exported, Finding, Forgotten, Hits, Imported, Maintained, Memory, MemoryVersion,
        Page, Receipt, Reembedded, Reflected, Stats,
    },
    runtime::{boundary, drive},
};
use pyo3::{
    prelude::*,
    types::{PyByteArray, PyDict, PyList},
};
use rae_core::{
    ErasureOptions, Error, ErrorKind,
    ports::{Embedder, ManualClock},
    remote::{Handle, Remote},
    wire,
};
use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// What all handles on one open store share. Dropping the last one closes the store.
struct Shared {
    rae: Option<Handle>,
    /// The process that opened it: threads and locks of the store live there and nowhere else.
    pid: u32,
    file: Mutex<Option<OpenFile>>,
    clock: Option<Arc<ManualClock>>,
    /// Embedders whose callables are let go at close.
    embedders: Mutex<Vec<Arc<PyEmbedder>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(rae) = self.rae.take() else { return };
        if std::process::id() != self.pid {
            // In a forked child the store's threads do not exist: waiting for them would never end, and the file is the parent's.
            mem::forget(rae);
            return;
        }
        let close = move || {
            // Every acknowledged write is on the disk already; a panic here must not cross into Python's deallocator.
            let _ = catch_unwind(AssertUnwindSafe(|| rae_core::block_on(rae.close())));
        };
        // The interpreter must not be held while threads are waited for. At its very end it cannot be had any more.
        let mut close = Some(close);
        Python::try_attach(|py| close.take().map(|close| py.detach(close)));
        if let Some(close) = close {
            close();
        }
        self.release_file();
    }
}

impl Shared {
    fn release_embedders(&self) {
        let embedders = mem::take(&mut *self.embedders.lock().unwrap_or_else(PoisonError::into_inner));
        embedders.iter().for_each(|embedder| embedder.release());
    }

    fn release_file(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        file.into_iter().for_each(OpenFile::released);
    }
}

/// A file that is open in some process, by device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OpenFile {
    pid: u32,
    dev: u64,
    ino: u64,
}

/// Files that are open in this process, and in those it was forked from.
static OPEN_FILES: Mutex<Vec<OpenFile>> = Mutex::new(Vec::new());

impl OpenFile {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { pid: std::process::id(), dev: meta.dev(), ino: meta.ino() })
    }

    #[cfg(not(unix))]
    fn of(_path: &Path) -> Option<Self> {
        None
    }

    fn opened(self) {
        OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    fn released(self) {
        let mut files = OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(i) = files.iter().position(|f| *f == self) {
            files.swap_remove(i);
        }
    }

    /// Whether it was open when this process was forked. SQLite keeps the file's locks in its own memory too; the child inherits
    /// that memory but not the locks, and would write without holding them.
    fn is_inherited(self) -> bool {
        let files = OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().any(|f| (f.dev, f.ino) == (self.dev, self.ino) && f.pid != self.pid)
    }
}

fn forked(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message).with_code("forked")
}

/// A handle on an open store, for one tenant and project. `rae.Rae` wraps it.
#[pyclass(frozen, module = "rae._rae")]
pub(crate) struct Store {
    rae: Handle,
    shared: Arc<Shared>,
    path: Option<PathBuf>,
}

impl Store {
    /// The handle, in the process that opened it.
    fn rae(&self, py: Python<'_>) -> PyResult<&Handle> {
        if std::process::id() == self.shared.pid {
            return Ok(&self.rae);
        }
        let message = "this store was opened before the process was forked and works in the parent only: open the store in the \
                       child instead (after the fork, in each process), or start child processes with the \"spawn\" method";
        Err(exception(py, &forked(message)))
    }
}

#[pymethods]
impl Store {
    /// Opens a store. `options`: tenant, project, embedder, durability, reembed, timeout, providers, prices, unknown_model,
    /// test_now, test_seed.
    #[staticmethod]
    fn open(py: Python<'_>, path: &Bound<'_, PyAny>, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        boundary(py, || {
            let file = self::path("path", path)?;
            let file = if file.as_os_str() == ":memory:" { None } else { Some(file) };
            if let Some(path) = &file
                && OpenFile::of(path).is_some_and(OpenFile::is_inherited)
            {
                let message = "this file was open when the process was forked, and its locks do not survive that: close it before \
                               the fork, or start child processes with the \"spawn\" method";
                return Err(exception(py, &forked(message)));
            }
            let Options { builder, clock, embedder } = builder(options)?;
            let builder = match &file {
                Some(path) => builder.path(path),
                None => builder,
            };
            // The engine's ids come from this thread's generator. Forked children inherit its state: without a new seed their ids
            // would be the same, and a write under an id that was applied already is taken for a repetition.
            let seed: [u8; 8] = PyModule::import(py, "os")?.call_method1("urandom", (8,))?.extract()?;
            fastrand::seed(u64::from_ne_bytes(seed));
            let rae = Handle::Local(drive(py, builder.open())?);
            let open_file = file.as_deref().and_then(OpenFile::of);
            open_file.into_iter().for_each(OpenFile::opened);
            let embedders = Mutex::new(embedder.into_iter().collect());
            let shared = Shared {
                rae: Some(rae.clone()),
                pid: std::process::id(),
                file: Mutex::new(open_file),
                clock,
                embedders,
            };
            Ok(Self { rae, shared: Arc::new(shared), path: file })
        })
    }

    /// The store of a server. `options`: api_key, tenant, project, timeout, ca. Does not touch the network.
    #[staticmethod]
    fn connect(py: Python<'_>, url: &Bound<'_, PyAny>, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        boundary(py, || {
            let connect = connection(Remote::connect(text("url", url)?), options)?;
            let rae = Handle::Remote(py.detach(|| connect.open()).or_raise(py)?);
            let (file, embedders) = (Mutex::default(), Mutex::default());
            let shared = Shared { rae: Some(rae.clone()), pid: std::process::id(), file, clock: None, embedders };
            Ok(Self { rae, shared: Arc::new(shared), path: None })
        })
    }

    /// The address of the server; None for a store of this process.
    #[getter]
    fn url(&self) -> Option<&str> {
        self.rae.url()
    }

    /// Whether an API key goes to another machine without encryption.
    #[getter]
    fn is_key_in_clear(&self) -> bool {
        matches!(&self.rae, Handle::Remote(remote) if remote.is_key_in_clear())
    }

    /// The same store for another tenant or project.
    fn with_scope(&self, py: Python<'_>, tenant: &Bound<'_, PyAny>, project: &Bound<'_, PyAny>) -> PyResult<Self> {
        boundary(py, || {
            let (tenant, project) = (optional("tenant", tenant, text)?, optional("project", project, text)?);
            let rae = self.rae(py)?.with_scope(tenant, project).or_raise(py)?;
            Ok(Self { rae, shared: Arc::clone(&self.shared), path: self.path.clone() })
        })
    }

    #[getter]
    fn tenant(&self) -> &str {
        self.rae.tenant()
    }

    #[getter]
    fn project(&self) -> &str {
        self.rae.project()
    }

    /// The file; None in memory.
    #[getter]
    fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether this process is a fork of the one that opened it.
    #[getter]
    fn is_forked(&self) -> bool {
        std::process::id() != self.shared.pid
    }

    /// Raises UnsupportedError in a forked child.
    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        self.rae(py).map(drop)
    }

    fn remember(&self, py: Python<'_>, fields: &Bound<'_, PyDict>) -> PyResult<Receipt> {
        boundary(py, || {
            let new = fields::new_memory(fields)?;
            drive(py, self.rae(py)?.remember(new)).map(Receipt::from)
        })
    }

    fn remember_many<'py>(&self, py: Python<'py>, items: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        boundary(py, || {
            let rae = self.rae(py)?;
            let items = fields::new_memories(items)?;
            let receipts = drive(py, rae.remember_many(items))?;
            PyList::new(py, receipts.into_iter().map(Receipt::from).collect::<Vec<_>>())
        })
    }

    fn recall(&self, py: Python<'_>, query: &Bound<'_, PyAny>, options: &Bound<'_, PyDict>) -> PyResult<Hits> {
        boundary(py, || {
            let (query, options) = (text("query", query)?, fields::recall(options)?);
            Hits::new(py, drive(py, self.rae(py)?.recall(&query, options))?)
        })
    }

    fn context(&self, py: Python<'_>, query: &Bound<'_, PyAny>, options: &Bound<'_, PyDict>) -> PyResult<Context> {
        boundary(py, || {
            let (query, options) = (optional("query", query, text)?, fields::context(options)?);
            drive(py, self.rae(py)?.context(query.as_deref(), options)).map(Context::from)
        })
    }

    fn get(&self, py: Python<'_>, memory_id: &Bound<'_, PyAny>) -> PyResult<Memory> {
        boundary(py, || drive(py, self.rae(py)?.get(id("id", memory_id)?)).map(Memory::from))
    }

    fn list(&self, py: Python<'_>, options: &Bound<'_, PyDict>) -> PyResult<Page> {
        boundary(py, || drive(py, self.rae(py)?.list(fields::list(options)?)).map(Page::from))
    }

    fn update(&self, py: Python<'_>, memory_id: &Bound<'_, PyAny>, fields: &Bound<'_, PyDict>) -> PyResult<Receipt> {
        boundary(py, || {
            let (memory_id, update) = (id("id", memory_id)?, fields::update(fields)?);
            drive(py, self.rae(py)?.update(memory_id, update)).map(Receipt::from)
        })
    }

    fn history(&self, py: Python<'_>, memory_id: &Bound<'_, PyAny>) -> PyResult<Vec<MemoryVersion>> {
        boundary(py, || {
            let versions = drive(py, self.rae(py)?.history(id("id", memory_id)?))?;
            Ok(versions.into_iter().map(Into::into).collect())
        })
    }

    fn forget(
        &self,
        py: Python<'_>,
        memory_id: &Bound<'_, PyAny>,
        filter: &Bound<'_, PyAny>,
        scope: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
    ) -> PyResult<Forgotten> {
        boundary(py, || {
            let what = fields::forget(memory_id, filter, scope, target)?;
            drive(py, self.rae(py)?.forget(what)).map(Forgotten::from)
        })
    }

    fn verify_erasure(
        &self,
        py: Python<'_>,
        receipt: &Bound<'_, PyAny>,
        exports: &Bound<'_, PyAny>,
        given: &Bound<'_, PyAny>,
    ) -> PyResult<ErasureReport> {
        boundary(py, || {
            let receipt = json::receipt("receipt", receipt)?;
            let exports = items("exports", exports)?;
            let exports = exports.iter().map(|file| path("exports", file)).collect::<PyResult<Vec<_>>>()?;
            let options = ErasureOptions { exports, texts: texts("texts", given)?, ..ErasureOptions::default() };
            drive(py, self.rae(py)?.verify_erasure_with(&receipt, &options)).map(ErasureReport::from)
        })
    }

    fn feedback(&self, py: Python<'_>, memory_id: &Bound<'_, PyAny>, useful: &Bound<'_, PyAny>) -> PyResult<Memory> {
        boundary(py, || {
            let (memory_id, useful) = (id("id", memory_id)?, flag("useful", useful)?);
            drive(py, self.rae(py)?.feedback(memory_id, useful)).map(Memory::from)
        })
    }

    fn relate(&self, py: Python<'_>, fields: &Bound<'_, PyDict>) -> PyResult<Receipt> {
        boundary(py, || drive(py, self.rae(py)?.relate(fields::relation(fields)?)).map(Receipt::from))
    }

    fn relations(&self, py: Python<'_>, options: &Bound<'_, PyDict>) -> PyResult<Page> {
        boundary(py, || drive(py, self.rae(py)?.relations(fields::relations(options)?)).map(Page::from))
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        boundary(py, || drive(py, self.rae(py)?.stats()).map(Stats::from))
    }

    fn export(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Exported> {
        boundary(py, || drive(py, self.rae(py)?.export(&self::path("path", path)?)).map(Exported::from))
    }

    fn import_(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Imported> {
        boundary(py, || drive(py, self.rae(py)?.import(&self::path("path", path)?)).map(Imported::from))
    }

    fn reembed(&self, py: Python<'_>, embedder: &Bound<'_, PyAny>) -> PyResult<Reembedded> {
        boundary(py, || {
            let rae = self.rae(py)?;
            let (embedding, callable) = embedding(embedder)?;
            let embedder: Arc<dyn Embedder> = py.detach(|| rae.load_embedder(embedding)).or_raise(py)?;
            let done = drive(py, rae.reembed(embedder))?;
            self.shared.embedders.lock().unwrap_or_else(PoisonError::into_inner).extend(callable);
            Ok(Reembedded::from(done))
        })
    }

    fn maintain(&self, py: Python<'_>, now: &Bound<'_, PyAny>) -> PyResult<Maintained> {
        boundary(py, || drive(py, self.rae(py)?.maintain(optional("now", now, time)?)).map(Maintained::from))
    }

    fn audit(&self, py: Python<'_>, limit: &Bound<'_, PyAny>, fix: &Bound<'_, PyAny>) -> PyResult<Audit> {
        boundary(py, || {
            let options = rae_core::AuditOptions { limit: integer("limit", limit)?, fix: flag("fix", fix)? };
            drive(py, self.rae(py)?.audit(options)).map(Audit::from)
        })
    }

    /// The vectors of texts as the bytes of their floats, zeros for none, and their dimension.
    fn embed<'py>(
        &self,
        py: Python<'py>,
        given: &Bound<'py, PyAny>,
        role: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyByteArray>, usize)> {
        boundary(py, || {
            let (given, role) = (texts("texts", given)?, name("role", role)?);
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            let rae = self.rae(py)?;
            let vectors = drive(py, rae.embed(&given, role))?;
            // Those of one call are from one embedder; the one in use may be another by now.
            let dim = match vectors.iter().flatten().next() {
                Some(vector) => vector.len(),
                None => drive(py, rae.dim())?,
            };
            Ok((float_bytes(py, &vectors, dim)?, dim))
        })
    }

    /// The vector of a memory as the bytes of its floats.
    fn vector<'py>(&self, py: Python<'py>, memory_id: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyByteArray>>> {
        boundary(py, || {
            let vector = drive(py, self.rae(py)?.vector(id("id", memory_id)?))?;
            vector.map(|v| float_bytes(py, &[Some(&v)], v.len())).transpose()
        })
    }

    fn doctor(&self, py: Python<'_>) -> PyResult<Vec<Finding>> {
        boundary(py, || Ok(drive(py, self.rae(py)?.doctor())?.into_iter().map(Into::into).collect()))
    }

    fn backup(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<()> {
        boundary(py, || drive(py, self.rae(py)?.backup(&self::path("path", path)?)))
    }

    fn log_event(
        &self,
        py: Python<'_>,
        session: &Bound<'_, PyAny>,
        event_type: &Bound<'_, PyAny>,
        content: &Bound<'_, PyAny>,
        more: &Bound<'_, PyDict>,
    ) -> PyResult<Receipt> {
        boundary(py, || {
            let event = rae_core::NewEvent::new(name("type", event_type)?, text("content", content)?);
            let event = fields::event(event, more)?;
            drive(py, self.rae(py)?.log_event(&text("session_id", session)?, event)).map(Receipt::from)
        })
    }

    fn end_session(
        &self,
        py: Python<'_>,
        session: &Bound<'_, PyAny>,
        outcome: &Bound<'_, PyAny>,
        more: &Bound<'_, PyDict>,
    ) -> PyResult<Receipt> {
        boundary(py, || {
            let end = fields::session_end(rae_core::SessionEnd::new(name("outcome", outcome)?), more)?;
            drive(py, self.rae(py)?.end_session(&text("session_id", session)?, end)).map(Receipt::from)
        })
    }

    fn events(
        &self,
        py: Python<'_>,
        session: &Bound<'_, PyAny>,
        limit: &Bound<'_, PyAny>,
        cursor: &Bound<'_, PyAny>,
    ) -> PyResult<Page> {
        boundary(py, || {
            let (session, options) = (text("session_id", session)?, fields::events(limit, cursor)?);
            drive(py, self.rae(py)?.events(&session, options)).map(Page::from)
        })
    }

    fn reflect(
        &self,
        py: Python<'_>,
        session: &Bound<'_, PyAny>,
        since: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<Reflected>> {
        boundary(py, || {
            let (session_id, since) = (optional("session_id", session, text)?, optional("since", since, time)?);
            let options = rae_core::ReflectOptions { session_id, since };
            Ok(drive(py, self.rae(py)?.reflect(options))?.into_iter().map(Into::into).collect())
        })
    }

    fn reflections(&self, py: Python<'_>, limit: &Bound<'_, PyAny>, cursor: &Bound<'_, PyAny>) -> PyResult<Page> {
        boundary(py, || drive(py, self.rae(py)?.reflections(fields::events(limit, cursor)?)).map(Page::from))
    }

    /// Calls a verb of `wire::VERBS` with its arguments and answer as JSON.
    fn call<'py>(&self, py: Python<'py>, verb: &str, args: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        boundary(py, || {
            let args = money::arguments(args)?;
            let answer = drive(py, self.rae(py)?.call(verb, args))?;
            json::to_py(py, &answer)
        })
    }

    /// Asks a model for an answer in pieces. `args` are those of the verb `llm`.
    fn llm_stream(&self, py: Python<'_>, args: &Bound<'_, PyDict>) -> PyResult<LlmPieces> {
        boundary(py, || {
            let (request, options) = wire::chat(money::arguments(args)?).or_raise(py)?;
            drive(py, self.rae(py)?.llm_stream(request, options)).map(LlmPieces::new)
        })
    }

    /// Closes the store for all handles. In a forked child it does nothing: the store is the parent's.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_forked() {
            return Ok(());
        }
        boundary(py, || {
            // Neither Ctrl-C nor a cancelled task may leave it half closed; it is a matter of milliseconds.
            py.detach(|| rae_core::block_on(self.rae.close())).or_raise(py)?;
            self.shared.release_file();
            self.shared.release_embedders();
            Ok(())
        })
    }

    /// Moves the clock of a store that was opened with one of its own.
    fn test_advance(&self, py: Python<'_>, seconds: i64) -> PyResult<()> {
        match &self.shared.clock {
            Some(clock) => {
                clock.advance_seconds(seconds);
                Ok(())
            }
            None => Err(invalid(py, "the store was opened without a clock of its own")),
        }
    }
}

/// Rows of `dim` floats in the machine's byte order, in memory that Python owns and may change.
fn float_bytes<'py, V: AsRef<[f32]>>(
    py: Python<'py>,
    rows: &[Option<V>],
    dim: usize,
) -> PyResult<Bound<'py, PyByteArray>> {
    const FLOAT: usize = size_of::<f32>();
    PyByteArray::new_with(py, rows.len() * dim * FLOAT, |bytes| {
        for (row, vector) in bytes.chunks_exact_mut((dim * FLOAT).max(1)).zip(rows) {
            let floats = vector.as_ref().map(AsRef::as_ref).unwrap_or_default();
            for (place, float) in row.as_chunks_mut::<FLOAT>().0.iter_mut().zip(floats) {
                *place = float.to_ne_bytes();
            }
        }
        Ok(())
    })
}
