-- Money: budgets, what was spent, what is held for calls under way, and one row for each attempt. Amounts are whole
-- micro-dollars and tokens. Whoever touches any of these four tables holds the row of the tenant first, so inside a tenant
-- nothing races and the numbers of the ledger become visible in order.

-- Limits as they were set: null for never, -1 for lifted. Project '' is the tenant's own: names of projects are never empty.
-- warning = millionths.
CREATE TABLE rae.budgets (
    tid            bigint NOT NULL,
    project        text COLLATE "C" NOT NULL,
    daily_usd      bigint,
    monthly_usd    bigint,
    daily_tokens   bigint,
    monthly_tokens bigint,
    warning        bigint,
    PRIMARY KEY (tid, project)
);

-- One row a window: period is 20240229 for a day and 202402 for a month, in UTC. Project '' is the whole tenant.
CREATE TABLE rae.spend (
    tid             bigint NOT NULL,
    project         text COLLATE "C" NOT NULL,
    period          bigint NOT NULL,
    used_usd        bigint NOT NULL DEFAULT 0,
    used_tokens     bigint NOT NULL DEFAULT 0,
    reserved_usd    bigint NOT NULL DEFAULT 0,
    reserved_tokens bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tid, project, period)
) WITH (fillfactor = 50);
CREATE INDEX spend_tenants ON rae.spend (period) WHERE project = '';

-- An id stands for one attempt in the whole store, as a reservation and as a row of the ledger.
CREATE TABLE rae.reservations (
    id          uuid PRIMARY KEY,
    tid         bigint NOT NULL,
    project     text COLLATE "C" NOT NULL,
    reserved_at bigint NOT NULL,
    expires_at  bigint NOT NULL,
    sent        boolean NOT NULL DEFAULT false,
    usd         bigint NOT NULL,
    tokens      bigint NOT NULL,
    provider    bytea NOT NULL,
    model       bytea NOT NULL,
    operation   bytea NOT NULL,
    user_id     bytea,
    request_id  bytea,
    attempt     bigint NOT NULL
);
CREATE INDEX reservations_expiry ON rae.reservations (tid, expires_at, id);

CREATE TABLE rae.ledger (
    no                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                  uuid NOT NULL UNIQUE,
    tid                 bigint NOT NULL,
    project             text COLLATE "C" NOT NULL,
    at                  bigint NOT NULL,
    settled_at          bigint NOT NULL,
    provider            bytea NOT NULL,
    model               bytea NOT NULL,
    operation           bytea NOT NULL,
    user_id             bytea,
    request_id          bytea,
    attempt             bigint NOT NULL,
    status              text COLLATE "C" NOT NULL,
    input_tokens        bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    output_tokens       bigint NOT NULL,
    reasoning_tokens    bigint NOT NULL,
    estimated           boolean NOT NULL,
    cost_usd            bigint NOT NULL,
    saved_usd           bigint NOT NULL,
    error               bytea
);
CREATE INDEX ledger_no ON rae.ledger (tid, no);
CREATE INDEX ledger_at ON rae.ledger (tid, at);
CREATE INDEX ledger_project ON rae.ledger (tid, project, at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['budgets', 'spend', 'reservations', 'ledger'] LOOP
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON rae.%I TO rae_app', name);
        EXECUTE format('ALTER TABLE rae.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON rae.%I TO rae_app USING (tid = '
            '(SELECT t.tid FROM rae.tenants t WHERE t.name = (SELECT current_setting(''rae.tenant'', true))))', name);
    END LOOP;
END
$$;
GRANT UPDATE ON rae.budgets, rae.spend TO rae_app;
-- Amounts never change: what an erasure takes are names.
GRANT UPDATE (sent, user_id, request_id) ON rae.reservations TO rae_app;
GRANT UPDATE (user_id, request_id) ON rae.ledger TO rae_app;

-- More doors in the wall, in the way of those of the first script. They show names of tenants and amounts, and whether an id
-- that the caller knows is taken.

CREATE FUNCTION rae.is_attempt(wanted uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM rae.reservations WHERE id = wanted)
        OR EXISTS (SELECT 1 FROM rae.ledger WHERE id = wanted)
$$;

-- The tenants that spent the most in a month, with that day's and that month's amounts and their own limits.
CREATE FUNCTION rae.top_funds(of_day bigint, of_month bigint, most bigint)
RETURNS TABLE (of_tenant text, daily_usd bigint, monthly_usd bigint, daily_tokens bigint, monthly_tokens bigint,
    warning bigint, day_used_usd bigint, day_used_tokens bigint, day_reserved_usd bigint, day_reserved_tokens bigint,
    month_used_usd bigint, month_used_tokens bigint, month_reserved_usd bigint, month_reserved_tokens bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.name, b.daily_usd, b.monthly_usd, b.daily_tokens, b.monthly_tokens, b.warning,
        coalesce(d.used_usd, 0), coalesce(d.used_tokens, 0), coalesce(d.reserved_usd, 0), coalesce(d.reserved_tokens, 0),
        m.used_usd, m.used_tokens, m.reserved_usd, m.reserved_tokens
    FROM rae.spend m JOIN rae.tenants t ON t.tid = m.tid
    LEFT JOIN rae.spend d ON d.tid = m.tid AND d.project = '' AND d.period = of_day
    LEFT JOIN rae.budgets b ON b.tid = m.tid AND b.project = ''
    WHERE m.project = '' AND m.period = of_month
        AND (m.used_usd, m.used_tokens, m.reserved_usd, m.reserved_tokens) <> (0, 0, 0, 0)
    ORDER BY m.used_usd DESC, t.name LIMIT most
$$;

-- Housekeeping: sums of windows before a day and its month go, unless something is held in them; the ledger stays. Rows
-- that a call is booking to at the moment are passed by.
CREATE FUNCTION rae.forget_spend(of_day bigint, of_month bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM rae.spend s USING (SELECT o.tid, o.project, o.period FROM rae.spend o
        WHERE (o.period < of_month OR o.period BETWEEN 1000000 AND of_day - 1)
            AND o.reserved_usd = 0 AND o.reserved_tokens = 0 FOR UPDATE SKIP LOCKED) old
    WHERE (s.tid, s.project, s.period) = (old.tid, old.project, old.period)
$$;

REVOKE ALL ON FUNCTION rae.is_attempt(uuid), rae.top_funds(bigint, bigint, bigint), rae.forget_spend(bigint, bigint)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rae.is_attempt(uuid), rae.top_funds(bigint, bigint, bigint), rae.forget_spend(bigint, bigint)
    TO rae_app;
