use super::{
    tests::{clustered, collection, ctx, exact, id, only, point},
    *,
};
use futures::executor::block_on;
use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

const DIM: usize = 24;
const N: usize = 1_500;
const STORE: Uuid = Uuid::from_u128(77);

/// A store whose graph starts at 500 vectors and is asked whenever it covers the space.
fn open(dir: Option<&Path>, store_uuid: Uuid) -> MemoryVectors {
    let config =
        VectorsConfig { index_dir: dir.map(PathBuf::from), store_uuid, ann_threshold: 500, ..VectorsConfig::default() };
    MemoryVectors::with_row_cost(config, 1)
}

fn data() -> Vec<Vec<f32>> {
    clustered(&mut fastrand::Rng::with_seed(5), DIM, N, 0.4)
}

fn fill(store: &MemoryVectors, data: &[Vec<f32>], head: u64) {
    for (page, vectors) in data.chunks(500).enumerate() {
        let points = (page as u128 * 500..).zip(vectors).map(|(n, v)| point(n, v.clone())).collect();
        block_on(store.write(&ctx("p"), &collection(DIM), points, &[], Some(Watermark::at(head)))).unwrap();
    }
}

fn ask(store: &MemoryVectors, vector: &[f32], filter: &VectorFilter, k: usize) -> Vec<VectorHit> {
    block_on(store.query(&ctx("p"), &collection(DIM), vector, filter, k)).unwrap()
}

/// The space, and what its graph alone (with the tail scanned) answers.
fn space(store: &MemoryVectors) -> Arc<Space> {
    store.inner.space(&key(&ctx("p"), &collection(DIM))).unwrap()
}

fn ask_graph(store: &MemoryVectors, vector: &[f32], filter: &VectorFilter, k: usize) -> Option<Vec<VectorHit>> {
    let space = space(store);
    let rows = space.rows.read();
    let query = Query::new(unit(&collection(DIM), vector).unwrap());
    space.query_graph(&rows, &query, k, &rows.pool(filter.only.as_deref()), 1)
}

fn nodes(store: &MemoryVectors) -> usize {
    space(store).graph.read().nodes()
}

fn recall(store: &MemoryVectors, all: &BTreeMap<MemoryId, Vec<f32>>, filter: &VectorFilter) -> f64 {
    let queries: Vec<_> = all.values().step_by(60).collect();
    let allowed: BTreeMap<_, _> = all
        .iter()
        .filter(|(id, _)| filter.only.as_ref().is_none_or(|only| only.contains(id)))
        .map(|(id, v)| (*id, v.clone()))
        .collect();
    let mut found = 0;
    for query in &queries {
        let want: HashSet<_> = exact(&allowed, query)[..10].iter().map(|(_, id)| *id).collect();
        let hits = ask_graph(store, query, filter, 10).expect("the graph should have answered");
        assert!(hits.iter().all(|h| allowed.contains_key(&h.id)));
        assert_eq!(hits.iter().map(|h| h.id).collect::<HashSet<_>>().len(), 10);
        found += hits.iter().filter(|h| want.contains(&h.id)).count();
    }
    found as f64 / (queries.len() * 10) as f64
}

fn model(data: &[Vec<f32>]) -> BTreeMap<MemoryId, Vec<f32>> {
    (0..).zip(data).map(|(n, v)| (id(n), v.clone())).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.retain(|path| path.file_name().unwrap() != "lock");
    found.sort();
    found
}

/// A folder with the snapshot of [`data`] at sequence 10.
fn snapshot() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("agent.rae-index");
    let store = open(Some(&dir), STORE);
    fill(&store, &data(), 10);
    store.settle();
    block_on(store.close()).unwrap();
    assert_eq!(files(&dir).len(), 4, "{:?}", files(&dir));
    (temporary, dir)
}

fn reopened(dir: &Path, store_uuid: Uuid, head: u64) -> (MemoryVectors, bool) {
    let config =
        VectorsConfig { index_dir: Some(dir.into()), store_uuid, ann_threshold: 500, ..VectorsConfig::default() };
    // Filled behind the builder's back, so that what the graph holds came from the snapshot.
    let store = MemoryVectors::with_row_cost(config, 1);
    let space = store.inner.space_or_new(&key(&ctx("p"), &collection(DIM)));
    let units: Vec<_> = model(&data()).iter().map(|(id, v)| (*id, unit(&collection(DIM), v).unwrap())).collect();
    space.write(&units, &[], Some(Watermark::at(10))).unwrap();
    let restored = store.inner.restore(&space.key, head);
    (store, restored)
}

#[test]
fn the_graph_finds_ten_nearest_with_and_without_a_wide_filter() {
    let (store, data) = (open(None, STORE), data());
    fill(&store, &data, 1);
    store.settle();
    assert_eq!(nodes(&store), N);
    let all = model(&data);
    let half = only((0..N as u128).filter(|n| n % 2 == 0).map(id));
    for filter in [VectorFilter::default(), half] {
        let recall = recall(&store, &all, &filter);
        assert!(recall >= 0.98, "recall@10 is {recall}");
    }
}

#[test]
fn a_strict_filter_and_a_large_k_are_scanned() {
    let (store, data) = (open(None, STORE), data());
    fill(&store, &data, 1);
    store.settle();
    let strict = only((0..N as u128).filter(|n| n % 11 == 0).map(id));
    assert!(ask_graph(&store, &data[0], &strict, 10).is_none());
    assert!(ask_graph(&store, &data[0], &VectorFilter::default(), N).is_none());
    assert_eq!(ask(&store, &data[0], &VectorFilter::default(), N).len(), N);
    assert_eq!(ask(&store, &data[0], &strict, N).len(), N.div_ceil(11));
}

#[test]
fn what_is_newer_than_the_graph_is_found_and_what_was_deleted_is_not() {
    let (store, data) = (open(None, STORE), data());
    let (c, coll) = (ctx("p"), collection(DIM));
    fill(&store, &data, 1);
    store.settle();
    let fresh = 1_000_000;
    let gone = ask(&store, &data[7], &VectorFilter::default(), 5);
    let mut probe = data[7].clone();
    probe[0] += 0.001;
    // One new, one that moves from far away to the probe, five deleted: too little for the builder to wake.
    let points = vec![point(fresh, probe.clone()), point(8, probe.clone())];
    let delete: Vec<_> = gone.iter().map(|h| h.id).collect();
    block_on(store.write(&c, &coll, points, &delete, Some(Watermark::at(2)))).unwrap();
    assert_eq!(nodes(&store), N);
    let hits = ask_graph(&store, &probe, &VectorFilter::default(), 10).expect("the graph should have answered");
    assert_eq!((hits[0].id, hits[1].id), (id(8), id(fresh)));
    assert!(hits.iter().all(|h| !delete.contains(&h.id)));
    assert_eq!(hits.iter().filter(|h| h.id == id(8)).count(), 1);
}

#[test]
fn a_graph_with_a_fifth_dead_is_built_again_and_compaction_keeps_it_right() {
    let (store, data) = (open(None, STORE), data());
    let (c, coll) = (ctx("p"), collection(DIM));
    fill(&store, &data, 1);
    store.settle();
    let mut all = model(&data);
    for round in 0..6u128 {
        let delete: Vec<_> = (0..N as u128).filter(|n| n % 10 == round).map(id).collect();
        block_on(store.write(&c, &coll, vec![], &delete, None)).unwrap();
        store.settle();
        all.retain(|id, _| !delete.contains(id));
        assert!(recall(&store, &all, &VectorFilter::default()) >= 0.98);
    }
    assert!(nodes(&store) < N * 3 / 5, "{} nodes for {} vectors", nodes(&store), all.len());
}

#[test]
fn writing_and_querying_while_the_graph_grows_keeps_every_answer_whole() {
    let (store, data) = (open(None, STORE), data());
    std::thread::scope(|s| {
        let writer = s.spawn(|| fill(&store, &data, 1));
        while !writer.is_finished() {
            let hits = ask(&store, &data[0], &VectorFilter::default(), 10);
            assert!(hits.is_empty() || hits[0].id == id(0));
            assert!(hits.windows(2).all(|w| w[0].cosine >= w[1].cosine));
        }
    });
    block_on(store.close()).unwrap();
}

#[test]
fn a_snapshot_is_taken_up_again_and_nodes_whose_vector_changed_are_left_out() {
    let (_temporary, dir) = snapshot();
    let (store, restored) = reopened(&dir, STORE, 10);
    assert!(restored);
    assert_eq!(nodes(&store), N);
    assert!(recall(&store, &model(&data()), &VectorFilter::default()) >= 0.98);

    // A page is written after the open, another vector for one id: the graph must not answer for the old one.
    let (c, coll) = (ctx("p"), collection(DIM));
    let mut moved = data();
    moved[3] = data()[40].iter().map(|x| -x).collect();
    let other = MemoryVectors::with_row_cost(
        VectorsConfig {
            index_dir: Some(dir.clone()),
            store_uuid: STORE,
            ann_threshold: 500,
            ..VectorsConfig::default()
        },
        1,
    );
    other.inner.closed.store(true, Ordering::Release);
    let space = other.inner.space_or_new(&key(&c, &coll));
    let units: Vec<_> = model(&moved).iter().map(|(id, v)| (*id, unit(&coll, v).unwrap())).collect();
    space.write(&units, &[], Some(Watermark::at(11))).unwrap();
    assert!(other.restore(&c, &coll, 11));
    let hits = ask_graph(&other, &moved[3], &VectorFilter::default(), 10).unwrap();
    assert_eq!(hits[0].id, id(3));
    let hits = ask_graph(&other, &data()[3], &VectorFilter::default(), 10).unwrap();
    assert!(hits.iter().all(|h| h.id != id(3)));
}

#[test]
fn a_loaded_graph_grows_on_with_upper_layers_as_usual() {
    let (_temporary, dir) = snapshot();
    let (store, restored) = reopened(&dir, STORE, 10);
    assert!(restored);
    let more = clustered(&mut fastrand::Rng::with_seed(6), DIM, 1_000, 0.4);
    let points = (N as u128..).zip(&more).map(|(n, v)| point(n, v.clone())).collect();
    block_on(store.write(&ctx("p"), &collection(DIM), points, &[], Some(Watermark::at(11)))).unwrap();
    store.settle();
    assert_eq!(nodes(&store), N + 1_000);
    let all: Vec<_> = data().into_iter().chain(more).collect();
    assert!(recall(&store, &model(&all), &VectorFilter::default()) >= 0.98);
    block_on(store.close()).unwrap();
    assert_eq!(files(&dir).len(), 4, "only the newest generation stays");
}

#[test]
fn a_snapshot_of_another_store_or_from_after_the_head_is_deleted() {
    for (store_uuid, head) in [(Uuid::from_u128(78), 10), (STORE, 9)] {
        let (_temporary, dir) = snapshot();
        let (store, restored) = reopened(&dir, store_uuid, head);
        assert!(!restored);
        assert_eq!(files(&dir), Vec::<PathBuf>::new());
        assert_eq!(ask(&store, &data()[0], &VectorFilter::default(), 3).len(), 3);
    }
}

#[test]
fn a_snapshot_with_any_damaged_or_missing_file_is_ignored() {
    let (_temporary, dir) = snapshot();
    for path in files(&dir) {
        let bytes = fs::read(&path).unwrap();
        for at in [0, 7, bytes.len() / 2, bytes.len() - 1] {
            let mut file = OpenOptions::new().write(true).read(true).open(&path).unwrap();
            let mut byte = [0];
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.read_exact(&mut byte).unwrap();
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&[byte[0] ^ 0x40]).unwrap();
            let (store, restored) = reopened(&dir, STORE, 10);
            // The last byte of the manifest is the end of a line, which counts for nothing.
            let harmless = path.extension().is_some_and(|e| e == "json") && at == bytes.len() - 1;
            assert!(!restored || harmless, "{path:?} with byte {at} changed was taken");
            assert_eq!(ask(&store, &data()[0], &VectorFilter::default(), 3)[0].id, id(0));
            fs::write(&path, &bytes).unwrap();
        }
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 2] {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(!reopened(&dir, STORE, 10).1, "{path:?} cut to {cut} was taken");
        }
        fs::remove_file(&path).unwrap();
        assert!(!reopened(&dir, STORE, 10).1, "taken without {path:?}");
        fs::write(&path, &bytes).unwrap();
    }
    assert!(reopened(&dir, STORE, 10).1, "whole again");
}

#[test]
fn a_snapshot_that_another_process_is_writing_is_left_alone() {
    let (_temporary, dir) = snapshot();
    let before = files(&dir);
    let lock = OpenOptions::new().write(true).open(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(!reopened(&dir, STORE, 10).1);
    let store = open(Some(&dir), STORE);
    fill(&store, &data(), 12);
    store.settle();
    block_on(store.close()).unwrap();
    assert_eq!(files(&dir), before);
}

#[test]
fn what_a_killed_writer_left_is_swept_by_the_next() {
    let (_temporary, dir) = snapshot();
    let space =
        files(&dir).iter().find_map(|p| Some(p.file_name()?.to_str()?.strip_suffix(".json")?.to_owned())).unwrap();
    for name in [format!("{space}-0123456789abcdef.tmp"), format!("{space}-0123456789abcdef")] {
        fs::create_dir(dir.join(&name)).unwrap();
        fs::write(dir.join(&name).join("graph.hnsw.data"), b"half").unwrap();
    }
    assert!(reopened(&dir, STORE, 10).1, "half-written neighbours do not matter");
    let store = open(Some(&dir), STORE);
    fill(&store, &data(), 12);
    store.settle();
    block_on(store.close()).unwrap();
    assert_eq!(files(&dir).len(), 4);
}

#[test]
fn dropping_a_scope_deletes_its_snapshot_and_purging_leaves_no_deleted_vector_behind() {
    let (_temporary, dir) = snapshot();
    let (store, _) = reopened(&dir, STORE, 10);
    let (c, coll) = (ctx("p"), collection(DIM));
    block_on(store.write(&c, &coll, vec![], &[id(5)], Some(Watermark::at(11)))).unwrap();
    futures::executor::block_on(store.purge(&c, &coll)).unwrap();
    store.settle();
    let space = space(&store);
    assert_eq!(space.graph.read().nodes(), N - 1);
    assert!(!space.graph.read().has_ghosts(&space.rows.read()));
    assert_eq!(files(&dir).len(), 4, "a clean one was written");
    block_on(store.drop_scope(&c, &coll)).unwrap();
    assert_eq!(files(&dir), Vec::<PathBuf>::new());
    block_on(store.close()).unwrap();
    assert_eq!(files(&dir), Vec::<PathBuf>::new());
}
