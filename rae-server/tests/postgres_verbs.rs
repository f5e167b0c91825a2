//! The verbs on PostgreSQL: the scenarios of the engine, the same answers as SQLite, and several servers on one database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "../../rae-core/tests/common/mod.rs"]
mod base;
#[path = "../../rae-core/tests/shared/erasure.rs"]
mod erasure;
#[path = "../../rae-core/tests/shared/import.rs"]
mod import;
#[path = "../../rae-core/tests/shared/resume.rs"]
mod resume;
mod support;
#[path = "../../rae-core/tests/shared/verbs.rs"]
mod verbs;

/// What the scenarios are told about stores.
mod common {
    pub use crate::base::{Bench, time, turn};
    use crate::support::postgres::Cluster;
    use rae_core::{
        Rae, block_on,
        ports::{Clock, ManualClock},
    };
    use std::sync::Arc;

    /// Runs a scenario on PostgreSQL.
    pub fn on_every_store(scenario: impl Fn(&Bench)) {
        let database = Cluster::shared().fresh();
        let clock = Arc::new(ManualClock::new(time("2026-01-01")));
        let store = Arc::new(database.open(&clock));
        let builder = Rae::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).seed(42).relational(store);
        let mem = block_on(builder.open()).unwrap();
        let bench = Bench { name: "postgres", mem, clock, folder: tempfile::tempdir().unwrap() };
        scenario(&bench);
        block_on(bench.mem.close()).unwrap();
    }
}

use common::{time, turn};
use rae_core::{
    Builder, Forget, Layer, MemoryUpdate, NewMemory, Rae, RecallOptions, block_on,
    ports::{Clock, ManualClock},
};
use serde_json::{Value, json};
use std::sync::Arc;
use support::postgres::Cluster;

fn builder(clock: &Arc<ManualClock>, seed: u64) -> Builder {
    Rae::builder().clock(Arc::clone(clock) as Arc<dyn Clock>).seed(seed)
}

const SUBJECTS: [&str; 8] = ["puppy", "piano", "garden", "report", "bicycle", "recipe", "journey", "telescope"];
const VERBS: [&str; 6] = ["bought", "repaired", "lost", "painted", "described", "sold"];
const SPEAKERS: [&str; 4] = ["Ada", "Grace", "Linus", "Margaret"];

/// The same life on any store: turns, facts, merges, updates, feedback, deletions.
async fn live(mem: &Rae, clock: &ManualClock) {
    let mut items = Vec::new();
    for i in 0..240usize {
        let (subject, verb) = (SUBJECTS[i % 8], VERBS[i % 6]);
        let (speaker, session) = (SPEAKERS[i % 4], format!("s{}", i / 20));
        let text = format!("{speaker} {verb} a {subject} in the year {} \0 because of reason {}.", 1900 + i, i % 7);
        let mut new = if i % 5 == 0 { NewMemory::new(text) } else { turn(&session, speaker, "2025-06-01", &text) };
        new.tags = vec![format!("t{}", i % 3)];
        new.metadata = json!({"n": i}).as_object().cloned();
        items.push(new);
    }
    let receipts = mem.remember_many(items).await.unwrap();
    clock.advance_seconds(60);
    for (i, receipt) in receipts.iter().enumerate() {
        match i % 24 {
            3 => {
                let update = MemoryUpdate {
                    content: Some(format!("Corrected: number {i} is about a harbour.")),
                    ..MemoryUpdate::default()
                };
                drop(mem.update(receipt.id, update).await.unwrap());
            }
            7 => drop(mem.forget(Forget::Id(receipt.id)).await.unwrap()),
            11 => drop(mem.feedback(receipt.id, i % 2 == 0).await.unwrap()),
            _ => {}
        }
    }
    mem.remember(NewMemory::new("The harbour closes at nine.")).await.unwrap();
    mem.remember(NewMemory::new("The harbour closes at nine.")).await.unwrap();
}

fn questions() -> Vec<(String, RecallOptions)> {
    let mut all = Vec::new();
    for (i, subject) in SUBJECTS.iter().enumerate() {
        let k = RecallOptions { k: 7, ..RecallOptions::default() };
        all.push((format!("Who {} the {subject}?", VERBS[i % 6]), k.clone()));
        all.push((
            format!("What did {} do in session {i}?", SPEAKERS[i % 4]),
            RecallOptions { tags: Some(vec!["t1".into()]), ..k.clone() },
        ));
        let filter =
            json!({"or": [{"metadata.n": {"lt": 40}}, {"content": {"contains": "harbour"}}], "speaker": {"ne": "Ada"}});
        all.push((format!("the {subject} and the harbour"), RecallOptions { filter: Some(filter), ..k.clone() }));
        all.push((
            (*subject).to_owned(),
            RecallOptions { layers: Some(vec![Layer::Episodic]), session_id: Some("s3".into()), ..k },
        ));
    }
    all
}

async fn answers(mem: &Rae) -> Vec<Value> {
    let mut all = Vec::new();
    for (question, options) in questions() {
        let hits = mem.recall(&question, options).await.unwrap();
        let mut json = serde_json::to_value(&hits).unwrap();
        // How long it took is no answer.
        if let Some(object) = json.as_object_mut() {
            object.retain(|key, _| key == "hits" || key == "degraded");
        }
        all.push(json);
    }
    all
}

#[test]
fn recall_gives_the_answers_of_sqlite_to_the_last_bit() {
    let database = Cluster::shared().fresh();
    let folder = tempfile::tempdir().unwrap();
    let clocks = [(); 2].map(|()| Arc::new(ManualClock::new(time("2026-01-01"))));
    let ours = builder(&clocks[0], 7).relational(Arc::new(database.open(&clocks[0])));
    let theirs = builder(&clocks[1], 7).path(folder.path().join("agent.rae"));
    block_on(async {
        let (ours, theirs) = (ours.open().await.unwrap(), theirs.open().await.unwrap());
        live(&ours, &clocks[0]).await;
        live(&theirs, &clocks[1]).await;
        let (a, b) = (answers(&ours).await, answers(&theirs).await);
        assert!(a.iter().any(|answer| !answer["hits"].as_array().unwrap().is_empty()));
        for ((question, a), b) in questions().iter().zip(&a).zip(&b) {
            assert_eq!(a, b, "{question:?}");
        }
        // An export of one is an import of the other, and recall agrees again.
        let dump = folder.path().join("dump.jsonl");
        let exported = ours.export(&dump).await.unwrap();
        let copy = builder(&clocks[1], 8).path(folder.path().join("copy.rae")).open().await.unwrap();
        assert_eq!(copy.import(&dump).await.unwrap().imported, exported.memories);
        assert_eq!(answers(&copy).await, b);
        let back = Cluster::shared().fresh();
        let store = Arc::new(back.open(&clocks[0]));
        let again = builder(&clocks[0], 9).relational(store).open().await.unwrap();
        theirs.export(&dump).await.unwrap();
        assert_eq!(again.import(&dump).await.unwrap().imported, exported.memories);
        assert_eq!(answers(&again).await, a);
        assert!(again.maintain(None).await.unwrap().ran.contains_key("expired"));
        assert!(again.doctor().await.unwrap().iter().all(|f| f.level == "ok"), "{:?}", again.doctor().await);
        for mem in [ours, theirs, copy, again] {
            mem.close().await.unwrap();
        }
    });
}

#[test]
fn two_servers_see_each_others_writes_at_the_next_recall() {
    let database = Cluster::shared().fresh();
    let clock = Arc::new(ManualClock::new(time("2026-01-01")));
    let open = |seed| block_on(builder(&clock, seed).relational(Arc::new(database.open(&clock))).open()).unwrap();
    let (a, b) = (open(1), open(2));
    let found = |mem: &Rae, question: &str| {
        let options = RecallOptions { k: 3, ..RecallOptions::default() };
        let hits = block_on(mem.recall(question, options)).unwrap().hits;
        hits.into_iter().map(|hit| hit.content).collect::<Vec<_>>()
    };
    for round in 0..20 {
        let text = format!("The lighthouse keeper of round {round} is called Ingrid.");
        let receipt = block_on(a.remember(NewMemory::new(text.clone()))).unwrap();
        assert!(found(&b, "Who keeps the lighthouse?").contains(&text), "round {round}");
        let corrected = format!("The lighthouse keeper of round {round} is called Sigrid.");
        let update = MemoryUpdate { content: Some(corrected.clone()), ..MemoryUpdate::default() };
        block_on(b.update(receipt.id, update)).unwrap();
        let seen = found(&a, "Who keeps the lighthouse?");
        assert!(seen.contains(&corrected) && !seen.contains(&text), "round {round}: {seen:?}");
        block_on(a.forget(Forget::Id(receipt.id))).unwrap();
        assert_eq!(found(&b, "Who keeps the lighthouse?"), Vec::<String>::new(), "round {round}");
    }
    block_on(a.close()).unwrap();
    block_on(b.close()).unwrap();
}
