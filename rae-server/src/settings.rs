//! Every setting, in one table: its name in the file, its variable, its flag, its default and what it means. The command line, the
//! file, `--help` and the table of docs/operations.md are made from it.

use clap::ArgMatches;
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Name in the settings file.
    pub name: &'static str,
    /// Environment variable.
    pub env: &'static str,
    /// Long flag, without its dashes. Secrets have none: command lines are seen by other users of the machine.
    pub flag: Option<&'static str>,
    /// Default, as one would write it; empty for none.
    pub default: &'static str,
    /// What it means, in one line.
    pub help: &'static str,
}

impl Spec {
    /// Whether its value is never shown.
    pub const fn is_secret(&self) -> bool {
        self.flag.is_none()
    }
}

const fn spec(
    name: &'static str,
    env: &'static str,
    flag: &'static str,
    default: &'static str,
    help: &'static str,
) -> Spec {
    Spec { name, env, flag: Some(flag), default, help }
}

/// Variable that names the settings file, as the flag `--config` does.
pub const CONFIG_ENV: &str = "RAE_CONFIG";

/// What stands where a secret would.
const SHOWN_SECRET: &str = "(set)";

/// All settings. Times are in seconds and may have a fraction.
pub const SETTINGS: &[Spec] = &[
    spec("host", "RAE_HOST", "host", "127.0.0.1", "Address to listen on"),
    spec("port", "RAE_PORT", "port", "8000", "Port to listen on; 0 takes a free one"),
    spec("data_dir", "RAE_DATA_DIR", "data", "./rae-data", "Folder of the embedded store, made where there is none"),
    spec(
        "durability",
        "RAE_DURABILITY",
        "durability",
        "full",
        "full: on the disk when a write is answered; normal: safe from a crash of the process alone",
    ),
    spec(
        "auth",
        "RAE_AUTH",
        "auth",
        "auto",
        "header: X-Tenant-ID alone decides; keys: a key is needed; auto: keys once there is a master key or a stored one, else header",
    ),
    Spec {
        name: "api_master_key",
        env: "RAE_API_MASTER_KEY",
        flag: None,
        default: "",
        help: "Key of the operator: any tenant, /v1/tenants, /v1/api-keys, /v1/admin and the erasure of a tenant. No flag: command lines are public",
    },
    spec(
        "allowed_hosts",
        "RAE_ALLOWED_HOSTS",
        "allowed-hosts",
        "",
        "Host names beside localhost that requests may name while the tenant header is trusted on loopback; separated by commas",
    ),
    spec(
        "jwt_issuer",
        "RAE_JWT_ISSUER",
        "jwt-issuer",
        "",
        "Issuer of tokens that let callers in, as their claim `iss` has it; its keys are found by OpenID discovery",
    ),
    spec(
        "jwt_audience",
        "RAE_JWT_AUDIENCE",
        "jwt-audience",
        "",
        "What their claim `aud` must have; needed with an issuer",
    ),
    spec(
        "jwks_url",
        "RAE_JWKS_URL",
        "jwks-url",
        "",
        "Where the issuer's keys are, instead of discovery: https, or http on this machine",
    ),
    spec("jwt_tenant_claim", "RAE_JWT_TENANT_CLAIM", "jwt-tenant-claim", "tenant", "Claim that names the tenant"),
    spec(
        "jwt_project_claim",
        "RAE_JWT_PROJECT_CLAIM",
        "jwt-project-claim",
        "project",
        "Claim that names the only project, where there is one",
    ),
    spec(
        "jwt_role_claim",
        "RAE_JWT_ROLE_CLAIM",
        "jwt-role-claim",
        "role",
        "Claim with the role, or a list whose strongest role counts",
    ),
    spec(
        "rate_limit",
        "RAE_RATE_LIMIT",
        "rate-limit",
        "0",
        "Requests that each tenant may make in `rate_limit_window`; one more is answered with 429. 0: no limit",
    ),
    spec(
        "rate_limit_window",
        "RAE_RATE_LIMIT_WINDOW",
        "rate-limit-window",
        "60",
        "That window, at least 1. All of it may be used at once, so a short one makes for small bursts",
    ),
    spec("log_level", "RAE_LOG_LEVEL", "log-level", "info", "off, error, warn, info, debug or trace"),
    spec("log_format", "RAE_LOG_FORMAT", "log-format", "text", "text or json, one line an event, on standard error"),
    spec("max_body_bytes", "RAE_MAX_BODY_BYTES", "max-body-bytes", "16777216", "Longest body of a request"),
    spec("max_import_bytes", "RAE_MAX_IMPORT_BYTES", "max-import-bytes", "1073741824", "Longest body of an import"),
    spec(
        "max_batch_items",
        "RAE_MAX_BATCH_ITEMS",
        "max-batch-items",
        "100000",
        "Most items of one batch; the engine takes 100,000",
    ),
    spec("max_page", "RAE_MAX_PAGE", "max-page", "1000", "Largest page of a list; the engine takes 1,000"),
    spec(
        "max_concurrent_requests",
        "RAE_MAX_CONCURRENT_REQUESTS",
        "max-concurrent-requests",
        "256",
        "Calls of the engine at once; one more is answered with 503",
    ),
    spec(
        "max_request_memory_bytes",
        "RAE_MAX_REQUEST_MEMORY_BYTES",
        "max-request-memory-bytes",
        "536870912",
        "Memory for the bodies of all requests together; past it, 503",
    ),
    spec(
        "max_connections",
        "RAE_MAX_CONNECTIONS",
        "max-connections",
        "16384",
        "Open connections; more wait. Lowered where the system allows fewer open files",
    ),
    spec(
        "request_timeout",
        "RAE_REQUEST_TIMEOUT",
        "request-timeout",
        "30",
        "Longest time to read a request's body, and again to answer it",
    ),
    spec("bulk_timeout", "RAE_BULK_TIMEOUT", "bulk-timeout", "3600", "The same for export, import and erasure"),
    spec(
        "header_timeout",
        "RAE_HEADER_TIMEOUT",
        "header-timeout",
        "10",
        "Longest time from the first byte of a request to the end of its headers",
    ),
    spec(
        "idle_timeout",
        "RAE_IDLE_TIMEOUT",
        "idle-timeout",
        "75",
        "Time after which a connection without a request is closed",
    ),
    spec(
        "drain_delay",
        "RAE_DRAIN_DELAY",
        "drain-delay",
        "0",
        "After a signal to stop: time in which new connections are still taken while /health/ready says no",
    ),
    spec(
        "drain_timeout",
        "RAE_DRAIN_TIMEOUT",
        "drain-timeout",
        "30",
        "After that: longest time for the requests that run",
    ),
];

/// How a caller's tenant is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// The header alone decides.
    Header,
    /// A key is needed.
    Keys,
    /// The header, until the store has had a key.
    Auto,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// A secret that does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN_SECRET)
    }
}

/// The settings of a run, checked. The fields are those of [`SETTINGS`].
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the table says what each one means
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub data_dir: PathBuf,
    pub durability: rae_core::Durability,
    pub auth: AuthMode,
    pub api_master_key: Option<Secret>,
    pub allowed_hosts: Vec<String>,
    pub jwt_issuer: Option<String>,
    pub jwt_audience: String,
    pub jwks_url: Option<String>,
    pub jwt_tenant_claim: String,
    pub jwt_project_claim: String,
    pub jwt_role_claim: String,
    pub rate_limit: usize,
    pub rate_limit_window: Duration,
    pub log_level: tracing::metadata::LevelFilter,
    pub log_format: LogFormat,
    pub max_body_bytes: usize,
    pub max_import_bytes: u64,
    pub max_batch_items: usize,
    pub max_page: usize,
    pub max_concurrent_requests: usize,
    pub max_request_memory_bytes: usize,
    pub max_connections: usize,
    pub request_timeout: Duration,
    pub bulk_timeout: Duration,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    raw: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Flags over environment over file over defaults. The error says which setting is wrong, where it came from and what it must be.
    pub fn load(flags: &ArgMatches, env: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let file = match flags.get_one::<String>("config").cloned().or_else(|| env(CONFIG_ENV)) {
            Some(path) if !path.is_empty() => read_file(&path)?,
            _ => BTreeMap::new(),
        };
        let mut raw = BTreeMap::new();
        let mut origin = BTreeMap::new();
        for spec in SETTINGS {
            let flag = spec
                .flag
                .and_then(|f| flags.get_one::<String>(f).cloned())
                .map(|v| (v, format!("--{}", spec.flag.unwrap_or_default())));
            let given = env(spec.env);
            if spec.is_secret() && given.as_deref().is_some_and(|v| v.trim().is_empty()) {
                return Err(format!("{} is set but empty: unset it, or give it a value", spec.env));
            }
            // An empty variable is how many tools say "not set".
            let variable = given.filter(|v| !v.is_empty()).map(|v| (v, spec.env.to_owned()));
            let written = file.get(spec.name).cloned().map(|v| (v, format!("{} in the settings file", spec.name)));
            let found = flag.or(variable).or(written);
            let (value, from) = found.unwrap_or_else(|| (spec.default.to_owned(), spec.name.to_owned()));
            raw.insert(spec.name, value);
            origin.insert(spec.name, from);
        }
        Self::checked(Raw { values: raw, origin })
    }

    fn checked(mut raw: Raw) -> Result<Self, String> {
        let master = Some(raw.text("api_master_key")).filter(|k| !k.is_empty()).map(|k| Secret(k.to_owned()));
        if master.is_some() {
            raw.values.insert("api_master_key", SHOWN_SECRET.to_owned());
        }
        let jwt_issuer = raw.given("jwt_issuer");
        if jwt_issuer.is_some() && raw.text("jwt_audience").is_empty() {
            return Err(
                "RAE_JWT_ISSUER needs RAE_JWT_AUDIENCE: else tokens made for other services would let callers in"
                    .into(),
            );
        }
        for place in ["jwks_url", "jwt_issuer"] {
            let url = raw.given(place).filter(|_| place == "jwks_url" || raw.text("jwks_url").is_empty());
            if let Some(url) = url {
                crate::jwt::check_url(&url)
                    .map_err(|_| raw.wrong(place, "https://..., or http://... on this machine"))?;
            }
        }
        let auth = match (raw.text("auth"), &master) {
            ("header", _) => AuthMode::Header,
            ("keys", _) | ("auto", Some(_)) => AuthMode::Keys,
            ("auto", None) if jwt_issuer.is_some() => AuthMode::Keys,
            ("auto", None) => AuthMode::Auto,
            _ => return Err(raw.wrong("auth", "auto, header or keys")),
        };
        let hosts = raw.text("allowed_hosts").split(',').map(|h| h.trim().to_ascii_lowercase());
        Ok(Self {
            host: Some(raw.text("host"))
                .filter(|h| !h.is_empty())
                .ok_or_else(|| raw.wrong("host", "an address"))?
                .to_owned(),
            port: raw.parse("port", "a port, 0 to 65535")?,
            data_dir: Some(raw.text("data_dir"))
                .filter(|d| !d.is_empty())
                .ok_or_else(|| raw.wrong("data_dir", "a folder"))?
                .into(),
            durability: raw.parse("durability", "full or normal")?,
            auth,
            api_master_key: master,
            allowed_hosts: hosts.filter(|h| !h.is_empty()).collect(),
            jwt_issuer,
            jwt_audience: raw.text("jwt_audience").to_owned(),
            jwks_url: raw.given("jwks_url"),
            jwt_tenant_claim: raw.text("jwt_tenant_claim").to_owned(),
            jwt_project_claim: raw.text("jwt_project_claim").to_owned(),
            jwt_role_claim: raw.text("jwt_role_claim").to_owned(),
            rate_limit: raw.count("rate_limit", 0, 1 << 40)?,
            rate_limit_window: raw.seconds("rate_limit_window", 1.0)?,
            log_level: raw.parse("log_level", "off, error, warn, info, debug or trace")?,
            log_format: match raw.text("log_format") {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(raw.wrong("log_format", "text or json")),
            },
            max_body_bytes: raw.count("max_body_bytes", 1, 1 << 30)?,
            max_import_bytes: raw.count("max_import_bytes", 1, 1 << 50)? as u64,
            max_batch_items: raw.count("max_batch_items", 1, rae_core::limits::BATCH_ITEMS_MAX)?,
            max_page: raw.count("max_page", 1, rae_core::limits::PAGE_MAX)?,
            max_concurrent_requests: raw.count("max_concurrent_requests", 1, 1 << 20)?,
            max_request_memory_bytes: raw.count("max_request_memory_bytes", 1 << 20, 1 << 40)?,
            max_connections: raw.count("max_connections", 1, 1 << 20)?,
            request_timeout: raw.seconds("request_timeout", 0.001)?,
            bulk_timeout: raw.seconds("bulk_timeout", 0.001)?,
            header_timeout: raw.seconds("header_timeout", 0.001)?,
            idle_timeout: raw.seconds("idle_timeout", 0.001)?,
            drain_delay: raw.seconds("drain_delay", 0.0)?,
            drain_timeout: raw.seconds("drain_timeout", 0.0)?,
            raw: raw.values,
        })
    }

    /// Every setting as text; secrets only say whether they are set.
    pub fn shown(&self) -> BTreeMap<&'static str, &str> {
        self.raw.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// Values as text, and where each came from.
struct Raw {
    values: BTreeMap<&'static str, String>,
    origin: BTreeMap<&'static str, String>,
}

impl Raw {
    fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |v| v.trim())
    }

    /// A text that may be absent.
    fn given(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn wrong(&self, name: &str, wanted: &str) -> String {
        let from = self.origin.get(name).map_or(name, String::as_str);
        format!("{from} must be {wanted}, not {:?}", self.text(name))
    }

    fn parse<T: std::str::FromStr>(&self, name: &str, wanted: &str) -> Result<T, String> {
        self.text(name).parse().map_err(|_| self.wrong(name, wanted))
    }

    fn count(&self, name: &str, least: usize, most: usize) -> Result<usize, String> {
        let number = self.text(name).parse().ok().filter(|n| (least..=most).contains(n));
        number.ok_or_else(|| self.wrong(name, &format!("a whole number from {least} to {most}")))
    }

    fn seconds(&self, name: &str, least: f64) -> Result<Duration, String> {
        const MOST: f64 = 7.0 * 86_400.0;
        let number: Option<f64> = self.text(name).parse().ok();
        let number = number.filter(|n| (least..=MOST).contains(n)).map(Duration::from_secs_f64);
        number.ok_or_else(|| self.wrong(name, &format!("a number of seconds from {least} to {MOST}")))
    }
}

fn read_file(path: &str) -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("the settings file {path} cannot be read: {e}"))?;
    // The parser's message quotes the line, which may hold a key: only its place is told.
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(0, |s| text[..s.start.min(text.len())].lines().count().max(1));
        format!("the settings file {path} is not TOML: line {line}: {}", e.message())
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        if !SETTINGS.iter().any(|s| s.name == key) {
            let known: Vec<_> = SETTINGS.iter().map(|s| s.name).collect();
            return Err(format!(
                "{key:?} in the settings file {path} is not a setting; known are: {}",
                known.join(", ")
            ));
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(n) => n.to_string(),
            toml::Value::Float(n) => n.to_string(),
            _ => return Err(format!("{key} in the settings file {path} must be text or a number")),
        };
        values.insert(key, value);
    }
    Ok(values)
}

/// The table of docs/operations.md.
pub fn markdown() -> String {
    let mut table = String::from("| file | environment | flag | default | meaning |\n|---|---|---|---|---|\n");
    for s in SETTINGS {
        let flag = s.flag.map_or_else(|| "none".to_owned(), |f| format!("`--{f}`"));
        let default = if s.default.is_empty() { "none".to_owned() } else { format!("`{}`", s.default) };
        table.push_str(&format!("| `{}` | `{}` | {flag} | {default} | {} |\n", s.name, s.env, s.help));
    }
    table
}

#[cfg(test)]
mod tests {
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
        let s = load(&[], &[("RAE_API_MASTER_KEY", "hush-hush-hush")]).unwrap();
        assert!(!format!("{s:?} {:?}", s.shown()).contains("hush"), "{s:?}");
        assert_eq!(s.shown()["api_master_key"], "(set)");
        assert!(load(&["--api-master-key", "x"], &[]).is_err(), "no flag");
    }

    #[test]
    fn the_table_of_the_operations_page_is_that_of_the_code() {
        let page = include_str!("../../docs/operations.md").replace("\r\n", "\n");
        assert!(page.contains(&markdown()), "put this into docs/operations.md:\n{}", markdown());
    }
}
