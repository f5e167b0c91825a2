//! Named documents that are no memories.

use super::scopes::LOOKALIKES;
use crate::{
    conformance::fixtures::{Rig, put},
    model::{DropTarget, Op, Outcome, Precondition, Record, RecordKind},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;

fn record(rig: &Rig<'_>, kind: RecordKind, name: &str) -> Record {
    let body = json!({ "n": 1.5, "text": "caf\u{e9} \u{0}", "deep": [{ "a": null }], "of": rig.ctx.scope().project() });
    Record { kind, name: name.to_owned(), at: rig.now(), body }
}

async fn written(rig: &Rig<'_>, record: &Record) -> Outcome {
    rig.run(Op::PutRecord { record: Box::new(record.clone()) }).await
}

/// What was written comes back whole under its kind and name, and is replaced by the next of that name.
pub async fn a_record_is_replaced_by_the_next_of_its_name(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let seq = rig.seq().await;
    let first = record(&rig, RecordKind::Questions, "\u{202e} %_'");
    assert_eq!(written(&rig, &first).await, Outcome::Done);
    assert_eq!(store.record(&rig.ctx, first.kind, &first.name).await.unwrap(), Some(first.clone()));
    clock.advance_seconds(5);
    let next = Record { body: json!([]), at: rig.now(), ..first.clone() };
    written(&rig, &next).await;
    assert_eq!(store.record(&rig.ctx, first.kind, &first.name).await.unwrap(), Some(next));
    assert_eq!(store.record(&rig.ctx, RecordKind::Snapshot, &first.name).await.unwrap(), None);
    assert_eq!(rig.seq().await, seq, "no reader of memories hears of it");
    let gone = Op::DropRecord { kind: first.kind, name: first.name.clone() };
    assert_eq!(rig.run(gone.clone()).await, Outcome::Done);
    assert_eq!(rig.run(gone).await, Outcome::Skipped);
    assert_eq!(store.record(&rig.ctx, first.kind, &first.name).await.unwrap(), None);
}

/// What was made from a record is written only while that record stands as it was read.
pub async fn a_write_can_depend_on_a_record(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (set, run) = (record(&rig, RecordKind::Questions, "s"), record(&rig, RecordKind::Evaluation, "s/1"));
    let is = |at| vec![Precondition::RecordIs(set.kind, set.name.clone(), at)];
    let ops = || vec![Op::PutRecord { record: Box::new(run.clone()) }];
    let refused = async |at| assert_eq!(rig.try_apply(is(at), ops()).await.unwrap_err().code(), "record_changed");
    refused(set.at).await;
    written(&rig, &Record { kind: run.kind, ..set.clone() }).await;
    written(&rig.at("t", "elsewhere"), &set).await;
    refused(set.at).await;
    written(&rig, &set).await;
    rig.try_apply(is(set.at), ops()).await.unwrap();
    assert_eq!(store.record(&rig.ctx, run.kind, &run.name).await.unwrap(), Some(run.clone()));
    rig.run(Op::DropRecord { kind: run.kind, name: run.name.clone() }).await;
    let before = set.at;
    clock.advance_seconds(5);
    let at = rig.now();
    written(&rig, &Record { at, ..set.clone() }).await;
    refused(before).await;
    rig.try_apply(is(at), vec![]).await.unwrap();
    rig.erase(DropTarget::Project(rig.ctx.scope().project().to_owned())).await;
    refused(at).await;
    assert_eq!(
        store.record(&rig.ctx, run.kind, &run.name).await.unwrap(),
        None,
        "nothing of a refused batch is written"
    );
}

/// Pages go by the bytes of names, within one kind of one project.
pub async fn records_are_listed_by_name_in_their_own_project(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let names = ["B", "a", "a\u{301}", "b", "\u{e9}"];
    for (tenant, project) in LOOKALIKES {
        let there = rig.at(tenant, project);
        for kind in RecordKind::ALL {
            for name in names.iter().rev() {
                written(&there, &record(&there, kind, name)).await;
            }
        }
    }
    for (tenant, project) in LOOKALIKES {
        let there = rig.at(tenant, project);
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = store.records(&there.ctx, RecordKind::Snapshot, after.as_deref(), 2).await.unwrap();
            assert!(page.iter().all(|r| r.kind == RecordKind::Snapshot && r.body["of"] == json!(project)));
            seen.extend(page.iter().map(|r| r.name.clone()));
            match page.last() {
                Some(last) => after = Some(last.name.clone()),
                None => break,
            }
        }
        assert_eq!(seen, names);
    }
}

/// An erasure of the project or tenant takes its records and leaves those of others.
pub async fn erasing_a_project_takes_its_records(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (a, b, other) = (rig.at("t", "a"), rig.at("t", "b"), rig.at("u", "a"));
    for there in [&a, &b, &other] {
        there.run(put(there.memory("something"))).await;
        written(there, &record(there, RecordKind::Evaluation, "r")).await;
    }
    let left = |there: Rig<'_>| {
        let ctx = there.ctx.clone();
        async move { store.records(&ctx, RecordKind::Evaluation, None, 10).await.unwrap().len() }
    };
    a.erase(DropTarget::Session("s".into())).await;
    assert_eq!(left(rig.at("t", "a")).await, 1);
    b.erase(DropTarget::Project("a".into())).await;
    assert_eq!((left(rig.at("t", "a")).await, left(rig.at("t", "b")).await, left(rig.at("u", "a")).await), (0, 1, 1));
    a.erase(DropTarget::Tenant).await;
    assert_eq!((left(rig.at("t", "b")).await, left(rig.at("u", "a")).await), (0, 1));
}
