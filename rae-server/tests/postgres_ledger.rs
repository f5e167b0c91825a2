//! Money on a real PostgreSQL server: many servers against one budget, locks, a server that dies in the middle of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod support;

use rae_core::{
    Ctx, ErrorKind, Result,
    conformance::fixtures::start,
    model::{
        Amount, Applied, BudgetChange, BudgetLevel, CallLabel, CallStatus, CostQuery, DropTarget, LedgerScan, Limits,
        NewReservation, Op, Outcome, Scope, Settlement, TokenUsage, Usd, WriteBatch,
    },
    ports::{Clock, LedgerRead, ManualClock, RelationalStore, SystemClock},
};
use rae_server::adapters::postgres::PostgresStore;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use support::{
    block_on,
    postgres::{Cluster, Database},
};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const HOLD: Duration = Duration::from_secs(600);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(start()))
}

fn ctx(tenant: &str, project: &str) -> Ctx {
    Ctx::new(Scope::new(tenant, project).unwrap())
}

/// Applies ops in one batch. The time that batches name plays no part in what is spent.
async fn apply(store: &PostgresStore, ctx: &Ctx, ops: Vec<Op>) -> Result<Applied> {
    store.apply(ctx, WriteBatch { id: Uuid::new_v4(), now: start(), preconditions: Vec::new(), ops }).await
}

fn amount(micros: i64, tokens: u64) -> Amount {
    Amount { usd: Usd::from_micros(micros), tokens }
}

fn reserve(id: Uuid, amount: Amount, hold: Duration) -> Op {
    let label = CallLabel {
        provider: "openai".into(),
        model: "small".into(),
        operation: "chat".into(),
        user_id: Some("ada".into()),
        request_id: Some("r-1".into()),
    };
    let reservation = NewReservation { id, amount, hold, defaults: Limits::NONE, label, attempt: 1 };
    Op::Reserve { reservation: Box::new(reservation) }
}

fn settle(id: Uuid, micros: i64, tokens: u64) -> Op {
    let settlement = Settlement {
        status: CallStatus::Ok,
        usage: TokenUsage { input_tokens: tokens, ..TokenUsage::default() },
        estimated: false,
        cost: Usd::from_micros(micros),
        saved: Usd::ZERO,
        error: None,
    };
    Op::Settle { id, settlement: Box::new(settlement), defaults: Limits::NONE }
}

/// A limit of dollars a day.
fn limit(level: BudgetLevel, micros: i64) -> Op {
    let change = BudgetChange { limits: [Some(Some(micros)), None, None, None], warning_threshold: None };
    Op::SetBudget { level, change }
}

async fn connect(database: &Database<'_>) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Sums of windows against sums of their rows, past the adapter: windows that are wrong.
async fn wrong_windows(database: &Database<'_>) -> Vec<String> {
    let sql = "SELECT format('%s %s %s: %s', s.tid, s.project, s.period, s) FROM rae.spend s, \
        LATERAL (SELECT coalesce(sum(l.cost_usd), 0) usd, coalesce(sum(l.input_tokens + l.output_tokens), 0) tokens \
        FROM rae.ledger l WHERE l.tid = s.tid AND s.project IN ('', l.project) AND to_char(to_timestamp(l.at / 1000000) \
        AT TIME ZONE 'UTC', CASE WHEN s.period > 999999 THEN 'YYYYMMDD' ELSE 'YYYYMM' END) = s.period::text) l, \
        LATERAL (SELECT coalesce(sum(r.usd), 0) usd, coalesce(sum(r.tokens), 0) tokens FROM rae.reservations r \
        WHERE r.tid = s.tid AND s.project IN ('', r.project) AND to_char(to_timestamp(r.reserved_at / 1000000) \
        AT TIME ZONE 'UTC', CASE WHEN s.period > 999999 THEN 'YYYYMMDD' ELSE 'YYYYMM' END) = s.period::text) r \
        WHERE (s.used_usd, s.used_tokens, s.reserved_usd, s.reserved_tokens) <> (l.usd, l.tokens, r.usd, r.tokens)";
    connect(database).await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn number(database: &Database<'_>, sql: &str) -> i64 {
    connect(database).await.query_one(sql, &[]).await.unwrap().get(0)
}

#[test]
fn of_two_hundred_reserves_by_three_servers_the_fifty_that_fit_are_held() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let stores = [0; 3].map(|_| Arc::new(database.open(&clock)));
    for (level, tenant) in [(BudgetLevel::Tenant, "whole"), (BudgetLevel::Project, "part")] {
        block_on(async {
            // Room for fifty calls and all but a micro-dollar of one more.
            apply(&stores[0], &ctx(tenant, "p0"), vec![limit(level, 51 * 1_000 - 1)]).await.unwrap();
            let mut calls = Vec::new();
            for n in 0..200 {
                let store = Arc::clone(&stores[n % 3]);
                let project = if level == BudgetLevel::Tenant { format!("p{}", n % 5) } else { "p0".to_owned() };
                let there = ctx(tenant, &project);
                calls.push(tokio::spawn(async move {
                    apply(&store, &there, vec![reserve(Uuid::new_v4(), amount(1_000, 10), HOLD)]).await
                }));
            }
            let mut held = 0;
            for call in calls {
                match call.await.unwrap() {
                    Ok(_) => held += 1,
                    Err(error) => assert_eq!(
                        (error.kind(), error.code()),
                        (ErrorKind::BudgetExceeded, "daily_usd_budget_exceeded"),
                        "{error}"
                    ),
                }
            }
            assert_eq!(held, 50);
            let funds = stores[1].funds(&ctx(tenant, "p0"), &Limits::NONE).await.unwrap();
            assert_eq!((funds.tenant.day.reserved, funds.tenant.day.used), (amount(50_000, 500), Amount::default()));
            assert_eq!(funds.tenant.month, funds.tenant.day);
            assert_eq!(wrong_windows(&database).await, Vec::<String>::new());
        });
    }
}

/// One of many callers of a tenant, whose batches touch windows in every order.
async fn spend_in_every_order(store: &PostgresStore, clock: &ManualClock, yesterday: &[Uuid], worker: usize) {
    for (n, old) in yesterday.iter().enumerate() {
        let there = ctx("t", &format!("p{}", (worker + n) % 4));
        let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
        let short = Duration::from_millis(1);
        let ops = match n % 6 {
            0 => vec![reserve(a, amount(7, 1), HOLD), settle(*old, 5, 2)],
            1 => vec![settle(*old, 5, 2), reserve(a, amount(7, 1), HOLD), Op::Release { id: a }],
            2 => vec![Op::ExpireReservations, reserve(a, amount(3, 3), short), Op::MarkSent { id: a }],
            3 => vec![reserve(a, amount(3, 3), HOLD), reserve(b, amount(1, 0), short), settle(a, 4, 4)],
            4 => vec![limit(BudgetLevel::Tenant, 1_000_000), settle(*old, 5, 2)],
            _ => vec![Op::DropScope { target: DropTarget::User("ada".into()) }, Op::ExpireReservations],
        };
        apply(store, &there, ops).await.unwrap();
        if n % 10 == 0 {
            clock.advance_seconds(1);
        }
        if worker == 0 && n % 8 == 0 {
            let project = DropTarget::Project("p3".into());
            apply(store, &there, vec![Op::DropScope { target: project }]).await.unwrap();
            store.checkpoint(&there, clock.now()).await.unwrap();
        }
    }
}

#[test]
fn batches_that_touch_windows_in_every_order_do_not_lock_each_other_out() {
    const WORKERS: usize = 16;
    const ROUNDS: usize = 24;
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let stores = [0; 2].map(|_| Arc::new(database.open(&clock)));
    block_on(async {
        let mut old = vec![Vec::new(); WORKERS];
        for (worker, ids) in old.iter_mut().enumerate() {
            for n in 0..ROUNDS {
                ids.push(Uuid::new_v4());
                let there = ctx("t", &format!("p{}", (worker + n) % 4));
                apply(&stores[0], &there, vec![reserve(ids[n], amount(9, 9), HOLD * 1_000)]).await.unwrap();
            }
        }
        clock.advance_seconds(86_400);
        let mut workers = Vec::new();
        for (worker, ids) in old.into_iter().enumerate() {
            let (store, clock) = (Arc::clone(&stores[worker % 2]), Arc::clone(&clock));
            workers.push(tokio::spawn(async move { spend_in_every_order(&store, &clock, &ids, worker).await }));
        }
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!(wrong_windows(&database).await, Vec::<String>::new());
        assert_eq!(stores[0].verify(&ctx("t", "p0")).await.unwrap(), Vec::<String>::new());
        let booked = number(&database, "SELECT count(*) FROM rae.ledger").await;
        assert!(booked > i64::try_from(WORKERS * ROUNDS / 3).unwrap(), "{booked}");
        // Rows are numbered in the order in which they became visible: none is missing from any page.
        let mut last = None;
        let mut seen = 0;
        loop {
            let scan = LedgerScan { level: BudgetLevel::Tenant, since: None, until: None, before: last, limit: 100 };
            let page = stores[1].ledger(&ctx("t", "p0"), &scan).await.unwrap();
            let Some(row) = page.last() else { break };
            last = Some(row.no);
            seen += page.len();
        }
        assert_eq!(i64::try_from(seen).unwrap(), booked);
        // The server counts what its processes tell it, at the latest when they end.
        for store in &stores {
            store.close().await.unwrap();
        }
        let there =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rae'";
        while number(&database, there).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(number(&database, deadlocks).await, 0);
    });
}

#[test]
fn sums_that_are_not_those_of_their_rows_are_found_in_their_own_tenant() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let store = database.open(&clock);
    let (own, other) = (ctx("a", "p"), ctx("b", "p"));
    block_on(async {
        for there in [&own, &other] {
            let id = Uuid::new_v4();
            let ops =
                vec![reserve(id, amount(5, 5), HOLD), settle(id, 3, 3), reserve(Uuid::new_v4(), amount(7, 7), HOLD)];
            apply(&store, there, ops).await.unwrap();
        }
        let a = "tid = (SELECT tid FROM rae.tenants WHERE name = 'a')";
        for (damage, repair, findings) in [
            ("UPDATE rae.spend SET used_usd = used_usd + 1", "UPDATE rae.spend SET used_usd = used_usd - 1", 4),
            ("UPDATE rae.spend SET reserved_tokens = 0", "UPDATE rae.spend SET reserved_tokens = 7", 4),
            ("UPDATE rae.ledger SET output_tokens = 1", "UPDATE rae.ledger SET output_tokens = 0", 4),
            // What is missing counts as nothing.
            ("DELETE FROM rae.spend", "SELECT * FROM rae.spend", 4),
        ] {
            let client = connect(&database).await;
            client.batch_execute(&format!("{damage} WHERE {a}")).await.unwrap();
            assert_eq!(store.verify(&own).await.unwrap().len(), findings, "{damage}");
            assert_eq!(store.verify(&other).await.unwrap(), Vec::<String>::new(), "{damage}");
            client.batch_execute(&format!("{repair} WHERE {a}")).await.unwrap();
        }
    });
}

#[test]
fn days_and_what_runs_out_go_by_the_databases_clock_where_no_other_is_given() {
    let database = Cluster::shared().fresh();
    let store = block_on(PostgresStore::open(database.settings())).unwrap();
    block_on(async {
        let there = ctx("t", "p");
        let (kept, gone) = (Uuid::new_v4(), Uuid::new_v4());
        let ops = vec![reserve(kept, amount(5, 5), HOLD), reserve(gone, amount(7, 7), Duration::ZERO)];
        let before = SystemClock.now();
        let applied = apply(&store, &there, ops).await.unwrap();
        let Outcome::Funds(funds) = &applied.outcomes[0] else { panic!("{applied:?}") };
        // The batch was dated long ago.
        assert!(funds.at.days_since(before).abs() * 86_400.0 < 60.0, "{}", funds.at);
        let expired = apply(&store, &there, vec![Op::ExpireReservations]).await.unwrap();
        assert_eq!(expired.outcomes, [Outcome::Expired { released: 1, booked: 0 }]);
        apply(&store, &there, vec![Op::MarkSent { id: kept }, settle(kept, 6, 6)]).await.unwrap();
        let query =
            CostQuery { level: BudgetLevel::Project, group_by: Vec::new(), since: Some(before), until: None, limit: 1 };
        let costs = store.costs(&there, &query).await.unwrap();
        assert_eq!((costs[0].calls, costs[0].cost_usd), (1, Usd::from_micros(6)));
    });
}

/// A call again and again under one id until the database says what became of it.
async fn surely(store: &PostgresStore, ctx: &Ctx, ops: Vec<Op>) -> Option<Applied> {
    let batch = WriteBatch { id: Uuid::new_v4(), now: start(), preconditions: Vec::new(), ops };
    for _ in 0..2_000 {
        match store.apply(ctx, batch.clone()).await {
            Ok(applied) => return Some(applied),
            Err(error) if error.kind() == ErrorKind::BudgetExceeded => return None,
            Err(error) => assert!(error.is_temporary(), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server does not recover");
}

#[test]
fn a_server_killed_in_the_middle_of_spending_leaves_sums_that_are_those_of_the_rows() {
    const WORKERS: u64 = 8;
    // A cluster of its own, which writes to the disk as in life.
    let cluster = Cluster::start(true);
    let (database, clock) = (cluster.fresh(), clock());
    let store = Arc::new(database.open(&clock));
    let (settled, done) = (Arc::new(AtomicU64::new(0)), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    block_on(apply(&store, &ctx("t", "p0"), vec![limit(BudgetLevel::Tenant, 1_000_000_000)])).unwrap();
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let (store, settled, done) = (Arc::clone(&store), Arc::clone(&settled), Arc::clone(&done));
        workers.push(support::runtime().spawn(async move {
            let there = ctx("t", &format!("p{}", worker % 3));
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                let id = Uuid::new_v4();
                surely(&store, &there, vec![reserve(id, amount(100, 10), HOLD)]).await.expect("there is room");
                surely(&store, &there, vec![Op::MarkSent { id }]).await;
                // Every fifth caller goes away in the middle of its call.
                round += 1;
                if round % 5 != 0 {
                    surely(&store, &there, vec![settle(id, 150, 12)]).await;
                    settled.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    for kill in 1..=4 {
        // Each time in the middle of work that goes on.
        let enough = settled.load(Ordering::Relaxed) + 40;
        while settled.load(Ordering::Relaxed) < enough {
            std::thread::sleep(Duration::from_millis(5));
        }
        if kill % 2 == 0 { cluster.restart() } else { cluster.kill() }
    }
    done.store(true, Ordering::Relaxed);
    block_on(async {
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!(wrong_windows(&database).await, Vec::<String>::new());
        let there = ctx("t", "p0");
        assert_eq!(store.verify(&there).await.unwrap(), Vec::<String>::new());
        let settled = i64::try_from(settled.load(Ordering::Relaxed)).unwrap();
        assert_eq!(number(&database, "SELECT count(*) FROM rae.ledger").await, settled, "each was booked once");
        let left = number(&database, "SELECT count(*) FROM rae.reservations").await;
        assert!(left > 0);
        let funds = store.funds(&there, &Limits::NONE).await.unwrap();
        assert_eq!(
            (funds.tenant.day.used, funds.tenant.day.reserved),
            (
                amount(150 * settled, 12 * u64::try_from(settled).unwrap()),
                amount(100 * left, 10 * u64::try_from(left).unwrap())
            )
        );
        // What nobody ended is booked at what it held.
        clock.advance_seconds(601);
        let mut booked = 0;
        while booked < left {
            let applied = apply(&store, &there, vec![Op::ExpireReservations]).await.unwrap();
            let [Outcome::Expired { released: 0, booked: more @ 1.. }] = applied.outcomes[..] else {
                panic!("{applied:?}")
            };
            booked += i64::try_from(more).unwrap();
        }
        let funds = store.funds(&there, &Limits::NONE).await.unwrap();
        assert_eq!(funds.tenant.day.reserved, Amount::default());
        assert_eq!(funds.tenant.day.used.usd, Usd::from_micros(150 * settled + 100 * left));
        assert_eq!(wrong_windows(&database).await, Vec::<String>::new());
    });
}

#[test]
fn a_connection_that_breaks_in_the_middle_of_a_reserve_holds_nothing_and_a_retry_holds_once() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let relay = support::cut::Relay::start(Cluster::shared().port, b"COMMIT\0");
    let url = format!("postgres://rae@127.0.0.1:{}/{}?sslmode=disable", relay.port, database.name);
    let mut settings = rae_server::adapters::postgres::PostgresSettings::from_url(&url).unwrap();
    settings.clock = Some(clock.clone());
    let store = block_on(PostgresStore::open(settings)).unwrap();
    let direct = database.open(&clock);
    block_on(async {
        let there = ctx("t", "p");
        apply(&direct, &there, vec![limit(BudgetLevel::Tenant, 10)]).await.unwrap();
        for round in 1..=5 {
            let batch = WriteBatch {
                id: Uuid::new_v4(),
                now: start(),
                preconditions: Vec::new(),
                ops: vec![reserve(Uuid::new_v4(), amount(2, 1), HOLD)],
            };
            relay.arm();
            let error = store.apply(&there, batch.clone()).await.unwrap_err();
            assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
            // The fifth fills the budget: asked again it is answered as it was, not refused.
            let applied = store.apply(&there, batch).await.unwrap();
            let Outcome::Funds(funds) = &applied.outcomes[0] else { panic!("{applied:?}") };
            assert_eq!(funds.tenant.day.reserved.usd, Usd::from_micros(2 * round));
        }
        assert_eq!(wrong_windows(&database).await, Vec::<String>::new());
    });
}
