//! What an import leaves when it is cut off, and when somebody learns the same while it runs, on the reference store and on SQLite.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test reports by panicking

use async_trait::async_trait;
use rae_core::{
    Embedding, ErrorKind, EventType, Kind, ListOptions, Memory, NewEvent, NewMemory, Rae, ReflectOptions, Result,
    SessionEnd, SessionOutcome, Timestamp, block_on,
    embedded::{
        memory::ReferenceStore,
        sqlite::{OpenOptions, SqliteStore},
    },
    guard::{Fault, Faults, Guarded, Policy, When},
    limits::TRANSACTION_ITEMS_MAX,
    model::Scope,
    ports::{Clock, EmbedRole, Embedder, ManualClock, RelationalStore},
};
use serde_json::json;
use std::{
    path::Path,
    sync::{Arc, Mutex},
};

/// In a text, once: when it is embedded the lesson is learnt by whoever waits for it.
const TRIGGER: &str = "while this is embedded";

/// Vectors of two numbers, from the length of the text.
#[derive(Debug, Default)]
struct Tiny {
    learner: Mutex<Option<Rae>>,
}

#[async_trait]
impl Embedder for Tiny {
    fn id(&self) -> &str {
        "tiny/2"
    }

    fn dim(&self) -> usize {
        2
    }

    async fn embed(&self, texts: &[&str], _: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        let is_meant = texts.iter().any(|text| text.contains(TRIGGER));
        let learner = if is_meant { self.learner.lock().unwrap().take() } else { None };
        if let Some(here) = learner {
            learn(&here, "meanwhile", 1).await;
        }
        Ok(texts.iter().map(|text| Some(vec![1.0, text.len() as f32 / 100.0])).collect())
    }
}

struct Bench {
    mem: Rae,
    faults: Arc<Faults>,
    embedder: Arc<Tiny>,
}

impl Bench {
    async fn open(on_sqlite: bool) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
        let own = || Arc::clone(&clock) as Arc<dyn Clock>;
        let store: Arc<dyn RelationalStore> = match on_sqlite {
            true => {
                let options = OpenOptions { clock: own(), seed: Some(42), ..OpenOptions::default() };
                Arc::new(SqliteStore::open(options).unwrap())
            }
            false => Arc::new(ReferenceStore::new(own())),
        };
        let (faults, embedder) = (Faults::new(), Arc::new(Tiny::default()));
        let faulty: Arc<dyn RelationalStore> =
            Arc::new(Guarded::relational(store, Policy::default()).with_faults(Arc::clone(&faults)));
        let builder = Rae::builder().clock(own()).seed(42).relational(faulty);
        let embedding = Embedding::Custom(Arc::clone(&embedder) as Arc<dyn Embedder>);
        Self { mem: builder.embedding(embedding).open().await.unwrap(), faults, embedder }
    }

    fn project(&self, name: &str) -> Rae {
        self.mem.with_scope(Scope::new("default", name).unwrap())
    }
}

fn on_both(scenario: impl AsyncFn(&Bench)) {
    for on_sqlite in [false, true] {
        block_on(async {
            let bench = Bench::open(on_sqlite).await;
            scenario(&bench).await;
        });
    }
}

/// Sessions in each of which a tool failed once.
async fn tell(mem: &Rae, name: &str, sessions: usize) {
    for n in 0..sessions {
        let session = format!("{name}-{n}");
        let told = |what, text: &str, metadata: serde_json::Value| NewEvent {
            metadata: metadata.as_object().cloned(),
            ..NewEvent::new(what, text)
        };
        let call = told(EventType::ToolCall, "search()", json!({ "tool": "search" }));
        let answer = told(EventType::ToolResponse, "-", json!({ "tool": "search", "error": "search is away" }));
        for event in [call, answer] {
            mem.log_event(&session, event).await.unwrap();
        }
        mem.end_session(&session, SessionEnd::new(SessionOutcome::Failure)).await.unwrap();
    }
}

async fn learn(mem: &Rae, name: &str, sessions: usize) {
    tell(mem, name, sessions).await;
    mem.reflect(ReflectOptions::default()).await.unwrap();
}

async fn of_kind(mem: &Rae, kind: Kind) -> Vec<Memory> {
    let filter = Some(json!({ "kind": kind }));
    mem.list(ListOptions { limit: 1_000, filter, ..ListOptions::default() }).await.unwrap().items
}

/// How often, in how many sessions.
async fn counts(mem: &Rae) -> Vec<(u64, u64)> {
    let number = |m: &Memory, key: &str| m.metadata[key].as_u64().unwrap();
    let of = |m: &Memory| (number(m, "count"), number(m, "sessions"));
    of_kind(mem, Kind::Lesson).await.iter().map(of).collect()
}

/// What was told long before it was looked at: the summaries are in another transaction of an import than the events.
async fn exported_long(b: &Bench, path: &Path) -> u64 {
    let there = b.project("there");
    // More sessions than a lesson has sources.
    let sessions = 40;
    tell(&there, "t", sessions).await;
    let filler = (0..TRANSACTION_ITEMS_MAX).map(|n| NewMemory::new(format!("A note of number {n}."))).collect();
    there.remember_many(filler).await.unwrap();
    there.reflect(ReflectOptions::default()).await.unwrap();
    there.export(path).await.unwrap();
    sessions as u64
}

#[test]
fn who_reflects_on_a_part_of_an_import_that_was_cut_off_counts_no_event_twice() {
    // The marks, the first thousand, the rest, the join.
    for nth in 1..=4 {
        on_both(async |b| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("there.export");
            let sessions = exported_long(b, &path).await;
            let here = b.project("here");
            learn(&here, "h", 2).await;
            let fault = Fault::Fail { kind: ErrorKind::Corrupt, temporary: false, when: When::Before };
            b.faults.on("apply", b.faults.calls("apply") + nth, fault);
            assert!(here.import(&path).await.is_err(), "{nth}");
            here.reflect(ReflectOptions::default()).await.unwrap();
            here.import(&path).await.unwrap();
            here.reflect(ReflectOptions::default()).await.unwrap();
            assert_eq!(counts(&here).await, [(sessions + 2, sessions + 2)], "cut off at {nth}");
        });
    }
}

#[test]
fn a_lesson_that_is_learnt_while_an_import_writes_its_own_is_joined_with_it() {
    on_both(async |b| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("there.export");
        let (here, there) = (b.project("here"), b.project("there"));
        learn(&there, "t", 3).await;
        there.remember(NewMemory::new(format!("A note {TRIGGER}."))).await.unwrap();
        there.export(&path).await.unwrap();
        // The vector of the note is missing, so that it is embedded between the look at what is here and the writing.
        let text = std::fs::read_to_string(&path).unwrap();
        let line = |line: &str| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            if line["memory"]["content"].as_str().is_some_and(|text| text.contains(TRIGGER)) {
                line["vector"] = json!(null);
            }
            line.to_string() + "\n"
        };
        std::fs::write(&path, text.lines().map(line).collect::<String>()).unwrap();
        *b.embedder.learner.lock().unwrap() = Some(here.clone());
        here.import(&path).await.unwrap();
        assert_eq!(counts(&here).await, [(4, 4)]);
        let again = here.import(&path).await.unwrap();
        assert_eq!((again.imported, again.merged, counts(&here).await), (0, 0, vec![(4, 4)]));
    });
}
