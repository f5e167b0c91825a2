//! What an import brings of what is learnt here already: lessons are joined, summaries of days and weeks made anew from all events.

use super::{super::subject::held, ATTEMPTS, Reflected, buckets, is_raced, write};
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
    for attempt in 1.. {
        let now = deps.clock.now();
        let Some((held, joined)) = look(deps, ctx, other, now).await? else { return Ok(Brought::Apart) };
        let draft = match joined {
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

/// What `join_lesson` would come to now, without doing it. The events that only the other cites do not matter for whether it is apart.
pub(crate) async fn would_join(deps: &Deps, ctx: &Ctx, other: &Memory) -> Result<Brought> {
    Ok(match look(deps, ctx, other, deps.clock.now()).await? {
        None | Some((_, Joined::Apart)) => Brought::Apart,
        Some((_, Joined::Known)) => Brought::Known,
        Some((_, Joined::Grown(_))) => Brought::Joined,
    })
}

/// The lesson that is here, and what comes of it.
async fn look(deps: &Deps, ctx: &Ctx, other: &Memory, now: Timestamp) -> Result<Option<(Memory, Joined)>> {
    let Some(held) = held(deps, ctx, other).await? else { return Ok(None) };
    if held.is_over(now) || held.is_expired(now) {
        // What somebody ended here stays so; of another there is nothing to join with.
        return Ok((held.id == other.id).then_some((held, Joined::Known)));
    }
    let sources = deps.relational.get(ctx, &other.provenance.derived_from).await?;
    let sources: Vec<Memory> = sources.into_iter().flatten().filter(|source| !source.is_expired(now)).collect();
    let joined = joined(ctx.scope(), &held, other, &sources);
    Ok(Some((held, joined)))
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
