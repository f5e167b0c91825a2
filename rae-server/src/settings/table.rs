//! The table of settings.

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

const fn secret(name: &'static str, env: &'static str, help: &'static str) -> Spec {
    Spec { name, env, flag: None, default: "", help }
}

/// All settings. Times are in seconds and may have a fraction.
pub const SETTINGS: &[Spec] = &[
    spec("host", "RAE_HOST", "host", "127.0.0.1", "Address to listen on"),
    spec(
        "port",
        "RAE_PORT",
        "port",
        "8000",
        "Port to listen on; 0 takes a free one. The default of ml is 8001, of reranker 8002",
    ),
    spec("data_dir", "RAE_DATA_DIR", "data", "./rae-data", "Folder of the embedded store, made where there is none"),
    spec(
        "durability",
        "RAE_DURABILITY",
        "durability",
        "full",
        "full: on the disk when a write is answered; normal: safe from a crash of the process alone",
    ),
    secret(
        "database_url",
        "DATABASE_URL",
        "PostgreSQL, as postgres://user:password@host:port/database. Without it and pghost: the embedded store",
    ),
    spec(
        "pghost",
        "PGHOST",
        "pghost",
        "",
        "Host of PostgreSQL, where database_url is not set: name, address or folder of the socket",
    ),
    spec("pgport", "PGPORT", "pgport", "5432", "Its port"),
    spec("pguser", "PGUSER", "pguser", "", "Its user; needed with pghost"),
    secret("pgpassword", "PGPASSWORD", "Its password"),
    spec("pgdatabase", "PGDATABASE", "pgdatabase", "", "Its database; else the one of the user's name"),
    spec("pgsslmode", "PGSSLMODE", "pgsslmode", "prefer", "disable, prefer, require, verify-ca or verify-full"),
    spec(
        "pgsslrootcert",
        "PGSSLROOTCERT",
        "pgsslrootcert",
        "",
        "PEM file of the authorities to trust, instead of the built-in list",
    ),
    secret(
        "redis_url",
        "REDIS_URL",
        "Redis, as redis://user:password@host:port/database. Without it and redis_host: a cache in the process",
    ),
    spec("redis_host", "REDIS_HOST", "redis-host", "", "Host of Redis, where redis_url is not set"),
    spec("redis_port", "REDIS_PORT", "redis-port", "6379", "Its port"),
    secret("redis_password", "REDIS_PASSWORD", "Its password"),
    spec(
        "auth",
        "RAE_AUTH",
        "auth",
        "auto",
        "header: X-Tenant-ID alone decides; keys: a key is needed; auto: keys once there is a master key or a stored one, else header",
    ),
    secret(
        "api_master_key",
        "RAE_API_MASTER_KEY",
        "Key of the operator: any tenant, /v1/tenants, /v1/api-keys, /v1/admin and the erasure of a tenant",
    ),
    spec(
        "qdrant_url",
        "QDRANT_URL",
        "qdrant-url",
        "",
        "Qdrant server for the vectors, http://host:6333; without one they are searched in each process",
    ),
    secret("qdrant_api_key", "QDRANT_API_KEY", "Key that the Qdrant server asks for"),
    spec(
        "vector_settle",
        "RAE_VECTOR_SETTLE",
        "vector-settle",
        "60",
        "Time after which a write to Qdrant is no longer under way; what changed is checked once more then",
    ),
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
    spec(
        "otlp_endpoint",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "otlp-endpoint",
        "",
        "Collector of traces, such as http://localhost:4318, for OTLP over HTTP; without it there are no traces",
    ),
    secret("otlp_headers", "OTEL_EXPORTER_OTLP_HEADERS", "Headers for the collector, as name=value,name=value"),
    spec("service_name", "OTEL_SERVICE_NAME", "service-name", "rae-server", "Name of this service in traces"),
    spec(
        "metrics_tenants",
        "RAE_METRICS_TENANTS",
        "metrics-tenants",
        "10",
        "Tenants that /metrics counts by name, 0 to 200: the busiest; the rest together. 0 counts none",
    ),
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
    spec(
        "bulk_timeout",
        "RAE_BULK_TIMEOUT",
        "bulk-timeout",
        "3600",
        "The same for export, import, erasure, audit, maintain, doctor and backup",
    ),
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
        "ml_url",
        "RAE_ML_URL",
        "ml-url",
        "",
        "Where the ml service is, for example http://ml:8001; else texts are embedded in the process",
    ),
    spec(
        "reranker_url",
        "RAE_RERANKER_URL",
        "reranker-url",
        "",
        "Where the reranker service is, for example http://reranker:8002; else hits are reranked in the process",
    ),
    spec(
        "ml_timeout",
        "RAE_ML_TIMEOUT",
        "ml-timeout",
        "10",
        "Longest time of one request to these services; past it, vectors are owed and recall goes by words",
    ),
    spec(
        "ml_start_timeout",
        "RAE_ML_START_TIMEOUT",
        "ml-start-timeout",
        "60",
        "How long a starting server waits for the ml service, whose embedder it must know",
    ),
    spec(
        "embedder",
        "RAE_EMBEDDER",
        "embedder",
        "",
        "Model of a provider that embeds, for example openai:text-embedding-3-small, or @512 behind it for a dimension; in place of ml_url and model_dir",
    ),
    spec(
        "model_dir",
        "RAE_MODEL_DIR",
        "model-dir",
        "",
        "Folder with the model: all-MiniLM-L6-v2 for embedding, a cross-encoder for the role reranker; else the built-in table",
    ),
    spec(
        "rerank_model_dir",
        "RAE_RERANK_MODEL_DIR",
        "rerank-model-dir",
        "",
        "Folder with a cross-encoder with which api and all rerank in the process; else rerank is degraded",
    ),
    spec(
        "model_url",
        "RAE_MODEL_URL",
        "model-url",
        "",
        "Address under which a model's files lie; they are fetched once, when RAE_MODEL_DIR is not set",
    ),
    spec(
        "model_sha256",
        "RAE_MODEL_SHA256",
        "model-sha256",
        "",
        "Files of that model with their SHA-256: name=hex, separated by commas, or the path of a file as sha256sum writes it",
    ),
    spec(
        "model_unverified",
        "RAE_MODEL_UNVERIFIED",
        "model-unverified",
        "false",
        "true: fetch a model without checksums, and trust whoever answers",
    ),
    spec(
        "model_cache",
        "RAE_MODEL_CACHE",
        "model-cache",
        "",
        "Folder for fetched models; else models in the folder for data",
    ),
    spec("model_timeout", "RAE_MODEL_TIMEOUT", "model-timeout", "3600", "Longest time for fetching a model"),
    spec(
        "embed_window",
        "RAE_EMBED_WINDOW",
        "embed-window",
        "0.002",
        "ml: how long a request waits for others that join its batch, when no batch is being computed",
    ),
    spec(
        "embed_queue_texts",
        "RAE_EMBED_QUEUE_TEXTS",
        "embed-queue-texts",
        "8192",
        "ml: texts that wait to be embedded; past it, 503",
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
    spec(
        "worker_port",
        "RAE_WORKER_PORT",
        "worker-port",
        "8003",
        "Port of a worker's metrics and health; 0 takes a free one",
    ),
    spec(
        "worker_concurrency",
        "RAE_WORKER_CONCURRENCY",
        "worker-concurrency",
        "4",
        "Background jobs at once: children of a worker, loops inside of all",
    ),
    spec(
        "worker_max_tasks_per_child",
        "RAE_WORKER_MAX_TASKS_PER_CHILD",
        "worker-max-tasks-per-child",
        "1000",
        "Jobs after which a worker replaces a child by a new process",
    ),
    spec(
        "worker_lease",
        "RAE_WORKER_LEASE",
        "worker-lease",
        "60",
        "After the last sign of life of its worker, a job is taken by another one",
    ),
    spec(
        "worker_retry_delay",
        "RAE_WORKER_RETRY_DELAY",
        "worker-retry-delay",
        "30",
        "Wait before a failed job's second attempt; twice as long before each further one",
    ),
    spec(
        "maintain_every",
        "RAE_MAINTAIN_EVERY",
        "maintain-every",
        "3600",
        "Schedule: housekeeping of each project with memories once in so long; 0 for never",
    ),
];
