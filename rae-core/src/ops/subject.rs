//! Finding the one memory of a subject, by its key or by the id that an earlier version gave it.

use crate::{
    Ctx,
    deps::Deps,
    error::Result,
    limits::PAGE_MAX,
    model::{Memory, MemoryId, Precondition},
    reflect::Subject,
};
use std::collections::HashMap;

/// The memories that are there of these subjects, ended ones too.
pub(super) async fn about(deps: &Deps, ctx: &Ctx, subjects: &[Subject]) -> Result<HashMap<Subject, Memory>> {
    let mut known = HashMap::new();
    for page in subjects.chunks(PAGE_MAX) {
        let keys: Vec<[u8; 32]> = page.iter().map(|subject| subject.key).collect();
        let found = deps.relational.keyed(ctx, &keys).await?;
        known.extend(page.iter().zip(found).filter_map(|(subject, memory)| Some((*subject, memory?))));
        let rest: Vec<Subject> = page.iter().filter(|subject| !known.contains_key(subject)).copied().collect();
        if rest.is_empty() {
            continue;
        }
        let ids: Vec<MemoryId> = rest.iter().map(|subject| subject.old_id).collect();
        let found = deps.relational.get(ctx, &ids).await?;
        known.extend(rest.into_iter().zip(found).filter_map(|(subject, memory)| Some((subject, memory?))));
    }
    Ok(known)
}

/// The memory that is here of what `other` is about: itself, if it is here, or else the one with its key.
pub(super) async fn held(deps: &Deps, ctx: &Ctx, other: &Memory) -> Result<Option<Memory>> {
    if let Some(own) = deps.relational.get(ctx, &[other.id]).await?.into_iter().next().flatten() {
        return Ok(Some(own));
    }
    let Some(key) = other.dedup_key else { return Ok(None) };
    Ok(deps.relational.keyed(ctx, &[key]).await?.into_iter().next().flatten())
}

/// That there is none: who writes one under this makes the only one.
pub(super) fn absent(subject: &Subject) -> [Precondition; 2] {
    [Precondition::KeyFree(subject.key), Precondition::Absent(subject.old_id)]
}
