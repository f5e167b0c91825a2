//! The scenarios: files of steps and expected answers, replayed through Rust, Python and Node, so that all surfaces are held to
//! one text. The format is in CONTRIBUTING.md. An adapter of your own replays them with [`replay_all`]:
//!
//! ```text
//! let folder = tempfile::tempdir()?;
//! rae_core::conformance::scenario::replay_all(folder.path(), &|builder, clock| builder.relational(my_store(clock)));
//! ```

mod embedders;
mod replay;
mod values;

use crate::{Builder, ports::ManualClock};
pub use embedders::by_name as embedder;
pub use replay::{Replayed, Stores, Surface, replay, replay_on};
use serde_json::{Map, Value};
use std::{path::Path, sync::Arc};

macro_rules! files {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!(concat!("scenarios/", $name)))),+] };
}

/// The files by name, with their text.
pub const FILES: &[(&str, &str)] = files![
    "audits.json",
    "batches.json",
    "budgets.json",
    "changes.json",
    "context.json",
    "embedders.json",
    "evaluations.json",
    "exports.json",
    "facts.json",
    "filters.json",
    "forgetting.json",
    "graph.json",
    "lifetimes.json",
    "lists.json",
    "merging.json",
    "ranking.json",
    "recall.json",
    "relations.json",
    "sessions.json",
    "stores.json",
    "tenants.json",
    "times.json",
    "unicode.json",
    "updates.json",
    "vectors.json",
    "writing.json",
];

/// What makes the store of a scenario that is opened in memory: the builder so far, and the clock that the store must use.
pub type Adapt<'a> = dyn Fn(Builder, &Arc<ManualClock>) -> Builder + Sync + 'a;

/// One rule, and the steps that show it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file it stands in.
    pub file: &'static str,
    /// The rule, a sentence; no two scenarios have the same.
    pub rule: String,
    /// Options of the first handle, `mem`.
    pub open: Map<String, Value>,
    /// The steps, in order.
    pub steps: Vec<Map<String, Value>>,
}

impl Scenario {
    /// Whether it opens a store by its path or copies one, so that only the embedded store can replay it.
    pub fn needs_files(&self) -> bool {
        let on_disk = |options: &Map<String, Value>| options.get("path").is_some_and(|path| path != ":memory:");
        let backup = |step: &Map<String, Value>| step.get("call").is_some_and(|verb| verb == "backup");
        let opens = |step: &Map<String, Value>| step.get("options").and_then(Value::as_object).is_some_and(on_disk);
        on_disk(&self.open) || self.steps.iter().any(|step| backup(step) || opens(step))
    }

    /// Whether a client of a server cannot replay it: it opens a store by its path, brings an embedder to one that is open, has a
    /// tenant or a project with a blank at an end, which no header can carry, or expects that opening fails, where connecting does
    /// nothing yet. (A backup can be taken over HTTP, but what these
    /// scenarios do with it is to open it.)
    pub fn needs_the_embedded_store(&self) -> bool {
        let reembeds = |step: &Map<String, Value>| step.get("call").is_some_and(|verb| verb == "reembed");
        let name = |step: &Map<String, Value>, key: &str| step.get(key).and_then(Value::as_str).map(str::to_owned);
        let blank = |step: &Map<String, Value>| {
            let names = [name(step, "tenant"), name(step, "project")];
            names.into_iter().flatten().any(|name| name.trim() != name)
        };
        let fails_to_open = |step: &Map<String, Value>| step.contains_key("open") && step.contains_key("error");
        self.needs_files() || self.steps.iter().any(|step| reembeds(step) || blank(step) || fails_to_open(step))
    }

    /// The verbs that it calls with an answer that is not an error, and the kinds of errors that it expects.
    pub fn shows(&self) -> (Vec<&str>, Vec<&str>) {
        let kinds = self.steps.iter().filter_map(|step| step.get("error")?.get("kind")?.as_str());
        let answered = self.steps.iter().filter(|step| !step.contains_key("error"));
        let verbs = answered
            .filter_map(|step| if step.contains_key("close") { Some("close") } else { step.get("call")?.as_str() });
        (verbs.collect(), kinds.collect())
    }
}

/// Every scenario of every file. Panics where a file is not what the format says.
pub fn all() -> Vec<Scenario> {
    FILES.iter().flat_map(|(file, text)| read(file, text)).collect()
}

/// The scenarios of one file.
pub fn read(file: &'static str, text: &str) -> Vec<Scenario> {
    let list: Vec<Value> = serde_json::from_str(text).unwrap_or_else(|e| panic!("{file}: {e}"));
    let object = |value: &Value| value.as_object().cloned().unwrap_or_else(|| panic!("{file}: {value} is no object"));
    let scenario = |value: Value| {
        let scenario = object(&value);
        for key in scenario.keys() {
            assert!(["rule", "open", "steps"].contains(&key.as_str()), "{file}: a scenario has no \"{key}\"");
        }
        Scenario {
            file,
            rule: scenario["rule"].as_str().unwrap_or_else(|| panic!("{file}: a rule is a sentence")).to_owned(),
            open: scenario.get("open").map(object).unwrap_or_default(),
            steps: scenario["steps"].as_array().into_iter().flatten().map(object).collect(),
        }
    };
    list.into_iter().map(scenario).collect()
}

/// Replays every scenario that a store in memory can show, each on a fresh one, with folders of their own under `folder`.
/// Panics with all the rules that do not hold.
pub fn replay_all(folder: &Path, adapt: &Adapt<'_>) {
    let mut broken = Vec::new();
    for (i, scenario) in all().iter().enumerate().filter(|(_, s)| !s.needs_files()) {
        let place = folder.join(i.to_string());
        std::fs::create_dir(&place).expect("a folder for the scenario");
        broken.extend(super::block_on(replay(scenario, &place, adapt)).broken);
    }
    assert!(broken.is_empty(), "{} scenarios do not hold:\n\n{}", broken.len(), broken.join("\n\n"));
}
