//! Where what is learnt stands among other memories, and that it is one of each: whoever writes, and whenever.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test reports by panicking

use rae_core::{
    EventType, EventsOptions, Kind, ListOptions, Memory, MemoryUpdate, NewEvent, NewMemory, Rae, ReflectOptions,
    SessionEnd, SessionOutcome, Timestamp, block_on,
    ports::{Clock, ManualClock},
};
use serde_json::{Value, json};
use std::sync::Arc;

async fn open() -> (Rae, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
    let mem = Rae::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).open().await.unwrap();
    (mem, clock)
}

async fn log(mem: &Rae, session: &str, what: EventType, text: &str, metadata: Value) {
    let metadata = metadata.as_object().cloned();
    mem.log_event(session, NewEvent { metadata, ..NewEvent::new(what, text) }).await.unwrap();
}

async fn call(mem: &Rae, session: &str, tool: &str, arguments: &str, error: Option<&str>) {
    log(mem, session, EventType::ToolCall, &format!("{tool}({arguments})"), json!({ "tool": tool })).await;
    log(mem, session, EventType::ToolResponse, "-", json!({ "tool": tool, "error": error })).await;
}

async fn end(mem: &Rae, session: &str, outcome: SessionOutcome) {
    mem.end_session(session, SessionEnd::new(outcome)).await.unwrap();
}

async fn list(mem: &Rae, limit: i64, cursor: Option<String>) -> (Vec<Memory>, Option<String>) {
    let page = mem.list(ListOptions { limit, cursor, ..ListOptions::default() }).await.unwrap();
    (page.items, page.next_cursor)
}

async fn learnt(mem: &Rae) -> Vec<Memory> {
    mem.reflections(EventsOptions { limit: 1_000, ..EventsOptions::default() }).await.unwrap().items
}

#[test]
fn ends_lessons_and_summaries_are_listed_oldest_first_among_all_and_paging_from_any_misses_nothing() {
    block_on(async {
        let (mem, clock) = open().await;
        for n in 0..3 {
            let session = format!("s{n}");
            mem.remember(NewMemory::new(format!("Before session {n} it rained."))).await.unwrap();
            clock.advance_seconds(1);
            call(&mem, &session, "fetch", "url=1", Some(["HTTP 503", "HTTP 404", "no route"][n])).await;
            clock.advance_seconds(1);
            end(&mem, &session, SessionOutcome::Failure).await;
            clock.advance_seconds(1);
            mem.reflect(ReflectOptions::default()).await.unwrap();
            clock.advance_seconds(1);
        }
        mem.remember(NewMemory::new("The last one.")).await.unwrap();
        let (all, _) = list(&mem, 1_000, None).await;
        assert_eq!(all.iter().filter(|m| m.metadata.get("event") == Some(&json!("session_end"))).count(), 3);
        assert!(all.iter().filter(|m| m.kind == Kind::Lesson).count() >= 3, "{all:#?}");
        assert!(all.is_sorted_by_key(|memory| memory.created_at), "{all:#?}");
        assert_eq!(all.last().unwrap().content, "The last one.");
        let (mut paged, mut cursor) = (Vec::new(), None);
        loop {
            let (page, next) = list(&mem, 1, cursor).await;
            // Whoever pages on from here later finds what came meanwhile.
            mem.remember(NewMemory::new(format!("Written while page {} was read.", paged.len()))).await.unwrap();
            paged.extend(page);
            cursor = next;
            if cursor.is_none() || paged.len() == all.len() {
                break;
            }
        }
        assert_eq!(paged, all);
        let (rest, _) = list(&mem, 1_000, cursor).await;
        assert_eq!(rest.len(), all.len(), "one for each page");
        mem.close().await.unwrap();
    });
}

#[test]
fn many_who_end_a_session_and_reflect_on_it_at_once_make_one_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.rae");
    let open = || block_on(Rae::builder().path(&path).open()).unwrap();
    let stores = [open(), open()];
    for n in 0..8 {
        let session = format!("s{n}");
        block_on(call(&stores[0], &session, "fetch", "", Some(&format!("broken {}", ["pipe", "link"][n % 2]))));
        std::thread::scope(|scope| {
            for store in stores.iter().chain(&stores) {
                scope.spawn(|| {
                    block_on(end(store, &session, SessionOutcome::Failure));
                    block_on(store.reflect(ReflectOptions::default())).unwrap();
                });
            }
        });
    }
    let all = block_on(list(&stores[1], 1_000, None)).0;
    let ends = all.iter().filter(|m| m.metadata.get("event") == Some(&json!("session_end"))).count();
    assert_eq!(ends, 8);
    let count = |kind: Kind| all.iter().filter(|m| m.kind == kind).count();
    assert_eq!((count(Kind::Lesson), count(Kind::Reflection)), (2, 8));
    assert!(all.iter().filter(|m| m.kind == Kind::Lesson).all(|m| m.metadata["count"] == 4), "{all:#?}");
    for store in stores {
        block_on(store.close()).unwrap();
    }
}

#[test]
fn what_somebody_reworded_or_moved_to_another_store_is_still_the_one_of_its_subject() {
    block_on(async {
        let (mem, _) = open().await;
        call(&mem, "s", "fetch", "", Some("HTTP 503")).await;
        end(&mem, "s", SessionOutcome::Failure).await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        for memory in learnt(&mem).await {
            let content = Some(format!("In my words: {}", memory.content));
            mem.update(memory.id, MemoryUpdate { content, ..MemoryUpdate::default() }).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let dump = folder.path().join("dump.jsonl");
        mem.export(&dump).await.unwrap();
        let (other, _) = open().await;
        other.import(&dump).await.unwrap();
        for store in [&mem, &other] {
            let again = store.log_event("s", NewEvent::new(EventType::UserInput, "And more.")).await.unwrap_err();
            assert_eq!(again.code(), "session_ended");
            call(store, "t", "fetch", "", Some("HTTP 503")).await;
            store.reflect(ReflectOptions::default()).await.unwrap();
            let lessons: Vec<_> = learnt(store).await.into_iter().filter(|m| m.kind == Kind::Lesson).collect();
            assert_eq!((lessons.len(), &lessons[0].metadata["count"]), (1, &json!(2)), "{lessons:#?}");
            assert!(lessons[0].content.starts_with("In my words"), "{}", lessons[0].content);
        }
        mem.close().await.unwrap();
        other.close().await.unwrap();
    });
}

/// Four sessions with ways out of all sorts; `look` is called after each event.
async fn four_sessions(mem: &Rae, look: impl AsyncFn()) {
    let calls: [&[(&str, &str, Option<&str>)]; 4] = [
        &[("pay_card", "order=17", Some("card declined")), ("pay_invoice", "order=17", None)],
        &[("fetch", "url=1", Some("HTTP 503")), ("fetch", "url=1", None), ("store", "", None)],
        &[
            ("pay_card", "order=18", Some("card declined")),
            ("fetch", "url=3", Some("HTTP 503")),
            ("pay_invoice", "order=18", None),
        ],
        &[("fetch", "url=4", Some("HTTP 503")), ("fetch", "url=5", Some("HTTP 503")), ("fetch", "url=6", None)],
    ];
    let outcomes = [SessionOutcome::Success, SessionOutcome::Failure, SessionOutcome::Success, SessionOutcome::Success];
    for (n, (calls, outcome)) in calls.iter().zip(outcomes).enumerate() {
        let session = format!("s{n}");
        for (tool, arguments, error) in *calls {
            call(mem, &session, tool, arguments, *error).await;
            look().await;
        }
        end(mem, &session, outcome).await;
        look().await;
    }
}

#[test]
fn what_is_learnt_does_not_depend_on_when_it_was_reflected_on() {
    block_on(async {
        let (often, _) = open().await;
        let (once, _) = open().await;
        four_sessions(&often, async || drop(often.reflect(ReflectOptions::default()).await.unwrap())).await;
        four_sessions(&once, async || ()).await;
        once.reflect(ReflectOptions::default()).await.unwrap();
        let mut told = Vec::new();
        for mem in [&often, &once] {
            let mut lessons: Vec<_> = learnt(mem).await.into_iter().filter(|m| m.kind != Kind::Reflection).collect();
            lessons.sort_by(|a, b| a.content.cmp(&b.content));
            let key = |m: &Memory| (m.kind, m.content.clone(), format!("{:.6}", m.importance), m.metadata.clone());
            told.push(lessons.iter().map(key).collect::<Vec<_>>());
        }
        assert_eq!(told[0], told[1]);
        let strategy =
            told[1].iter().find(|(kind, text, ..)| *kind == Kind::Strategy && text.starts_with("After `pay_card`"));
        let (_, text, ..) = strategy.unwrap();
        assert!(text.ends_with("worked, 2 times in 2 sessions."), "a strategy counts its sessions: {text}");
        often.close().await.unwrap();
        once.close().await.unwrap();
    });
}

#[test]
fn a_summary_that_somebody_ended_lets_no_failure_count_again() {
    block_on(async {
        let (mem, clock) = open().await;
        call(&mem, "s", "fetch", "", Some("HTTP 503")).await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let summary = learnt(&mem).await.into_iter().find(|m| m.kind == Kind::Reflection).unwrap();
        let ended = Some(Some(Timestamp::parse("2026-01-01T00:00:01Z").unwrap()));
        mem.update(summary.id, MemoryUpdate { valid_to: ended, ..MemoryUpdate::default() }).await.unwrap();
        clock.advance_seconds(2);
        // More than a lesson can name as its sources: what was counted is known by the place alone.
        for n in 0..40 {
            call(&mem, "s", "fetch", &format!("n={n}"), Some("HTTP 503")).await;
        }
        let told = mem.reflect(ReflectOptions::default()).await.unwrap();
        assert!(told.iter().all(|told| told.id != summary.id), "an ended one is left alone: {told:#?}");
        for _ in 0..3 {
            assert_eq!(mem.reflect(ReflectOptions::default()).await.unwrap(), []);
        }
        let lesson = learnt(&mem).await.into_iter().find(|m| m.kind == Kind::Lesson).unwrap();
        assert_eq!(lesson.metadata["count"], 41);
        assert_eq!(mem.get(summary.id).await.unwrap().content, summary.content);
        mem.close().await.unwrap();
    });
}

#[test]
fn turns_that_no_reflection_can_read_are_no_news() {
    block_on(async {
        let (mem, _) = open().await;
        // More sessions than one call looks at, all of them older than the one that says something.
        let odd = |n: usize| NewMemory {
            session_id: Some(format!("odd{n}")),
            metadata: json!({ "event": "an event of somebody else's" }).as_object().cloned(),
            ..NewMemory::new("Opaque.")
        };
        mem.remember_many((0..1_100).map(odd).collect()).await.unwrap();
        call(&mem, "s", "fetch", "", Some("HTTP 503")).await;
        let made = mem.reflect(ReflectOptions::default()).await.unwrap();
        assert_eq!(made.iter().filter(|made| made.kind == Kind::Lesson).count(), 1, "{made:#?}");
        mem.close().await.unwrap();
    });
}

/// The id that an earlier version gave the one memory of a subject of the default project.
fn old_id(what: &str, parts: &[&str]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in ["default", "default", what].iter().chain(parts) {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let mut bytes: [u8; 16] = hash.finalize().as_bytes()[..16].try_into().unwrap();
    bytes[..6].fill(0xff);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[test]
fn what_an_earlier_version_wrote_under_ids_of_its_own_is_still_the_one_of_its_subject() {
    block_on(async {
        let (mem, _) = open().await;
        call(&mem, "s", "fetch", "", Some("HTTP 503")).await;
        end(&mem, "s", SessionOutcome::Failure).await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (dump, old) = (folder.path().join("dump.jsonl"), folder.path().join("old.jsonl"));
        mem.export(&dump).await.unwrap();
        let mut text = std::fs::read_to_string(&dump).unwrap();
        let (all, _) = list(&mem, 1_000, None).await;
        let mut moved = Vec::new();
        for memory in &all {
            let id = match (memory.kind, memory.metadata.get("signature").and_then(Value::as_str)) {
                (Kind::Lesson, Some(signature)) => old_id("lesson", &[signature]),
                (Kind::Reflection, _) => old_id("reflection", &["s"]),
                (Kind::Conversation, _) if memory.metadata["event"] == "session_end" => old_id("session_end", &["s"]),
                _ => continue,
            };
            text = text.replace(&memory.id.to_string(), &id);
            moved.push(id);
        }
        assert_eq!(moved.len(), 3);
        let unkeyed = text.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            if let Some(key) = line.get_mut("memory").and_then(|memory| memory.get_mut("dedup_key")) {
                *key = Value::Null;
            }
            line.to_string() + "\n"
        });
        std::fs::write(&old, unkeyed.collect::<String>()).unwrap();
        let (store, _) = open().await;
        store.import(&old).await.unwrap();
        let refused = store.log_event("s", NewEvent::new(EventType::UserInput, "And more.")).await.unwrap_err();
        assert_eq!(refused.code(), "session_ended");
        let again = store.end_session("s", SessionEnd::new(SessionOutcome::Failure)).await.unwrap();
        assert!(moved.contains(&again.id.to_string()));
        assert_eq!(store.reflect(ReflectOptions::default()).await.unwrap(), [], "it was looked at");
        call(&store, "t", "fetch", "", Some("HTTP 503")).await;
        store.reflect(ReflectOptions::default()).await.unwrap();
        let lessons: Vec<_> = learnt(&store).await.into_iter().filter(|m| m.kind == Kind::Lesson).collect();
        assert_eq!((lessons.len(), &lessons[0].metadata["count"]), (1, &json!(2)), "{lessons:#?}");
        assert!(moved.contains(&lessons[0].id.to_string()));
        mem.close().await.unwrap();
        store.close().await.unwrap();
    });
}
