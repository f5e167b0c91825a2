-- Tenants that were registered, and the keys that let callers in.

CREATE TABLE tenants (
    name       TEXT PRIMARY KEY,
    label      TEXT,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- hash = keyed hash of the secret; the secret is nowhere. That there has been a key is noted in meta ('keyed'), for ever.
CREATE TABLE api_keys (
    id         BLOB PRIMARY KEY,
    tenant     TEXT NOT NULL,
    project    TEXT,
    role       TEXT NOT NULL,
    label      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    hash       BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_tenant ON api_keys (tenant, id);

-- Jobs of all projects: turns of the tenants, and work that comes again.

CREATE INDEX jobs_state ON jobs (state, run_at);
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE lease_until IS NOT NULL;

-- The number of the last lease that each tenant got: the smallest is served next.
CREATE TABLE job_turns (
    tenant TEXT PRIMARY KEY,
    served INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When the period of a scheduled kind of job is over.
CREATE TABLE schedules (
    scope  INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (scope, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX schedules_due ON schedules (kind, due_at);
