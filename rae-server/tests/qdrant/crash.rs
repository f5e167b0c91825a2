//! Real servers, real load, and `kill -9` of each in turn: what was acknowledged stays, what was deleted does not come back, no
//! tenant sees another one's, and in the end the vectors are those of the memories.

use crate::{
    http::{Answer, Connection, Folder, Server as Api, until},
    support::{block_on, postgres::Cluster, qdrant::Server as Qdrant, redis},
};
use rae_core::{
    Ctx,
    ports::{AdminRead, IndexRead},
};
use rae_server::adapters::postgres::{PostgresSettings, PostgresStore};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Alike on purpose.
const TENANTS: [&str; 4] = ["acme", "Acme", "acm*", "acme%"];

/// Where the replicas are now.
type Replicas = Arc<Mutex<Vec<SocketAddr>>>;

/// One tenant's user: what it was told, and what it cannot know.
struct User {
    number: usize,
    tenant: &'static str,
    replicas: Replicas,
    rng: u64,
    said: u64,
    /// Acknowledged and not deleted: the texts that each may have.
    alive: BTreeMap<String, Vec<String>>,
    /// Deleted, acknowledged.
    gone: BTreeSet<String>,
    /// Asked to be deleted, without an answer.
    doubtful: BTreeSet<String>,
}

impl User {
    fn new(number: usize, replicas: &Replicas) -> Self {
        Self {
            number,
            tenant: TENANTS[number],
            replicas: Arc::clone(replicas),
            rng: 7 + number as u64,
            said: 0,
            alive: BTreeMap::new(),
            gone: BTreeSet::new(),
            doubtful: BTreeSet::new(),
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.rng = self.rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.rng >> 33) as usize % below
    }

    /// The answer of some replica, if it came.
    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Option<Answer> {
        let address = {
            let at = self.random(2);
            let replicas = self.replicas.lock().unwrap();
            replicas[at % replicas.len()]
        };
        let stream = TcpStream::connect(address).ok()?;
        let mut connection = Connection::over(stream);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        connection.write(method, path, &[("X-Tenant-ID", self.tenant)], body.as_bytes());
        connection.try_read(method).ok()
    }

    /// A text that no other memory has, which names its owner.
    fn text(&mut self) -> String {
        self.said += 1;
        let thing = ["boat", "dog", "letter", "harbour", "violin"][self.random(5)];
        format!("The {thing} of owner{} has the number token{}x{}.", self.number, self.number, self.said)
    }

    fn some(&mut self) -> Option<String> {
        let n = self.alive.len();
        (n > 0).then(|| self.random(n)).and_then(|at| self.alive.keys().nth(at).cloned())
    }

    fn step(&mut self) {
        match self.random(10) {
            0..=4 => {
                let text = self.text();
                let answer = self.ask("POST", "/v1/memories", &json!({ "content": text }));
                if let Some(answer) = answer.filter(|a| a.status == 201) {
                    self.alive.insert(answer.json()["id"].as_str().unwrap().to_owned(), vec![text]);
                }
            }
            5 => {
                let (Some(id), text) = (self.some(), self.text()) else { return };
                let answer = self.ask("PATCH", &format!("/v1/memories/{id}"), &json!({ "content": text }));
                let texts = self.alive.get_mut(&id).unwrap();
                if answer.is_some_and(|a| a.status == 200) {
                    texts.clear();
                }
                texts.push(text);
            }
            6 => {
                let Some(id) = self.some() else { return };
                let answer = self.ask("DELETE", &format!("/v1/memories/{id}"), &Value::Null);
                self.alive.remove(&id);
                if answer.is_some_and(|a| a.status == 200) {
                    self.gone.insert(id)
                } else {
                    self.doubtful.insert(id)
                };
            }
            _ => {
                let Some(id) = self.some() else { return };
                let texts = self.alive[&id].clone();
                if let Some(found) = self.recall(texts.last().unwrap())
                    && let [_] = texts[..]
                {
                    assert!(found.contains(&id), "{} does not find {id} {texts:?} again", self.tenant);
                }
            }
        }
    }

    /// Ids found, after a look at every hit.
    fn recall(&mut self, query: &str) -> Option<Vec<String>> {
        let answer = self.ask("POST", "/v1/memories/recall", &json!({ "query": query, "k": 10 }))?;
        if answer.status != 200 {
            assert!(answer.status >= 500, "{answer:?}");
            return None;
        }
        let owner = format!("owner{} ", self.number);
        let mut ids = Vec::new();
        for hit in answer.json()["hits"].as_array().unwrap() {
            let (id, content) = (hit["id"].as_str().unwrap(), hit["content"].as_str().unwrap());
            assert!(content.contains(&owner), "{} sees {content}", self.tenant);
            assert!(!self.gone.contains(id), "{} sees what it deleted: {content}", self.tenant);
            ids.push(id.to_owned());
        }
        Some(ids)
    }

    /// Everything as it was acknowledged, once all servers are there.
    fn check(&mut self) {
        for (id, texts) in self.alive.clone() {
            let answer = self.ask("GET", &format!("/v1/memories/{id}"), &Value::Null).unwrap();
            assert_eq!(answer.status, 200, "{} lost {id} {texts:?}", self.tenant);
            let content = answer.json()["content"].as_str().unwrap().to_owned();
            assert!(texts.contains(&content), "{content} is none of {texts:?}");
            assert!(self.recall(&content).unwrap().contains(&id), "{content} is not found");
        }
        for id in self.gone.clone() {
            let answer = self.ask("GET", &format!("/v1/memories/{id}"), &Value::Null).unwrap();
            assert_eq!(answer.status, 404, "{id} came back");
        }
    }
}

/// Memories with their vectors, as PostgreSQL has them, by tenant.
fn truth(url: &str) -> BTreeMap<String, BTreeMap<String, Vec<f32>>> {
    block_on(async {
        let store = PostgresStore::open(PostgresSettings::from_url(url).unwrap()).await.unwrap();
        let mut all: BTreeMap<String, BTreeMap<String, Vec<f32>>> = BTreeMap::new();
        for scope in store.scopes().await.unwrap() {
            let ctx = Ctx::new(scope.clone());
            let (embedder, _) = store.head(&ctx).await.unwrap().embedder.unwrap();
            let mut after = 0;
            loop {
                let page = store.vectors(&ctx, &embedder, after, 1_000).await.unwrap();
                let Some((last, _)) = page.last() else { break };
                after = *last;
                let points = page.into_iter().map(|(_, point)| (point.id.0.to_string(), point.vector));
                all.entry(scope.tenant().to_owned()).or_default().extend(points);
            }
        }
        all
    })
}

/// What is on the vector server that should not be, or the other way round.
fn difference(truth: &BTreeMap<String, BTreeMap<String, Vec<f32>>>, qdrant: &Qdrant) -> Option<String> {
    let mut stored: BTreeMap<String, BTreeMap<String, Vec<f32>>> = BTreeMap::new();
    for (_, payload, vector) in qdrant.points() {
        let [tenant, memory] = ["tenant", "memory"].map(|key| payload[key].as_str().unwrap().to_owned());
        stored.entry(tenant).or_default().insert(memory, vector);
    }
    let mut parts: Vec<_> = stored.into_values().collect();
    for (tenant, wanted) in truth.iter().filter(|(_, wanted)| !wanted.is_empty()) {
        let part = parts.iter().position(|part| part.keys().any(|id| wanted.contains_key(id)));
        let Some(part) = part.map(|at| parts.swap_remove(at)) else { return Some(format!("{tenant} has no vectors")) };
        if !part.keys().eq(wanted.keys()) {
            return Some(format!("{tenant} has {} vectors of {}", part.len(), wanted.len()));
        }
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-4);
        if let Some((id, _)) = wanted.iter().find(|(id, vector)| !near(vector, &part[*id])) {
            return Some(format!("{id} of {tenant} has another vector"));
        }
    }
    (!parts.is_empty()).then(|| "there are vectors of nobody".to_owned())
}

#[test]
fn whichever_server_is_killed_under_load_the_vectors_end_as_the_memories_say() {
    let cluster = Cluster::start(true);
    let (database, qdrant) = (cluster.empty(), Qdrant::start(None));
    let cache = redis::Server::start();
    let (pg, vectors, redis) = (database.url(), qdrant.url(), format!("redis://127.0.0.1:{}/0", cache.port));
    let env = [
        ("DATABASE_URL", pg.as_str()),
        ("REDIS_URL", redis.as_str()),
        ("QDRANT_URL", vectors.as_str()),
        ("RAE_VECTOR_SETTLE", "1"),
    ];
    let open = || Api::in_folder(Arc::new(Folder::new()), &env);
    let mut apis = [open(), open()];
    let replicas: Replicas = Arc::new(Mutex::new(apis.iter().map(|api| api.address).collect()));
    let (stop, steps) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut users: Vec<User> = (0..TENANTS.len()).map(|n| User::new(n, &replicas)).collect();
    thread::scope(|scope| {
        for user in &mut users {
            scope.spawn(|| {
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    while !stop.load(Ordering::SeqCst) {
                        user.step();
                        steps.fetch_add(1, Ordering::SeqCst);
                    }
                }));
                stop.store(true, Ordering::SeqCst);
                done.unwrap();
            });
        }
        // So much load before and after each blow.
        let load = |more: u64| {
            let wanted = steps.load(Ordering::SeqCst) + more;
            until(|| (steps.load(Ordering::SeqCst) >= wanted || stop.load(Ordering::SeqCst)).then_some(()));
        };
        for victim in ["api", "vectors", "memories", "other api", "vectors", "all"] {
            load(150);
            if ["api", "other api", "all"].contains(&victim) {
                apis[usize::from(victim == "other api")].signal("-KILL");
            }
            if ["vectors", "all"].contains(&victim) {
                qdrant.stop();
            }
            if ["memories", "all"].contains(&victim) {
                cluster.stop();
            }
            load(30);
            if ["memories", "all"].contains(&victim) {
                cluster.again();
            }
            if ["vectors", "all"].contains(&victim) {
                qdrant.again();
            }
            if ["api", "other api", "all"].contains(&victim) {
                let at = usize::from(victim == "other api");
                apis[at] = open();
                replicas.lock().unwrap()[at] = apis[at].address;
            }
        }
        load(150);
        stop.store(true, Ordering::SeqCst);
    });
    let kept: usize = users.iter().map(|user| user.alive.len()).sum();
    let gone: usize = users.iter().map(|user| user.gone.len()).sum();
    println!("{} steps; {kept} memories kept, {gone} deleted", steps.load(Ordering::SeqCst));
    assert!(kept > 50 && gone > 5, "there was too little load to speak of: {kept} kept, {gone} deleted");
    // Nobody nudges: what a killed process owed is found by the others.
    let truth = truth(&pg);
    let mut last = None;
    let end = std::time::Instant::now() + Duration::from_secs(150);
    while std::time::Instant::now() < end {
        last = difference(&truth, &qdrant);
        if last.is_none() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(last, None);
    users.iter_mut().for_each(User::check);
    // And it stays so once everything has settled.
    let settled = |api: &Api| api.metric("rae_vector_feed_behind") == 0.0;
    until(|| apis.iter().all(settled).then_some(()));
    assert_eq!(difference(&truth, &qdrant), None);
}
