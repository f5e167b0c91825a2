//! The cache of responses.

use super::{MODEL, all_of, ask, open, run, sent, stored, turns, with_memory};
use crate::provider_support::{Behaviour, FakeProvider, Fault};
use async_trait::async_trait;
use rae_core::{
    Ctx, Error, Forget, ForgetScope, NewMemory, Rae,
    embedded::cache::MemoryCache,
    model::{CallStatus, ChatFold, ChatRequest, ChatTool, Scope},
    ops::{CacheOptions, CacheResult, ChatOptions, CostLogOptions, MemoryOptions},
    ports::CacheStore,
    providers::{ProviderConfig, Providers},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

fn cached() -> ChatOptions {
    ChatOptions { cache: Some(CacheOptions::default()), ..ChatOptions::default() }
}

/// Memories in the prompt, and the turn not remembered.
fn reading() -> ChatOptions {
    ChatOptions { memory: Some(MemoryOptions { remember: false, ..MemoryOptions::default() }), ..cached() }
}

async fn result(rae: &Rae, request: ChatRequest, options: ChatOptions) -> CacheResult {
    rae.chat(request, options).await.unwrap().cache
}

/// A cache that shows what is in it, and can fail.
#[derive(Debug, Default)]
struct Glass {
    inner: MemoryCache,
    values: Mutex<HashMap<String, Vec<u8>>>,
    broken: AtomicBool,
}

impl Glass {
    fn check(&self) -> rae_core::Result<()> {
        match self.broken.load(Ordering::Acquire) {
            true => Err(Error::unavailable("broken")),
            false => Ok(()),
        }
    }

    /// Everything that holds `text`.
    fn holding(&self, text: &str) -> usize {
        self.values.lock().unwrap().values().filter(|v| String::from_utf8_lossy(v).contains(text)).count()
    }
}

#[async_trait]
impl CacheStore for Glass {
    async fn get(&self, ctx: &Ctx, key: &str) -> rae_core::Result<Option<Arc<[u8]>>> {
        self.check()?;
        self.inner.get(ctx, key).await
    }

    async fn put(&self, ctx: &Ctx, key: &str, value: Arc<[u8]>, ttl: Duration) -> rae_core::Result<()> {
        self.check()?;
        self.values.lock().unwrap().insert(format!("{:?}{key}", ctx.scope()), value.to_vec());
        self.inner.put(ctx, key, value, ttl).await
    }

    async fn remove(&self, ctx: &Ctx, key: &str) -> rae_core::Result<()> {
        self.check()?;
        self.values.lock().unwrap().remove(&format!("{:?}{key}", ctx.scope()));
        self.inner.remove(ctx, key).await
    }

    async fn add(&self, ctx: &Ctx, key: &str, amount: i64, ttl: Duration) -> rae_core::Result<i64> {
        self.check()?;
        self.inner.add(ctx, key, amount, ttl).await
    }

    async fn close(&self) -> rae_core::Result<()> {
        self.inner.close().await
    }
}

async fn open_on(fake: &FakeProvider, glass: &Arc<Glass>) -> Rae {
    let providers = Providers::new([ProviderConfig::openai("sk-geheim").at(fake.url())]).unwrap();
    let cache: Arc<dyn CacheStore> = Arc::<Glass>::clone(glass);
    Rae::builder().providers(Arc::new(providers)).cache(cache).open().await.unwrap()
}

#[test]
fn the_same_request_is_answered_once_and_what_that_saves_is_not_spent() {
    run(async {
        let fake = FakeProvider::start();
        let rae = open(&fake).await;
        let first = rae.chat(ask("How far is the moon?"), cached()).await.unwrap();
        let again = rae.chat(ask("How far is the moon?"), cached()).await.unwrap();
        assert_eq!((first.cache, again.cache, fake.seen().len()), (CacheResult::Miss, CacheResult::Exact, 1));
        assert_eq!((&first.response.message, &first.response.model), (&again.response.message, &again.response.model));
        assert!(first.cost.cost_usd.micros() > 0 && first.saved_usd.micros() == 0);
        assert_eq!((again.cost.cost_usd.micros(), again.saved_usd, again.cost.attempts), (0, first.cost.cost_usd, 0));
        let rows = rae.cost_log(CostLogOptions::default()).await.unwrap().items;
        let row = rows.iter().find(|row| row.status == CallStatus::Cached).unwrap();
        assert_eq!((row.cost_usd.micros(), row.saved_usd, row.usage.total()), (0, first.cost.cost_usd, 0));
        assert_eq!(rows.iter().map(|row| row.cost_usd.micros()).sum::<i64>(), first.cost.cost_usd.micros());
        let stats = rae.response_cache_stats();
        assert_eq!((stats.exact, stats.near, stats.misses, stats.hit_ratio()), (1, 0, 1, Some(0.5)));
        // Who does not ask for it neither gets from it nor is counted.
        assert_eq!(result(&rae, ask("How far is the moon?"), ChatOptions::default()).await, CacheResult::Off);
        assert_eq!((rae.response_cache_stats(), fake.seen().len()), (stats, 2));
    });
}

#[test]
fn another_wording_is_near_and_another_number_name_or_sense_is_not() {
    run(async {
        let fake = FakeProvider::start();
        let rae = open(&fake).await;
        let near = |text: &str| (ask(text), cached());
        for text in ["what is the capital city of France", "Is 17 a prime number?", "Which of these birds can fly?"] {
            let (request, options) = near(text);
            assert_eq!(result(&rae, request, options).await, CacheResult::Miss);
        }
        let (request, options) = near("What is the capital city of France?");
        assert_eq!(result(&rae, request, options).await, CacheResult::Near);
        for text in ["what is the capital city of Spain", "Is 18 a prime number?", "Which of these birds can not fly?"]
        {
            let (request, options) = near(text);
            assert_eq!(result(&rae, request, options).await, CacheResult::Miss, "{text}");
        }
        let stats = rae.response_cache_stats();
        assert_eq!((stats.exact, stats.near, stats.misses), (0, 1, 6));
        // The rest of the request must be the same to the letter.
        let mut other = ask("what is the capital city of France?");
        other.messages[0] = rae_core::model::ChatMessage::text(rae_core::model::ChatRole::System, "Be long.");
        assert_eq!(result(&rae, other, cached()).await, CacheResult::Miss);
        let exact_alone = CacheOptions { near: None, ..CacheOptions::default() };
        let options = ChatOptions { cache: Some(exact_alone), ..ChatOptions::default() };
        assert_eq!(result(&rae, ask("what is the capital city of France ?"), options).await, CacheResult::Miss);
    });
}

#[test]
fn tenants_projects_users_and_models_never_share_an_answer() {
    run(async {
        let fake = FakeProvider::start();
        let rae = open(&fake).await;
        assert_eq!(result(&rae, ask("Who am I?"), cached()).await, CacheResult::Miss);
        for (tenant, project) in [("t", "default"), ("default", "p"), ("t", "p")] {
            let other = rae.with_scope(Scope::new(tenant, project).unwrap());
            assert_eq!(result(&other, ask("Who am I?"), cached()).await, CacheResult::Miss, "{tenant} {project}");
        }
        for user in ["ada", "ben"] {
            let request = ChatRequest { user: Some(user.to_owned()), ..ask("Who am I?") };
            assert_eq!(result(&rae, request, cached()).await, CacheResult::Miss, "{user}");
            let mut options = cached();
            options.llm.user_id = Some(format!("{user}-by-header"));
            assert_eq!(result(&rae, ask("Who am I?"), options).await, CacheResult::Miss, "{user}");
        }
        let request = ChatRequest { model: "gpt-4o".to_owned(), ..ask("Who am I?") };
        assert_eq!(result(&rae, request, cached()).await, CacheResult::Miss);
        let request = ChatRequest { temperature: Some(0.5), ..ask("Who am I?") };
        assert_eq!(result(&rae, request, cached()).await, CacheResult::Miss);
        // With or without the provider's name it is the same model.
        let request = ChatRequest { model: format!("openai/{MODEL}"), ..ask("Who am I?") };
        assert_eq!(result(&rae, request, cached()).await, CacheResult::Exact);
    });
}

#[test]
fn what_failed_was_cut_refused_or_asks_for_tools_is_not_kept() {
    run(async {
        let fake = FakeProvider::start();
        let rae = open(&fake).await;
        fake.then(Behaviour::fails(Fault::Status(400)));
        rae.chat(ask("Fails?"), cached()).await.unwrap_err();
        let cut = ChatRequest { max_output_tokens: Some(1), ..ask("Cut?") };
        assert_eq!(rae.chat(cut.clone(), cached()).await.unwrap().response.finish_reason.as_str(), "length");
        let call = || Behaviour { call: Some(("f".to_owned(), serde_json::json!({}))), ..Behaviour::says("") };
        let tool = ChatTool { name: "f".into(), description: None, parameters: None, strict: None };
        let tools = ChatRequest { tools: vec![tool], ..ask("Tools?") };
        fake.then(call());
        assert_eq!(rae.chat(tools.clone(), cached()).await.unwrap().response.finish_reason.as_str(), "tool_calls");
        for request in [ask("Fails?"), cut, tools] {
            assert_eq!(result(&rae, request, cached()).await, CacheResult::Miss);
        }
        // More variety than the usual asks for another answer each time.
        let wild = ChatRequest { temperature: Some(1.2), ..ask("Wild?") };
        assert_eq!(result(&rae, wild.clone(), cached()).await, CacheResult::Off);
        assert_eq!(result(&rae, wild, cached()).await, CacheResult::Off);
    });
}

#[test]
fn a_stream_fills_the_cache_and_comes_from_it_in_pieces() {
    run(async {
        let fake = FakeProvider::start();
        let rae = open(&fake).await;
        let said = "word ".repeat(40).trim().to_owned();
        fake.usually(Behaviour::says(&said));
        let mut first = rae.chat_stream(ask("Many words?"), cached()).await.unwrap();
        assert_eq!((first.cache(), all_of(&mut first).await.len() > 10), (CacheResult::Miss, true));
        let mut again = rae.chat_stream(ask("Many words?"), cached()).await.unwrap();
        let (mut fold, chunks) = (ChatFold::default(), all_of(&mut again).await);
        chunks.iter().for_each(|chunk| fold.push(chunk));
        assert_eq!((again.cache(), fake.seen().len()), (CacheResult::Exact, 1));
        assert!(chunks.len() > 2 && fold.is_finished());
        assert_eq!(fold.response().message.plain_text(), said);
        let end = again.end().unwrap();
        assert_eq!((end.cost.cost_usd.micros(), end.saved_usd), (0, first.end().unwrap().cost.cost_usd));
        assert_eq!(result(&rae, ask("Many words?"), cached()).await, CacheResult::Exact);
        // What was broken off is not kept.
        fake.then(Behaviour::fails(Fault::ErrorInside));
        let mut broken = rae.chat_stream(ask("Broken?"), cached()).await.unwrap();
        while futures::StreamExt::next(&mut broken).await.is_some_and(|chunk| chunk.is_ok()) {}
        assert_eq!(result(&rae, ask("Broken?"), cached()).await, CacheResult::Miss);
    });
}

#[test]
fn an_answer_with_memories_is_good_until_the_memories_change() {
    run(async {
        let fake = FakeProvider::start();
        let rae = open(&fake).await;
        let question = || ask("What is the puppy of Caroline called?");
        rae.remember(NewMemory::new("Caroline adopted a puppy called Scout.")).await.unwrap();
        assert_eq!(result(&rae, question(), reading()).await, CacheResult::Miss);
        assert_eq!(result(&rae, question(), reading()).await, CacheResult::Exact);
        rae.remember(NewMemory::new("The weather in Porto was fine.")).await.unwrap();
        assert_eq!(result(&rae, question(), reading()).await, CacheResult::Miss);
        // A turn that is remembered changes them itself, so its answer is not kept.
        let both = || ChatOptions { cache: cached().cache, ..with_memory() };
        for expected in [CacheResult::Exact, CacheResult::Miss, CacheResult::Miss] {
            assert_eq!(result(&rae, question(), both()).await, expected);
        }
        assert_eq!(turns(&rae).await.len(), 6);
    });
}

#[test]
fn forget_takes_out_the_answers_that_a_memory_was_part_of_and_leaves_the_others() {
    run(async {
        let (fake, glass) = (FakeProvider::start(), Arc::new(Glass::default()));
        let rae = open_on(&fake, &glass).await;
        fake.usually(Behaviour::says("The code is 4711."));
        let code = rae.remember(NewMemory::new("The vault opens with the code 4711.")).await.unwrap().id;
        assert_eq!(result(&rae, ask("Which code opens the vault?"), reading()).await, CacheResult::Miss);
        assert_eq!(glass.holding("4711"), 1);
        fake.usually(Behaviour::says("Blue."));
        assert_eq!(result(&rae, ask("Which colour has the sky?"), cached()).await, CacheResult::Miss);
        let gone = rae.forget(Forget::Id(code)).await.unwrap();
        assert_eq!((gone.deleted, gone.pending.contains(&"cache".to_owned())), (1, false));
        assert_eq!(glass.holding("4711"), 0, "what was forgotten is in no answer");
        assert_eq!(result(&rae, ask("Which colour has the sky?"), cached()).await, CacheResult::Exact);
        fake.usually(Behaviour::says("I do not know."));
        assert_eq!(result(&rae, ask("Which code opens the vault?"), reading()).await, CacheResult::Miss);
    });
}

#[test]
fn erasing_a_user_session_project_or_tenant_empties_the_cache_of_the_project_alone() {
    run(async {
        let (fake, glass) = (FakeProvider::start(), Arc::new(Glass::default()));
        let rae = open_on(&fake, &glass).await;
        fake.usually(Behaviour::says("Secret of Ada."));
        let other = rae.with_scope(Scope::new("other", "default").unwrap());
        result(&other, ask("Tell me a secret."), cached()).await;
        for (scope, target) in
            [(ForgetScope::User, "ada"), (ForgetScope::Session, "monday"), (ForgetScope::Project, "default")]
        {
            assert_eq!(result(&rae, ask("Tell me a secret."), cached()).await, CacheResult::Miss, "{scope:?}");
            assert_eq!(result(&rae, ask("Tell me a secret."), cached()).await, CacheResult::Exact, "{scope:?}");
            rae.forget(Forget::Scope(scope, target.to_owned())).await.unwrap();
            assert_eq!(glass.holding("Secret of Ada"), 1, "{scope:?}: that of the other tenant");
        }
        result(&rae, ask("Tell me a secret."), cached()).await;
        rae.forget(Forget::Scope(ForgetScope::Tenant, "default".to_owned())).await.unwrap();
        assert_eq!(glass.holding("Secret of Ada"), 1);
        assert_eq!(result(&other, ask("Tell me a secret."), cached()).await, CacheResult::Exact);
    });
}

/// An open store of this file, with a cache of its own: what another process has.
async fn process(fake: &FakeProvider, path: &std::path::Path) -> Rae {
    let providers = Providers::new([ProviderConfig::openai("sk-geheim").at(fake.url())]).unwrap();
    Rae::builder().path(path).providers(Arc::new(providers)).open().await.unwrap()
}

#[test]
fn an_erasure_in_one_process_reaches_the_answers_that_another_one_keeps() {
    run(async {
        let (fake, folder) = (FakeProvider::start(), tempfile::tempdir().unwrap());
        let path = folder.path().join("store.rae");
        let (one, two) = (process(&fake, &path).await, process(&fake, &path).await);
        let stranger = two.with_scope(Scope::new("stranger", "default").unwrap());
        assert_eq!(result(&stranger, ask("Tell me a secret."), cached()).await, CacheResult::Miss);
        // Nothing but answers was ever in these projects.
        for project in ["default", "another"] {
            let here = two.with_scope(Scope::new("default", project).unwrap());
            for (scope, target, from) in [
                (ForgetScope::User, "ada", project),
                (ForgetScope::Session, "monday", project),
                (ForgetScope::Project, project, "default"),
                (ForgetScope::Project, project, "default"),
                (ForgetScope::Tenant, "default", "default"),
                (ForgetScope::Tenant, "default", "default"),
            ] {
                let there = one.with_scope(Scope::new("default", from).unwrap());
                for expected in [CacheResult::Miss, CacheResult::Exact] {
                    assert_eq!(
                        result(&here, ask("Tell me a secret."), cached()).await,
                        expected,
                        "{scope:?} {project}"
                    );
                }
                assert_eq!(result(&here, ask("tell me a secret"), cached()).await, CacheResult::Near);
                there.forget(Forget::Scope(scope, target.to_owned())).await.unwrap();
                assert_eq!(result(&here, ask("tell me a secret!"), cached()).await, CacheResult::Miss, "{scope:?}");
                there.forget(Forget::Scope(scope, target.to_owned())).await.unwrap();
            }
        }
        assert_eq!(result(&stranger, ask("Tell me a secret."), cached()).await, CacheResult::Exact);
    });
}

#[test]
fn a_memory_that_is_forgotten_in_one_process_is_in_no_answer_of_another_one() {
    run(async {
        let (fake, folder) = (FakeProvider::start(), tempfile::tempdir().unwrap());
        let path = folder.path().join("store.rae");
        let (one, two) = (process(&fake, &path).await, process(&fake, &path).await);
        let code = one.remember(NewMemory::new("The vault opens with the code 4711.")).await.unwrap().id;
        fake.usually(Behaviour::says("The code is 4711."));
        for expected in [CacheResult::Miss, CacheResult::Exact] {
            assert_eq!(result(&two, ask("Which code opens the vault?"), reading()).await, expected);
        }
        one.forget(Forget::Id(code)).await.unwrap();
        fake.usually(Behaviour::says("I do not know."));
        let answer = two.chat(ask("Which code opens the vault?"), reading()).await.unwrap();
        assert_eq!((answer.cache, answer.memories.len()), (CacheResult::Miss, 0));
        assert_eq!(answer.response.message.plain_text(), "I do not know.");
        // What marks an erasure is no memory that anybody sees, and hides none that says the same.
        two.remember(NewMemory::new("erased")).await.unwrap();
        one.forget(Forget::Scope(ForgetScope::User, "ada".to_owned())).await.unwrap();
        assert_eq!(two.stats().await.unwrap().memories, 1);
    });
}

#[test]
fn an_answer_under_way_while_its_user_is_erased_is_not_kept() {
    run(async {
        let (fake, glass) = (FakeProvider::start(), Arc::new(Glass::default()));
        let rae = open_on(&fake, &glass).await;
        fake.usually(Behaviour::says("Secret of Ada."));
        let mut stream = rae.chat_stream(ask("Tell me a secret."), cached()).await.unwrap();
        rae.forget(Forget::Scope(ForgetScope::User, "ada".to_owned())).await.unwrap();
        all_of(&mut stream).await;
        assert_eq!(glass.holding("Secret of Ada"), 0);
        assert_eq!(result(&rae, ask("Tell me a secret."), cached()).await, CacheResult::Miss);
    });
}

#[test]
fn a_project_keeps_a_bounded_number_of_answers_and_the_oldest_goes() {
    run(async {
        let (fake, glass) = (FakeProvider::start(), Arc::new(Glass::default()));
        let rae = open_on(&fake, &glass).await;
        fake.usually(Behaviour::says("Kept answer."));
        let most = rae_core::limits::ANSWERS_KEPT_MAX;
        for i in 0..most + 10 {
            result(&rae, ask(&format!("Question {i}?")), cached()).await;
        }
        assert_eq!(glass.holding("Kept answer."), usize::try_from(most).unwrap());
        assert_eq!(result(&rae, ask("Question 12?"), cached()).await, CacheResult::Exact);
        assert_eq!(result(&rae, ask("Question 3?"), cached()).await, CacheResult::Miss);
        rae.forget(Forget::Scope(ForgetScope::User, "ada".to_owned())).await.unwrap();
        assert_eq!((glass.holding("Kept answer."), glass.holding("facts")), (0, 0));
    });
}

#[test]
fn a_cache_that_does_not_answer_costs_money_and_never_an_answer() {
    run(async {
        let (fake, glass) = (FakeProvider::start(), Arc::new(Glass::default()));
        let rae = open_on(&fake, &glass).await;
        let id = rae.remember(NewMemory::new("Something to forget.")).await.unwrap().id;
        glass.broken.store(true, Ordering::Release);
        for _ in 0..2 {
            let answer = rae.chat(ask("How far is the moon?"), cached()).await.unwrap();
            assert_eq!(answer.response.message.plain_text(), "Hello there");
        }
        assert_eq!(fake.seen().len(), 2);
        let gone = rae.forget(Forget::Id(id)).await.unwrap();
        assert!(gone.deleted == 1 && gone.pending.contains(&"cache".to_owned()), "{gone:?}");
    });
}

#[test]
fn an_answer_from_the_cache_needs_no_budget_and_is_remembered_as_any_other() {
    run(async {
        let fake = FakeProvider::start();
        let rae = open(&fake).await;
        result(&rae, ask("How far is the moon?"), cached()).await;
        let mut change = rae_core::model::BudgetChange::default();
        change.limits[rae_core::model::LimitKind::DailyUsd as usize] = Some(Some(0));
        rae.set_budget(rae_core::model::BudgetLevel::Tenant, change).await.unwrap();
        let both = ChatOptions { cache: cached().cache, ..with_memory() };
        let answer = rae.chat(ask("How far is the moon?"), both).await.unwrap();
        assert_eq!((answer.cache, answer.remembered.len(), sent(&fake).len()), (CacheResult::Exact, 2, 2));
        assert_eq!(stored(&rae).await.len(), 2);
    });
}
