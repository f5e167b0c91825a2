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
