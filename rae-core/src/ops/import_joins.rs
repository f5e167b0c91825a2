//! The part of `import` that joins what is here already under another id: of a lesson, a fact, the summary of a day there is one of each.
//!
//! What can be decided of it is decided before anything is written. The file is read once more for it, when everything else is written: then the events that these are from are here. Doing it again
//! changes nothing.

use super::{
    change_row,
    export::Line,
    import::Imported,
    reflect::{Brought, join_lesson, sum_up_anew, would_join},
    subject::held,
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
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Attempts against others who change the same.
pub(super) const ATTEMPTS: usize = 8;

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

/// The memories of a file with their versions, and the keys of those that may be joined: by these the ones that are here are found.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// With a hash of what joining may change.
    keys: HashMap<MemoryId, ([u8; 32], blake3::Hash)>,
    versions: Vec<(MemoryId, u32)>,
}

impl Candidates {
    pub fn note(&mut self, memory: &Memory, now: Timestamp) {
        self.versions.push((memory.id, memory.version));
        if let Some(key) = memory.dedup_key.filter(|_| sort(memory, now).is_some()) {
            self.keys.insert(memory.id, (key, print(memory)));
        }
    }

    /// Those that are here under their own id, or of which one is here that holds. Conflict where another memory is here with another
    /// version: then nothing is written.
    pub async fn taken(mut self, deps: &Deps, ctx: &Ctx) -> Result<Taken> {
        let (mut with, mut settled, now) = (HashMap::new(), HashSet::new(), deps.clock.now());
        self.versions.sort_unstable();
        for pair in self.versions.windows(2) {
            if let [(id, version), (again, other)] = pair
                && id == again
                && version != other
            {
                return Err(version_changed(*id, *version, *other));
            }
        }
        for page in self.versions.chunks(PAGE_MAX) {
            let ids: Vec<MemoryId> = page.iter().map(|(id, _)| *id).collect();
            for ((id, version), own) in page.iter().zip(deps.relational.get(ctx, &ids).await?) {
                match own.map(|own| (own.version, self.keys.get(id).map(|(_, there)| print(&own) == *there))) {
                    Some((_, Some(false))) => drop(with.insert(*id, *id)),
                    Some((_, Some(true))) => drop(settled.insert(*id)),
                    Some((here, None)) if here != *version => return Err(version_changed(*id, here, *version)),
                    Some((_, None)) | None => {}
                }
            }
        }
        let elsewhere: Vec<(MemoryId, [u8; 32])> = self
            .keys
            .iter()
            .map(|(id, (key, _))| (*id, *key))
            .filter(|(id, _)| !with.contains_key(id) && !settled.contains(id))
            .collect();
        for page in elsewhere.chunks(PAGE_MAX) {
            let keys: Vec<[u8; 32]> = page.iter().map(|(_, key)| *key).collect();
            let held = deps.relational.keyed(ctx, &keys).await?;
            let held = page.iter().zip(held).filter_map(|((id, _), held)| Some((*id, held?)));
            with.extend(held.filter(|(_, held)| holds(held, now)).map(|(id, held)| (id, held.id)));
        }
        Ok(Taken { with, settled, in_file: self.versions })
    }
}

/// Of what joining may change.
fn print(memory: &Memory) -> blake3::Hash {
    blake3::hash(json!([memory.version, memory.metadata, memory.provenance]).to_string().as_bytes())
}

fn holds(memory: &Memory, now: Timestamp) -> bool {
    !memory.is_over(now) && !memory.is_expired(now)
}

fn version_changed(id: MemoryId, here: u32, there: u32) -> Error {
    Error::conflict(format!("memory {id} is here already with version {here}, not {there}"))
        .with_code("version_changed")
}

/// Which memories of a file are to be joined, and with which.
#[derive(Debug)]
pub(super) struct Taken {
    with: HashMap<MemoryId, MemoryId>,
    /// Those of which it is decided that they are written as they are.
    settled: HashSet<MemoryId>,
    /// The memories of the file, in the order of their ids.
    in_file: Vec<(MemoryId, u32)>,
}

impl Taken {
    pub fn is_empty(&self) -> bool {
        self.with.is_empty()
    }

    pub fn has(&self, memory: &Memory) -> bool {
        self.with.contains_key(&memory.id)
    }

    /// Decides of one that is to be joined whether it can be, before anything is written: what names one that is written apart keeps
    /// naming that.
    pub async fn settle(&mut self, deps: &Deps, ctx: &Ctx, memory: &Memory) -> Result<()> {
        let own = deps.relational.get(ctx, &[memory.id]).await?.into_iter().next().flatten();
        let is_apart = match sort(memory, deps.clock.now()) {
            Some(Sort::Lesson) => would_join(deps, ctx, memory).await? == Brought::Apart,
            Some(Sort::Fact) => held_fact(deps, ctx, memory).await?.is_none(),
            Some(Sort::Remade) => own.is_none() && !self.will_be_here(deps, ctx, memory).await?,
            None => true,
        };
        if !is_apart {
            return Ok(());
        }
        if let Some(own) = own.filter(|own| own.version != memory.version) {
            return Err(version_changed(memory.id, own.version, memory.version));
        }
        self.with.remove(&memory.id);
        self.settled.insert(memory.id);
        Ok(())
    }

    /// Whether all that a memory was made from is here or in the file.
    async fn will_be_here(&self, deps: &Deps, ctx: &Ctx, memory: &Memory) -> Result<bool> {
        let now = deps.clock.now();
        let comes = |id: &MemoryId| self.in_file.binary_search_by_key(id, |(id, _)| *id).is_ok();
        let others: Vec<MemoryId> = memory.provenance.derived_from.iter().filter(|id| !comes(id)).copied().collect();
        let here = deps.relational.get(ctx, &others).await?;
        Ok(here.into_iter().all(|source| source.is_some_and(|source| !source.is_expired(now))))
    }

    /// Looks once more, right before these are written: takes out what somebody else made since, to join it, and gives what must still
    /// be so when the others are. `None` where none of them may be joined.
    pub async fn late(&mut self, deps: &Deps, ctx: &Ctx, chunk: &mut Vec<Line>) -> Result<Option<Vec<Precondition>>> {
        let now = deps.clock.now();
        let open: Vec<(MemoryId, [u8; 32], u32)> = chunk
            .iter()
            .filter(|line| sort(&line.memory, now).is_some())
            .filter_map(|line| Some((line.memory.id, line.memory.dedup_key?, line.memory.version)))
            .collect();
        if open.is_empty() {
            return Ok(None);
        }
        let keys: Vec<[u8; 32]> = open.iter().map(|(_, key, _)| *key).collect();
        let ids: Vec<MemoryId> = open.iter().map(|(id, ..)| *id).collect();
        let (held, own) = (deps.relational.keyed(ctx, &keys).await?, deps.relational.get(ctx, &ids).await?);
        let mut free = BTreeSet::new();
        for (((id, key, version), held), own) in open.into_iter().zip(held).zip(own) {
            match held {
                _ if own.as_ref().is_some_and(|own| own.version != version) => drop(self.with.insert(id, id)),
                _ if own.is_some() || self.settled.contains(&id) => {}
                Some(held) if holds(&held, now) => drop(self.with.insert(id, held.id)),
                Some(_) => {}
                None => drop(free.insert(key)),
            }
        }
        chunk.retain(|line| !self.has(&line.memory));
        Ok(Some(free.into_iter().map(Precondition::KeyFree).collect()))
    }

    /// What names one of them names the one that it is joined with.
    pub fn renamed(&self, memory: &mut Memory) {
        let by = |id: MemoryId| self.with.get(&id).copied().unwrap_or(id);
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

/// Whether a memory says how far a session was looked at. It is written before the events: who reflects on what is here of an import
/// that is not whole yet must not count what was counted there.
pub(super) fn is_mark(memory: &Memory) -> bool {
    memory.kind == Kind::Reflection
        && memory.has_subject_key()
        && memory.metadata.get("upto").is_some_and(Value::is_u64)
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

/// Whether all that a memory was made from is here, so that what is made of it anew says no less. Of one that is here itself what is here
/// decides, even where less is left.
async fn is_here(deps: &Deps, ctx: &Ctx, memory: &Memory) -> Result<bool> {
    let now = deps.clock.now();
    if deps.relational.get(ctx, &[memory.id]).await?.iter().any(Option::is_some) {
        return Ok(true);
    }
    let sources = deps.relational.get(ctx, &memory.provenance.derived_from).await?;
    Ok(sources.into_iter().all(|source| source.is_some_and(|source| !source.is_expired(now))))
}

/// The fact that is here and says the same: itself, even where it is over, or another one that holds.
async fn held_fact(deps: &Deps, ctx: &Ctx, other: &Memory) -> Result<Option<Memory>> {
    let now = deps.clock.now();
    let said = |m: &Memory| m.claim.as_ref().map(|c| (c.subject.clone(), c.relation.clone(), c.object.clone()));
    let is_meant = |held: &Memory| match held.id == other.id {
        true => held.kind == Kind::Fact && said(held) == said(other),
        false => held.claim.is_some() && holds(held, now),
    };
    Ok(held(deps, ctx, other).await?.filter(is_meant))
}

/// Joins a fact with the same one that is here, as when it is said again: sources and witnesses are added, and it holds from the earlier
/// start where nothing else is known to have held between. A change that can be undone.
async fn join_fact(deps: &Deps, ctx: &Ctx, other: &Memory) -> Result<Brought> {
    let Some(claim) = &other.claim else { return Ok(Brought::Apart) };
    for _ in 0..ATTEMPTS {
        let now = deps.clock.now();
        let Some(held) = held_fact(deps, ctx, other).await? else { return Ok(Brought::Apart) };
        if !holds(&held, now) {
            return Ok(Brought::Known);
        }
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
