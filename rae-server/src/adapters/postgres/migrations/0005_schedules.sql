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
