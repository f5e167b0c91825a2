//! `maintain` runs due housekeeping now; `doctor` looks for damage and says what to do.

use super::lifecycle::live;
use crate::{
    Ctx,
    cost::tell_ran_out,
    deps::Deps,
    error::{ErrorKind, Result},
    jobs::{index_sync, runner},
    limits::{EXPIRE_PAGE, PAGE_MAX},
    model::{JobKind, MemoryId, Op, Outcome, Precondition, Scope, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Memories that are due of which what was made from them is looked at together, and attempts against others who change that.
const QUOTED_PAGE: usize = 64;
const ATTEMPTS: usize = 8;

/// What `maintain` did, in numbers: `expired` memories purged, `embedded` vectors paid, `reflected` lessons, strategies and reflections
/// made or changed, `access` counts written, `log_truncated` 0 or 1; and where there were any, `facts` written or changed, strengths
/// that `faded`, memories `forgotten` below the floor, `retired` past the time they are kept, and `trimmed` to the capacity of their
/// layer, memories `kept_out` of facts, of which `kept_out_machine` and the like tell the reasons, `resumed`: facts that hold again,
/// or until later, because what had ended them is gone, `joined`: names that were found to be one entity, or no longer to be, and
/// `communities`: summaries of the knowledge graph written or removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintained {
    /// Work by name.
    pub ran: BTreeMap<String, u64>,
}

/// Something `doctor` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `ok`, `warning` or `error`.
    pub level: String,
    /// What was looked at.
    pub check: String,
    /// What was seen and what to do.
    pub message: String,
}

pub(crate) async fn maintain(deps: &Deps, scope: &Scope, now: Option<Timestamp>) -> Result<Maintained> {
    let now = now.unwrap_or_else(|| deps.clock.now());
    let mut ran = BTreeMap::new();
    ran.insert("access".to_owned(), flush_access(deps, scope).await?);
    ran.insert("expired".to_owned(), purge_expired(deps, scope, now).await?);
    ran.extend(live(deps, scope, now).await?.named());
    expire_reservations(deps, scope).await?;
    sync_index(deps, scope).await?;
    ran.insert("log_truncated".to_owned(), u64::from(deps.relational.checkpoint(&deps.ctx(scope)?, now).await?));
    let (jobs, kept_out) = runner::run_scope(deps, scope).await?;
    for (reason, count) in &kept_out {
        ran.insert(format!("kept_out_{reason}"), *count);
        *ran.entry("kept_out".to_owned()).or_default() += count;
    }
    for (name, kind) in [("embedded", JobKind::Embed), ("reflected", JobKind::Reflect)] {
        ran.insert(name.to_owned(), jobs.get(&kind).copied().unwrap_or_default());
    }
    if let Some(facts) = jobs.get(&JobKind::Extract) {
        ran.insert("facts".to_owned(), *facts);
    }
    // Behind the jobs: what they learnt is what insights are made over.
    *ran.entry("reflected".to_owned()).or_default() += super::deepen(deps, scope).await?;
    // Behind the jobs, which may have said it anew; before what is made of relations.
    let resumed = super::resume::resume(deps, scope).await?;
    if resumed > 0 {
        ran.insert("resumed".to_owned(), resumed);
    }
    // Behind the jobs: facts are relations, too.
    let joined = super::joins::join(deps, scope).await?;
    if joined > 0 {
        ran.insert("joined".to_owned(), joined);
    }
    let communities = super::communities::summarise(deps, scope, true).await?;
    if communities > 0 {
        ran.insert("communities".to_owned(), communities);
    }
    Ok(Maintained { ran })
}

/// What a `Maintain` job does. Doing it twice changes nothing. Projects that nobody asks here stay out of memory: those who
/// write to them store their segments. What concerns the whole store is done once in a while, not once for each project.
pub(crate) async fn housekeep(deps: &Deps, scope: &Scope, now: Timestamp) -> Result<()> {
    flush_access(deps, scope).await?;
    purge_expired(deps, scope, now).await?;
    if deps.lived.is_due(scope, now) {
        live(deps, scope, now).await?;
        deps.lived.note(scope, now);
    }
    expire_reservations(deps, scope).await?;
    if deps.indexes.get(scope).is_some() {
        sync_index(deps, scope).await?;
    }
    super::resume::resume(deps, scope).await?;
    super::joins::join(deps, scope).await?;
    super::communities::summarise(deps, scope, false).await?;
    if deps.is_checkpoint_due() {
        deps.relational.checkpoint(&deps.ctx(scope)?, now).await?;
    }
    Ok(())
}

async fn sync_index(deps: &Deps, scope: &Scope) -> Result<()> {
    let ctx = deps.ctx(scope)?;
    let state = index_sync::fresh(deps, &ctx).await?;
    index_sync::flush_segments(deps, &ctx, &state).await
}

async fn purge_expired(deps: &Deps, scope: &Scope, now: Timestamp) -> Result<u64> {
    let mut purged = 0;
    loop {
        let ctx = deps.ctx(scope)?;
        let due = deps.relational.expired(&ctx, now, PAGE_MAX).await?;
        if due.is_empty() {
            break;
        }
        for page in due.chunks(QUOTED_PAGE) {
            unquote(deps, &ctx, page).await?;
        }
        // With the deletions, so that there is none without a row.
        let details = serde_json::json!({ "due": due.len() });
        // Somebody may give one more time meanwhile.
        let mut batch = deps.batch(due.into_iter().map(|id| Op::DeleteExpired { id, now }).collect());
        super::count_row(&mut batch, "expire", details);
        let applied = deps.relational.apply(&ctx, batch).await?;
        purged += applied.outcomes.iter().filter(|o| matches!(o, Outcome::Deleted { existed: true })).count() as u64;
    }
    Ok(purged)
}

/// Takes from lessons that stay what they quote of events that are due: those that got their end after they were quoted.
async fn unquote(deps: &Deps, ctx: &Ctx, due: &[MemoryId]) -> Result<()> {
    let going = due.iter().copied().collect();
    for attempt in 1.. {
        let (mut known, mut ops, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for memory in deps.relational.derived_from(ctx, due, PAGE_MAX).await? {
            if due.contains(&memory.id) {
                continue;
            }
            if let Some(bare) = super::unquoted(deps, ctx, &memory, &going).await? {
                known.push(Precondition::VersionIs(memory.id, memory.version));
                ops.push(Op::DeleteMemory { id: memory.id });
                added.extend(bare);
            }
        }
        if ops.is_empty() {
            return Ok(());
        }
        ops.append(&mut added);
        match deps.relational.apply(ctx, deps.batch_if(known, ops)).await {
            // Somebody reflected meanwhile.
            Err(error) if attempt < ATTEMPTS && matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
            done => return done.map(|_| ()),
        }
    }
    Ok(())
}

/// Ends what ran out of the tenant's reservations, all of it, by the clock of the store.
async fn expire_reservations(deps: &Deps, scope: &Scope) -> Result<()> {
    loop {
        let applied = deps.relational.apply(&deps.ctx(scope)?, deps.batch(vec![Op::ExpireReservations])).await?;
        tell_ran_out(deps, scope, &applied);
        let ended = |outcome: &Outcome| match outcome {
            Outcome::Expired { released, booked } => released.saturating_add(*booked),
            _ => 0,
        };
        // A page that is not full was the last one.
        if applied.outcomes.iter().map(ended).sum::<u64>() < EXPIRE_PAGE as u64 {
            return Ok(());
        }
    }
}

/// Writes the buffered access counts of all scopes; gives how many memories of `own` they were about.
pub(crate) async fn flush_access(deps: &Deps, own: &Scope) -> Result<u64> {
    if deps.relational.capability().read_only {
        return Ok(0);
    }
    let (mut flushed, mut failed) = (0, None);
    for (scope, counts) in deps.access.take() {
        if counts.is_empty() {
            continue;
        }
        let about = counts.len() as u64;
        let written = deps.relational.apply(&deps.ctx(&scope)?, deps.batch(vec![Op::RecordAccess { counts }])).await;
        match written {
            Ok(_) if scope == *own => flushed += about,
            Ok(_) => {}
            // Another one's trouble is not this caller's. The counts are estimates, and these are lost.
            Err(error) if scope != *own => {
                tracing::warn!(kind = error.kind().name(), "access counts could not be written");
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(flushed), Err)
}

pub(crate) async fn doctor(deps: &Deps, scope: &Scope) -> Result<Vec<Finding>> {
    let ctx = deps.ctx(scope)?;
    let mut findings = Vec::new();
    let mut say = |level: &str, check: &str, message: String| {
        findings.push(Finding { level: level.to_owned(), check: check.to_owned(), message });
    };
    let damage = deps.relational.verify(&ctx).await?;
    if damage.is_empty() {
        say("ok", "store", "the file is sound".to_owned());
    }
    for found in damage {
        say(
            "error",
            "store",
            format!("{found}; restore a backup, or export what can be read and import it into a new file"),
        );
    }
    let (mut stats, mut indexed) = (deps.relational.stats(&ctx).await?, 0);
    for _ in 0..3 {
        let state = index_sync::fresh(deps, &ctx).await?;
        indexed = state.index.read().len() as u64;
        stats = deps.relational.stats(&ctx).await?;
        // A writer between the two look-ups makes them differ; only a difference that stays is one.
        if indexed == stats.memories {
            break;
        }
    }
    if indexed == stats.memories {
        say("ok", "words", format!("all {indexed} memories are in the word index"));
    } else {
        say(
            "error",
            "words",
            format!("{indexed} of {} memories are in the word index; this is a bug, please report it", stats.memories),
        );
    }
    let without = deps.relational.without_vector(&ctx, &deps.collection().embedder, None, PAGE_MAX).await?.len();
    match without {
        0 => say("ok", "vectors", "every memory has a vector".to_owned()),
        n if stats.jobs_queued > 0 => {
            say("warning", "vectors", format!("{n} memories wait for a vector; run maintain"))
        }
        n => say("ok", "vectors", format!("{n} memories have nothing the embedder knows and are found by words alone")),
    }
    if stats.jobs_dead > 0 {
        say("warning", "jobs", format!("{} jobs failed too often; see the log", stats.jobs_dead));
    }
    Ok(findings)
}
