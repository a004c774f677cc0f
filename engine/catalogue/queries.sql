-- Tables: skus (engine/infra/migrations/0002_reference.sql), pools (…/0001_spine.sql),
-- stock_keys (…/0009_physical.sql).

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
-- $1 tenant, $2 sku, $3 owner, $4 document, $5 actor
INSERT INTO skus (tenant, sku, owner, version, document, actor)
VALUES ($1, $2, $3, 1, $4::jsonb, $5)
ON CONFLICT (tenant, sku) DO NOTHING
RETURNING sku, version, updated_at, document;

-- name: update_sku
-- $1 tenant, $2 sku, $3 owner, $4 document, $5 actor
UPDATE skus
SET owner = $3, document = $4::jsonb, actor = $5, version = version + 1, updated_at = now()
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
SELECT sku, owner, nullif(document -> 'units', '{}'::jsonb) AS units
FROM skus
WHERE tenant = $1 AND sku = ANY($2::text[])
ORDER BY sku
FOR SHARE;

-- name: sku_has_pools
-- $1 tenant, $2 owner, $3 sku
SELECT EXISTS (
  SELECT 1 FROM pools WHERE tenant = $1 AND owner = $2 AND sku = $3
) OR EXISTS (
  SELECT 1 FROM supply_policies WHERE tenant = $1 AND owner = $2 AND sku = $3
) OR EXISTS (
  SELECT 1 FROM stock_keys WHERE tenant = $1 AND owner = $2 AND sku = $3
);
