//! What an update of a memory does to what was made from it, in the same batch: a class goes up, an end is set or
//! moved, trust in the facts of this memory alone follows. What was made from what was made follows, too.

use crate::{
    builder::Enrich,
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    jobs::extract,
    limits::PAGE_MAX,
    model::{Kind, Memory, MemoryId, MemoryPatch, Op, PatchMode, Precondition, Timestamp, WriteBatch},
    ops::change_row,
    reflect::is_of_model,
};
use serde_json::json;
use std::collections::{HashMap, HashSet};

/// Longest chain of memories made from made ones that is followed.
const DEPTH: usize = 64;
/// Attempts against others who change the same memories at the same time.
const ATTEMPTS: usize = 8;

/// Adds to the batch of an update what it means for others.
pub(super) async fn carry(
    deps: &Deps,
    ctx: &Ctx,
    (old, new): (&Memory, &Memory),
    patch: &MemoryPatch,
    batch: &mut WriteBatch,
) -> Result<()> {
    add(batch, new.id, &changes(deps, ctx, old, new).await?);
    let is_weighed = old.trust_level != new.trust_level;
    if (is_news(patch) || is_weighed) && is_enriched(deps, ctx, new).await? {
        let whys = [(is_news(patch), false), (is_weighed, true)].into_iter().filter(|(is_so, _)| *is_so);
        batch.ops.extend(whys.map(|(_, is_weighed)| extract::job_again(deps, new.id, is_weighed)));
    }
    Ok(())
}

/// The same once more behind the update, for what was made from the memory while that was under way. Whatever is made later is made from the
/// new version.
pub(super) async fn carry_late(deps: &Deps, ctx: &Ctx, old: &Memory, new: &Memory) -> Result<()> {
    for attempt in 1.. {
        let changes = changes(deps, ctx, old, new).await?;
        if changes.is_empty() {
            break;
        }
        let mut batch = deps.batch_if(Vec::new(), Vec::new());
        add(&mut batch, new.id, &changes);
        match deps.relational.apply(ctx, batch).await {
            Err(error) if is_race(&error) && attempt < ATTEMPTS => {}
            done => return done.map(|_| ()),
        }
    }
    Ok(())
}

/// Somebody else changed or erased one of them meanwhile.
fn is_race(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound)
}

fn add(batch: &mut WriteBatch, source: MemoryId, changes: &[(Memory, MemoryPatch)]) {
    if changes.is_empty() {
        return;
    }
    let known: Vec<&Memory> = changes.iter().map(|(m, _)| m).collect();
    let op = |(m, patch): &(Memory, MemoryPatch)| Op::PatchMemory {
        id: m.id,
        patch: Box::new(patch.clone()),
        mode: PatchMode::NewVersion,
        vector: None,
    };
    let ops: Vec<Op> = changes.iter().map(op).collect();
    let row = change_row("derived", batch.id, &ops, &known, None, json!({ "source": source }));
    batch.preconditions.extend(known.iter().map(|m| Precondition::VersionIs(m.id, m.version)));
    batch.ops.extend(ops);
    batch.ops.push(row);
}

/// Whether an update may change what a memory says, or when.
fn is_news(patch: &MemoryPatch) -> bool {
    patch.content.is_some()
        || patch.speaker.is_some()
        || patch.role.is_some()
        || patch.kind.is_some()
        || patch.occurred_at.is_some()
        || patch.valid_from.is_some()
        || patch.valid_to.is_some()
        || patch.superseded_by.is_some()
}

/// Whether facts are read from this memory: the store reads all, or has read some.
async fn is_enriched(deps: &Deps, ctx: &Ctx, memory: &Memory) -> Result<bool> {
    if memory.claim.is_some() || !memory.provenance.derived_from.is_empty() {
        return Ok(false);
    }
    let made = deps.relational.derived_from(ctx, &[memory.id], PAGE_MAX).await?;
    let is_read = deps.enrich != Enrich::Off || made.iter().any(|m| m.kind == Kind::Fact && m.claim.is_some());
    Ok(is_read || extract::is_forgotten_of(deps, ctx, memory.id).await?)
}

async fn changes(deps: &Deps, ctx: &Ctx, old: &Memory, new: &Memory) -> Result<Vec<(Memory, MemoryPatch)>> {
    let is_moved = new.expires_at != old.expires_at;
    let is_raised = new.info_class > old.info_class;
    if !is_moved && !is_raised && new.trust_level == old.trust_level {
        return Ok(Vec::new());
    }
    let now = deps.clock.now();
    let (mut seen, mut wave) = (HashSet::from([new.id]), vec![new.id]);
    let mut ends = Ends(HashMap::from([(new.id, (old.expires_at, new.expires_at))]));
    let mut out = Vec::new();
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for page in wave.chunks(PAGE_MAX) {
            let made = deps.relational.derived_from(ctx, page, PAGE_MAX).await?;
            if made.len() == PAGE_MAX {
                return Err(too_many());
            }
            for memory in made.into_iter().filter(|m| !m.is_expired(now)) {
                if !seen.insert(memory.id) {
                    continue;
                }
                let end = if is_moved { ends.of(deps, ctx, &memory).await? } else { memory.expires_at };
                let is_of_one = memory.kind == Kind::Fact && memory.provenance.derived_from == [new.id];
                let trusts = is_of_one && new.trust_level != old.trust_level && memory.trust_level == old.trust_level;
                let patch = MemoryPatch {
                    info_class: (is_raised && memory.info_class < new.info_class).then_some(new.info_class),
                    expires_at: (end != memory.expires_at).then_some(end),
                    trust_level: trusts.then_some(new.trust_level),
                    ..MemoryPatch::default()
                };
                ends.0.insert(memory.id, (memory.expires_at, end));
                next.push(memory.id);
                if !patch.is_empty() {
                    out.push((memory, patch));
                }
            }
        }
        if next.is_empty() {
            return Ok(out);
        }
        wave = next;
    }
    Err(too_many())
}

/// Ends by memory, as they were and as they are to be; of all others the store knows.
struct Ends(HashMap<MemoryId, (Option<Timestamp>, Option<Timestamp>)>);

impl Ends {
    /// When a memory is to end now. An end that is the one which its sources gave it follows them, also where it comes later or is taken
    /// back; any other only gets nearer.
    async fn of(&self, deps: &Deps, ctx: &Ctx, memory: &Memory) -> Result<Option<Timestamp>> {
        let sources = &memory.provenance.derived_from;
        let others: Vec<MemoryId> = sources.iter().filter(|id| !self.0.contains_key(id)).copied().collect();
        let mut all: Vec<_> = sources.iter().filter_map(|id| self.0.get(id)).copied().collect();
        for page in others.chunks(PAGE_MAX) {
            let found = deps.relational.get(ctx, page).await?;
            all.extend(found.into_iter().flatten().map(|m| (m.expires_at, m.expires_at)));
        }
        let was = given(memory, all.iter().map(|(was, _)| *was));
        let is = given(memory, all.iter().map(|(_, is)| *is));
        Ok(if memory.expires_at == was { is } else { [memory.expires_at, is].into_iter().flatten().min() })
    }
}

/// The end that its sources give a memory. What several say for themselves lives as long as the last of them; what repeats many ends with
/// the first.
fn given(memory: &Memory, mut sources: impl Iterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    let is_said_by_each = match memory.kind {
        Kind::Fact => true,
        Kind::Lesson | Kind::Strategy => !is_of_model(memory),
        _ => false,
    };
    if !is_said_by_each {
        return sources.flatten().min();
    }
    // Where one of them does not end, neither does it.
    sources.try_fold(None, |last, end| end.map(|end| last.max(Some(end)))).flatten()
}

fn too_many() -> Error {
    let text = "more memories were made from this one than one update can change; forget it, or update what was made from it first";
    Error::new(ErrorKind::Unsupported, text).with_code("derived_too_many")
}
