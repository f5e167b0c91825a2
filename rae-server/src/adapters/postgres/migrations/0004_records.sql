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
