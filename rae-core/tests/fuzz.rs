//! The fuzz targets of `fuzz/targets.rs` on mutated inputs: seeded, bounded, the same on every machine.
//!
//! `FUZZ_ROUNDS` (default 10,000) is the rounds of the cheap targets, the others get their share; `FUZZ_SEED` another run;
//! `FUZZ_TARGET` one target. A failure prints its seed and input.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)] // a test reports by panicking

#[path = "../fuzz/targets.rs"]
mod targets;

use fastrand::Rng;
use serde_json::{Value, json};
use targets::{TARGETS, Target};

/// What is put in place of numbers and texts.
const ODD: [&str; 26] = [
    "0",
    "-1",
    "1e39",
    "-0.0",
    "0.5",
    "1.0000000001",
    "255",
    "256",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"9999-12-30T22:00:00Z\"",
    "\"-009999-01-02T01:59:59Z\"",
    "\"2025-02-30\"",
    "\"%\"",
    "\"e\\u0301\"",
    "\"working\"",
];

/// What texts are spliced with.
const BITS: [&str; 14] = [
    "\0",
    "\n",
    "\u{301}",
    "\u{200d}",
    "東",
    "ﬃ",
    "İ",
    "\u{ff9e}",
    "ﷺ",
    "[UNK]",
    "+99:99",
    "T24:00:00",
    "dim=0\n",
    "🎉",
];

/// Says which input failed.
struct Told<'a>(&'a Target, u64, &'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(target, seed, input) = self;
            let name = target.name;
            eprintln!("FUZZ_TARGET={name} FUZZ_SEED={seed}, {} bytes:\n{}", input.len(), input.escape_ascii());
        }
    }
}

fn mutate(rng: &mut Rng, target: &Target, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..1 + rng.usize(..3) {
        if target.json && rng.u32(..3) > 0 {
            mutate_json(rng, &mut input);
        } else {
            let other = rng.usize(..seeds.len());
            mutate_bytes(rng, &mut input, &seeds[other]);
        }
    }
    input
}

fn mutate_bytes(rng: &mut Rng, input: &mut Vec<u8>, other: &[u8]) {
    let at = rng.usize(..=input.len());
    // Short runs mostly; a long one now and then.
    let most = if rng.u32(..4) == 0 { 4_000 } else { 8 };
    let run = |rng: &mut Rng, len: usize, from: usize| from..len.min(from + rng.usize(..most));
    match rng.u32(..8) {
        0 | 1 if at < input.len() => input[at] ^= 1 << rng.u32(..8),
        2 if at < input.len() => input[at] = rng.u8(..),
        3 => input.truncate(at),
        4 => drop(input.drain(run(rng, input.len(), at))),
        5 => {
            let chunk = input[run(rng, input.len(), at)].to_vec();
            let to = rng.usize(..=input.len());
            drop(input.splice(to..to, chunk));
        }
        6 => {
            let from = rng.usize(..=other.len());
            let chunk = other[run(rng, other.len(), from)].to_vec();
            drop(input.splice(at..at, chunk));
        }
        _ => drop(input.splice(at..at, BITS[rng.usize(..BITS.len())].bytes())),
    }
}

/// Changes one value of one line, or takes a line away, or gives it twice.
fn mutate_json(rng: &mut Rng, input: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(input).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return;
    }
    let at = rng.usize(..lines.len());
    match rng.u32(..12) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[rng.usize(..lines.len())].clone()),
        _ => {
            let Ok(mut value) = serde_json::from_str::<Value>(&lines[at]) else { return };
            change(rng, &mut value);
            lines[at] = value.to_string();
        }
    }
    *input = lines.join("\n").into_bytes();
}

fn change(rng: &mut Rng, value: &mut Value) {
    let stop = rng.u32(..6) == 0;
    match value {
        Value::Object(map) if !map.is_empty() && !stop => {
            let key = map.keys().nth(rng.usize(..map.len())).unwrap().clone();
            match rng.u32(..16) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(BITS[rng.usize(..BITS.len())].to_owned(), json!(1))),
                // One value where another stood: an id in place of an id, a time in place of a time.
                2 => {
                    let from = map.values().nth(rng.usize(..map.len())).unwrap().clone();
                    map.insert(key, from);
                }
                _ => change(rng, map.get_mut(&key).unwrap()),
            }
        }
        Value::Array(list) if !list.is_empty() && !stop => {
            let at = rng.usize(..list.len());
            match rng.u32(..4) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[rng.usize(..list.len())].clone()),
                _ => change(rng, &mut list[at]),
            }
        }
        other => *other = serde_json::from_str(ODD[rng.usize(..ODD.len())]).unwrap_or(Value::Null),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn fuzz(target: &Target) {
    let begun = std::time::Instant::now();
    let seeds = (target.seeds)();
    for seed in &seeds {
        let _told = Told(target, 0, seed);
        (target.run)(seed);
    }
    let rounds = number("FUZZ_ROUNDS").unwrap_or(10_000) * u64::from(target.share) / 1_000;
    let first = number("FUZZ_SEED").unwrap_or(1);
    for seed in first..first + rounds.max(1) {
        let input = mutate(&mut Rng::with_seed(seed), target, &seeds);
        let _told = Told(target, seed, &input);
        (target.run)(&input);
    }
    println!("{}: {} seeds, {rounds} rounds, {:.2} s", target.name, seeds.len(), begun.elapsed().as_secs_f64());
}

#[test]
fn no_input_breaks_a_rule_of_its_parser() {
    let only = std::env::var("FUZZ_TARGET").ok();
    for target in TARGETS.iter().filter(|t| only.as_deref().is_none_or(|name| name == t.name)) {
        fuzz(target);
    }
}

#[test]
fn every_seed_is_accepted_by_its_parser() {
    // A seed that is refused at its first byte would test nothing.
    for target in TARGETS.iter().filter(|t| t.json) {
        for seed in (target.seeds)() {
            let text = String::from_utf8(seed).unwrap();
            let first = text.lines().next().unwrap_or_default();
            assert!(serde_json::from_str::<Value>(first).is_ok(), "{}: {first}", target.name);
        }
    }
    assert!(rae_core::fuzz::rewrite_manifest(&rae_core::fuzz::some_manifest()).is_some());
}
