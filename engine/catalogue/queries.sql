-- Tables: skus (engine/infra/migrations/0002_reference.sql), pools (…/0001_spine.sql),
-- stock_keys (…/0009_physical.sql), bundles (…/0016_bundles.sql).

-- name: get_sku
-- $1 tenant, $2 sku
SELECT sku, version, updated_at, document
FROM skus
WHERE tenant = $1 AND sku = $2;

-- name: lock_sku
-- $1 tenant, $2 sku
SELECT sku, version, updated_at, document
FROM skus
WHERE tenant = $1 AND sku = $2
FOR UPDATE;

-- name: list_skus
-- $1 tenant, $2 after sku, $3 limit
SELECT sku, version, updated_at, document
FROM skus
WHERE tenant = $1 AND sku > $2
ORDER BY sku
LIMIT $3;

-- name: insert_sku
-- $1 tenant, $2 sku, $3 document, $4 actor, $5 owner
INSERT INTO skus (tenant, sku, version, document, actor, owner)
VALUES ($1, $2, 1, $3::jsonb, $4, $5)
ON CONFLICT (tenant, sku) DO NOTHING
RETURNING sku, version, updated_at, document;

-- name: update_sku
-- $1 tenant, $2 sku, $3 document, $4 actor, $5 owner
UPDATE skus
SET document = $3::jsonb, actor = $4, owner = $5, version = version + 1, updated_at = now()
WHERE tenant = $1 AND sku = $2
RETURNING sku, version, updated_at, document;

-- name: owners_of
-- FOR SHARE: whoever builds on these owners must not see one change under him.
-- $1 tenant, $2 skus
SELECT sku, owner
FROM skus
WHERE tenant = $1 AND sku = ANY($2::text[])
ORDER BY sku
FOR SHARE;

-- name: stocked
-- FOR SHARE as above. $1 tenant, $2 skus
SELECT
  sku, owner, nullif(document -> 'units', '{}'::jsonb) AS units,
  coalesce(jsonb_array_length(document -> 'components'), 0) > 0 AS is_bundle
FROM skus
WHERE tenant = $1 AND sku = ANY($2::text[])
ORDER BY sku
FOR SHARE;

-- name: carried
-- What is sent of them. $1 tenant, $2 skus
SELECT
  sku, owner, coalesce(document ->> 'category', '') AS category,
  coalesce(document ->> 'brand', '') AS brand,
  coalesce((document ->> 'grams')::integer, 0) AS grams,
  coalesce((document ->> 'cm3')::integer, 0) AS cm3,
  nullif(document -> 'tags', '[]'::jsonb) AS tags
FROM skus
WHERE tenant = $1 AND sku = ANY($2::text[]);

-- name: sku_has_pools
-- $1 tenant, $2 owner, $3 sku
SELECT EXISTS (
  SELECT 1 FROM pools WHERE tenant = $1 AND owner = $2 AND sku = $3
) OR EXISTS (
  SELECT 1 FROM supply_policies WHERE tenant = $1 AND owner = $2 AND sku = $3
) OR EXISTS (
  SELECT 1 FROM stock_keys WHERE tenant = $1 AND owner = $2 AND sku = $3
);

-- name: lock_bundles
-- Writers of a tenant's bundles take turns: each locks its SKU and then its components, in any order.
-- $1 tenant
SELECT pg_advisory_xact_lock(hashtextextended('bundles ' || $1::text, 0));

-- name: bundle_with
-- $1 tenant, $2 sku: a bundle that has this component, NULL for none
SELECT min(sku)
FROM bundles
WHERE tenant = $1 AND components @> jsonb_build_array(jsonb_build_object('sku', $2::text));

-- name: write_bundle
-- $1 tenant, $2 sku, $3 components
INSERT INTO bundles (tenant, sku, components)
VALUES ($1, $2, $3::jsonb)
ON CONFLICT (tenant, sku) DO UPDATE
SET components = excluded.components, replanned = false, xid = pg_current_xact_id();

-- name: components_of
-- $1 tenant, $2 skus: those of them that are bundles
SELECT sku, components
FROM bundles
WHERE tenant = $1 AND sku = ANY($2::text[]) AND components <> '[]';

-- name: take_changed_bundles
-- $1 limit
UPDATE bundles AS b
SET replanned = true
FROM (
  SELECT tenant, sku FROM bundles WHERE NOT replanned LIMIT $1 FOR UPDATE SKIP LOCKED
) AS changed
WHERE b.tenant = changed.tenant AND b.sku = changed.sku
RETURNING b.tenant, b.sku;

-- name: seen_bundles
SELECT pg_current_snapshot()::text;

-- name: changed_bundles
-- $1 a snapshot, NULL for none: what was written by transactions that it did not see.
SELECT tenant, sku, components
FROM bundles
WHERE $1::text IS NULL OR (
  xid >= pg_snapshot_xmin($1::text::pg_snapshot)
  AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
);
