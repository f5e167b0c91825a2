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
