//! Replaying a scenario through the handle.

use super::{
    Adapt, Scenario, embedders,
    values::{Names, difference},
};
use crate::{
    Embedding, Error, Rae, Result, Timestamp,
    model::Scope,
    ports::{Clock, ManualClock},
    wire,
};
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How a scenario went.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// For the transcript, one a step: the answer of a call, `{"error": {"kind", "code"}}`, or null.
    pub results: Vec<Value>,
    /// The same for recording: saved values as `$name`.
    pub recorded: Vec<Value>,
    /// The rule and the first step that was not as expected.
    pub broken: Option<String>,
}

/// A store as a scenario sees it.
#[async_trait]
pub trait Surface: Send + Sync {
    /// Calls a verb of [`wire::VERBS`], or `reembed` with the name of a test embedder.
    async fn call(&self, verb: &str, args: Map<String, Value>) -> Result<Value>;
    /// The same store for another tenant or project.
    fn with_scope(&self, tenant: Option<&str>, project: Option<&str>) -> Result<Box<dyn Surface>>;
    /// Moves its clock.
    async fn advance(&self, seconds: i64);
    /// Closes it.
    async fn close(&self) -> Result<()>;
}

/// What opens the stores of a scenario.
#[async_trait]
pub trait Stores: Send + Sync {
    /// Opens one. `options` are those of the scenario, with its path made real.
    async fn open(&self, options: &Map<String, Value>) -> Result<Box<dyn Surface>>;
    /// Says whether the test embedders fail from now on.
    async fn embedders_fail(&self, fail: bool);
}

/// The stores of one run.
struct Run<'a> {
    names: Names<'a>,
    handles: BTreeMap<String, Box<dyn Surface>>,
    /// Names of those that were opened, not made from others.
    opened: Vec<String>,
    stores: &'a dyn Stores,
}

/// Replays one scenario. `folder` must be empty and is its `$tmp`; stores in memory are made by `adapt`. All steps are taken,
/// also after one that was not as expected. Panics where the scenario itself is not what the format says.
pub async fn replay(scenario: &Scenario, folder: &Path, adapt: &Adapt<'_>) -> Replayed {
    replay_on(scenario, folder, &Embedded { fails: Arc::default(), adapt }).await
}

/// The same on stores of another surface.
pub async fn replay_on(scenario: &Scenario, folder: &Path, stores: &dyn Stores) -> Replayed {
    let names = Names { saved: BTreeMap::new(), folder };
    let mut run = Run { names, handles: BTreeMap::new(), opened: Vec::new(), stores };
    let mut out = Replayed::default();
    let context = |what: &str| format!("{}: {}\n  {what}", scenario.file, scenario.rule);
    if let Err(error) = run.open("mem", &scenario.open).await {
        out.broken = Some(context(&format!("open: {error:?}")));
        return out;
    }
    for (number, step) in scenario.steps.iter().enumerate() {
        let result = run.step(step).await;
        let problem = run.judge(step, &result, &mut out);
        let problem = problem.map(|p| context(&format!("step {number} ({}){p}", name_of(step))));
        out.broken = out.broken.or(problem);
    }
    for handle in run.handles.values() {
        if let Err(error) = handle.close().await {
            out.broken = out.broken.or_else(|| Some(context(&format!("close: {error:?}"))));
        }
    }
    out
}

fn name_of(step: &Map<String, Value>) -> String {
    match step.get("call") {
        Some(verb) => format!("call {verb}"),
        None => step.keys().cloned().collect::<Vec<_>>().join(", "),
    }
}

fn text<'v>(step: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    step.get(key).map(|value| value.as_str().unwrap_or_else(|| panic!("{key} must be text")))
}

impl Run<'_> {
    /// The answer of a call, null for a step that has none, or the error.
    async fn step(&mut self, step: &Map<String, Value>) -> Result<Value> {
        const KINDS: [&str; 8] = ["call", "open", "scope", "advance", "close", "write_file", "copy_file", "embedder"];
        let kinds: Vec<&&str> = KINDS.iter().filter(|kind| step.contains_key(**kind)).collect();
        let [kind] = kinds[..] else { panic!("a step has exactly one of {KINDS:?}: {step:?}") };
        let empty = Map::new();
        let object = |key| step.get(key).and_then(Value::as_object).unwrap_or(&empty);
        let value = &step[*kind];
        let name = value.as_str().unwrap_or_default();
        match *kind {
            "call" => return self.call(name, text(step, "on").unwrap_or("mem"), object("args")).await,
            "open" => self.open(name, object("options")).await?,
            "scope" => {
                let of = self.handle(text(step, "of").unwrap_or("mem"));
                let scoped = of.with_scope(text(step, "tenant"), text(step, "project"))?;
                self.handles.insert(name.to_owned(), scoped);
            }
            "advance" => {
                let seconds = value.as_i64().expect("advance takes whole seconds");
                for name in &self.opened {
                    self.handle(name).advance(seconds).await;
                }
            }
            "close" => self.handle(name).close().await?,
            "write_file" => std::fs::write(self.names.path(name), text(step, "text").expect("a text")).expect(name),
            "copy_file" => {
                let to = self.names.path(text(step, "to").expect("a target"));
                std::fs::copy(self.names.path(name), to).map(drop).expect(name);
            }
            _ => self.stores.embedders_fail(name == "fails").await,
        }
        Ok(Value::Null)
    }

    fn handle(&self, name: &str) -> &dyn Surface {
        self.handles.get(name).map(|handle| &**handle).unwrap_or_else(|| panic!("no step opened {name:?}"))
    }

    async fn call(&self, verb: &str, on: &str, args: &Map<String, Value>) -> Result<Value> {
        let handle = self.handle(on);
        let args = self.names.given(&Value::Object(args.clone()));
        handle.call(verb, args.as_object().cloned().unwrap_or_default()).await
    }

    async fn open(&mut self, name: &str, options: &Map<String, Value>) -> Result<()> {
        let known = ["path", "tenant", "project", "durability", "reembed", "timeout", "embedder", "now", "seed"];
        for key in options.keys() {
            assert!(known.contains(&key.as_str()), "open has no option {key:?}");
        }
        let mut options = options.clone();
        if let Some(Value::String(path)) = options.get_mut("path") {
            *path = self.names.path(path);
        }
        let opened = self.stores.open(&options).await?;
        self.handles.insert(name.to_owned(), opened);
        // Opened again under its name, it is another one.
        self.opened.retain(|known| known != name);
        self.opened.push(name.to_owned());
        Ok(())
    }
    /// Compares a step's result with what it expects, saves what it names, and notes both.
    fn judge(&mut self, step: &Map<String, Value>, result: &Result<Value>, out: &mut Replayed) -> Option<String> {
        let actual = match result {
            Ok(value) => value.clone(),
            Err(e) => json!({ "error": { "kind": e.kind().name(), "code": e.code() } }),
        };
        let expected = match (step.get("returns"), step.get("error")) {
            (Some(_), Some(_)) => panic!("a step returns or fails, not both: {step:?}"),
            (Some(returns), None) => returns.clone(),
            (None, Some(error)) => json!({ "error": error }),
            (None, None) => Value::Null,
        };
        out.results.push(self.names.shown(&actual, &expected));
        out.recorded.push(self.names.recorded(&actual, &expected));
        let problem = match (result, step.contains_key("error")) {
            (Err(error), false) => Some(format!(": {error:?}")),
            (Ok(value), true) => Some(format!(": succeeded with {value}")),
            _ => difference(&actual, &self.names.expected(&expected)),
        };
        for (name, pointer) in step.get("save").and_then(Value::as_object).into_iter().flatten() {
            let value = actual.pointer(pointer.as_str().expect("a JSON pointer"));
            // What is missing shows as the difference above.
            self.names.saved.insert(name.clone(), value.cloned().unwrap_or_default());
        }
        problem
    }
}

/// The stores of this process.
struct Embedded<'a> {
    fails: Arc<AtomicBool>,
    adapt: &'a Adapt<'a>,
}

#[async_trait]
impl Stores for Embedded<'_> {
    async fn open(&self, options: &Map<String, Value>) -> Result<Box<dyn Surface>> {
        let string = |key: &str| options.get(key).and_then(Value::as_str);
        let now = Timestamp::parse(string("now").unwrap_or("2026-01-01T00:00:00Z"))?;
        let clock = Arc::new(ManualClock::new(now));
        let seed = options.get("seed").map_or(42, |seed| seed.as_u64().expect("a seed"));
        let mut builder = Rae::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).seed(seed);
        builder = builder.tenant(string("tenant").unwrap_or("default"));
        builder = builder.project(string("project").unwrap_or("default"));
        if let Some(durability) = string("durability") {
            builder = builder.durability(durability.parse()?);
        }
        builder = builder.reembed(options.get("reembed").is_some_and(|reembed| reembed == true));
        if let Some(seconds) = options.get("timeout").and_then(Value::as_f64) {
            builder = builder.timeout(Duration::try_from_secs_f64(seconds).map_err(|_| Error::invalid("timeout"))?);
        }
        if let Some(embedder) = embedders::by_name(string("embedder"), &self.fails) {
            builder = builder.embedding(Embedding::Custom(embedder));
        }
        builder = match string("path").filter(|path| *path != ":memory:") {
            Some(path) => builder.path(path),
            None => (self.adapt)(builder, &clock),
        };
        let rae = builder.open().await?;
        Ok(Box::new(Opened { rae, clock, fails: Arc::clone(&self.fails) }))
    }

    async fn embedders_fail(&self, fail: bool) {
        self.fails.store(fail, Ordering::Relaxed);
    }
}

struct Opened {
    rae: Rae,
    clock: Arc<ManualClock>,
    fails: Arc<AtomicBool>,
}

#[async_trait]
impl Surface for Opened {
    async fn call(&self, verb: &str, args: Map<String, Value>) -> Result<Value> {
        if verb != "reembed" {
            return wire::call(&self.rae, verb, args).await;
        }
        let embedder = match embedders::by_name(args["embedder"].as_str(), &self.fails) {
            Some(embedder) => embedder,
            None => Embedding::Builtin.load()?,
        };
        let done = self.rae.reembed(embedder).await?;
        Ok(json!({ "from": done.from, "to": done.to, "vectors": done.vectors }))
    }

    fn with_scope(&self, tenant: Option<&str>, project: Option<&str>) -> Result<Box<dyn Surface>> {
        let scope = self.rae.scope();
        let scope = Scope::new(tenant.unwrap_or(scope.tenant()), project.unwrap_or(scope.project()))?;
        let (rae, clock, fails) = (self.rae.with_scope(scope), Arc::clone(&self.clock), Arc::clone(&self.fails));
        Ok(Box::new(Self { rae, clock, fails }))
    }

    async fn advance(&self, seconds: i64) {
        self.clock.advance_seconds(seconds);
    }

    async fn close(&self) -> Result<()> {
        self.rae.close().await
    }
}
