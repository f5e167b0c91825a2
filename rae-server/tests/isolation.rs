//! Tenants and projects are walls: thousands of random requests of many tenants against a plain model, over HTTP, on both kinds of
//! store. Names are made to be mixed up: wildcards, quotes, combining forms, pairs of case, right to left, very long.
//!
//! A failure prints `ISOLATION_SEED=n`, which runs that seed alone; `ISOLATION_OPS=100000` makes a run that long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "http/support.rs"]
#[allow(dead_code)]
mod http;
mod support;

use http::{Answer, Connection, Server};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use support::postgres::Cluster;

const MASTER: &str = "an-operator-key-of-some-length";
const TENANTS: usize = 8;
const PROJECTS: usize = 4;

/// Names of tenants and projects, as a header can carry them.
const NAMES: [&str; 24] = [
    "a",
    "A",
    "a%",
    "a_",
    "%",
    "_",
    "*",
    "?",
    "\\",
    "a\\",
    "'",
    "\"",
    "';--",
    "\u{e9}",
    "e\u{301}",
    "\u{202e}x",
    "\u{5e9}\u{5dc}",
    "\u{df}",
    "ss",
    "I",
    "\u{131}",
    "a:b",
    "a/b",
    "default",
];

/// Names of sessions and users, and tags: whatever JSON can say.
const WORDS: [&str; 16] = [
    "s",
    "S",
    "s%",
    "s_",
    "%",
    "_",
    "*",
    "\\",
    "s\\",
    "s'",
    "\"",
    "s\u{feff}",
    "\u{e9}",
    "e\u{301}",
    "\u{202e}s",
    "\u{df}",
];

#[derive(Debug, Clone, PartialEq)]
struct Memory {
    session: Option<&'static str>,
    user: Option<&'static str>,
    tags: BTreeSet<&'static str>,
    content: String,
}

type Scope = (String, String);
type Matches = Box<dyn Fn(&Memory) -> bool>;

/// What each scope must hold.
#[derive(Debug, Default)]
struct Model(BTreeMap<Scope, BTreeMap<String, Memory>>);

impl Model {
    fn of(&self, scope: &Scope) -> BTreeMap<String, Memory> {
        self.0.get(scope).cloned().unwrap_or_default()
    }

    /// Ids of the memories of a scope that match.
    fn ids(&self, scope: &Scope, keep: impl Fn(&Memory) -> bool) -> BTreeSet<String> {
        self.of(scope).into_iter().filter(|(_, memory)| keep(memory)).map(|(id, _)| id).collect()
    }

    fn remove(&mut self, scope: &Scope, gone: &BTreeSet<String>) {
        self.0.entry(scope.clone()).or_default().retain(|id, _| !gone.contains(id));
    }
}

struct World {
    connections: Vec<Connection>,
    random: fastrand::Rng,
    model: Model,
    tenants: Vec<String>,
    projects: Vec<String>,
    keys: BTreeMap<String, String>,
    /// Ids that were given out, of all scopes, dead ones too.
    given: Vec<(Scope, String)>,
    written: usize,
}

fn ids(list: &Value, field: &str) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

/// Names that differ from one another in what is easily overlooked.
fn names(random: &mut fastrand::Rng, count: usize) -> Vec<String> {
    let mut all: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let long = "\u{e9}".repeat(127);
    all.extend([format!("{long}1"), format!("{long}2"), format!("{long}1%")]);
    random.shuffle(&mut all);
    all.truncate(count);
    all
}

impl World {
    fn new(servers: &[&Server], seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (tenants, projects) = (names(&mut random, TENANTS), names(&mut random, PROJECTS));
        let connections = servers.iter().map(|server| server.connect()).collect();
        let (model, keys) = (Model::default(), BTreeMap::new());
        let mut world = Self { connections, random, model, tenants, projects, keys, given: Vec::new(), written: 0 };
        for tenant in world.tenants.clone() {
            world.make_key(&tenant);
        }
        world
    }

    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        // Any replica may be asked.
        let connection = self.random.choice(self.connections.iter_mut()).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        connection.write(method, path, headers, body.as_bytes());
        connection.read(method)
    }

    fn make_key(&mut self, tenant: &str) {
        let body = json!({ "tenant": tenant, "role": "owner" });
        let made = self.send("POST", "/v1/api-keys", &[("X-API-Key", MASTER)], &body);
        assert_eq!(made.status, 201, "{}", made.text());
        self.keys.insert(tenant.to_owned(), made.json()["key"].as_str().unwrap().to_owned());
    }

    /// A request of a scope, by the operator or with the tenant's key.
    fn ask(&mut self, scope: &Scope, method: &str, path: &str, body: &Value) -> Answer {
        let (tenant, project) = (scope.0.as_str(), scope.1.as_str());
        let key = self.keys[tenant].clone();
        match self.random.u8(..3) {
            0 => self.send(
                method,
                path,
                &[("X-API-Key", MASTER), ("X-Tenant-ID", tenant), ("X-Project-ID", project)],
                body,
            ),
            1 => self.send(
                method,
                path,
                &[("X-API-Key", &key), ("X-Tenant-ID", tenant), ("X-Project-ID", project)],
                body,
            ),
            _ => self.send(method, path, &[("X-API-Key", &key), ("X-Project-ID", project)], body),
        }
    }

    fn scope(&mut self) -> Scope {
        let (tenant, project) =
            (self.random.choice(&self.tenants).unwrap(), self.random.choice(&self.projects).unwrap());
        (tenant.clone(), project.clone())
    }

    fn word(&mut self) -> &'static str {
        self.random.choice(WORDS).unwrap()
    }

    fn step(&mut self) {
        let scope = self.scope();
        match self.random.u8(..100) {
            0..35 => self.remember(&scope),
            35..40 => self.state_the_same(&scope),
            40..52 => self.list(&scope),
            52..64 => self.recall(&scope),
            64..76 => self.touch(&scope),
            76..80 => self.numbers(&scope),
            80..84 => self.context(&scope),
            84..88 => self.cross(&scope),
            88..97 => self.erase_some(&scope),
            97 => self.export(&scope),
            98 => self.erase_project(&scope),
            _ => self.erase_tenant(&scope),
        }
    }

    fn remember(&mut self, scope: &Scope) {
        let mut tags = BTreeSet::new();
        for _ in 0..self.random.u8(..3) {
            tags.insert(self.word());
        }
        let maybe = |world: &mut Self| world.random.bool().then(|| world.word());
        let (session, user) = (maybe(self), maybe(self));
        self.written += 1;
        let content = format!("The secret of the harbour, number {} \u{0}%.", self.written);
        let body = json!({ "content": content, "session_id": session, "user_id": user, "tags": tags });
        let answer = self.ask(scope, "POST", "/v1/memories", &body);
        assert_eq!(answer.status, 201, "{body}: {}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["merged"], false);
        self.keep(scope, &answer, Memory { session, user, tags, content });
    }

    fn keep(&mut self, scope: &Scope, receipt: &Value, memory: Memory) {
        let id = receipt["id"].as_str().unwrap().to_owned();
        self.given.push((scope.clone(), id.clone()));
        self.model.0.entry(scope.clone()).or_default().insert(id, memory);
    }

    /// The same statement in many scopes: it merges within its own alone.
    fn state_the_same(&mut self, scope: &Scope) {
        let content = format!("The secret of the harbour is known, {}.", self.random.u8(..3));
        let there = self.model.ids(scope, |memory| memory.content == content);
        let answer = self.ask(scope, "POST", "/v1/memories", &json!({ "content": content })).json();
        assert_eq!(answer["merged"], !there.is_empty());
        if there.is_empty() {
            self.keep(scope, &answer, Memory { session: None, user: None, tags: BTreeSet::new(), content });
        } else {
            assert_eq!(BTreeSet::from([answer["id"].as_str().unwrap().to_owned()]), there);
        }
    }

    /// A condition, as a filter and as the model has it.
    fn condition(&mut self) -> (Value, Matches) {
        let word = self.word();
        match self.random.u8(..3) {
            0 => (json!({ "session_id": word }), Box::new(move |m| m.session == Some(word))),
            1 => (json!({ "user_id": word }), Box::new(move |m| m.user == Some(word))),
            _ => (json!({ "tags": { "contains": word } }), Box::new(move |m| m.tags.contains(word))),
        }
    }

    fn list(&mut self, scope: &Scope) {
        let (filter, keep) = self.condition();
        let all = self.random.bool();
        let query: String = match all {
            true => "limit=1000".to_owned(),
            false => {
                let filter = filter.to_string();
                form(&[("limit", "1000"), ("filter", &filter)])
            }
        };
        let answer = self.ask(scope, "GET", &format!("/v1/memories?{query}"), &Value::Null);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let found = ids(&answer.json()["items"], "id");
        assert_eq!(found, self.model.ids(scope, |m| all || keep(m)), "list of {scope:?} by {filter}");
    }

    fn recall(&mut self, scope: &Scope) {
        let (filter, keep) = self.condition();
        let all = self.random.bool();
        let mut body = json!({ "query": "the secret of the harbour", "k": 1000 });
        if !all {
            match filter.as_object().unwrap().iter().next().unwrap() {
                (name, word) if name != "tags" => body[name] = word.clone(),
                (_, test) => body["tags_any"] = json!([test["contains"]]),
            }
        }
        let answer = self.ask(scope, "POST", "/v1/memories/recall", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let found = ids(&answer.json()["hits"], "id");
        assert_eq!(found, self.model.ids(scope, |m| all || keep(m)), "recall of {scope:?} by {body}");
    }

    fn context(&mut self, scope: &Scope) {
        let session = self.word();
        let body = json!({ "query": "the secret of the harbour", "session_id": session, "max_tokens": 500 });
        let answer = self.ask(scope, "POST", "/v1/context", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let found = ids(&answer.json()["sources"], "id");
        let own = self.model.ids(scope, |_| true);
        assert!(found.is_subset(&own), "context of {scope:?}");
    }

    /// One memory by its id, of this scope or another one.
    fn touch(&mut self, scope: &Scope) {
        let Some((_, id)) = self.random.choice(&self.given).cloned() else { return };
        let mine = self.model.of(scope).contains_key(&id);
        let path = format!("/v1/memories/{id}");
        let expected = if mine { 200 } else { 404 };
        match self.random.u8(..5) {
            0 => {
                let answer = self.ask(scope, "GET", &path, &Value::Null);
                assert_eq!(answer.status, expected);
                if mine {
                    assert_eq!(answer.json()["content"], self.model.of(scope)[&id].content.as_str());
                }
            }
            1 => assert_eq!(self.ask(scope, "GET", &format!("{path}/history"), &Value::Null).status, expected),
            2 => {
                let useful = json!({ "useful": true });
                assert_eq!(self.ask(scope, "POST", &format!("{path}/feedback"), &useful).status, expected);
            }
            3 => {
                let tag = self.word();
                assert_eq!(self.ask(scope, "PATCH", &path, &json!({ "tags": [tag] })).status, expected);
                if mine {
                    self.model.0.get_mut(scope).unwrap().get_mut(&id).unwrap().tags = BTreeSet::from([tag]);
                }
            }
            _ => {
                let answer = self.ask(scope, "DELETE", &path, &Value::Null);
                assert_eq!((answer.status, &answer.json()["deleted"]), (200, &json!(u8::from(mine))));
                self.model.remove(scope, &BTreeSet::from([id]));
            }
        }
    }

    fn numbers(&mut self, scope: &Scope) {
        let answer = self.ask(scope, "GET", "/v1/stats", &Value::Null);
        assert_eq!(answer.json()["memories"], self.model.of(scope).len(), "stats of {scope:?}");
    }

    /// A key of one tenant for another.
    fn cross(&mut self, scope: &Scope) {
        let other = self.random.choice(&self.tenants).unwrap().clone();
        let key = self.keys[&other].clone();
        let headers = [("X-API-Key", key.as_str()), ("X-Tenant-ID", &scope.0), ("X-Project-ID", &scope.1)];
        let answer = self.send("GET", "/v1/memories?limit=1000", &headers, &Value::Null);
        assert_eq!(answer.status, if other == scope.0 { 200 } else { 403 }, "{}", answer.text());
    }

    /// A session, a user, or what a filter matches.
    fn erase_some(&mut self, scope: &Scope) {
        let (filter, keep) = self.condition();
        let gone = self.model.ids(scope, keep);
        let (name, word) = filter.as_object().unwrap().iter().next().unwrap();
        let body = match name.as_str() {
            "tags" => json!({ "filter": filter }),
            name if self.random.bool() => json!({ "scope": name.trim_end_matches("_id"), "target": word }),
            _ => json!({ "filter": filter }),
        };
        self.erased(scope, &body, gone.len());
        self.model.remove(scope, &gone);
    }

    fn erased(&mut self, scope: &Scope, body: &Value, expected: usize) {
        let answer = self.ask(scope, "POST", "/v1/erasure", body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        assert_eq!(answer.json()["deleted"], expected, "erasure of {body} in {scope:?}");
    }

    fn export(&mut self, scope: &Scope) {
        let answer = self.ask(scope, "GET", "/v1/export", &Value::Null);
        assert_eq!(answer.text().lines().count(), self.model.of(scope).len() + 2, "export of {scope:?}");
    }

    /// Any project of the tenant, asked for from any other.
    fn erase_project(&mut self, scope: &Scope) {
        let target = self.random.choice(&self.projects).unwrap().clone();
        let gone = self.model.0.remove(&(scope.0.clone(), target.clone())).unwrap_or_default();
        self.erased(scope, &json!({ "scope": "project", "target": target }), gone.len());
    }

    fn erase_tenant(&mut self, scope: &Scope) {
        let tenant = scope.0.clone();
        let gone: usize =
            self.model.0.iter().filter(|((t, _), _)| *t == tenant).map(|(_, memories)| memories.len()).sum();
        self.model.0.retain(|(t, _), _| *t != tenant);
        let headers = [("X-API-Key", MASTER), ("X-Tenant-ID", &tenant), ("X-Project-ID", &scope.1)];
        let answer = self.send("POST", "/v1/erasure", &headers, &json!({ "scope": "tenant", "target": tenant }));
        assert_eq!((answer.status, &answer.json()["deleted"]), (200, &json!(gone)), "{}", answer.text());
        // Its keys went with it; those of the others stand, as the following steps show.
        self.make_key(&tenant);
    }

    /// Every scope holds what the model says.
    fn check(&mut self) {
        for tenant in self.tenants.clone() {
            for project in self.projects.clone() {
                let scope = (tenant.clone(), project);
                let answer = self.ask(&scope, "GET", "/v1/memories?limit=1000", &Value::Null);
                assert_eq!(ids(&answer.json()["items"], "id"), self.model.ids(&scope, |_| true), "{scope:?}");
            }
        }
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    let hex = |byte: u8| format!("%{byte:02X}");
    let encoded = |text: &str| text.bytes().map(hex).collect::<String>();
    pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn run(servers: &[&Server], usual: u64) {
    let (seed, steps) = (
        number("ISOLATION_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32)),
        number("ISOLATION_OPS").unwrap_or(usual),
    );
    println!("ISOLATION_SEED={seed} ISOLATION_OPS={steps}");
    let mut world = World::new(servers, seed);
    let start = std::time::Instant::now();
    for _ in 0..steps {
        world.step();
    }
    world.check();
    let kept: usize = world.model.0.values().map(BTreeMap::len).sum();
    println!("{steps} steps, {} memories written, {kept} kept, {:?}", world.written, start.elapsed());
}

#[test]
fn no_request_crosses_a_tenant_or_a_project_in_the_embedded_store() {
    let server = Server::with(&[("RAE_API_MASTER_KEY", MASTER), ("RAE_DURABILITY", "normal")]);
    run(&[&server], 3_000);
}

#[test]
fn no_request_crosses_a_tenant_or_a_project_in_postgresql_with_two_replicas() {
    let database = Cluster::shared().empty();
    let url = database.url();
    let env = [("DATABASE_URL", url.as_str()), ("RAE_API_MASTER_KEY", MASTER)];
    let servers = [Server::with(&env), Server::with(&env)];
    run(&[&servers[0], &servers[1]], 1_500);
}

#[test]
fn names_that_no_header_may_carry_are_refused() {
    let server = Server::with(&[("RAE_API_MASTER_KEY", MASTER)]);
    let mut asked = 0;
    for name in ["a\0", "a\u{7f}", "a\u{85}b", "", &"x".repeat(257)] {
        for headers in [
            [("X-API-Key", MASTER), ("X-Tenant-ID", name), ("X-Project-ID", "p")],
            [("X-API-Key", MASTER), ("X-Tenant-ID", "t"), ("X-Project-ID", name)],
        ] {
            let answer = server.send("GET", "/v1/memories", &headers, b"");
            assert_eq!(answer.status, 400, "{name:?}: {}", answer.text());
            asked += 1;
        }
    }
    assert_eq!(asked, 10);
    // What else names something may not hold U+0000 either.
    for field in ["session_id", "user_id", "agent_id", "speaker", "tags"] {
        let mut body = json!({ "content": "One." });
        body[field] = if field == "tags" { json!(["a\0"]) } else { json!("a\0") };
        let headers = [("X-API-Key", MASTER), ("X-Tenant-ID", "t")];
        let answer = server.send("POST", "/v1/memories", &headers, body.to_string().as_bytes());
        answer.is_error(422, "invalid_input", "invalid_input");
    }
}
