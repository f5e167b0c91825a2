//! Summaries of the days and weeks that have news, over all sessions of a user and agent. They are made from events, never from other summaries.

use super::{Reflected, about, is_raced, news, write};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    limits::{PAGE_MAX, REFLECT_WEEKS_MAX},
    model::{Cursor, Filter, Kind, Memory, Scan, Timestamp},
    reflect::{Bucket, Event, Owner, week},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const DAY_MICROS: i64 = 86_400_000_000;
/// Attempts against others who sum up the same.
const ATTEMPTS: usize = 8;

/// The day of an event, counted from 1970.
pub(super) fn day_of(memory: &Memory) -> i64 {
    day_at(memory.event_time())
}

/// The day of an instant.
pub(super) fn day_at(at: Timestamp) -> i64 {
    at.micros().div_euclid(DAY_MICROS)
}

/// The Monday that begins the week of a day. 1970 began on a Thursday.
pub(super) fn monday(day: i64) -> i64 {
    (day + 3).div_euclid(7) * 7 - 3
}

/// Sums up the newest weeks with events on these days. What says nothing new is not written.
pub(super) async fn sum_up(deps: &Deps, ctx: &Ctx, days: &BTreeSet<i64>) -> Result<Vec<Reflected>> {
    let weeks: BTreeSet<i64> = days.iter().map(|day| monday(*day)).collect();
    let weeks: BTreeSet<i64> = weeks.into_iter().rev().take(REFLECT_WEEKS_MAX).collect();
    if weeks.is_empty() {
        return Ok(Vec::new());
    }
    for attempt in 1.. {
        match once(deps, ctx, &weeks).await {
            Err(error) if is_raced(&error) && attempt < ATTEMPTS => {}
            done => return done,
        }
    }
    Err(Error::internal("unreachable: the loop ends by returning"))
}

async fn once(deps: &Deps, ctx: &Ctx, weeks: &BTreeSet<i64>) -> Result<Vec<Reflected>> {
    let now = deps.clock.now();
    let mut drafts = Vec::new();
    for (owner, mut days) in read_days(deps, ctx, weeks, now).await? {
        for first in weeks {
            let later = days.split_off(&(first + 7));
            let own = std::mem::replace(&mut days, later).into_values().collect();
            drafts.extend(week(ctx.scope(), date(*first)?, owner.clone(), own));
        }
    }
    let known = about(deps, ctx, &drafts.iter().map(|draft| draft.subject).collect::<Vec<_>>()).await?;
    let news = news(deps, ctx, drafts.into_iter(), (&known, now)).await?;
    write(deps, ctx, news, &known, now).await
}

type Days = BTreeMap<i64, Bucket>;

/// What each owner said on each day of these weeks.
async fn read_days(deps: &Deps, ctx: &Ctx, weeks: &BTreeSet<i64>, now: Timestamp) -> Result<BTreeMap<Owner, Days>> {
    let mut days: BTreeMap<Owner, Days> = BTreeMap::new();
    let (Some(first), Some(last)) = (weeks.first(), weeks.last()) else { return Ok(days) };
    let span = json!({ "gte": start(*first)?, "lt": start(last + 7)? });
    let filter = Filter::parse(&json!({ "and": [
        { "kind": Kind::Conversation, "session_id": { "ne": null } },
        { "or": [{ "occurred_at": span }, { "and": [{ "occurred_at": null }, { "created_at": span }] }] },
    ] }))?;
    let mut scan = Scan { filter: Some(filter), after: None, limit: PAGE_MAX };
    loop {
        let page = deps.relational.scan(ctx, &scan).await?;
        let Some(last) = page.last() else { return Ok(days) };
        scan.after = Some(Cursor(last.id));
        let full = page.len() == scan.limit;
        for memory in page.into_iter().filter(|m| !m.is_expired(now) && !m.is_over(now)) {
            let (day, session) = (day_of(&memory), memory.session_id.clone().unwrap_or_default());
            let Some(event) = Event::read(memory).filter(|_| weeks.contains(&monday(day))) else { continue };
            let from = date(day)?;
            let own = days.entry(event.owner.clone()).or_default();
            let bucket = own.entry(day).or_insert_with(|| Bucket::new("day", from, event.owner.clone()));
            bucket.take(&session, &event);
        }
        if !full {
            return Ok(days);
        }
    }
}

fn start(day: i64) -> Result<Timestamp> {
    let micros = day.checked_mul(DAY_MICROS).ok_or_else(|| Error::internal("a day lies outside of time"))?;
    Timestamp::from_micros(micros)
}

/// The day as `2026-01-01`.
fn date(day: i64) -> Result<String> {
    let text = json!(start(day)?);
    Ok(text.as_str().and_then(|text| text.split('T').next()).unwrap_or_default().to_owned())
}
