//! Writing to and recalling from PostgreSQL: `cargo bench -p rae-server --bench postgres`. The cluster is started for it and
//! waits for the disk at each commit. Prints figures; judges nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a benchmark reports on its output

#[path = "../tests/support/mod.rs"]
mod support;

use rae_core::{
    NewMemory, Rae, RecallOptions, block_on,
    conformance::fixtures::{EMBEDDER, Rig, put_with_vector, unit},
    ports::{Clock, IndexRead, ManualClock, RelationalStore, SystemClock},
};
use rae_server::adapters::postgres::PostgresStore;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use support::postgres::Cluster;

const WORDS: [&str; 16] = [
    "harbour",
    "puppy",
    "piano",
    "garden",
    "report",
    "bicycle",
    "recipe",
    "journey",
    "telescope",
    "violin",
    "market",
    "letter",
    "winter",
    "bridge",
    "doctor",
    "lantern",
];

fn percentile(times: &mut [Duration], p: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * p / 100]
}

fn main() {
    let cluster = Cluster::start(true);
    port(&cluster);
    verbs(&cluster);
}

/// The port alone: what the adapter costs.
fn port(cluster: &Cluster) {
    let database = cluster.fresh();
    let store = Arc::new(support::block_on(PostgresStore::open(database.settings())).unwrap());
    let clock = ManualClock::new(SystemClock.now());
    let rig = Rig::new(&*store, &clock);
    let op = |i: usize| put_with_vector(rig.statement(&format!("memory number {i}")), EMBEDDER, unit(7));
    support::block_on(async {
        let mut times = Vec::new();
        for i in 0..1_000 {
            let batch = rig.batch(vec![op(i)]);
            let began = Instant::now();
            store.apply(&rig.ctx, batch).await.unwrap();
            times.push(began.elapsed());
        }
        let total: Duration = times.iter().sum();
        println!(
            "apply, 1 PutMemory with a vector, one caller: {:.0}/s, p50 {:.2?}, p99 {:.2?}",
            1_000.0 / total.as_secs_f64(),
            percentile(&mut times, 50),
            percentile(&mut times, 99)
        );
        let began = Instant::now();
        for batch in 0..10 {
            store
                .apply(&rig.ctx, rig.batch((0..1_000).map(|i| op(10_000 + batch * 1_000 + i)).collect()))
                .await
                .unwrap();
        }
        println!("apply, 1,000 PutMemory with vectors each: {:.0}/s", 10_000.0 / began.elapsed().as_secs_f64());
        for (what, many) in [("one scope", false), ("8 scopes", true)] {
            let began = Instant::now();
            let mut tasks = Vec::new();
            for task in 0..8 {
                let (store, clock) = (Arc::clone(&store), ManualClock::new(SystemClock.now()));
                tasks.push(tokio::spawn(async move {
                    let rig = Rig::new(&*store, &clock).at(what, &if many { task.to_string() } else { "p".to_owned() });
                    for _ in 0..250 {
                        let id = rae_core::MemoryId(uuid::Uuid::new_v4());
                        let memory = rae_core::model::Memory { id, ..rig.memory("a memory of one of many writers") };
                        let op = put_with_vector(memory, EMBEDDER, unit(7));
                        let batch = rae_core::model::WriteBatch { id: uuid::Uuid::new_v4(), ..rig.batch(vec![op]) };
                        store.apply(&rig.ctx, batch).await.unwrap();
                    }
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
            println!("apply, 1 PutMemory each, 8 callers, {what}: {:.0}/s", 2_000.0 / began.elapsed().as_secs_f64());
        }
        let mut times = Vec::new();
        for _ in 0..1_000 {
            let began = Instant::now();
            store.head(&rig.ctx).await.unwrap();
            times.push(began.elapsed());
        }
        println!("head: p50 {:.2?}, p99 {:.2?}", percentile(&mut times, 50), percentile(&mut times, 99));
    });
}

/// The engine on it, beside the engine on SQLite.
fn verbs(cluster: &Cluster) {
    let folder = tempfile::tempdir().unwrap();
    let database = cluster.fresh();
    let store = Arc::new(support::block_on(PostgresStore::open(database.settings())).unwrap());
    let postgres = block_on(Rae::builder().relational(store).open()).unwrap();
    let sqlite = block_on(Rae::builder().path(folder.path().join("agent.rae")).open()).unwrap();
    for (name, mem) in [("PostgreSQL", postgres), ("SQLite", sqlite)] {
        let text = |i: usize| {
            let word = |n: usize| WORDS[(i / n) % WORDS.len()];
            format!("On day {i} the {} met the {} near the {} and the {}.", word(1), word(16), word(256), word(7))
        };
        let items: Vec<_> = (0..10_000).map(|i| NewMemory::new(text(i))).collect();
        let began = Instant::now();
        block_on(mem.remember_many(items)).unwrap();
        println!("{name}: remember_many, 10,000 texts: {:.0}/s", 10_000.0 / began.elapsed().as_secs_f64());
        let mut times = Vec::new();
        for i in 0..200 {
            let began = Instant::now();
            block_on(mem.remember(NewMemory::new(text(20_000 + i)))).unwrap();
            times.push(began.elapsed());
        }
        println!("{name}: remember: p50 {:.2?}, p99 {:.2?}", percentile(&mut times, 50), percentile(&mut times, 99));
        block_on(mem.recall("the first one loads the index", RecallOptions::default())).unwrap();
        let mut times = Vec::new();
        for i in 0..500 {
            let question =
                format!("Which {} met the {} near the {}?", WORDS[i % 16], WORDS[i / 16 % 16], WORDS[i * 5 % 16]);
            let began = Instant::now();
            let hits = block_on(mem.recall(&question, RecallOptions::default())).unwrap();
            times.push(began.elapsed());
            assert_eq!(hits.hits.len(), 10);
        }
        println!(
            "{name}: recall at 10,000 memories, k = 10: p50 {:.2?}, p99 {:.2?}",
            percentile(&mut times, 50),
            percentile(&mut times, 99)
        );
        block_on(mem.close()).unwrap();
    }
}
