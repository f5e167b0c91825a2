//! Calls of chat models within budgets: a real store, and a local server that speaks a provider's wire format and fails as one does.
#![cfg(all(feature = "http", feature = "embedded"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod provider_support;

use futures::{StreamExt, future::join_all};
use provider_support::{Behaviour, FakeProvider, Fault, Says};
use rae_core::{
    CostLogOptions, CostOptions, CostsOptions, ErrorKind, LlmOptions, MeterEnd, MeteredCall, PriceBook, Rae,
    model::{
        BudgetChange, BudgetLevel, CallLabel, CallStatus, ChatMessage, ChatRequest, ChatRole, Funds, LedgerRow,
        LimitKind, Scope, Settlement, Timestamp, Usage, Usd,
    },
    ports::{CostObserver, ManualClock, RetryPolicy},
    providers::{ProviderConfig, ProviderKind, Providers},
};
use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What four words of an answer cost: reading is free here, so that the worst of a call is what it costs.
const CALL: i64 = 40;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// Keeps what an observer is told: how attempts ended and what they cost, and whose times.
#[derive(Debug, Default)]
struct Told {
    booked: Mutex<Vec<(String, CallStatus, i64)>>,
    took: Mutex<Vec<String>>,
}

impl CostObserver for Told {
    fn booked(&self, scope: &Scope, label: &CallLabel, settlement: &Settlement, _: Option<&Funds>) {
        assert_eq!(label.provider, "fake");
        let one = (scope.project().to_owned(), settlement.status, settlement.cost.micros());
        self.booked.lock().unwrap().push(one);
    }

    fn funds(&self, _: &Scope, _: &Funds) {}

    fn took(&self, label: &CallLabel, _: Duration) {
        self.took.lock().unwrap().push(label.operation.clone());
    }
}

struct Rig {
    fake: FakeProvider,
    mem: Rae,
    told: Arc<Told>,
    _folder: tempfile::TempDir,
}

async fn rig(clock: Option<Arc<ManualClock>>) -> Rig {
    let (fake, folder, told) = (FakeProvider::start(), tempfile::tempdir().unwrap(), Arc::new(Told::default()));
    fake.usually(Behaviour::says("one two three four"));
    let config = ProviderConfig::new("fake", ProviderKind::OpenAi).key("sk-geheim").at(fake.url());
    let prices =
        r#"{"models": [{"provider": "fake", "model": "*", "from": "2020-01-01", "input": "0", "output": "10"}]}"#;
    let retry = RetryPolicy { base: Duration::from_millis(1), ..RetryPolicy::default() };
    let costs = CostOptions {
        prices: PriceBook::built_in().unwrap().with_overrides(prices).unwrap(),
        retry,
        observer: Arc::clone(&told) as _,
        ..CostOptions::default()
    };
    let mut builder = Rae::builder()
        .path(folder.path().join("a.rae"))
        .costs(costs)
        .providers(Arc::new(Providers::new([config]).unwrap()));
    if let Some(clock) = clock {
        builder = builder.clock(clock);
    }
    Rig { fake, mem: builder.open().await.unwrap(), told, _folder: folder }
}

fn ask() -> ChatRequest {
    ChatRequest {
        model: "fake/m-1".to_owned(),
        messages: vec![ChatMessage::text(ChatRole::User, "How do you do?")],
        max_output_tokens: Some(4),
        ..ChatRequest::default()
    }
}

async fn limit(mem: &Rae, kind: LimitKind, amount: i64) {
    let mut change = BudgetChange::default();
    change.limits[kind as usize] = Some(Some(amount));
    mem.set_budget(BudgetLevel::Tenant, change).await.unwrap();
}

async fn log(mem: &Rae) -> Vec<LedgerRow> {
    mem.settle().await.unwrap();
    mem.cost_log(CostLogOptions { limit: 1_000, ..CostLogOptions::default() }).await.unwrap().items
}

async fn used(mem: &Rae) -> (i64, i64) {
    let day = mem.funds().await.unwrap().tenant.day;
    (day.used.usd.micros(), day.reserved.usd.micros())
}

#[test]
fn of_200_calls_at_once_a_budget_with_room_for_50_lets_50_through() {
    run(async {
        let rig = rig(None).await;
        limit(&rig.mem, LimitKind::DailyUsd, 50 * CALL).await;
        let calls = (0..200).map(|_| {
            let mem = rig.mem.clone();
            tokio::spawn(async move { mem.llm(ask(), LlmOptions::default()).await })
        });
        let results: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        let (answered, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((answered.len(), refused.len()), (50, 150));
        for error in refused.into_iter().map(Result::unwrap_err) {
            assert_eq!((error.kind(), error.code()), (ErrorKind::BudgetExceeded, "daily_usd_budget_exceeded"));
        }
        assert_eq!(rig.fake.seen().len(), 50, "nothing was sent past the limit");
        assert_eq!(used(&rig.mem).await, (50 * CALL, 0));
        let warned = rig.mem.budget(BudgetLevel::Tenant).await.unwrap();
        assert!(warned.warning);
        assert_eq!(warned.daily.remaining_usd, Some(Usd::ZERO));
    });
}

#[test]
fn a_provider_that_charges_and_always_fails_is_counted_and_stopped() {
    run(async {
        let rig = rig(None).await;
        rig.fake.usually(Behaviour::fails(Fault::ChargedStatus(500)));
        limit(&rig.mem, LimitKind::MonthlyUsd, 10 * CALL).await;
        let mut last = None;
        for _ in 0..100 {
            last = Some(rig.mem.llm(ask(), LlmOptions::default()).await.unwrap_err());
        }
        assert_eq!(last.unwrap().code(), "monthly_usd_budget_exceeded");
        assert_eq!(rig.fake.charged().requests, 10, "each attempt was held to the limit, repetitions too");
        let rows = log(&rig.mem).await;
        assert_eq!(rows.len(), 10);
        assert!(rows.iter().all(|row| row.status == CallStatus::Unconfirmed && row.cost_usd.micros() == CALL));
        assert_eq!(used(&rig.mem).await, (10 * CALL, 0));
    });
}

#[test]
fn what_was_refused_before_a_model_ran_costs_nothing_and_has_a_row() {
    run(async {
        let rig = rig(None).await;
        rig.fake.then(Behaviour::fails(Fault::RateLimited(0))).then(Behaviour::fails(Fault::Status(400)));
        let error = rig.mem.llm(ask(), LlmOptions::default()).await.unwrap_err();
        assert_eq!(error.code(), "provider_rejected");
        let rows = log(&rig.mem).await;
        let shown: Vec<_> = rows.iter().map(|row| (row.attempt, row.status, row.error.as_deref())).collect();
        let failed = CallStatus::Failed;
        assert_eq!(shown, [(2, failed, Some("provider_rejected")), (1, failed, Some("provider_rate_limited"))]);
        assert_eq!(used(&rig.mem).await, (0, 0));
    });
}

#[test]
fn a_stream_that_is_dropped_is_booked_at_what_it_produced_or_at_all_that_was_held() {
    run(async {
        let rig = rig(None).await;
        rig.fake.usually(Behaviour::fails(Fault::StallInStream));
        let drop_one = async |model: &str| {
            let request = ChatRequest { model: model.to_owned(), ..ask() };
            let mut stream = rig.mem.llm_stream(request, LlmOptions::default()).await.unwrap();
            stream.next().await.unwrap().unwrap();
            drop(stream);
            log(&rig.mem).await.remove(0)
        };
        // It may have reasoned unseen.
        let row = drop_one("fake/m-1").await;
        assert_eq!((row.status, row.estimated, row.cost_usd.micros()), (CallStatus::Dropped, true, CALL));
        let row = drop_one("fake/gpt-4o").await;
        assert_eq!((row.status, row.estimated), (CallStatus::Dropped, true));
        assert!((1..4).contains(&row.usage.output_tokens), "{row:?}");
        assert_eq!(row.cost_usd.micros(), 10 * i64::try_from(row.usage.output_tokens).unwrap());
        assert_eq!(used(&rig.mem).await, (CALL + row.cost_usd.micros(), 0));
        rig.fake.release();
    });
}

#[test]
fn a_call_that_is_given_up_is_booked_at_all_that_was_held() {
    run(async {
        let rig = rig(None).await;
        rig.fake.usually(Behaviour::fails(Fault::Stall));
        let mem = rig.mem.clone();
        let call = tokio::spawn(async move { mem.llm(ask(), LlmOptions::default()).await });
        let fake = &rig.fake;
        tokio::task::block_in_place(|| fake.wait_for_requests(1));
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        let rows = log(&rig.mem).await;
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.status, row.cost_usd.micros()), (CallStatus::Cancelled, CALL));
        assert_eq!(used(&rig.mem).await, (CALL, 0));
        rig.fake.release();
    });
}

#[test]
fn a_count_that_nobody_can_believe_is_counted_here() {
    run(async {
        let rig = rig(None).await;
        for says in [Says::Nothing, Says::Zero, Says::Huge] {
            rig.fake.then(Behaviour { says, ..Behaviour::says("one two three four") });
            let answer = rig.mem.llm(ask(), LlmOptions::default()).await.unwrap();
            assert!(answer.response.usage.unwrap().estimated, "{says:?}");
            assert!(answer.cost.cost_usd > Usd::ZERO);
        }
        assert!(log(&rig.mem).await.iter().all(|row| row.estimated && row.status == CallStatus::Ok));
    });
}

#[test]
fn the_ledger_agrees_with_the_books_of_the_provider() {
    run(async {
        let rig = rig(None).await;
        for n in 0..20 {
            let behaviour = match n % 4 {
                0 => Behaviour::says("one two three four"),
                1 => Behaviour { cached: 2, reasoning: 1, ..Behaviour::says("one two") },
                2 => Behaviour::fails(Fault::Status(503)),
                _ => Behaviour::says("one"),
            };
            rig.fake.then(behaviour);
        }
        for _ in 0..15 {
            let options = LlmOptions { operation: "test".to_owned(), ..LlmOptions::default() };
            rig.mem.llm(ask(), options).await.unwrap();
        }
        let charged = rig.fake.charged();
        let sum = rig.mem.costs(CostsOptions::default()).await.unwrap();
        let usage = sum.items[0].usage;
        assert_eq!((usage.input_tokens, usage.output_tokens), (charged.input, charged.output));
        assert_eq!((usage.cached_input_tokens, usage.reasoning_tokens), (charged.cached, charged.reasoning));
        assert_eq!(sum.items[0].cost_usd.micros(), 10 * i64::try_from(charged.output).unwrap());
        assert_eq!((sum.items[0].calls, sum.items[0].failed), (20, 5));
        assert_eq!(used(&rig.mem).await.0, sum.items[0].cost_usd.micros());
    });
}

#[test]
fn what_nobody_ends_is_booked_at_all_that_was_held_on_the_day_of_its_reserve() {
    run(async {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2028-02-29T23:59:50Z").unwrap()));
        let rig = rig(Some(Arc::clone(&clock))).await;
        let call = MeteredCall { output_tokens: Some(4), ..MeteredCall::new("fake", "m-1", 3) };
        let (id, held, _) = rig.mem.meter_by_id(call.clone()).await.unwrap();
        assert_eq!(used(&rig.mem).await, (0, held.usd.micros()));
        clock.advance_seconds(3_600);
        assert_eq!(used(&rig.mem).await, (0, 0), "March has begun");
        rig.mem.llm(ask(), LlmOptions::default()).await.unwrap();
        let rows = log(&rig.mem).await;
        let lost = rows.iter().find(|row| row.id == id).unwrap();
        assert_eq!((lost.status, lost.cost_usd), (CallStatus::Unconfirmed, held.usd));
        assert_eq!(lost.at, Timestamp::parse("2028-02-29T23:59:50Z").unwrap());
        assert_eq!(used(&rig.mem).await, (CALL, 0), "the day of its reserve is over");
        let error = rig.mem.end_metered(id, call, rae_core::MeterEnd::Free).await.unwrap_err();
        assert_eq!(error.code(), "reservation_not_found");
    });
}

#[test]
fn what_runs_out_is_told_once_by_whoever_ends_it_and_an_end_that_came_late_is_not() {
    run(async {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2028-02-10T12:00:00Z").unwrap()));
        let rig = rig(Some(Arc::clone(&clock))).await;
        let call = MeteredCall { output_tokens: Some(4), ..MeteredCall::new("fake", "m-1", 3) };
        let other = rig.mem.with_scope(Scope::new("default", "other").unwrap());
        let told = || std::mem::take(&mut *rig.told.booked.lock().unwrap());
        let unconfirmed = |project: &str| (project.to_owned(), CallStatus::Unconfirmed, CALL);
        let used = || {
            let usage = Usage { input_tokens: 3, output_tokens: 4, ..Usage::default() };
            MeterEnd::Used { usage, status: CallStatus::Ok }
        };
        // The next call of the tenant ends it, in whatever project it was.
        let late = other.meter(call.clone()).await.unwrap();
        clock.advance_seconds(3_600);
        rig.mem.llm(ask(), LlmOptions::default()).await.unwrap();
        assert_eq!(told(), [unconfirmed("other"), ("default".to_owned(), CallStatus::Ok, CALL)]);
        late.end(used()).await.unwrap();
        assert_eq!(told(), [], "it was booked, and told, when it ran out");
        // Housekeeping does as well.
        let (id, ..) = rig.mem.meter_by_id(call.clone()).await.unwrap();
        clock.advance_seconds(3_600);
        rig.mem.maintain(None).await.unwrap();
        assert_eq!(told(), [unconfirmed("default")]);
        rig.mem.end_metered(id, call.clone(), used()).await.unwrap_err();
        // An end by its id tells of the call that was reserved.
        let labelled = MeteredCall { operation: "extract".to_owned(), ..call.clone() };
        let (id, ..) = rig.mem.meter_by_id(labelled).await.unwrap();
        rig.mem.end_metered(id, call, MeterEnd::Unknown).await.unwrap();
        assert_eq!(told(), [unconfirmed("default")]);
        assert_eq!(log(&rig.mem).await[0].label.operation, "extract");
        // Times are those of the calls that this process made or saw to their end.
        assert_eq!(*rig.told.took.lock().unwrap(), ["chat", "chat"]);
    });
}

#[test]
fn each_attempt_and_each_stream_tells_how_long_it_took_once() {
    run(async {
        let rig = rig(None).await;
        rig.fake.then(Behaviour::fails(Fault::Status(503)));
        rig.mem.llm(ask(), LlmOptions::default()).await.unwrap();
        assert_eq!(rig.told.took.lock().unwrap().len(), 2, "the attempt that failed, and the one that answered");
        let options = LlmOptions { operation: "reflect".to_owned(), ..LlmOptions::default() };
        let mut stream = rig.mem.llm_stream(ask(), options.clone()).await.unwrap();
        while stream.next().await.is_some() {}
        drop(stream);
        let mut left = rig.mem.llm_stream(ask(), options).await.unwrap();
        left.next().await.unwrap().unwrap();
        drop(left);
        assert_eq!(*rig.told.took.lock().unwrap(), ["chat", "chat", "reflect", "reflect"]);
    });
}

#[test]
fn what_cannot_be_bounded_or_priced_is_refused_before_anything_is_held() {
    run(async {
        let rig = rig(None).await;
        for (field, value) in [
            ("prediction", serde_json::json!({"type": "content", "content": "x"})),
            ("service_tier", "priority".into()),
            ("n", 1_000.into()),
        ] {
            let mut request = ask();
            request.extra.insert(field.to_owned(), value);
            assert_eq!(rig.mem.llm(request, LlmOptions::default()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert!(log(&rig.mem).await.is_empty() && rig.fake.seen().is_empty());
        let estimate = rig.mem.llm_estimate(ask(), LlmOptions::default()).await.unwrap();
        assert_eq!((estimate.cost_usd.micros(), estimate.output_tokens), (CALL, 4));
        assert!(estimate.refusal.is_none() && rig.fake.seen().is_empty());
        limit(&rig.mem, LimitKind::DailyTokens, 5).await;
        let refusal = rig.mem.llm_estimate(ask(), LlmOptions::default()).await.unwrap().refusal.unwrap();
        assert_eq!(refusal.code(), "daily_token_budget_exceeded");
    });
}
