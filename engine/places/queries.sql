-- Tables: node_profiles, regions (engine/infra/migrations/0035_places.sql), nodes
-- (…/0002_reference.sql).

-- name: get_profile
-- $1 tenant, $2 node
SELECT node, version, updated_at, document
FROM node_profiles
WHERE tenant = $1 AND node = $2;

-- name: lock_profile
-- $1 tenant, $2 node
SELECT node, version, updated_at, document
FROM node_profiles
WHERE tenant = $1 AND node = $2
FOR UPDATE;

-- name: list_profiles
-- $1 tenant, $2 after node, $3 limit
SELECT node, version, updated_at, document
FROM node_profiles
WHERE tenant = $1 AND node > $2
ORDER BY node
LIMIT $3;

-- name: insert_profile
-- $1 tenant, $2 node, $3 document, $4 actor; nothing for a node that does not exist
INSERT INTO node_profiles (tenant, node, version, document, actor)
SELECT tenant, node, 1, $3::jsonb, $4
FROM nodes
WHERE tenant = $1 AND node = $2
ON CONFLICT (tenant, node) DO NOTHING
RETURNING node, version, updated_at, document;

-- name: update_profile
-- $1 tenant, $2 node, $3 document, $4 actor
UPDATE node_profiles
SET document = $3::jsonb, actor = $4, version = version + 1, updated_at = now()
WHERE tenant = $1 AND node = $2
RETURNING node, version, updated_at, document;

-- name: sites
-- Nodes that we send from, with their profiles, NULL where there is none. $1 tenant
SELECT n.node, n.document, p.document AS profile
FROM nodes AS n
LEFT JOIN node_profiles AS p ON p.tenant = n.tenant AND p.node = n.node
WHERE n.tenant = $1 AND coalesce((n.document ->> 'enabled')::boolean, true)
  AND coalesce(n.document ->> 'controlled_by', 'us') = 'us'
ORDER BY n.node;

-- name: own_regions
-- $1 tenant
SELECT code, name, latitude, longitude
FROM regions
WHERE tenant = $1
ORDER BY code;

-- name: keep_regions
-- How many of these were new or said otherwise before.
-- $1 tenant, then per region $2 code, $3 name, $4 latitude, $5 longitude
WITH kept AS (
  INSERT INTO regions AS r (tenant, code, name, latitude, longitude)
  SELECT $1, w.code, w.name, w.latitude, w.longitude
  FROM unnest($2::text[], $3::text[], $4::float8[], $5::float8[])
    AS w (code, name, latitude, longitude)
  ON CONFLICT (tenant, code) DO UPDATE
  SET name = excluded.name, latitude = excluded.latitude, longitude = excluded.longitude,
    updated_at = now()
  WHERE (r.name, r.latitude, r.longitude)
    IS DISTINCT FROM (excluded.name, excluded.latitude, excluded.longitude)
  RETURNING code
)
SELECT count(*) FROM kept;
