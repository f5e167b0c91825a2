use super::*;

fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, String> {
    let args = ["rae-server"].iter().chain(args);
    let matches = crate::cli::command().try_get_matches_from(args).map_err(|e| e.to_string())?;
    let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Settings::load(&matches, |name| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let s = load(&[], &[]).unwrap();
    assert_eq!((s.host.as_str(), s.port, s.auth), ("127.0.0.1", 8000, AuthMode::Auto));
    assert_eq!(s.request_timeout, Duration::from_secs(30));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = std::env::temp_dir().join(format!("rae-settings-{}.toml", std::process::id()));
    std::fs::write(&file, "port = 1\nhost = \"0.0.0.0\"\nidle_timeout = 2.5\n").unwrap();
    let config = file.to_str().unwrap();
    let s = load(&["--config", config, "--port", "3"], &[("RAE_PORT", "2")]).unwrap();
    assert_eq!((s.port, s.host.as_str(), s.idle_timeout), (3, "0.0.0.0", Duration::from_millis(2500)));
    assert_eq!(load(&[], &[("RAE_CONFIG", config), ("RAE_PORT", "2")]).unwrap().port, 2);
    std::fs::write(&file, "prot = 1\n").unwrap();
    assert!(load(&["--config", config], &[]).unwrap_err().contains("\"prot\""));
    std::fs::write(&file, "port = 1\napi_master_key = \"hush\" x\n").unwrap();
    let error = load(&["--config", config], &[]).unwrap_err();
    assert!(error.contains("line 2") && !error.contains("hush"), "{error}");
    std::fs::remove_file(&file).unwrap();
    assert!(load(&["--config", config], &[]).unwrap_err().contains("cannot be read"));
}

#[test]
fn a_wrong_value_names_where_it_came_from_and_what_it_must_be() {
    for (name, value, wanted) in [
        ("RAE_PORT", "65536", "a port, 0 to 65535"),
        ("RAE_PORT", "http", "a port"),
        ("RAE_AUTH", "none", "auto, header or keys"),
        ("RAE_LOG_LEVEL", "loud", "off, error"),
        ("RAE_LOG_FORMAT", "xml", "text or json"),
        ("RAE_DURABILITY", "some", "full or normal"),
        ("RAE_MAX_BODY_BYTES", "0", "a whole number"),
        ("RAE_MAX_PAGE", "1001", "1000"),
        ("RAE_REQUEST_TIMEOUT", "-1", "seconds"),
        ("RAE_REQUEST_TIMEOUT", "NaN", "seconds"),
        ("RAE_MODEL_UNVERIFIED", "perhaps", "true or false"),
        ("RAE_MODEL_SHA256", "config.json=12", "name=hex"),
        ("RAE_MODEL_SHA256", "/nowhere/SHA256SUMS", "sha256sum"),
    ] {
        let error = load(&[], &[(name, value)]).unwrap_err();
        assert!(error.starts_with(name) && error.contains(wanted) && error.contains(value), "{error}");
    }
    assert!(load(&["--port", "x"], &[]).unwrap_err().starts_with("--port must be"));
}

#[test]
fn an_empty_variable_is_none_but_an_empty_key_is_an_error() {
    assert_eq!(load(&[], &[("RAE_PORT", "")]).unwrap().port, 8000);
    assert!(load(&[], &[("RAE_API_MASTER_KEY", "")]).unwrap_err().contains("set but empty"));
    assert!(load(&[], &[("RAE_API_MASTER_KEY_FILE", "")]).unwrap_err().contains("set but empty"));
    let file = std::env::temp_dir().join(format!("rae-empty-key-{}.toml", std::process::id()));
    std::fs::write(&file, "api_master_key = \" \"\n").unwrap();
    let error = load(&["--config", file.to_str().unwrap()], &[]).unwrap_err();
    std::fs::remove_file(&file).unwrap();
    assert!(error.contains("api_master_key in the settings file is set but empty"), "{error}");
}

#[test]
fn auto_means_keys_once_there_is_a_master_key() {
    let key = ("RAE_API_MASTER_KEY", "a-long-enough-key");
    assert_eq!(load(&[], &[key]).unwrap().auth, AuthMode::Keys);
    assert_eq!(load(&[], &[key, ("RAE_AUTH", "header")]).unwrap().auth, AuthMode::Header);
    assert_eq!(load(&[], &[("RAE_AUTH", "keys")]).unwrap().auth, AuthMode::Keys, "stored keys will do");
    assert!(load(&[], &[("RAE_RATE_LIMIT_WINDOW", "0.5")]).is_err());
}

#[test]
fn secrets_are_not_shown_anywhere() {
    let s = load(&[], &[("RAE_API_MASTER_KEY", "hush-hush-hush"), ("QDRANT_API_KEY", "hush-too")]).unwrap();
    assert!(!format!("{s:?} {:?}", s.shown()).contains("hush"), "{s:?}");
    assert_eq!(s.shown()["api_master_key"], "(set)");
    assert!(load(&["--api-master-key", "x"], &[]).is_err(), "no flag");
}

#[test]
fn the_stores_are_settings_like_the_others() {
    let s = load(
        &["--pghost", "db", "--redis-host", "cache"],
        &[("PGUSER", "ada"), ("PGPASSWORD", "s3cret"), ("REDIS_PASSWORD", "hush")],
    )
    .unwrap();
    assert_eq!((s.postgres.host.as_deref(), s.postgres.port.as_deref()), (Some("db"), Some("5432")));
    assert_eq!(
        (s.postgres.password.as_deref(), s.redis_host.as_deref(), s.redis_port),
        (Some("s3cret"), Some("cache"), 6379)
    );
    let shown = format!("{s:?} {:?}", s.shown());
    assert!(!shown.contains("s3cret") && !shown.contains("hush"), "{shown}");
    assert!(load(&[], &[("PGPORT", "x")]).unwrap_err().starts_with("PGPORT must be a port"));
    assert!(load(&[], &[("DATABASE_URL", "")]).unwrap_err().contains("set but empty"));
    assert!(load(&["--database-url", "x"], &[]).is_err(), "no flag");
    assert!(!load(&[], &[]).unwrap().data_dir_is_given && load(&["--data", "x"], &[]).unwrap().data_dir_is_given);
}

#[test]
fn the_address_of_a_collector_may_hold_no_password() {
    for wrong in ["http://ada:hush@collector:4318", "hush:4318"] {
        let error = load(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", wrong)]).unwrap_err();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT must be") && !error.contains("hush"), "{error}");
    }
}

#[test]
fn a_secret_may_lie_in_a_file_of_its_own_but_not_in_two_places() {
    let file = std::env::temp_dir().join(format!("rae-secret-{}", std::process::id()));
    let path = file.to_str().unwrap();
    std::fs::write(&file, "postgres://ada:s3cret@db/memories\n").unwrap();
    let s = load(&[], &[("DATABASE_URL_FILE", path)]).unwrap();
    assert_eq!(s.database_url.unwrap().reveal(), "postgres://ada:s3cret@db/memories");
    assert!(load(&[], &[("DATABASE_URL_FILE", path), ("DATABASE_URL", "x")]).unwrap_err().contains("both set"));
    std::fs::write(&file, "\n").unwrap();
    assert!(load(&[], &[("RAE_API_MASTER_KEY_FILE", path)]).unwrap_err().contains("set but empty"));
    std::fs::write(&file, "x".repeat(70_000)).unwrap();
    assert!(load(&[], &[("RAE_API_MASTER_KEY_FILE", path)]).unwrap_err().contains("longer than"));
    std::fs::remove_file(&file).unwrap();
    assert!(load(&[], &[("RAE_API_MASTER_KEY_FILE", path)]).unwrap_err().contains("cannot be read"));
}

#[test]
fn the_table_of_the_operations_page_is_that_of_the_code() {
    let page = include_str!("../../../docs/operations.md").replace("\r\n", "\n");
    assert!(page.contains(&markdown()), "put this into docs/operations.md:\n{}", markdown());
}

#[test]
fn an_address_of_a_service_holds_no_password_and_is_not_repeated_when_wrong() {
    let url = |value| load(&[], &[("RAE_ML_URL", value)]);
    assert_eq!(url("http://ml:8001").unwrap().ml_url.unwrap().as_str(), "http://ml:8001/");
    for bad in ["ml:8001", "ftp://ml", "http://u:hush@ml", "http://ml/?key=hush", "hush"] {
        let error = url(bad).unwrap_err();
        assert!(error.starts_with("RAE_ML_URL must be") && !error.contains("hush"), "{error}");
    }
}

#[test]
fn checksums_name_files_inside_the_model_alone() {
    let sum = "AB".repeat(32);
    let load = |value: &str| load(&[], &[("RAE_MODEL_SHA256", value)]);
    let given = load(&format!("config.json={sum}, 1_Pooling/config.json={sum}")).unwrap().model_sha256;
    assert_eq!(given[1], ("1_Pooling/config.json".to_owned(), sum.to_ascii_lowercase()));
    for bad in ["../x", "/etc/passwd", "", "a//b", "a/../b"] {
        assert!(load(&format!("{bad}={sum}")).is_err(), "{bad}");
    }
}

#[test]
fn a_role_has_a_port_of_its_own_unless_one_is_given() {
    assert_eq!(load(&[], &[]).unwrap().with_default_port(8001).port, 8001);
    assert_eq!(load(&[], &[("RAE_PORT", "8000")]).unwrap().with_default_port(8001).port, 8000);
    assert_eq!(load(&["--port", "7"], &[]).unwrap().with_default_port(8001).port, 7);
}

#[test]
fn limits_are_exact_and_none_lifts_what_an_empty_variable_does_not() {
    let costs = |env: &[(&str, &str)]| load(&[], env).unwrap().costs;
    let amounts = |env: &[(&str, &str)]| costs(env).defaults.amounts;
    assert_eq!(amounts(&[]), [Some(10_000_000), Some(100_000_000), None, None]);
    assert_eq!(
        amounts(&[("DEFAULT_DAILY_LIMIT", ""), ("DEFAULT_MONTHLY_LIMIT", "none")])[..2],
        [Some(10_000_000), None]
    );
    assert_eq!(amounts(&[("DEFAULT_DAILY_LIMIT", "999999999.999999")])[0], Some(999_999_999_999_999));
    assert_eq!(costs(&[("BUDGET_WARNING_THRESHOLD", "0.25")]).defaults.warning_threshold.millionths(), 250_000);
    assert!(costs(&[]).tracking && !costs(&[("ENABLE_COST_TRACKING", "false")]).tracking);
    let ceiling = costs(&[("RAE_UNKNOWN_MODEL", "3.00, 15")]).unknown_model;
    assert_eq!(ceiling, rae_core::UnknownModel::Ceiling { input: 3_000_000, output: 15_000_000 });
}

#[test]
fn a_provider_is_there_when_it_has_its_key_or_address_and_shows_neither_key_nor_password() {
    let names = |env: &[(&str, &str)]| -> Vec<String> {
        load(&[], env).unwrap().costs.providers.into_iter().map(|config| config.id).collect()
    };
    assert!(names(&[("RAE_OPENAI_BASE_URL", "http://proxy:1")]).is_empty());
    let all = [
        ("OPENAI_API_KEY", "hush-1"),
        ("ANTHROPIC_API_KEY", "hush-2"),
        ("GOOGLE_API_KEY", "hush-3"),
        ("OPENROUTER_API_KEY", "hush-4"),
        ("OLLAMA_BASE_URL", "http://ollama:11434"),
        ("RAE_VLLM_BASE_URL", "http://vllm:8000"),
    ];
    assert_eq!(names(&all), ["openai", "anthropic", "google", "openrouter", "ollama", "vllm"]);
    let settings = load(&[], &all).unwrap();
    assert!(!format!("{settings:?} {:?}", settings.shown()).contains("hush"));
    let error = load(&[], &[("RAE_OLLAMA_BASE_URL", "http://ada:hush@ollama")]).unwrap_err();
    assert!(error.starts_with("RAE_OLLAMA_BASE_URL must be") && !error.contains("hush"), "{error}");
}
