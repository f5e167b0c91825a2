//! Sessions and what is learnt from them, without a model.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test reports by panicking

use rae_core::{
    ContextOptions, ErrorKind, EventType, EventsOptions, Forget, ForgetScope, Kind, NewEvent, NewMemory, Rae,
    ReflectOptions, Reflected, SessionEnd, SessionOutcome, Timestamp, WorkOptions, block_on,
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

async fn call(mem: &Rae, session: &str, tool: &str, arguments: &str, answer: &str, error: Option<&str>) {
    log(mem, session, EventType::ToolCall, &format!("{tool}({arguments})"), json!({ "tool": tool })).await;
    log(mem, session, EventType::ToolResponse, answer, json!({ "tool": tool, "error": error })).await;
}

async fn end(mem: &Rae, session: &str, outcome: SessionOutcome) {
    mem.end_session(session, SessionEnd::new(outcome)).await.unwrap();
}

fn of(session: &str) -> ReflectOptions {
    ReflectOptions { session_id: Some(session.to_owned()), ..ReflectOptions::default() }
}

fn only(learnt: &[Reflected], kind: Kind) -> Vec<&Reflected> {
    learnt.iter().filter(|learnt| learnt.kind == kind).collect()
}

#[test]
fn failures_that_differ_in_ids_numbers_and_paths_are_one_lesson_that_counts_each_event_once() {
    block_on(async {
        let (mem, _) = open().await;
        let errors = [
            "Timeout after 30 s for request 8f3a2b1c at /srv/a/1.json",
            "Timeout after 45 s for request 77aa0b9d at /var/tmp/b/22.json",
            "timeout after 5s for request 0c9d8e7f at https://api.example/x?id=7",
        ];
        call(&mem, "a", "search_flights", "to='Oslo'", "no result", Some(errors[0])).await;
        call(&mem, "a", "search_flights", "to='Bergen'", "no result", Some(errors[1])).await;
        end(&mem, "a", SessionOutcome::Failure).await;
        let learnt = mem.reflect(of("a")).await.unwrap();
        let lessons = only(&learnt, Kind::Lesson);
        assert_eq!(lessons.len(), 1, "{learnt:#?}");
        assert_eq!((lessons[0].count, lessons[0].sessions, lessons[0].created), (Some(2), Some(1), true));
        assert_eq!(lessons[0].error.as_deref(), Some("timeout after <n> s for request <id> at <path>"));
        assert_eq!(lessons[0].sources.len(), 4, "call and answer of each");
        assert_eq!(mem.reflect(of("a")).await.unwrap(), [], "the same session again teaches nothing");
        assert_eq!(mem.reflect(ReflectOptions::default()).await.unwrap(), []);

        call(&mem, "b", "search_flights", "to='Rome'", "no result", Some(&errors[0].replace("30", "31"))).await;
        end(&mem, "b", SessionOutcome::Failure).await;
        let stronger = mem.reflect(ReflectOptions::default()).await.unwrap();
        let again = only(&stronger, Kind::Lesson);
        assert_eq!((again[0].id, again[0].count, again[0].sessions), (lessons[0].id, Some(3), Some(2)));
        assert!(!again[0].created && again[0].importance > lessons[0].importance);
        assert!(
            again[0].content.starts_with(
                "Calls of `search_flights` failed with 'timeout after <n> s for request <id> at <path>' 3 times in 2 sessions."
            ),
            "{}",
            again[0].content
        );
        assert_eq!(mem.get(again[0].id).await.unwrap().version, 2);
        mem.close().await.unwrap();
    });
}

#[test]
fn what_worked_after_a_failure_is_a_strategy_and_grows_with_each_session() {
    block_on(async {
        let (mem, _) = open().await;
        for (n, session) in ["a", "b"].iter().enumerate() {
            call(&mem, session, "book", "train=7, seat='1A'", "-", Some("seat 'x' is taken")).await;
            call(&mem, session, "book", "train=7, seat='2B'", "booked", None).await;
            call(&mem, session, "pay_card", "order=17", "-", Some("card declined")).await;
            call(&mem, session, "pay_invoice", "order=17", "paid", None).await;
            end(&mem, session, SessionOutcome::Success).await;
            let learnt = mem.reflect(of(session)).await.unwrap();
            let strategies = only(&learnt, Kind::Strategy);
            let texts: Vec<&str> = strategies.iter().map(|s| s.content.as_str()).collect();
            let times = ["1 time in 1 session", "2 times in 2 sessions"][n];
            assert_eq!(
                texts,
                [
                    format!(
                        "After `book` failed with 'seat <text> is taken', calling it with another `seat` worked, {times}. For example: \"seat=2B instead of seat=1A\"."
                    ),
                    format!(
                        "After `pay_card` failed with 'card declined', calling `pay_invoice` instead worked, {times}."
                    ),
                ]
            );
            let lesson = only(&learnt, Kind::Lesson)[1];
            assert!(lesson.content.contains("What worked then: calling `pay_invoice` instead"), "{}", lesson.content);
        }
        mem.close().await.unwrap();
    });
}

#[test]
fn an_end_is_one_event_one_job_and_no_other_outcome() {
    block_on(async {
        let (mem, _) = open().await;
        log(&mem, "s", EventType::UserInput, "Book me a flight.", Value::Null).await;
        let session = mem.session("s").unwrap();
        let first = session.end(SessionOutcome::Error, Some("out of memory".into())).await.unwrap();
        assert_eq!(session.end(SessionOutcome::Error, None).await.unwrap(), first);
        assert_eq!(session.end(SessionOutcome::Error, Some("out of memory".into())).await.unwrap(), first);
        for refused in [
            session.end(SessionOutcome::Success, None).await.unwrap_err(),
            session.end(SessionOutcome::Error, Some("another".into())).await.unwrap_err(),
            session.log(EventType::UserInput, "One more thing.", None).await.unwrap_err(),
        ] {
            assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "session_ended"));
        }
        assert_eq!(mem.stats().await.unwrap().jobs.queued, 1);
        let events = session.events(EventsOptions::default()).await.unwrap().items;
        let roles: Vec<_> = events.iter().map(|m| (m.role.as_deref().unwrap(), m.content.as_str())).collect();
        assert_eq!(
            roles,
            [("user", "Book me a flight."), ("system", "The session ended with an error: out of memory")]
        );
        assert_eq!(events[1].metadata["event"], "session_end");
        mem.forget(Forget::Scope(ForgetScope::Session, "s".into())).await.unwrap();
        log(&mem, "s", EventType::UserInput, "The session begins anew.", Value::Null).await;
        end(&mem, "s", SessionOutcome::Success).await;
        mem.close().await.unwrap();
    });
}

#[test]
fn the_job_of_an_end_reflects_once_however_often_jobs_and_maintenance_run() {
    block_on(async {
        let (mem, clock) = open().await;
        call(&mem, "s", "fetch", "", "-", Some("connection refused")).await;
        end(&mem, "s", SessionOutcome::Failure).await;
        let ran = mem.maintain(None).await.unwrap().ran;
        assert_eq!(ran["reflected"], 2, "a lesson and a summary: {ran:?}");
        let page = mem.reflections(EventsOptions::default()).await.unwrap();
        let before = mem.stats().await.unwrap();
        for _ in 0..500 {
            clock.advance_seconds(60);
            assert_eq!(mem.maintain(None).await.unwrap().ran["reflected"], 0);
            assert!(mem.run_due_job(&WorkOptions::default()).await.unwrap().is_none());
        }
        assert_eq!(mem.reflections(EventsOptions::default()).await.unwrap(), page);
        assert_eq!(mem.stats().await.unwrap().seq, before.seq, "nothing was written");
        mem.close().await.unwrap();
    });
}

#[test]
fn every_so_many_changes_a_reflection_is_queued_and_at_most_one_waits() {
    block_on(async {
        let mem = Rae::builder().reflect_after(4).open().await.unwrap();
        let queued = async || mem.stats().await.unwrap().jobs.queued;
        call(&mem, "open", "fetch", "", "-", Some("HTTP 503")).await;
        log(&mem, "open", EventType::UserInput, "Go on.", Value::Null).await;
        assert_eq!(queued().await, 0);
        for n in 0..20 {
            log(&mem, "open", EventType::UserInput, &format!("And number {n}."), Value::Null).await;
        }
        assert_eq!(queued().await, 1);
        assert_eq!(mem.maintain(None).await.unwrap().ran["reflected"], 2);
        assert_eq!(queued().await, 0);
        mem.close().await.unwrap();
    });
}

#[test]
fn context_gives_a_lesson_to_a_related_question_and_not_to_another() {
    block_on(async {
        let (mem, _) = open().await;
        for text in
            ["The garden needs water on Mondays.", "Ada adopted a puppy called Rex.", "The ferry leaves at ten."]
        {
            mem.remember(NewMemory::new(text)).await.unwrap();
        }
        call(&mem, "s", "search_flights", "to='Oslo'", "-", Some("timeout after 30 s")).await;
        end(&mem, "s", SessionOutcome::Failure).await;
        let lesson = mem.reflect(of("s")).await.unwrap()[0].id;
        let block = async |query: &str| {
            let context = mem.context(Some(query), ContextOptions::default()).await.unwrap();
            context.sources.iter().any(|source| source.id == lesson)
        };
        assert!(block("Search flights to Oslo for tomorrow").await);
        assert!(block("How do I call search_flights?").await);
        for unrelated in ["What is the puppy called?", "When does the garden get water?", "Who wrote the letter?"] {
            assert!(!block(unrelated).await, "{unrelated}");
        }
        mem.close().await.unwrap();
    });
}

#[test]
fn turns_about_the_same_and_summaries_of_their_sessions_crowd_no_lesson_out() {
    block_on(async {
        let (mem, _) = open().await;
        for n in 0..70 {
            let session = format!("s{n}");
            let asked = format!("Find a flight from Oslo to city number {n} for next week, please.");
            log(&mem, &session, EventType::UserInput, &asked, Value::Null).await;
            if n % 10 == 0 {
                call(&mem, &session, "search_flights", "days=30", "-", Some("timeout after 30 s")).await;
            }
        }
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let options = ContextOptions { max_tokens: 300, ..ContextOptions::default() };
        let context = mem.context(Some("Search a flight from Oslo to Rome for next week."), options).await.unwrap();
        assert!(context.text.contains("Calls of `search_flights` failed"), "{}", context.text);
        assert!(context.sources.iter().any(|source| source.kind == Kind::Lesson));
        mem.close().await.unwrap();
    });
}

#[test]
fn two_who_reflect_at_once_count_each_failure_once() {
    let (mem, _) = block_on(open());
    block_on(async {
        for n in 0..6 {
            let session = format!("s{n}");
            call(&mem, &session, "fetch", "", "-", Some("connection refused")).await;
            end(&mem, &session, SessionOutcome::Failure).await;
        }
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| block_on(mem.reflect(ReflectOptions::default())).unwrap());
        }
    });
    let page = block_on(mem.reflections(EventsOptions::default())).unwrap();
    let lessons: Vec<_> = page.items.iter().filter(|memory| memory.kind == Kind::Lesson).collect();
    assert_eq!(lessons.len(), 1);
    assert_eq!((&lessons[0].metadata["count"], &lessons[0].metadata["sessions"]), (&json!(6), &json!(6)));
    block_on(mem.close()).unwrap();
}

#[test]
fn a_session_that_goes_on_is_learnt_from_piece_by_piece() {
    block_on(async {
        let (mem, _) = open().await;
        call(&mem, "s", "fetch", "url=1", "-", Some("HTTP 503")).await;
        let first = mem.reflect(of("s")).await.unwrap();
        assert_eq!(only(&first, Kind::Lesson)[0].count, Some(1));
        call(&mem, "s", "fetch", "url=1", r#"{"ok": true}"#, None).await;
        let second = mem.reflect(of("s")).await.unwrap();
        let lesson = only(&second, Kind::Lesson)[0];
        assert_eq!((lesson.count, lesson.created), (Some(1), false), "no new failure, but a way out: {second:#?}");
        assert!(lesson.content.contains("What worked then"), "{}", lesson.content);
        assert_eq!(only(&second, Kind::Strategy)[0].count, Some(1));
        call(&mem, "s", "fetch", "url=3", "-", Some("HTTP 503")).await;
        end(&mem, "s", SessionOutcome::Partial).await;
        let third = mem.reflect(of("s")).await.unwrap();
        assert_eq!((only(&third, Kind::Lesson)[0].count, only(&third, Kind::Lesson)[0].sessions), (Some(2), Some(1)));
        mem.close().await.unwrap();
    });
}

#[test]
fn turns_that_were_remembered_are_events_and_an_error_said_twice_is_one() {
    block_on(async {
        let (mem, _) = open().await;
        let turn = |role: &str, text: &str, metadata: Value| NewMemory {
            session_id: Some("s".into()),
            role: Some(role.into()),
            metadata: metadata.as_object().cloned(),
            ..NewMemory::new(text)
        };
        mem.remember(turn("user", "Please read the weather of Oslo for tomorrow.", Value::Null)).await.unwrap();
        mem.remember(turn("tool", "Error: no route to host", json!({ "tool": "weather" }))).await.unwrap();
        log(&mem, "s", EventType::ErrorEvent, "no route to host", Value::Null).await;
        log(&mem, "s", EventType::ToolCall, "send_mail(to='x')", Value::Null).await;
        mem.end_session(
            "s",
            SessionEnd { error: Some("no route to host".into()), ..SessionEnd::new(SessionOutcome::Timeout) },
        )
        .await
        .unwrap();
        let learnt = mem.reflect(of("s")).await.unwrap();
        let lessons: Vec<_> =
            only(&learnt, Kind::Lesson).iter().map(|l| (l.tool.as_deref(), l.error.as_deref(), l.count)).collect();
        assert_eq!(
            lessons,
            [(Some("weather"), Some("no route to host"), Some(1)), (Some("send_mail"), Some("no answer"), Some(1)),]
        );
        mem.close().await.unwrap();
    });
}

#[test]
fn words_that_somebody_changed_and_what_somebody_ended_stay() {
    block_on(async {
        let (mem, clock) = open().await;
        call(&mem, "a", "fetch", "", "-", Some("HTTP 503")).await;
        let lesson = mem.reflect(of("a")).await.unwrap()[0].id;
        let content = Some("Ask the cache first.".to_owned());
        mem.update(lesson, rae_core::MemoryUpdate { content, ..Default::default() }).await.unwrap();
        call(&mem, "b", "fetch", "", "-", Some("HTTP 503")).await;
        let again = mem.reflect(of("b")).await.unwrap();
        assert_eq!((again[0].content.as_str(), again[0].count), ("Ask the cache first.", Some(2)));
        let ended = Some(Some(Timestamp::parse("2026-01-01T00:00:01Z").unwrap()));
        mem.update(lesson, rae_core::MemoryUpdate { valid_to: ended, ..Default::default() }).await.unwrap();
        clock.advance_seconds(2);
        let before = mem.get(lesson).await.unwrap();
        call(&mem, "c", "fetch", "", "-", Some("HTTP 503")).await;
        let learnt = mem.reflect(of("c")).await.unwrap();
        assert!(learnt.iter().all(|made| made.id != lesson), "{learnt:#?}");
        let after = mem.get(lesson).await.unwrap();
        assert_eq!((after.version, after.content), (before.version, before.content));
        mem.close().await.unwrap();
    });
}

#[test]
fn a_summary_names_the_end_and_the_central_sentences_and_goes_with_its_session() {
    block_on(async {
        let (mem, _) = open().await;
        log(&mem, "s", EventType::UserInput, "Please plan a trip to Oslo in June for two persons.", Value::Null).await;
        log(
            &mem,
            "s",
            EventType::LlmResponse,
            "The trip to Oslo in June costs 900 euros for two persons. Fine!",
            Value::Null,
        )
        .await;
        end(&mem, "s", SessionOutcome::Success).await;
        let learnt = mem.reflect(of("s")).await.unwrap();
        assert_eq!(learnt.len(), 1, "{learnt:#?}");
        assert!(learnt[0].content.starts_with("The session s ended in success."), "{}", learnt[0].content);
        assert!(learnt[0].content.contains("trip to Oslo in June"), "{}", learnt[0].content);
        let gone = mem.forget(Forget::Scope(ForgetScope::Session, "s".into())).await.unwrap();
        assert_eq!(gone.derived, 1);
        assert_eq!(mem.reflections(EventsOptions::default()).await.unwrap().items.len(), 0);
        mem.close().await.unwrap();
    });
}

#[test]
fn days_and_weeks_are_summed_up_over_sessions_and_only_when_something_new_was_said() {
    block_on(async {
        let (mem, clock) = open().await;
        let said = [
            "The harbour gets a new crane for heavy ships.",
            "The crane of the harbour lifts forty tons of steel.",
            "A storm is expected at the harbour in the evening.",
            "The ships in the harbour wait for the storm to pass.",
        ];
        for (n, text) in said.iter().enumerate() {
            // Thursday and Friday of one week, two sessions each.
            if n == 2 {
                clock.advance_seconds(86_400);
            }
            let session = format!("s{n}");
            log(&mem, &session, EventType::UserInput, text, Value::Null).await;
            end(&mem, &session, SessionOutcome::Success).await;
        }
        mem.maintain(None).await.unwrap();
        let learnt = mem.reflect(ReflectOptions::default()).await.unwrap();
        let texts: Vec<&str> = learnt.iter().map(|l| l.content.as_str()).collect();
        assert_eq!(
            texts,
            [
                format!("On 2026-01-01, in 2 sessions: User: {} User: {}", said[0], said[1]),
                format!("On 2026-01-02, in 2 sessions: User: {} User: {}", said[2], said[3]),
                format!(
                    "In the week of 2025-12-29, in 4 sessions: User: {} User: {} User: {} User: {}",
                    said[0], said[1], said[2], said[3]
                ),
            ]
        );
        assert_eq!(learnt[2].sources.len(), 4);
        assert_eq!(mem.reflect(ReflectOptions::default()).await.unwrap(), []);
        log(&mem, "s5", EventType::UserInput, "The storm is over and the harbour opens again.", Value::Null).await;
        let more = mem.reflect(ReflectOptions::default()).await.unwrap();
        assert_eq!(more.iter().filter(|l| l.session_id.is_none()).count(), 2, "that day and the week: {more:#?}");
        mem.close().await.unwrap();
    });
}

#[test]
fn what_is_wrong_with_an_event_is_said_before_anything_is_written() {
    block_on(async {
        let (mem, _) = open().await;
        let reserved = json!({ "event": "x" }).as_object().cloned();
        let long = "x".repeat(9_000);
        for (refused, code) in [
            (mem.log_event("s", NewEvent::new(EventType::UserInput, " ")).await.unwrap_err(), "content_empty"),
            (
                mem.log_event("s", NewEvent { metadata: reserved, ..NewEvent::new(EventType::ToolCall, "x") })
                    .await
                    .unwrap_err(),
                "reserved_field",
            ),
            (mem.log_event("", NewEvent::new(EventType::ToolCall, "x")).await.unwrap_err(), "invalid_input"),
            (mem.session("a\nb").unwrap_err(), "invalid_input"),
            (
                mem.end_session("s", SessionEnd { error: Some(long), ..SessionEnd::new(SessionOutcome::Error) })
                    .await
                    .unwrap_err(),
                "invalid_input",
            ),
            (mem.reflect(of("")).await.unwrap_err(), "invalid_input"),
        ] {
            assert_eq!((refused.kind(), refused.code()), (ErrorKind::InvalidInput, code));
        }
        assert_eq!(mem.stats().await.unwrap().memories, 0);
        mem.close().await.unwrap();
    });
}

/// A turn of a user in a session.
fn turn(session: &str, user: &str, text: &str) -> NewMemory {
    NewMemory {
        kind: Some(Kind::Conversation),
        session_id: Some(session.into()),
        user_id: Some(user.into()),
        role: Some("user".into()),
        ..NewMemory::new(text)
    }
}

const ALICE: [&str; 2] = [
    "The orchard of Alice grows purple plums near the river.",
    "Alice sells the purple plums of the orchard on the market.",
];
const BOB: [&str; 2] =
    ["The workshop of Bob repairs old clocks for the museum.", "Bob oils the clocks of the museum in the workshop."];

#[test]
fn summaries_are_of_one_user_and_nothing_of_a_forgotten_one_stays() {
    block_on(async {
        let (mem, _) = open().await;
        for (n, (alice, bob)) in ALICE.iter().zip(BOB).enumerate() {
            mem.remember(turn(&format!("a{n}"), "alice", alice)).await.unwrap();
            mem.remember(turn(&format!("b{n}"), "bob", bob)).await.unwrap();
            mem.remember(turn("both", "alice", alice)).await.unwrap();
            mem.reflect(of("both")).await.unwrap();
            mem.remember(turn("both", "bob", bob)).await.unwrap();
        }
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let all = mem.reflections(EventsOptions::default()).await.unwrap().items;
        for memory in &all {
            for version in mem.history(memory.id).await.unwrap() {
                let text = &version.memory.content;
                let owner = version.memory.user_id.as_deref();
                assert!(owner == Some("alice") || !ALICE.iter().any(|said| text.contains(said)), "{owner:?}: {text}");
                assert!(owner == Some("bob") || !BOB.iter().any(|said| text.contains(said)), "{owner:?}: {text}");
            }
        }
        assert_eq!(all.iter().filter(|m| m.metadata.contains_key("bucket")).count(), 2, "a day of each: {all:#?}");
        mem.forget(Forget::Scope(ForgetScope::User, "alice".into())).await.unwrap();
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let left = mem.reflections(EventsOptions::default()).await.unwrap().items;
        assert!(!left.is_empty());
        for memory in &left {
            for version in mem.history(memory.id).await.unwrap() {
                let text = &version.memory.content;
                assert!(!ALICE.iter().any(|said| text.contains(said)), "{text}");
            }
        }
        mem.close().await.unwrap();
    });
}

#[test]
fn a_summary_goes_with_any_of_what_it_quotes_and_no_later_than_it() {
    block_on(async {
        let (mem, _) = open().await;
        let ends = Timestamp::parse("2026-01-02").unwrap();
        let first = mem.remember(turn("s", "alice", ALICE[0])).await.unwrap().id;
        let short = NewMemory { ttl: Some(86_400.0), ..turn("s", "alice", BOB[0]) };
        mem.remember(short).await.unwrap();
        let summary = mem.reflect(of("s")).await.unwrap()[0].clone();
        assert!(summary.content.contains(ALICE[0]) && summary.content.contains(BOB[0]), "{summary:#?}");
        assert_eq!(mem.get(summary.id).await.unwrap().expires_at, Some(ends));
        let gone = mem.forget(Forget::Id(first)).await.unwrap();
        assert_eq!((gone.deleted, gone.derived), (1, 1));
        assert_eq!(mem.reflections(EventsOptions::default()).await.unwrap().items, []);
        // It is made again, from what is left, and that is no leftover.
        let again = mem.reflect(of("s")).await.unwrap();
        assert_eq!((again[0].created, again[0].content.contains(ALICE[0])), (true, false));
        mem.close().await.unwrap();
    });
}

#[test]
fn what_is_made_again_after_an_erasure_is_no_leftover_of_it() {
    block_on(async {
        let (mem, clock) = open().await;
        call(&mem, "a", "fetch", "", "-", Some("HTTP 503")).await;
        let lesson = mem.reflect(of("a")).await.unwrap()[0].id;
        let gone = mem.forget(Forget::Scope(ForgetScope::Session, "a".into())).await.unwrap();
        clock.advance_seconds(60);
        call(&mem, "b", "fetch", "", "-", Some("HTTP 503")).await;
        assert_ne!(mem.reflect(of("b")).await.unwrap()[0].id, lesson);
        let report = mem.verify_erasure(&gone.receipt, &[]).await.unwrap();
        assert!(report.clean, "{report:#?}");
        mem.close().await.unwrap();
    });
}

#[test]
fn who_reflects_while_others_forget_brings_nothing_back() {
    let (mem, _) = block_on(open());
    for n in 0..20 {
        let session = format!("s{n}");
        let first = block_on(mem.remember(turn(&session, "alice", ALICE[0]))).unwrap().id;
        block_on(mem.remember(turn(&session, "alice", BOB[0]))).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| block_on(mem.reflect(ReflectOptions::default())).unwrap());
            scope.spawn(|| block_on(mem.forget(Forget::Id(first))).unwrap());
        });
        let page = block_on(mem.reflections(EventsOptions { limit: 1_000, ..EventsOptions::default() })).unwrap();
        for memory in page.items {
            assert!(!memory.content.contains(ALICE[0]), "{n}: {}", memory.content);
        }
    }
    block_on(mem.close()).unwrap();
}
