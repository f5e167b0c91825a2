//! The scenarios hold on every embedded store. `RAE_SCENARIOS_RECORD=1` writes their answers into the files instead: read every
//! line of the difference before you keep it. With RAE_SCENARIO_TRANSCRIPTS the answers go to `rust.json` in that folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

use rae_core::{
    Builder, ErrorKind, block_on,
    conformance::scenario::{self, Adapt, Replayed, Scenario},
    embedded::{
        memory::ReferenceStore,
        vector::{MemoryVectors, VectorsConfig},
    },
    ports::{Clock, ManualClock, VectorFeed},
    wire,
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Kinds that no scenario can show, and why.
const NOT_SHOWN: [(ErrorKind, &str); 5] = [
    (ErrorKind::Unauthenticated, "there are no credentials in an embedded store"),
    (ErrorKind::PermissionDenied, "files whose permissions bind depend on who runs the tests: root may do anything"),
    (ErrorKind::RateLimited, "there are no limits of rate in an embedded store"),
    (ErrorKind::Cancelled, "each language gives up in its own way; its own tests do"),
    (ErrorKind::Internal, "a fault of the engine cannot be provoked from outside"),
];

fn folder_of_the_files() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/conformance/scenarios")
}

/// Replays one scenario in a folder of its own.
fn run(scenario: &Scenario, adapt: &Adapt<'_>) -> Replayed {
    let folder = tempfile::tempdir().unwrap();
    block_on(scenario::replay(scenario, folder.path(), adapt))
}

fn in_memory(builder: Builder, _: &Arc<ManualClock>) -> Builder {
    builder
}

fn assert_none_broken(replayed: impl Iterator<Item = Replayed>) {
    let broken: Vec<String> = replayed.filter_map(|r| r.broken).collect();
    assert!(broken.is_empty(), "{} scenarios do not hold:\n\n{}", broken.len(), broken.join("\n\n"));
}

#[test]
fn every_scenario_holds_on_sqlite_in_memory() {
    if env::var_os("RAE_SCENARIOS_RECORD").is_some() {
        return record();
    }
    let scenarios = scenario::all();
    let replayed: Vec<Replayed> = scenarios.iter().map(|s| run(s, &in_memory)).collect();
    if let Some(folder) = env::var_os("RAE_SCENARIO_TRANSCRIPTS") {
        let entry = |(s, r): (&Scenario, &Replayed)| json!({ "rule": s.rule, "results": r.results });
        let transcript: Value = scenarios.iter().zip(&replayed).map(entry).collect();
        fs::write(PathBuf::from(folder).join("rust.json"), transcript.to_string()).unwrap();
    }
    assert_none_broken(replayed.into_iter());
}

#[test]
fn every_scenario_holds_on_sqlite_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let number = AtomicUsize::new(0);
    let on_disk = |builder: Builder, _: &Arc<ManualClock>| {
        builder.path(folder.path().join(format!("{}.rae", number.fetch_add(1, Ordering::Relaxed))))
    };
    assert_none_broken(scenario::all().iter().map(|s| run(s, &on_disk)));
}

#[test]
fn every_scenario_holds_on_the_reference_store() {
    let folder = tempfile::tempdir().unwrap();
    scenario::replay_all(folder.path(), &|builder, clock| {
        builder.relational(Arc::new(ReferenceStore::new(Arc::clone(clock) as Arc<dyn Clock>)))
    });
}

#[test]
fn every_scenario_holds_with_vectors_that_the_outbox_feeds() {
    let folder = tempfile::tempdir().unwrap();
    scenario::replay_all(folder.path(), &|builder, _| {
        let config = VectorsConfig { feed: VectorFeed::Outbox, ..VectorsConfig::default() };
        builder.vectors(Arc::new(MemoryVectors::new(config)))
    });
}

#[test]
fn every_file_of_scenarios_is_replayed() {
    let there: BTreeSet<String> =
        fs::read_dir(folder_of_the_files()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let known: BTreeSet<String> = scenario::FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there, known, "FILES of scenario.rs names what is in the folder");
}

#[test]
fn every_verb_is_shown_with_an_answer() {
    let scenarios = scenario::all();
    let shown: BTreeSet<&str> = scenarios.iter().flat_map(|s| s.shows().0).collect();
    // Those that ask a model need a provider: the tests of each language have one.
    // A dead letter is a job that failed for hours; `facts_model.rs` and `reflection_model.rs` requeue one.
    let models = |verb: &&&str| !["llm", "llm_estimate", "requeue_job"].contains(*verb);
    for verb in wire::VERBS.iter().chain(&["reembed", "close"]).filter(models) {
        assert!(shown.contains(verb), "no scenario calls {verb} with an answer");
    }
}

#[test]
fn every_kind_of_error_is_shown_or_says_why_not() {
    let scenarios = scenario::all();
    let shown: BTreeSet<&str> = scenarios.iter().flat_map(|s| s.shows().1).collect();
    for row in ErrorKind::TABLE {
        let excused = NOT_SHOWN.iter().any(|(kind, _)| *kind == row.kind);
        assert_ne!(shown.contains(row.name), excused, "{} must be shown, or be in NOT_SHOWN, and not both", row.name);
    }
}

#[test]
fn rules_are_sentences_and_no_two_are_the_same() {
    let mut seen = BTreeSet::new();
    for scenario in scenario::all() {
        assert!(scenario.rule.len() > 10 && scenario.rule.ends_with('.'), "{:?} is no sentence", scenario.rule);
        assert!(seen.insert(scenario.rule.clone()), "two scenarios have the rule {:?}", scenario.rule);
        for step in &scenario.steps {
            let says = usize::from(step.contains_key("returns")) + usize::from(step.contains_key("error"));
            assert!(says == 1 || !step.contains_key("call"), "{}: a call returns or fails: {step:?}", scenario.rule);
        }
    }
    assert!(seen.len() >= 60, "{} scenarios are too few to be all of them", seen.len());
}

/// Writes the answers of SQLite in memory into the files. What was written by hand stays: errors, and `{"$any": ...}`.
fn record() {
    assert_ne!(env::var("CI").as_deref(), Ok("true"), "expectations are recorded and read by a person, never in CI");
    let mut wrong = Vec::new();
    for (name, text) in scenario::FILES {
        let path = folder_of_the_files().join(name);
        // Not the text that was compiled in: the file may be newer.
        let text = fs::read_to_string(&path).unwrap_or_else(|_| (*text).to_owned());
        let mut scenarios: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (scenario, value) in scenario::read(name, &text).iter().zip(&mut scenarios) {
            let replayed = run(scenario, &in_memory);
            for (i, recorded) in replayed.recorded.into_iter().enumerate() {
                let problem = record_step(&mut value["steps"][i], recorded);
                wrong.extend(problem.map(|p| format!("{name}: {}\n  step {i}: {p}", scenario.rule)));
            }
        }
        fs::write(&path, pretty(&Value::Array(scenarios))).unwrap();
    }
    println!("recorded; read the difference");
    assert!(wrong.is_empty(), "errors are written by hand, and these are not as written:\n{}", wrong.join("\n"));
}

/// Puts an answer into its step; what is wrong with an error is said instead.
fn record_step(step: &mut Value, recorded: Value) -> Option<String> {
    let map = step.as_object_mut().unwrap();
    let failed = recorded.as_object().is_some_and(|m| m.len() == 1 && m.contains_key("error"));
    let expected = map.get("error").map(|error| json!({ "error": error }));
    if failed || expected.is_some() {
        return (expected.as_ref() != Some(&recorded))
            .then(|| format!("{} gave {recorded}", Value::Object(map.clone())));
    }
    if map.contains_key("call") {
        map.insert("returns".to_owned(), recorded);
    }
    None
}

/// Keys of scenarios and steps, as a reader wants them.
const ORDER: [&str; 21] = [
    "rule",
    "open",
    "call",
    "scope",
    "advance",
    "close",
    "write_file",
    "copy_file",
    "embedder",
    "on",
    "of",
    "tenant",
    "project",
    "options",
    "args",
    "text",
    "to",
    "save",
    "steps",
    "returns",
    "error",
];

const WIDTH: usize = 118;

fn pretty(scenarios: &Value) -> String {
    let mut out = String::new();
    write(scenarios, 0, 0, &mut out);
    out + "\n"
}

/// On one line where it fits; else one member a line, or as many as fit where the members are small.
fn write(value: &Value, indent: usize, depth: usize, out: &mut String) {
    let line = flat(value, depth);
    let is_frame = matches!(depth, 0 | 1) || (depth == 2 && value.is_array());
    if (!is_frame && indent + line.len() <= WIDTH) || !(value.is_array() || value.is_object()) {
        return out.push_str(&line);
    }
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    let parts: Vec<(String, &Value)> = match value {
        Value::Array(items) => items.iter().map(|v| (String::new(), v)).collect(),
        Value::Object(map) => keys(map, depth).into_iter().map(|k| (format!("{}: ", json!(k)), &map[k])).collect(),
        _ => Vec::new(),
    };
    let inner = indent + 2;
    let pad = " ".repeat(inner);
    out.push(open);
    let mut column = usize::MAX;
    for (i, (key, part)) in parts.iter().enumerate() {
        let text = flat(part, depth + 1);
        let width = key.len() + text.len() + 1;
        let small = depth > 2 && inner + width <= WIDTH;
        if small && column.saturating_add(width + 1) <= WIDTH {
            out.push(' ');
        } else {
            out.push('\n');
            out.push_str(&pad);
            column = inner;
        }
        out.push_str(key);
        write(part, inner, depth + 1, out);
        column = if small { column + width + 1 } else { usize::MAX };
        if i + 1 < parts.len() {
            out.push(',');
        }
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push(close);
}

fn keys(map: &Map<String, Value>, depth: usize) -> Vec<&String> {
    let mut keys: Vec<&String> = map.keys().collect();
    if matches!(depth, 1 | 3) {
        keys.sort_by_key(|key| ORDER.iter().position(|known| known == key));
    }
    keys
}

fn flat(value: &Value, depth: usize) -> String {
    match value {
        Value::Object(map) => {
            let part = |key: &String| format!("{}: {}", json!(key), flat(&map[key], depth + 1));
            format!("{{{}}}", keys(map, depth).into_iter().map(part).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|v| flat(v, depth + 1)).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
