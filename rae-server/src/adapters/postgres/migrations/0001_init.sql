-- Schema 1 of a RAE store. Times are microseconds since 1970 UTC, enums are their public names.
--
-- What callers write is bytea, not text: PostgreSQL's text cannot hold U+0000, and bytea compares byte by byte, as the
-- engine does, whatever the collation of the database. JSON is text: serde_json escapes U+0000, and jsonb would refuse it.
--
-- Every row of a tenant names it (tid): that is what row-level security looks at. Memories are named by rid in the side
-- tables, which keeps their keys short.

CREATE TABLE rae.meta (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    store_uuid  uuid NOT NULL,
    receipt_key bytea NOT NULL CHECK (octet_length(receipt_key) = 32),
    created_at  timestamptz NOT NULL DEFAULT now(),
    embedder    integer
);

-- The system's generator fills 122 bits of each of these.
INSERT INTO rae.meta (store_uuid, receipt_key) SELECT gen_random_uuid(),
    sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

CREATE TABLE rae.embedders (
    no   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name bytea NOT NULL UNIQUE,
    dim  integer NOT NULL
);

CREATE TABLE rae.tenants (
    tid  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

-- One row a tenant and project. seq is the head of the change log; a writer holds the row locked until it commits, so that
-- numbers become visible in order. The free space keeps its updates inside one page.
CREATE TABLE rae.scopes (
    sid             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tid             bigint NOT NULL REFERENCES rae.tenants (tid),
    project         text COLLATE "C" NOT NULL,
    seq             bigint NOT NULL DEFAULT 0,
    tombstone_floor bigint NOT NULL DEFAULT 0,
    sensory         bigint NOT NULL DEFAULT 0,
    working         bigint NOT NULL DEFAULT 0,
    episodic        bigint NOT NULL DEFAULT 0,
    semantic        bigint NOT NULL DEFAULT 0,
    reflective      bigint NOT NULL DEFAULT 0,
    UNIQUE (tid, project)
) WITH (fillfactor = 50);

CREATE TABLE rae.memories (
    rid            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tid            bigint NOT NULL,
    scope          bigint NOT NULL,
    id             uuid NOT NULL,
    seq            bigint NOT NULL,
    seq_in_session bigint,
    version        bigint NOT NULL,
    witness_count  bigint NOT NULL,
    importance     double precision NOT NULL,
    strength       double precision NOT NULL,
    confidence     double precision NOT NULL,
    created_at     bigint NOT NULL,
    updated_at     bigint NOT NULL,
    occurred_at    bigint,
    valid_from     bigint,
    valid_to       bigint,
    expires_at     bigint,
    superseded_by  uuid,
    content_hash   bytea NOT NULL,
    dedup_key      bytea,
    layer          text COLLATE "C" NOT NULL,
    kind           text COLLATE "C" NOT NULL,
    info_class     text COLLATE "C" NOT NULL,
    trust_level    text COLLATE "C",
    role           bytea,
    speaker        bytea,
    session_id     bytea,
    agent_id       bytea,
    user_id        bytea,
    tags           text COLLATE "C",
    provenance     text COLLATE "C",
    metadata       text COLLATE "C",
    content        bytea NOT NULL
);
-- Their order matters: of two indexes that seem equally good the planner takes the younger. On an empty table all do, and
-- connections keep the plans they made then until the table is first analysed.
CREATE INDEX memories_seq ON rae.memories (scope, seq);
CREATE UNIQUE INDEX memories_id ON rae.memories (scope, id);
CREATE UNIQUE INDEX memories_dedup ON rae.memories (scope, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX memories_session ON rae.memories (scope, session_id, seq_in_session) WHERE session_id IS NOT NULL;
CREATE INDEX memories_user ON rae.memories (scope, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX memories_expiry ON rae.memories (scope, expires_at, id) WHERE expires_at IS NOT NULL;
-- The two layers with a capacity are trimmed at each write to them; the others pay nothing for these.
CREATE INDEX memories_sensory ON rae.memories (scope, created_at, id) WHERE layer = 'sensory';
CREATE INDEX memories_working ON rae.memories (scope, session_id, created_at, id) WHERE layer = 'working';

-- Older states, as JSON of the whole memory.
CREATE TABLE rae.versions (
    memory      bigint NOT NULL REFERENCES rae.memories (rid) ON DELETE CASCADE,
    tid         bigint NOT NULL,
    version     bigint NOT NULL,
    replaced_at bigint,
    state       text COLLATE "C" NOT NULL,
    PRIMARY KEY (memory, version)
);

CREATE TABLE rae.access (
    memory  bigint PRIMARY KEY REFERENCES rae.memories (rid) ON DELETE CASCADE,
    tid     bigint NOT NULL,
    count   bigint NOT NULL,
    last_at bigint
);

-- data = little-endian f32. Random numbers do not compress: no time is spent on trying.
CREATE TABLE rae.vectors (
    memory   bigint NOT NULL,
    embedder integer NOT NULL,
    tid      bigint NOT NULL,
    data     bytea NOT NULL,
    PRIMARY KEY (memory, embedder)
);
ALTER TABLE rae.vectors ALTER COLUMN data SET STORAGE EXTERNAL;

-- provenance.derived_from, the other way round. A table and not an array with a GIN index: array operators are not
-- leakproof, so under row-level security the planner would not use that index.
CREATE TABLE rae.derived (
    scope  bigint NOT NULL,
    source uuid NOT NULL,
    memory bigint NOT NULL,
    tid    bigint NOT NULL,
    PRIMARY KEY (scope, source, memory)
);
CREATE INDEX derived_memory ON rae.derived (memory);

-- The last deletion of an id. A row stays when the id is put again, so that a segment built before is still refused.
CREATE TABLE rae.tombstones (
    scope bigint NOT NULL,
    id    uuid NOT NULL,
    tid   bigint NOT NULL,
    seq   bigint NOT NULL,
    PRIMARY KEY (scope, id)
);
CREATE INDEX tombstones_seq ON rae.tombstones (scope, seq);

-- least and greatest let a deletion skip segments without reading their members.
CREATE TABLE rae.segments (
    segment  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tid      bigint NOT NULL,
    scope    bigint NOT NULL,
    from_seq bigint NOT NULL,
    to_seq   bigint NOT NULL,
    least    uuid,
    greatest uuid,
    ids      uuid[] NOT NULL,
    data     bytea NOT NULL
);
ALTER TABLE rae.segments ALTER COLUMN ids SET STORAGE EXTERNAL, ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX segments_range ON rae.segments (scope, from_seq, to_seq);

-- What apply answered: one format byte, then postcard. Ids and numbers only.
CREATE TABLE rae.batches (
    scope   bigint NOT NULL,
    id      uuid NOT NULL,
    tid     bigint NOT NULL,
    at      bigint NOT NULL,
    applied bytea NOT NULL,
    PRIMARY KEY (scope, id)
);
CREATE INDEX batches_at ON rae.batches (at);

CREATE TABLE rae.idempotency (
    scope     bigint NOT NULL,
    verb      bytea NOT NULL,
    key       bytea NOT NULL,
    tid       bigint NOT NULL,
    body_hash bytea NOT NULL,
    memory    uuid NOT NULL,
    version   bigint NOT NULL,
    merged    boolean NOT NULL,
    at        bigint NOT NULL
);
CREATE INDEX idempotency_memory ON rae.idempotency (scope, memory);
CREATE INDEX idempotency_at ON rae.idempotency (at);
ALTER TABLE rae.idempotency ADD PRIMARY KEY (scope, verb, key);

CREATE TABLE rae.jobs (
    jid         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tid         bigint NOT NULL,
    scope       bigint NOT NULL,
    id          uuid NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    payload     text COLLATE "C" NOT NULL,
    state       text COLLATE "C" NOT NULL,
    attempts    bigint NOT NULL DEFAULT 0,
    run_at      bigint NOT NULL,
    fence       bigint NOT NULL DEFAULT 0,
    lease_until bigint,
    last_error  bytea
);
CREATE UNIQUE INDEX jobs_id ON rae.jobs (scope, id);
CREATE INDEX jobs_due ON rae.jobs (scope, state, run_at);

CREATE TABLE rae.audit (
    aid     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tid     bigint NOT NULL,
    scope   bigint NOT NULL,
    at      bigint NOT NULL,
    action  bytea NOT NULL,
    details text COLLATE "C" NOT NULL
);
CREATE INDEX audit_scope ON rae.audit (scope, aid);

-- The second wall. Every transaction of the server takes the role rae_app and names its tenant in rae.tenant; without one
-- no row is visible. The sub-select makes it one look-up a statement instead of one a row.
GRANT USAGE ON SCHEMA rae TO rae_app;
GRANT SELECT ON rae.schema_version TO rae_app;
GRANT SELECT, UPDATE (embedder) ON rae.meta TO rae_app;
GRANT SELECT, INSERT ON rae.embedders, rae.tenants TO rae_app;
ALTER TABLE rae.tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rae.tenants TO rae_app USING (name = (SELECT current_setting('rae.tenant', true)));

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['scopes', 'memories', 'versions', 'access', 'vectors', 'derived', 'tombstones',
        'segments', 'batches', 'idempotency', 'jobs', 'audit']
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON rae.%I TO rae_app', name);
        EXECUTE format('ALTER TABLE rae.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON rae.%I TO rae_app USING (tid = '
            '(SELECT t.tid FROM rae.tenants t WHERE t.name = (SELECT current_setting(''rae.tenant'', true))))', name);
    END LOOP;
END
$$;

-- The doors in that wall: what concerns all tenants, as functions that run with the rights of the owner of the schema.
-- None of them shows or takes content.

CREATE FUNCTION rae.all_scopes() RETURNS TABLE (tenant text, project text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.name, s.project FROM rae.scopes s JOIN rae.tenants t ON t.tid = s.tid WHERE s.seq > 0 ORDER BY 1, 2
$$;

-- Forgets all embedders but one, and their vectors. Without another embedder there are no other vectors.
CREATE FUNCTION rae.keep_embedder(keep integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM rae.embedders WHERE no <> keep;
    IF FOUND THEN
        DELETE FROM rae.vectors WHERE embedder <> keep;
    END IF;
END
$$;

-- Housekeeping: keeps the newest tombstones of each scope and raises the floor to the newest one that goes; forgets batch
-- ids and idempotency keys that are due. Scopes are locked in the order of their numbers, as every writer of several does.
CREATE FUNCTION rae.forget_due(due bigint, keep bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one   bigint;
    gone  bigint;
BEGIN
    -- A scope has no more tombstones than changes since its floor.
    FOR one IN SELECT sid FROM rae.scopes WHERE seq - tombstone_floor > keep ORDER BY sid LOOP
        SELECT t.seq INTO gone FROM rae.tombstones t WHERE t.scope = one ORDER BY t.seq DESC OFFSET keep LIMIT 1;
        IF FOUND THEN
            UPDATE rae.scopes SET tombstone_floor = greatest(tombstone_floor, gone) WHERE sid = one;
            DELETE FROM rae.tombstones WHERE scope = one AND seq <= gone;
        END IF;
    END LOOP;
    DELETE FROM rae.batches WHERE at <= due;
    DELETE FROM rae.idempotency WHERE at <= due;
END
$$;

REVOKE ALL ON FUNCTION rae.all_scopes(), rae.keep_embedder(integer), rae.forget_due(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rae.all_scopes(), rae.keep_embedder(integer), rae.forget_due(bigint, bigint) TO rae_app;
