//! The block for a prompt, where something was learnt.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test reports by panicking

use rae_core::{
    Context, ContextOptions, Enrich, EventType, Kind, Layer, NewEvent, NewMemory, Rae, RecallOptions, ReflectOptions,
    SessionEnd, SessionOutcome, Timestamp, block_on, model::TrustLevel,
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

/// What people said, and the facts that the rules read from it.
async fn told(turns: &[(&str, Option<&str>, Option<&str>, &str)]) -> Rae {
    let mem = Rae::builder().enrich(Enrich::Rules).open().await.unwrap();
    for (day, (session, user, speaker, text)) in turns.iter().enumerate() {
        let turn = NewMemory {
            kind: Some(Kind::Conversation),
            session_id: Some((*session).to_owned()),
            user_id: user.map(str::to_owned),
            speaker: speaker.map(str::to_owned),
            occurred_at: Some(Timestamp::parse(&format!("2025-01-{:02}", day + 1)).unwrap()),
            ..NewMemory::new(*text)
        };
        mem.remember(turn).await.unwrap();
    }
    mem.maintain(None).await.unwrap();
    mem
}

/// The lines of the profile.
fn profile(block: &Context) -> Vec<&str> {
    let lines = block.text.lines().skip_while(|line| *line != "Profile:").skip(1);
    lines.take_while(|line| line.starts_with("- ")).map(|line| line.rsplit("] ").next().unwrap()).collect()
}

#[test]
fn a_profile_says_what_holds_of_the_user_whatever_the_question_and_nothing_of_others() {
    block_on(async {
        let mem = told(&[
            ("s", Some("u-1"), Some("Ada"), "I live in Oslo."),
            ("s", Some("u-1"), Some("Ada"), "I'm allergic to peanuts."),
            ("s", Some("u-2"), Some("Bo"), "I live in Rome."),
            ("t", Some("u-1"), Some("Ada"), "My sister Eve lives in Lima."),
            ("t", Some("u-1"), Some("Ada"), "I live in Bergen now."),
        ])
        .await;
        let of = |user: Option<&str>, max_tokens| ContextOptions {
            user_id: user.map(str::to_owned),
            max_tokens,
            ..ContextOptions::default()
        };
        let block = mem.context(Some("What is the tallest mountain?"), of(Some("u-1"), 1_000)).await.unwrap();
        let said = profile(&block);
        assert_eq!(said[..2], ["Ada is allergic to peanuts.", "Ada lives in Bergen."], "{}", block.text);
        assert!(!said.iter().any(|line| line.contains("Lima") || line.contains("Rome") || line.contains("Oslo")));
        let source = &block.sources[0];
        let entry: String = block.text.chars().take(source.end).skip(source.start).collect();
        assert_eq!((source.kind, source.layer, entry.contains("peanuts")), (Kind::Fact, Layer::Semantic, true));
        // Once: not among the memories again, however well it answers.
        let home = mem.context(Some("Where does Ada live now?"), of(Some("u-1"), 1_000)).await.unwrap();
        assert_eq!(home.text.matches("Ada lives in Bergen.").count(), 1, "{}", home.text);
        // Nobody in particular, somebody unknown, and no layer of facts.
        for options in [
            of(None, 1_000),
            of(Some("u-3"), 1_000),
            ContextOptions { layers: Some(vec![Layer::Episodic]), ..of(Some("u-1"), 1_000) },
        ] {
            let none = mem.context(Some("What is the tallest mountain?"), options).await.unwrap();
            assert_eq!(profile(&none), [""; 0], "{}", none.text);
        }
        // However much is known of others since, and of the user by another name.
        for n in 0..12 {
            let new = |user: &str, speaker: &str| NewMemory {
                user_id: Some(user.to_owned()),
                speaker: Some(speaker.to_owned()),
                kind: Some(Kind::Conversation),
                session_id: Some("later".to_owned()),
                ..NewMemory::new(format!("I like tea number {n}{n}. I like cakes of sort {n}{n}."))
            };
            mem.remember_many(vec![new("u-2", "Bo"), new("u-1", "Zed")]).await.unwrap();
        }
        mem.maintain(None).await.unwrap();
        let later = mem.context(Some("What is the tallest mountain?"), of(Some("u-1"), 1_000)).await.unwrap();
        assert_eq!(profile(&later)[..2], ["Ada is allergic to peanuts.", "Ada lives in Bergen."], "{}", later.text);
        // A quarter of the room, and none of it where nothing useful fits.
        let small = mem.context(Some("Where does Ada live now?"), of(Some("u-1"), 120)).await.unwrap();
        assert!(small.token_count <= 120 && profile(&small).len() <= 2, "{}", small.text);
        mem.close().await.unwrap();
    });
}

#[test]
fn the_only_one_who_speaks_in_a_session_is_whom_its_block_is_for() {
    block_on(async {
        let mem = told(&[
            ("s", None, Some("Ada"), "I live in Oslo."),
            ("t", None, Some("Bo"), "I live in Rome."),
            ("both", None, Some("Ada"), "Hello Bo, shall we order?"),
            ("both", None, Some("Bo"), "Yes, pizza please."),
            ("ada", None, Some("Ada"), "Good morning, is the machine free?"),
            ("nameless", None, None, "I live in Lima."),
            ("other", None, None, "Good morning, is the machine free?"),
        ])
        .await;
        let answer = NewMemory {
            kind: Some(Kind::Conversation),
            session_id: Some("ada".to_owned()),
            role: Some("assistant".to_owned()),
            ..NewMemory::new("It is free until noon.")
        };
        mem.remember(answer).await.unwrap();
        let block = |session: &str| {
            let (mem, session_id) = (mem.clone(), Some(session.to_owned()));
            async move { mem.context(None, ContextOptions { session_id, ..ContextOptions::default() }).await.unwrap() }
        };
        assert_eq!(profile(&block("ada").await), ["Ada lives in Oslo."]);
        assert_eq!(profile(&block("both").await), [""; 0]);
        assert_eq!(profile(&block("other").await), [""; 0], "who speaks without a name elsewhere may be somebody else");
        assert_eq!(profile(&block("nameless").await).len(), 1);
        mem.close().await.unwrap();
    });
}

#[test]
fn what_is_trusted_little_stands_in_no_profile() {
    block_on(async {
        let mem = Rae::builder().enrich(Enrich::Rules).open().await.unwrap();
        let turn = NewMemory {
            user_id: Some("ada".to_owned()),
            trust_level: Some(TrustLevel::Low),
            ..NewMemory::new("I live in Oslo.")
        };
        mem.remember(turn).await.unwrap();
        mem.maintain(None).await.unwrap();
        let options = ContextOptions { user_id: Some("ada".to_owned()), ..ContextOptions::default() };
        let block = mem.context(Some("What is the tallest mountain?"), options).await.unwrap();
        assert_eq!(profile(&block), [""; 0], "{}", block.text);
        mem.close().await.unwrap();
    });
}

#[test]
fn a_block_that_is_remembered_again_is_kept_as_it_is_and_found_by_none_of_its_words() {
    block_on(async {
        let mem = Rae::builder().enrich(Enrich::Rules).open().await.unwrap();
        let first = mem.remember(NewMemory::new("Caroline adopted a puppy called Scout.")).await.unwrap().id;
        let block = mem.context(Some("What is the puppy called?"), ContextOptions::default()).await.unwrap().text;
        assert!(block.contains("Scout"), "{block}");
        let fed = mem.remember(NewMemory::new(&block)).await.unwrap().id;
        let around = format!("{block}\nThe harbour master repaired the crane.");
        let mixed = mem.remember(NewMemory::new(&around)).await.unwrap().id;
        mem.maintain(None).await.unwrap();
        assert_eq!(mem.get(fed).await.unwrap().content, block, "nothing is lost");
        let found = |question: &'static str| {
            let mem = mem.clone();
            async move {
                let hits = mem.recall(question, RecallOptions::default()).await.unwrap().hits;
                hits.into_iter().filter(|hit| hit.signals.lexical > 0.0 || hit.signals.dense > 0.3).collect::<Vec<_>>()
            }
        };
        let puppy: Vec<_> = found("What is the puppy called, Scout?").await.iter().map(|hit| hit.id).collect();
        assert_eq!(puppy, [first]);
        let crane = found("Who repaired the crane?").await;
        assert_eq!(crane[0].id, mixed);
        let passage = &crane[0].passage;
        let said: String = around.chars().take(passage.end).skip(passage.start).collect();
        assert!(said.contains("crane"), "{said}");
        let again = mem
            .context(Some("the puppy Scout, the harbour and the crane"), ContextOptions::default())
            .await
            .unwrap()
            .text;
        assert_eq!((again.matches("Scout").count(), again.matches("<memory").count()), (1, 1), "{again}");
        assert!(again.contains("- The harbour master repaired the crane."), "{again}");
        mem.close().await.unwrap();
    });
}

#[test]
fn a_block_in_the_last_turn_asks_nothing_and_one_in_an_error_went_not_wrong() {
    block_on(async {
        let mem = Rae::builder().open().await.unwrap();
        for text in ["The zebra sleeps in the stable behind the mill.", "The boat is moored at the northern pier."] {
            mem.remember(NewMemory::new(text)).await.unwrap();
        }
        let zebras = mem.context(Some("Where does the zebra sleep?"), ContextOptions::default()).await.unwrap().text;
        let turn = |text: String| NewMemory {
            kind: Some(Kind::Conversation),
            session_id: Some("s".to_owned()),
            ..NewMemory::new(text)
        };
        mem.remember(turn(format!("{}\nWhere is the boat moored?", zebras.repeat(30)))).await.unwrap();
        mem.remember(turn(zebras.clone())).await.unwrap();
        let options = ContextOptions { session_id: Some("s".to_owned()), ..ContextOptions::default() };
        let block = mem.context(None, options).await.unwrap().text;
        let (memories, turns) = block.split_once("Recent turns:").unwrap();
        assert!(memories.contains("northern pier") && turns.contains("Where is the boat moored?"), "{block}");
        assert!(!block.contains("zebra"), "{block}");
        // Shortened, the turn keeps what was said in it.
        let small = ContextOptions { session_id: Some("s".to_owned()), max_tokens: 60, ..ContextOptions::default() };
        let small = mem.context(None, small).await.unwrap();
        assert!(small.text.contains("Where is the boat moored?"), "{}", small.text);
        let end = SessionEnd { error: Some(zebras), ..SessionEnd::new(SessionOutcome::Failure) };
        log(&mem, "t", EventType::UserInput, "Please feed the animals.", Value::Null).await;
        mem.end_session("t", end).await.unwrap();
        mem.reflect(ReflectOptions::default()).await.unwrap();
        let learnt = mem.reflections(Default::default()).await.unwrap();
        assert!(learnt.items.iter().all(|learnt| !learnt.content.contains("zebra")), "{learnt:?}");
        mem.close().await.unwrap();
    });
}
