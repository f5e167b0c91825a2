//! Cases for [`VectorStore`].
//!
//! `conformance_vector!(module, make)` wants an expression that gives `(Arc<dyn VectorStore>, guard)`: an empty store, and whatever
//! must outlive it.

use crate::{
    conformance::{
        block_on,
        fixtures::{kind_of, unit},
        relational::LOOKALIKES,
    },
    ctx::Ctx,
    error::{ErrorKind, Result},
    limits::DIM_MAX,
    model::{MemoryId, Scope, VectorFilter, VectorHit, VectorPoint},
    ports::{Collection, VectorStore, Watermark},
};
use std::{collections::HashSet, sync::Arc, thread};
use uuid::Uuid;

/// How far a cosine may be from the one computed in f64.
const TOLERANCE: f32 = 1e-4;

fn id(n: u128) -> MemoryId {
    MemoryId(Uuid::from_u128(n))
}

struct Space<'a> {
    store: &'a dyn VectorStore,
    ctx: Ctx,
    collection: Collection,
}

impl<'a> Space<'a> {
    async fn of(store: &'a dyn VectorStore, tenant: &str, project: &str, dim: usize) -> Self {
        let store_id = "conformance".to_owned();
        let collection = Collection { store: store_id, embedder: format!("conformance@1/{dim}"), dim };
        let space = Self { store, ctx: Ctx::new(Scope::new(tenant, project).unwrap()), collection };
        space.store.ensure(&space.ctx, &space.collection).await.unwrap();
        space
    }

    async fn new(store: &'a dyn VectorStore) -> Self {
        Self::of(store, "t", "p", 4).await
    }

    async fn try_write(&self, points: &[(u128, Vec<f32>)], delete: &[u128], watermark: Option<u64>) -> Result<()> {
        let points = points.iter().map(|(n, vector)| VectorPoint { id: id(*n), vector: vector.clone() }).collect();
        let delete: Vec<_> = delete.iter().map(|n| id(*n)).collect();
        let watermark = watermark.map(Watermark::at);
        self.store.write(&self.ctx, &self.collection, points, &delete, watermark).await
    }

    async fn put(&self, points: &[(u128, Vec<f32>)]) {
        self.try_write(points, &[], None).await.unwrap();
    }

    async fn query(&self, vector: &[f32], k: usize) -> Vec<VectorHit> {
        self.store.query(&self.ctx, &self.collection, vector, &VectorFilter::default(), k).await.unwrap()
    }

    async fn only(&self, vector: &[f32], only: &[u128], k: usize) -> Vec<u128> {
        let filter = VectorFilter { only: Some(Arc::new(only.iter().map(|n| id(*n)).collect::<HashSet<_>>())) };
        numbers(&self.store.query(&self.ctx, &self.collection, vector, &filter, k).await.unwrap())
    }

    async fn score(&self, vector: &[f32], ids: &[u128]) -> Vec<Option<f32>> {
        let ids: Vec<_> = ids.iter().map(|n| id(*n)).collect();
        self.store.score(&self.ctx, &self.collection, vector, &ids).await.unwrap()
    }

    async fn watermark(&self) -> u64 {
        self.store.watermark(&self.ctx, &self.collection).await.unwrap().applied
    }
}

fn numbers(hits: &[VectorHit]) -> Vec<u128> {
    hits.iter().map(|hit| hit.id.0.as_u128()).collect()
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= TOLERANCE
}

fn axis(i: usize) -> Vec<f32> {
    let mut v = vec![0.0; 4];
    v[i] = 1.0;
    v
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot: f64 = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    dot as f32
}

fn random_unit(rng: &mut fastrand::Rng, dim: usize) -> Vec<f32> {
    let raw: Vec<f32> = (0..dim).map(|_| rng.f32() - 0.5).collect();
    let norm = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
    raw.iter().map(|x| x / norm).collect()
}

/// No hits, no scores, watermark 0.
pub async fn an_unknown_scope_is_empty(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    assert!(space.query(&axis(0), 10).await.is_empty());
    assert_eq!(space.score(&axis(0), &[1, 2]).await, [None, None]);
    assert_eq!(space.watermark().await, 0);
}

/// Ensuring again keeps what is there.
pub async fn ensuring_again_changes_nothing(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.put(&[(1, unit(1))]).await;
    for _ in 0..3 {
        store.ensure(&space.ctx, &space.collection).await.unwrap();
    }
    assert_eq!(numbers(&space.query(&unit(1), 10).await), [1]);
}

/// The nearest first, with their cosines.
pub async fn answers_come_by_falling_cosine(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    let points: Vec<_> = [300u16, 5, 100, 40, 900].into_iter().map(|n| (u128::from(n), unit(n))).collect();
    space.put(&points).await;
    let hits = space.query(&unit(0), 10).await;
    assert_eq!(numbers(&hits), [5, 40, 100, 300, 900]);
    for hit in &hits {
        let n = u16::try_from(hit.id.0.as_u128()).unwrap();
        assert!(near(hit.cosine, cosine(&unit(0), &unit(n))), "{hit:?}");
    }
}

/// Equal vectors come by ascending id, whatever the order of writing, also at the cut.
pub async fn ties_come_by_ascending_id(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    for n in [7, 3, 9, 1, u128::MAX, 5, 1 << 127] {
        space.put(&[(n, axis(1))]).await;
    }
    space.put(&[(4, axis(0))]).await;
    assert_eq!(numbers(&space.query(&axis(1), 100).await), [1, 3, 5, 7, 9, 1 << 127, u128::MAX, 4]);
    assert_eq!(numbers(&space.query(&axis(1), 3).await), [1, 3, 5]);
    assert_eq!(space.only(&axis(1), &[9, 7, 5], 2).await, [5, 7]);
}

/// None asked, none given.
pub async fn k_zero_is_empty(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.put(&[(1, unit(1))]).await;
    assert!(space.query(&unit(1), 0).await.is_empty());
    assert!(space.only(&unit(1), &[1], 0).await.is_empty());
}

/// More asked than there is gives all.
pub async fn k_beyond_the_size_gives_all(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.put(&[(1, unit(1)), (2, unit(2))]).await;
    for k in [2, 3, 1_000, 1_000_000] {
        assert_eq!(space.query(&unit(1), k).await.len(), 2);
    }
    assert_eq!(space.query(&unit(1), 1).await.len(), 1);
}

/// An id upserted again has its new vector alone, and comes once.
pub async fn an_upsert_replaces(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.put(&[(1, axis(0)), (2, axis(1))]).await;
    for _ in 0..5 {
        space.put(&[(1, axis(2))]).await;
    }
    let hits = space.query(&axis(2), 10).await;
    assert_eq!(numbers(&hits), [1, 2]);
    assert!(near(hits[0].cosine, 1.0));
    assert_eq!(space.score(&axis(0), &[1]).await.len(), 1);
    assert!(near(space.score(&axis(0), &[1]).await[0].unwrap(), 0.0), "the old vector is gone");
}

/// A deleted id is in no answer any more; the others are.
pub async fn deleting_removes(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.put(&[(1, unit(1)), (2, unit(2)), (3, unit(3))]).await;
    space.try_write(&[], &[2], None).await.unwrap();
    assert_eq!(numbers(&space.query(&unit(2), 10).await).len(), 2);
    assert_eq!(space.score(&unit(2), &[2]).await, [None]);
    assert_eq!(space.only(&unit(2), &[2], 10).await, [] as [u128; 0]);
}

/// Deleting what is missing, twice or never there, is fine.
pub async fn deleting_what_is_missing_is_fine(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.try_write(&[], &[1], None).await.unwrap();
    space.put(&[(1, unit(1)), (2, unit(2))]).await;
    for _ in 0..2 {
        space.try_write(&[], &[1, 99], None).await.unwrap();
    }
    assert_eq!(numbers(&space.query(&unit(1), 10).await), [2]);
}

/// What was deleted may come back, with another vector.
pub async fn a_deleted_id_may_come_back(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    for i in 0..4 {
        space.put(&[(1, axis(i))]).await;
        let hits = space.query(&axis(i), 10).await;
        assert_eq!((numbers(&hits), near(hits[0].cosine, 1.0)), (vec![1], true));
        space.try_write(&[], &[1], None).await.unwrap();
        assert!(space.query(&axis(i), 10).await.is_empty());
    }
}

/// Puts and deletions of one write both happen.
pub async fn one_write_puts_and_deletes(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.put(&[(1, unit(1)), (2, unit(2))]).await;
    space.try_write(&[(3, unit(3)), (2, axis(3))], &[1], None).await.unwrap();
    assert_eq!(numbers(&space.query(&unit(3), 10).await), [3, 2]);
    space.try_write(&[], &[], None).await.unwrap();
    assert_eq!(space.query(&unit(3), 10).await.len(), 2);
}

/// Wrong dimension, NaN, infinite and all-zero vectors are refused, and the whole write with them: points, deletions, watermark.
pub async fn a_bad_vector_is_invalid_input_and_nothing_is_stored(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.try_write(&[(1, unit(1))], &[], Some(5)).await.unwrap();
    for bad in bad_vectors() {
        let refused = space.try_write(&[(2, unit(2)), (3, bad.clone()), (4, unit(4))], &[1], Some(9)).await;
        assert_eq!(kind_of(refused), ErrorKind::InvalidInput, "{bad:?}");
        assert_eq!(numbers(&space.query(&unit(2), 10).await), [1], "{bad:?}");
        assert_eq!(space.watermark().await, 5);
    }
}

fn bad_vectors() -> Vec<Vec<f32>> {
    vec![
        vec![],
        vec![1.0, 0.0, 0.0],
        vec![1.0, 0.0, 0.0, 0.0, 0.0],
        vec![f32::NAN, 0.0, 0.0, 1.0],
        vec![0.0, f32::INFINITY, 0.0, 0.0],
        vec![0.0, 0.0, f32::NEG_INFINITY, 0.0],
        vec![0.0; 4],
        vec![-0.0; 4],
    ]
}

/// Such a vector finds nothing and scores nothing either: the call is refused.
pub async fn a_bad_query_is_invalid_input(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.put(&[(1, unit(1))]).await;
    for bad in bad_vectors() {
        let query = store.query(&space.ctx, &space.collection, &bad, &VectorFilter::default(), 5).await;
        assert_eq!(kind_of(query), ErrorKind::InvalidInput, "{bad:?}");
        let score = store.score(&space.ctx, &space.collection, &bad, &[id(1)]).await;
        assert_eq!(kind_of(score), ErrorKind::InvalidInput, "{bad:?}");
    }
}

/// The k nearest of those that are allowed, not those allowed of the k nearest.
pub async fn a_filter_is_kept_before_the_cut(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    let points: Vec<_> = (1..=200u16).map(|n| (u128::from(n), unit(n))).collect();
    space.put(&points).await;
    assert_eq!(space.only(&unit(0), &[150, 199, 42, 777], 2).await, [42, 150]);
    assert_eq!(space.only(&unit(0), &[150, 199, 42, 777], 10).await, [42, 150, 199]);
    assert_eq!(space.only(&unit(0), &[], 10).await, [] as [u128; 0]);
    assert_eq!(space.only(&unit(0), &[777], 10).await, [] as [u128; 0]);
}

/// One score per id, in the order asked, twice when asked twice, `None` without a vector.
pub async fn scores_keep_the_order_asked(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.put(&[(1, unit(10)), (2, unit(500)), (3, axis(3))]).await;
    let scores = space.score(&unit(0), &[3, 9, 1, 2, 1]).await;
    let expected = [Some(axis(3)), None, Some(unit(10)), Some(unit(500)), Some(unit(10))];
    assert_eq!(scores.len(), 5);
    for (score, vector) in scores.iter().zip(expected) {
        match (score, vector) {
            (Some(score), Some(vector)) => assert!(near(*score, cosine(&unit(0), &vector))),
            (score, vector) => assert_eq!((score.is_none(), vector.is_none()), (true, true)),
        }
    }
    assert_eq!(space.score(&unit(0), &[]).await, []);
}

/// From -1 to 1, never beyond by rounding.
pub async fn cosines_stay_between_minus_one_and_one(store: &dyn VectorStore) {
    let space = Space::of(store, "t", "p", 64).await;
    let mut rng = fastrand::Rng::with_seed(1);
    for n in 0..50 {
        let vector = random_unit(&mut rng, 64);
        let opposite: Vec<_> = vector.iter().map(|x| -x).collect();
        space.put(&[(n, vector.clone()), (n + 1_000, opposite)]).await;
        let scores = space.score(&vector, &[n, n + 1_000]).await;
        assert!(near(scores[0].unwrap(), 1.0) && near(scores[1].unwrap(), -1.0));
        let hits = space.query(&vector, 10).await;
        assert_eq!(hits[0].id, id(n));
        let all = hits.iter().map(|h| h.cosine).chain(scores.into_iter().flatten());
        assert!(all.into_iter().all(|c| (-1.0..=1.0).contains(&c)));
    }
}

/// One dimension, and as many as there may be.
pub async fn any_dimension_works(store: &dyn VectorStore) {
    for dim in [1, 3, 17, 256, DIM_MAX] {
        let space = Space::of(store, "t", "p", dim).await;
        let mut rng = fastrand::Rng::with_seed(dim as u64);
        let points: Vec<_> = (0..5).map(|n| (n, random_unit(&mut rng, dim))).collect();
        space.put(&points).await;
        let score = space.score(&points[3].1, &[3]).await[0];
        assert!(near(score.unwrap(), 1.0), "{dim} dimensions");
        assert_eq!(space.query(&points[3].1, 10).await.len(), 5);
    }
}

/// Nothing at first, then what was written last, both its numbers; a write without one leaves it; the scope's own.
pub async fn the_watermark_is_the_last_one_written(store: &dyn VectorStore) {
    let (space, other) = (Space::new(store).await, Space::of(store, "t", "P", 4).await);
    for watermark in [3, 9, u64::from(u32::MAX) + 1] {
        space.try_write(&[(1, unit(1))], &[], Some(watermark)).await.unwrap();
        space.try_write(&[(2, unit(2))], &[1], None).await.unwrap();
        assert_eq!((space.watermark().await, other.watermark().await), (watermark, 0));
    }
    space.try_write(&[], &[], Some(7)).await.unwrap();
    assert_eq!(space.watermark().await, 7, "a rebuild may step back");
    let both = Watermark { applied: u64::from(u32::MAX) + 7, settled: u64::from(u32::MAX) + 3 };
    store.write(&space.ctx, &space.collection, Vec::new(), &[], Some(both)).await.unwrap();
    assert_eq!(store.watermark(&space.ctx, &space.collection).await.unwrap(), both);
    assert_eq!(space.query(&unit(2), 10).await.len(), 1, "a watermark is no point");
    let collection = Collection { embedder: "another@1/4".into(), ..space.collection.clone() };
    store.ensure(&space.ctx, &collection).await.unwrap();
    assert_eq!(store.watermark(&space.ctx, &collection).await.unwrap(), Watermark::default());
}

/// Points and watermark go; the scope may be filled again.
pub async fn dropping_a_scope_forgets_all_of_it(store: &dyn VectorStore) {
    let (space, other) = (Space::new(store).await, Space::of(store, "t", "p ", 4).await);
    for there in [&space, &other] {
        there.try_write(&[(1, unit(1)), (2, unit(2))], &[], Some(4)).await.unwrap();
    }
    for _ in 0..2 {
        store.drop_scope(&space.ctx, &space.collection).await.unwrap();
        assert!(space.query(&unit(1), 10).await.is_empty());
        assert_eq!(space.score(&unit(1), &[1]).await, [None]);
    }
    assert_eq!(other.query(&unit(1), 10).await.len(), 2);
    assert_eq!((space.watermark().await, other.watermark().await), (0, 4));
    space.put(&[(3, unit(3))]).await;
    assert_eq!(numbers(&space.query(&unit(1), 10).await), [3]);
}

/// Dropping what never was is fine.
pub async fn dropping_an_unknown_scope_is_fine(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    store.drop_scope(&space.ctx, &space.collection).await.unwrap();
    assert!(space.query(&unit(1), 10).await.is_empty());
}

/// No answer of one scope shows an id of another one, however alike their names.
pub async fn scopes_with_similar_names_are_apart(store: &dyn VectorStore) {
    let mut spaces = Vec::new();
    for ((tenant, project), n) in LOOKALIKES.into_iter().zip(1u128..) {
        let space = Space::of(store, tenant, project, 4).await;
        space.put(&[(n, unit(1)), (1_000, axis(usize::try_from(n).unwrap() % 4))]).await;
        spaces.push((space, n));
    }
    let everything: Vec<_> = (1..=16).collect();
    for (space, n) in &spaces {
        assert_eq!(space.only(&unit(1), &everything, 100).await, [*n], "{:?}", space.ctx);
        assert_eq!(space.query(&unit(1), 100).await.len(), 2);
        let scores = space.score(&unit(1), &everything).await;
        assert_eq!(scores.iter().flatten().count(), 1);
    }
    spaces[0].0.try_write(&[], &[1_000], None).await.unwrap();
    assert_eq!(spaces[1].0.query(&unit(1), 100).await.len(), 2, "a deletion stays in its scope");
}

/// Vectors of different embedders never meet, whatever their dimensions.
pub async fn collections_are_apart(store: &dyn VectorStore) {
    let (four, eight) = (Space::new(store).await, Space::of(store, "t", "p", 8).await);
    let twin = Collection { embedder: "conformance@2/4".into(), ..four.collection.clone() };
    store.ensure(&four.ctx, &twin).await.unwrap();
    four.put(&[(1, unit(1))]).await;
    eight.put(&[(1, vec![0.353_553_4; 8])]).await;
    assert!(store.query(&four.ctx, &twin, &unit(1), &VectorFilter::default(), 5).await.unwrap().is_empty());
    store.drop_scope(&eight.ctx, &eight.collection).await.unwrap();
    assert_eq!(numbers(&four.query(&unit(1), 10).await), [1]);
}

/// Where the adapter says it is exact: the same answer as a plain scan, filtered or not, after replacements and deletions.
pub async fn exact_means_exact(store: &dyn VectorStore) {
    if !store.capability().exact {
        return;
    }
    let dim = 32;
    let space = Space::of(store, "t", "p", dim).await;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut points: Vec<_> = (0..2_000u128).map(|n| (n, random_unit(&mut rng, dim))).collect();
    for chunk in points.chunks(500) {
        space.put(chunk).await;
    }
    for (_, vector) in points.iter_mut().take(200) {
        *vector = random_unit(&mut rng, dim);
    }
    let gone: Vec<_> = (1_900..2_000).collect();
    space.try_write(&points[..200], &gone, None).await.unwrap();
    points.truncate(1_900);
    for round in 0..20 {
        let query = random_unit(&mut rng, dim);
        let allowed: Vec<_> = points.iter().filter(|_| round % 2 == 0 || rng.u32(..10) == 0).collect();
        let mut scored: Vec<_> = allowed.iter().map(|(n, v)| (cosine(&query, v), *n)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let only: Vec<_> = allowed.iter().map(|(n, _)| *n).collect();
        let found =
            if round % 2 == 0 { numbers(&space.query(&query, 25).await) } else { space.only(&query, &only, 25).await };
        let scores = space.score(&query, &found).await;
        for ((_, score), (expected, _)) in found.iter().zip(scores).zip(&scored) {
            // Two that are equal but for rounding may change places.
            assert!((score.unwrap() - expected).abs() <= 1e-5, "round {round}");
        }
        assert_eq!(found.len(), 25);
    }
}

/// Where the adapter says so, readers see whole writes: two points that always move together are never seen apart.
pub async fn readers_see_whole_writes(store: &dyn VectorStore) {
    if !store.capability().whole_writes {
        return;
    }
    let space = Space::new(store).await;
    space.put(&[(1, axis(0)), (2, axis(0))]).await;
    let space = &space;
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..200 {
                block_on(space.put(&[(1, axis(i % 4)), (2, axis(i % 4))]));
            }
        });
        scope.spawn(move || {
            while !writer.is_finished() {
                let hits = block_on(space.query(&axis(0), 2));
                assert_eq!(numbers(&hits), [1, 2]);
                assert!(near(hits[0].cosine, hits[1].cosine), "half a write is visible");
            }
        });
    });
}

/// Closing twice is fine.
pub async fn a_vector_store_closes_twice(store: &dyn VectorStore) {
    let space = Space::new(store).await;
    space.put(&[(1, unit(1))]).await;
    store.close().await.unwrap();
    store.close().await.unwrap();
}

/// Runs every vector case on fresh stores: `conformance_vector!(module, make)`, or with a third argument, a function that runs a
/// future to its end.
#[macro_export]
macro_rules! conformance_vector {
    ($module:ident, $make:expr) => {
        $crate::conformance_vector!($module, $make, $crate::conformance::block_on);
    };
    ($module:ident, $make:expr, $run:path) => {
        $crate::__conformance_cases!(
            $module,
            $make,
            $run,
            vector,
            [
                an_unknown_scope_is_empty,
                ensuring_again_changes_nothing,
                answers_come_by_falling_cosine,
                ties_come_by_ascending_id,
                k_zero_is_empty,
                k_beyond_the_size_gives_all,
                an_upsert_replaces,
                deleting_removes,
                deleting_what_is_missing_is_fine,
                a_deleted_id_may_come_back,
                one_write_puts_and_deletes,
                a_bad_vector_is_invalid_input_and_nothing_is_stored,
                a_bad_query_is_invalid_input,
                a_filter_is_kept_before_the_cut,
                scores_keep_the_order_asked,
                cosines_stay_between_minus_one_and_one,
                any_dimension_works,
                the_watermark_is_the_last_one_written,
                dropping_a_scope_forgets_all_of_it,
                dropping_an_unknown_scope_is_fine,
                scopes_with_similar_names_are_apart,
                collections_are_apart,
                exact_means_exact,
                readers_see_whole_writes,
                a_vector_store_closes_twice,
            ]
        );
    };
}
