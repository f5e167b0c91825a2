//! Whose words a lesson may hold, and what reflection is paid for: a real store, and a local server that speaks a provider's wire
//! format.
#![cfg(all(feature = "http", feature = "embedded"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test reports by panicking

mod model_store;
mod provider_support;

use model_store::{model_store, run};
use provider_support::{Behaviour, FakeProvider};
use rae_core::{
    ContextOptions, EventType, EventsOptions, Forget, ForgetScope, Kind, Memory, MemoryUpdate, NewEvent, NewMemory,
    NewRelation, Rae, ReflectOptions, SessionEnd, SessionOutcome, Whose, WorkOptions, model::InfoClass,
};
use serde_json::json;

async fn rig() -> (FakeProvider, Rae) {
    let fake = FakeProvider::start();
    let says =
        json!({ "failures": [{ "n": 0, "cause": "Ada said her code is 4711", "rule": "Ask Ada" }], "insight": null });
    fake.usually(Behaviour::says(&says.to_string()));
    let (builder, _) = model_store(&fake);
    let mem = builder.open().await.unwrap();
    (fake, mem)
}

async fn event(mem: &Rae, session: &str, (what, text): (EventType, &str), user: Option<&str>) -> rae_core::MemoryId {
    let new = NewMemory {
        kind: Some(Kind::Conversation),
        session_id: Some(session.to_owned()),
        user_id: user.map(str::to_owned),
        metadata: json!({ "event": what, "tool": "unlock" }).as_object().cloned(),
        ..NewMemory::new(text)
    };
    mem.remember(new).await.unwrap().id
}

async fn says(mem: &Rae, session: &str, text: &str, user: Option<&str>) -> rae_core::MemoryId {
    event(mem, session, (EventType::UserInput, text), user).await
}

async fn fails(mem: &Rae, session: &str, user: Option<&str>) {
    event(mem, session, (EventType::ToolCall, "unlock(door=3)"), user).await;
    event(mem, session, (EventType::ToolResponse, "Error: timeout after 30 s"), user).await;
    mem.end_session(session, SessionEnd::new(SessionOutcome::Failure)).await.unwrap();
}

async fn learnt(mem: &Rae, kind: Kind) -> Vec<Memory> {
    let page = mem.reflections(EventsOptions::default()).await.unwrap();
    page.items.into_iter().filter(|memory| memory.kind == kind).collect()
}

#[test]
fn what_is_learnt_from_the_events_of_one_user_is_that_users_own() {
    run(async {
        let (_fake, mem) = rig().await;
        says(&mem, "s", "My code is 4711.", Some("ada")).await;
        fails(&mem, "s", Some("ada")).await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let lessons = learnt(&mem, Kind::Lesson).await;
        assert!(lessons.len() == 1 && !lessons[0].content.contains("4711"), "{lessons:#?}");
        assert_eq!(lessons[0].user_id.as_deref(), Some("ada"), "it repeats the error, which is ada's");
        let summaries = learnt(&mem, Kind::Reflection).await;
        let told: Vec<_> = summaries.iter().filter(|m| m.content.contains("Rule: Ask Ada.")).collect();
        assert_eq!((told.len(), told[0].user_id.as_deref()), (1, Some("ada")), "{summaries:#?}");
        for user in ["ada", "bob"] {
            let options = ContextOptions { user_id: Some(user.to_owned()), ..ContextOptions::default() };
            let context = mem.context(Some("How do I unlock the door?"), options).await.unwrap();
            assert_eq!(context.text.contains("Calls of `unlock` failed"), user == "ada", "{user}: {}", context.text);
            assert_eq!(context.text.contains("4711"), user == "ada", "{user}: {}", context.text);
        }
        let gone = Forget::Scope(ForgetScope::User, "ada".to_owned());
        mem.forget(gone).await.unwrap();
        let left = [learnt(&mem, Kind::Lesson).await, learnt(&mem, Kind::Reflection).await].concat();
        assert_eq!(left, [], "all of it was ada's");
        mem.close().await.unwrap();
    });
}

#[test]
fn a_lesson_that_is_nobodys_own_is_given_to_every_user() {
    run(async {
        let mem = Rae::builder().open().await.unwrap();
        fails(&mem, "s", None).await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let options = ContextOptions { user_id: Some("bob".to_owned()), ..ContextOptions::default() };
        let context = mem.context(Some("How do I unlock the door?"), options).await.unwrap();
        assert!(context.text.contains("Calls of `unlock` failed"), "{}", context.text);
        mem.close().await.unwrap();
    });
}

#[test]
fn of_the_events_of_several_users_no_word_of_a_model_is_kept() {
    run(async {
        let (_fake, mem) = rig().await;
        says(&mem, "s", "My code is 4711.", Some("ada")).await;
        fails(&mem, "s", None).await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let all = [learnt(&mem, Kind::Lesson).await, learnt(&mem, Kind::Reflection).await].concat();
        assert!(all.iter().any(|m| m.kind == Kind::Lesson), "{all:#?}");
        assert!(all.iter().all(|m| !m.content.contains("Ask Ada")), "{all:#?}");
        mem.close().await.unwrap();
    });
}

#[test]
fn a_lesson_with_words_of_a_model_has_the_strictest_class_of_what_the_model_was_shown() {
    run(async {
        let (_fake, mem) = rig().await;
        let id = says(&mem, "s", "The code is 4711.", None).await;
        let class = MemoryUpdate { info_class: Some(InfoClass::Restricted), ..MemoryUpdate::default() };
        mem.update(id, class).await.unwrap();
        fails(&mem, "s", None).await;
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let lessons = learnt(&mem, Kind::Lesson).await;
        assert!(lessons[0].content.contains("Rule: Ask Ada."), "{lessons:#?}");
        assert_eq!(lessons[0].info_class, InfoClass::Restricted);
        mem.close().await.unwrap();
    });
}

#[test]
fn who_reflects_while_the_job_of_the_end_asks_does_not_pay_a_second_time() {
    run(async {
        let (fake, mem) = rig().await;
        fails(&mem, "s", None).await;
        let one = ReflectOptions { session_id: Some("s".to_owned()), ..ReflectOptions::default() };
        let options = WorkOptions::default();
        let (job, asked) = tokio::join!(mem.run_due_job(&options), mem.reflect(one.clone()));
        job.unwrap();
        asked.unwrap();
        mem.reflect(one).await.unwrap();
        assert_eq!(fake.seen().len(), 1);
        assert!(learnt(&mem, Kind::Lesson).await[0].content.contains("Rule: Ask Ada."));
        mem.close().await.unwrap();
    });
}

#[test]
fn an_answer_that_cannot_be_read_is_paid_for_once_however_often_somebody_reflects() {
    run(async {
        let (fake, mem) = rig().await;
        fake.usually(Behaviour::says("not json"));
        fails(&mem, "s", None).await;
        let one = ReflectOptions { session_id: Some("s".to_owned()), ..ReflectOptions::default() };
        mem.reflect(one.clone()).await.unwrap();
        let (asked, seq) = (fake.seen().len(), mem.stats().await.unwrap().seq);
        for _ in 0..5 {
            mem.reflect(one.clone()).await.unwrap();
        }
        assert_eq!((asked, fake.seen().len()), (2, 2), "once, and once to repair it");
        assert_eq!(mem.stats().await.unwrap().seq, seq, "nothing was written");
        mem.close().await.unwrap();
    });
}

#[test]
fn what_a_session_of_a_user_logs_is_that_users_own_and_goes_with_the_user() {
    run(async {
        let (_fake, mem) = rig().await;
        let whose =
            Whose { user_id: Some("ada".into()), info_class: Some(InfoClass::Confidential), ..Whose::default() };
        let session = mem.session("s").unwrap().of(whose);
        session.log(EventType::ToolCall, "unlock(door=3)", None).await.unwrap();
        session.log(EventType::ToolResponse, "Error: Ada Secretname is blacklisted", None).await.unwrap();
        // Who ends it says nothing of whose it is.
        let end = SessionEnd { error: Some("Ada Secretname".into()), ..SessionEnd::new(SessionOutcome::Failure) };
        let end = mem.end_session("s", end).await.unwrap().id;
        let end = mem.get(end).await.unwrap();
        assert_eq!((end.user_id.as_deref(), end.info_class), (Some("ada"), InfoClass::Confidential));
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let relation = NewRelation { user_id: Some("ada".into()), ..NewRelation::new("Ada", "is_in", "Room 9") };
        mem.relate(relation).await.unwrap();
        let all = [learnt(&mem, Kind::Lesson).await, learnt(&mem, Kind::Reflection).await].concat();
        assert_eq!(all.len(), 3, "the tool's failure, the session's, and the reflection: {all:#?}");
        assert!(
            all.iter().all(|m| m.user_id.as_deref() == Some("ada") && m.info_class == InfoClass::Confidential),
            "{all:#?}"
        );
        let of_bob = ContextOptions { user_id: Some("bob".into()), ..ContextOptions::default() };
        let told = mem.context(Some("unlock the door for Ada Secretname"), of_bob).await.unwrap();
        assert!(!told.text.contains("Secretname"), "{}", told.text);
        let gone = mem.forget(Forget::Scope(ForgetScope::User, "ada".to_owned())).await.unwrap();
        assert_eq!(gone.deleted, 7, "two events, the end, the relation, and what was learnt: {gone:?}");
        assert_eq!(mem.stats().await.unwrap().memories, 0);
        mem.close().await.unwrap();
    });
}

#[test]
fn the_end_of_a_session_of_several_is_nobodys_and_says_whose_it_is_where_that_is_said() {
    run(async {
        let (_fake, mem) = rig().await;
        for (session, users) in [("both", ["ada", "bob"]), ("one", ["ada", "ada"])] {
            for user in users {
                says(&mem, session, "Hello.", Some(user)).await;
            }
        }
        says(&mem, "note", "Hello.", Some("ada")).await;
        says(&mem, "note", "A note of the system.", None).await;
        says(&mem, "said", "Error: account of Ada frozen", Some("ada")).await;
        says(&mem, "said", "Hello.", Some("bob")).await;
        let owner = async |session: &str, user: Option<&str>| {
            let end = SessionEnd { user_id: user.map(str::to_owned), ..SessionEnd::new(SessionOutcome::Success) };
            let id = mem.end_session(session, end).await.unwrap().id;
            mem.get(id).await.unwrap().user_id
        };
        assert_eq!(owner("both", None).await, None);
        assert_eq!(owner("one", None).await.as_deref(), Some("ada"));
        assert_eq!(owner("other", Some("cy")).await.as_deref(), Some("cy"));
        assert_eq!(owner("note", None).await.as_deref(), Some("ada"), "the only one who is named");
        let error = Some("account of Ada frozen".to_owned());
        let end = SessionEnd { error, ..SessionEnd::new(SessionOutcome::Failure) };
        let id = mem.end_session("said", end).await.unwrap().id;
        assert_eq!(mem.get(id).await.unwrap().user_id.as_deref(), Some("ada"), "whose event says the error");
        mem.close().await.unwrap();
    });
}

#[test]
fn a_tool_that_says_nothing_is_logged_as_that_and_is_no_failure() {
    run(async {
        let (fake, mem) = rig().await;
        let session = mem.session("s").unwrap();
        session.log(EventType::ToolCall, "mkdir(path='a')", None).await.unwrap();
        let id = session.log(EventType::ToolResponse, "", None).await.unwrap().id;
        assert_eq!(mem.get(id).await.unwrap().content, "(no output)");
        assert_eq!(session.log(EventType::UserInput, " ", None).await.unwrap_err().code(), "content_empty");
        session.end(SessionOutcome::Failure, Some("the user went away".into())).await.unwrap();
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let lessons = learnt(&mem, Kind::Lesson).await;
        assert!(lessons.iter().all(|m| !m.content.contains("mkdir")), "{lessons:#?}");
        drop(fake);
        mem.close().await.unwrap();
    });
}

#[test]
fn what_was_recalled_into_a_prompt_is_not_learnt_again() {
    run(async {
        let mem = Rae::builder().open().await.unwrap();
        mem.remember(NewMemory::new("The locker code of the office is 4711.")).await.unwrap();
        let block = mem.context(Some("What is the locker code?"), ContextOptions::default()).await.unwrap().text;
        assert!(block.contains("4711"));
        let logged = json!([{ "role": "system", "content": format!("{block}\nYou help.") }]).to_string();
        mem.log_event("s", NewEvent::new(EventType::LlmCall, &logged)).await.unwrap();
        mem.log_event("s", NewEvent::new(EventType::SystemEvent, format!("{block}\nThe door was opened.")))
            .await
            .unwrap();
        mem.end_session("s", SessionEnd::new(SessionOutcome::Success)).await.unwrap();
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let learnt = learnt(&mem, Kind::Reflection).await;
        assert!(!learnt.is_empty() && learnt.iter().all(|m| !m.content.contains("4711")), "{learnt:#?}");
        mem.close().await.unwrap();
    });
}
