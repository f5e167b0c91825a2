//! What an import brings of what is learnt here already: lessons are joined, summaries of days and weeks made anew from all events.

use super::{ATTEMPTS, Reflected, buckets, is_raced, write};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    limits::REFLECT_WEEKS_MAX,
    model::{Memory, Timestamp},
    reflect::{Joined, Subject, joined},
};
use std::collections::{BTreeSet, HashMap};

/// What came of a memory that was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// The one that is here took it in.
    Joined,
    /// All that it says is known here.
    Known,
    /// It is written as a memory of its own.
    Apart,
}

/// Joins a lesson or strategy with the one of its subject that is here, as a change that can be undone.
pub(crate) async fn join_lesson(deps: &Deps, ctx: &Ctx, other: &Memory) -> Result<Brought> {
    let Some(key) = other.dedup_key else { return Ok(Brought::Apart) };
    for attempt in 1.. {
        let now = deps.clock.now();
        let held = deps.relational.keyed(ctx, &[key]).await?.into_iter().next().flatten();
        let held = held.filter(|held| held.id != other.id && !held.is_over(now) && !held.is_expired(now));
        let Some(held) = held else { return Ok(Brought::Apart) };
        let sources = deps.relational.get(ctx, &other.provenance.derived_from).await?;
        let sources: Vec<Memory> = sources.into_iter().flatten().filter(|source| !source.is_expired(now)).collect();
        let draft = match joined(ctx.scope(), &held, other, &sources) {
            Joined::Known => return Ok(Brought::Known),
            Joined::Apart => return Ok(Brought::Apart),
            Joined::Grown(draft) => *draft,
        };
        let known: HashMap<Subject, Memory> = HashMap::from([(draft.subject, held)]);
        match write(deps, ctx, vec![draft], &known, now).await {
            Err(error) if is_raced(&error) && attempt < ATTEMPTS => {}
            done => return done.map(|_| Brought::Joined),
        }
    }
    Err(Error::internal("unreachable: the loop ends by returning"))
}

/// Makes the summaries of these days, and of their weeks, anew where that says something new; gives how many.
pub(crate) async fn sum_up_anew(deps: &Deps, ctx: &Ctx, days: &[Timestamp]) -> Result<u64> {
    let mondays: BTreeSet<i64> = days.iter().map(|day| buckets::monday(buckets::day_at(*day))).collect();
    let mondays: Vec<i64> = mondays.into_iter().collect();
    let mut made: Vec<Reflected> = Vec::new();
    for weeks in mondays.chunks(REFLECT_WEEKS_MAX) {
        made.extend(buckets::sum_up(deps, ctx, &weeks.iter().copied().collect()).await?);
    }
    Ok(made.len() as u64)
}
