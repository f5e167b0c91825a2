//! Every setting, in one table: its name in the file, its variable, its flag, its default and what it means. The command line, the
//! file, `--help` and the table of docs/operations.md are made from it.

mod costs;
mod raw;
mod table;

use crate::adapters::postgres::PgVariables;
use clap::ArgMatches;
pub use costs::CostSettings;
use rae_core::LifecyclePolicy;
use raw::Raw;
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};
pub use table::{SETTINGS, Spec};

/// After the name of a secret's variable: names a file that holds the value, as containers mount secrets.
const FILE_SUFFIX: &str = "_FILE";
/// Longest value that is read from such a file.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Variable that names the settings file, as the flag `--config` does.
pub const CONFIG_ENV: &str = "RAE_CONFIG";

/// What stands where a secret would.
const SHOWN_SECRET: &str = "(set)";

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
    /// Whether somebody named the folder, rather than leaving it to the default.
    pub data_dir_is_given: bool,
    pub durability: rae_core::Durability,
    pub enrich: rae_core::Enrich,
    pub database_url: Option<Secret>,
    pub postgres: PgVariables,
    pub redis_url: Option<Secret>,
    pub redis_host: Option<String>,
    pub redis_port: u16,
    pub redis_password: Option<Secret>,
    pub auth: AuthMode,
    pub api_master_key: Option<Secret>,
    pub qdrant_url: Option<String>,
    pub qdrant_api_key: Option<Secret>,
    pub vector_settle: Duration,
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
    pub otlp_endpoint: Option<String>,
    pub otlp_headers: Option<Secret>,
    pub service_name: String,
    pub metrics_tenants: usize,
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
    pub ml_url: Option<reqwest::Url>,
    pub reranker_url: Option<reqwest::Url>,
    pub ml_timeout: Duration,
    pub ml_start_timeout: Duration,
    pub embedder: Option<String>,
    pub model_dir: Option<PathBuf>,
    pub rerank_model_dir: Option<PathBuf>,
    pub model_url: Option<reqwest::Url>,
    pub model_sha256: Vec<(String, String)>,
    pub model_unverified: bool,
    pub model_cache: Option<PathBuf>,
    pub model_timeout: Duration,
    pub embed_window: Duration,
    pub embed_queue_texts: usize,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub worker_port: u16,
    pub worker_concurrency: usize,
    pub worker_max_tasks_per_child: usize,
    pub worker_lease: Duration,
    pub worker_retry_delay: Duration,
    pub maintain_every: Duration,
    /// How often the stored sets of questions of a project are run; zero for never.
    pub evaluate_every: Duration,
    pub lifecycle: LifecyclePolicy,
    pub reflect_every: Duration,
    pub reflect_after: u64,
    pub model: Option<String>,
    pub default_model: Option<String>,
    pub gateway_memory: bool,
    pub response_cache: bool,
    pub response_cache_ttl: Duration,
    pub response_cache_near: Option<f64>,
    pub costs: CostSettings,
    port_is_default: bool,
    raw: BTreeMap<&'static str, String>,
}

impl Settings {
    /// The same with the default port of a role, where none is given.
    pub fn with_default_port(mut self, port: u16) -> Self {
        if self.port_is_default {
            self.port = port;
            self.raw.insert("port", port.to_string());
        }
        self
    }

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
            let given = if spec.is_secret() { secret_of(spec, &env)? } else { env(spec.env) };
            // An empty variable is how many tools say "not set"; of a secret it is a mistake.
            let variable = given.filter(|v| spec.is_secret() || !v.is_empty()).map(|v| (v, spec.env.to_owned()));
            let written = file.get(spec.name).cloned().map(|v| (v, format!("{} in the settings file", spec.name)));
            let found = flag.or(variable).or(written);
            // A key that a template left empty must not open the door.
            if let Some((_, from)) = found.as_ref().filter(|(v, _)| spec.is_secret() && v.trim().is_empty()) {
                return Err(format!("{from} is set but empty: unset it, or give it a value"));
            }
            let (value, from) = found.unwrap_or_else(|| (spec.default.to_owned(), spec.name.to_owned()));
            raw.insert(spec.name, value);
            origin.insert(spec.name, from);
        }
        Self::checked(Raw { values: raw, origin })
    }

    fn checked(raw: Raw) -> Result<Self, String> {
        let master = raw.secret("api_master_key");
        let jwt_issuer = raw.optional("jwt_issuer");
        if jwt_issuer.is_some() && raw.text("jwt_audience").is_empty() {
            return Err(
                "RAE_JWT_ISSUER needs RAE_JWT_AUDIENCE: else tokens made for other services would let callers in"
                    .into(),
            );
        }
        let half =
            ["jwks_url", "jwt_audience"].into_iter().find(|name| raw.is_given(name) && !raw.text(name).is_empty());
        if let Some(name) = half.filter(|_| jwt_issuer.is_none()) {
            return Err(format!("{} is set, but RAE_JWT_ISSUER is not: without it no token is taken", raw.from(name)));
        }
        for place in ["jwks_url", "jwt_issuer"] {
            let url = raw.optional(place).filter(|_| place == "jwks_url" || raw.text("jwks_url").is_empty());
            if let Some(url) = url {
                crate::jwt::check_url(&url).map_err(|wanted| raw.unfit(place, wanted))?;
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
            data_dir_is_given: raw.is_given("data_dir"),
            durability: raw.parse("durability", "full or normal")?,
            enrich: raw.parse("enrich", "off, rules or model")?,
            database_url: raw.secret("database_url"),
            postgres: PgVariables {
                host: raw.optional("pghost"),
                port: Some(raw.parse::<u16>("pgport", "a port, 1 to 65535")?.to_string()),
                user: raw.optional("pguser"),
                password: raw.secret("pgpassword").map(|password| password.0),
                database: raw.optional("pgdatabase"),
                sslmode: raw.optional("pgsslmode"),
                sslrootcert: raw.optional("pgsslrootcert"),
            },
            redis_url: raw.secret("redis_url"),
            redis_host: raw.optional("redis_host"),
            redis_port: raw.parse("redis_port", "a port, 1 to 65535")?,
            redis_password: raw.secret("redis_password"),
            auth,
            api_master_key: master,
            qdrant_url: raw.optional("qdrant_url"),
            qdrant_api_key: raw.secret("qdrant_api_key"),
            vector_settle: raw.seconds("vector_settle", 1.0)?,
            allowed_hosts: hosts.filter(|h| !h.is_empty()).collect(),
            jwt_issuer,
            jwt_audience: raw.text("jwt_audience").to_owned(),
            jwks_url: raw.optional("jwks_url"),
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
            otlp_endpoint: raw.url("otlp_endpoint")?.map(String::from),
            otlp_headers: raw.secret("otlp_headers"),
            service_name: raw.text("service_name").to_owned(),
            metrics_tenants: raw.count("metrics_tenants", 0, crate::metrics::tenants::NAMED_MAX)?,
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
            ml_url: raw.url("ml_url")?,
            reranker_url: raw.url("reranker_url")?,
            ml_timeout: raw.seconds("ml_timeout", 0.001)?,
            ml_start_timeout: raw.seconds("ml_start_timeout", 0.0)?,
            embedder: raw.optional("embedder"),
            model_dir: raw.path("model_dir"),
            rerank_model_dir: raw.path("rerank_model_dir"),
            model_url: raw.url("model_url")?,
            model_sha256: raw.checksums("model_sha256")?,
            model_unverified: raw.parse("model_unverified", "true or false")?,
            model_cache: raw.path("model_cache"),
            model_timeout: raw.seconds("model_timeout", 0.001)?,
            embed_window: raw.seconds("embed_window", 0.0)?,
            embed_queue_texts: raw.count("embed_queue_texts", 1, 1 << 24)?,
            drain_delay: raw.seconds("drain_delay", 0.0)?,
            drain_timeout: raw.seconds("drain_timeout", 0.0)?,
            worker_port: raw.parse("worker_port", "a port, 0 to 65535")?,
            worker_concurrency: raw.count("worker_concurrency", 1, 256)?,
            worker_max_tasks_per_child: raw.count("worker_max_tasks_per_child", 1, 1 << 30)?,
            worker_lease: raw.seconds("worker_lease", 1.0)?,
            worker_retry_delay: raw.seconds("worker_retry_delay", 0.001)?,
            maintain_every: raw.seconds("maintain_every", 0.0)?,
            evaluate_every: raw.seconds("evaluate_every", 0.0)?,
            lifecycle: raw.lifecycle()?,
            reflect_every: raw.seconds("reflect_every", 0.0)?,
            reflect_after: raw.count("reflect_after", 0, 1 << 40)? as u64,
            model: raw.optional("model"),
            default_model: raw.optional("default_model"),
            gateway_memory: raw.switch("gateway_memory")?,
            response_cache: raw.switch("response_cache")?,
            response_cache_ttl: raw.seconds("response_cache_ttl", 1.0)?,
            response_cache_near: raw.nearness("response_cache_near")?,
            costs: CostSettings::from_raw(&raw)?,
            port_is_default: !raw.is_given("port"),
            raw: raw.masked(),
        })
    }

    /// Every setting as text; secrets only say whether they are set.
    pub fn shown(&self) -> BTreeMap<&'static str, &str> {
        self.raw.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// The value of a secret's variable, or of the file that the variable with `_FILE` after its name names. Errors never repeat what
/// is in there.
fn secret_of(spec: &Spec, env: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    use std::io::Read;
    let (given, name) = (env(spec.env), format!("{}{FILE_SUFFIX}", spec.env));
    let Some(path) = env(&name) else { return Ok(given) };
    if path.is_empty() {
        return Err(format!("{name} is set but empty: unset it, or name a file"));
    }
    if given.is_some() {
        return Err(format!("{} and {name} are both set: unset one of them", spec.env));
    }
    let unreadable = |e: std::io::Error| format!("the file {path} that {name} names cannot be read: {e}");
    let mut text = String::new();
    let file = std::fs::File::open(&path).map_err(unreadable)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("the file {path} that {name} names is longer than {SECRET_BYTES_MAX} bytes"));
    }
    Ok(Some(text))
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
            toml::Value::Boolean(yes) => yes.to_string(),
            _ => return Err(format!("{key} in the settings file {path} must be text, a number, true or false")),
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
mod tests;
