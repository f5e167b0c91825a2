//! The house rules that a machine can check: import directions, sizes, what may not stand in shipped code (ARCHITECTURE.md).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

use std::{
    fs,
    path::{Path, PathBuf},
};

const FILE_LINES_MAX: usize = 620;
const FUNCTION_LINES_MAX: usize = 80;

/// Who may import whom inside rae-core: a folder or file, and what it may name behind `crate::`.
const IMPORTS: &[(&str, &[&str])] = &[
    ("error.rs", &[]),
    ("limits.rs", &[]),
    ("model", &["error", "limits", "model", "ErrorKind", "Error", "Result"]),
    ("ctx.rs", &["error", "model"]),
    ("ports", &["error", "ctx", "model", "ports", "limits", "Result", "Error"]),
    ("lexical", &["error", "model", "limits", "lexical", "Error", "ErrorKind", "Result"]),
    ("ingest", &["error", "model", "limits", "ingest", "Error", "ErrorKind", "Result"]),
    ("audit", &["error", "model", "limits", "facts", "audit"]),
    ("eval", &["error", "model", "limits", "eval"]),
    ("facts", &["error", "model", "limits", "extract", "facts"]),
    ("lifecycle", &["error", "limits", "model", "lifecycle"]),
    ("extract", &["error", "limits", "lexical", "extract"]),
    ("reflect", &["error", "model", "limits", "lexical", "reflect"]),
    ("graph", &["error", "limits", "model", "lexical", "extract", "graph"]),
    ("cost", &["error", "ctx", "limits", "model", "ports", "deps", "cost"]),
    ("retrieve", &["error", "model", "limits", "lexical", "retrieve", "ports", "Result", "Error"]),
    (
        "guard",
        &[
            "error",
            "ctx",
            "model",
            "ports",
            "limits",
            "guard",
            "conformance",
            "embedded",
            "Ctx",
            "Error",
            "ErrorKind",
            "Result",
        ],
    ),
    (
        "embedded",
        &["error", "ctx", "model", "ports", "limits", "embedded", "conformance", "Ctx", "Error", "ErrorKind", "Result"],
    ),
    (
        "providers",
        &[
            "error",
            "ctx",
            "http",
            "model",
            "ports",
            "limits",
            "providers",
            "conformance",
            "Ctx",
            "Error",
            "ErrorKind",
            "Result",
        ],
    ),
    (
        "remote",
        &[
            "error",
            "eval",
            "graph",
            "http",
            "ingest",
            "limits",
            "model",
            "ops",
            "ports",
            "remote",
            "wire",
            "Embedding",
            "Error",
            "ErrorKind",
            "MemoryId",
            "Rae",
            "Result",
            "block_on",
        ],
    ),
    (
        "wire",
        &[
            "cost",
            "error",
            "eval",
            "ingest",
            "limits",
            "model",
            "ops",
            "ports",
            "providers",
            "remote",
            "wire",
            "Error",
            "ErrorKind",
            "MemoryId",
            "Rae",
            "Result",
            "block_on",
        ],
    ),
];

fn sources() -> Vec<(String, PathBuf)> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let name = |p: &PathBuf| p.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    paths.into_iter().map(|p| (name(&p), p)).collect()
}

/// The file without its unit tests and without comments.
fn shipped(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
    text.lines().map(|l| if l.trim_start().starts_with("//") { "" } else { l }).collect::<Vec<_>>().join("\n")
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/") || name.starts_with("conformance/")
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (name, path) in sources() {
        let Some((_, allowed)) =
            IMPORTS.iter().find(|(place, _)| name == *place || name.starts_with(&format!("{place}/")))
        else {
            continue;
        };
        if is_test_file(&name) {
            continue;
        }
        let text = shipped(&path);
        for (at, _) in text.match_indices("crate::") {
            let rest = &text[at + 7..];
            let named: Vec<&str> = if let Some(list) = rest.strip_prefix('{') {
                top_level_names(list)
            } else {
                vec![rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()]
            };
            wrong.extend(
                named
                    .into_iter()
                    .filter(|n| !n.is_empty() && !allowed.contains(n))
                    .map(|n| format!("{name} imports crate::{n}")),
            );
        }
    }
    assert!(wrong.is_empty(), "import directions of ARCHITECTURE.md are broken:\n{}", wrong.join("\n"));
}

/// First segments of a `use crate::{...}` list.
fn top_level_names(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (i, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(&list[start..i]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(&list[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    names.into_iter().map(|n| n.trim().split("::").next().unwrap_or_default().trim()).collect()
}

#[test]
fn sql_and_backends_stay_in_their_rooms() {
    for (name, path) in sources() {
        let text = shipped(&path);
        if !name.starts_with("embedded/sqlite") && text.contains("rusqlite") {
            panic!("{name} names rusqlite; only embedded/sqlite may");
        }
        if (name.starts_with("ops/") || name.starts_with("jobs/")) && text.contains("embedded::") {
            panic!("{name} names a backend; only builder.rs may");
        }
        for foreign in ["tokio::", "axum::", "tonic::"] {
            // The client of a server has a runtime of its own, and so have calls of models; the files are private, so that no type of
            // Tokio is anybody else's.
            let rooms = ["remote/transport.rs", "remote/chats.rs", "http/reactor.rs"];
            let own = foreign == "tokio::" && rooms.contains(&name.as_str());
            assert!(own || !text.contains(foreign), "{name} names {foreign}: rae-core runs on any executor");
        }
    }
}

#[test]
fn pure_code_reads_no_clock_and_does_no_io() {
    for (name, path) in sources() {
        let pure = [
            "lexical/",
            "ingest/",
            "audit/",
            "eval/",
            "extract/",
            "facts/",
            "graph/",
            "lifecycle/",
            "reflect/",
            "retrieve/",
            "model/",
            "cost/prices",
        ];
        if pure.iter().any(|p| name.starts_with(p)) && !is_test_file(&name) {
            let text = shipped(&path);
            for word in ["SystemTime", "Instant::now", "std::fs", "std::net", "async fn", "File::"] {
                assert!(!text.contains(word), "{name} holds {word}, but this part of the engine is pure");
            }
        }
    }
}

#[test]
fn files_and_functions_are_small_rooms() {
    let mut wrong = Vec::new();
    for (name, path) in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            wrong.push(format!("{name} has {} lines (most {FILE_LINES_MAX})", lines.len()));
        }
        let mut open: Option<(usize, usize)> = None;
        for (i, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let starts = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "async fn ",
                "pub async fn ",
                "pub(crate) async fn ",
            ];
            if starts.iter().any(|s| code.starts_with(s)) && !code.ends_with(';') {
                open = Some((i, indent));
            }
            if let Some((from, at)) = open
                && indent == at
                && code.starts_with('}')
            {
                if i - from > FUNCTION_LINES_MAX {
                    wrong.push(format!(
                        "{name}:{} is a function of {} lines (most {FUNCTION_LINES_MAX})",
                        from + 1,
                        i - from
                    ));
                }
                open = None;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_unfinished_marks_in_shipped_code() {
    for (name, path) in sources() {
        let text = fs::read_to_string(&path).unwrap();
        for mark in [
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("XX", "X"),
            concat!("todo", "!("),
            concat!("#[ign", "ore"),
        ] {
            assert!(!text.contains(mark), "{name} holds {mark}");
        }
    }
}

#[test]
fn every_relative_link_in_the_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut documents: Vec<PathBuf> = Vec::new();
    for folder in [
        "",
        "docs",
        "docs/adr",
        "docs/concepts",
        "examples/data",
        "examples/node",
        "rae-node",
        "helm",
        "rae-core/assets",
    ] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        documents.extend(entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    assert!(documents.len() > 5, "the documents were not found");
    let mut wrong = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !document.parent().unwrap().join(target).exists() {
                wrong.push(format!("{} links to {target}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
