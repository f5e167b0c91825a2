-- Jobs of all projects: turns of the tenants, and work that comes again.

CREATE INDEX jobs_state ON jobs (state, run_at);

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
