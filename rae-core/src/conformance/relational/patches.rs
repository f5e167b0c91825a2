//! Patches, versions and history.

use crate::{
    conformance::fixtures::{
        EMBEDDER, OTHER_EMBEDDER, Rig, content_patch, importance_patch, key, kind_of, object, patch_op, put, unit,
        vector_row,
    },
    error::ErrorKind,
    limits::HISTORY_VERSIONS_MAX,
    model::{
        Claim, InfoClass, Kind, Layer, Memory, MemoryId, MemoryPatch, Op, Outcome, PatchMode, Provenance, TrustLevel,
    },
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;

/// The id stays, the version grows, `updated_at` moves, and the old state is in the history.
pub async fn a_new_version_keeps_the_old_one(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let first = rig.put(rig.full_memory()).await;
    clock.advance_seconds(60);
    assert_eq!(rig.patch(first.id, content_patch("second")).await, Outcome::Patched { version: 2 });
    let mut second = Memory { version: 2, updated_at: rig.now(), seq: 2, ..first.clone() };
    content_patch("second").apply_to(&mut second);
    assert_eq!(rig.live(first.id).await, second);
    let history = store.history(&rig.ctx, first.id).await.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(Memory { seq: 1, ..history[0].memory.clone() }, first);
    assert_eq!((history[0].replaced_at, history[1].replaced_at), (Some(rig.now()), None));
    assert_eq!(history[1].memory, second);
}

/// Oldest first, the present one last, without gaps.
pub async fn history_comes_oldest_first(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("version 1")).await;
    for version in 2..=12 {
        clock.advance_seconds(1);
        rig.patch(a.id, content_patch(&format!("version {version}"))).await;
    }
    let history = store.history(&rig.ctx, a.id).await.unwrap();
    assert_eq!(history.len(), 12);
    for (version, expected) in history.iter().zip(1u32..) {
        assert_eq!(version.memory.version, expected);
        assert_eq!(version.memory.content, format!("version {expected}"));
        assert_eq!(version.replaced_at.is_none(), expected == 12);
    }
}

/// Feedback and decay move a number and nothing else.
pub async fn a_patch_in_place_makes_no_version(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    clock.advance_seconds(60);
    let patch = MemoryPatch { strength: Some(0.25), ..importance_patch(0.75) };
    assert_eq!(rig.run(patch_op(a.id, patch, PatchMode::InPlace)).await, Outcome::Patched { version: 1 });
    let expected = Memory { strength: 0.25, importance: 0.75, seq: 2, ..a };
    assert_eq!(rig.live(expected.id).await, expected);
    assert_eq!(store.history(&rig.ctx, expected.id).await.unwrap().len(), 1);
}

/// Each field of a patch moves its field, an inner `None` clears, an empty patch moves nothing but the version.
pub async fn a_patch_moves_what_it_names(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let full = rig.full_memory();
    let now = Some(rig.now());
    let set = MemoryPatch {
        content: Some("other".into()),
        content_hash: Some(key("other")),
        dedup_key: Some(Some(key("k"))),
        layer: Some(Layer::Working),
        kind: Some(Kind::Code),
        role: Some(Some("tool".into())),
        speaker: Some(Some("Bob".into())),
        tags: Some(vec!["z".into()]),
        metadata: Some(object(json!({"z": 1}))),
        importance: Some(0.11),
        strength: Some(0.12),
        confidence: Some(0.13),
        trust_level: Some(Some(TrustLevel::High)),
        info_class: Some(InfoClass::Public),
        provenance: Some(Provenance { derived_from: vec![rig.id()], sources: vec!["z".into()] }),
        occurred_at: Some(now),
        valid_from: Some(now),
        valid_to: Some(now),
        superseded_by: Some(Some(rig.id())),
        expires_at: Some(now),
        claim: Some(Some(Claim::new("Bob", "knows", "Ada", 2.5).unwrap())),
        witness_count: Some(7),
    };
    let clear = MemoryPatch {
        dedup_key: Some(None),
        role: Some(None),
        speaker: Some(None),
        trust_level: Some(None),
        occurred_at: Some(None),
        valid_from: Some(None),
        valid_to: Some(None),
        superseded_by: Some(None),
        expires_at: Some(None),
        claim: Some(None),
        tags: Some(Vec::new()),
        ..MemoryPatch::default()
    };
    let mut expected = rig.put(full).await;
    for (patch, version) in [set, clear, MemoryPatch::default()].into_iter().zip(2u32..) {
        patch.apply_to(&mut expected);
        expected = Memory { version, seq: u64::from(version), ..expected };
        assert_eq!(rig.patch(expected.id, patch).await, Outcome::Patched { version });
        assert_eq!(rig.live(expected.id).await, expected);
    }
}

/// There is nothing to change where there is no memory, in either mode.
pub async fn a_patch_of_a_missing_memory_is_not_found(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let gone = rig.put(rig.memory("a")).await.id;
    rig.delete(gone).await;
    for id in [gone, rig.id()] {
        for mode in [PatchMode::NewVersion, PatchMode::InPlace] {
            let result = rig.try_apply(vec![], vec![patch_op(id, importance_patch(0.1), mode)]).await;
            assert_eq!(kind_of(result), ErrorKind::NotFound);
        }
    }
}

/// Two live memories never say the same; a memory may keep its own key.
pub async fn a_patch_to_a_duplicate_is_a_conflict(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (a, b) = (rig.put(rig.statement("a")).await, rig.put(rig.statement("b")).await);
    let to = |text: &str| MemoryPatch { dedup_key: Some(Some(key(text))), ..content_patch(text) };
    let before = rig.snapshot().await;
    for mode in [PatchMode::NewVersion, PatchMode::InPlace] {
        let ops = vec![put(rig.memory("with it")), patch_op(b.id, to("a"), mode)];
        assert_eq!(kind_of(rig.try_apply(vec![], ops).await), ErrorKind::Conflict);
    }
    assert_eq!(rig.snapshot().await, before);
    assert_eq!(rig.patch(a.id, to("a")).await, Outcome::Patched { version: 2 });
}

/// The old words are free once a patch moved on, and the new ones are taken.
pub async fn a_patch_moves_the_key(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.statement("old")).await;
    rig.patch(a.id, MemoryPatch { dedup_key: Some(Some(key("new"))), ..content_patch("new") }).await;
    let old = rig.statement("old");
    assert_eq!(rig.put(old.clone()).await.id, old.id);
    let merged = rig.put(rig.statement("new")).await;
    assert_eq!((merged.id, merged.witness_count, merged.version), (a.id, 2, 2));
}

/// The oldest versions go first; the newest and the present one stay.
pub async fn history_is_bounded(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    let patch = |i: u32| patch_op(a.id, importance_patch(f64::from(i) / 10_000.0), PatchMode::NewVersion);
    for half in [1..601, 601..1_101] {
        rig.apply(half.map(patch).collect()).await;
    }
    let history = store.history(&rig.ctx, a.id).await.unwrap();
    let most = HISTORY_VERSIONS_MAX + 1;
    assert!((most - 1..=most).contains(&history.len()), "{} versions are kept", history.len());
    assert_eq!(history.last().unwrap().memory, rig.live(a.id).await);
    assert_eq!(history.last().unwrap().memory.version, 1_101);
    assert!(history.windows(2).all(|pair| pair[0].memory.version + 1 == pair[1].memory.version));
}

/// One that expired makes way, one that ended stays without its key.
pub async fn a_patch_may_say_what_something_past_said(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let soon = Some(rig.now().saturating_add_seconds(60));
    let expiring = rig.put(Memory { expires_at: soon, ..rig.statement("a") }).await;
    let ending = rig.put(Memory { valid_to: soon, ..rig.statement("b") }).await;
    let other = rig.put(rig.statement("c")).await;
    clock.advance_seconds(60);
    for text in ["a", "b"] {
        rig.patch(other.id, MemoryPatch { dedup_key: Some(Some(key(text))), ..content_patch(text) }).await;
        assert_eq!(rig.live(other.id).await.dedup_key, Some(key(text)));
    }
    assert_eq!(store.get(&rig.ctx, &[expiring.id]).await.unwrap(), [None]);
    assert_eq!(rig.live(ending.id).await.dedup_key, None);
    assert_eq!(store.stats(&rig.ctx).await.unwrap().memories, 2);
}

/// `None` keeps the vectors, `Some(None)` removes them, a new one replaces those of every embedder: they all describe the old text.
pub async fn a_patch_keeps_removes_or_replaces_the_vectors(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put_with_vector(rig.memory("a"), unit(1)).await;
    rig.run(Op::PutVector { id: a.id, version: 1, vector: vector_row(OTHER_EMBEDDER, unit(2)) }).await;
    let vectors = async || {
        let mut found = Vec::new();
        for embedder in [EMBEDDER, OTHER_EMBEDDER] {
            let page = store.vectors(&rig.ctx, embedder, 0, 10).await.unwrap();
            found.push(page.into_iter().map(|(_, point)| point.vector).next());
        }
        found
    };
    let patch =
        |vector| Op::PatchMemory { id: a.id, patch: Box::new(content_patch("b")), mode: PatchMode::NewVersion, vector };
    rig.run(patch(None)).await;
    assert_eq!(vectors().await, [Some(unit(1)), Some(unit(2))]);
    rig.run(patch(Some(Some(vector_row(EMBEDDER, unit(3)))))).await;
    assert_eq!(vectors().await, [Some(unit(3)), None]);
    rig.run(patch(Some(None))).await;
    assert_eq!(vectors().await, [None, None]);
}

/// Unknown ids have no history.
pub async fn the_history_of_an_unknown_memory_is_empty(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.put(rig.memory("a")).await;
    assert_eq!(store.history(&rig.ctx, rig.id()).await.unwrap(), []);
}

/// A version that names a source is found though the present one does not name it, and goes alone; the others keep their numbers.
pub async fn what_older_versions_name_is_found_and_dropped(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (a, b, never) = (rig.id(), rig.id(), rig.id());
    let from = |ids: &[MemoryId]| Provenance { derived_from: ids.to_vec(), sources: vec![] };
    let says = |text: &str, ids: &[MemoryId]| MemoryPatch { provenance: Some(from(ids)), ..content_patch(text) };
    let it = rig.put(Memory { provenance: from(&[a]), ..rig.memory("one") }).await.id;
    rig.patch(it, says("two", &[a, b])).await;
    rig.patch(it, says("three", &[a])).await;
    // What says of sources in words names none.
    let other = rig.put(rig.memory(r#""derived_from":["#)).await.id;
    rig.patch(other, content_patch("else")).await;
    let found = async |ids: &[MemoryId]| store.once_derived_from(&rig.ctx, ids).await.unwrap();
    assert_eq!(found(&[b, never]).await, [(it, vec![2])]);
    assert_eq!(found(&[b, a]).await, [(it, vec![1, 2])]);
    assert_eq!((found(&[never]).await, found(&[]).await), (vec![], vec![]));
    let elsewhere = rig.at("default", "other");
    assert_eq!(store.once_derived_from(&elsewhere.ctx, &[a, b]).await.unwrap(), []);
    assert_eq!(elsewhere.run(Op::DropVersions { id: it, versions: vec![2] }).await, Outcome::Skipped);
    let (live, seq) = (rig.live(it).await, rig.seq().await);
    // The present one has a number too, and stays.
    assert_eq!(rig.run(Op::DropVersions { id: it, versions: vec![2, 3, 9] }).await, Outcome::Done);
    assert_eq!(rig.run(Op::DropVersions { id: it, versions: vec![2] }).await, Outcome::Skipped);
    let left: Vec<u32> = store.history(&rig.ctx, it).await.unwrap().iter().map(|v| v.memory.version).collect();
    assert_eq!((left, found(&[b]).await), (vec![1, 3], vec![]));
    assert_eq!((rig.live(it).await, rig.seq().await), (live, seq));
    assert_eq!(rig.patch(it, content_patch("four")).await, Outcome::Patched { version: 4 });
    rig.delete(it).await;
    assert_eq!(
        (found(&[a]).await, rig.run(Op::DropVersions { id: it, versions: vec![1] }).await),
        (vec![], Outcome::Skipped)
    );
}
