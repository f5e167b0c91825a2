//! How the verbs grow with the store: `cargo bench -p rae-core --bench verbs -- TEXTS [N ...]`.
//!
//! TEXTS is a file of one text a line (more are made by numbering when N is larger). Prints one row per N: bulk and single
//! writes, recall and context with everything in place, opening, memory, disk.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use rae_core::{ContextOptions, NewMemory, Rae, RecallOptions, block_on};
use std::time::{Duration, Instant};

const QUERIES: usize = 500;
const BATCH: usize = 100;

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let Some(path) = args.next() else {
        println!("usage: cargo bench -p rae-core --bench verbs -- TEXTS [N ...]");
        return;
    };
    let texts: Vec<String> = std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    let sizes: Vec<usize> = args.map(|n| n.parse().unwrap()).collect();
    println!(
        "| memories | bulk remember/s | one remember p50 ms | recall p50 / p99 ms | recall with a filter p50 / p99 ms | context p50 / p99 ms | open + first recall s | RSS MB | disk MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for n in if sizes.is_empty() { vec![1_000, 10_000, 100_000] } else { sizes } {
        row(&texts, n);
    }
}

/// The `i`th text; past the end of the file texts come again with a number, so that nothing merges.
fn text(texts: &[String], i: usize) -> String {
    let base = &texts[i % texts.len()];
    if i < texts.len() { base.clone() } else { format!("{base} {}", i / texts.len()) }
}

fn row(texts: &[String], n: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.rae");
    let before = rss_mb();
    let mem = block_on(Rae::builder().path(&path).open()).unwrap();
    let begun = Instant::now();
    for start in (0..n).step_by(BATCH) {
        let items = (start..(start + BATCH).min(n)).map(|i| {
            let tags = vec![format!("t{}", i % 50)];
            NewMemory { tags, ..NewMemory::new(text(texts, i)) }
        });
        block_on(mem.remember_many(items.collect())).unwrap();
    }
    let bulk = n as f64 / begun.elapsed().as_secs_f64();
    let single = times(200, |i| drop(block_on(mem.remember(NewMemory::new(format!("a single one, {i}")))).unwrap()));
    let query = |i: usize| &texts[texts.len() - 1 - i % 1_000];
    for i in 0..10 {
        block_on(mem.recall(query(i), RecallOptions::default())).unwrap();
    }
    let recall = times(QUERIES, |i| drop(block_on(mem.recall(query(i), RecallOptions::default())).unwrap()));
    let filtered = times(QUERIES, |i| {
        let options = RecallOptions { tags: Some(vec![format!("t{}", i % 50)]), ..RecallOptions::default() };
        block_on(mem.recall(query(i), options)).unwrap();
    });
    let context = times(QUERIES, |i| {
        block_on(mem.context(Some(query(i)), ContextOptions::default())).unwrap();
    });
    let memory = rss_mb() - before;
    block_on(mem.close()).unwrap();
    drop(mem);
    let begun = Instant::now();
    let mem = block_on(Rae::builder().path(&path).open()).unwrap();
    block_on(mem.recall(query(0), RecallOptions::default())).unwrap();
    let open = begun.elapsed().as_secs_f64();
    block_on(mem.close()).unwrap();
    let disk: u64 = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    println!(
        "| {n} | {bulk:.0} | {:.2} | {:.2} / {:.2} | {:.2} / {:.2} | {:.2} / {:.2} | {open:.2} | {memory:.0} | {:.0} |",
        ms(&single, 50),
        ms(&recall, 50),
        ms(&recall, 99),
        ms(&filtered, 50),
        ms(&filtered, 99),
        ms(&context, 50),
        ms(&context, 99),
        disk as f64 / 1e6
    );
}

fn times(n: usize, mut work: impl FnMut(usize)) -> Vec<Duration> {
    let one = |i| {
        let begun = Instant::now();
        work(i);
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..n).map(one).collect();
    times.sort_unstable();
    times
}

fn ms(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

/// Resident memory of this process; 0 where the system does not say.
fn rss_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0.0);
    pages * 4_096.0 / 1e6
}
