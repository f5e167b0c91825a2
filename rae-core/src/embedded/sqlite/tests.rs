//! Rules that need a look inside the store; what the port promises is tried through the port (`tests/sqlite_*.rs`,
//! `conformance`).

use super::*;
use crate::model::{
    Amount, CallLabel, CallStatus, DropTarget, IdGenerator, Idempotency, Kind, Layer, MemoryPatch, NewReservation, Op,
    Outcome, PatchMode, Precondition, SegmentRow, Settlement, Usd,
};
use futures::executor::block_on;
use serde_json::json;
use std::sync::mpsc;

struct Fixture {
    store: SqliteStore,
    ctx: Ctx,
    ids: IdGenerator,
    now: Timestamp,
}

fn fixture(options: OpenOptions) -> Fixture {
    let now = Timestamp::parse("2026-01-01").unwrap();
    let ids = IdGenerator::seeded(1);
    Fixture { store: SqliteStore::open(options).unwrap(), ctx: Ctx::new(Scope::default()), ids, now }
}

impl Fixture {
    fn memory(&self, content: &str) -> Memory {
        serde_json::from_value(json!({
            "id": self.ids.next(self.now), "scope": Scope::default(), "layer": "semantic", "kind": "text", "content": content,
            "tags": [], "metadata": {}, "importance": 0.5, "strength": 1.0, "confidence": 1.0, "info_class": "internal",
            "provenance": {}, "created_at": self.now, "updated_at": self.now, "version": 1, "seq": 0,
            "content_hash": *blake3::hash(content.as_bytes()).as_bytes(), "witness_count": 1
        }))
        .unwrap()
    }

    fn put(&self, content: &str) -> Op {
        Op::PutMemory { memory: Box::new(self.memory(content)), vector: None, idempotency: None }
    }

    fn batch(&self, ops: Vec<Op>) -> WriteBatch {
        WriteBatch { id: self.ids.next_uuid(self.now), now: self.now, preconditions: Vec::new(), ops }
    }

    fn apply(&self, ops: Vec<Op>) -> Result<Applied> {
        block_on(self.store.apply(&self.ctx, self.batch(ops)))
    }

    fn head(&self) -> Head {
        block_on(self.store.head(&self.ctx)).unwrap()
    }

    fn assert_sound(&self) {
        assert_eq!(block_on(self.store.verify(&self.ctx)).unwrap(), Vec::<String>::new());
    }

    /// Occupies the writer until the sender is dropped.
    fn hold_writer(&self) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel::<()>();
        let (begun, running) = mpsc::channel();
        let (task, _answer) = task(&self.ctx, move |_| {
            begun.send(()).unwrap();
            let _ = held.recv();
            Ok(())
        });
        // The answer must live as long as the task, or it is not run.
        std::mem::forget(_answer);
        block_on(self.store.writes().unwrap().push(&self.ctx, WriterTask::Run(task))).unwrap();
        running.recv().unwrap();
        release
    }

    fn on_writer<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Res<T> + Send + 'static) -> T {
        block_on(self.store.write(&self.ctx, work)).unwrap()
    }
}

fn put_id(applied: &Applied) -> MemoryId {
    match applied.outcomes[0] {
        Outcome::Put { id, .. } => id,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_failing_batch_in_a_group_takes_nothing_of_the_others_with_it() {
    let f = fixture(OpenOptions::default());
    let release = f.hold_writer();
    let absent = f.ids.next(f.now);
    let batches: Vec<_> = (0..20)
        .map(|i| match i % 5 {
            3 => {
                let patch = MemoryPatch { importance: Some(0.1), ..MemoryPatch::default() };
                let patch =
                    Op::PatchMemory { id: absent, patch: Box::new(patch), mode: PatchMode::InPlace, vector: None };
                f.batch(vec![f.put("written before the failure"), patch])
            }
            _ => f.batch(vec![f.put(&format!("memory {i}"))]),
        })
        .collect();
    let calls: Vec<_> = batches.into_iter().map(|b| f.store.apply(&f.ctx, b)).collect();
    let answers = block_on(async {
        let all = futures::future::join_all(calls);
        let let_go = async { drop(release) };
        futures::future::join(all, let_go).await.0
    });
    for (i, answer) in answers.iter().enumerate() {
        match answer {
            Ok(applied) => assert_eq!(applied.seq, applied.seq_before + 1),
            Err(e) => assert_eq!((i % 5, e.kind()), (3, ErrorKind::NotFound)),
        }
    }
    let scan = Scan { filter: None, after: None, limit: 100 };
    let memories = block_on(f.store.scan(&f.ctx, &scan)).unwrap();
    assert_eq!(memories.len(), 16);
    assert!(memories.iter().all(|m| m.content.starts_with("memory")));
    assert_eq!(f.head().seq, 16, "a batch that failed used up no number");
    f.assert_sound();
}

#[test]
fn a_full_disk_fails_the_batch_that_needs_room_and_not_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let f = fixture(OpenOptions::file(folder.path().join("full.rae")));
    f.apply(vec![f.put("before")]).unwrap();
    f.on_writer(|conn| {
        let pages: i64 = conn.query_row("PRAGMA page_count", [], |r| r.get(0))?;
        Ok(conn.query_row(&format!("PRAGMA max_page_count = {}", pages + 2), [], |r| r.get::<_, i64>(0))?)
    });
    let release = f.hold_writer();
    let large = "x".repeat(400_000);
    let calls =
        [f.put("small one"), f.put(&large), f.put("small two")].map(|op| f.store.apply(&f.ctx, f.batch(vec![op])));
    let answers =
        block_on(async { futures::future::join(futures::future::join_all(calls), async { drop(release) }).await.0 });
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "disk_full"));
    assert_eq!(block_on(f.store.stats(&f.ctx)).unwrap().memories, 3);
    f.on_writer(|conn| Ok(conn.query_row("PRAGMA max_page_count = 1000000", [], |r| r.get::<_, i64>(0))?));
    f.apply(vec![f.put(&large)]).unwrap();
    f.assert_sound();
}

#[test]
fn a_panic_in_a_call_is_an_internal_error_and_the_store_goes_on() {
    for options in [OpenOptions::default(), OpenOptions::file(tempfile::tempdir().unwrap().keep().join("a"))] {
        let f = fixture(options);
        let error = block_on(f.store.read(&f.ctx, |_| -> Res<()> { panic!("on purpose") })).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let error = block_on(f.store.write(&f.ctx, |_| -> Res<()> { panic!("on purpose") })).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        f.apply(vec![f.put("after")]).unwrap();
        f.assert_sound();
    }
}

#[test]
fn a_batch_whose_deadline_passed_in_the_queue_is_not_written() {
    let f = fixture(OpenOptions::default());
    let release = f.hold_writer();
    let hurried = f.ctx.clone().with_timeout(Duration::from_millis(1));
    let call = f.store.apply(&hurried, f.batch(vec![f.put("late")]));
    let late = async {
        Delay::new(Duration::from_millis(20)).await;
        drop(release);
    };
    let (answer, ()) = block_on(futures::future::join(call, late));
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(f.head().seq, 0);
}

#[test]
fn a_call_from_a_forked_child_says_what_to_do_and_closing_there_does_not_hang() {
    let mut f = fixture(OpenOptions::default());
    f.store.pid = 0;
    let error = f.apply(vec![]).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unsupported, "forked"));
    assert!(error.message().contains("open it again in the child"));
    assert_eq!(block_on(f.store.head(&f.ctx)).unwrap_err().code(), "forked");
    assert_eq!(block_on(f.store.close()).unwrap_err().code(), "forked");
    drop(f);
}

#[test]
fn tombstones_past_the_bound_go_and_raise_the_floor_which_refuses_older_segments() {
    let f = fixture(OpenOptions::default());
    let ids: Vec<_> = (0..10).map(|i| put_id(&f.apply(vec![f.put(&i.to_string())]).unwrap())).collect();
    let survivor = put_id(&f.apply(vec![f.put("stays")]).unwrap());
    for id in &ids {
        f.apply(vec![Op::DeleteMemory { id: *id }]).unwrap();
    }
    let now = f.now;
    assert!(f.on_writer(move |conn| admin::checkpoint(conn, now, 4)));
    assert_eq!((f.head().seq, f.head().tombstone_floor), (21, 17));
    let changes = block_on(f.store.changes_since(&f.ctx, 17, u64::MAX, 100, "e")).unwrap();
    assert_eq!(changes.deletes.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [18, 19, 20, 21]);
    let segment =
        |to_seq| Op::PutSegment { row: SegmentRow { from_seq: 0, to_seq, ids: vec![survivor], data: vec![1] } };
    assert_eq!(f.apply(vec![segment(16)]).unwrap().outcomes, [Outcome::Skipped]);
    assert_eq!(f.apply(vec![segment(17)]).unwrap().outcomes, [Outcome::Done]);
    assert!(f.on_writer(move |conn| admin::checkpoint(conn, now, 4)), "nothing more to prune");
    assert_eq!(f.head().tombstone_floor, 17);
    f.assert_sound();
}

#[test]
fn a_deleted_memory_leaves_no_row_and_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rae");
    let f = fixture(OpenOptions::file(&path));
    let vector = crate::model::VectorRow { embedder: "e@1/4".into(), vector: vec![0.5; 4] };
    let mut memory = f.memory("the secret sentence number one");
    memory.kind = Kind::Conversation;
    memory.layer = Layer::Episodic;
    memory.session_id = Some("s".into());
    memory.provenance.derived_from = vec![f.ids.next(f.now)];
    let id = memory.id;
    let key = Idempotency { verb: "remember", key: "k".into(), body_hash: [1; 32] };
    f.apply(vec![Op::PutMemory { memory: Box::new(memory), vector: Some(vector), idempotency: Some(key) }]).unwrap();
    let patch = MemoryPatch { content: Some("the secret sentence number two".into()), ..MemoryPatch::default() };
    f.apply(vec![
        Op::PatchMemory { id, patch: Box::new(patch), mode: PatchMode::NewVersion, vector: None },
        Op::RecordAccess { counts: vec![(id, 2, f.now)] },
        Op::PutSegment { row: SegmentRow { from_seq: 0, to_seq: 2, ids: vec![id], data: b"secret sentence".to_vec() } },
    ])
    .unwrap();
    assert_eq!(block_on(f.store.segments(&f.ctx)).unwrap().len(), 1);
    f.apply(vec![Op::DeleteMemory { id }]).unwrap();
    f.assert_sound();
    for table in ["memories", "versions", "vectors", "access", "derived", "segments", "idempotency"] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(f.on_writer(move |c| Ok(c.query_row(&count, [], |r| r.get::<_, i64>(0))?)), 0, "{table}");
    }
    assert!(block_on(f.store.checkpoint(&f.ctx, f.now)).unwrap(), "nobody reads, so the log is empty");
    let pragma = |sql| f.on_writer(move |c| Ok(c.query_row(sql, [], |r| r.get::<_, i64>(0))?));
    assert_eq!((pragma("PRAGMA auto_vacuum"), pragma("PRAGMA freelist_count")), (2, 0), "free pages were given back");
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(15).any(|w| w == b"secret sentence"));
    assert_eq!(std::fs::metadata(open::beside(&path, "-wal")).unwrap().len(), 0);
}

/// Calls of two users, some still under way.
fn spend(f: &Fixture, ctx: &Ctx) {
    for n in 0..60 {
        let user = if n % 2 == 0 { "Ada Secretname" } else { "Bob Othername" };
        let label = CallLabel {
            provider: "openai".into(),
            model: "small".into(),
            operation: "chat".into(),
            user_id: Some(user.into()),
            request_id: Some(format!("{user} {n}")),
        };
        let (amount, hold) = (Amount { usd: Usd::from_micros(100), tokens: 10 }, Duration::from_secs(600));
        let id = f.ids.next_uuid(f.now);
        let new = NewReservation { id, amount, hold, defaults: Limits::NONE, label, attempt: 1 };
        let settlement = Box::new(Settlement { status: CallStatus::Ok, ..Settlement::unconfirmed(amount) });
        let mut ops = vec![Op::Reserve { reservation: Box::new(new) }];
        ops.extend((n % 10 > 1).then_some(Op::Settle { id, settlement, defaults: Limits::NONE }));
        block_on(f.store.apply(ctx, f.batch(ops))).unwrap();
    }
}

#[test]
fn an_erasure_leaves_no_byte_of_a_name_in_the_ledger() {
    let everyone: &[&[u8]] = &[b"Secretname", b"Othername"];
    for (target, gone) in [
        (DropTarget::User("Ada Secretname".into()), &everyone[..1]),
        (DropTarget::Project("default".into()), everyone),
        (DropTarget::Tenant, everyone),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rae");
        let f = fixture(OpenOptions::file(&path));
        spend(&f, &f.ctx);
        assert!(block_on(f.store.checkpoint(&f.ctx, f.now)).unwrap());
        let holds = |name: &[u8]| std::fs::read(&path).unwrap().windows(name.len()).any(|w| w == name);
        assert!(everyone.iter().all(|name| holds(name)));
        f.apply(vec![Op::DropScope { target: target.clone() }]).unwrap();
        assert!(block_on(f.store.checkpoint(&f.ctx, f.now)).unwrap(), "nobody reads, so the log is empty");
        for name in everyone {
            assert_eq!(holds(name), !gone.contains(name), "{target:?}");
        }
        f.assert_sound();
    }
}

#[test]
fn verify_names_what_is_wrong() {
    let f = fixture(OpenOptions::default());
    let id = put_id(&f.apply(vec![f.put("a")]).unwrap());
    f.assert_sound();
    f.on_writer(|c| {
        c.execute_batch(
            "INSERT INTO vectors (key, data) VALUES (99999, x'00'); UPDATE scopes SET seq = 0, semantic = 7; \
             INSERT INTO derived (scope, source, memory) VALUES (1, x'00', 77); \
             INSERT INTO spend VALUES ('a tenant', '', 20260101, 5, 0, 0, 0); \
             INSERT INTO reservations (id, tenant, project, reserved_at, expires_at, usd, tokens, attempt, provider, \
             model, operation) VALUES (x'00', 'a tenant', 'p', 0, 0, 1, 1, 1, '', '', '')",
        )?;
        Ok(())
    });
    let findings = block_on(f.store.verify(&f.ctx)).unwrap();
    for part in [
        "vector belongs to no memory",
        "change log of a scope ends",
        "counts by layer",
        "record of a derivation",
        "20260101 is not the sum",
        "19700101 has no sum",
        "197001 has no sum",
    ] {
        assert!(findings.iter().any(|f| f.contains(part)), "{part}: {findings:?}");
    }
    assert!(findings.iter().all(|f| !f.contains(&id.to_string()) && !f.contains("a tenant")));
}

#[test]
fn what_is_looked_up_often_is_answered_from_an_index() {
    let f = fixture(OpenOptions::default());
    let plans = [
        (
            "SELECT max(seq_in_session) FROM memories WHERE scope = 1 AND session_id = 's'",
            "COVERING INDEX memories_session",
        ),
        (
            "SELECT id FROM memories WHERE scope = 1 AND layer = 'sensory' ORDER BY created_at DESC, id DESC",
            "memories_sensory",
        ),
        (
            "SELECT id FROM memories WHERE scope = 1 AND layer = 'working' AND session_id = 's' \
             ORDER BY created_at DESC, id DESC",
            "memories_working",
        ),
        (
            "SELECT id FROM memories WHERE scope = 1 AND expires_at IS NOT NULL AND expires_at <= 5 \
             ORDER BY expires_at, id",
            "memories_expiry",
        ),
        ("SELECT 1 FROM memories WHERE scope = 1 AND dedup_key = x'00'", "memories_dedup"),
        ("SELECT id FROM memories WHERE scope = 1 AND user_id = 'u'", "memories_user"),
        (
            "SELECT id FROM reservations WHERE tenant = 't' AND expires_at <= 5 ORDER BY expires_at, id LIMIT 100",
            "reservations_expiry",
        ),
        (
            "SELECT error FROM ledger WHERE tenant = 't' AND +at >= 1 AND +at < 9 AND no < 5 ORDER BY no DESC LIMIT 10",
            "ledger_pages",
        ),
        ("SELECT sum(cost) FROM ledger WHERE tenant = 't' AND project = 'p' AND at >= 1 AND at < 9", "ledger_project"),
    ];
    for (sql, index) in plans {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let plan = f.on_writer(move |c| {
            let mut s = c.prepare(&explain)?;
            let lines = s.query_map([], |r| r.get::<_, String>(3))?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(lines.join("; "))
        });
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

#[test]
fn a_failing_precondition_is_named_and_writes_nothing() {
    let f = fixture(OpenOptions::default());
    let id = put_id(&f.apply(vec![f.put("a")]).unwrap());
    let cases = [
        (Precondition::VersionIs(id, 2), "version_changed"),
        (Precondition::VersionIs(f.ids.next(f.now), 1), "not_found"),
        (Precondition::Absent(id), "exists"),
        (Precondition::EmbedderIs("e".into()), "embedder_changed"),
        (Precondition::LeaseHeld(Uuid::nil(), 1), "lease_lost"),
        (Precondition::RecordIs(RecordKind::Questions, "s".into(), f.now), "record_changed"),
    ];
    for (precondition, code) in cases {
        let mut batch = f.batch(vec![f.put("b")]);
        batch.preconditions = vec![precondition];
        assert_eq!(block_on(f.store.apply(&f.ctx, batch)).unwrap_err().code(), code);
    }
    assert_eq!(f.head().seq, 1);
}
