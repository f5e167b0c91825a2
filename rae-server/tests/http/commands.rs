//! Roles, exit codes and what is said when something cannot start.

use crate::support::{Folder, Server, command};
use std::process::{Output, Stdio};

fn run(folder: &Folder, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = command(&folder.0);
    let Output { status, stdout, stderr } =
        command.args(args).envs(env.iter().copied()).stdout(Stdio::piped()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_version_and_the_help_are_told() {
    let folder = Folder::new();
    let version = format!("rae-server {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&folder, &["--version"], &[]), (Some(0), version, String::new()));
    let (code, help, _) = run(&folder, &["--help"], &[]);
    assert_eq!(code, Some(0));
    for spec in rae_server::settings::SETTINGS {
        assert!(help.contains(spec.env), "{} is not in --help", spec.env);
    }
    assert!(help.contains("[default: 8000]") && help.contains("openapi") && help.contains("RAE_CONFIG"));
}

#[test]
fn what_is_wrong_at_the_start_is_said_with_an_exit_code() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("bad.toml"), "prot = 8000\n").unwrap();
    std::fs::write(folder.0.join("file"), "not a folder").unwrap();
    for (args, env, code, said) in [
        (vec!["--port", "eight"], vec![], 2, "--port must be a port"),
        (vec!["--prot", "1"], vec![], 2, "--port"),
        (vec!["wurker"], vec![], 2, "wurker"),
        (vec![], vec![("RAE_PORT", "99999")], 2, "RAE_PORT must be a port"),
        (vec![], vec![("RAE_AUTH", "key")], 2, "RAE_AUTH must be auto, header or keys"),
        (vec![], vec![("RAE_API_MASTER_KEY", "")], 2, "set but empty"),
        (vec![], vec![("RAE_CONFIG", "bad.toml")], 2, "\"prot\""),
        (vec!["--config", "none.toml"], vec![], 2, "none.toml"),
        (vec!["--data", "file", "--port", "0"], vec![], 1, "cannot be made"),
        (vec!["--host", "999.1.1.1"], vec![], 1, "cannot listen on 999.1.1.1:8000"),
        (vec!["api", "--port", "0"], vec![], 1, "neither DATABASE_URL nor PGHOST is set"),
        (vec!["migrate"], vec![], 1, "neither DATABASE_URL nor PGHOST is set"),
        (vec![], vec![("PGPASSWORD", "")], 2, "set but empty"),
        (vec!["--port", "0"], vec![("PGHOST", "db")], 1, "PGUSER must name the user"),
        (vec!["api", "--port", "0"], vec![("DATABASE_URL", "mysql://x")], 1, "DATABASE_URL must begin with"),
        (vec!["--port", "0"], vec![("QDRANT_URL", "ftp://localhost:1")], 1, "QDRANT_URL must be"),
    ] {
        let (found, _, error) = run(&folder, &args, &env);
        assert_eq!(found, Some(code), "{args:?} {env:?}: {error}");
        assert!(error.contains(said), "{args:?} {env:?}: {error}");
    }
}

#[test]
fn prices_are_listed_and_found_as_a_call_would_find_them() {
    let folder = Folder::new();
    let (code, table, error) = run(&folder, &["prices"], &[]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&table)[..7], ["provider", "model", "input", "cached", "output", "since", "source"]);
    assert!(table.lines().count() > 50 && table.contains("  input above 200000"), "{table}");
    let (_, table, _) = run(&folder, &["prices", "--model", "gpt-4o-mini-2024-07-18"], &[]);
    let found = words(table.lines().nth(1).unwrap());
    assert_eq!(found[..6], ["openai", "gpt-4o-mini", "0.15", "0.075", "0.60", "2024-07-18"]);
    assert_eq!(table.lines().count(), 2);
    let (_, json, _) = run(&folder, &["prices", "--provider", "google", "--json"], &[]);
    let prices: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert!(!prices.is_empty() && prices.iter().all(|price| price["provider"] == "google"), "{json}");
    let (code, _, error) = run(&folder, &["prices", "--model", "gpt-4o-mini-tts"], &[]);
    assert!(code == Some(1) && error.contains("no price is known for the model gpt-4o-mini-tts"), "{error}");

    let own = r#"{"models": [{"provider": "ollama", "model": "*", "input": "0", "output": "0"}]}"#;
    std::fs::write(folder.0.join("own.json"), own).unwrap();
    let asked = ["prices", "--file", "own.json", "--provider", "ollama", "--model", "qwen3:4b"];
    let (_, table, _) = run(&folder, &asked, &[]);
    assert_eq!(words(table.lines().nth(1).unwrap()), ["ollama", "*", "0.00", "0.00", "your", "file"]);
    std::fs::write(folder.0.join("own.json"), own.replace("\"0\"", "0")).unwrap();
    let (code, _, error) = run(&folder, &asked, &[]);
    assert!(code == Some(1) && error.contains("expected a string"), "{error}");
    let (code, _, error) = run(&folder, &["prices", "--file", "absent.json"], &[]);
    assert!(code == Some(1) && error.contains("absent.json cannot be read"), "{error}");
}

#[test]
fn a_taken_port_is_said_and_no_store_is_made() {
    let server = Server::start();
    let folder = Folder::new();
    let port = server.address.port().to_string();
    let (code, _, error) = run(&folder, &["--port", &port], &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("cannot listen on 127.0.0.1") && error.contains("another --port"), "{error}");
    assert!(!folder.0.join("rae-data").exists());
}

#[test]
fn healthcheck_says_by_its_exit_code_whether_a_server_is_ready() {
    let mut server = Server::start();
    let folder = Folder::new();
    let port = server.address.port().to_string();
    assert_eq!(run(&folder, &["healthcheck", "--port", &port], &[]).0, Some(0));
    assert_eq!(run(&folder, &["healthcheck"], &[("RAE_PORT", &port), ("RAE_HOST", "0.0.0.0")]).0, Some(0));
    assert!(server.stop().success());
    let (code, _, error) = run(&folder, &["healthcheck", "--port", &port], &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no answer from 127.0.0.1"), "{error}");
}

#[test]
fn migrate_makes_the_store_and_ends() {
    let folder = Folder::new();
    for _ in 0..2 {
        let (code, _, log) = run(&folder, &["migrate", "--data", "store"], &[]);
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("up to date"), "{log}");
    }
    assert!(folder.0.join("store/memory.rae").exists());
    let (code, _, error) = {
        std::fs::write(folder.0.join("store/memory.rae"), "this is not a store at all, but long enough to look at")
            .unwrap();
        run(&folder, &["migrate", "--data", "store"], &[])
    };
    assert_eq!(code, Some(1), "{error}");
}

#[test]
fn a_file_configures_the_server_and_its_folder_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::sync::Arc::new(Folder::new());
    std::fs::write(
        folder.0.join("rae.toml"),
        "data_dir = \"elsewhere\"\nmax_page = 7\napi_master_key = \"from-the-file-itself\"\n",
    )
    .unwrap();
    let server = Server::in_folder(std::sync::Arc::clone(&folder), &[("RAE_CONFIG", "rae.toml")]);
    let headers = [("X-Tenant-ID", "t"), ("X-API-Key", "from-the-file-itself")];
    server.send("GET", "/v1/memories?limit=8", &headers, b"").is_error(400, "invalid_input", "invalid_limit");
    assert_eq!(server.send("GET", "/v1/memories", &headers, b"").status, 200);
    let mode = std::fs::metadata(folder.0.join("elsewhere")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
