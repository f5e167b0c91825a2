//! A memory that was changed after facts were read from it: what it no longer says is withdrawn, then it is read anew.
//!
//! What is withdrawn held for no time, stays in history, and is an automatic change that `undo` takes back.

use super::{fits, is_race, read, said};
use crate::{
    ctx::Ctx,
    error::{ErrorKind, Result},
    facts::{Draft, WITHDRAWN, own_words, sentence},
    jobs::runner::Held,
    limits::PAGE_MAX,
    model::{Claim, Kind, Memory, MemoryId, MemoryPatch, Op, PatchMode, Precondition, Timestamp},
    ops::change_row,
};
use serde_json::{Value, json};

/// Attempts against others who change the same facts at the same time.
const ATTEMPTS: usize = 8;

/// Ends what was read from a memory and is not said by it any more; gives how many facts changed.
pub(super) async fn withdraw(held: &Held<'_>, ctx: &Ctx, source: &Memory) -> Result<u64> {
    for attempt in 1.. {
        match try_once(held, ctx, source).await {
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
    fn has(&self, fact: &Memory, claim: &Claim) -> bool {
        if fact.metadata.contains_key("prompt") {
            return self.text.contains(&claim.object.to_lowercase());
        }
        let is_several = fact.provenance.derived_from.len() > 1;
        self.drafts.iter().any(|d| {
            let same = d.relation == claim.relation
                && Claim::name_key(&d.subject) == Claim::name_key(&claim.subject)
                && Claim::name_key(&d.object) == Claim::name_key(&claim.object);
            let begins = is_several || [d.from, d.latest].contains(&fact.valid_start());
            same && !d.is_end && begins
        })
    }
}

async fn try_once(held: &Held<'_>, ctx: &Ctx, source: &Memory) -> Result<u64> {
    let deps = held.deps;
    let now = deps.clock.now();
    let says = Says::of(source, now);
    let made = deps.relational.derived_from(ctx, &[source.id], PAGE_MAX).await?;
    let (mut touched, mut patches) = (Vec::new(), Vec::new());
    for fact in made.into_iter().filter(|m| m.kind == Kind::Fact && !m.metadata.contains_key(WITHDRAWN)) {
        let Some(claim) = &fact.claim else { continue };
        // Relations that somebody wrote, and joins, are not read from the text: they are in other words.
        let is_read = fact.content == sentence(&claim.subject, &claim.relation, &claim.object);
        if !is_read || touched.iter().any(|m: &Memory| m.id == fact.id) {
            continue;
        }
        let is_only = fact.provenance.derived_from.len() == 1;
        match (says.has(&fact, claim), is_only) {
            (true, true) => {
                // It holds no longer than what says so.
                let ends = says.over.filter(|over| fact.valid_to.is_none_or(|to| to > *over));
                let ends = ends.map(|over| over.max(after(fact.valid_start(), now)));
                let Some(to) = ends.filter(|to| fact.valid_to != Some(*to)) else { continue };
                patches.push((
                    fact.id,
                    MemoryPatch { valid_to: Some(Some(to)), dedup_key: Some(None), ..MemoryPatch::default() },
                ));
                touched.push(fact);
            }
            (true, false) => {}
            (false, false) => {
                let mut provenance = fact.provenance.clone();
                provenance.derived_from.retain(|id| *id != source.id);
                let witness_count = Some(fact.witness_count.saturating_sub(1).max(1));
                patches.push((
                    fact.id,
                    MemoryPatch { provenance: Some(provenance), witness_count, ..MemoryPatch::default() },
                ));
                touched.push(fact);
            }
            (false, true) => {
                for (before, patch) in followers(held, ctx, &fact, claim, now).await? {
                    if touched.iter().any(|m| m.id == before.id) {
                        continue;
                    }
                    patches.push((before.id, patch));
                    touched.push(before);
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
                patches.push((fact.id, patch));
                touched.push(fact);
            }
        }
    }
    if patches.is_empty() {
        return Ok(0);
    }
    let count = patches.len() as u64;
    write(held, source, &touched, patches).await.map(|()| count)
}

/// What goes or comes back with a fact that is withdrawn: the value that it had ended holds until what ended this one, and names that
/// were joined because of it are two again.
async fn followers(
    held: &Held<'_>,
    ctx: &Ctx,
    fact: &Memory,
    claim: &Claim,
    now: Timestamp,
) -> Result<Vec<(Memory, MemoryPatch)>> {
    let mut out = Vec::new();
    for before in held.deps.relational.claims(ctx, &[claim.key()], PAGE_MAX).await? {
        let was_ended = before.superseded_by == Some(fact.id) && before.valid_to == Some(fact.valid_start());
        if before.id == fact.id || !was_ended || before.metadata.contains_key(WITHDRAWN) {
            continue;
        }
        // Without a key it merges by its sources, as what is over does.
        let patch = MemoryPatch {
            valid_to: Some(fact.valid_to),
            superseded_by: Some(fact.superseded_by),
            ..MemoryPatch::default()
        };
        out.push((before, patch));
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

async fn write(
    held: &Held<'_>,
    source: &Memory,
    touched: &[Memory],
    patches: Vec<(MemoryId, MemoryPatch)>,
) -> Result<()> {
    let batch = held.deps.ids.next_uuid(held.deps.clock.now());
    let mut preconditions: Vec<Precondition> =
        touched.iter().map(|m| Precondition::VersionIs(m.id, m.version)).collect();
    preconditions.push(Precondition::VersionIs(source.id, source.version));
    let patch = |(id, patch)| Op::PatchMemory { id, patch: Box::new(patch), mode: PatchMode::NewVersion, vector: None };
    let mut ops: Vec<Op> = patches.into_iter().map(patch).collect();
    let known: Vec<&Memory> = touched.iter().collect();
    let row = change_row("facts", batch, &ops, &known, None, json!({ "source": source.id, "withdrawn": true }));
    ops.push(row);
    held.apply_as(batch, preconditions, ops).await
}

/// The first instant behind another.
fn after(at: Timestamp, now: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_add(1)).unwrap_or(now)
}
