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
