//! A year in the life of an agent's memory, by a clock that a test turns: `cargo bench -p rae-core --bench year -- [TEXTS [POLICY [DAYS]]]`.
//!
//! Each day some users hold sessions with an agent whose calls fail now and then, say where they live and what they like, and ask
//! what they said; each night `maintain` runs. Prints one line of CSV a week and policy: what there is of each layer, how strong it
//! is, and what the file and the process take. Nothing of it depends on the speed of the machine but the last two columns.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use rae_core::{
    Builder, Embedding, Enrich, EventType, Kind, Layer, LifecyclePolicy, NewEvent, NewMemory, Rae, RecallOptions,
    SessionEnd, SessionOutcome, Timestamp, block_on,
    ports::{Clock, ManualClock},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

const POLICIES: [&str; 2] = ["default", "forgetting"];
const DAY: i64 = 86_400;
const YEAR: usize = 365;
const USERS: [&str; 4] = ["ada", "bo", "cy", "dee"];
const CITIES: [&str; 8] = ["Oslo", "Rome", "Lima", "Paris", "Berlin", "Madrid", "Vienna", "Lisbon"];
const TOOLS: [&str; 5] = ["search_flights", "book_hotel", "pay", "send_mail", "get_weather"];
const ERRORS: [&str; 4] = ["timeout after 30 s", "card declined", "no such city", "rate limit exceeded"];

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let (path, only) = (args.next(), args.next());
    let days = args.next().map_or(YEAR, |days| days.parse().unwrap());
    let Some(only) = only else {
        println!(
            "policy,day,memories,sensory,working,episodic,semantic,reflective,strength,changes,file_mb,rss_mb,recall_p50_ms"
        );
        // Each in a process of its own: what one takes of memory is not counted with the other.
        for name in POLICIES {
            let path = path.as_deref().unwrap_or("-");
            let own = Command::new(std::env::current_exe().unwrap()).args([path, name]).status().unwrap();
            assert!(own.success(), "{name}");
        }
        return;
    };
    let texts: Vec<String> = match path.as_deref() {
        None | Some("-") => {
            (0..1_000).map(|n| format!("note {n} about the harbour, the weather and boat {}", n % 37)).collect()
        }
        Some(path) => std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect(),
    };
    let policy = match only.as_str() {
        "default" => LifecyclePolicy::default(),
        _ => LifecyclePolicy {
            forget_below: Some(0.1),
            keep_kind_days: BTreeMap::from([(Kind::Conversation, 90.0), (Kind::Reflection, 180.0)]),
            ..LifecyclePolicy::default()
        },
    };
    block_on(live(&only, policy, &texts, days));
}

async fn live(name: &str, policy: LifecyclePolicy, texts: &[String], days: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("year.rae");
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01T08:00:00Z").unwrap()));
    let builder: Builder = Rae::builder().path(&path).seed(1).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let mem = builder.lifecycle(policy).enrich(Enrich::Rules).embedding(Embedding::Builtin).open().await.unwrap();
    for day in 0..days {
        a_day(&mem, day, texts).await;
        clock.advance_seconds(DAY);
        mem.maintain(None).await.unwrap();
        if day % 7 == 6 || day + 1 == days {
            row(&mem, (name, day), folder.path()).await;
        }
    }
    mem.close().await.unwrap();
}

async fn a_day(mem: &Rae, day: usize, texts: &[String]) {
    for (n, user) in USERS.iter().enumerate() {
        let session = format!("{user}-{day}");
        let own = |event: NewEvent| NewEvent { user_id: Some((*user).to_owned()), ..event };
        for turn in 0..4 {
            let text = &texts[(day * 16 + n * 4 + turn) % texts.len()];
            let said = NewEvent::new(EventType::UserInput, format!("{text} ({day}.{turn})"));
            mem.log_event(&session, own(said)).await.unwrap();
        }
        // Once a month or two somebody moves.
        if (day + 7 * n).is_multiple_of(45) {
            let city = CITIES[(day / 45 + n) % CITIES.len()];
            let said = NewEvent::new(EventType::UserInput, format!("I live in {city}."));
            mem.log_event(&session, own(NewEvent { speaker: Some((*user).to_owned()), ..said })).await.unwrap();
        }
        let tool = TOOLS[(day + n) % TOOLS.len()];
        let metadata = || json!({ "tool": tool }).as_object().cloned();
        let call =
            NewEvent { metadata: metadata(), ..NewEvent::new(EventType::ToolCall, format!("{tool}(day={day})")) };
        mem.log_event(&session, call).await.unwrap();
        let fails = (day + n).is_multiple_of(3);
        let answer = if fails { format!("Error: {}", ERRORS[(day / 3 + n) % ERRORS.len()]) } else { "done".to_owned() };
        let answer = NewEvent { metadata: metadata(), ..NewEvent::new(EventType::ToolResponse, answer) };
        mem.log_event(&session, answer).await.unwrap();
        let outcome = if fails { SessionOutcome::Failure } else { SessionOutcome::Success };
        mem.end_session(&session, SessionEnd::new(outcome)).await.unwrap();
    }
    let noise =
        (0..5).map(|n| NewMemory { layer: Some(Layer::Sensory), ..NewMemory::new(format!("noise {n} of {day}")) });
    let steps = (0..5).map(|n| NewMemory {
        layer: Some(Layer::Working),
        session_id: Some(format!("task-{}", day / 20)),
        ..NewMemory::new(format!("step {n} of day {day}"))
    });
    mem.remember_many(noise.chain(steps).collect()).await.unwrap();
    let asked = &texts[(day * 7) % texts.len()];
    let hits = mem.recall(asked, RecallOptions { k: 5, ..RecallOptions::default() }).await.unwrap().hits;
    if let Some(best) = hits.first() {
        mem.feedback(best.id, !day.is_multiple_of(3)).await.unwrap();
    }
}

async fn row(mem: &Rae, (policy, day): (&str, usize), folder: &Path) {
    let stats = mem.stats().await.unwrap();
    let of = |layer| stats.by_layer.get(&layer).copied().unwrap_or_default();
    let page = mem.list(rae_core::ListOptions { limit: 1_000, ..Default::default() }).await.unwrap();
    let strength = page.items.iter().map(|m| m.strength).sum::<f64>() / page.items.len().max(1) as f64;
    let changes =
        mem.changes(rae_core::ChangesOptions { limit: 1_000, ..Default::default() }).await.unwrap().items.len();
    let mut times: Vec<Duration> = Vec::new();
    for n in 0..20 {
        let begun = Instant::now();
        mem.recall(&format!("the harbour and boat {n}"), RecallOptions::default()).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let disk: u64 = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    println!(
        "{policy},{},{},{},{},{},{},{},{strength:.3},{changes},{:.2},{:.0},{:.2}",
        day + 1,
        stats.memories,
        of(Layer::Sensory),
        of(Layer::Working),
        of(Layer::Episodic),
        of(Layer::Semantic),
        of(Layer::Reflective),
        disk as f64 / 1e6,
        rss_mb(),
        times[times.len() / 2].as_secs_f64() * 1e3
    );
}

/// Resident memory of this process; 0 where the system does not say.
fn rss_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0.0);
    pages * 4_096.0 / 1e6
}
