//! A fact that several memories say, of which one says it no longer, or at another time. Where a date of it came from that one, it is taken
//! back and read anew from the others: what they say then holds from when they said it, and is decided against the other values again.

use super::read;
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::Result,
    facts::{WITHDRAWN, sentence},
    limits::PAGE_MAX,
    model::{Claim, Job, JobKind, Kind, Memory, MemoryId, NewJob, Op, Timestamp},
};
use serde_json::json;
use std::collections::BTreeSet;

/// The dates that a memory gives a fact.
#[derive(Debug, Default)]
pub(super) struct Dates {
    /// Since when it holds.
    starts: Vec<Timestamp>,
    /// Until when.
    ends: Vec<Timestamp>,
}

impl Dates {
    /// Of what the rules read in a memory.
    pub fn add(&mut self, source: &Memory, claim: &Claim) {
        for draft in read(source).unwrap_or_default() {
            if of(&draft.subject, &draft.relation, &draft.object) != of(&claim.subject, &claim.relation, &claim.object)
            {
                continue;
            }
            let (to, said) =
                if draft.is_end { (&mut self.ends, None) } else { (&mut self.starts, Some(source.event_time())) };
            to.extend([draft.from, draft.latest].into_iter().chain(said));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.ends.is_empty()
    }

    /// Whether nothing but the end of a fact is said.
    pub fn is_end_alone(&self) -> bool {
        self.starts.is_empty() && !self.ends.is_empty()
    }

    /// Whether what says this speaks of the time of the fact.
    pub fn fits(&self, fact: &Memory) -> bool {
        let from = fact.valid_start();
        let is_in = |at: &Timestamp| *at == from || (*at > from && fact.valid_to.is_none_or(|to| *at < to));
        self.starts.iter().any(is_in) || fact.valid_to.is_some_and(|to| self.ends.contains(&to))
    }

    /// Whether this version of a fact has a date that is one of these, and none of the others.
    fn date_alone(&self, fact: &Memory, others: &Self) -> bool {
        let from = fact.valid_start();
        let is_alone = |at, here: &[Timestamp], there: &[Timestamp]| here.contains(&at) && !there.contains(&at);
        is_alone(from, &self.starts, &others.starts)
            || fact.valid_to.is_some_and(|to| is_alone(to, &self.ends, &others.ends))
    }
}

/// Whether the rules read a fact from what was said: relations that somebody wrote, joins and what a model read are in other words, or said
/// by none of the rules.
pub(super) fn is_read(fact: &Memory, claim: &Claim) -> bool {
    fact.kind == Kind::Fact
        && fact.content == sentence(&claim.subject, &claim.relation, &claim.object)
        && !fact.metadata.contains_key("prompt")
}

/// Whether a fact has, or had, a date of what is `lost` that none of its other sources gives it. Where the rules do not read it in each of
/// these, it stays: nobody could read it anew.
pub(super) async fn is_dated_by(
    deps: &Deps,
    ctx: &Ctx,
    (fact, claim): (&Memory, &Claim),
    lost: &Dates,
    rest: &[Memory],
) -> Result<bool> {
    let mut others = Dates::default();
    for source in rest {
        let mut own = Dates::default();
        own.add(source, claim);
        if own.is_empty() {
            return Ok(false);
        }
        others.add(source, claim);
    }
    if lost.date_alone(fact, &others) {
        return Ok(true);
    }
    let was = if fact.version > 1 { deps.relational.history(ctx, fact.id).await? } else { Vec::new() };
    Ok(was.iter().any(|version| lost.date_alone(&version.memory, &others)))
}

/// What is to be done when a fact goes because sources of it go, on which it depends though it has others: it is read anew from those.
/// `None` where it can stay.
pub(crate) async fn anew(deps: &Deps, ctx: &Ctx, fact: &Memory, going: &BTreeSet<MemoryId>) -> Result<Option<Vec<Op>>> {
    let Some(claim) = fact.claim.as_ref().filter(|claim| is_read(fact, claim)) else { return Ok(None) };
    // It is kept for history alone, with the dates of all.
    if fact.metadata.contains_key(WITHDRAWN) {
        return Ok(Some(Vec::new()));
    }
    let (mut lost, mut rest) = (Dates::default(), Vec::new());
    for page in fact.provenance.derived_from.chunks(PAGE_MAX) {
        for source in deps.relational.get(ctx, page).await?.into_iter().flatten() {
            if going.contains(&source.id) { lost.add(&source, claim) } else { rest.push(source) }
        }
    }
    if rest.is_empty() || !is_dated_by(deps, ctx, (fact, claim), &lost, &rest).await? {
        return Ok(None);
    }
    Ok(Some(vec![job_of(deps, claim, rest)]))
}

/// The job that reads one fact from these memories again, in the order in which they were said.
pub(super) fn job_of(deps: &Deps, claim: &Claim, mut from: Vec<Memory>) -> Op {
    from.sort_by_key(|m| (m.event_time(), m.id));
    let ids: Vec<MemoryId> = from.iter().map(|m| m.id).collect();
    let now = deps.clock.now();
    let payload = json!({ "ids": ids, "only": of(&claim.subject, &claim.relation, &claim.object) });
    Op::EnqueueJob { job: NewJob { id: deps.ids.next_uuid(now), kind: JobKind::Extract, payload, run_at: now } }
}

/// Which fact alone a job is about, if it is.
pub(super) fn only(job: &Job) -> Option<&str> {
    job.payload.get("only").and_then(serde_json::Value::as_str)
}

/// A fact, in a payload that has no words of it.
pub(super) fn of(subject: &str, relation: &str, object: &str) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(&Claim::key_of(subject, relation));
    hash.update(Claim::name_key(object).as_bytes());
    hash.finalize().to_hex().chars().take(32).collect()
}
