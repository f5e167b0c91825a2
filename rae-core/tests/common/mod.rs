//! The stores that every scenario of these tests runs on.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stdout)] // each test binary uses its part

use rae_core::{
    Builder, NewMemory, Rae, Timestamp,
    embedded::memory::ReferenceStore,
    ports::{Clock, ManualClock},
};
use std::sync::Arc;

/// A store under test with its clock.
pub struct Bench {
    pub name: &'static str,
    pub mem: Rae,
    pub clock: Arc<ManualClock>,
    pub folder: tempfile::TempDir,
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn builder(clock: &Arc<ManualClock>) -> Builder {
    Rae::builder().clock(Arc::clone(clock) as Arc<dyn Clock>).seed(42)
}

/// Every store: the reference, SQLite in memory, SQLite on disk.
pub fn stores() -> Vec<Bench> {
    let open = |name: &'static str, how: &dyn Fn(Builder, &Arc<ManualClock>, &std::path::Path) -> Builder| {
        let clock = Arc::new(ManualClock::new(time("2026-01-01")));
        let folder = tempfile::tempdir().unwrap();
        let mem = rae_core::block_on(how(builder(&clock), &clock, folder.path()).open()).unwrap();
        Bench { name, mem, clock, folder }
    };
    vec![
        open("reference", &|b, clock, _| {
            b.relational(Arc::new(ReferenceStore::new(Arc::clone(clock) as Arc<dyn Clock>)))
        }),
        open("sqlite in memory", &|b, _, _| b),
        open("sqlite file", &|b, _, folder| b.path(folder.join("agent.rae"))),
    ]
}

/// Runs a scenario on every store.
pub fn on_every_store(scenario: impl Fn(&Bench)) {
    for bench in stores() {
        println!("on {}", bench.name);
        scenario(&bench);
        rae_core::block_on(bench.mem.close()).unwrap();
    }
}

/// A conversation turn.
pub fn turn(session: &str, speaker: &str, at: &str, content: &str) -> NewMemory {
    NewMemory {
        session_id: Some(session.into()),
        speaker: Some(speaker.into()),
        occurred_at: Some(time(at)),
        ..NewMemory::new(content)
    }
}
