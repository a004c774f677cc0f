-- Tables: api_keys, cells (engine/infra/migrations/0001_spine.sql).

-- name: live_keys
SELECT key_id, digest, tenant, scopes, channel, rate_per_s, burst
FROM api_keys
WHERE revoked_at IS NULL;

-- name: insert_key
-- $1 key_id, $2 name, $3 digest, $4 tenant, $5 scopes, $6 channel, $7 rate_per_s, $8 burst
INSERT INTO api_keys (key_id, name, digest, tenant, scopes, channel, rate_per_s, burst)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING key_id, name, scopes, channel, rate_per_s, burst, created_at, revoked_at;

-- name: upsert_settings_key
-- The key of the settings: a changed secret replaces the old one. An unchanged row is not written,
-- since every process does this at its start.
-- $1 key_id, $2 name, $3 digest, $4 tenant, $5 scopes
INSERT INTO api_keys (key_id, name, digest, tenant, scopes)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key_id) DO UPDATE
SET digest = excluded.digest, tenant = excluded.tenant, scopes = excluded.scopes, revoked_at = NULL
WHERE (api_keys.digest, api_keys.tenant, api_keys.scopes, api_keys.revoked_at IS NULL)
  IS DISTINCT FROM (excluded.digest, excluded.tenant, excluded.scopes, true);

-- name: revoke_key
-- $1 tenant, $2 key_id
UPDATE api_keys
SET revoked_at = coalesce(revoked_at, now())
WHERE tenant = $1 AND key_id = $2
RETURNING key_id;

-- name: list_keys
-- $1 tenant, $2 after key_id, $3 limit
SELECT key_id, name, scopes, channel, rate_per_s, burst, created_at, revoked_at
FROM api_keys
WHERE tenant = $1 AND key_id > $2
ORDER BY key_id
LIMIT $3;

-- name: why_closed
-- $1 cell
SELECT closed_reason, opened_at
FROM cells
WHERE cell = $1;
