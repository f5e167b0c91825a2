-- Schema 1 of a RAE store. Times are microseconds since 1970 UTC, ids are 16 bytes, enums are their public names.
-- Small columns come before long ones, so that a filter on them does not read the pages a long text overflows to.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a tenant and project. seq is the head of the change log; the counts by layer are kept here because counting the
-- rows would read every content.
CREATE TABLE scopes (
    sid             INTEGER PRIMARY KEY,
    tenant          TEXT NOT NULL,
    project         TEXT NOT NULL,
    seq             INTEGER NOT NULL DEFAULT 0,
    tombstone_floor INTEGER NOT NULL DEFAULT 0,
    sensory         INTEGER NOT NULL DEFAULT 0,
    working         INTEGER NOT NULL DEFAULT 0,
    episodic        INTEGER NOT NULL DEFAULT 0,
    semantic        INTEGER NOT NULL DEFAULT 0,
    reflective      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, project)
) STRICT;

CREATE TABLE memories (
    rid            INTEGER PRIMARY KEY,
    scope          INTEGER NOT NULL,
    id             BLOB NOT NULL,
    seq            INTEGER NOT NULL,
    seq_in_session INTEGER,
    version        INTEGER NOT NULL,
    witness_count  INTEGER NOT NULL,
    importance     REAL NOT NULL,
    strength       REAL NOT NULL,
    confidence     REAL NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    occurred_at    INTEGER,
    valid_from     INTEGER,
    valid_to       INTEGER,
    expires_at     INTEGER,
    superseded_by  BLOB,
    content_hash   BLOB NOT NULL,
    dedup_key      BLOB,
    layer          TEXT NOT NULL,
    kind           TEXT NOT NULL,
    info_class     TEXT NOT NULL,
    trust_level    TEXT,
    role           TEXT,
    speaker        TEXT,
    session_id     TEXT,
    agent_id       TEXT,
    user_id        TEXT,
    tags           TEXT,
    provenance     TEXT,
    metadata       TEXT,
    content        TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX memories_id ON memories (scope, id);
-- The id makes it covering for reading ids and vectors in the order of changes.
CREATE INDEX memories_seq ON memories (scope, seq, id);
CREATE UNIQUE INDEX memories_dedup ON memories (scope, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX memories_session ON memories (scope, session_id, seq_in_session) WHERE session_id IS NOT NULL;
CREATE INDEX memories_user ON memories (scope, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX memories_expiry ON memories (scope, expires_at, id) WHERE expires_at IS NOT NULL;
-- The two layers with a capacity are trimmed at each write to them; the others pay nothing for these.
CREATE INDEX memories_sensory ON memories (scope, created_at, id) WHERE layer = 'sensory';
CREATE INDEX memories_working ON memories (scope, session_id, created_at, id) WHERE layer = 'working';

-- Older states, as JSON of the whole memory.
CREATE TABLE versions (
    vid         INTEGER PRIMARY KEY,
    memory      INTEGER NOT NULL REFERENCES memories (rid) ON DELETE CASCADE,
    version     INTEGER NOT NULL,
    replaced_at INTEGER,
    state       TEXT NOT NULL,
    UNIQUE (memory, version)
) STRICT;

CREATE TABLE access (
    memory  INTEGER PRIMARY KEY REFERENCES memories (rid) ON DELETE CASCADE,
    count   INTEGER NOT NULL,
    last_at INTEGER
) STRICT;

CREATE TABLE embedders (
    no   INTEGER PRIMARY KEY CHECK (no BETWEEN 0 AND 255),
    name TEXT NOT NULL UNIQUE,
    dim  INTEGER NOT NULL
) STRICT;

-- key = memories.rid * 256 + embedders.no: one tree in the order of writing, without an index beside it.
-- data = little-endian f32.
CREATE TABLE vectors (
    key  INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

-- provenance.derived_from, the other way round.
CREATE TABLE derived (
    scope  INTEGER NOT NULL,
    source BLOB NOT NULL,
    memory INTEGER NOT NULL,
    PRIMARY KEY (scope, source, memory)
) STRICT, WITHOUT ROWID;

-- The last deletion of an id. A row stays when the id is put again, so that a segment built before is still refused.
CREATE TABLE tombstones (
    scope INTEGER NOT NULL,
    id    BLOB NOT NULL,
    seq   INTEGER NOT NULL,
    PRIMARY KEY (scope, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_seq ON tombstones (scope, seq);

-- ids = sorted 16-byte ids, end to end; least and greatest let a deletion skip segments without reading them.
CREATE TABLE segments (
    segment  INTEGER PRIMARY KEY,
    scope    INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    to_seq   INTEGER NOT NULL,
    least    BLOB,
    greatest BLOB,
    ids      BLOB NOT NULL,
    data     BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX segments_range ON segments (scope, from_seq, to_seq);

-- What apply answered: one format byte, then postcard. Ids and numbers only.
CREATE TABLE batches (
    bid     INTEGER PRIMARY KEY,
    scope   INTEGER NOT NULL,
    id      BLOB NOT NULL,
    at      INTEGER NOT NULL,
    applied BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX batches_id ON batches (scope, id);
CREATE INDEX batches_at ON batches (at);

CREATE TABLE idempotency (
    scope     INTEGER NOT NULL,
    verb      TEXT NOT NULL,
    key       TEXT NOT NULL,
    body_hash BLOB NOT NULL,
    memory    BLOB NOT NULL,
    version   INTEGER NOT NULL,
    merged    INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (scope, verb, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_memory ON idempotency (scope, memory);
CREATE INDEX idempotency_at ON idempotency (at);

CREATE TABLE jobs (
    jid         INTEGER PRIMARY KEY,
    scope       INTEGER NOT NULL,
    id          BLOB NOT NULL,
    kind        TEXT NOT NULL,
    payload     TEXT NOT NULL,
    state       TEXT NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    run_at      INTEGER NOT NULL,
    fence       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    last_error  TEXT
) STRICT;
CREATE UNIQUE INDEX jobs_id ON jobs (scope, id);
CREATE INDEX jobs_due ON jobs (scope, state, run_at);

CREATE TABLE audit (
    aid     INTEGER PRIMARY KEY,
    scope   INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    action  TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX audit_scope ON audit (scope);
