//! The block for a prompt, where something was learnt.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test reports by panicking

use rae_core::{
    ContextOptions, EventType, NewEvent, NewMemory, Rae, ReflectOptions, SessionEnd, SessionOutcome, block_on,
};
use serde_json::{Value, json};

async fn log(mem: &Rae, session: &str, what: EventType, text: &str, metadata: Value) {
    let metadata = metadata.as_object().cloned();
    mem.log_event(session, NewEvent { metadata, ..NewEvent::new(what, text) }).await.unwrap();
}

#[test]
fn a_block_gives_lessons_first_then_memories_and_summaries_of_sessions_last() {
    block_on(async {
        let mem = Rae::builder().open().await.unwrap();
        for session in ["a", "b"] {
            log(&mem, session, EventType::UserInput, "Please pay the hotel in Bergen with the Visa card.", Value::Null)
                .await;
            log(&mem, session, EventType::ToolCall, "pay(card='visa')", json!({ "tool": "pay" })).await;
            log(&mem, session, EventType::ToolResponse, "Error: card declined", json!({ "tool": "pay" })).await;
            log(&mem, session, EventType::ToolCall, "pay(card='master')", json!({ "tool": "pay" })).await;
            log(&mem, session, EventType::ToolResponse, "paid", json!({ "tool": "pay" })).await;
            mem.end_session(session, SessionEnd::new(SessionOutcome::Success)).await.unwrap();
        }
        mem.reflect(ReflectOptions::default()).await.unwrap();
        for n in 0..5 {
            mem.remember(NewMemory::new(format!("The hotel in Bergen number {n} takes a Visa card."))).await.unwrap();
        }
        let block = |question: &'static str, max_tokens: i64| {
            let mem = mem.clone();
            async move {
                mem.context(Some(question), ContextOptions { max_tokens, ..ContextOptions::default() }).await.unwrap()
            }
        };
        // The name of the tool is enough, however many other words there are.
        let long = "The user is in a hotel in Bergen for a week and wants to pay for the room and the breakfast tomorrow morning";
        for question in ["Which hotel in Bergen can I pay with a Visa card?", long] {
            let told = block(question, 1_000).await;
            let at = |heading: &str| told.text.find(heading).unwrap_or_else(|| panic!("no {heading} in {}", told.text));
            assert!(at("Lessons:") < at("Relevant memories:"), "{}", told.text);
            let lessons = &told.text[..at("Relevant memories:")];
            assert_eq!(lessons.matches("\n- ").count(), 1, "no strategy beside its lesson, no summary: {}", told.text);
            if let Some(sessions) = told.text.find("Earlier sessions:") {
                assert!(at("Relevant memories:") < sessions, "{}", told.text);
            }
        }
        let small = block("Which hotel in Bergen can I pay with a Visa card?", 120).await;
        assert!(small.text.contains("Relevant memories:"), "there is room for memories: {}", small.text);
        assert!(small.token_count <= 120);
        mem.close().await.unwrap();
    });
}
