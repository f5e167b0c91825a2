//! `import`: reads an export. The whole file is checked before the first memory is written, and reading it twice changes nothing.

use super::{
    export::{FORMAT, Header, Line, RecordLine, Trailer, io_error},
    import_joins::{ATTEMPTS, Candidates, Joins, Taken, is_mark},
    import_records::{self, Found},
};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    ingest::{check_imported, normalise_vector},
    jobs::embed_debt,
    limits::{IMPORT_LINE_BYTES_MAX, PAGE_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX},
    model::{
        Cmp, Cursor, Field, Filter, Kind, Memory, MemoryId, MemoryVersion, Op, Outcome, Precondition, Scan, Scope,
        Timestamp, Value, VectorRow,
    },
    reflect::check_counts,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// Sessions that are looked up at once.
const SESSIONS_AT_ONCE: usize = 64;

/// What was imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Memories written.
    pub imported: u64,
    /// Statements, lessons and summaries that were there already under another id and were joined.
    pub merged: u64,
    /// Memories that were there already, same id and version, or joined before.
    pub unchanged: u64,
}

pub(crate) async fn import(deps: &Deps, scope: &Scope, path: &Path) -> Result<Imported> {
    let ctx = deps.ctx(scope)?;
    let Checked { header, records, about, candidates, has_marks } = check_file(deps, path, scope)?;
    let running = running(deps, &ctx, path, about).await?;
    let again = || Again::open(deps, path, (&header, &records, scope));
    let mut taken = candidates.taken(deps, &ctx).await?;
    let mut lines = (!taken.is_empty()).then(again).transpose()?;
    while let Some(line) = lines.as_mut().map_or(Ok(None), Again::next)? {
        if taken.has(&line.memory) {
            taken.settle(deps, &ctx, &line.memory).await?;
        }
    }
    import_records::write(deps, &ctx, path, &records).await?;
    let mut done = Imported::default();
    let passes: &[bool] = if has_marks { &[true, false] } else { &[false] };
    for marks in passes {
        let (mut lines, mut chunk, mut bytes) = (again()?, Vec::new(), 0);
        while let Some(mut line) = lines.next()? {
            if taken.has(&line.memory) || is_mark(&line.memory) != *marks {
                continue;
            }
            bytes += lines.bytes;
            if line.memory.dedup_key.is_some_and(|key| running.contains(&key)) {
                line.memory.dedup_key = None;
            }
            chunk.push(line);
            if chunk.len() == TRANSACTION_ITEMS_MAX || bytes > TRANSACTION_BYTES_MAX {
                write_or_take(deps, &ctx, std::mem::take(&mut chunk), (&header, &mut taken), &mut done).await?;
                bytes = 0;
            }
        }
        write_or_take(deps, &ctx, chunk, (&header, &mut taken), &mut done).await?;
    }
    if !taken.is_empty() {
        join(deps, &ctx, again()?, (&header, &taken), &mut done).await?;
    }
    deps.background.nudge(scope);
    Ok(done)
}

/// Writes lines but those of which somebody else made the same since the first look: these are joined later.
async fn write_or_take(
    deps: &Deps,
    ctx: &Ctx,
    mut chunk: Vec<Line>,
    (header, taken): (&Header, &mut Taken),
    done: &mut Imported,
) -> Result<()> {
    for attempt in 1.. {
        let Some(free) = taken.late(deps, ctx, &mut chunk).await? else { break };
        let mut some = chunk.clone();
        some.iter_mut().for_each(|line| taken.renamed(&mut line.memory));
        match write(deps, ctx, some, (header, free), done).await {
            Err(error) if matches!(error.code(), "exists" | "version_changed") && attempt < ATTEMPTS => {}
            written => return written,
        }
    }
    chunk.iter_mut().for_each(|line| taken.renamed(&mut line.memory));
    write(deps, ctx, chunk, (header, Vec::new()), done).await
}

/// Joins what is here already with what the file has of it.
async fn join(
    deps: &Deps,
    ctx: &Ctx,
    mut lines: Again<'_>,
    (header, taken): (&Header, &Taken),
    done: &mut Imported,
) -> Result<()> {
    let mut joins = Joins::default();
    while let Some(mut line) = lines.next()? {
        if !taken.has(&line.memory) {
            continue;
        }
        taken.renamed(&mut line.memory);
        if let Some(apart) = joins.join(deps, ctx, line, done).await? {
            write(deps, ctx, vec![apart], (header, Vec::new()), done).await?;
        }
    }
    joins.finish(deps, ctx, done).await
}

/// The memories of a checked file, once more.
struct Again<'a> {
    deps: &'a Deps,
    lines: Lines,
    file: (&'a Header, &'a Found, &'a Scope),
    /// Length of the line that was read last.
    bytes: usize,
}

impl<'a> Again<'a> {
    fn open(deps: &'a Deps, path: &Path, file: (&'a Header, &'a Found, &'a Scope)) -> Result<Self> {
        let mut lines = Lines::open(path)?;
        lines.next_line()?; // the header
        Ok(Self { deps, lines, file, bytes: 0 })
    }

    fn next(&mut self) -> Result<Option<Line>> {
        let (header, records, scope) = self.file;
        while let Some(text) = self.lines.next_line()? {
            if records.is_record(self.lines.number) {
                continue;
            }
            let Ok(line) = serde_json::from_str::<Line>(&text) else { break }; // the trailer, checked before
            self.bytes = text.len();
            return checked(line, header, scope, self.deps.clock.now(), self.lines.number).map(Some);
        }
        Ok(None)
    }
}

/// What the first pass found.
struct Checked {
    header: Header,
    records: Found,
    /// The keys of ends and summaries of sessions, with the session.
    about: BTreeMap<[u8; 32], String>,
    /// What may be here already.
    candidates: Candidates,
    /// Whether a memory says how far a session was looked at.
    has_marks: bool,
}

/// The session that a memory is the end or the summary of.
fn session_about(memory: &Memory) -> Option<&str> {
    let named = || memory.metadata.get("session_id").filter(|_| memory.kind == Kind::Reflection)?.as_str();
    memory.session_id.as_deref().or_else(named).filter(|_| memory.has_subject_key())
}

/// Of these keys those that no memory here has, of sessions that have memories here which are not in the file: another session of the same
/// name. An end in the file does not end it, and a summary does not say how far it was looked at.
async fn running(deps: &Deps, ctx: &Ctx, path: &Path, about: BTreeMap<[u8; 32], String>) -> Result<BTreeSet<[u8; 32]>> {
    let mut free = Vec::new();
    for page in about.into_iter().collect::<Vec<_>>().chunks(PAGE_MAX) {
        let held = deps.relational.keyed(ctx, &page.iter().map(|(key, _)| *key).collect::<Vec<_>>()).await?;
        free.extend(page.iter().zip(held).filter(|(_, held)| held.is_none()).map(|(named, _)| named.clone()));
    }
    let sessions: BTreeSet<&String> = free.iter().map(|(_, session)| session).collect();
    let mut here: HashMap<MemoryId, String> = HashMap::new();
    for some in sessions.into_iter().collect::<Vec<_>>().chunks(SESSIONS_AT_ONCE) {
        let any = Cmp::In(some.iter().map(|session| Value::Text((*session).clone())).collect());
        let mut scan = Scan { filter: Some(Filter::Cmp(Field::SessionId, any)), after: None, limit: PAGE_MAX };
        loop {
            let page = deps.relational.scan(ctx, &scan).await?;
            let Some(last) = page.last() else { break };
            scan.after = Some(Cursor(last.id));
            here.extend(page.into_iter().filter_map(|memory| Some((memory.id, memory.session_id?))));
        }
    }
    let mut reader = Lines::open(path)?;
    while !here.is_empty() {
        let Some(text) = reader.next_line()? else { break };
        if let Ok(line) = serde_json::from_str::<Line>(&text) {
            here.remove(&line.memory.id);
        }
    }
    let others: BTreeSet<String> = here.into_values().collect();
    Ok(free.into_iter().filter(|(_, session)| others.contains(session)).map(|(key, _)| key).collect())
}

/// First pass: every line parses and is inside the limits, and the file is whole.
fn check_file(deps: &Deps, path: &Path, scope: &Scope) -> Result<Checked> {
    let mut reader = Lines::open(path)?;
    let not_ours =
        || Error::invalid("this is not a RAE export: its first line is not the header").with_code("not_an_export");
    let first = reader.next_line()?.ok_or_else(not_ours)?;
    let header: Header = serde_json::from_str(&first).map_err(|e| not_ours().with_source(e))?;
    if header.rae_export > FORMAT {
        return Err(Error::unsupported(format!(
            "the export has format {}, this version reads up to {FORMAT}: upgrade RAE to import it",
            header.rae_export
        )));
    }
    let embedder = deps.embedder();
    if header.embedder.id == embedder.id() && header.embedder.dim != embedder.dim() {
        return Err(Error::invalid("the export's embedder is this store's, but with another dimension"));
    }
    let (mut memories, mut records, mut about) = (0, Found::default(), BTreeMap::new());
    let (mut candidates, mut has_marks) = (Candidates::default(), false);
    while let Some(text) = reader.next_line()? {
        if let Ok(trailer) = serde_json::from_str::<Trailer>(&text) {
            let fits = trailer.memories == memories && trailer.records == records.lines();
            return if fits && reader.next_line()?.is_none() {
                Ok(Checked { header, records, about, candidates, has_marks })
            } else {
                Err(Error::invalid("the export's last line does not fit the rest: the file was changed"))
            };
        }
        // They stand before the memories, in exports that know of them.
        if memories == 0
            && header.rae_export >= FORMAT
            && let Ok(line) = serde_json::from_str::<RecordLine>(&text)
        {
            records.check(line.record).map_err(|e| at_line(e, reader.number))?;
            continue;
        }
        let line: Line = serde_json::from_str(&text)
            .map_err(|e| Error::invalid(format!("line {} of the export is not a memory: {e}", reader.number)))?;
        let line = checked(line, &header, scope, deps.clock.now(), reader.number)?;
        candidates.note(&line.memory, deps.clock.now());
        has_marks |= is_mark(&line.memory);
        about.extend(line.memory.dedup_key.zip(session_about(&line.memory).map(str::to_owned)));
        memories += 1;
    }
    Err(Error::invalid("the export is cut off: its last line is missing").with_code("truncated_export"))
}

fn checked(mut line: Line, header: &Header, scope: &Scope, now: Timestamp, number: usize) -> Result<Line> {
    check_line(&mut line, header, scope, now).map_err(|e| at_line(e, number))?;
    Ok(line)
}

fn at_line(e: Error, number: usize) -> Error {
    Error::new(e.kind(), format!("line {number} of the export: {}", e.message())).with_source(e)
}

/// Everything that would make the store refuse the line: it must be known before anything is written.
fn check_line(line: &mut Line, header: &Header, scope: &Scope, now: Timestamp) -> Result<()> {
    check_imported(&mut line.memory, scope, now)?;
    check_counts(&line.memory)?;
    line.vector = normalise_vector(line.vector.take(), header.embedder.dim)?;
    let mut newest = 0;
    for MemoryVersion { memory, .. } in &mut line.history {
        check_imported(memory, scope, now)?;
        if memory.id != line.memory.id || memory.version <= newest || memory.version >= line.memory.version {
            return Err(Error::invalid(
                "older versions must be of the same memory, with growing numbers below its own",
            ));
        }
        newest = memory.version;
    }
    match line.access {
        Some((count, _)) if i64::try_from(count).is_err() => Err(Error::invalid("an access count is out of range")),
        _ => Ok(()),
    }
}

/// Writes lines, if all of this is so.
async fn write(
    deps: &Deps,
    ctx: &Ctx,
    chunk: Vec<Line>,
    (header, mut preconditions): (&Header, Vec<Precondition>),
    done: &mut Imported,
) -> Result<()> {
    if chunk.is_empty() {
        return Ok(());
    }
    let embedder = deps.embedder();
    let same = header.embedder.id == embedder.id();
    let mut vectors = Vec::with_capacity(chunk.len());
    for line in &chunk {
        // Another embedder's vectors mean nothing here.
        vectors.push(line.vector.clone().filter(|_| same));
    }
    let without: Vec<usize> = (0..chunk.len()).filter(|&i| vectors[i].is_none()).collect();
    let memories: Vec<_> = without.iter().map(|&i| chunk[i].memory.clone()).collect();
    let embedded = embed_debt::embed_documents(deps, ctx, &*embedder, &memories).await;
    let owed: Vec<_> = memories.iter().skip(embedded.vectors.len()).map(|m| m.id).collect();
    without.into_iter().zip(embedded.vectors).for_each(|(i, vector)| vectors[i] = vector);
    let expected = chunk.len();
    let mut ops: Vec<Op> = Vec::with_capacity(expected + 1);
    for (line, vector) in chunk.into_iter().zip(vectors) {
        let vector = vector.map(|vector| VectorRow { embedder: embedder.id().to_owned(), vector });
        ops.push(Op::RestoreMemory {
            memory: Box::new(line.memory),
            vector,
            history: line.history,
            access: line.access,
        });
    }
    if let Some(error) = embedded.failed {
        if error.kind() == crate::ErrorKind::InvalidInput {
            return Err(error);
        }
        ops.push(embed_debt::job(deps, &owed, &error));
    }
    preconditions.push(Precondition::EmbedderIs(embedder.id().to_owned()));
    let applied = deps.relational.apply(ctx, deps.batch_if(preconditions, ops)).await?;
    for outcome in applied.outcomes.iter().take(expected) {
        match outcome {
            Outcome::Put { merged: true, .. } => done.merged += 1,
            Outcome::Put { replayed: true, .. } => done.unchanged += 1,
            _ => done.imported += 1,
        }
    }
    Ok(())
}

/// Lines of a file, each bounded.
pub(super) struct Lines {
    reader: BufReader<File>,
    number: usize,
    path: std::path::PathBuf,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::invalid("the export's path is a directory; name the file"));
        }
        let file = File::open(path).map_err(|e| io_error("opened", path, e))?;
        Ok(Self { reader: BufReader::new(file), number: 0, path: path.to_owned() })
    }

    pub fn next_line(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let limit = IMPORT_LINE_BYTES_MAX as u64 + 1;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut line);
        let read = read.map_err(|e| io_error("read", &self.path, e))?;
        self.number += 1;
        if read == 0 {
            return Ok(None);
        }
        if line.len() > IMPORT_LINE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "line {} of the export is longer than {IMPORT_LINE_BYTES_MAX} bytes",
                self.number
            )));
        }
        let text = String::from_utf8(line)
            .map_err(|e| Error::invalid(format!("line {} of the export is not UTF-8", self.number)).with_source(e))?;
        Ok(Some(text))
    }
}
