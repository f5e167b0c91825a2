//! The part of `import` that joins what is here already under another id: of a lesson, a fact, the summary of a day there is one of each.
//!
//! The file is read once more for it, when everything else is written: then the events that these are from are here. Doing it again
//! changes nothing.

use super::{
    change_row,
    export::Line,
    import::{Imported, Lines},
    reflect::{Brought, join_lesson, sum_up_anew},
};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    facts,
    limits::{PAGE_MAX, SOURCES_MAX},
    model::{Claim, Kind, Memory, MemoryId, MemoryPatch, Op, Owner, PatchMode, Precondition, Timestamp},
    reflect::has_own_words,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// Attempts against others who change the same.
const ATTEMPTS: usize = 8;

/// What a memory of a file is that may be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Lesson,
    /// A fact that was read from others.
    Fact,
    /// The summary of a day or week, and an insight: they are made anew from what is here.
    Remade,
}

/// `None` of what is over, too: somebody said that it holds no more, which must not be taken into one that does.
fn sort(memory: &Memory, now: Timestamp) -> Option<Sort> {
    memory.dedup_key.filter(|_| !memory.is_over(now))?;
    let has = |key: &str| memory.metadata.contains_key(key);
    match memory.kind {
        Kind::Lesson | Kind::Strategy if memory.has_subject_key() && has_own_words(memory) => Some(Sort::Lesson),
        Kind::Reflection if memory.has_subject_key() && (has("bucket") || has("cluster")) => Some(Sort::Remade),
        Kind::Fact if memory.claim.is_some() && !memory.provenance.derived_from.is_empty() => Some(Sort::Fact),
        _ => None,
    }
}

/// The memories of a file that may be joined, with the keys by which the ones that are here are found.
#[derive(Debug, Default)]
pub(super) struct Candidates(Vec<([u8; 32], MemoryId)>);

impl Candidates {
    pub fn note(&mut self, memory: &Memory, now: Timestamp) {
        if let Some(key) = memory.dedup_key.filter(|_| sort(memory, now).is_some()) {
            self.0.push((key, memory.id));
        }
    }

    /// Those of which one is here that holds, under another id, which they are known by then.
    pub async fn taken(self, deps: &Deps, ctx: &Ctx) -> Result<Taken> {
        let (mut taken, now) = (HashMap::new(), deps.clock.now());
        for page in self.0.chunks(PAGE_MAX) {
            let keys: Vec<[u8; 32]> = page.iter().map(|(key, _)| *key).collect();
            let ids: Vec<MemoryId> = page.iter().map(|(_, id)| *id).collect();
            let held = deps.relational.keyed(ctx, &keys).await?;
            // What is here under its own id is no other.
            let own = deps.relational.get(ctx, &ids).await?;
            for ((id, held), own) in ids.into_iter().zip(held).zip(own) {
                let held = held.filter(|held| held.id != id && !held.is_over(now) && !held.is_expired(now));
                taken.extend(held.filter(|_| own.is_none()).map(|held| (id, held.id)));
            }
        }
        Ok(Taken(taken))
    }
}

/// Which memories of a file are to be joined, and with which.
#[derive(Debug)]
pub(super) struct Taken(HashMap<MemoryId, MemoryId>);

impl Taken {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, memory: &Memory) -> bool {
        self.0.contains_key(&memory.id)
    }

    /// What names one of them names the one that it is joined with.
    pub fn renamed(&self, memory: &mut Memory) {
        let by = |id: MemoryId| self.0.get(&id).copied().unwrap_or(id);
        let mut sources: Vec<MemoryId> = Vec::with_capacity(memory.provenance.derived_from.len());
        for id in memory.provenance.derived_from.drain(..) {
            let id = by(id);
            if !sources.contains(&id) {
                sources.push(id);
            }
        }
        memory.provenance.derived_from = sources;
        memory.superseded_by = memory.superseded_by.map(by);
    }
}

/// What is left to do behind the lines.
#[derive(Debug, Default)]
pub(super) struct Joins {
    days: Vec<Timestamp>,
    remade: u64,
}

impl Joins {
    /// Joins what a line has; gives it back where it is to be written as a memory of its own.
    pub async fn join(&mut self, deps: &Deps, ctx: &Ctx, line: Line, done: &mut Imported) -> Result<Option<Line>> {
        let brought = match sort(&line.memory, deps.clock.now()) {
            Some(Sort::Lesson) => join_lesson(deps, ctx, &line.memory).await?,
            Some(Sort::Fact) => join_fact(deps, ctx, &line.memory).await?,
            Some(Sort::Remade) if is_here(deps, ctx, &line.memory).await? => {
                self.remade += 1;
                self.days.extend(day(&line.memory));
                return Ok(None);
            }
            Some(Sort::Remade) | None => Brought::Apart,
        };
        match brought {
            Brought::Joined => done.merged += 1,
            Brought::Known => done.unchanged += 1,
            Brought::Apart => return Ok(Some(line)),
        }
        Ok(None)
    }

    /// Makes anew what is made from what was brought.
    pub async fn finish(self, deps: &Deps, ctx: &Ctx, done: &mut Imported) -> Result<()> {
        let made = sum_up_anew(deps, ctx, &self.days).await?.min(self.remade);
        done.merged += made;
        done.unchanged += self.remade - made;
        Ok(())
    }
}

/// The first day of a summary of a day or week.
fn day(memory: &Memory) -> Option<Timestamp> {
    Timestamp::parse(memory.metadata.get("from").and_then(Value::as_str)?).ok()
}

/// Whether all is here that a memory was made from, so that what is made of it anew says no less.
async fn is_here(deps: &Deps, ctx: &Ctx, memory: &Memory) -> Result<bool> {
    let now = deps.clock.now();
    let sources = deps.relational.get(ctx, &memory.provenance.derived_from).await?;
    Ok(sources.into_iter().all(|source| source.is_some_and(|source| !source.is_expired(now))))
}

/// Joins a fact with the same one that is here, as when it is said again: sources and witnesses are added, and it holds from the earlier
/// start where nothing else is known to have held between. A change that can be undone.
async fn join_fact(deps: &Deps, ctx: &Ctx, other: &Memory) -> Result<Brought> {
    let (Some(key), Some(claim)) = (other.dedup_key, &other.claim) else { return Ok(Brought::Apart) };
    for _ in 0..ATTEMPTS {
        let now = deps.clock.now();
        let held = deps.relational.keyed(ctx, &[key]).await?.into_iter().next().flatten();
        let held = held
            .filter(|held| held.id != other.id && held.claim.is_some() && !held.is_over(now) && !held.is_expired(now));
        let Some(held) = held else { return Ok(Brought::Apart) };
        let sources = deps.relational.get(ctx, &other.provenance.derived_from).await?;
        let sources: BTreeMap<MemoryId, u32> =
            sources.into_iter().flatten().filter(|m| !m.is_expired(now)).map(|m| (m.id, m.version)).collect();
        let known = deps.relational.claims(ctx, &[claim.key()], Some(&Owner::of(&held)), PAGE_MAX).await?;
        let Some(patch) = patch(&held, other, (&sources, &known)) else { return Ok(Brought::Known) };
        let mut preconditions = vec![Precondition::SeqIs(held.id, held.seq)];
        preconditions.extend(sources.iter().map(|(id, version)| Precondition::VersionIs(*id, *version)));
        let patch = Op::PatchMemory { id: held.id, patch: Box::new(patch), mode: PatchMode::NewVersion, vector: None };
        let mut batch = deps.batch_if(preconditions, vec![patch]);
        batch.ops.push(change_row("facts", batch.id, &batch.ops, &[&held], None, json!({})));
        match deps.relational.apply(ctx, batch).await {
            Ok(_) => return Ok(Brought::Joined),
            // Somebody changed it meanwhile: it is looked at again.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::conflict("others kept changing the same facts; import again").with_code("facts_changed"))
}

/// What changes of a fact by the same one from elsewhere, of whose sources these are here; `None` where nothing does.
fn patch(
    held: &Memory,
    other: &Memory,
    (sources, known): (&BTreeMap<MemoryId, u32>, &[Memory]),
) -> Option<MemoryPatch> {
    let cited = &held.provenance.derived_from;
    let new: Vec<MemoryId> = sources.keys().filter(|id| !cited.contains(id)).copied().collect();
    let room = SOURCES_MAX.saturating_sub(cited.len());
    // A date that no source which is here gives would stay when the others are forgotten.
    let is_shown = !sources.is_empty() && sources.len() == other.provenance.derived_from.len();
    let is_earlier = |from: &Timestamp| is_shown && *from < held.valid_start() && holds_since(held, *from, known);
    let from = Some(other.valid_start()).filter(is_earlier);
    if from.is_none() && (new.is_empty() || room == 0) {
        return None;
    }
    let mut provenance = held.provenance.clone();
    provenance.derived_from.extend(new.iter().take(room));
    let witnesses = u32::try_from(new.len()).unwrap_or(u32::MAX);
    Some(MemoryPatch {
        provenance: Some(provenance),
        witness_count: Some(held.witness_count.saturating_add(witnesses)),
        importance: Some(held.importance.max(other.importance)),
        confidence: Some(held.confidence.max(other.confidence)),
        info_class: Some(held.info_class.max(other.info_class)),
        // It lives as long as the longer of the two was meant to.
        expires_at: Some(held.expires_at.zip(other.expires_at).map(|(a, b)| a.max(b))),
        valid_from: from.map(Some),
        ..MemoryPatch::default()
    })
}

/// Whether a fact may have held since an earlier time: nothing else of its attribute, where that has one value at a time, is known to
/// have held between.
fn holds_since(held: &Memory, from: Timestamp, known: &[Memory]) -> bool {
    let is_single = held.claim.as_ref().is_some_and(|claim: &Claim| facts::is_single(&claim.relation));
    let of = |m: &Memory| (m.user_id.clone(), m.agent_id.clone(), m.claim_session().map(str::to_owned));
    let is_own = |m: &&Memory| m.id != held.id && of(m) == of(held);
    let is_between = |m: &Memory| {
        let is_void = m.metadata.contains_key(facts::WITHDRAWN) || facts::is_void(m);
        !is_void && m.valid_start() < held.valid_start() && m.valid_to.is_none_or(|end| end > from)
    };
    !is_single || !known.iter().filter(is_own).any(is_between)
}

/// Reads a file once more.
pub(super) fn again(path: &Path) -> Result<Lines> {
    let mut reader = Lines::open(path)?;
    reader.next_line()?; // the header
    Ok(reader)
}
