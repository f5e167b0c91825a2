//! How far reflection looked at something, whatever becomes of the memory that says it.
#![cfg(all(feature = "http", feature = "embedded"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test reports by panicking

mod model_store;
mod provider_support;

use model_store::{model_store, run};
use provider_support::{Behaviour, FakeProvider};
use rae_core::{
    EventType, EventsOptions, Forget, ForgetScope, LifecyclePolicy, Memory, MemoryUpdate, NewEvent, Rae,
    ReflectOptions, WorkOptions,
    model::Kind,
    ports::{Clock, ManualClock},
};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

const DAY: i64 = 24 * 3_600;

fn fake() -> FakeProvider {
    let fake = FakeProvider::start();
    let answer = json!({ "failures": [{ "n": 0, "cause": "It was slow", "rule": "Wait longer" }], "insight": null });
    fake.usually(Behaviour::says(&answer.to_string()));
    fake
}

/// A store that keeps these kinds for so many days.
async fn keeps(fake: &FakeProvider, days: &[(Kind, f64)]) -> (Rae, Arc<ManualClock>) {
    let (builder, clock) = model_store(fake);
    let keep_kind_days: BTreeMap<Kind, f64> = days.iter().copied().collect();
    let policy = LifecyclePolicy { keep_kind_days, ..LifecyclePolicy::default() };
    (builder.lifecycle(policy).open().await.unwrap(), clock)
}

/// A failure in a session that goes on.
async fn fails(mem: &Rae, session: &str, error: &str) {
    for (what, text) in [(EventType::ToolCall, "search(days=30)"), (EventType::ToolResponse, error)] {
        let metadata = json!({ "tool": "search" }).as_object().cloned();
        mem.log_event(session, NewEvent { metadata, ..NewEvent::new(what, text) }).await.unwrap();
    }
}

async fn all(mem: &Rae, kind: Kind) -> Vec<Memory> {
    let page = mem.reflections(EventsOptions::default()).await.unwrap();
    page.items.into_iter().filter(|memory| memory.kind == kind).collect()
}

/// The reflection of a session, not those of days and weeks.
async fn summary(mem: &Rae) -> Option<Memory> {
    all(mem, Kind::Reflection).await.into_iter().find(|memory| memory.metadata.contains_key("upto"))
}

fn count(lesson: &Memory) -> u64 {
    lesson.metadata["count"].as_u64().unwrap()
}

#[test]
fn what_a_policy_lets_go_is_neither_made_nor_paid_for_again_until_there_is_news() {
    run(async {
        let fake = fake();
        let (mem, clock) = keeps(&fake, &[(Kind::Reflection, 30.0)]).await;
        for (session, day) in [("s", "Monday"), ("t", "Tuesday")] {
            let says = format!("I want to go to Bergen on {day}.");
            mem.log_event(session, NewEvent::new(EventType::UserInput, says)).await.unwrap();
        }
        for tool in ["a", "b", "c"] {
            fails(&mem, "s", &format!("Error: {tool} timed out after 30 s")).await;
        }
        let nothing = r#"{"failures": [], "insight": null}"#;
        fake.then(Behaviour::says(nothing)).then(Behaviour::says(r#"{"insight": "Searches are slow."}"#));
        mem.reflect(ReflectOptions::default()).await.unwrap();
        mem.maintain(None).await.unwrap();
        let paid = fake.seen().len();
        // One session that failed, and the insight over its three lessons.
        assert_eq!((paid, all(&mem, Kind::Reflection).await.len()), (2, 4), "two sessions, insight, day");
        clock.advance_seconds(31 * DAY);
        mem.maintain(None).await.unwrap();
        assert_eq!(all(&mem, Kind::Reflection).await, []);
        let seq = mem.stats().await.unwrap().seq;
        for _ in 0..100 {
            clock.advance_seconds(DAY);
            mem.maintain(None).await.unwrap();
            assert_eq!(mem.reflect(ReflectOptions::default()).await.unwrap(), []);
        }
        // Strengths fall meanwhile.
        let faded = mem.stats().await.unwrap().seq - seq;
        assert_eq!((fake.seen().len(), all(&mem, Kind::Reflection).await.len()), (paid, 0));
        assert!(faded < 200, "{faded}");
        fails(&mem, "s", "Error: a timed out after 30 s").await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        assert_eq!(fake.seen().len(), paid + 1, "once, about the session");
        let lessons = all(&mem, Kind::Lesson).await;
        assert_eq!(lessons.iter().map(count).max(), Some(2), "what was counted is not counted again: {lessons:#?}");
        mem.close().await.unwrap();
    });
}

#[test]
fn a_reflection_that_somebody_forgets_stays_so_until_there_is_news_or_its_session_is_named() {
    run(async {
        let fake = fake();
        let (mem, _) = keeps(&fake, &[]).await;
        fails(&mem, "s", "Error: timed out after 30 s").await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        mem.forget(Forget::Id(summary(&mem).await.unwrap().id)).await.unwrap();
        assert_eq!(mem.reflect(ReflectOptions::default()).await.unwrap(), []);
        assert_eq!((summary(&mem).await, fake.seen().len()), (None, 1));
        let named = ReflectOptions { session_id: Some("s".to_owned()), ..ReflectOptions::default() };
        mem.reflect(named).await.unwrap();
        assert!(summary(&mem).await.is_some());
        assert_eq!(count(&all(&mem, Kind::Lesson).await[0]), 1, "its failure was counted");
        mem.close().await.unwrap();
    });
}

#[test]
fn what_is_left_of_a_session_is_summed_up_again_where_one_of_its_events_is_forgotten() {
    run(async {
        let fake = fake();
        let (mem, _) = keeps(&fake, &[]).await;
        mem.log_event("s", NewEvent::new(EventType::UserInput, "My code is 4711.")).await.unwrap();
        let other = NewEvent::new(EventType::UserInput, "I want to go to Bergen on Monday.");
        mem.log_event("s", other).await.unwrap();
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let made = summary(&mem).await.unwrap();
        assert!(made.content.contains("4711"), "{}", made.content);
        mem.forget(Forget::Id(made.provenance.derived_from[0])).await.unwrap();
        assert_eq!(summary(&mem).await, None);
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let again = summary(&mem).await.unwrap().content;
        assert!(again.contains("Bergen") && !again.contains("4711"), "{again}");
        mem.close().await.unwrap();
    });
}

#[test]
fn what_was_counted_is_not_counted_again_where_an_event_is_forgotten() {
    run(async {
        let fake = fake();
        let (mem, clock) = keeps(&fake, &[]).await;
        let turn = NewEvent::new(EventType::UserInput, "I want to go to Bergen on Monday.");
        let turn = mem.log_event("s", turn).await.unwrap().id;
        fails(&mem, "s", "Error: timed out after 30 s").await;
        for _ in 0..5 {
            fails(&mem, "s", "3 flights").await;
        }
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let numbers = async || {
            let lesson = all(&mem, Kind::Lesson).await.remove(0);
            ["count", "succeeded", "since"].map(|key| lesson.metadata[key].clone())
        };
        let before = numbers().await;
        assert_eq!(before, [json!(1), json!(5), json!(5)]);
        mem.forget(Forget::Id(turn)).await.unwrap();
        assert_eq!(summary(&mem).await, None);
        for _ in 0..3 {
            clock.advance_seconds(60);
            mem.reflect(ReflectOptions::default()).await.unwrap();
        }
        assert!(summary(&mem).await.is_some(), "what is left is summed up");
        assert_eq!((numbers().await, fake.seen().len()), (before, 1));
        mem.close().await.unwrap();
    });
}

#[test]
fn a_lesson_that_somebody_ended_stays_so_where_its_quote_is_forgotten() {
    run(async {
        let fake = fake();
        let (mem, clock) = keeps(&fake, &[]).await;
        for order in [4711, 4812] {
            fails(&mem, "s", &format!("Error: order {order} declined")).await;
        }
        mem.reflect(ReflectOptions::default()).await.unwrap();
        clock.advance_seconds(60);
        let lesson = all(&mem, Kind::Lesson).await.remove(0);
        let ended = MemoryUpdate { valid_to: Some(Some(clock.now())), ..MemoryUpdate::default() };
        mem.update(lesson.id, ended).await.unwrap();
        let page = mem.events("s", EventsOptions::default()).await.unwrap();
        let quoted = page.items.iter().find(|m| m.content.contains("4812")).unwrap().id;
        mem.forget(Forget::Id(quoted)).await.unwrap();
        clock.advance_seconds(60);
        fails(&mem, "s", "Error: order 5 declined").await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let lessons = all(&mem, Kind::Lesson).await;
        assert!(lessons.iter().all(|m| m.valid_to.is_some_and(|end| end <= clock.now())), "{lessons:#?}");
        mem.close().await.unwrap();
    });
}

#[test]
fn events_that_get_the_places_of_those_that_are_gone_are_news() {
    run(async {
        let fake = fake();
        let (mem, clock) = keeps(&fake, &[(Kind::Conversation, 10.0)]).await;
        for _ in 0..3 {
            fails(&mem, "default", "Error: timed out after 30 s").await;
        }
        mem.reflect(ReflectOptions::default()).await.unwrap();
        assert_eq!((count(&all(&mem, Kind::Lesson).await[0]), fake.seen().len()), (3, 1));
        clock.advance_seconds(11 * DAY);
        mem.maintain(None).await.unwrap();
        fails(&mem, "default", "Error: timed out after 30 s").await;
        clock.advance_seconds(1);
        mem.reflect(ReflectOptions::default()).await.unwrap();
        // Explained when there were three of them, it is not paid for again before there are six.
        assert_eq!((count(&all(&mem, Kind::Lesson).await[0]), fake.seen().len()), (4, 1));
        assert_eq!(mem.reflect(ReflectOptions::default()).await.unwrap(), [], "and seen now");
        assert_eq!(fake.seen().len(), 1);
        mem.close().await.unwrap();
    });
}

#[test]
fn a_session_that_was_erased_begins_anew_under_its_name() {
    run(async {
        let fake = fake();
        let (mem, _) = keeps(&fake, &[]).await;
        for _ in 0..2 {
            fails(&mem, "s", "Error: timed out after 30 s").await;
        }
        mem.reflect(ReflectOptions::default()).await.unwrap();
        mem.forget(Forget::Id(summary(&mem).await.unwrap().id)).await.unwrap();
        mem.forget(Forget::Scope(ForgetScope::Session, "s".to_owned())).await.unwrap();
        fails(&mem, "s", "Error: timed out after 30 s").await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        assert!(summary(&mem).await.is_some());
        mem.close().await.unwrap();
    });
}

/// How often the model was asked about a session.
fn asked(fake: &FakeProvider) -> usize {
    let is_session = |body: &serde_json::Value| body["response_format"]["json_schema"]["name"] == "reflection";
    fake.seen().iter().filter(|seen| is_session(&seen.body)).count()
}

#[test]
fn of_two_processes_on_one_file_one_asks() {
    run(async {
        let (fake, dir) = (fake(), tempfile::tempdir().unwrap());
        let (builder, _) = model_store(&fake);
        // Two handles share nothing but the file, as two processes do.
        let a = builder.path(dir.path().join("m.rae")).open().await.unwrap();
        let (builder, _) = model_store(&fake);
        let b = builder.path(dir.path().join("m.rae")).open().await.unwrap();
        for round in 0..5 {
            // Each time something else, which no model was asked about.
            let error = ["pipe", "link", "lock", "disk", "fan"][round];
            fails(&a, &format!("s{round}"), &format!("Error: broken {error}")).await;
            let (one, two) = tokio::join!(a.reflect(ReflectOptions::default()), b.reflect(ReflectOptions::default()));
            one.unwrap();
            two.unwrap();
            assert_eq!(asked(&fake), round + 1);
        }
        // Who was told that another one asks left a job; it finds that all was asked.
        while b.run_due_job(&WorkOptions::default()).await.unwrap().is_some() {}
        assert_eq!(asked(&fake), 5);
        a.close().await.unwrap();
        b.close().await.unwrap();
    });
}
