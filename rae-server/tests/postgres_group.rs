//! Writers of one scope that share a transaction: the answers are those of writers who come one after the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod support;

use rae_core::{
    ErrorKind,
    conformance::fixtures::{EMBEDDER, Rig, put, put_with_vector, start, unit},
    model::{Applied, Outcome, Precondition, WriteBatch},
    ports::{ManualClock, RelationalStore},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use support::{block_on, postgres::Cluster};
use tokio_postgres::NoTls;

#[test]
fn batches_that_wait_share_a_transaction_and_one_that_is_refused_takes_no_other_with_it() {
    let clock = Arc::new(ManualClock::new(start()));
    let database = Cluster::shared().fresh();
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("the scope is there")).await;
        client.batch_execute("BEGIN; SELECT * FROM rae.scopes FOR UPDATE").await.unwrap();
        let apply = |batch: WriteBatch| {
            let (store, ctx) = (Arc::clone(&store), rig.ctx.clone());
            tokio::spawn(async move { store.apply(&ctx, batch).await })
        };
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
        let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("the scope is there")).await;
        client.batch_execute("BEGIN; SELECT * FROM rae.scopes FOR UPDATE").await.unwrap();
        let patient = {
            let (store, ctx, batch) =
                (Arc::clone(&store), rig.ctx.clone(), rig.batch(vec![put(rig.memory("patient"))]));
            tokio::spawn(async move { store.apply(&ctx, batch).await })
        };
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
