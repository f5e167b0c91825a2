//! The SQLite store through its public API: what may be opened, and what the port promises where SQLite could break it.
#![allow(missing_docs, clippy::unwrap_used)]

mod sqlite_support;

use futures::executor::block_on;
use rae_core::{
    ErrorKind,
    embedded::sqlite::{Durability, OpenOptions, ReadOnly, SqliteStore},
    model::*,
    ports::*,
};
use serde_json::json;
use sqlite_support::*;
use std::{collections::HashSet, fs, path::Path, sync::Arc, time::Duration};

fn open(path: &Path) -> rae_core::Error {
    SqliteStore::open(OpenOptions::file(path)).unwrap_err()
}

#[test]
fn a_folder_a_missing_folder_and_a_device_are_invalid_input() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path(), &folder.path().join("missing/a.rae"), Path::new(""), Path::new("/dev/null")] {
        let error = open(path);
        assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, "invalid_path"), "{path:?}");
    }
    let error = open(&folder.path().join("missing/a.rae"));
    assert!(error.message().contains("make it first"), "{error}");
    assert!(!folder.path().join("missing").exists());
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_byte_identical() {
    let folder = tempfile::tempdir().unwrap();
    let sql = |name: &str, script: &str| {
        let path = folder.path().join(name);
        rusqlite::Connection::open(&path).unwrap().execute_batch(script).unwrap();
        path
    };
    let raw = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let paths = [
        raw("text", b"Dear diary"),
        raw("long text", "Dear diary, ".repeat(1_000).as_bytes()),
        raw("only the magic", b"SQLite format 3\0"),
        raw("zeros", &[0; 8_192]),
        sql("another", "CREATE TABLE t (a); INSERT INTO t VALUES (1)"),
        sql("another with a log", "PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)"),
        sql("only a view", "CREATE VIEW v AS SELECT 1"),
        sql("marked", "PRAGMA application_id = 7; CREATE TABLE t (a)"),
        sql("versioned", "PRAGMA user_version = 7"),
    ];
    for path in paths {
        let before = fs::read(&path).unwrap();
        for read_only in [ReadOnly::Auto, ReadOnly::Always, ReadOnly::Never] {
            let error = SqliteStore::open(OpenOptions { read_only, ..OpenOptions::file(&path) }).unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "not_a_store"), "{path:?} {error:?}");
        }
        assert!(fs::read(&path).unwrap() == before, "{path:?} was changed");
    }
}

#[test]
fn an_empty_file_and_an_empty_database_are_fresh_stores() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, database) = (folder.path().join("empty"), folder.path().join("database"));
    fs::write(&empty, b"").unwrap();
    rusqlite::Connection::open(&database).unwrap().execute_batch("PRAGMA journal_mode = WAL").unwrap();
    for path in [&empty, &database] {
        let s = Store::file(path);
        s.apply(vec![s.put("a")]).unwrap();
        s.assert_sound();
    }
}

#[test]
fn a_store_of_a_newer_schema_is_refused_with_both_versions_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rae");
    drop(Store::file(&path));
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 42").unwrap();
    let before = fs::read(&path).unwrap();
    let error = open(&path);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unsupported, "newer_schema"));
    assert!(error.message().contains("42") && error.message().contains("knows up to 4"), "{error}");
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn a_store_reopens_with_its_id_its_key_and_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rae");
    let s = Store::file(&path);
    let (uuid, key) = (s.store.store_uuid(), block_on(s.store.receipt_key()).unwrap());
    s.apply((0..10).map(|i| s.put(&i.to_string())).collect()).unwrap();
    let before = s.all();
    block_on(s.store.close()).unwrap();
    assert!(!folder.path().join("a.rae-wal").exists(), "closing leaves one file");
    let s = Store::file(&path);
    assert_eq!((s.store.store_uuid(), block_on(s.store.receipt_key()).unwrap()), (uuid, key));
    assert_eq!(s.all(), before);
    assert_eq!(s.store.path(), Some(path.as_path()));
}

#[test]
fn a_seed_replays_the_id_and_the_key_and_no_seed_does_not() {
    let open = |seed| {
        let s = SqliteStore::open(OpenOptions { seed, ..OpenOptions::default() }).unwrap();
        (s.store_uuid(), block_on(s.receipt_key()).unwrap())
    };
    assert_eq!(open(Some(1)), open(Some(1)));
    assert_ne!(open(Some(1)), open(Some(2)));
    assert_ne!(open(None), open(None));
}

#[cfg(unix)]
#[test]
fn nothing_in_a_path_has_a_special_meaning() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    for name in [&b"a?mode=memory"[..], b"%41", b"file:x?immutable=1", b"a#b", b"not \xff utf8", "zażółć".as_bytes()]
    {
        let path = folder.path().join(std::ffi::OsStr::from_bytes(name));
        let s = Store::file(&path);
        s.apply(vec![s.put("a")]).unwrap();
        drop(s);
        assert!(fs::metadata(&path).unwrap().len() > 0);
        assert_eq!(Store::file(&path).all().len(), 1);
        let always = OpenOptions { read_only: ReadOnly::Always, ..OpenOptions::file(&path) };
        assert_eq!(Store::open(always).all().len(), 1);
    }
    // A read-only connection cannot remove its log and its map, both empty of data; nothing else may be there.
    let names = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().as_bytes().to_vec());
    assert_eq!(names.filter(|n| !n.ends_with(b"-wal") && !n.ends_with(b"-shm")).count(), 6);
}

#[test]
fn a_read_only_store_reads_and_refuses_every_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rae");
    let always = || OpenOptions { read_only: ReadOnly::Always, ..OpenOptions::file(&path) };
    assert_eq!(SqliteStore::open(always()).unwrap_err().code(), "no_store");
    let s = Store::file(&path);
    s.apply(vec![s.put("a")]).unwrap();
    drop(s);
    let s = Store::open(always());
    assert!(s.store.capability().read_only && s.store.capability().durable);
    assert_eq!(s.all().len(), 1);
    s.assert_sound();
    let errors = [
        s.apply(vec![s.put("b")]).unwrap_err(),
        block_on(s.store.checkpoint(&s.ctx, s.now)).unwrap_err(),
        block_on(s.store.lease(&s.ctx, s.now, Duration::from_secs(1), 1)).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.code()), (ErrorKind::PermissionDenied, "read_only"));
    }
    let copy = folder.path().join("copy.rae");
    block_on(s.store.backup(&s.ctx, &copy)).unwrap();
    assert_eq!(Store::file(&copy).all().len(), 1);
    block_on(s.store.close()).unwrap();
}

#[test]
fn a_closed_store_says_so_and_closing_twice_is_fine() {
    for options in [OpenOptions::default(), OpenOptions::file(tempfile::tempdir().unwrap().keep().join("a"))] {
        let s = Store::open(options);
        s.apply(vec![s.put("a")]).unwrap();
        block_on(s.store.close()).unwrap();
        block_on(s.store.close()).unwrap();
        assert_eq!(s.apply(vec![s.put("b")]).unwrap_err().code(), "closed");
        let error = block_on(s.store.head(&s.ctx)).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "closed"));
        assert!(block_on(s.store.receipt_key()).is_err());
    }
}

#[test]
fn tenants_with_wildcards_quotes_and_other_scripts_do_not_see_each_other() {
    let s = Store::open(OpenOptions::default());
    let names =
        ["%", "_", "*", "a", "A", "a%", "a'; DROP TABLE memories; --", "\"", "zażółć", "日本", "é", "e\u{301}", " a"];
    for tenant in names {
        for project in names {
            let ctx = ctx(tenant, project);
            let text = format!("{tenant}/{project}");
            let memory = memory(s.ids.next(s.now), ctx.scope(), &text, s.now);
            block_on(s.store.apply(&ctx, s.batch(vec![put(memory)]))).unwrap();
        }
    }
    for tenant in names {
        for project in names {
            let ctx = ctx(tenant, project);
            let seen = block_on(s.store.scan(&ctx, &Scan { filter: None, after: None, limit: 100 })).unwrap();
            assert_eq!(seen.iter().map(|m| m.content.clone()).collect::<Vec<_>>(), [format!("{tenant}/{project}")]);
            assert_eq!(block_on(s.store.head(&ctx)).unwrap().seq, 1);
        }
    }
    let erase = s.batch(vec![Op::DropScope { target: DropTarget::Tenant }]);
    let applied = block_on(s.store.apply(&ctx("a%", "a"), erase)).unwrap();
    assert!(matches!(&applied.outcomes[0], Outcome::Dropped { memories: 13, projects } if projects.len() == 13));
    let left: u64 = names.iter().map(|t| block_on(s.store.stats(&ctx(t, "%"))).unwrap().memories).sum();
    assert_eq!(left, 12);
    s.assert_sound();
}

#[test]
fn a_memory_reads_back_to_the_last_bit() {
    let s = Store::open(OpenOptions::default());
    let mut m = s.memory("text with \0 inside, \u{10ffff} and 'quotes'");
    let mut random = fastrand::Rng::with_seed(3);
    // Every shape of number that JSON can hold, subnormal ones too.
    let numbers: Vec<f64> = (0..3_000)
        .map(|i| if i % 2 == 0 { random.f64() } else { f64::from_bits(random.u64(..)) })
        .chain([0.1 + 0.2, 5e-324, f64::MAX])
        .filter(|n| n.is_finite())
        .collect();
    m.metadata = json!({"n": numbers, "deep": {"a": [null, true, {"b": ""}]}, "big": u64::MAX, "low": i64::MIN})
        .as_object()
        .unwrap()
        .clone();
    (m.importance, m.strength, m.confidence) = (1.0 / 3.0, 0.1 + 0.2, f64::MIN_POSITIVE);
    (m.role, m.speaker, m.session_id) = (Some(String::new()), Some("Ada \0".into()), Some("s".into()));
    m.tags = vec!["b".into(), "a".into()];
    m.trust_level = Some(TrustLevel::High);
    m.occurred_at = Some(Timestamp::parse("-009999-06-01T00:00:00Z").unwrap());
    m.superseded_by = Some(s.ids.next(s.now));
    m.dedup_key = Some([7; 32]);
    m.claim = Some(rae_core::Claim::new("Ada \u{1f3a1}", "knows", "B\"ob", f64::MIN_POSITIVE).unwrap());
    m.provenance = Provenance { derived_from: vec![s.ids.next(s.now)], sources: vec!["x".into()] };
    s.apply(vec![put(m.clone())]).unwrap();
    let expected = Memory { seq: 1, seq_in_session: Some(0), ..m.clone() };
    assert_eq!(s.get(m.id).unwrap(), expected);
    // The older version went through JSON.
    let patch = MemoryPatch { content: Some("new".into()), dedup_key: Some(None), ..MemoryPatch::default() };
    s.apply(vec![Op::PatchMemory { id: m.id, patch: Box::new(patch), mode: PatchMode::NewVersion, vector: None }])
        .unwrap();
    let history = block_on(s.store.history(&s.ctx, m.id)).unwrap();
    assert_eq!(history[0].memory, expected);
    assert_eq!((history.len(), history[1].memory.version, history[1].memory.content.as_str()), (2, 2, "new"));
}

#[test]
fn a_filter_keeps_the_same_memories_whether_sql_helps_or_not() {
    let s = Store::open(OpenOptions::default());
    for i in 0..60_u32 {
        let mut m = s.memory(&format!("memory {i}"));
        m.speaker = ["Ada", "ada", "A%", ""].get(i as usize % 5).map(|t| (*t).to_owned());
        m.session_id = (i % 3 > 0).then(|| format!("s{}", i % 3));
        m.user_id = (i % 2 > 0).then(|| "u".into());
        m.importance = f64::from(i) / 60.0;
        m.occurred_at = (i % 4 > 0).then(|| s.now.saturating_add_seconds(i64::from(i)));
        m.tags = vec![format!("t{}", i % 7)];
        m.metadata = json!({"n": i % 6}).as_object().unwrap().clone();
        m.kind = if i % 2 == 0 { Kind::Fact } else { Kind::Text };
        s.apply(vec![put(m)]).unwrap();
    }
    let at = s.now.saturating_add_seconds(20).to_string();
    let everything = s.all();
    let filters = [
        json!({}),
        json!({"speaker": "Ada"}),
        json!({"speaker": null}),
        json!({"speaker": {"ne": "Ada"}}),
        json!({"speaker": {"in": ["Ada", "", "x"]}}),
        json!({"speaker": {"in": ["Ada", null]}}),
        json!({"speaker": {"nin": ["Ada"]}}),
        json!({"speaker": {"gt": "Ada"}}),
        json!({"speaker": {"contains": "d"}}),
        json!({"speaker": "A%"}),
        json!({"session_id": "s1", "kind": "fact"}),
        json!({"or": [{"session_id": "s1"}, {"user_id": null}]}),
        json!({"or": [{"session_id": "s1"}, {"metadata.n": 3}]}),
        json!({"not": {"session_id": "s1"}}),
        json!({"not": {"session_id": null}}),
        json!({"importance": {"gte": 0.25, "lt": 0.5}}),
        json!({"occurred_at": {"gt": at}}),
        json!({"occurred_at": {"lte": at}}),
        json!({"occurred_at": null}),
        json!({"or": [{"occurred_at": {"gte": at}}, {"and": [{"occurred_at": null}, {"created_at": {"lt": at}}]}]}),
        json!({"tags": {"contains": "t3"}}),
        json!({"layer": "ltm"}),
        json!({"layer": {"in": ["wm", "sm"]}}),
        json!({"id": everything[7].id.to_string()}),
        json!({"id": {"gt": everything[7].id.to_string()}}),
        json!({"id": "nonsense"}),
        json!({"content": {"contains": "5"}}),
        json!({"version": 1}),
        json!({"kind": {"gt": "fact"}}),
        json!({"and": [{"or": [{"speaker": "Ada"}, {"tags": {"contains": "t1"}}]}, {"user_id": "u"}, {"not": {"metadata.n": 1}}]}),
    ];
    for json in filters {
        let filter = Filter::parse(&json).unwrap();
        let expected: HashSet<_> = everything.iter().filter(|m| filter.matches(m)).map(|m| m.id).collect();
        assert_eq!(*block_on(s.store.matching(&s.ctx, &filter)).unwrap(), expected, "{json}");
        let scan = Scan { filter: Some(filter), after: None, limit: 1_000 };
        let scanned = block_on(s.store.scan(&s.ctx, &scan)).unwrap();
        assert_eq!(scanned.iter().map(|m| m.id).collect::<HashSet<_>>(), expected, "{json}");
        assert!(scanned.is_sorted_by_key(|m| m.id));
    }
}

#[test]
fn changes_come_in_pages_that_together_are_the_whole_log() {
    let s = Store::open(OpenOptions::default());
    let ids: Vec<_> = (0..30)
        .map(|i| {
            let m = s.memory(&i.to_string());
            let id = m.id;
            s.apply(vec![put(m)]).unwrap();
            id
        })
        .collect();
    for id in ids.iter().step_by(3) {
        s.apply(vec![Op::DeleteMemory { id: *id }]).unwrap();
    }
    // One comes back: the deletion says nothing any more.
    let mut back = s.memory("back");
    back.id = ids[0];
    s.apply(vec![put(back)]).unwrap();
    for limit in [1, 2, 7, 1_000] {
        let (mut at, mut live, mut gone) = (0, Vec::new(), Vec::new());
        loop {
            let page = block_on(s.store.changes_since(&s.ctx, at, u64::MAX, limit, "e")).unwrap();
            assert!(page.puts.len() + page.deletes.len() <= limit);
            assert!(page.puts.iter().all(|c| c.memory.seq > at && c.memory.seq <= page.upto));
            live.extend(page.puts.into_iter().map(|c| c.memory.id));
            gone.extend(page.deletes.into_iter().map(|(_, id)| id));
            if page.upto == at {
                break;
            }
            at = page.upto;
        }
        assert_eq!((at, live.len(), gone.len()), (41, 21, 9));
        assert!(gone.iter().all(|id| ids.contains(id) && !live.contains(id)));
    }
}

#[test]
fn the_same_statement_twice_in_one_batch_merges_within_it() {
    let s = Store::open(OpenOptions::default());
    let statement = |tag: &str, importance| {
        let mut m = s.memory("Ada likes tea");
        (m.dedup_key, m.tags, m.importance) = (Some([1; 32]), vec![tag.into()], importance);
        m
    };
    let (a, b) = (statement("a", 0.2), statement("b", 0.9));
    let applied = s.apply(vec![put(a.clone()), put(b)]).unwrap();
    assert_eq!(applied.outcomes[1], Outcome::Put { id: a.id, version: 1, merged: true, replayed: false });
    assert_eq!(applied.seq, 2);
    let m = s.get(a.id).unwrap();
    assert_eq!((m.tags, m.importance, m.witness_count, m.version, m.seq), (vec!["a".into(), "b".into()], 0.9, 2, 1, 2));
    assert_eq!(s.all().len(), 1);
    s.assert_sound();
}

#[test]
fn a_backup_is_a_whole_store_and_never_replaces_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let s = Store::file(&folder.path().join("a.rae"));
    s.apply((0..500).map(|i| s.put(&format!("memory {i} {}", "x".repeat(500)))).collect()).unwrap();
    let target = folder.path().join("b?.rae");
    block_on(s.store.backup(&s.ctx, &target)).unwrap();
    s.apply(vec![s.put("after")]).unwrap();
    let copy = Store::file(&target);
    assert_eq!(copy.all().len(), 500);
    assert_eq!(copy.store.store_uuid(), s.store.store_uuid());
    copy.assert_sound();
    drop(copy);
    let before = fs::read(&target).unwrap();
    let error = block_on(s.store.backup(&s.ctx, &target)).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "exists"));
    assert!(fs::read(&target).unwrap() == before);
    let error = block_on(s.store.backup(&s.ctx, &folder.path().join("no/b"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|n| !n.to_string_lossy().contains(".part")), "{names:?}");
    let memory = Store::open(OpenOptions::default());
    memory.apply(vec![memory.put("a")]).unwrap();
    block_on(memory.store.backup(&memory.ctx, &folder.path().join("c.rae"))).unwrap();
    assert_eq!(Store::file(&folder.path().join("c.rae")).all().len(), 1);
}

#[test]
fn a_batch_id_and_an_idempotency_key_count_for_a_day_of_the_store_s_clock() {
    let clock = Arc::new(ManualClock::new(start()));
    let options = OpenOptions { clock: clock.clone(), durability: Durability::Normal, ..OpenOptions::default() };
    let s = Store::open(options);
    let keyed = |m: Memory, body| Op::PutMemory {
        memory: Box::new(m),
        vector: None,
        idempotency: Some(Idempotency { verb: "remember", key: "k".into(), body_hash: [body; 32] }),
    };
    let batch = s.batch(vec![keyed(s.memory("a"), 1)]);
    let first = block_on(s.store.apply(&s.ctx, batch.clone())).unwrap();
    assert_eq!(block_on(s.store.apply(&s.ctx, batch.clone())).unwrap(), first);
    let again = s.apply(vec![keyed(s.memory("b"), 1)]).unwrap();
    assert!(matches!(again.outcomes[0], Outcome::Put { replayed: true, .. }));
    assert_eq!(s.apply(vec![keyed(s.memory("b"), 2)]).unwrap_err().code(), "idempotency_key_reused");
    assert_eq!(s.all().len(), 1);
    clock.advance_seconds(86_400);
    assert!(matches!(
        s.apply(vec![keyed(s.memory("b"), 2)]).unwrap().outcomes[0],
        Outcome::Put { replayed: false, .. }
    ));
    assert_eq!(block_on(s.store.apply(&s.ctx, batch)).unwrap_err().code(), "idempotency_key_reused");
    assert!(block_on(s.store.checkpoint(&s.ctx, clock.now())).is_ok());
    assert_eq!(s.all().len(), 2);
    s.assert_sound();
}

#[test]
fn vectors_that_are_no_directions_are_refused_and_others_read_back() {
    let s = Store::open(OpenOptions::default());
    let with = |m: Memory, vector: Vec<f32>| Op::PutMemory {
        memory: Box::new(m),
        vector: Some(VectorRow { embedder: format!("e@1/{}", vector.len()), vector }),
        idempotency: None,
    };
    for bad in [vec![], vec![0.0; 3], vec![f32::NAN, 1.0], vec![f32::INFINITY], vec![1.0; 4_097]] {
        assert_eq!(s.apply(vec![with(s.memory("a"), bad)]).unwrap_err().code(), "invalid_vector");
    }
    s.apply(vec![Op::SetEmbedder { embedder: "e@1/3".into(), dim: 3 }]).unwrap();
    let (a, b) = (s.memory("a"), s.memory("b"));
    s.apply(vec![with(a.clone(), vec![0.6, 0.8, -0.0]), put(b.clone())]).unwrap();
    let vectors = block_on(s.store.vectors(&s.ctx, "e@1/3", 0, 10)).unwrap();
    assert_eq!(vectors, [(1, VectorPoint { id: a.id, vector: vec![0.6, 0.8, -0.0] })]);
    let lacking = block_on(s.store.without_vector(&s.ctx, "e@1/3", None, 10)).unwrap();
    assert_eq!(lacking.iter().map(|m| m.id).collect::<Vec<_>>(), [b.id]);
    assert_eq!(block_on(s.store.without_vector(&s.ctx, "other", None, 10)).unwrap().len(), 2);
    let later = VectorRow { embedder: "f@1/2".into(), vector: vec![1.0, 0.0] };
    s.apply(vec![Op::PutVector { id: b.id, version: 1, vector: later }]).unwrap();
    assert_eq!(block_on(s.store.vectors(&s.ctx, "f@1/2", 0, 10)).unwrap()[0].0, 3);
    s.apply(vec![Op::SetEmbedder { embedder: "f@1/2".into(), dim: 2 }]).unwrap();
    assert_eq!(block_on(s.store.vectors(&s.ctx, "e@1/3", 0, 10)).unwrap(), []);
    assert_eq!(block_on(s.store.stats(&s.ctx)).unwrap().vectors, 1);
    assert_eq!(block_on(s.store.head(&s.ctx)).unwrap().embedder, Some(("f@1/2".into(), 2)));
    s.assert_sound();
}
