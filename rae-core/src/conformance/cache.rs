//! Cases for [`CacheStore`].
//!
//! `conformance_cache!(module, make)` wants an expression that gives `(Arc<dyn CacheStore>, pass, guard)`: an empty cache, a
//! `Box<dyn Fn(Duration) + Send + Sync>` that lets time pass for it (moves its clock, or sleeps), and whatever must outlive it.

use crate::{
    conformance::{block_on, relational::LOOKALIKES},
    ctx::Ctx,
    model::Scope,
    ports::CacheStore,
};
use std::{sync::Arc, thread, time::Duration};

/// Lets time pass for the cache under test.
pub type Pass = dyn Fn(Duration) + Send + Sync;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_secs(2);

fn at(tenant: &str, project: &str) -> Ctx {
    Ctx::new(Scope::new(tenant, project).unwrap())
}

fn bytes(text: &str) -> Arc<[u8]> {
    Arc::from(text.as_bytes())
}

async fn get(cache: &dyn CacheStore, ctx: &Ctx, key: &str) -> Option<Vec<u8>> {
    cache.get(ctx, key).await.unwrap().map(|value| value.to_vec())
}

/// A value comes back; another put replaces it.
pub async fn a_value_comes_back(cache: &dyn CacheStore, _pass: &Pass) {
    let ctx = at("t", "p");
    assert_eq!(get(cache, &ctx, "k").await, None);
    for text in ["one", "two"] {
        cache.put(&ctx, "k", bytes(text), LONG).await.unwrap();
        assert_eq!(get(cache, &ctx, "k").await, Some(text.into()));
    }
}

/// Empty, binary and large values, and keys of any text.
pub async fn values_come_back_byte_for_byte(cache: &dyn CacheStore, _pass: &Pass) {
    let ctx = at("t", "p");
    let values = [Vec::new(), vec![0], (0..=255).collect(), vec![0xff; 1 << 20]];
    let keys = ["", "*", "a:b", "é\0", &"k".repeat(1_000)];
    for (i, key) in keys.iter().enumerate() {
        let value = &values[i % values.len()];
        cache.put(&ctx, key, value.clone().into(), LONG).await.unwrap();
        assert_eq!(get(cache, &ctx, key).await.as_ref(), Some(value), "{key:?}");
    }
}

/// A value is a miss once its time is over, and not before; a new put starts its time anew.
pub async fn a_value_ends_with_its_time(cache: &dyn CacheStore, pass: &Pass) {
    let ctx = at("t", "p");
    cache.put(&ctx, "short", bytes("x"), SHORT).await.unwrap();
    cache.put(&ctx, "long", bytes("y"), LONG).await.unwrap();
    cache.put(&ctx, "renewed", bytes("z"), SHORT).await.unwrap();
    cache.put(&ctx, "renewed", bytes("z"), LONG).await.unwrap();
    assert_eq!(get(cache, &ctx, "short").await, Some(b"x".to_vec()));
    pass(SHORT + Duration::from_secs(1));
    assert_eq!(get(cache, &ctx, "short").await, None);
    assert_eq!(get(cache, &ctx, "long").await, Some(b"y".to_vec()));
    assert_eq!(get(cache, &ctx, "renewed").await, Some(b"z".to_vec()));
}

/// Removed is a miss; removing what is missing is fine.
pub async fn a_removed_value_is_a_miss(cache: &dyn CacheStore, _pass: &Pass) {
    let ctx = at("t", "p");
    cache.remove(&ctx, "k").await.unwrap();
    cache.put(&ctx, "k", bytes("x"), LONG).await.unwrap();
    cache.put(&ctx, "K", bytes("y"), LONG).await.unwrap();
    for _ in 0..2 {
        cache.remove(&ctx, "k").await.unwrap();
        assert_eq!(get(cache, &ctx, "k").await, None);
    }
    assert_eq!(get(cache, &ctx, "K").await, Some(b"y".to_vec()));
}

/// No scope sees a value or counter of another one, however names and keys join.
pub async fn scopes_with_similar_names_are_apart(cache: &dyn CacheStore, _pass: &Pass) {
    for (i, (tenant, project)) in LOOKALIKES.iter().enumerate() {
        cache.put(&at(tenant, project), "k", bytes(&i.to_string()), LONG).await.unwrap();
        cache.add(&at(tenant, project), "n", i64::try_from(i).unwrap() + 1, LONG).await.unwrap();
    }
    for (i, (tenant, project)) in LOOKALIKES.iter().enumerate() {
        let ctx = at(tenant, project);
        assert_eq!(get(cache, &ctx, "k").await, Some(i.to_string().into_bytes()), "{tenant}/{project}");
        assert_eq!(cache.add(&ctx, "n", 0, LONG).await.unwrap(), i64::try_from(i).unwrap() + 1);
    }
    cache.remove(&at("a", "bc"), "k").await.unwrap();
    assert_eq!(get(cache, &at("ab", "c"), "k").await, Some(b"1".to_vec()));
    // A key must not reach into a name either.
    cache.put(&at("x", "y"), "zk", bytes("1"), LONG).await.unwrap();
    assert_eq!(get(cache, &at("x", "yz"), "k").await, None);
    cache.put(&at("x", "y"), "z:k", bytes("1"), LONG).await.unwrap();
    assert_eq!(get(cache, &at("x", "y:z"), "k").await, None);
}

/// Counters add up, also downwards, each by its own key.
pub async fn a_counter_gives_the_sum(cache: &dyn CacheStore, _pass: &Pass) {
    let ctx = at("t", "p");
    for (amount, sum) in [(1, 1), (5, 6), (-10, -4), (0, -4), (1 << 40, (1 << 40) - 4)] {
        assert_eq!(cache.add(&ctx, "n", amount, LONG).await.unwrap(), sum);
    }
    assert_eq!(cache.add(&ctx, "m", 2, LONG).await.unwrap(), 2);
}

/// A counter's time counts from its first use, so that a busy one ends too; then it starts from zero.
pub async fn a_counter_ends_after_its_first_use(cache: &dyn CacheStore, pass: &Pass) {
    let ctx = at("t", "p");
    let time = Duration::from_secs(4);
    assert_eq!(cache.add(&ctx, "n", 1, time).await.unwrap(), 1);
    pass(Duration::from_secs(2));
    assert_eq!(cache.add(&ctx, "n", 1, time).await.unwrap(), 2);
    pass(Duration::from_secs(3));
    assert_eq!(cache.add(&ctx, "n", 1, time).await.unwrap(), 1);
}

/// A removed counter starts from zero.
pub async fn a_removed_counter_starts_anew(cache: &dyn CacheStore, _pass: &Pass) {
    let ctx = at("t", "p");
    cache.add(&ctx, "n", 3, LONG).await.unwrap();
    cache.remove(&ctx, "n").await.unwrap();
    assert_eq!(cache.add(&ctx, "n", 1, LONG).await.unwrap(), 1);
}

/// Racing additions lose nothing.
pub async fn racing_additions_lose_nothing(cache: &dyn CacheStore, _pass: &Pass) {
    let ctx = at("t", "p");
    let add = || {
        for _ in 0..100 {
            block_on(cache.add(&ctx, "n", 1, LONG)).unwrap();
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(add))));
    assert_eq!(cache.add(&ctx, "n", 0, LONG).await.unwrap(), 400);
}

/// However much is put, a get is the right value or a miss, never an error or another one's value.
pub async fn what_was_evicted_is_a_miss(cache: &dyn CacheStore, _pass: &Pass) {
    let ctx = at("t", "p");
    let value = |i: u32| bytes(&format!("{i} {}", "x".repeat(500)));
    for i in 0..20_000 {
        cache.put(&ctx, &i.to_string(), value(i), LONG).await.unwrap();
    }
    for i in 0..20_000 {
        let found = cache.get(&ctx, &i.to_string()).await.unwrap();
        assert!(found.is_none_or(|found| found == value(i)), "{i}");
    }
    assert_eq!(get(cache, &ctx, "19999").await, Some(value(19_999).to_vec()), "the newest stays");
}

/// Closing twice is fine.
pub async fn a_cache_closes_twice(cache: &dyn CacheStore, _pass: &Pass) {
    cache.put(&at("t", "p"), "k", bytes("x"), LONG).await.unwrap();
    cache.close().await.unwrap();
    cache.close().await.unwrap();
}

/// Runs every cache case on fresh caches: `conformance_cache!(module, make)`, or with a third argument, a function that runs a future
/// to its end.
#[macro_export]
macro_rules! conformance_cache {
    ($module:ident, $make:expr) => {
        $crate::conformance_cache!($module, $make, $crate::conformance::block_on);
    };
    ($module:ident, $make:expr, $run:path) => {
        $crate::__conformance_cases!(with_time $module, $make, $run, cache, [
            a_value_comes_back,
            values_come_back_byte_for_byte,
            a_value_ends_with_its_time,
            a_removed_value_is_a_miss,
            scopes_with_similar_names_are_apart,
            a_counter_gives_the_sum,
            a_counter_ends_after_its_first_use,
            a_removed_counter_starts_anew,
            racing_additions_lose_nothing,
            what_was_evicted_is_a_miss,
            a_cache_closes_twice,
        ]);
    };
}
