//! Writers of one scope that share a transaction: the answers are those of writers who come one after the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod support;

use rae_core::{
    Ctx, ErrorKind,
    conformance::fixtures::{EMBEDDER, Rig, put, put_with_vector, start, unit},
    model::{Applied, Audit, Op, Outcome, Precondition, WriteBatch},
    ports::{JobRead, ManualClock, RelationalStore},
};
use rae_server::adapters::postgres::PostgresStore;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use support::{
    block_on,
    postgres::{Cluster, Database},
};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

/// Long enough for whatever is not stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// A session beside the store's, in a transaction that has done `sql`.
async fn holding(database: &Database<'_>, sql: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
    client
}

/// Every writer of a scope waits behind this.
const SCOPES: &str = "SELECT * FROM rae.scopes FOR UPDATE";

fn spawn(store: &Arc<PostgresStore>, ctx: &Ctx, batch: WriteBatch) -> JoinHandle<rae_core::Result<Applied>> {
    let (store, ctx) = (Arc::clone(store), ctx.clone());
    tokio::spawn(async move { store.apply(&ctx, batch).await })
}

/// Waits until some session of the database waits for a lock of this table.
async fn until_waiting_for(client: &Client, table: &str) {
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::text::regclass";
    let waiting = async {
        while client.query_one(sql, &[&table]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[test]
fn batches_that_wait_share_a_transaction_and_one_that_is_refused_takes_no_other_with_it() {
    let clock = Arc::new(ManualClock::new(start()));
    let database = Cluster::shared().fresh();
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("the scope is there")).await;
        let client = holding(&database, SCOPES).await;
        let apply = |batch: WriteBatch| spawn(&store, &rig.ctx, batch);
        // The first one waits at the locked row; the others wait behind it, with one answer for what comes twice.
        let first = apply(rig.batch(vec![put(rig.memory("first"))]));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let twice = rig.batch(vec![put(rig.turn("s", "comes twice")), put(rig.turn("s", "with another"))]);
        let mut good = vec![apply(twice.clone()), apply(twice)];
        good.extend((0..40).map(|n| apply(rig.batch(vec![put(rig.turn("s", &format!("memory {n}")))]))));
        let same = || put(rig.statement("the same words"));
        good.extend([apply(rig.batch(vec![same()])), apply(rig.batch(vec![same()]))]);
        let zero = put_with_vector(rig.memory("a vector that is none"), EMBEDDER, vec![f32::NAN; 4]);
        let refused = apply(rig.batch(vec![zero]));
        let other = Precondition::EmbedderIs("another@1/4".to_owned());
        let foreign = apply(WriteBatch { preconditions: vec![other], ..rig.batch(vec![put(rig.memory("foreign"))]) });
        good.extend((40..60).map(|n| apply(rig.batch(vec![put(rig.turn("s", &format!("memory {n}")))]))));
        good.push(apply(rig.batch(vec![put_with_vector(rig.memory("with a vector"), EMBEDDER, unit(0))])));
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.batch_execute("ROLLBACK").await.unwrap();

        let mut answers: Vec<Applied> = vec![first.await.unwrap().unwrap()];
        for one in good {
            answers.push(one.await.unwrap().unwrap());
        }
        assert_eq!(refused.await.unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(foreign.await.unwrap().unwrap_err().code(), "embedder_changed");
        assert_eq!(answers[1], answers[2], "what came twice was done once");
        answers.remove(2);
        answers.sort_by_key(|applied| applied.seq_before);
        for pair in answers.windows(2) {
            assert_eq!(pair[0].seq, pair[1].seq_before, "one after the other");
        }
        let merged =
            answers.iter().flat_map(|a| &a.outcomes).filter(|o| matches!(o, Outcome::Put { merged: true, .. }));
        assert_eq!(merged.count(), 1, "the same statement merges also within a group");
        let all = rig.all(None).await;
        assert_eq!(all.len(), 1 + 1 + 2 + 60 + 1 + 1);
        let places: BTreeSet<_> = all.iter().filter_map(|m| m.seq_in_session).collect();
        assert_eq!(places, (0..62).collect());
        assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
        let sql = "SELECT count(DISTINCT xmin::text) FROM rae.memories";
        let transactions: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        assert!(transactions < 60, "{transactions} transactions for 66 memories: nothing was shared");
    });
}

#[test]
fn a_write_whose_caller_was_told_that_its_time_is_over_is_not_written_later() {
    let clock = Arc::new(ManualClock::new(start()));
    let database = Cluster::shared().fresh();
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("the scope is there")).await;
        let client = holding(&database, SCOPES).await;
        let patient = spawn(&store, &rig.ctx, rig.batch(vec![put(rig.memory("patient"))]));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let hasty = rig.ctx.clone().with_timeout(Duration::from_millis(100));
        let error = store.apply(&hasty, rig.batch(vec![put(rig.memory("hasty"))])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        client.batch_execute("ROLLBACK").await.unwrap();
        patient.await.unwrap().unwrap();
        rig.put(rig.memory("the next one")).await;
        let contents: BTreeSet<_> = rig.all(None).await.into_iter().map(|m| m.content).collect();
        let expected = ["patient", "the next one", "the scope is there"].map(str::to_owned);
        assert_eq!(contents, expected.into());
    });
}

#[test]
fn a_write_whose_time_ends_while_it_is_being_written_is_taken_out_before_the_commit() {
    let clock = Arc::new(ManualClock::new(start()));
    let database = Cluster::shared().fresh();
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("the scope is there")).await;
        let scopes = holding(&database, SCOPES).await;
        // Who writes a vector waits here, in the middle of its transaction.
        let vectors = holding(&database, "LOCK TABLE rae.vectors IN SHARE MODE").await;
        let first = spawn(&store, &rig.ctx, rig.batch(vec![put(rig.memory("first"))]));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let with_vector = put_with_vector(rig.memory("patient"), EMBEDDER, unit(0));
        let patient = spawn(&store, &rig.ctx, rig.batch(vec![with_vector]));
        let hasty = rig.ctx.clone().with_timeout(Duration::from_secs(2));
        let hasty = spawn(&store, &hasty, rig.batch(vec![put(rig.memory("hasty"))]));
        tokio::time::sleep(Duration::from_millis(50)).await;
        scopes.batch_execute("ROLLBACK").await.unwrap();
        first.await.unwrap().unwrap();
        until_waiting_for(&scopes, "rae.vectors").await;
        assert_eq!(hasty.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        vectors.batch_execute("ROLLBACK").await.unwrap();
        patient.await.unwrap().unwrap();
        let contents: BTreeSet<_> = rig.all(None).await.into_iter().map(|m| m.content).collect();
        assert_eq!(contents, ["first", "patient", "the scope is there"].map(str::to_owned).into());
        assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn who_is_written_by_another_is_answered_before_its_own_turn() {
    let clock = Arc::new(ManualClock::new(start()));
    let database = Cluster::shared().fresh();
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("the scope is there")).await;
        let scopes = holding(&database, SCOPES).await;
        let audit = holding(&database, "LOCK TABLE rae.audit IN SHARE MODE").await;
        let write = |op| spawn(&store, &rig.ctx, rig.batch(vec![op]));
        let mut written = vec![write(put(rig.memory("first")))];
        tokio::time::sleep(Duration::from_millis(50)).await;
        written.push(write(put(rig.memory("the one that leads"))));
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Its turn comes next, and lasts.
        let slow = write(Op::Audit(Audit { action: "slow".to_owned(), details: serde_json::json!({}) }));
        tokio::time::sleep(Duration::from_millis(50)).await;
        written.push(write(put(rig.memory("the one that is led"))));
        tokio::time::sleep(Duration::from_millis(50)).await;
        scopes.batch_execute("ROLLBACK").await.unwrap();
        for one in written {
            tokio::time::timeout(PATIENCE, one).await.expect("its turn is behind the slow one").unwrap().unwrap();
        }
        until_waiting_for(&scopes, "rae.audit").await;
        audit.batch_execute("ROLLBACK").await.unwrap();
        slow.await.unwrap().unwrap();
        assert_eq!(rig.all(None).await.len(), 4);
    });
}

#[test]
fn a_lease_is_prolonged_while_writers_of_its_scope_wait() {
    let clock = Arc::new(ManualClock::new(start()));
    let database = Cluster::shared().fresh();
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("the scope is there")).await;
        rig.enqueue(rig.now()).await;
        let length = Duration::from_secs(60);
        let lease = store.lease(&rig.ctx, rig.now(), length, 1).await.unwrap().remove(0);
        let scopes = holding(&database, SCOPES).await;
        let writer = spawn(&store, &rig.ctx, rig.batch(vec![put(rig.memory("waits"))]));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let held = Precondition::LeaseHeld(lease.job.id, lease.fence);
        let until = lease.until.saturating_add(length);
        let extend = Op::ExtendLease { id: lease.job.id, until };
        let beat = WriteBatch { preconditions: vec![held.clone()], ..rig.batch(vec![extend]) };
        let hasty = rig.ctx.clone().with_timeout(PATIENCE);
        let applied = store.apply(&hasty, beat.clone()).await.expect("it waits for no writer");
        assert_eq!(applied.outcomes, [Outcome::Done]);
        assert_eq!(store.apply(&hasty, beat.clone()).await.unwrap(), applied, "once");
        scopes.batch_execute("ROLLBACK").await.unwrap();
        writer.await.unwrap().unwrap();
        clock.advance_seconds(90);
        assert_eq!(store.lease(&rig.ctx, rig.now(), length, 1).await.unwrap(), [], "it is taken for two minutes");
        clock.advance_seconds(60);
        let late = WriteBatch { id: uuid::Uuid::from_u128(7), ..beat.clone() };
        assert_eq!(store.apply(&rig.ctx, late).await.unwrap_err().code(), "lease_lost");
        assert_eq!(store.apply(&rig.ctx, beat).await.unwrap(), applied, "what was done is known also then");
    });
}
