-- Money: what may be spent, what is spent and held, and a row for each attempt of a call. Amounts are micro-dollars or tokens.
-- project '' stands for the tenant as a whole: a project's name is never empty.

-- NULL = never set, -1 = lifted; warning = millionths of a limit.
CREATE TABLE budgets (
    tenant         TEXT NOT NULL,
    project        TEXT NOT NULL,
    daily_usd      INTEGER,
    monthly_usd    INTEGER,
    daily_tokens   INTEGER,
    monthly_tokens INTEGER,
    warning        INTEGER,
    PRIMARY KEY (tenant, project)
) STRICT, WITHOUT ROWID;

-- period = 20261128 for a UTC day, 202611 for a month. Always the sums of the ledger and the reservations dated in it.
CREATE TABLE spend (
    tenant          TEXT NOT NULL,
    project         TEXT NOT NULL,
    period          INTEGER NOT NULL,
    used_usd        INTEGER NOT NULL,
    reserved_usd    INTEGER NOT NULL,
    used_tokens     INTEGER NOT NULL,
    reserved_tokens INTEGER NOT NULL,
    PRIMARY KEY (tenant, project, period)
) STRICT, WITHOUT ROWID;
CREATE INDEX spend_tenants ON spend (period, used_usd) WHERE project = '';

-- Calls under way.
CREATE TABLE reservations (
    id          BLOB PRIMARY KEY,
    tenant      TEXT NOT NULL,
    project     TEXT NOT NULL,
    reserved_at INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    sent        INTEGER NOT NULL DEFAULT 0,
    usd         INTEGER NOT NULL,
    tokens      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    provider    TEXT NOT NULL,
    model       TEXT NOT NULL,
    operation   TEXT NOT NULL,
    user_id     TEXT,
    request_id  TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_expiry ON reservations (tenant, expires_at, id);

-- Attempts that ended, in the order in which they did. at = the reserve, whose day and month they are booked to.
CREATE TABLE ledger (
    no                  INTEGER PRIMARY KEY,
    id                  BLOB NOT NULL,
    tenant              TEXT NOT NULL,
    project             TEXT NOT NULL,
    at                  INTEGER NOT NULL,
    settled_at          INTEGER NOT NULL,
    attempt             INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    estimated           INTEGER NOT NULL,
    cost                INTEGER NOT NULL,
    saved               INTEGER NOT NULL,
    status              TEXT NOT NULL,
    provider            TEXT NOT NULL,
    model               TEXT NOT NULL,
    operation           TEXT NOT NULL,
    user_id             TEXT,
    request_id          TEXT,
    error               TEXT
) STRICT;
CREATE UNIQUE INDEX ledger_id ON ledger (id);
CREATE INDEX ledger_tenant ON ledger (tenant, at);
CREATE INDEX ledger_project ON ledger (tenant, project, at);
CREATE INDEX ledger_pages ON ledger (tenant, no);
