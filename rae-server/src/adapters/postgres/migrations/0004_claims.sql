-- Relations: memories that carry a claim. claim_key = the first 16 bytes of BLAKE3 of its subject and relation.

ALTER TABLE rae.memories ADD COLUMN claim text COLLATE "C", ADD COLUMN claim_key bytea;
CREATE INDEX memories_claim ON rae.memories (scope, claim_key, id) WHERE claim_key IS NOT NULL;
-- All claims of a scope in the order of their ids: what the graph is built from.
CREATE INDEX memories_claimed ON rae.memories (scope, id) WHERE claim_key IS NOT NULL;
