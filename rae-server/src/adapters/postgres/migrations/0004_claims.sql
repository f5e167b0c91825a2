-- Relations: memories that carry a claim. claim_key = the first 16 bytes of BLAKE3 of its subject and relation.

ALTER TABLE rae.memories ADD COLUMN claim text COLLATE "C", ADD COLUMN claim_key bytea;
CREATE INDEX memories_claim ON rae.memories (scope, claim_key, id) WHERE claim_key IS NOT NULL;
-- All claims of a scope in the order of their ids: what the graph is built from.
CREATE INDEX memories_claimed ON rae.memories (scope, id) WHERE claim_key IS NOT NULL;

-- Named JSON documents of a project that are no memories.
CREATE TABLE rae.records (
    tid   bigint NOT NULL,
    scope bigint NOT NULL,
    kind  text COLLATE "C" NOT NULL,
    name  bytea NOT NULL,
    at    bigint NOT NULL,
    body  text NOT NULL,
    PRIMARY KEY (scope, kind, name)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON rae.records TO rae_app;
ALTER TABLE rae.records ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rae.records TO rae_app USING (tid =
    (SELECT t.tid FROM rae.tenants t WHERE t.name = (SELECT current_setting('rae.tenant', true))));

-- Jobs with a payload are about something of their own: they neither stand in for a scheduled job nor give way to it.
CREATE OR REPLACE FUNCTION rae.queue_due(at bigint, what text, every bigint, most bigint) RETURNS bigint
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
            OR EXISTS (SELECT 1 FROM rae.jobs j WHERE j.scope = one.scope AND j.kind = what AND j.state = 'queued'
                AND j.payload = '{}');
        DELETE FROM rae.jobs j WHERE j.scope = one.scope AND j.kind = what AND j.state = 'dead' AND j.payload = '{}';
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
