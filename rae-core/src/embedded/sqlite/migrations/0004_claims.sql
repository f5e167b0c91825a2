-- Relations: memories that carry a claim. claim_key = the first 16 bytes of BLAKE3 of its subject and relation.
-- The columns come after the content: a memory without a claim has a NULL there, which is read without the text's pages.

ALTER TABLE memories ADD COLUMN claim TEXT;
ALTER TABLE memories ADD COLUMN claim_key BLOB;
CREATE INDEX memories_claim ON memories (scope, claim_key, id) WHERE claim_key IS NOT NULL;
-- All claims of a scope in the order of their ids: what the graph is built from.
CREATE INDEX memories_claimed ON memories (scope, id) WHERE claim_key IS NOT NULL;
