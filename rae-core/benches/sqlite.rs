//! Figures of the SQLite store, printed: `cargo bench -p rae-core --bench sqlite`. RAE_BENCH_FOLDER names the disk to try.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/sqlite_support/mod.rs"]
mod sqlite_support;

use futures::{executor::block_on, future::join_all};
use rae_core::{
    embedded::sqlite::{Durability, OpenOptions},
    model::*,
    ports::*,
};
use sqlite_support::*;
use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

fn random_put(s: &Store, i: usize) -> Op {
    let words = ["tea", "garden", "meeting", "Ada", "yesterday", "train", "likes", "Warsaw", "deadline", "piano"];
    let text: Vec<_> = (0..14).map(|n| words[(i * 7 + n * n) % words.len()]).collect();
    let mut m = s.memory(&format!("{} {i}", text.join(" ")));
    (m.kind, m.layer, m.role, m.speaker) =
        (Kind::Conversation, Layer::Episodic, Some("user".into()), Some("Ada".into()));
    (m.session_id, m.occurred_at) = (Some(format!("session {}", i / 500)), Some(s.now));
    m.dedup_key = Some(m.content_hash);
    let vector = (0..128).map(|_| fastrand::f32() - 0.5).collect();
    let vector = Some(VectorRow { embedder: "table@1/128".into(), vector });
    Op::PutMemory { memory: Box::new(m), vector, idempotency: None }
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |p: usize| times[(times.len() - 1) * p / 100];
    format!("p50 {:?}  p90 {:?}  p99 {:?}", at(50), at(90), at(99))
}

fn timed(n: usize, mut work: impl FnMut(usize)) -> String {
    percentiles(
        (0..n)
            .map(|i| {
                let begun = Instant::now();
                work(i);
                begun.elapsed()
            })
            .collect(),
    )
}

fn bulk(s: &Store, total: usize, batch: usize, at_once: usize) -> f64 {
    let mut writing = Duration::ZERO;
    for begin in (0..total).step_by(batch * at_once) {
        // Making the memories is not what is measured.
        let batches: Vec<_> =
            (0..at_once).map(|b| s.batch((0..batch).map(|i| random_put(s, begin + b * batch + i)).collect())).collect();
        let begun = Instant::now();
        let answers = block_on(join_all(batches.into_iter().map(|b| s.store.apply(&s.ctx, b))));
        writing += begun.elapsed();
        answers.into_iter().for_each(|a| drop(a.unwrap()));
    }
    total as f64 / writing.as_secs_f64()
}

fn fsync(folder: &Path) -> String {
    let mut file = std::fs::File::create(folder.join("plain")).unwrap();
    timed(500, |_| {
        file.write_all(&[7; 4_096]).unwrap();
        file.sync_data().unwrap();
    })
}

fn main() {
    let folder = tempfile::tempdir_in(std::env::var("RAE_BENCH_FOLDER").unwrap_or_else(|_| "/tmp".into())).unwrap();
    println!("write 4 KiB + fdatasync, a plain file:   {}", fsync(folder.path()));
    for durability in [Durability::Full, Durability::Normal] {
        for at_once in [1, 8] {
            let path = folder.path().join(format!("{durability:?}{at_once}"));
            let s = Store::open(OpenOptions { durability, ..OpenOptions::file(&path) });
            let rate = bulk(&s, 100_000, 100, at_once);
            println!("{durability:?}: {rate:.0} PutMemory/s, batches of 100, {at_once} at once");
            if at_once == 1 {
                println!(
                    "{durability:?}: one apply of one memory:      {}",
                    timed(2_000, |i| drop(s.apply(vec![random_put(&s, 200_000 + i)]).unwrap()))
                );
            }
            println!("bytes a memory: {}", block_on(s.store.stats(&s.ctx)).unwrap().bytes / 100_000);
        }
    }
    reads(&folder.path().join("Full1"));
}

fn reads(path: &Path) {
    let s = Store::file(path);
    let ids: Vec<_> = s.all().iter().map(|m| m.id).collect();
    println!("head:                {}", timed(5_000, |_| drop(block_on(s.store.head(&s.ctx)).unwrap())));
    println!(
        "get 50:              {}",
        timed(1_000, |i| drop(block_on(s.store.get(&s.ctx, &ids[i * 50..i * 50 + 50])).unwrap()))
    );
    let session = Filter::parse(&serde_json::json!({"session_id": "session 7"})).unwrap();
    println!("matching a session:  {}", timed(200, |_| drop(block_on(s.store.matching(&s.ctx, &session)).unwrap())));
    let tags = Filter::parse(&serde_json::json!({"tags": {"contains": "x"}})).unwrap();
    println!("matching all rows:   {}", timed(10, |_| drop(block_on(s.store.matching(&s.ctx, &tags)).unwrap())));
    let begun = Instant::now();
    let (mut at, mut n) = (0, 0);
    loop {
        let page = block_on(s.store.vectors(&s.ctx, "table@1/128", at, 1_000)).unwrap();
        let Some((seq, _)) = page.last() else { break };
        (at, n) = (*seq, n + page.len());
    }
    println!("{n} vectors in pages: {:?}", begun.elapsed());
    let begun = Instant::now();
    let mut at = 0;
    loop {
        let page = block_on(s.store.changes_since(&s.ctx, at, u64::MAX, 1_000, "table@1/128")).unwrap();
        if page.upto == at {
            break;
        }
        at = page.upto;
    }
    println!("{at} changes in pages: {:?}", begun.elapsed());
    println!(
        "delete one:          {}",
        timed(1_000, |i| drop(s.apply(vec![Op::DeleteMemory { id: ids[i] }]).unwrap()))
    );
    let begun = Instant::now();
    s.assert_sound();
    println!("verify:              {:?}", begun.elapsed());
}
