//! The life of memories, as far as it goes by itself: fading, forgetting, retention, capacities. Part of `maintain`.
//!
//! A page at a time: what is due for its memories and the audit rows about it are one batch, and what somebody touched meanwhile
//! is left alone. A pass that was cut off is run again from the start: what it did is not due any more.

use super::{Faded, count_row, erase_answers, trim_marks};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::Result,
    jobs::extract::trim_forgotten,
    lifecycle::{Fate, fate},
    limits::{AUDIT_ROWS_MAX, LIFE_PAGE, LIFE_SESSIONS_MAX},
    model::{Layer, Life, Op, Outcome, Scope, Timestamp},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a pass did. Each is named in `maintain`'s answer where it is not 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lived {
    /// Strengths that fell.
    pub faded: u64,
    /// Memories that fell below the floor of forgetting, and went.
    pub forgotten: u64,
    /// Memories that were older than they are kept, and went.
    pub retired: u64,
    /// Memories that were too many for their layer, and went.
    pub trimmed: u64,
}

impl Lived {
    /// By name, without what did not happen.
    pub fn named(self) -> impl Iterator<Item = (String, u64)> {
        let all = [
            ("faded", self.faded),
            ("forgotten", self.forgotten),
            ("retired", self.retired),
            ("trimmed", self.trimmed),
        ];
        all.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n))
    }
}

/// Memories of the layers with a capacity, by session where it counts per session.
type Counts = HashMap<(Layer, Option<String>), usize>;

/// Does what is due for the memories of a scope at `now`. The access data must have been written before.
pub(crate) async fn live(deps: &Deps, scope: &Scope, now: Timestamp) -> Result<Lived> {
    let (mut done, mut counts, mut after) = (Lived::default(), Counts::new(), None);
    loop {
        let ctx = deps.ctx(scope)?;
        let page = deps.relational.lives(&ctx, after, LIFE_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        settle(deps, &ctx, &page, now, &mut done, &mut counts).await?;
        if page.len() < LIFE_PAGE {
            break;
        }
    }
    trim(deps, scope, counts, &mut done).await?;
    let ctx = deps.ctx(scope)?;
    // A scope that nothing was ever written to is not made by looking at it.
    if after.is_some() {
        deps.relational.apply(&ctx, deps.batch(vec![Op::TrimAudit { keep: AUDIT_ROWS_MAX }])).await?;
        trim_marks(deps, &ctx, now).await?;
        trim_forgotten(deps, &ctx).await?;
    }
    Ok(done)
}

/// One page: what is due, and what stays counted.
async fn settle(
    deps: &Deps,
    ctx: &Ctx,
    page: &[Life],
    now: Timestamp,
    done: &mut Lived,
    counts: &mut Counts,
) -> Result<()> {
    let (mut ops, mut due, mut fates) = (Vec::new(), BTreeMap::<&str, u64>::new(), Vec::new());
    let mut faded = Vec::new();
    for life in page {
        let (fate, stamp) = (fate(&deps.lifecycle, life, now), life.stamp());
        let (action, op) = match fate {
            Fate::Stay => {
                count(life, counts);
                continue;
            }
            Fate::Fade(strength) => {
                count(life, counts);
                faded.push(Faded(life.id, life.strength, strength));
                ("fade", Op::Fade { stamp, strength })
            }
            Fate::Forget => ("forget_faded", Op::DeleteUntouched { stamp }),
            Fate::Retire => ("retire", Op::DeleteUntouched { stamp }),
        };
        *due.entry(action).or_default() += 1;
        ops.push(op);
        fates.push((fate, life.id));
    }
    if ops.is_empty() {
        return Ok(());
    }
    // With the changes, so that there is none without a row. What was touched meanwhile is due, but stays.
    let mut batch = deps.batch(ops);
    for (action, n) in due {
        // What faded can be given back; of what goes nothing but the number is kept.
        let details = if action == "fade" { json!({ "due": n, "faded": faded }) } else { json!({ "due": n }) };
        count_row(&mut batch, action, details);
    }
    let applied = deps.relational.apply(ctx, batch).await?;
    let mut gone = BTreeSet::new();
    for ((fate, id), outcome) in fates.into_iter().zip(&applied.outcomes) {
        match (fate, outcome) {
            (Fate::Fade(_), Outcome::Done) => done.faded += 1,
            (Fate::Forget, Outcome::Deleted { existed: true }) => done.forgotten += 1,
            (Fate::Retire, Outcome::Deleted { existed: true }) => done.retired += 1,
            _ => continue,
        }
        if !matches!(fate, Fate::Fade(_)) {
            gone.insert(id);
        }
    }
    // Answers of chat models that it was part of would outlive the time it is kept. A cache that is away lets them run out.
    if !gone.is_empty() {
        erase_answers(deps, ctx, Some(&gone)).await;
    }
    Ok(())
}

fn count(life: &Life, counts: &mut Counts) {
    let policy = life.layer.policy();
    // What belongs to no session has no session to be bounded by.
    if policy.capacity.is_none() || (policy.capacity_per_session && life.session_id.is_none()) {
        return;
    }
    let place = (life.layer, life.session_id.clone().filter(|_| policy.capacity_per_session));
    if let Some(n) = counts.get_mut(&place) {
        *n += 1;
    } else if counts.len() < LIFE_SESSIONS_MAX {
        counts.insert(place, 1);
    }
}

/// Trims the layers that hold more than they may: each write does so for what it writes to, an import or a change of layer does
/// not.
async fn trim(deps: &Deps, scope: &Scope, counts: Counts, done: &mut Lived) -> Result<()> {
    let mut places: Vec<_> = counts.into_iter().collect();
    places.sort_unstable();
    for ((layer, session_id), n) in places {
        let Some(keep) = layer.policy().capacity.filter(|keep| n > *keep) else { continue };
        let due = u64::try_from(n - keep).unwrap_or(u64::MAX);
        let mut batch = deps.batch(vec![Op::TrimLayer { layer, session_id, keep }]);
        count_row(&mut batch, "trim", json!({ "due": due }));
        let applied = deps.relational.apply(&deps.ctx(scope)?, batch).await?;
        if let Some(Outcome::Trimmed { ids }) = applied.outcomes.first() {
            done.trimmed += ids.len() as u64;
        }
    }
    Ok(())
}
