//! What an export brings where something of its subject is there already, on any store: the file that includes this says on which.

use crate::common::{Bench, on_every_store};
use rae_core::{
    EventType, Forget, Kind, ListOptions, Memory, NewEvent, Rae, ReflectOptions, SessionEnd, SessionOutcome, block_on,
    model::Scope,
};
use serde_json::json;

fn project(b: &Bench, name: &str) -> Rae {
    b.mem.with_scope(Scope::new("default", name).unwrap())
}

/// A call that failed, in a session.
async fn fail(mem: &Rae, session: &str, tool: &str) {
    let told = |what, text: &str, metadata: serde_json::Value| NewEvent {
        metadata: metadata.as_object().cloned(),
        ..NewEvent::new(what, text)
    };
    let call = told(EventType::ToolCall, &format!("{tool}()"), json!({ "tool": tool }));
    let answer = told(EventType::ToolResponse, "-", json!({ "tool": tool, "error": format!("{tool} is away") }));
    for event in [call, answer] {
        mem.log_event(session, event).await.unwrap();
    }
}

async fn end(mem: &Rae, session: &str) {
    mem.end_session(session, SessionEnd::new(SessionOutcome::Failure)).await.unwrap();
}

async fn reflect(mem: &Rae, session: &str) {
    mem.reflect(ReflectOptions { session_id: Some(session.into()), ..ReflectOptions::default() }).await.unwrap();
}

async fn all(mem: &Rae) -> Vec<Memory> {
    mem.list(ListOptions { limit: 1_000, ..ListOptions::default() }).await.unwrap().items
}

fn summaries(all: &[Memory]) -> Vec<&Memory> {
    all.iter().filter(|m| m.kind == Kind::Reflection).collect()
}

/// The project "there", exported.
async fn exported(b: &Bench) -> (Rae, std::path::PathBuf) {
    let (there, path) = (project(b, "there"), b.folder.path().join("there.export"));
    there.export(&path).await.unwrap();
    (there, path)
}

#[test]
fn an_imported_end_does_not_end_the_session_of_that_name_that_runs_here() {
    on_every_store(|b| {
        block_on(async {
            let (here, there) = (project(b, "here"), project(b, "there"));
            fail(&there, "chat", "search").await;
            end(&there, "chat").await;
            reflect(&there, "chat").await;
            let (_, path) = exported(b).await;
            fail(&here, "chat", "book").await;
            let done = here.import(&path).await.unwrap();
            assert_eq!((done.imported, done.merged), (all(&there).await.len() as u64, 0));
            // It goes on, is looked at from its own first event on, and ends.
            fail(&here, "chat", "pay").await;
            reflect(&here, "chat").await;
            end(&here, "chat").await;
            let now = all(&here).await;
            let own = |m: &&&Memory| m.content.contains("pay") && m.content.contains("book");
            assert_eq!((summaries(&now).len(), summaries(&now).iter().filter(own).count()), (2, 1), "{now:#?}");
            let again = here.import(&path).await.unwrap();
            assert_eq!((again.imported, again.merged), (0, 0));
        });
    });
}

#[test]
fn imported_summaries_and_lessons_stay_beside_those_that_are_here_and_go_with_their_own_sources() {
    on_every_store(|b| {
        block_on(async {
            let (here, there) = (project(b, "here"), project(b, "there"));
            for (mem, tool) in [(&there, "search"), (&here, "book")] {
                fail(mem, "chat", tool).await;
                end(mem, "chat").await;
                reflect(mem, "chat").await;
            }
            let (_, path) = exported(b).await;
            let (before, theirs) = (all(&here).await, all(&there).await);
            let done = here.import(&path).await.unwrap();
            // Both ended with the same words: that merges.
            assert_eq!((done.imported, done.merged), (theirs.len() as u64 - 1, 1));
            let now = all(&here).await;
            let texts: Vec<&str> = now.iter().map(|m| m.content.as_str()).collect();
            for memory in before.iter().chain(&theirs) {
                assert!(texts.contains(&memory.content.as_str()), "{} is lost", memory.content);
            }
            let ours = summaries(&before)[0];
            assert_eq!(here.get(ours.id).await.unwrap().provenance, ours.provenance);
            for event in theirs.iter().filter(|m| m.kind == Kind::Conversation) {
                here.forget(Forget::Id(event.id)).await.unwrap();
            }
            let left = all(&here).await;
            assert_eq!(summaries(&left).iter().map(|m| m.id).collect::<Vec<_>>(), [ours.id]);
        });
    });
}

#[test]
fn an_ended_session_that_is_not_here_is_ended_when_it_comes_and_stays_so() {
    on_every_store(|b| {
        block_on(async {
            let (here, there) = (project(b, "here"), project(b, "there"));
            fail(&there, "chat", "search").await;
            end(&there, "chat").await;
            let (_, path) = exported(b).await;
            for imported in [3, 0] {
                assert_eq!(here.import(&path).await.unwrap().imported, imported);
                let refused = here.log_event("chat", NewEvent::new(EventType::UserInput, "more")).await.unwrap_err();
                assert_eq!(refused.code(), "session_ended");
            }
        });
    });
}
