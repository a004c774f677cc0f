-- Tables: channels (engine/infra/migrations/0002_reference.sql); read besides: pools
-- (…/0001_spine.sql).

-- name: get_channel
-- $1 tenant, $2 channel
SELECT channel, version, published_version, updated_at, document
FROM channels
WHERE tenant = $1 AND channel = $2;

-- name: lock_channel
-- $1 tenant, $2 channel
SELECT channel, version, published_version, updated_at, document
FROM channels
WHERE tenant = $1 AND channel = $2
FOR UPDATE;

-- name: list_channels
-- $1 tenant, $2 after channel, $3 limit, $4 only this channel, '' for all
SELECT channel, version, published_version, updated_at, document
FROM channels
WHERE tenant = $1 AND channel > $2 AND ($4 = '' OR channel = $4)
ORDER BY channel
LIMIT $3;

-- name: insert_channel
-- $1 tenant, $2 channel, $3 document, $4 actor
INSERT INTO channels (tenant, channel, version, document, actor)
VALUES ($1, $2, 1, $3::jsonb, $4)
ON CONFLICT (tenant, channel) DO NOTHING
RETURNING channel, version, published_version, updated_at, document;

-- name: update_channel
-- $1 tenant, $2 channel, $3 document, $4 actor
UPDATE channels
SET document = $3::jsonb, actor = $4, version = version + 1, updated_at = now()
WHERE tenant = $1 AND channel = $2
RETURNING channel, version, published_version, updated_at, document;

-- name: known_channels
-- $1 tenant, $2 channels
SELECT channel
FROM channels
WHERE tenant = $1 AND channel = ANY($2::text[]);

-- name: unplanned_channels
-- $1 limit
SELECT tenant, channel, version, published_version, updated_at, document
FROM channels
WHERE planned_version < version
ORDER BY tenant, channel
LIMIT $1
FOR UPDATE SKIP LOCKED;

-- name: plan_channels
-- $1 tenants, $2 channels
UPDATE channels AS c
SET planned_version = c.version
FROM unnest($1::text[], $2::text[]) AS done (tenant, channel)
WHERE c.tenant = done.tenant AND c.channel = done.channel;

-- name: publish_channels
UPDATE channels
SET published_version = planned_version
WHERE published_version < planned_version;

-- name: skus_with_pools
-- $1 tenant, $2 channel
SELECT DISTINCT sku
FROM pools
WHERE tenant = $1 AND channel = $2 AND NOT ended;

-- name: authorities
-- What ingest keeps in memory of every channel.
SELECT tenant, channel, document ->> 'authority' AS authority FROM channels;
