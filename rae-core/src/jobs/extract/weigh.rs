//! When the sources of facts were said, and how much they count against one another.

use super::{Read, said};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::Result,
    facts::{Heard, Weight, Weights},
    limits::PAGE_MAX,
    model::{Claim, Memory, MemoryId},
};
use std::collections::HashMap;

/// What facts call who speaks in a memory.
pub(crate) fn me(source: &Memory) -> String {
    said(source, "").me().into_owned()
}

/// Whether a memory says this of its own speaker.
fn is_own(source: &Memory, subject: &str) -> bool {
    Claim::name_key(&me(source)) == Claim::name_key(subject)
}

/// Whether who speaks in a memory is whom a fact is about.
pub(crate) fn is_of_oneself(source: &Memory, fact: &Memory) -> bool {
    fact.claim.as_ref().is_some_and(|claim| is_own(source, &claim.subject))
}

/// What the words of a memory count where they are about `subject`.
fn weight(source: &Memory, subject: &str) -> Weight {
    Weight::new(source.trust_level, is_own(source, subject))
}

/// Whether somebody said of himself what a relation states.
pub(crate) async fn is_said_of_oneself(deps: &Deps, ctx: &Ctx, fact: &Memory) -> Result<bool> {
    let Some(claim) = &fact.claim else { return Ok(false) };
    let sources = deps.relational.get(ctx, &fact.provenance.derived_from).await?;
    Ok(sources.into_iter().flatten().any(|source| is_own(&source, &claim.subject)))
}

/// The times and weights of the known facts that a draft may end, and the weight of the draft.
pub(super) async fn weigh(
    deps: &Deps,
    ctx: &Ctx,
    source: &Memory,
    read: &Read<'_>,
    known: &[Memory],
) -> Result<(Heard, Weights)> {
    let subject = &read.draft.subject;
    let (mut heard, mut weights) = (Heard::new(), Weights { draft: weight(source, subject), ..Weights::default() });
    if !read.draft.is_end && !read.is_single {
        return Ok((heard, weights));
    }
    let ids: Vec<MemoryId> = known.iter().flat_map(|m| &m.provenance.derived_from).copied().collect();
    let mut sources = HashMap::new();
    for page in ids.chunks(PAGE_MAX) {
        let memories = deps.relational.get(ctx, page).await?;
        sources.extend(memories.into_iter().flatten().map(|m| (m.id, m)));
    }
    for fact in known {
        let behind: Vec<&Memory> = fact.provenance.derived_from.iter().filter_map(|id| sources.get(id)).collect();
        let all = behind.iter().map(|m| weight(m, subject)).fold(Weight::new(fact.trust_level, false), Weight::with);
        weights.facts.insert(fact.id, all);
        // One that was said but once was not said again.
        if fact.provenance.derived_from.len() > 1 && !read.draft.is_end {
            heard.extend(behind.iter().map(|m| (m.id, m.event_time())));
        }
    }
    Ok((heard, weights))
}
