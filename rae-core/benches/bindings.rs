//! One of the programs of `scripts/bench_bindings.py`, which compares what a call costs from Rust, Python and Node: the same calls on the
//! same texts, in memory, so that no disk is measured. Prints one JSON line a verb.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use rae_core::{NewMemory, Rae, RecallOptions, block_on};
use std::time::Instant;

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let Some(path) = args.next() else { return }; // `cargo test --benches` gives no texts
    let rounds: usize = args.next().unwrap().parse().unwrap();
    let texts: Vec<String> = std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    let text = |i: usize| format!("{} {i}", texts[i % texts.len()]);
    let mem = block_on(Rae::builder().open()).unwrap();
    let items = |from: usize| (from..from + 1_000).map(|i| NewMemory::new(text(i))).collect::<Vec<_>>();
    block_on(mem.remember_many(items(0))).unwrap();
    let mut next = 1_000;
    report("remember", rounds, |_| {
        next += 1;
        block_on(mem.remember(NewMemory::new(text(next)))).unwrap();
    });
    report("recall", rounds, |i| {
        block_on(mem.recall(&texts[i % texts.len()], RecallOptions::default())).unwrap();
    });
    report("remember_many(1000)", 30, |i| {
        block_on(mem.remember_many(items(1_000_000 + 1_000 * i))).unwrap();
    });
}

fn report(verb: &str, rounds: usize, mut call: impl FnMut(usize)) {
    let mut micros: Vec<f64> = (0..rounds)
        .map(|i| {
            let begun = Instant::now();
            call(i);
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    micros.sort_by(f64::total_cmp);
    let at = |q: f64| micros[((rounds as f64 * q) as usize).min(rounds - 1)];
    println!(
        "{}",
        serde_json::json!({ "surface": "Rust", "verb": verb, "n": rounds, "p50": at(0.5), "p99": at(0.99) })
    );
}
