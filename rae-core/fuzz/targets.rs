//! One function for each place where bytes from outside are parsed. Each takes any bytes and panics when a rule is broken.
//!
//! Two drivers share them: libFuzzer (`main.rs`, run by `make soak`) and `tests/fuzz.rs`, seeded and bounded, in `make test`.

use rae_core::{
    ErrorKind, Forget, ForgetScope, Kind, Layer, ListOptions, Memory, MemoryId, MemoryVersion, NewMemory, Rae,
    RecallOptions, Timestamp, block_on,
    embedded::memory::ReferenceStore,
    fuzz::{StaticTable, WordPiece, rewrite_manifest, some_manifest},
    lexical::{self, LexDoc, ScopeIndex, segment},
    limits::{PIECE_TERMS, TERM_BYTES_MAX},
    model::{Cursor, Filter, Scope},
    ports::{Clock, ManualClock},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::BTreeSet,
    str::FromStr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// A parser with its rules.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs that it accepts, made by the engine.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Whether inputs are lines of JSON.
    pub json: bool,
    /// How many of a thousand rounds it gets: slow ones get fewer.
    pub share: u32,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>, json: bool, share: u32) -> Target {
    Target { name, run, seeds, json, share }
}

pub const TARGETS: &[Target] = &[
    target("import", import, import_seeds, true, 25),
    target("item", item, item_seeds, true, 60),
    target("filter", filter, filter_seeds, true, 100),
    target("question", question, text_seeds, false, 40),
    target("time", time, time_seeds, false, 1_000),
    target("names", names, name_seeds, false, 1_000),
    target("words", words, text_seeds, false, 300),
    target("segment", segment_bytes, segment_seeds, false, 300),
    target("manifest", manifest, manifest_seeds, true, 300),
    target("table", table, table_seeds, false, 300),
    target("wordpiece", wordpiece, wordpiece_seeds, false, 300),
];

/// The stores that targets use, made once.
struct Stores {
    reference: Rae,
    sqlite: Rae,
    /// Some memories that filters and questions are tried on.
    samples: Rae,
    memories: Vec<Memory>,
    folder: tempfile::TempDir,
    next: AtomicU64,
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn stores() -> &'static Stores {
    static STORES: OnceLock<Stores> = OnceLock::new();
    STORES.get_or_init(|| {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(at("2026-01-01")));
        let open = |seed| Rae::builder().clock(Arc::clone(&clock)).seed(seed);
        let reference = open(1).relational(Arc::new(ReferenceStore::new(Arc::clone(&clock))));
        let [reference, sqlite, samples] = [reference, open(2), open(3)].map(|b| block_on(b.open()).unwrap());
        block_on(samples.remember_many(some_items())).unwrap();
        let all = ListOptions { limit: 1_000, ..ListOptions::default() };
        let memories = block_on(samples.list(all)).unwrap().items;
        let folder = tempfile::tempdir().unwrap();
        Stores { reference, sqlite, samples, memories, folder, next: AtomicU64::new(0) }
    })
}

impl Stores {
    /// A project of its own on the reference store and on SQLite, and a path of its own.
    fn fresh(&self) -> ([Rae; 2], std::path::PathBuf) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let scope = Scope::new("fuzz", n.to_string()).unwrap();
        ([&self.reference, &self.sqlite].map(|m| m.with_scope(scope.clone())), self.folder.path().join(n.to_string()))
    }
}

/// Memories with every field that a caller can set.
fn some_items() -> Vec<NewMemory> {
    let full = NewMemory {
        kind: Some(Kind::Fact),
        layer: Some(Layer::Reflective),
        role: Some("user".into()),
        speaker: Some("Ada Löwe".into()),
        session_id: Some("s-1".into()),
        agent_id: Some("agent".into()),
        user_id: Some("user".into()),
        occurred_at: Some(at("2025-05-08T13:56:00.25Z")),
        tags: vec!["red".into(), "Red".into()],
        metadata: json!({"n": 3, "deep": {"list": [1, "two", null, 2.5, true]}}).as_object().cloned(),
        importance: Some(0.25),
        confidence: Some(0.75),
        ttl: Some(90_000.5),
        source: Some("mail".into()),
        trust_level: Some(rae_core::model::TrustLevel::Low),
        info_class: Some(rae_core::model::InfoClass::Restricted),
        valid_from: Some(at("2025-01-01")),
        valid_to: Some(at("2027-01-01")),
        ..NewMemory::new("The café of Ada Löwe has 東京 tea, she said: “7 kinds”. 🎉")
    };
    let turn =
        NewMemory { session_id: Some("s-1".into()), speaker: Some("Bo".into()), ..NewMemory::new("I like tea.") };
    let ended = NewMemory { valid_to: Some(at("2025-06-01")), ..NewMemory::new("Tea is served at four.") };
    let long = NewMemory::new("The kettle, the pots and the cups stand on the old wooden shelf. ".repeat(30));
    vec![full, turn, ended, long, NewMemory::new("Bo moved to Porto.")]
}

// ---- import -------------------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Line {
    memory: Memory,
    #[serde(default)]
    history: Vec<MemoryVersion>,
    #[serde(default)]
    access: Option<(u64, Timestamp)>,
}

/// What an import keeps, in one form.
fn kept(text: &str) -> Vec<(Memory, Vec<MemoryVersion>, Option<(u64, Timestamp)>)> {
    let plain = |m: &mut Memory| {
        (m.scope, m.seq, m.content_hash, m.dedup_key, m.seq_in_session) = (Scope::default(), 0, [0; 32], None, None);
        let mut seen = BTreeSet::new();
        m.tags.retain(|tag| seen.insert(tag.clone()));
    };
    let lines = text.lines().skip(1).map_while(|line| serde_json::from_str::<Line>(line).ok());
    let mut all: Vec<_> = lines
        .map(|mut line| {
            plain(&mut line.memory);
            line.history.iter_mut().for_each(|v| plain(&mut v.memory));
            (line.memory, line.history, line.access)
        })
        .collect();
    all.sort_by_key(|(m, ..)| m.id);
    all
}

/// The lines of an export but for what belongs to the place it was written at.
fn export(mem: &Rae, path: &std::path::Path) -> (String, Vec<Value>) {
    block_on(mem.export(path)).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1).map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let plain = |m: &mut Value| {
            m["seq"] = 0.into();
            m["scope"] = Value::Null;
        };
        if line["end"] != json!(true) {
            plain(&mut line["memory"]);
            if let Some(history) = line.get_mut("history").and_then(Value::as_array_mut) {
                history.iter_mut().for_each(|v| plain(&mut v["memory"]));
            }
        }
        line
    });
    let lines = lines.collect();
    (text, lines)
}

/// Any file is refused with a typed error and nothing written, on both stores alike, or its memories are those of the file
/// and an export of them reads back the same.
fn import(data: &[u8]) {
    let (mems, path) = stores().fresh();
    std::fs::write(&path, data).unwrap();
    let [one, other] = [&mems[0], &mems[1]].map(|m| block_on(m.import(&path)));
    match (one, other) {
        (Err(one), Err(other)) => {
            assert_eq!((one.kind(), one.code()), (other.kind(), other.code()));
            let kinds = [ErrorKind::InvalidInput, ErrorKind::Conflict, ErrorKind::Unsupported];
            assert!(kinds.contains(&one.kind()), "{one:?}");
            for mem in &mems {
                assert_eq!(block_on(mem.stats()).unwrap().memories, 0, "a refused file wrote something");
            }
        }
        (Ok(one), Ok(other)) => {
            assert_eq!(one, other);
            let again = path.with_extension("again");
            let (text, lines) = export(&mems[0], &again);
            assert_eq!(export(&mems[1], &again).1, lines, "the two stores read the file differently");
            if one.merged == 0 && one.unchanged == 0 {
                assert_eq!(kept(&text), kept(std::str::from_utf8(data).unwrap()), "not what the file says");
                assert_eq!(block_on(mems[1].import(&path)).unwrap().unchanged, one.imported);
            }
            let (copies, _) = stores().fresh();
            block_on(copies[1].import(&again)).unwrap();
            assert_eq!(export(&copies[1], &again).1, lines, "an export of the import reads back differently");
            for mem in &mems {
                block_on(mem.recall("Who has tea at the café?", RecallOptions::default())).unwrap();
                block_on(mem.maintain(None)).unwrap();
                erase(mem);
            }
            erase(&copies[1]);
            std::fs::remove_file(&again).unwrap();
        }
        (one, other) => panic!("one store takes it, the other does not: {one:?}, {other:?}"),
    }
    std::fs::remove_file(&path).unwrap();
}

fn erase(mem: &Rae) {
    let project = mem.scope().project().to_owned();
    block_on(mem.forget(Forget::Scope(ForgetScope::Project, project))).unwrap();
}

fn import_seeds() -> Vec<Vec<u8>> {
    let (mems, path) = stores().fresh();
    let receipts = block_on(mems[1].remember_many(some_items())).unwrap();
    let update = rae_core::MemoryUpdate { content: Some("Bo moved to Ghent.".into()), ..Default::default() };
    block_on(mems[1].update(receipts[4].id, update)).unwrap();
    block_on(mems[1].feedback(receipts[1].id, false)).unwrap();
    block_on(mems[1].recall("tea", RecallOptions::default())).unwrap();
    let (whole, _) = export(&mems[1], &path);
    erase(&mems[1]);
    std::fs::remove_file(&path).unwrap();
    // Vectors are most of the bytes and the least of the rules: a second seed has none, a third a single memory.
    let mut lines: Vec<Value> = whole.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let end = lines.len() - 1;
    lines[1..end].iter_mut().for_each(|line| line["vector"] = Value::Null);
    let join = |lines: &[Value]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
    let light = join(&lines);
    let one = join(&[lines[0].clone(), lines[end - 1].clone(), json!({"end": true, "memories": 1})]);
    vec![whole.into_bytes(), light.clone().into_bytes(), light.into_bytes(), one.into_bytes()]
}

// ---- what callers send as JSON --------------------------------------------------------------------------------------

/// A `remember` body is refused alike by both stores, or gives the same memory.
fn item(data: &[u8]) {
    let Ok(new) = serde_json::from_slice::<NewMemory>(data) else { return };
    let ([one, other], _) = stores().fresh();
    match (block_on(one.remember(new.clone())), block_on(other.remember(new.clone()))) {
        (Err(a), Err(b)) => assert_eq!((a.kind(), b.kind()), (ErrorKind::InvalidInput, ErrorKind::InvalidInput)),
        (Ok(a), Ok(b)) => {
            let (a, b) = (block_on(one.get(a.id)).unwrap(), block_on(other.get(b.id)).unwrap());
            assert_eq!(Memory { id: b.id, ..a }, b);
            assert_eq!(b.content, new.content);
            block_on(other.recall(&new.content.chars().take(2_000).collect::<String>(), RecallOptions::default()))
                .unwrap();
        }
        (a, b) => panic!("one store takes it, the other does not: {a:?}, {b:?}"),
    }
    erase(&one);
    erase(&other);
}

fn item_seeds() -> Vec<Vec<u8>> {
    let mut items = some_items();
    items.truncate(3);
    items.iter().map(|i| serde_json::to_vec(i).unwrap()).collect()
}

/// A filter is refused, or SQLite with its help from SQL and the filter alone keep the same memories, and `not` the others.
fn filter(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(data) else { return };
    let Ok(filter) = Filter::parse(&json) else { return };
    let s = stores();
    let wanted: Vec<MemoryId> = s.memories.iter().filter(|m| filter.matches(m)).map(|m| m.id).collect();
    let options = ListOptions { limit: 1_000, filter: Some(json.clone()), ..ListOptions::default() };
    let listed: Vec<MemoryId> = block_on(s.samples.list(options)).unwrap().items.iter().map(|m| m.id).collect();
    assert_eq!(listed, wanted);
    if let Ok(not) = Filter::parse(&json!({ "not": json })) {
        assert!(s.memories.iter().all(|m| filter.matches(m) != not.matches(m)));
    }
    let empty = json.as_object().is_some_and(serde_json::Map::is_empty);
    assert!(!empty || filter.is_trivial());
}

fn filter_seeds() -> Vec<Vec<u8>> {
    [
        json!({"and": [{"speaker": "Bo"}, {"not": {"tags": {"contains": "red"}}}, {"metadata.deep.list": {"gte": 1}}]}),
        json!({"or": [{"session_id": null}, {"layer": {"in": ["wm", "rm"]}}, {"occurred_at": {"gt": "2025-01-01"}}]}),
        json!({"importance": {"gte": 0.25, "lt": 0.9}, "kind": "fact", "content": {"contains": "tea"}}),
        json!({"id": {"nin": ["x"]}, "version": {"ne": 2}, "metadata.n": {"eq": 3}, "source": "mail"}),
        json!({"created_at": {"lte": "2026-01-01T00:00:00Z"}, "user_id": {"in": ["user", null]}}),
    ]
    .iter()
    .map(|j| j.to_string().into_bytes())
    .collect()
}

/// Any question gets hits that are in order, within their bounds and point into their texts.
fn question(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let s = stores();
    match block_on(s.samples.recall(&text, RecallOptions { k: 4, ..RecallOptions::default() })) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
        Ok(hits) => {
            assert!(hits.hits.is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.id < b.id)));
            for h in hits.hits {
                assert!((0.0..=1.0).contains(&h.score) && (0.0..=1.0).contains(&h.relevance), "{h:?}");
                assert!(h.passage.start <= h.passage.end && h.passage.end <= h.content.chars().count(), "{h:?}");
            }
        }
    }
}

// ---- texts ----------------------------------------------------------------------------------------------------------

fn text_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "What does Ada Löwe’s café in 東京 serve? I'm asking on 8 May, 2023.",
        "ガラス ｶﾞﾗｽ ที่นี่ हिन्दी 한국어 مرحبا \u{202e}x\u{202c} e\u{301}\u{301} 🐈\u{200d}⬛ 20°C ﬁne ½ so\u{AD}ft",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \0 \u{10ffff} [CLS] ##ing",
    ];
    texts.iter().map(|t| t.as_bytes().to_vec()).chain([some_items()[3].content.clone().into_bytes()]).collect()
}

/// Terms are bounded and lie in the text in order; the pieces of a memory tile it; a document reads back from a segment.
fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (mut last, mut count) = (0, 0_usize);
    lexical::analyse(&text, &mut |term, start, end| {
        assert!(!term.is_empty() && term.len() <= TERM_BYTES_MAX);
        assert!(last <= start && start < end && text.get(start..end).is_some(), "{start}..{end}");
        (last, count) = (start, count + 1);
    });
    let _first_person = lexical::is_first_person(&text);
    assert!(lexical::words_lower(&text).iter().all(|w| !w.is_empty()));
    let memory = Memory { content: text.clone().into_owned(), occurred_at: None, speaker: None, ..sample() };
    let spans = lexical::piece_spans(&memory);
    let doc = LexDoc::from_memory(&memory);
    assert_eq!((doc.terms.len(), spans.len()), (count, count.div_ceil(PIECE_TERMS).max(1)));
    assert_eq!((spans[0].0, spans[spans.len() - 1].1), (0, text.len()));
    assert!(spans.windows(2).all(|w| w[0].1 == w[1].0 && text.is_char_boundary(w[0].1)));
    assert_eq!(segment::decode(&segment::encode([&doc]).unwrap()).unwrap(), std::slice::from_ref(&doc));
    let mut index = ScopeIndex::new();
    index.put(doc);
    let found = index.search(&index.resolve(&text), None, 3);
    // A text finds itself by any of its words.
    assert_eq!(found.len(), usize::from(count > 0), "{count} terms");
}

fn sample() -> Memory {
    stores().memories[0].clone()
}

fn time_seeds() -> Vec<Vec<u8>> {
    [
        "2023-05-08T13:56:00Z",
        "1969-12-31T23:59:59.5+02:00",
        "-009999-06-01T00:00:00Z",
        "2024-02-29",
        "9999-12-30T22:00:00.9Z",
    ]
    .iter()
    .map(|t| t.as_bytes().to_vec())
    .collect()
}

/// A time reads back from what it prints, in any form it is stored in.
fn time(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(t) = Timestamp::parse(&text) else { return };
    assert_eq!(Timestamp::parse(&t.to_string()).unwrap(), t);
    assert_eq!(Timestamp::from_micros(t.micros()).unwrap(), t);
    assert_eq!(serde_json::from_value::<Timestamp>(serde_json::to_value(t).unwrap()).unwrap(), t);
    let (year, month, day) = t.ymd();
    assert!((-9_999..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day));
    assert!(t.in_words().ends_with(&format!(", {year}")));
    for seconds in [i64::MIN, -1, 1, i64::MAX] {
        let moved = t.saturating_add_seconds(seconds);
        assert_eq!(Timestamp::parse(&moved.to_string()).ok(), Some(moved), "{moved} does not read back");
    }
}

fn name_seeds() -> Vec<Vec<u8>> {
    let id = sample().id;
    let names = ["ltm", "semantic", "entity-summary", "confidential", "user", "a b", "%"].map(str::to_owned);
    [id.to_string(), Cursor(id).encode(), format!("{{{id}}}"), format!("urn:uuid:{id}")]
        .into_iter()
        .chain(names)
        .map(String::into_bytes)
        .collect()
}

/// Ids, cursors, enums and scopes read back from what they print.
fn names(data: &[u8]) {
    fn back<T: FromStr + ToString + PartialEq + std::fmt::Debug>(text: &str)
    where
        T::Err: std::fmt::Debug,
    {
        if let Ok(value) = text.parse::<T>() {
            assert_eq!(value.to_string().parse::<T>().unwrap(), value);
        }
    }
    let text = String::from_utf8_lossy(data);
    back::<MemoryId>(&text);
    back::<Layer>(&text);
    back::<Kind>(&text);
    back::<rae_core::model::InfoClass>(&text);
    back::<rae_core::model::TrustLevel>(&text);
    if let Ok(cursor) = Cursor::decode(&text) {
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
    }
    if let Ok(scope) = Scope::new(text.clone(), "p") {
        assert_eq!(scope.tenant(), text);
    }
    let page =
        block_on(stores().samples.list(ListOptions { cursor: Some(text.into_owned()), ..ListOptions::default() }));
    assert!(page.is_ok_and(|p| p.items.len() <= 5) || Cursor::decode(&String::from_utf8_lossy(data)).is_err());
}

// ---- stored bytes ---------------------------------------------------------------------------------------------------

/// Magic and version of a segment; then the checksum of what follows.
const SEGMENT_HEAD: usize = 9;

fn segment_seeds() -> Vec<Vec<u8>> {
    let docs: Vec<LexDoc> = stores().memories.iter().map(LexDoc::from_memory).collect();
    let whole = segment::encode(&docs).unwrap();
    let small = segment::encode(&docs[..1]).unwrap();
    // Bodies alone: they get a checksum that fits, so that what lies behind it is reached.
    vec![small[SEGMENT_HEAD + 32..].to_vec(), whole[SEGMENT_HEAD + 32..].to_vec(), small, whole]
}

/// As it is and behind a fitting checksum: refused as Corrupt by both readers, or read by both, and written back the same.
fn segment_bytes(data: &[u8]) {
    let mut sealed = segment::encode(&[]).unwrap()[..SEGMENT_HEAD].to_vec();
    sealed.extend_from_slice(blake3::hash(data).as_bytes());
    sealed.extend_from_slice(data);
    for bytes in [data, &sealed] {
        let mut index = ScopeIndex::new();
        let loaded = index.load(bytes);
        match segment::decode(bytes) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(loaded.is_err_and(|e| e.kind() == ErrorKind::Corrupt));
                assert_eq!(index.len(), 0, "a refused segment left something");
            }
            Ok(docs) => {
                assert_eq!(loaded.unwrap(), docs.len());
                assert_eq!(segment::decode(&segment::encode(&docs).unwrap()).unwrap(), docs);
                let _found = index.search(&index.resolve("tea shelf"), None, 3);
            }
        }
    }
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    let whole = some_manifest();
    let body = whole.lines().next().unwrap_or_default().to_owned();
    vec![body.into_bytes(), whole.into_bytes()]
}

/// As it is and behind a fitting checksum: refused, or written back it reads the same.
fn manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let sealed = format!("{text}\n{}\n", blake3::hash(text.as_bytes()).to_hex());
    for text in [&*text, &sealed] {
        if let Some(written) = rewrite_manifest(text) {
            assert_eq!(rewrite_manifest(&written).as_ref(), Some(&written));
        }
    }
}

/// A toy table: the head, one scale of 2 bytes a row, one row of 2 bytes, the vocabulary.
fn table_seeds() -> Vec<Vec<u8>> {
    let words = "[PAD]\n[UNK]\ntea\npot\n##s\ncup";
    let head = format!("name=toy\nrevision=1\ndim=2\nrows=6\nvocab=bert-uncased\nvocab_bytes={}\n", words.len());
    let mut bytes = b"RAESTAT1".to_vec();
    bytes.extend_from_slice(&u32::try_from(head.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(head.as_bytes());
    [0, 0, 0x3C00, 0x3C00, 0x3800, 0x0001_u16].iter().for_each(|half| bytes.extend_from_slice(&half.to_le_bytes()));
    bytes.extend_from_slice(&[0, 0, 0, 0, 127, 0, 0, 127, 1, 255, 128, 3]);
    bytes.extend_from_slice(words.as_bytes());
    vec![bytes]
}

/// A table is refused, or its vectors have length 1. Tables live for ever, so a process tries a bounded number of bytes.
fn table(data: &[u8]) {
    static LEFT: AtomicUsize = AtomicUsize::new(256 << 20);
    let enough = |left: usize| left.checked_sub(data.len());
    if LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).is_err() {
        return;
    }
    let Ok(table) = StaticTable::parse(data.to_vec().leak()) else { return };
    assert!(table.dim() > 0 && table.id().ends_with(&format!("/{}", table.dim())));
    for text in ["", "tea pots", "a cup of TEA [UNK]"] {
        if let Some(vector) = table.embed(text, 8) {
            let norm: f32 = vector.iter().map(|x| x * x).sum();
            assert!(vector.len() == table.dim() && (norm - 1.0).abs() < 1e-3, "{norm}");
        }
    }
}

fn wordpiece_seeds() -> Vec<Vec<u8>> {
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\ntea\npot\n##s\n##東\n東\ncafe\n!\n";
    text_seeds().iter().map(|text| [vocabulary.as_bytes(), b"\0", text].concat()).collect()
}

/// A vocabulary up to the first NUL, then a text: ids are known ones, and a smaller bound gives the start of the same.
fn wordpiece(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (vocabulary, text) = text.split_once('\0').unwrap_or(("[UNK]", &text));
    let tokens: Vec<&str> = vocabulary.split('\n').collect();
    let Ok(pieces) = WordPiece::from_tokens(tokens.iter().map(|t| Cow::Owned((*t).to_owned()))) else {
        assert!(!tokens.contains(&"[UNK]"));
        return;
    };
    let (mut whole, mut start) = (Vec::new(), vec![7]);
    pieces.encode_into(text, 1 << 20, &mut whole);
    assert!(whole.iter().all(|id| (*id as usize) < tokens.len()) && whole.len() <= text.len() * 4);
    for most in [0, 1, 5] {
        pieces.encode_into(text, most, &mut start);
        assert_eq!(start, whole[..whole.len().min(most)]);
    }
    if let Some(vector) = StaticTable::builtin().unwrap().embed(text, 254) {
        let norm: f32 = vector.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-3, "{norm}");
    }
}
