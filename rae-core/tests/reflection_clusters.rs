//! What lessons say together, and what is said again and again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test reports by panicking

use rae_core::{
    ContextOptions, EventType, EventsOptions, Forget, Kind, LifecyclePolicy, ListOptions, Memory, MemoryUpdate,
    NewEvent, NewMemory, Rae, ReflectOptions, Reflected, SessionEnd, SessionOutcome, Timestamp, block_on,
    model::{InfoClass, Layer},
    ports::{Clock, ManualClock},
};
use serde_json::json;
use std::sync::Arc;

async fn open(policy: LifecyclePolicy) -> (Rae, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
    let builder = Rae::builder().lifecycle(policy).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    (builder.open().await.unwrap(), clock)
}

async fn fails(mem: &Rae, session: &str, tool: &str, error: &str) {
    for (what, text) in [(EventType::ToolCall, "-"), (EventType::ToolResponse, "-")] {
        let failed = (what == EventType::ToolResponse).then_some(error);
        let metadata = json!({ "tool": tool, "error": failed }).as_object().cloned();
        mem.log_event(session, NewEvent { metadata, ..NewEvent::new(what, text) }).await.unwrap();
    }
}

async fn reflect(mem: &Rae) -> Vec<Reflected> {
    mem.reflect(ReflectOptions::default()).await.unwrap()
}

async fn insights(mem: &Rae) -> Vec<Memory> {
    let page = mem.reflections(EventsOptions { limit: 1_000, ..EventsOptions::default() }).await.unwrap();
    page.items.into_iter().filter(|m| m.metadata.contains_key("cluster")).collect()
}

#[test]
fn lessons_with_a_tool_or_an_error_in_common_make_an_insight_that_cites_them_and_is_written_only_when_it_is_new() {
    block_on(async {
        // What fades is written too, and is not what this is about.
        let (mem, clock) = open(LifecyclePolicy { decay: false, ..LifecyclePolicy::default() }).await;
        for (n, error) in ["HTTP 503", "no route to host", "HTTP 503", "bad certificate"].iter().enumerate() {
            fails(&mem, &format!("s{n}"), "fetch", error).await;
        }
        assert!(reflect(&mem).await.iter().any(|made| made.content.starts_with("Calls of `fetch` failed in 3 ways")));
        fails(&mem, "t", "upload", "HTTP 503").await;
        fails(&mem, "t", "download", "HTTP 503").await;
        reflect(&mem).await;
        let all = insights(&mem).await;
        let texts: Vec<&str> = all.iter().map(|m| m.content.as_str()).collect();
        assert_eq!(
            texts,
            [
                "Calls of `fetch` failed in 3 ways, 4 times: 'http 503' (2 times); 'bad certificate' (1 time); \
                 'no route to host' (1 time).",
                "3 tools failed with 'http 503', 4 times: `fetch` (2 times); `download` (1 time); `upload` (1 time).",
            ]
        );
        let page = mem.reflections(EventsOptions { limit: 1_000, ..EventsOptions::default() }).await.unwrap();
        for insight in &all {
            assert_eq!((insight.kind, insight.layer), (Kind::Reflection, Layer::Reflective));
            let cited = &insight.provenance.derived_from;
            assert_eq!(cited.len(), 3);
            let is_lesson = |id| page.items.iter().any(|m| m.id == id && m.kind == Kind::Lesson);
            assert!(cited.iter().all(|id| is_lesson(*id)));
        }
        let seq = mem.stats().await.unwrap().seq;
        for _ in 0..200 {
            clock.advance_seconds(3_600);
            assert_eq!(reflect(&mem).await, []);
            assert_eq!(mem.maintain(None).await.unwrap().ran["reflected"], 0);
        }
        assert_eq!(mem.stats().await.unwrap().seq, seq, "without a new failure nothing is written");
        mem.close().await.unwrap();
    });
}

#[test]
fn an_insight_is_as_strict_as_its_lessons_and_goes_with_any_of_them() {
    block_on(async {
        let (mem, _) = open(LifecyclePolicy::default()).await;
        for (n, error) in ["HTTP 503", "no route to host"].iter().enumerate() {
            fails(&mem, &format!("s{n}"), "fetch", error).await;
        }
        let secret = NewMemory {
            kind: Some(Kind::Conversation),
            role: Some("tool".into()),
            session_id: Some("s".into()),
            info_class: Some(InfoClass::Restricted),
            metadata: json!({ "tool": "fetch", "error": "vault is sealed" }).as_object().cloned(),
            ..NewMemory::new("-")
        };
        let secret = mem.remember(secret).await.unwrap().id;
        reflect(&mem).await;
        let all = insights(&mem).await;
        assert_eq!((all.len(), all[0].info_class), (1, InfoClass::Restricted));
        mem.forget(Forget::Id(secret)).await.unwrap();
        assert_eq!(insights(&mem).await, []);
        reflect(&mem).await;
        assert_eq!(insights(&mem).await, [], "two lessons are left");
        mem.close().await.unwrap();
    });
}

#[test]
fn what_somebody_ended_stays_ended_and_context_gives_an_insight_to_a_question_about_its_tool_alone() {
    block_on(async {
        let (mem, clock) = open(LifecyclePolicy::default()).await;
        for n in 0..8 {
            let error = ["pipe", "link", "lock", "disk", "fan", "node", "port", "key"][n];
            fails(&mem, &format!("s{n}"), "fetch", &format!("broken {error}")).await;
        }
        reflect(&mem).await;
        let insight = insights(&mem).await[0].clone();
        assert!(insight.content.contains("; and 3 more."), "{}", insight.content);
        let given = async |query: &str| {
            let context = mem.context(Some(query), ContextOptions::default()).await.unwrap();
            context.sources.iter().any(|source| source.id == insight.id)
        };
        assert!(!given("Who feeds the cat on Sunday?").await);
        let ended = Some(Some(Timestamp::parse("2026-01-01T00:00:01Z").unwrap()));
        mem.update(insight.id, MemoryUpdate { valid_to: ended, ..MemoryUpdate::default() }).await.unwrap();
        clock.advance_seconds(2);
        fails(&mem, "t", "fetch", "broken door").await;
        reflect(&mem).await;
        let after = mem.get(insight.id).await.unwrap();
        assert_eq!((after.content, insights(&mem).await.len()), (insight.content, 1));
        mem.close().await.unwrap();
    });
}

async fn says(mem: &Rae, session: &str, user: &str, text: &str) -> rae_core::MemoryId {
    let turn = NewMemory {
        kind: Some(Kind::Conversation),
        session_id: Some(session.into()),
        user_id: Some(user.into()),
        role: Some("user".into()),
        ..NewMemory::new(text)
    };
    mem.remember(turn).await.unwrap().id
}

async fn facts(mem: &Rae) -> Vec<Memory> {
    let filter = Some(json!({ "kind": "fact" }));
    mem.list(ListOptions { filter, ..ListOptions::default() }).await.unwrap().items
}

fn policy() -> LifecyclePolicy {
    LifecyclePolicy::parse(json!({ "consolidate_sessions": 3 })).unwrap()
}

#[test]
fn what_a_user_says_in_session_after_session_becomes_one_fact_with_its_sources_where_the_policy_asks_for_it() {
    block_on(async {
        let (mem, clock) = open(policy()).await;
        let (plain, _) = open(LifecyclePolicy::default()).await;
        let mut sources = Vec::new();
        for n in 0..3 {
            clock.advance_seconds(60);
            let session = format!("s{n}");
            let wording = [
                "I live in the old town of Bergen.",
                "i live in the old town of bergen",
                "I live in the old town of  Bergen!",
            ][n];
            for text in [wording, "Where is the nearest bakery in town?"] {
                says(&plain, &session, "ada", text).await;
                let id = says(&mem, &session, "ada", text).await;
                if text == wording {
                    sources.push(id);
                }
            }
            says(&mem, &session, "ada", "This one is said in a session alone, often.").await;
            assert_eq!(facts(&mem).await.len(), 0, "two sessions are not enough");
            if n < 2 {
                reflect(&mem).await;
            }
        }
        // The same of somebody else is somebody else's.
        says(&mem, "s0", "bob", "I live in the old town of Bergen.").await;
        reflect(&mem).await;
        reflect(&plain).await;
        assert_eq!(facts(&plain).await, [], "only where the policy asks for it");
        let all: Vec<Memory> = facts(&mem).await.into_iter().filter(|m| m.content.contains("Bergen")).collect();
        assert_eq!(all.len(), 1, "{all:#?}");
        let fact = &all[0];
        assert_eq!(fact.content, "I live in the old town of  Bergen!");
        assert_eq!((fact.layer, fact.user_id.as_deref()), (Layer::Semantic, Some("ada")));
        assert_eq!((&fact.provenance.derived_from, &fact.metadata["sessions"]), (&sources, &json!(3)));
        let seq = mem.stats().await.unwrap().seq;
        assert_eq!(reflect(&mem).await, []);
        assert_eq!(mem.stats().await.unwrap().seq, seq);
        // It goes with any of what it says.
        mem.forget(Forget::Id(sources[0])).await.unwrap();
        assert!(facts(&mem).await.iter().all(|m| !m.content.contains("Bergen")));
        reflect(&mem).await;
        assert!(facts(&mem).await.iter().all(|m| !m.content.contains("Bergen")), "two sessions are left");
        mem.close().await.unwrap();
        plain.close().await.unwrap();
    });
}

#[test]
fn a_policy_names_how_many_sessions_make_a_fact() {
    for wrong in [0, 1, 65] {
        let refused = LifecyclePolicy::parse(json!({ "consolidate_sessions": wrong })).unwrap_err();
        assert!(refused.message().contains("consolidate_sessions"), "{refused}");
    }
}

#[test]
fn two_who_reflect_at_once_make_one_insight() {
    let (mem, _) = block_on(open(LifecyclePolicy::default()));
    for (n, error) in ["HTTP 503", "no route to host", "bad certificate"].iter().enumerate() {
        block_on(fails(&mem, &format!("s{n}"), "fetch", error));
        block_on(mem.end_session(&format!("s{n}"), SessionEnd::new(SessionOutcome::Failure))).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| block_on(reflect(&mem)));
        }
    });
    assert_eq!(block_on(insights(&mem)).len(), 1);
    block_on(mem.close()).unwrap();
}
