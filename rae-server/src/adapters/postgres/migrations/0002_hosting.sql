-- Tenants that were registered, and the keys that let callers in.

-- A tenant has a row since it first wrote; it is registered when it has a time. Callers' texts are bytea.
ALTER TABLE rae.tenants ADD COLUMN label bytea, ADD COLUMN created_at bigint;
GRANT UPDATE (label, created_at) ON rae.tenants TO rae_app;

-- Set by the first key, for ever: no server of this store trusts the tenant header by default again.
ALTER TABLE rae.meta ADD COLUMN keyed boolean NOT NULL DEFAULT false;
GRANT UPDATE (keyed) ON rae.meta TO rae_app;

-- hash = keyed hash of the secret; the secret is nowhere.
CREATE TABLE rae.api_keys (
    id         uuid PRIMARY KEY,
    tid        bigint NOT NULL REFERENCES rae.tenants (tid),
    project    text COLLATE "C",
    role       text COLLATE "C" NOT NULL,
    label      bytea NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    hash       bytea NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE INDEX api_keys_tenant ON rae.api_keys (tid, id);
GRANT SELECT, INSERT, UPDATE (revoked_at), DELETE ON rae.api_keys TO rae_app;
ALTER TABLE rae.api_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rae.api_keys TO rae_app USING (tid =
    (SELECT t.tid FROM rae.tenants t WHERE t.name = (SELECT current_setting('rae.tenant', true))));

-- Two more doors in the wall. Neither shows content.

-- Who shows a key has not said for which tenant: exactly one key, by an id that only its holder and the operator know.
CREATE FUNCTION rae.find_key(wanted uuid) RETURNS TABLE (id uuid, tenant text, project text, role text, label bytea,
    created_at bigint, expires_at bigint, revoked_at bigint, hash bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.id, t.name, k.project, k.role, k.label, k.created_at, k.expires_at, k.revoked_at, k.hash
    FROM rae.api_keys k JOIN rae.tenants t ON t.tid = k.tid WHERE k.id = wanted
$$;

-- A page of the tenants that are registered or have live memories, by name.
CREATE FUNCTION rae.list_tenants(after text, many bigint) RETURNS TABLE (name text, label bytea, created_at bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.name, t.label, t.created_at FROM rae.tenants t
    WHERE (after IS NULL OR t.name > after) AND (t.created_at IS NOT NULL OR EXISTS (SELECT 1 FROM rae.scopes s
        WHERE s.tid = t.tid AND s.sensory + s.working + s.episodic + s.semantic + s.reflective > 0))
    ORDER BY t.name LIMIT many
$$;

REVOKE ALL ON FUNCTION rae.find_key(uuid), rae.list_tenants(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rae.find_key(uuid), rae.list_tenants(text, bigint) TO rae_app;

-- Jobs of all tenants: turns, and work that comes again. See docs/adr/0008-jobs.md.

CREATE INDEX jobs_turn ON rae.jobs (tid, run_at, jid) WHERE state = 'queued';
CREATE INDEX jobs_waiting ON rae.jobs (run_at) WHERE state = 'queued';
CREATE INDEX jobs_of ON rae.jobs (scope, jid);
CREATE INDEX jobs_leased ON rae.jobs (lease_until) WHERE lease_until IS NOT NULL;

-- The number of the last lease that each tenant got: the smallest is served next. The functions below alone use it.
CREATE SEQUENCE rae.job_turn;
CREATE TABLE rae.job_turns (
    tid    bigint PRIMARY KEY,
    served bigint NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE rae.job_turns ENABLE ROW LEVEL SECURITY;

-- When the period of a scheduled kind of job is over.
CREATE TABLE rae.schedules (
    scope  bigint NOT NULL,
    kind   text COLLATE "C" NOT NULL,
    tid    bigint NOT NULL,
    due_at bigint NOT NULL,
    PRIMARY KEY (scope, kind)
);
CREATE INDEX schedules_due ON rae.schedules (kind, due_at);
-- An erasure takes the rows of its scope; nothing else is done to them by a tenant.
GRANT SELECT, DELETE ON rae.schedules TO rae_app;
ALTER TABLE rae.schedules ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rae.schedules TO rae_app USING (tid =
    (SELECT t.tid FROM rae.tenants t WHERE t.name = (SELECT current_setting('rae.tenant', true))));

-- More doors in the wall, in the way of those of the first script. They show names of scopes, ids, times and numbers.

-- Takes due jobs, a tenant after the other, the one that was served longest ago first. Jobs that another one is taking at
-- the moment are passed by. The job itself is read by its tenant.
CREATE FUNCTION rae.lease_due(at bigint, until bigint, attempts_max bigint, how_many bigint, kinds text[])
RETURNS TABLE (of_tenant text, of_project text, job uuid, number bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one    bigint;
    found_one bigint;
    before bigint;
    took   bigint[] := '{}';
    served bigint[] := '{}';
BEGIN
    UPDATE rae.jobs SET state = 'dead', lease_until = NULL,
        last_error = coalesce(last_error, 'every lease of the job ran out'::bytea)
    WHERE jid IN (SELECT d.jid FROM rae.jobs d WHERE d.lease_until <= at AND d.state = 'queued'
        AND d.attempts >= attempts_max FOR UPDATE SKIP LOCKED);
    -- Most looks find nothing.
    IF NOT EXISTS (SELECT 1 FROM rae.jobs j WHERE j.state = 'queued' AND j.run_at <= at
        AND coalesce(j.lease_until <= at, true) AND j.kind = ANY (kinds)) THEN
        RETURN;
    END IF;
    LOOP
        before := cardinality(took);
        -- One look into the index for each tenant, however many jobs it has.
        FOR one IN
            WITH RECURSIVE waiting (tid) AS (
                (SELECT min(j.tid) FROM rae.jobs j WHERE j.state = 'queued')
                UNION ALL
                SELECT (SELECT min(j.tid) FROM rae.jobs j WHERE j.state = 'queued' AND j.tid > w.tid)
                FROM waiting w WHERE w.tid IS NOT NULL
            )
            SELECT w.tid FROM waiting w LEFT JOIN rae.job_turns t ON t.tid = w.tid
            WHERE w.tid IS NOT NULL ORDER BY coalesce(t.served, 0), w.tid
        LOOP
            EXIT WHEN cardinality(took) >= how_many;
            SELECT j.jid INTO found_one FROM rae.jobs j
            WHERE j.tid = one AND j.state = 'queued' AND j.run_at <= at AND coalesce(j.lease_until <= at, true)
                AND j.attempts < attempts_max AND j.kind = ANY (kinds)
            ORDER BY j.run_at, j.jid LIMIT 1 FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                UPDATE rae.jobs SET attempts = attempts + 1, fence = fence + 1, lease_until = until WHERE jid = found_one;
                took := took || found_one;
                served := served || one;
            END IF;
        END LOOP;
        EXIT WHEN cardinality(took) >= how_many OR cardinality(took) = before;
    END LOOP;
    -- In one order: two who take for the same tenants must not wait for each other.
    INSERT INTO rae.job_turns AS t (tid, served)
    SELECT u.tid, nextval('rae.job_turn') FROM (SELECT DISTINCT s.tid FROM unnest(served) s (tid) ORDER BY 1) u
    ON CONFLICT (tid) DO UPDATE SET served = excluded.served;
    RETURN QUERY SELECT t.name, s.project, j.id, j.fence FROM unnest(took) WITH ORDINALITY u (jid, n)
        JOIN rae.jobs j ON j.jid = u.jid JOIN rae.scopes s ON s.sid = j.scope JOIN rae.tenants t ON t.tid = s.tid
        ORDER BY u.n;
END
$$;

-- Queues one job for each scope with memories whose period is over. Periods of a scope begin at a place of its own.
CREATE FUNCTION rae.queue_due(at bigint, what text, every bigint, most bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one    record;
    next   bigint;
    queued bigint := 0;
BEGIN
    DELETE FROM rae.schedules c USING rae.scopes s WHERE c.kind = what AND s.sid = c.scope
        AND s.sensory + s.working + s.episodic + s.semantic + s.reflective = 0;
    INSERT INTO rae.schedules (scope, kind, tid, due_at)
    SELECT s.sid, what, s.tid, at + every - mod(at - mod((hashint8(s.sid)::bigint + 2147483648) * 1000, every), every)
    FROM rae.scopes s WHERE s.sensory + s.working + s.episodic + s.semantic + s.reflective > 0
        AND NOT EXISTS (SELECT 1 FROM rae.schedules c WHERE c.scope = s.sid AND c.kind = what)
    ORDER BY s.sid LIMIT most ON CONFLICT DO NOTHING;
    -- Those that another one looks at are passed by; a period that was made shorter ends as a short one does.
    FOR one IN
        SELECT c.scope, c.tid, c.due_at FROM rae.schedules c
        WHERE c.kind = what AND (c.due_at <= at OR c.due_at > at + every)
        ORDER BY c.due_at, c.scope LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
        next := at + every - mod(at - mod((hashint8(one.scope)::bigint + 2147483648) * 1000, every), every);
        UPDATE rae.schedules SET due_at = next WHERE scope = one.scope AND kind = what;
        CONTINUE WHEN one.due_at > at
            OR EXISTS (SELECT 1 FROM rae.jobs j WHERE j.scope = one.scope AND j.kind = what AND j.state = 'queued');
        DELETE FROM rae.jobs j WHERE j.scope = one.scope AND j.kind = what AND j.state = 'dead';
        INSERT INTO rae.jobs (tid, scope, id, kind, payload, state, run_at)
        VALUES (one.tid, one.scope, md5(format('%s %s %s', one.scope, what, one.due_at))::uuid, what, '{}', 'queued', at)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            queued := queued + 1;
        END IF;
    END LOOP;
    RETURN queued;
END
$$;

CREATE FUNCTION rae.all_jobs(after bigint, in_state text, most bigint)
RETURNS TABLE (jid bigint, of_tenant text, of_project text, id uuid, kind text, state text, attempts bigint,
    run_at bigint, last_error bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT j.jid, t.name, s.project, j.id, j.kind, j.state, j.attempts, j.run_at, j.last_error
    FROM rae.jobs j JOIN rae.scopes s ON s.sid = j.scope JOIN rae.tenants t ON t.tid = s.tid
    WHERE j.jid > after AND (in_state IS NULL OR j.state = in_state) ORDER BY j.jid LIMIT most
$$;

CREATE FUNCTION rae.job_stats(at bigint)
RETURNS TABLE (of_kind text, due bigint, later bigint, running bigint, dead bigint, oldest bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT j.kind, count(*) FILTER (WHERE j.free AND j.run_at <= at), count(*) FILTER (WHERE j.free AND j.run_at > at),
        count(*) FILTER (WHERE NOT j.free AND j.state = 'queued'), count(*) FILTER (WHERE j.state = 'dead'),
        min(j.run_at) FILTER (WHERE j.free AND j.run_at <= at)
    FROM (SELECT kind, state, run_at, state = 'queued' AND coalesce(lease_until <= at, true) AS free FROM rae.jobs) j
    GROUP BY j.kind ORDER BY j.kind
$$;

REVOKE ALL ON FUNCTION rae.lease_due(bigint, bigint, bigint, bigint, text[]), rae.queue_due(bigint, text, bigint, bigint),
    rae.all_jobs(bigint, text, bigint), rae.job_stats(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rae.lease_due(bigint, bigint, bigint, bigint, text[]), rae.queue_due(bigint, text, bigint, bigint),
    rae.all_jobs(bigint, text, bigint), rae.job_stats(bigint) TO rae_app;
