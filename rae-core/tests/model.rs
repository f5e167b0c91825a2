//! Random calls of the verbs against a plain model of what the documents promise.
//!
//! Two handles with indexes of their own, as two processes have them, work on one store in turn, in five projects of three
//! tenants. `MODEL_ROUNDS` multiplies the seeds, `MODEL_FIRST` is the first of them, `MODEL_SEED` runs one. A failure prints its seed and the last calls.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)] // a test reports by panicking

mod model_support;

use fastrand::Rng;
use model_support::{Cond, Project, State};
use rae_core::{
    Builder, Durability, ErrorKind, Forget, ForgetScope, Kind, Layer, LifecyclePolicy, ListOptions, Memory, MemoryId,
    MemoryUpdate, NewMemory, Rae, RecallOptions, Timestamp, block_on,
    embedded::memory::ReferenceStore,
    model::Scope,
    ports::{Clock, ManualClock},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const SEEDS: u64 = 4;
const STEPS: usize = 260;
const DAY: i64 = 86_400;
const SCOPES: [(&str, &str); 5] = [("t", "p"), ("t", "P"), ("T", "p"), ("t%", "p"), ("t", "p ")];
const SESSIONS: [&str; 3] = ["s", "S", "s%"];
const USERS: [&str; 2] = ["ada", "Ada"];
const TAGS: [&str; 3] = ["red", "Red", "blue"];

/// How a handle on the store under test is opened.
type Open = Box<dyn Fn(Builder) -> Builder>;

struct World {
    rng: Rng,
    clock: Arc<ManualClock>,
    open: Open,
    /// Whether a handle owns its files and closes them.
    closes: bool,
    handles: [Rae; 2],
    opened: u64,
    folder: tempfile::TempDir,
    projects: BTreeMap<usize, Project>,
    /// Every id that was ever given, so that the gone ones are asked for too.
    known: Vec<MemoryId>,
    log: Log,
}

/// The calls so far; the last ones are printed when the test fails.
struct Log(String, Vec<String>);

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.1.len().saturating_sub(40);
            eprintln!("{}: the last of {} calls:\n{}", self.0, self.1.len(), self.1[from..].join("\n"));
        }
    }
}

impl World {
    fn new(
        name: &str,
        seed: u64,
        folder: tempfile::TempDir,
        clock: Arc<ManualClock>,
        closes: bool,
        open: Open,
    ) -> Self {
        let handle = |n: u64| handle(&clock, &open, seed * 1_000 + n);
        let handles = [handle(0), handle(1)];
        let log = Log(format!("{name}, MODEL_SEED={seed}"), Vec::new());
        let (rng, projects) = (Rng::with_seed(seed), (0..SCOPES.len()).map(|i| (i, Project::default())).collect());
        Self { rng, clock, open, closes, handles, opened: seed * 1_000 + 2, folder, projects, known: Vec::new(), log }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.rng.usize(..list.len())]
    }

    /// One of the two handles, seen from a project.
    fn mem(&mut self, at: usize) -> Rae {
        let (tenant, project) = SCOPES[at];
        self.handles[self.rng.usize(..2)].with_scope(Scope::new(tenant, project).unwrap())
    }

    fn project(&mut self, at: usize) -> &mut Project {
        self.projects.get_mut(&at).unwrap()
    }

    fn note(&mut self, at: usize, call: String) {
        let now = self.now();
        // What was left out says nothing.
        let call = call.split(", ").filter(|part| !part.ends_with(": None")).collect::<Vec<_>>().join(", ");
        self.log.1.push(format!("{now} {:?} {call}", SCOPES[at]));
    }

    /// A memory of the project mostly; at times one of another project, or one that is gone.
    fn id(&mut self, at: usize) -> Option<MemoryId> {
        let here: Vec<_> = self.projects[&at].entries.keys().copied().collect();
        if !here.is_empty() && !self.one_in(12) {
            // Rather a late one: they have more to do with one another.
            let back = self.rng.usize(..here.len().min(20));
            return here.get(here.len() - 1 - back).copied();
        }
        (!self.known.is_empty()).then(|| self.known[self.rng.usize(..self.known.len())])
    }

    fn time(&mut self) -> Timestamp {
        let seconds = self.rng.i64(-4..4) * DAY / 2;
        self.now().saturating_add_seconds(seconds)
    }

    /// Each has the word that all recalls ask for; some are the same but for white space.
    fn text(&mut self) -> String {
        let n = self.rng.u32(..9);
        match self.rng.u32(..6) {
            0 => format!("  The harbour \n has\t{n}  boats. "),
            1 => format!("the harbour has {n} boats."),
            _ => format!("The harbour has {n} boats."),
        }
    }

    fn item(&mut self) -> NewMemory {
        let mut item = NewMemory::new(self.text());
        if self.one_in(3) {
            item.session_id = Some(self.pick(&SESSIONS).into());
            item.speaker = self.one_in(2).then(|| self.pick(&["Ann", "Bo"]).into());
        }
        if self.one_in(4) {
            item.kind = Some(self.pick(Kind::ALL));
        }
        if self.one_in(4) {
            item.layer = Some(self.pick(&Layer::ALL));
        }
        item.user_id = self.one_in(4).then(|| self.pick(&USERS).into());
        item.tags = (0..self.rng.usize(..4)).map(|_| self.pick(&TAGS).to_owned()).collect();
        item.metadata = self.one_in(2).then(|| json!({ "n": self.rng.i64(0..6) }).as_object().unwrap().clone());
        item.importance = self.one_in(3).then(|| self.rng.f64());
        item.source = self.one_in(4).then(|| self.pick(&["mail", "web"]).into());
        item.ttl = self.one_in(5).then(|| self.rng.f64() * 3.0 * DAY as f64 + 0.5);
        item.occurred_at = self.one_in(2).then(|| self.time());
        if self.one_in(5) {
            item.valid_to = Some(self.time());
        }
        item
    }

    fn cond(&mut self, depth: u32) -> Cond {
        let n = if depth == 0 { 10 } else { 14 };
        match self.rng.u32(..n) {
            0 => Cond::Layer(self.pick(&Layer::ALL)),
            1 => Cond::Tag(self.pick(&TAGS)),
            2 => Cond::Session(Some(self.pick(&SESSIONS))),
            3 => Cond::Session(None),
            4 => Cond::User(self.pick(&USERS)),
            5 if self.one_in(2) => Cond::NumberUpTo(self.rng.i64(0..6)),
            5 => Cond::NumberFrom(self.rng.i64(0..6)),
            6 => Cond::ImportanceBelow(self.rng.f64()),
            7 => Cond::Undated,
            8 => Cond::VersionAbove(self.rng.u32(0..3)),
            9 if self.one_in(2) => Cond::Says(self.pick(&["has 3", "the", "%"])),
            9 => Cond::CreatedBefore(self.time()),
            10 | 11 => Cond::Not(Box::new(self.cond(depth - 1))),
            12 => Cond::And(Box::new(self.cond(depth - 1)), Box::new(self.cond(depth - 1))),
            _ => Cond::Or(Box::new(self.cond(depth - 1)), Box::new(self.cond(depth - 1))),
        }
    }

    fn step(&mut self) {
        let at = if self.one_in(2) { 0 } else { self.rng.usize(..SCOPES.len()) };
        match self.rng.u32(..100) {
            0..28 => self.remember(at),
            28..38 => self.remember_many(at),
            38..56 => self.update(at),
            56..64 => self.feedback(at),
            64..70 => self.forget_id(at),
            70..72 => self.forget_filter(at),
            72..74 => self.forget_scope(at),
            74..84 => self.advance(),
            84..88 => self.maintain(at),
            88..92 => self.reopen(),
            92..96 => self.copy(at),
            _ => self.derive(at),
        }
    }

    fn remember(&mut self, at: usize) {
        let (mut item, now, mem) = (self.item(), self.now(), self.mem(at));
        if self.one_in(4) {
            item.idempotency_key = Some(self.pick(&["k", "K"]).into());
            // The same body again, as a repeated request has it, or another one.
            item.content = if self.one_in(5) { item.content } else { "The harbour has a key.".into() };
            if !self.one_in(8) {
                item = NewMemory { idempotency_key: item.idempotency_key, ..NewMemory::new(item.content) };
            }
        }
        let given = block_on(mem.remember(item.clone()));
        self.note(at, format!("remember {item:?} -> {given:?}"));
        if self.projects[&at].refuses(&item, now) {
            assert_eq!(given.unwrap_err().code(), "idempotency_key_reused");
            return;
        }
        let receipt = given.unwrap();
        self.known.push(receipt.id);
        self.project(at).remembered(&[item], &[receipt], now);
    }

    fn remember_many(&mut self, at: usize) {
        let mut items: Vec<NewMemory> = (0..self.rng.usize(..6)).map(|_| self.item()).collect();
        if self.one_in(12) {
            // More than the working layer of a session holds.
            let note = |i: u32| NewMemory {
                layer: Some(Layer::Working),
                session_id: Some("s".into()),
                ..NewMemory::new(format!("Step {i} in the harbour"))
            };
            items.extend((0..110).map(note));
        }
        let bad = self.one_in(6).then(|| self.rng.usize(..=items.len()));
        if let Some(place) = bad {
            items.insert(place, NewMemory::new(" \n"));
        }
        let (now, mem) = (self.now(), self.mem(at));
        let given = block_on(mem.remember_many(items.clone()));
        self.note(at, format!("remember_many {items:?} -> {given:?}"));
        if let Some(place) = bad {
            let error = given.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(items.len() == 1 || error.details().unwrap()["item"] == place);
            return;
        }
        let receipts = given.unwrap();
        self.known.extend(receipts.iter().map(|r| r.id));
        self.project(at).remembered(&items, &receipts, now);
    }

    fn update(&mut self, at: usize) {
        let Some(id) = self.id(at) else { return };
        let mut u = MemoryUpdate::default();
        match self.rng.u32(..10) {
            0..4 => u.content = Some(self.text()),
            4 => u.valid_to = Some(if self.one_in(3) { None } else { Some(self.time()) }),
            5 => u.superseded_by = Some(if self.one_in(3) { None } else { self.id(at) }),
            6 => u.ttl = Some((!self.one_in(3)).then(|| self.rng.f64() * 2.0 * DAY as f64 + 0.5)),
            7 => u.layer = Some(self.pick(&Layer::ALL)),
            8 => u.kind = Some(self.pick(Kind::ALL)),
            _ => u.valid_from = Some(Some(self.time())),
        }
        if self.one_in(3) {
            u.tags = Some((0..self.rng.usize(..3)).map(|_| self.pick(&TAGS).to_owned()).collect());
            u.importance = self.one_in(2).then(|| self.rng.f64());
            u.occurred_at = self.one_in(3).then(|| Some(self.time()));
        }
        u.expected_version = self.one_in(3).then(|| self.rng.u32(1..4));
        let (now, mem) = (self.now(), self.mem(at));
        let given = block_on(mem.update(id, u.clone()));
        self.note(at, format!("update {id} {u:?} -> {given:?}"));
        let given = given.map(|r| r.version);
        let wanted = self.project(at).update(id, &u, now);
        assert_eq!(given.as_ref().map_err(|e| e.code()), wanted.as_ref().map_err(|code| *code));
    }

    fn feedback(&mut self, at: usize) {
        let Some(id) = self.id(at) else { return };
        let (useful, now, mem) = (self.rng.bool(), self.now(), self.mem(at));
        let given = block_on(mem.feedback(id, useful));
        self.note(at, format!("feedback {id} {useful} -> {:?}", given.as_ref().map(|m| m.strength)));
        let wanted = self.project(at).feedback(id, useful, now);
        assert_eq!(given.as_ref().map(State::seen).map_err(|e| e.code()), wanted.ok_or("memory_not_found"));
    }

    fn forget(&mut self, at: usize, what: Forget, ids: Vec<MemoryId>) {
        let mem = self.mem(at);
        let given = block_on(mem.forget(what.clone())).unwrap();
        self.note(at, format!("forget {what:?} -> {given:?}"));
        assert_eq!((given.deleted, given.derived), self.project(at).forget(ids));
    }

    fn forget_id(&mut self, at: usize) {
        if let Some(id) = self.id(at) {
            self.forget(at, Forget::Id(id), vec![id]);
        }
    }

    fn forget_filter(&mut self, at: usize) {
        // Two conditions at once, so that a project is not empty after every one.
        let cond = Cond::And(Box::new(self.cond(1)), Box::new(self.cond(1)));
        let ids = self.projects[&at].entries.iter().filter(|(_, e)| cond.holds(&e.state)).map(|(id, _)| *id);
        let ids = ids.collect();
        self.forget(at, Forget::Filter(cond.json()), ids);
    }

    fn forget_scope(&mut self, at: usize) {
        let (tenant, project) = SCOPES[at];
        match self.rng.u32(..8) {
            0..3 => {
                let session = self.pick(&SESSIONS);
                let ids = self.ids_where(at, |s| s.session.as_deref() == Some(session));
                self.forget(at, Forget::Scope(ForgetScope::Session, session.into()), ids);
            }
            3..6 => {
                let user = self.pick(&USERS);
                let ids = self.ids_where(at, |s| s.user.as_deref() == Some(user));
                self.forget(at, Forget::Scope(ForgetScope::User, user.into()), ids);
            }
            6 => self.erase(at, Forget::Scope(ForgetScope::Project, project.into()), |s| s == (tenant, project)),
            _ => self.erase(at, Forget::Scope(ForgetScope::Tenant, tenant.into()), |s| s.0 == tenant),
        }
    }

    fn ids_where(&self, at: usize, is: impl Fn(&State) -> bool) -> Vec<MemoryId> {
        self.projects[&at].entries.iter().filter(|(_, e)| is(&e.state)).map(|(id, _)| *id).collect()
    }

    fn erase(&mut self, at: usize, what: Forget, gone: impl Fn((&str, &str)) -> bool) {
        let mem = self.mem(at);
        let given = block_on(mem.forget(what.clone())).unwrap();
        self.note(at, format!("forget {what:?} -> {given:?}"));
        let mut deleted = 0;
        for i in (0..SCOPES.len()).filter(|i| gone(SCOPES[*i])) {
            deleted += std::mem::take(self.project(i)).entries.len() as u64;
        }
        assert_eq!((given.deleted, given.derived), (deleted, 0));
    }

    fn advance(&mut self) {
        let seconds = match self.rng.u32(..8) {
            0 => 3 * DAY,
            1 => DAY,
            // Just before a key is forgotten.
            2 => DAY - self.rng.i64(1..3_600),
            _ => self.rng.i64(0..DAY / 3),
        };
        self.clock.advance_seconds(seconds);
        self.note(0, format!("{seconds} seconds pass"));
    }

    fn maintain(&mut self, at: usize) {
        let (now, mem) = (self.now(), self.mem(at));
        let ran = block_on(mem.maintain(None)).unwrap().ran;
        self.note(at, format!("maintain -> {ran:?}"));
        assert_eq!(ran["expired"], self.project(at).purge(now));
        assert_eq!(ran.get("trimmed").copied().unwrap_or_default(), self.project(at).trim_all());
    }

    fn reopen(&mut self) {
        let which = self.rng.usize(..2);
        self.note(0, format!("handle {which} is opened again"));
        if self.closes {
            block_on(self.handles[which].close()).unwrap();
        }
        self.opened += 1;
        self.handles[which] = handle(&self.clock, &self.open, self.opened);
    }

    /// Export and import into another project, and now and then a second time.
    fn copy(&mut self, at: usize) {
        let to = (at + self.rng.usize(1..SCOPES.len())) % SCOPES.len();
        let path = self.folder.path().join("copy.jsonl");
        let (now, from, into) = (self.now(), self.mem(at), self.mem(to));
        let written = block_on(from.export(&path)).unwrap();
        assert_eq!(written.memories, self.projects[&at].entries.len() as u64);
        for _ in 0..1 + u32::from(self.one_in(3)) {
            let given = block_on(into.import(&path));
            self.note(at, format!("export and import into {:?} -> {given:?}", SCOPES[to]));
            let source = self.projects[&at].clone();
            let wanted = self.project(to).import(&source, now);
            let counts = given.as_ref().map(|i| (i.imported, i.merged, i.unchanged));
            assert_eq!(counts.map_err(|e| e.code()), wanted.map_err(|()| "version_changed"));
        }
    }

    /// An import file written by hand: a reflection that was derived from up to three memories of the project.
    fn derive(&mut self, at: usize) {
        let here: Vec<_> = self.projects[&at].visible(self.now()).map(|(id, _)| id).collect();
        if here.is_empty() {
            return;
        }
        let (now, mem) = (self.now(), self.mem(at));
        let mut memory: Memory = block_on(mem.get(self.pick(&here))).unwrap();
        let sources: BTreeSet<_> = (0..self.rng.usize(1..4)).map(|_| self.pick(&here)).collect();
        memory.provenance.derived_from = sources.into_iter().collect();
        let millis = u64::try_from(now.micros() / 1_000).unwrap();
        let mut random = [0; 10];
        self.rng.fill(&mut random);
        memory.id = MemoryId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid());
        (memory.kind, memory.layer, memory.dedup_key) = (Kind::Reflection, Layer::Reflective, None);
        (memory.session_id, memory.seq_in_session, memory.expires_at) = (None, None, None);
        (memory.created_at, memory.updated_at, memory.version) = (now, now, 1);
        let lines = [
            json!({"rae_export": 1, "engine": "0.0.0", "exported_at": now, "tenant": "x", "project": "y",
                   "embedder": {"id": "none@1/2", "dim": 2}}),
            json!({"memory": memory, "vector": null}),
            json!({"end": true, "memories": 1}),
        ];
        let path = self.folder.path().join("derived.jsonl");
        std::fs::write(&path, lines.map(|l| l.to_string()).join("\n")).unwrap();
        let given = block_on(mem.import(&path)).unwrap();
        self.note(at, format!("import {} derived from {:?}", memory.id, memory.provenance.derived_from));
        assert_eq!(given.imported, 1);
        let entry = model_support::Entry { state: State::seen(&memory), open: false, older: Vec::new() };
        self.known.push(memory.id);
        self.project(at).entries.insert(memory.id, entry);
    }

    fn compare(&mut self, at: usize, all: bool) {
        let (now, mem) = (self.now(), self.mem(at));
        let project = self.projects[&at].clone();
        let stats = block_on(mem.stats()).unwrap();
        assert_eq!(stats.memories, project.entries.len() as u64, "stats of {:?}", SCOPES[at]);
        for layer in Layer::ALL {
            let here = project.entries.values().filter(|e| e.state.layer == layer).count() as u64;
            assert_eq!(stats.by_layer[&layer], here, "{layer} memories of {:?}", SCOPES[at]);
        }
        let cond = self.one_in(2).then(|| self.cond(2));
        self.compare_list(&mem, at, cond.as_ref());
        let some: Vec<_> = self.known.iter().copied().filter(|_| all || self.rng.u32(..12) == 0).collect();
        for id in some {
            compare_one(&mem, &project, id, now);
        }
        for _ in 0..if all { 6 } else { 2 } {
            self.compare_recall(&mem, at);
        }
    }

    fn compare_list(&mut self, mem: &Rae, at: usize, cond: Option<&Cond>) {
        let limit = self.rng.i64(3..60);
        let (mut items, mut cursor) = (Vec::new(), None);
        loop {
            let filter = cond.map(Cond::json);
            let page = block_on(mem.list(ListOptions { limit, cursor, filter, ..ListOptions::default() })).unwrap();
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let visible = self.projects[&at].visible(self.now()).filter(|(_, e)| cond.is_none_or(|c| c.holds(&e.state)));
        let wanted: Vec<_> = visible.map(|(id, e)| (id, e.state.clone())).collect();
        let given: Vec<_> = items.iter().map(|m| (m.id, State::seen(m))).collect();
        assert_eq!(given, wanted, "the list of {:?} under {cond:?}", SCOPES[at]);
        let own = Scope::new(SCOPES[at].0, SCOPES[at].1).unwrap();
        assert!(items.iter().all(|m| m.scope == own));
        assert!(items.iter().all(|m| m.session_id.is_some() == m.seq_in_session.is_some()), "places in sessions");
    }

    fn compare_recall(&mut self, mem: &Rae, at: usize) {
        let mut o = RecallOptions { k: 1_000, ..RecallOptions::default() };
        let mut cond = None;
        for _ in 0..self.rng.usize(..3) {
            match self.rng.u32(..10) {
                0 => o.layers = Some(vec![self.pick(&Layer::ALL), self.pick(&Layer::ALL)]),
                1 => o.kinds = Some(vec![self.pick(Kind::ALL), Kind::Text]),
                2 => o.tags = Some(vec![self.pick(&TAGS).into(), self.pick(&TAGS).into()]),
                3 => o.tags_any = Some(vec![self.pick(&TAGS).into(), self.pick(&TAGS).into()]),
                4 => o.session_id = Some(self.pick(&SESSIONS).into()),
                5 => o.user_id = Some(self.pick(&USERS).into()),
                6 => o.since = Some(self.time()),
                7 => o.as_of = Some(self.time()),
                8 => o.known_at = Some(self.time()),
                _ => cond = Some(self.cond(2)),
            }
        }
        o.until = self.one_in(8).then(|| o.since.unwrap_or(self.now()).saturating_add_seconds(DAY));
        o.filter = cond.as_ref().map(Cond::json);
        let hits = block_on(mem.recall("Is there a harbour?", o.clone())).unwrap();
        assert!(hits.degraded.is_empty(), "{:?}", hits.degraded);
        let given: Vec<_> = hits.hits.iter().map(|h| (h.id, h.content.clone())).collect();
        let wanted = self.projects[&at].recalled(&o, cond.as_ref(), self.now());
        let set: BTreeMap<_, _> = given.iter().cloned().collect();
        assert_eq!(set.len(), given.len(), "an id came twice");
        assert_eq!(set, wanted, "the recall of {:?} with {o:?}", SCOPES[at]);
        let best_first = hits.hits.is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.id < b.id));
        assert!(best_first, "hits are sorted by score, then id");
    }
}

fn handle(clock: &Arc<ManualClock>, open: &Open, seed: u64) -> Rae {
    let builder = Rae::builder().clock(Arc::clone(clock) as Arc<dyn Clock>).seed(seed).durability(Durability::Normal);
    // The model does not count recalls, which decay goes by: `tests/lifecycle.rs` has that.
    let builder = builder.lifecycle(LifecyclePolicy { decay: false, ..LifecyclePolicy::default() });
    block_on(open(builder).open()).unwrap()
}

/// `get` and `history` of one id, which may be another project's, or gone.
fn compare_one(mem: &Rae, project: &Project, id: MemoryId, now: Timestamp) {
    let (got, history) = (block_on(mem.get(id)), block_on(mem.history(id)));
    let Some(entry) = project.entries.get(&id).filter(|e| !e.state.expired(now)) else {
        assert_eq!(got.unwrap_err().code(), "memory_not_found", "{id} is not here");
        assert_eq!(history.unwrap_err().code(), "memory_not_found", "{id} is not here");
        return;
    };
    assert_eq!(State::seen(&got.unwrap()), entry.state, "{id}");
    let given: Vec<_> = history.unwrap().iter().map(|v| (State::seen(&v.memory), v.replaced_at)).collect();
    let present = [(entry.state.clone(), None)];
    let wanted: Vec<_> = entry.older.iter().cloned().chain(present).collect();
    assert_eq!(given, wanted, "the history of {id}");
}

fn run(mut world: World) -> usize {
    for step in 0..STEPS {
        world.step();
        if step % 8 == 7 {
            let at = world.rng.usize(..SCOPES.len());
            world.compare(at, false);
            world.compare(0, false);
        }
    }
    (0..SCOPES.len()).for_each(|at| world.compare(at, true));
    let findings = block_on(world.mem(0).doctor()).unwrap();
    assert!(findings.iter().all(|f| f.level == "ok"), "{findings:?}");
    if world.closes {
        world.handles.iter().for_each(|h| block_on(h.close()).unwrap());
    }
    world.known.len()
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    match number("MODEL_SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = number("MODEL_FIRST").unwrap_or(0);
            (first..first + SEEDS * number("MODEL_ROUNDS").unwrap_or(1)).collect()
        }
    }
}

fn start() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::parse("2026-01-01T12:00:00Z").unwrap()))
}

#[test]
fn every_verb_does_to_a_file_what_the_model_says() {
    let mut memories = 0;
    for seed in seeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.rae");
        memories += run(World::new("a file", seed, folder, start(), true, Box::new(move |b| b.path(&path))));
    }
    println!("{memories} memories in {} runs of {STEPS} calls", seeds().len());
}

#[test]
fn every_verb_does_to_the_reference_store_what_the_model_says() {
    for seed in seeds() {
        let clock = start();
        let store = Arc::new(ReferenceStore::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let open: Open = Box::new(move |b| b.relational(Arc::clone(&store) as _));
        run(World::new("the reference store", seed, tempfile::tempdir().unwrap(), clock, false, open));
    }
}
