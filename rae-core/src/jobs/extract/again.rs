//! A memory that was changed after facts were read from it: what it no longer says is withdrawn, then it is read anew.
//!
//! What is withdrawn held for no time, stays in history, and is an automatic change that `undo` takes back.

use super::{
    anew::{Dates, is_dated_by, is_read, job_of},
    fits, is_race, read, said,
};
use crate::{
    ctx::Ctx,
    error::{ErrorKind, Result},
    facts::{self, Draft, WITHDRAWN, own_words, sentence},
    jobs::runner::Held,
    limits::PAGE_MAX,
    model::{Claim, Kind, Memory, MemoryId, MemoryPatch, Op, Owner, PatchMode, Precondition, Timestamp},
    ops::change_row,
};
use serde_json::{Value, json};

/// Attempts against others who change the same facts at the same time.
const ATTEMPTS: usize = 8;

/// Ends what was read from a memory and is not said by it any more; gives how many facts changed.
/// `is_weighed`: it counts otherwise than it did, so that what it says is decided against other values anew.
pub(super) async fn withdraw(held: &Held<'_>, ctx: &Ctx, source: &Memory, is_weighed: bool) -> Result<u64> {
    for attempt in 1.. {
        match try_once(held, ctx, source, is_weighed).await {
            Err(error) if error.kind() == ErrorKind::Conflict && is_race(&error) && attempt < ATTEMPTS => {}
            done => return done,
        }
    }
    Ok(0)
}

/// What a memory says by now.
struct Says {
    drafts: Vec<Draft>,
    text: String,
    /// Since when it says nothing at all.
    over: Option<Timestamp>,
}

impl Says {
    fn of(source: &Memory, now: Timestamp) -> Self {
        let text = fits(source).ok();
        let own = text.as_deref().and_then(|text| own_words(&said(source, text)).ok().map(|own| own.to_lowercase()));
        let over = source.valid_to.or(source.superseded_by.map(|_| now));
        Self { drafts: read(source).unwrap_or_default(), text: own.unwrap_or_default(), over }
    }

    /// Whether it says this. Of what a model read it is known only whether the value is still there.
    fn has(&self, source: &Memory, fact: &Memory, claim: &Claim) -> bool {
        if fact.metadata.contains_key("prompt") {
            return self.text.contains(&claim.object.to_lowercase());
        }
        if fact.provenance.derived_from.len() > 1 {
            let mut dates = Dates::default();
            dates.add(source, claim);
            return dates.fits(fact);
        }
        self.drafts.iter().any(|d| {
            let same = d.relation == claim.relation
                && Claim::name_key(&d.subject) == Claim::name_key(&claim.subject)
                && Claim::name_key(&d.object) == Claim::name_key(&claim.object);
            same && !d.is_end && [d.from, d.latest].contains(&fact.valid_start())
        })
    }
}

/// What is to be written.
#[derive(Default)]
struct Changes {
    touched: Vec<Memory>,
    patches: Vec<(MemoryId, MemoryPatch)>,
    jobs: Vec<Op>,
}

impl Changes {
    fn has(&self, id: MemoryId) -> bool {
        self.touched.iter().any(|m| m.id == id)
    }

    fn push(&mut self, fact: Memory, patch: MemoryPatch) {
        self.patches.push((fact.id, patch));
        self.touched.push(fact);
    }

    /// The fact is as if it had never been read.
    async fn withdraw(
        &mut self,
        held: &Held<'_>,
        ctx: &Ctx,
        fact: Memory,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<()> {
        for (before, patch) in followers(held, ctx, &fact, claim, now).await? {
            if !self.has(before.id) {
                self.push(before, patch);
            }
        }
        let mut metadata = fact.metadata.clone();
        metadata.insert(WITHDRAWN.to_owned(), Value::Bool(true));
        let to = after(fact.valid_start(), now);
        let patch = MemoryPatch {
            valid_to: Some(Some(to)),
            superseded_by: fact.superseded_by.map(|_| None),
            metadata: Some(metadata),
            dedup_key: Some(None),
            ..MemoryPatch::default()
        };
        self.push(fact, patch);
        Ok(())
    }
}

async fn try_once(held: &Held<'_>, ctx: &Ctx, source: &Memory, is_weighed: bool) -> Result<u64> {
    let deps = held.deps;
    let now = deps.clock.now();
    let says = Says::of(source, now);
    let made = deps.relational.derived_from(ctx, &[source.id], PAGE_MAX).await?;
    let mut changes = Changes::default();
    // What somebody undid holds for no time already, and tells that it is not to be read again.
    let is_live = |m: &Memory| m.kind == Kind::Fact && !m.metadata.contains_key(WITHDRAWN) && !facts::is_void(m);
    for fact in made.into_iter().filter(is_live) {
        let Some(claim) = fact.claim.clone() else { continue };
        // Relations that somebody wrote, and joins, are not read from the text: they are in other words.
        let is_of_text = fact.content == sentence(&claim.subject, &claim.relation, &claim.object);
        if !is_of_text || changes.has(fact.id) {
            continue;
        }
        let is_only = fact.provenance.derived_from.len() == 1;
        let has = says.has(source, &fact, &claim);
        let is_anew = is_weighed && has && says.over.is_none() && is_rivalled(held, ctx, &fact, &claim).await?;
        if !is_only && let Some(rest) = rest(held, ctx, source, (&fact, &claim), (has, is_anew)).await? {
            changes.jobs.push(job_of(deps, &claim, rest));
            changes.withdraw(held, ctx, fact, &claim, now).await?;
        } else if is_only && (!has || is_anew) {
            changes.withdraw(held, ctx, fact, &claim, now).await?;
        } else if is_only {
            // It holds no longer than what says so.
            let ends = says.over.filter(|over| fact.valid_to.is_none_or(|to| to > *over));
            let ends = ends.map(|over| over.max(after(fact.valid_start(), now)));
            let Some(to) = ends.filter(|to| fact.valid_to != Some(*to)) else { continue };
            let patch = MemoryPatch { valid_to: Some(Some(to)), dedup_key: Some(None), ..MemoryPatch::default() };
            changes.push(fact, patch);
        } else if !has {
            let mut provenance = fact.provenance.clone();
            provenance.derived_from.retain(|id| *id != source.id);
            let witness_count = Some(fact.witness_count.saturating_sub(1).max(1));
            let patch = MemoryPatch { provenance: Some(provenance), witness_count, ..MemoryPatch::default() };
            changes.push(fact, patch);
        }
    }
    if changes.patches.is_empty() {
        return Ok(0);
    }
    let count = changes.patches.len() as u64;
    write(held, source, changes).await.map(|()| count)
}

/// Whether another value of the same is known, which may end this one or be ended by it.
async fn is_rivalled(held: &Held<'_>, ctx: &Ctx, fact: &Memory, claim: &Claim) -> Result<bool> {
    // What a model read, no rule reads anew.
    if !facts::is_single(&claim.relation) || fact.metadata.contains_key("prompt") {
        return Ok(false);
    }
    let known = held.deps.relational.claims(ctx, &[claim.key()], Some(&Owner::of(fact)), PAGE_MAX).await?;
    let is_other = |m: &Memory| {
        m.claim.as_ref().is_some_and(|c| Claim::name_key(&c.object) != Claim::name_key(&claim.object))
            && !m.metadata.contains_key(WITHDRAWN)
    };
    Ok(known.iter().any(is_other))
}

/// What a fact of several memories is to be read from anew: where it has a date that only this one gave it, or counts otherwise. With what
/// this one still says.
async fn rest(
    held: &Held<'_>,
    ctx: &Ctx,
    source: &Memory,
    (fact, claim): (&Memory, &Claim),
    (has, is_anew): (bool, bool),
) -> Result<Option<Vec<Memory>>> {
    let deps = held.deps;
    if !is_read(fact, claim) {
        return Ok(None);
    }
    let mut rest = Vec::new();
    for page in fact.provenance.derived_from.chunks(PAGE_MAX) {
        rest.extend(deps.relational.get(ctx, page).await?.into_iter().flatten().filter(|m| m.id != source.id));
    }
    let mut lost = Dates::default();
    for version in deps.relational.history(ctx, source.id).await? {
        lost.add(&version.memory, claim);
    }
    // What it says of it at another time is said all the same.
    let mut says = Dates::default();
    says.add(source, claim);
    let mut all = rest.clone();
    all.extend((!says.is_empty()).then(|| source.clone()));
    let others = if has { &all } else { &rest };
    if !others.is_empty() && (is_anew || is_dated_by(deps, ctx, (fact, claim), &lost, others).await?) {
        return Ok(Some(all));
    }
    Ok(None)
}

/// What goes or comes back with a fact that is withdrawn: the value that it had ended holds again, until what is known to have begun
/// then, and names that were joined because of it are two again.
async fn followers(
    held: &Held<'_>,
    ctx: &Ctx,
    fact: &Memory,
    claim: &Claim,
    now: Timestamp,
) -> Result<Vec<(Memory, MemoryPatch)>> {
    let mut out = Vec::new();
    let mut known = held.deps.relational.claims(ctx, &[claim.key()], Some(&Owner::of(fact)), PAGE_MAX).await?;
    known.retain(|m| m.id != fact.id && m.claim_session() == fact.claim_session() && !m.is_expired(now));
    let is_taken_back = |m: &Memory| m.metadata.contains_key(WITHDRAWN) || facts::is_void(m);
    let is_gone = |id: MemoryId| id == fact.id || known.iter().any(|m| m.id == id && is_taken_back(m));
    for before in &known {
        let was_ended = before.superseded_by == Some(fact.id) && before.valid_to == Some(fact.valid_start());
        if !was_ended || is_taken_back(before) {
            continue;
        }
        let history = held.deps.relational.history(ctx, before.id).await?;
        // It ended when this one began: no one else's word.
        let restored = facts::restore(&history, &known, is_gone, |_| true, facts::is_single(&claim.relation));
        let Some(restored) = restored else { continue };
        // Without a key it merges by its sources, as what is over does.
        let patch =
            MemoryPatch { valid_to: Some(restored.to), superseded_by: Some(restored.by), ..MemoryPatch::default() };
        out.push((before.clone(), patch));
    }
    for join in held.deps.relational.derived_from(ctx, &[fact.id], PAGE_MAX).await? {
        let is_join = join.claim.as_ref().is_some_and(|claim| claim.relation == crate::graph::SAME_AS);
        if is_join && join.provenance.derived_from.len() == 1 && join.valid_to.is_none_or(|to| to > now) {
            let to = after(join.valid_start(), now).max(now);
            out.push((join, MemoryPatch { valid_to: Some(Some(to)), dedup_key: Some(None), ..MemoryPatch::default() }));
        }
    }
    Ok(out)
}

async fn write(held: &Held<'_>, source: &Memory, Changes { touched, patches, jobs }: Changes) -> Result<()> {
    let batch = held.deps.ids.next_uuid(held.deps.clock.now());
    let mut preconditions: Vec<Precondition> =
        touched.iter().map(|m| Precondition::VersionIs(m.id, m.version)).collect();
    preconditions.push(Precondition::VersionIs(source.id, source.version));
    let patch = |(id, patch)| Op::PatchMemory { id, patch: Box::new(patch), mode: PatchMode::NewVersion, vector: None };
    let mut ops: Vec<Op> = patches.into_iter().map(patch).collect();
    let known: Vec<&Memory> = touched.iter().collect();
    let row = change_row("facts", batch, &ops, &known, None, json!({ "source": source.id, "withdrawn": true }));
    ops.push(row);
    ops.extend(jobs);
    held.apply_as(batch, preconditions, ops).await
}

/// The first instant behind another.
fn after(at: Timestamp, now: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_add(1)).unwrap_or(now)
}
