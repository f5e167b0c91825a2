//! Brings a vector server to what the relational store says, scope by scope: the consumer of the outbox.
//!
//! The change log is the outbox: each change takes its number in the commit that makes it, numbers become visible in order,
//! and the watermark beside the vectors says which were consumed. Memories are read as they are now, never from a payload.
//!
//! A write that was under way for long (a process that stood still, a line that hung) may land after a newer one and bring
//! back what is gone. No write is sent later than half of the settling time after its memories were read. So what was
//! changed is looked at once more a settling time after it was applied: by then whatever was older has landed, and what
//! landed wrongly is seen and written again. Only then is a change settled.

use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    jobs::{
        feeder::renew_turn,
        index_sync::{check_embedder, split},
    },
    limits::VECTOR_SYNC_PAGE,
    model::{Changes, MemoryId, Scope, VectorPoint},
    overlay::dot,
    ports::{Collection, VectorFeed, Watermark},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Two stored vectors whose products with the same direction differ by less are the same.
const SAME: f32 = 1e-4;
/// Directions along which stored vectors are compared with what they should be.
const PROBES: usize = 2;

/// What is known about the watermarks, for the time until they settle. Bounded by the number of scopes.
#[derive(Debug, Default)]
pub(crate) struct Unsettled(Mutex<HashMap<Scope, (u64, Instant)>>);

impl Unsettled {
    /// Since when `applied` was reached: the first time this process saw it, or anything beyond the last settled. What was
    /// seen before another process wrote the scope anew, or before the floor rose, says nothing any more.
    fn since(&self, scope: &Scope, applied: u64, floor: u64) -> (u64, Instant) {
        let mut all = self.0.lock();
        let now = (applied, Instant::now());
        let seen = all.entry(scope.clone()).or_insert(now);
        if seen.0 < floor || seen.0 > applied {
            *seen = now;
        }
        *seen
    }

    fn forget(&self, scope: &Scope) {
        self.0.lock().remove(scope);
    }
}

/// Scopes that another run was found to write anew. Bounded by the number of scopes.
#[derive(Debug, Default)]
pub(crate) struct Rivals(Mutex<HashMap<Scope, Rival>>);

/// The watermark that a rival had reached, when that was seen, and how long it may stand still.
#[derive(Debug, Clone, Copy)]
struct Rival {
    mark: Watermark,
    seen: Instant,
    patience: Duration,
}

impl Rivals {
    /// Lets the other one go on. No write is under way for longer than half of `settle`; chance makes one of two come first.
    fn found(&self, scope: &Scope, mark: Watermark, settle: Duration) -> Duration {
        let patience = settle.mul_f32(0.5 + fastrand::f32() / 2.0);
        self.0.lock().insert(scope.clone(), Rival { mark, seen: Instant::now(), patience });
        patience
    }

    /// How long to leave the scope alone: while its watermark moves, the other one is alive.
    fn wait(&self, scope: &Scope, mark: Watermark) -> Option<Duration> {
        let mut all = self.0.lock();
        let rival = all.get_mut(scope)?;
        if rival.mark != mark {
            (rival.mark, rival.seen) = (mark, Instant::now());
        }
        let left = rival.patience.saturating_sub(rival.seen.elapsed());
        if left.is_zero() {
            all.remove(scope);
            return None;
        }
        Some(left)
    }

    fn forget(&self, scope: &Scope) {
        self.0.lock().remove(scope);
    }
}

/// What a run may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Whatever is needed, holding the scope's turn.
    InTurn,
    /// Whatever is needed, now.
    OnDemand,
    /// All but writing a scope of more than a page anew, which takes long and disturbs whoever is at it.
    FollowOnly,
}

/// How far one run came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Changes written.
    pub changes: u64,
    /// Changes of the log that are still to be written.
    pub behind: u64,
    /// Points that an overtaken write had spoiled, written again.
    pub repaired: u64,
    /// When to come again so that what was applied settles, or another run is done.
    pub settle_in: Option<Duration>,
    /// Whether another run writes the scope anew, so that coming again at once is no use.
    pub rival: bool,
}

/// One run's scope and what it writes to.
struct Run<'a> {
    deps: &'a Deps,
    scope: &'a Scope,
    collection: Collection,
    mode: Mode,
    limit: u64,
    /// Below it the log does not say what was deleted.
    floor: u64,
}

/// Brings one scope up to date, by at most about `limit` changes, and settles what is due.
pub(crate) async fn sync_scope(deps: &Deps, scope: &Scope, limit: u64, mode: Mode) -> Result<Progress> {
    if deps.vectors.capability().feed == VectorFeed::Reader {
        return Ok(Progress::default());
    }
    let mut run = Run { deps, scope, collection: deps.collection(), mode, limit, floor: 0 };
    let ctx = run.ctx()?;
    deps.vectors.ensure(&ctx, &run.collection).await?;
    // The watermark first: a head read later is never behind it, unless the truth went back.
    let mut mark = deps.vectors.watermark(&ctx, &run.collection).await?;
    let head = deps.relational.head(&ctx).await?;
    check_embedder(&head, &run.collection)?;
    run.floor = head.tombstone_floor;
    let mut progress = Progress::default();
    if mark.applied > head.seq || mark.applied < head.tombstone_floor {
        // A backup was restored, or the tombstones between are gone: what was deleted meanwhile cannot be known.
        progress.behind = head.seq.saturating_sub(mark.applied).max(1);
        if !run.start_over(&mut mark, &mut progress).await? {
            return Ok(progress);
        }
    } else {
        deps.feeder.rivals.forget(scope);
    }
    while mark.applied < head.seq && progress.changes < limit {
        progress.behind = head.seq - mark.applied;
        if !run.follow(&mut mark, head.seq, &mut progress).await? {
            return Ok(progress);
        }
    }
    progress.behind = head.seq.saturating_sub(mark.applied);
    run.settle(mark, &mut progress).await?;
    Ok(progress)
}

impl Run<'_> {
    /// A context whose deadline is that of a write: what is read under it is sent before the deadline or never.
    fn ctx(&self) -> Result<Ctx> {
        Ok(self.deps.ctx(self.scope)?.with_timeout(self.deps.feeder.settle / 2))
    }

    async fn mark(&self, ctx: &Ctx) -> Result<Watermark> {
        self.deps.vectors.watermark(ctx, &self.collection).await
    }

    /// Empties the scope and writes it up to the floor in one go: below the floor nothing says what is missing, so a part of it
    /// must not pass for all. False where this is not to be done, or another run is doing it.
    ///
    /// Two runs that empty a scope take from it what the other has written. So each goes on only while the watermark is the
    /// one it wrote last; the one that finds another's leaves the scope to it for a while.
    async fn start_over(&self, mark: &mut Watermark, progress: &mut Progress) -> Result<bool> {
        let short = self.mode == Mode::FollowOnly;
        if short {
            // What fits one page is as short as following, and an erased scope fits. It gives way to nobody: two that write one
            // page write the same, and whoever is longer at it sees that the scope was emptied.
            let (changes, _) = self.page(&self.ctx()?, 0, self.floor).await?;
            if changes.upto < self.floor {
                return Ok(false);
            }
        } else if let Some(wait) = self.deps.feeder.rivals.wait(self.scope, *mark) {
            (progress.rival, progress.settle_in) = (true, Some(wait));
            return Ok(false);
        }
        if *mark != Watermark::default() {
            tracing::info!(applied = mark.applied, floor = self.floor, "the vectors of a scope are written anew");
        }
        self.deps.feeder.unsettled.forget(self.scope);
        self.deps.vectors.drop_scope(&self.ctx()?, &self.collection).await?;
        *mark = Watermark::default();
        while mark.applied < self.floor {
            if self.mode == Mode::InTurn {
                renew_turn(self.deps, self.scope).await?;
            }
            let ctx = self.ctx()?;
            let (changes, count) = self.page(&ctx, mark.applied, self.floor).await?;
            let found = self.mark(&ctx).await?;
            if found != *mark && !short {
                self.leave(&ctx, found, *mark, progress).await?;
                return Ok(false);
            }
            self.write(&ctx, mark, changes).await?;
            progress.changes += count;
        }
        Ok(true)
    }

    /// Leaves the scope to another run, whose watermark was `found` where this one had written up to `mine`.
    async fn leave(&self, ctx: &Ctx, found: Watermark, mine: Watermark, progress: &mut Progress) -> Result<()> {
        let mut left = found;
        if found.applied > mine.applied {
            // It may have been written by one that did not see the scope emptied, and then claims what is gone: nobody is to
            // build on it.
            left = Watermark::default();
            self.deps.vectors.write(ctx, &self.collection, Vec::new(), &[], Some(left)).await?;
        }
        tracing::debug!(applied = left.applied, "another run writes the vectors of a scope anew");
        let wait = self.deps.feeder.rivals.found(self.scope, left, self.deps.feeder.settle);
        (progress.rival, progress.settle_in) = (true, Some(wait));
        Ok(())
    }

    /// Writes one page after wherever the scope is now. False where it is not whole any more: another run writes it anew.
    async fn follow(&self, mark: &mut Watermark, upto: u64, progress: &mut Progress) -> Result<bool> {
        let ctx = self.ctx()?;
        *mark = self.mark(&ctx).await?;
        if mark.applied < self.floor {
            let wait = self.deps.feeder.rivals.found(self.scope, *mark, self.deps.feeder.settle);
            (progress.rival, progress.settle_in) = (true, Some(wait));
            return Ok(false);
        }
        if mark.applied < upto {
            let (changes, count) = self.page(&ctx, mark.applied, upto).await?;
            self.write(&ctx, mark, changes).await?;
            progress.changes += count;
        }
        Ok(true)
    }

    async fn write(&self, ctx: &Ctx, mark: &mut Watermark, changes: Changes) -> Result<()> {
        let (points, removed, reached) = split(changes);
        mark.applied = reached;
        self.deps.vectors.write(ctx, &self.collection, points, &removed, Some(*mark)).await
    }

    async fn page(&self, ctx: &Ctx, after: u64, upto: u64) -> Result<(Changes, u64)> {
        let embedder = &self.collection.embedder;
        let changes = self.deps.relational.changes_since(ctx, after, upto, VECTOR_SYNC_PAGE, embedder).await?;
        if changes.upto <= after {
            return Err(Error::internal("the change log does not move on"));
        }
        let count = (changes.puts.len() + changes.deletes.len()) as u64;
        Ok((changes, count))
    }

    /// Looks again at what was applied long enough ago, at about `limit` changes of it.
    async fn settle(&self, mut mark: Watermark, progress: &mut Progress) -> Result<()> {
        let (unsettled, wait) = (&self.deps.feeder.unsettled, self.deps.feeder.settle);
        if mark.settled >= mark.applied {
            unsettled.forget(self.scope);
            return Ok(());
        }
        let (upto, since) = unsettled.since(self.scope, mark.applied, self.floor);
        let age = since.elapsed();
        if age < wait {
            progress.settle_in = Some(wait - age);
            return Ok(());
        }
        let settled = if mark.settled < self.floor {
            // The log does not name what was deleted below its floor: the whole scope is written a second time.
            progress.settle_in = Some(Duration::ZERO);
            let before = mark.applied;
            let whole = self.start_over(&mut mark, progress).await?;
            progress.behind += before.saturating_sub(mark.applied);
            if !whole {
                return Ok(());
            }
            self.floor
        } else {
            let (clean, repaired) = self.verify(mark.settled, upto).await?;
            if repaired > 0 {
                tracing::info!(repaired, "points that an overtaken write had spoiled were written again");
                progress.repaired += repaired;
            }
            clean
        };
        let ctx = self.ctx()?;
        let found = self.mark(&ctx).await?;
        if found.settled != mark.settled || found.applied < settled.max(self.floor) {
            // Another run was here: what was seen may be gone.
            unsettled.forget(self.scope);
            progress.settle_in = Some(wait);
            return Ok(());
        }
        mark = Watermark { applied: found.applied, settled };
        if mark != found {
            self.deps.vectors.write(&ctx, &self.collection, Vec::new(), &[], Some(mark)).await?;
        }
        if settled >= upto {
            // The next round counts from now.
            unsettled.forget(self.scope);
        }
        progress.settle_in = None;
        if mark.settled < mark.applied {
            let (_, since) = unsettled.since(self.scope, mark.applied, self.floor);
            progress.settle_in = Some(wait.saturating_sub(since.elapsed()));
        }
        Ok(())
    }

    /// Compares the server with the truth for what changed in `(from, upto]`, about `limit` changes of it, and writes again
    /// what differs. Gives up to where all was right, and how much was not.
    async fn verify(&self, from: u64, upto: u64) -> Result<(u64, u64)> {
        let (mut after, mut clean, mut repaired, mut seen) = (from, from, 0, 0);
        while after < upto && seen < self.limit {
            let ctx = self.ctx()?;
            let (changes, count) = self.page(&ctx, after, upto).await?;
            // A page without changes costs as well.
            seen += count.max(1);
            let (points, removed, reached) = split(changes);
            after = reached;
            let mut ids: Vec<MemoryId> = points.iter().map(|point| point.id).collect();
            ids.extend(&removed);
            let mut differs = vec![false; ids.len()];
            for _ in 0..PROBES {
                let probe = direction(self.collection.dim);
                let stored = self.deps.vectors.score(&ctx, &self.collection, &probe, &ids).await?;
                let wanted = points.iter().map(|point| Some(dot(&probe, &point.vector)));
                let wanted = wanted.chain(removed.iter().map(|_| None));
                for ((differs, stored), wanted) in differs.iter_mut().zip(stored).zip(wanted) {
                    *differs |= match (stored, wanted) {
                        (Some(stored), Some(wanted)) => (stored - wanted).abs() > SAME,
                        (stored, wanted) => stored.is_some() != wanted.is_some(),
                    };
                }
            }
            let wrong = |n: usize| differs.get(n).copied().unwrap_or(true);
            let first_removed = points.len();
            let points: Vec<VectorPoint> =
                points.into_iter().enumerate().filter(|(n, _)| wrong(*n)).map(|(_, point)| point).collect();
            let removed: Vec<MemoryId> =
                removed.into_iter().enumerate().filter(|(n, _)| wrong(first_removed + n)).map(|(_, id)| id).collect();
            if !points.is_empty() || !removed.is_empty() {
                repaired += (points.len() + removed.len()) as u64;
                // Looked at again a whole settling time from now, even if this write fails.
                self.deps.feeder.unsettled.forget(self.scope);
                self.deps.vectors.write(&ctx, &self.collection, points, &removed, None).await?;
            }
            if repaired == 0 {
                clean = reached;
            }
        }
        Ok((clean, repaired))
    }
}

/// A random vector of unit length.
fn direction(dim: usize) -> Vec<f32> {
    let mut raw: Vec<f32> = (0..dim).map(|_| fastrand::f32() - 0.5).collect();
    let length = dot(&raw, &raw).sqrt();
    if length > 0.0 {
        raw.iter_mut().for_each(|x| *x /= length);
    } else if let Some(first) = raw.first_mut() {
        *first = 1.0;
    }
    raw
}
