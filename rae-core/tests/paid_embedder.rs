//! An embedder that costs money: every request is held to the budgets and booked, a budget that is full refuses neither a write nor a
//! search, and the vectors that are owed wait for the next day.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod provider_support;

use futures::future::{Either, select};
use provider_support::{Behaviour, Charged, FakeProvider, Fault, Says};
use rae_core::{
    CostLogOptions, CostOptions, EmbedRole, Embedding, Error, ErrorKind, JobResult, JobsOptions, MemoryUpdate,
    NewMemory, PriceBook, Rae, RecallOptions, Timestamp, UnknownModel, WorkOptions, block_on,
    embedded::memory::ReferenceStore,
    guard::{Fault as StoreFault, Faults, Guarded, Policy, When},
    limits::JOB_ATTEMPTS_MAX,
    model::{BudgetChange, BudgetLevel, CallStatus, JobEntry, JobState, LedgerRow, Usd},
    ports::{Clock, ManualClock, RetryPolicy},
    providers::{ProviderConfig, Providers},
};
use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

const NAME: &str = "openai:text-embedding-3-small@64";
/// A thousandth of a dollar a token.
const PRICES: &str = r#"{"models": [{"provider": "openai", "model": "text-embedding-3-small", "embedding": "1000"}]}"#;
const TOKEN: i64 = 1_000;

fn costs() -> CostOptions {
    let retry = RetryPolicy { attempts: 2, base: Duration::from_millis(1), ..RetryPolicy::default() };
    let prices = PriceBook::built_in().unwrap().with_overrides(PRICES).unwrap();
    CostOptions { prices, retry, ..CostOptions::default() }
}

fn providers(fake: &FakeProvider) -> Arc<Providers> {
    Arc::new(Providers::new([ProviderConfig::openai("sk-geheim").at(fake.url())]).unwrap())
}

/// A store in the evening of a day, whose embedder is the provider's.
async fn open(fake: &FakeProvider) -> (Rae, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-11-27T20:00:00Z").unwrap()));
    let builder = Rae::builder().embedding(Embedding::named(NAME).unwrap()).providers(providers(fake));
    let builder = builder.costs(costs()).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    (builder.open().await.unwrap(), clock)
}

async fn limit(mem: &Rae, micros: i64) {
    let change = BudgetChange { limits: [Some(Some(micros)), None, None, None], ..BudgetChange::default() };
    mem.set_budget(BudgetLevel::Tenant, change).await.unwrap();
}

async fn ledger(mem: &Rae) -> Vec<LedgerRow> {
    mem.settle().await.unwrap();
    let log = mem.cost_log(CostLogOptions { limit: 1_000, ..CostLogOptions::default() }).await.unwrap();
    assert_eq!(log.next_cursor, None);
    log.items
}

async fn jobs(mem: &Rae) -> Vec<JobEntry> {
    mem.jobs(JobsOptions::default()).await.unwrap().items
}

/// The ledger, and what the provider says that it charged: to the token and to the micro-dollar.
async fn reconciled(mem: &Rae, fake: &FakeProvider) -> Vec<LedgerRow> {
    let rows = ledger(mem).await;
    let charged = fake.charged();
    let paid = rows.iter().filter(|row| row.cost_usd > Usd::ZERO);
    assert_eq!(paid.count() as u64, charged.requests);
    assert_eq!(rows.iter().map(|row| row.usage.input_tokens).sum::<u64>(), charged.input);
    let sum: i64 = rows.iter().map(|row| row.cost_usd.micros()).sum();
    assert_eq!(sum, i64::try_from(charged.input).unwrap() * TOKEN);
    for row in &rows {
        assert_eq!((row.label.provider.as_str(), row.label.model.as_str()), ("openai", "text-embedding-3-small"));
        assert_eq!((row.label.operation.as_str(), row.usage.output_tokens), ("embed", 0));
    }
    assert_eq!(held(mem).await, Usd::ZERO);
    rows
}

async fn held(mem: &Rae) -> Usd {
    mem.budget(BudgetLevel::Tenant).await.unwrap().daily.reserved_usd
}

fn lamp(colour: &str) -> NewMemory {
    NewMemory::new(format!("The lamp of the lighthouse is {colour}."))
}

#[test]
fn every_request_is_a_row_of_the_ledger_to_the_micro_dollar() {
    let fake = FakeProvider::start();
    block_on(async {
        let (mem, clock) = open(&fake).await;
        let receipt = mem.remember(lamp("green")).await.unwrap();
        assert_eq!(receipt.degraded, Vec::<String>::new());
        // Three requests: one takes a hundred texts.
        mem.remember_many((0..250).map(|n| NewMemory::new(format!("Note number {n}."))).collect()).await.unwrap();
        let update = MemoryUpdate { content: Some("The lamp is red.".into()), ..MemoryUpdate::default() };
        mem.update(receipt.id, update).await.unwrap();
        assert_eq!(reconciled(&mem, &fake).await.len(), 5);
        assert_eq!(mem.stats().await.unwrap().vectors, 251);
        for _ in 0..3 {
            let hits = mem.recall("Which colour has the lamp?", RecallOptions::default()).await.unwrap();
            assert_eq!((hits.degraded.len(), hits.hits[0].id), (0, receipt.id));
            assert!(hits.hits[0].signals.dense > 0.0);
        }
        assert_eq!(reconciled(&mem, &fake).await.len(), 6, "the vector of a question is kept");
        let vectors = mem.embed(&["", "a lamp", " "], EmbedRole::Document).await.unwrap();
        assert_eq!(vectors.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
        mem.embed(&["", "\n"], EmbedRole::Document).await.unwrap();
        let rows = reconciled(&mem, &fake).await;
        assert_eq!(rows.len(), 7, "nothing to embed is nothing to pay");
        assert!(rows.iter().all(|row| row.status == CallStatus::Ok && row.attempt == 1 && !row.estimated));
        let used = mem.budget(BudgetLevel::Tenant).await.unwrap().daily.used_usd.micros();
        assert_eq!(used, i64::try_from(fake.charged().input).unwrap() * TOKEN);
        clock.advance_seconds(4 * 3_600);
        assert_eq!(mem.budget(BudgetLevel::Tenant).await.unwrap().daily.used_usd, Usd::ZERO);
        mem.close().await.unwrap();
    });
}

#[test]
fn a_write_over_the_budget_is_kept_without_a_vector_and_its_job_waits_for_the_next_day() {
    let fake = FakeProvider::start();
    block_on(async {
        let (mem, clock) = open(&fake).await;
        limit(&mem, 0).await;
        let receipt = mem.remember(lamp("green")).await.unwrap();
        assert_eq!(receipt.degraded, ["dense"]);
        let update = MemoryUpdate { content: Some("The lamp is red.".into()), ..MemoryUpdate::default() };
        assert_eq!(mem.update(receipt.id, update).await.unwrap().degraded, ["dense"]);
        let midnight = Timestamp::parse("2026-11-28").unwrap();
        let waiting = jobs(&mem).await;
        assert_eq!(waiting.iter().map(|job| (job.run_at, job.attempts)).collect::<Vec<_>>(), [(midnight, 0); 2]);
        assert_eq!(mem.stats().await.unwrap().vectors, 0);
        assert!(mem.run_due_job(&WorkOptions::default()).await.unwrap().is_none());
        assert_eq!(fake.charged(), Charged::default());
        limit(&mem, 1_000_000).await;
        clock.set(midnight);
        assert_eq!(mem.maintain(None).await.unwrap().ran.get("embedded"), Some(&1), "two jobs owe one vector");
        assert_eq!(mem.stats().await.unwrap().vectors, 1);
        assert_eq!(jobs(&mem).await.len(), 0);
        assert_eq!(reconciled(&mem, &fake).await.len(), 1);
        mem.close().await.unwrap();
    });
}

#[test]
fn a_search_over_the_budget_answers_by_words() {
    let fake = FakeProvider::start();
    block_on(async {
        let (mem, _) = open(&fake).await;
        let green = mem.remember(lamp("green")).await.unwrap();
        mem.remember(NewMemory::new("The ferry leaves at ten.")).await.unwrap();
        let before = fake.charged();
        limit(&mem, 0).await;
        let hits = mem.recall("lamp of the lighthouse", RecallOptions::default()).await.unwrap();
        assert_eq!((hits.degraded, hits.hits[0].id), (vec!["dense".to_owned()], green.id));
        let error = mem.embed(&["a lamp"], EmbedRole::Query).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::BudgetExceeded, "daily_usd_budget_exceeded"));
        assert_eq!(fake.charged(), before, "not a byte was sent");
        limit(&mem, 1_000_000_000).await;
        let hits = mem.recall("lamp of the lighthouse", RecallOptions::default()).await.unwrap();
        assert_eq!(hits.degraded, Vec::<String>::new());
        mem.close().await.unwrap();
    });
}

#[test]
fn a_worker_over_the_budget_asks_nobody_and_uses_up_no_attempt() {
    let fake = FakeProvider::start();
    block_on(async {
        let (mem, clock) = open(&fake).await;
        limit(&mem, 0).await;
        mem.remember(lamp("green")).await.unwrap();
        let mut parked = 0;
        for tick in 0..1_000 {
            clock.advance_seconds(3_600);
            if let Some(run) = mem.run_due_job(&WorkOptions::default()).await.unwrap() {
                assert_eq!((run.result, run.error), (JobResult::Parked, Some(ErrorKind::BudgetExceeded)));
                parked += 1;
            }
            if tick % 100 == 0 {
                mem.recall(&format!("lamp {tick}"), RecallOptions::default()).await.unwrap();
            }
        }
        assert!(parked > i64::from(JOB_ATTEMPTS_MAX) && parked <= 42, "once a day: {parked}");
        let waiting = jobs(&mem).await;
        assert_eq!((waiting.len(), waiting[0].state, waiting[0].attempts), (1, JobState::Queued, 0));
        assert_eq!(waiting[0].last_error.as_deref(), Some("daily_usd_budget_exceeded"));
        assert_eq!((fake.seen().len(), ledger(&mem).await.len()), (0, 0));
        limit(&mem, 1_000_000).await;
        clock.advance_seconds(86_400);
        let run = mem.run_due_job(&WorkOptions::default()).await.unwrap().unwrap();
        assert_eq!((run.result, run.attempts), (JobResult::Done, 1));
        assert_eq!(mem.stats().await.unwrap().vectors, 1);
        mem.close().await.unwrap();
    });
}

#[test]
fn what_was_paid_for_before_the_budget_was_full_is_kept() {
    let fake = FakeProvider::start();
    block_on(async {
        let (mem, clock) = open(&fake).await;
        let note = |n: u64| NewMemory::new(format!("Note {n:03} of the day."));
        // Room for one request with a hundred of them, and not for the next one of fifty.
        let request = 100 * (20 + 2) * TOKEN;
        fake.usually(Behaviour { input: Some(2_000), ..Behaviour::default() });
        limit(&mem, request + request / 4).await;
        let receipts = mem.remember_many((0..250).map(note).collect()).await.unwrap();
        let vectors: Vec<bool> = receipts.iter().map(|receipt| receipt.degraded.is_empty()).collect();
        assert_eq!(vectors, [vec![true; 100], vec![false; 150]].concat());
        assert_eq!(mem.stats().await.unwrap().vectors, 100);
        let mut days = Vec::new();
        while !jobs(&mem).await.is_empty() {
            clock.advance_seconds(86_400);
            let run = mem.run_due_job(&WorkOptions::default()).await.unwrap().unwrap();
            days.push((run.result, mem.stats().await.unwrap().vectors));
        }
        assert_eq!(days, [(JobResult::Parked, 200), (JobResult::Done, 250)]);
        assert_eq!(reconciled(&mem, &fake).await.len(), 3, "no text is paid for twice");
        mem.close().await.unwrap();
    });
}

/// How often each text was sent to the provider.
fn times_sent(fake: &FakeProvider) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for seen in fake.seen() {
        for text in seen.body["input"].as_array().unwrap() {
            *times.entry(text.as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    times
}

/// A store whose writes can be made to fail, with 250 notes that owe their vectors.
async fn indebted(fake: &FakeProvider, faults: &Arc<Faults>) -> (Rae, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-11-27T20:00:00Z").unwrap()));
    let truth = Arc::new(ReferenceStore::new(Arc::clone(&clock) as Arc<dyn Clock>));
    let truth = Guarded::relational(truth, Policy { attempts: 1, ..Policy::default() }).with_faults(Arc::clone(faults));
    let builder = Rae::builder().relational(Arc::new(truth)).embedding(Embedding::named(NAME).unwrap());
    let builder = builder.providers(providers(fake)).costs(costs()).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let mem = builder.open().await.unwrap();
    limit(&mem, 0).await;
    mem.remember_many((0..250).map(|n| NewMemory::new(format!("Note {n:03} of the day."))).collect()).await.unwrap();
    limit(&mem, 1_000_000_000).await;
    clock.advance_seconds(86_400);
    (mem, clock)
}

#[test]
fn a_job_whose_store_fails_between_requests_pays_again_for_the_one_in_hand_alone() {
    // Of a request, the store takes the reserve, the mark that it was sent, the settlement and the vectors.
    for fails_at in 1..=16 {
        for when in [When::Before, When::After] {
            let (fake, faults) = (FakeProvider::start(), Faults::new());
            block_on(async {
                let (mem, clock) = indebted(&fake, &faults).await;
                let fault = StoreFault::Fail { kind: ErrorKind::Corrupt, temporary: false, when };
                faults.on("apply", faults.calls("apply") + fails_at, fault);
                let mut runs = 0;
                while !jobs(&mem).await.is_empty() {
                    runs += 1;
                    // One whose end could not be told is due again when its lease is over.
                    let _ = mem.run_due_job(&WorkOptions::default()).await;
                    clock.advance_seconds(3_600);
                    assert!(runs < 5, "write {fails_at} {when:?}");
                }
                assert_eq!(mem.stats().await.unwrap().vectors, 250);
                let times = times_sent(&fake);
                assert_eq!(times.len(), 250);
                let twice = times.values().filter(|times| **times > 1).count();
                assert!(twice <= 100, "write {fails_at} {when:?}: {twice} texts were paid for twice");
                assert!(times.values().all(|times| *times <= 2), "write {fails_at} {when:?}");
                mem.close().await.unwrap();
            });
        }
    }
}

#[test]
fn a_job_that_is_given_up_in_the_middle_keeps_what_it_paid_for() {
    let (fake, faults) = (Arc::new(FakeProvider::start()), Faults::new());
    block_on(async {
        let (mem, clock) = indebted(&fake, &faults).await;
        fake.then(Behaviour::default()).then(Behaviour::default()).then(Behaviour::fails(Fault::Stall));
        let (tell, told) = futures::channel::oneshot::channel();
        let asked = Arc::clone(&fake);
        std::thread::spawn(move || {
            asked.wait_for_requests(3);
            tell.send(()).unwrap();
        });
        let options = WorkOptions::default();
        {
            let job = pin!(mem.run_due_job(&options));
            assert!(matches!(select(job, told).await, Either::Right(_)), "the third request gets no answer");
        }
        assert_eq!(mem.stats().await.unwrap().vectors, 200);
        clock.advance_seconds(3_600);
        let run = mem.run_due_job(&options).await.unwrap().unwrap();
        assert_eq!((run.result, run.attempts), (JobResult::Done, 2));
        assert_eq!((mem.stats().await.unwrap().vectors, fake.seen().len()), (250, 4));
        let twice: Vec<String> =
            times_sent(&fake).into_iter().filter(|(_, times)| *times > 1).map(|(t, _)| t).collect();
        assert_eq!((twice.len(), twice[0].as_str()), (50, "Note 200 of the day."), "the request that was in hand");
        mem.close().await.unwrap();
    });
}

#[test]
fn a_provider_that_charges_and_fails_is_counted_and_stopped_by_the_budget() {
    for fault in [Fault::ChargedStatus(500), Fault::Closed, Fault::Truncated, Fault::NotJson] {
        let fake = FakeProvider::start();
        fake.usually(Behaviour::fails(fault));
        block_on(async {
            let (mem, clock) = open(&fake).await;
            let daily = 200 * TOKEN;
            limit(&mem, daily).await;
            for n in 0..40 {
                let receipt = mem.remember(lamp(&format!("green {n}"))).await.unwrap();
                assert_eq!(receipt.degraded, ["dense"]);
                mem.recall(&format!("lamp {n}"), RecallOptions::default()).await.unwrap();
                mem.run_due_job(&WorkOptions::default()).await.unwrap();
                clock.advance_seconds(60);
            }
            let rows = ledger(&mem).await;
            let charged = fake.charged();
            assert!(charged.requests >= 2, "{fault:?}: {charged:?}");
            assert_eq!(rows.len() as u64, charged.requests, "{fault:?}");
            assert!(rows.iter().all(|row| row.status == CallStatus::Unconfirmed && row.error.is_some()), "{fault:?}");
            let booked = rows.iter().map(|row| row.cost_usd.micros()).sum::<i64>();
            assert!(booked >= i64::try_from(charged.input).unwrap() * TOKEN, "{fault:?}: at least what was charged");
            assert!(booked <= daily, "{fault:?}: {booked}");
            assert_eq!(mem.stats().await.unwrap().memories, 40);
            assert_eq!(held(&mem).await, Usd::ZERO);
            mem.close().await.unwrap();
        });
    }
}

#[test]
fn a_refusal_of_the_provider_costs_nothing_and_loses_no_text() {
    for (fault, code) in [
        (Fault::Status(400), "provider_rejected"),
        (Fault::BadKey, "provider_authentication"),
        (Fault::RateLimited(1_000), "provider_rate_limited"),
    ] {
        let fake = FakeProvider::start();
        fake.usually(Behaviour::fails(fault));
        block_on(async {
            let (mem, _) = open(&fake).await;
            assert_eq!(mem.remember(lamp("green")).await.unwrap().degraded, ["dense"]);
            let hits = mem.recall("lamp", RecallOptions::default()).await.unwrap();
            assert_eq!((hits.hits.len(), hits.degraded), (1, vec!["dense".to_owned()]));
            let error = mem.embed(&["a lamp"], EmbedRole::Document).await.unwrap_err();
            assert_eq!(error.code(), code);
            assert!(!format!("{error:?} {error}").contains("geheim"), "{error:?}");
            assert_eq!((fake.charged(), fake.seen().len()), (Charged::default(), 3), "{fault:?}");
            let rows = reconciled(&mem, &fake).await;
            assert!(rows.iter().all(|row| row.error.as_deref() == Some(code)), "{rows:?}");
            fake.usually(Behaviour::default());
            assert_eq!(mem.maintain(None).await.unwrap().ran.get("embedded"), Some(&1));
            mem.close().await.unwrap();
        });
    }
}

#[test]
fn a_request_that_passes_on_its_second_attempt_has_two_rows() {
    let fake = FakeProvider::start();
    fake.then(Behaviour::fails(Fault::Status(503))).then(Behaviour::default());
    block_on(async {
        let (mem, _) = open(&fake).await;
        assert_eq!(mem.remember(lamp("green")).await.unwrap().degraded, Vec::<String>::new());
        let rows = reconciled(&mem, &fake).await;
        let seen: Vec<_> = rows.iter().map(|row| (row.attempt, row.status)).collect();
        assert_eq!(seen, [(2, CallStatus::Ok), (1, CallStatus::Failed)]);
        mem.close().await.unwrap();
    });
}

#[test]
fn tokens_that_nobody_counted_are_counted_here_and_marked() {
    let fake = FakeProvider::start();
    fake.usually(Behaviour { says: Says::Nothing, ..Behaviour::default() });
    block_on(async {
        let (mem, _) = open(&fake).await;
        mem.remember(lamp("green")).await.unwrap();
        let rows = ledger(&mem).await;
        assert!(rows[0].estimated && rows[0].usage.input_tokens > 0);
        assert_eq!(rows[0].cost_usd.micros(), i64::try_from(rows[0].usage.input_tokens).unwrap() * TOKEN);
        mem.close().await.unwrap();
    });
}

#[test]
fn a_call_that_is_given_up_in_the_middle_is_booked_at_what_was_held() {
    let fake = Arc::new(FakeProvider::start());
    fake.usually(Behaviour::fails(Fault::Stall));
    block_on(async {
        let (mem, _) = open(&fake).await;
        let (tell, told) = futures::channel::oneshot::channel();
        let asked = Arc::clone(&fake);
        std::thread::spawn(move || {
            asked.wait_for_requests(1);
            tell.send(()).unwrap();
        });
        {
            let call = pin!(mem.remember(lamp("green")));
            assert!(matches!(select(call, told).await, Either::Right(_)), "the provider does not answer");
        }
        let rows = ledger(&mem).await;
        assert_eq!((rows.len(), rows[0].status), (1, CallStatus::Cancelled));
        assert!(rows[0].cost_usd.micros() >= i64::try_from(fake.charged().input).unwrap() * TOKEN);
        assert_eq!(held(&mem).await, Usd::ZERO);
        assert_eq!(mem.stats().await.unwrap().memories, 0);
        mem.close().await.unwrap();
    });
}

#[test]
fn an_embedder_is_opened_by_the_name_of_its_provider() {
    let fake = FakeProvider::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.rae");
    let opened = |name: &str, costs: CostOptions| {
        let builder = Rae::builder().path(&path).embedding(Embedding::named(name).unwrap());
        block_on(builder.providers(providers(&fake)).costs(costs).open())
    };
    let code = |opened: Result<Rae, Error>| opened.unwrap_err().code().to_owned();
    let dear = costs().prices;
    assert_eq!(code(opened("openai:some-model@64", costs())), "unknown_model_price", "nothing could be held for it");
    assert_eq!(code(opened("nobody:some-model@64", costs())), "embedder_provider");
    assert_eq!(code(opened("openai:some-model", costs())), "invalid_input", "a dimension that nobody knows");
    let mem = opened(NAME, costs()).unwrap();
    assert_eq!(block_on(mem.stats()).unwrap().embedder.id, "text-embedding-3-small@openai/64");
    block_on(mem.remember(lamp("green"))).unwrap();
    // Another one by its name, with the keys that the store was opened with.
    let other = mem.load_embedder(Embedding::named("openai:text-embedding-3-large@64").unwrap()).unwrap();
    let done = block_on(mem.reembed(other)).unwrap();
    assert_eq!((done.to.as_str(), done.vectors), ("text-embedding-3-large@openai/64", 1));
    assert_eq!(block_on(ledger(&mem)).len(), 2);
    let unpriced = mem.load_embedder(Embedding::named("openai:some-model@64").unwrap()).unwrap();
    assert_eq!(block_on(mem.reembed(unpriced)).unwrap_err().code(), "unknown_model_price");
    block_on(mem.close()).unwrap();
    assert_eq!(code(opened(NAME, costs())), "embedder_mismatch");
    let ceiling = UnknownModel::Ceiling { input: 1_000_000, output: 1_000_000 };
    let priced = CostOptions { prices: dear.with_unknown_model(ceiling).unwrap(), ..costs() };
    assert_eq!(code(opened("openai:some-model@64", priced)), "embedder_mismatch", "a ceiling is a price");
}

#[test]
fn within_tokio_the_embedder_runs_on_the_runtime_of_its_caller() {
    let fake = FakeProvider::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mem, _) = open(&fake).await;
        assert_eq!(mem.remember(lamp("green")).await.unwrap().degraded, Vec::<String>::new());
        assert_eq!(reconciled(&mem, &fake).await.len(), 1);
        mem.close().await.unwrap();
    });
}
