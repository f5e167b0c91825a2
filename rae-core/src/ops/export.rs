//! `export`: the whole project as versioned JSON lines, with vectors and history. Format: docs/concepts/export.md.

use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    limits::{IMPORT_LINE_BYTES_MAX, PAGE_MAX},
    model::{Cursor, Memory, MemoryVersion, Record, RecordKind, Scan, Scope, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    path::Path,
};

/// Version of the format.
pub(super) const FORMAT: u32 = 2;
/// The version before there were records. What has none is written in it, so that older engines read it.
const WITHOUT_RECORDS: u32 = 1;
pub(crate) const MARK: &[u8] = b"{\"rae_export\"";

/// First line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub rae_export: u32,
    pub engine: String,
    pub exported_at: Timestamp,
    pub tenant: String,
    pub project: String,
    pub embedder: super::stats::EmbedderInfo,
}

/// One memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    pub memory: Memory,
    pub vector: Option<Vec<f32>>,
    /// Older versions, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<MemoryVersion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<(u64, Timestamp)>,
}

/// A document that is no memory: a set of questions, or a run of one. Between the header and the memories.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordLine {
    pub record: Record,
}

/// Last line: a file without it was cut off.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    pub end: bool,
    pub memories: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub records: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Number of memories.
    pub memories: u64,
    /// Size of the file.
    pub bytes: u64,
}

pub(crate) async fn export(deps: &Deps, scope: &Scope, path: &Path) -> Result<Exported> {
    let ctx = deps.ctx(scope)?;
    super::flush_access(deps, scope).await?;
    refuse_foreign_target(path)?;
    // Written beside the target and renamed: an interrupted export leaves an older one whole.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.partial", deps.ids.next_uuid(deps.clock.now()).simple()));
    let temporary = std::path::PathBuf::from(temporary);
    let written = write_file(deps, &ctx, &temporary).await;
    let renamed = written.and_then(|memories| {
        std::fs::rename(&temporary, path).map_err(|e| io_error("renamed", path, e))?;
        let bytes = std::fs::metadata(path).map_err(|e| io_error("read", path, e))?.len();
        Ok(Exported { memories, bytes })
    });
    if renamed.is_err() {
        // Best effort: the error that matters is the one being returned.
        let _ = std::fs::remove_file(&temporary);
    }
    renamed
}

/// An export replaces an older export, and nothing else.
pub(crate) fn refuse_foreign_target(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::invalid("the export's path is a directory; name a file in it"));
    }
    let Ok(mut file) = File::open(path) else { return Ok(()) };
    let mut start = [0; MARK.len()];
    match file.read_exact(&mut start) {
        Ok(()) if start == *MARK => Ok(()),
        _ if file.metadata().is_ok_and(|m| m.len() == 0) => Ok(()),
        _ => Err(Error::conflict(
            "the export's path holds a file that is not an export; remove it or choose another path",
        )
        .with_code("target_exists")),
    }
}

async fn write_file(deps: &Deps, ctx: &Ctx, path: &Path) -> Result<u64> {
    let file = File::create_new(path).map_err(|e| io_error("created", path, e))?;
    let mut out = BufWriter::new(file);
    let embedder = deps.embedder();
    let has_records = has_records(deps, ctx).await?;
    let header = Header {
        rae_export: if has_records { FORMAT } else { WITHOUT_RECORDS },
        engine: crate::version().to_owned(),
        exported_at: deps.clock.now(),
        tenant: ctx.scope().tenant().to_owned(),
        project: ctx.scope().project().to_owned(),
        embedder: super::stats::EmbedderInfo { id: embedder.id().to_owned(), dim: embedder.dim() },
    };
    write_line(&mut out, &header, path)?;
    let records = if has_records { write_records(deps, ctx, &mut out, path).await? } else { 0 };
    // By id, not by change: what changes while this runs must not slip from a page still to come into one already read.
    let mut scan = Scan { filter: None, after: None, limit: PAGE_MAX };
    let mut memories = 0;
    loop {
        let page = deps.relational.scan(ctx, &scan).await?;
        let Some(last) = page.last() else { break };
        scan.after = Some(Cursor(last.id));
        let ids: Vec<_> = page.iter().map(|m| m.id).collect();
        let vectors = deps.relational.vectors_of(ctx, embedder.id(), &ids).await?;
        let access = deps.relational.access(ctx, &ids).await?;
        for ((memory, vector), (count, last)) in page.into_iter().zip(vectors).zip(access) {
            let mut history = Vec::new();
            if memory.version > 1 {
                history = deps.relational.history(ctx, memory.id).await?;
                history.retain(|v| v.memory.version < memory.version);
            }
            let access = last.map(|last| (count, last));
            write_line(&mut out, &Line { memory, vector, history, access }, path)?;
            memories += 1;
        }
    }
    write_line(&mut out, &Trailer { end: true, memories, records }, path)?;
    let file = out.into_inner().map_err(|e| io_error("written", path, e.into_error()))?;
    file.sync_all().map_err(|e| io_error("written", path, e))?;
    Ok(memories)
}

/// Whether there is a set of questions; what has no set has no runs.
async fn has_records(deps: &Deps, ctx: &Ctx) -> Result<bool> {
    Ok(!deps.relational.records(ctx, RecordKind::Questions, None, 1).await?.is_empty())
}

/// Sets of questions, each with its runs behind it; gives how many lines there are.
async fn write_records(deps: &Deps, ctx: &Ctx, out: &mut impl Write, path: &Path) -> Result<u64> {
    let mut written = 0;
    for set in super::evaluate::records(deps, ctx, RecordKind::Questions).await? {
        let name = set.name.clone();
        written += write_record(out, set, path)?;
        for run in super::evaluate::run_names(deps, ctx, &name).await? {
            // One at a time: runs are long.
            if let Some(run) = deps.relational.record(ctx, RecordKind::Evaluation, &run).await? {
                written += write_record(out, run, path)?;
            }
        }
    }
    Ok(written)
}

fn write_record(out: &mut impl Write, record: Record, path: &Path) -> Result<u64> {
    let name = record.name.clone();
    let line = serde_json::to_vec(&RecordLine { record }).map_err(|e| io_error("written", path, e.into()))?;
    if line.len() > IMPORT_LINE_BYTES_MAX {
        let text = format!("the stored evaluation {name:?} is longer than the {IMPORT_LINE_BYTES_MAX} bytes of a line");
        return Err(Error::unsupported(text).with_code("record_too_long"));
    }
    out.write_all(&line).and_then(|()| out.write_all(b"\n")).map_err(|e| io_error("written", path, e))?;
    Ok(1)
}

fn write_line<T: Serialize>(out: &mut impl Write, value: &T, path: &Path) -> Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(|e| io_error("written", path, e.into()))?;
    out.write_all(b"\n").map_err(|e| io_error("written", path, e))
}

/// A file that could not be used: what the caller can mend is InvalidInput, the rest is Unavailable.
pub(crate) fn io_error(what: &str, path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    let message = format!("{} cannot be {what}: {error}", path.display());
    match error.kind() {
        NotFound | IsADirectory | NotADirectory => Error::invalid(message),
        PermissionDenied => Error::new(crate::ErrorKind::PermissionDenied, message),
        _ => Error::unavailable(message),
    }
    .with_source(error)
}
