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
    jobs::index_sync::{check_embedder, split},
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
    /// Since when `applied` was reached: the first time this process saw it, or anything beyond the last settled.
    fn since(&self, scope: &Scope, applied: u64) -> (u64, Instant) {
        *self.0.lock().entry(scope.clone()).or_insert_with(|| (applied, Instant::now()))
    }

    fn forget(&self, scope: &Scope) {
        self.0.lock().remove(scope);
    }
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
    /// When to come again so that what was applied settles.
    pub settle_in: Option<Duration>,
}

/// One run's scope and what it writes to.
struct Run<'a> {
    deps: &'a Deps,
    scope: &'a Scope,
    collection: Collection,
}

/// Brings one scope up to date, by at most about `limit` changes, and settles what is due.
pub(crate) async fn sync_scope(deps: &Deps, scope: &Scope, limit: u64) -> Result<Progress> {
    if deps.vectors.capability().feed == VectorFeed::Reader {
        return Ok(Progress::default());
    }
    let run = Run { deps, scope, collection: deps.collection() };
    let ctx = run.ctx()?;
    deps.vectors.ensure(&ctx, &run.collection).await?;
    // The watermark first: a head read later is never behind it, unless the truth went back.
    let mut mark = deps.vectors.watermark(&ctx, &run.collection).await?;
    let head = deps.relational.head(&ctx).await?;
    check_embedder(&head, &run.collection)?;
    let mut progress = Progress::default();
    if mark.applied > head.seq || mark.applied < head.tombstone_floor {
        // A backup was restored, or the tombstones between are gone: what was deleted meanwhile cannot be known.
        if mark != Watermark::default() {
            tracing::info!(applied = mark.applied, head = head.seq, "the vectors of a scope are written anew");
        }
        run.start_over(&mut mark, head.tombstone_floor, &mut progress).await?;
    }
    while mark.applied < head.seq && progress.changes < limit {
        run.apply_page(&mut mark, head.seq, &mut progress).await?;
    }
    progress.behind = head.seq.saturating_sub(mark.applied);
    run.settle(mark, head.tombstone_floor, &mut progress).await?;
    Ok(progress)
}

impl Run<'_> {
    /// A context whose deadline is that of a write: what is read under it is sent before the deadline or never.
    fn ctx(&self) -> Result<Ctx> {
        Ok(self.deps.ctx(self.scope)?.with_timeout(self.deps.feeder.settle / 2))
    }

    /// Empties the scope and writes it up to `floor` in one go: below the floor nothing says what is missing, so a part of it
    /// must not pass for all.
    async fn start_over(&self, mark: &mut Watermark, floor: u64, progress: &mut Progress) -> Result<()> {
        self.deps.vectors.drop_scope(&self.ctx()?, &self.collection).await?;
        *mark = Watermark::default();
        while mark.applied < floor {
            self.apply_page(mark, floor, progress).await?;
        }
        Ok(())
    }

    async fn apply_page(&self, mark: &mut Watermark, upto: u64, progress: &mut Progress) -> Result<()> {
        let ctx = self.ctx()?;
        let (changes, count) = self.page(&ctx, mark.applied, upto).await?;
        let (points, removed, reached) = split(changes);
        mark.applied = reached;
        self.deps.vectors.write(&ctx, &self.collection, points, &removed, Some(*mark)).await?;
        progress.changes += count;
        Ok(())
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

    /// Looks again at what was applied long enough ago.
    async fn settle(&self, mut mark: Watermark, floor: u64, progress: &mut Progress) -> Result<()> {
        let (unsettled, wait) = (&self.deps.feeder.unsettled, self.deps.feeder.settle);
        if mark.settled >= mark.applied {
            unsettled.forget(self.scope);
            return Ok(());
        }
        let (upto, since) = unsettled.since(self.scope, mark.applied);
        let age = since.elapsed();
        if age < wait {
            progress.settle_in = Some(wait - age);
            return Ok(());
        }
        // Whatever comes of it, the next round counts from now.
        unsettled.forget(self.scope);
        let upto = upto.min(mark.applied);
        if mark.settled < floor {
            // The log does not name what was deleted below its floor: the whole scope is written a second time.
            self.start_over(&mut mark, floor, progress).await?;
            while mark.applied < upto {
                self.apply_page(&mut mark, upto, progress).await?;
            }
        } else {
            let repaired = self.verify(mark.settled, upto).await?;
            if repaired > 0 {
                tracing::info!(repaired, "points that an overtaken write had spoiled were written again");
                progress.repaired += repaired;
                unsettled.since(self.scope, mark.applied);
                progress.settle_in = Some(wait);
                return Ok(());
            }
        }
        mark.settled = upto;
        self.deps.vectors.write(&self.ctx()?, &self.collection, Vec::new(), &[], Some(mark)).await?;
        if mark.settled < mark.applied {
            unsettled.since(self.scope, mark.applied);
            progress.settle_in = Some(wait);
        }
        Ok(())
    }

    /// Compares the server with the truth for all that changed in `(from, upto]` and writes again what differs.
    async fn verify(&self, from: u64, upto: u64) -> Result<u64> {
        let (mut after, mut repaired) = (from, 0);
        while after < upto {
            let ctx = self.ctx()?;
            let (changes, _) = self.page(&ctx, after, upto).await?;
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
                self.deps.vectors.write(&ctx, &self.collection, points, &removed, None).await?;
            }
        }
        Ok(repaired)
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
