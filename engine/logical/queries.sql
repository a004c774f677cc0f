-- Tables: stock_rules (engine/infra/migrations/0011_logical.sql), skus, nodes
-- (…/0002_reference.sql), stock_keys, stock_balances (…/0009_physical.sql), stock_changes
-- (…/0010_supply.sql). In a rule '' matches everything.

-- name: get_rule
-- $1 tenant, $2 rule
SELECT rule, version, updated_at, document
FROM stock_rules
WHERE tenant = $1 AND rule = $2;

-- name: lock_rule
-- $1 tenant, $2 rule
SELECT rule, version, updated_at, document
FROM stock_rules
WHERE tenant = $1 AND rule = $2
FOR UPDATE;

-- name: list_rules
-- $1 tenant, $2 after rule, $3 limit
SELECT rule, version, updated_at, document
FROM stock_rules
WHERE tenant = $1 AND rule > $2
ORDER BY rule
LIMIT $3;

-- name: insert_rule
-- $1 tenant, $2 rule, $3 document, $4 actor, $5 ends_at
INSERT INTO stock_rules (tenant, rule, version, document, actor, ends_at)
VALUES ($1, $2, 1, $3::jsonb, $4, $5)
ON CONFLICT (tenant, rule) DO NOTHING
RETURNING rule, version, updated_at, document;

-- name: update_rule
-- $1 tenant, $2 rule, $3 document, $4 actor, $5 ends_at
UPDATE stock_rules
SET
  document = $3::jsonb, actor = $4, ends_at = $5, version = version + 1, updated_at = now()
WHERE tenant = $1 AND rule = $2
RETURNING rule, version, updated_at, document;

-- name: named
-- $1 tenant, $2 sku, $3 node
SELECT
  EXISTS (SELECT 1 FROM skus WHERE tenant = $1 AND sku = $2) AS sku,
  EXISTS (SELECT 1 FROM nodes WHERE tenant = $1 AND node = $3) AS node;

-- name: cards_of
-- $1 tenant, $2 skus
SELECT
  sku, owner, coalesce(document ->> 'category', '') AS category,
  coalesce(document ->> 'brand', '') AS brand
FROM skus
WHERE tenant = $1 AND sku = ANY($2::text[]);

-- name: held_of
-- $1 tenant, then per SKU $2 sku, $3 owner
SELECT
  k.sku, k.node, k.condition, k.batch, k.expires_on, b.on_hand, b.locked, b.committed,
  b.handed_over, b.shipped, b.sellable
FROM unnest($2::text[], $3::text[]) AS w (sku, owner)
JOIN stock_keys AS k ON k.tenant = $1 AND k.sku = w.sku AND k.owner = w.owner
JOIN stock_balances AS b ON b.key_id = k.key_id;

-- name: places_of
-- $1 tenant, $2 nodes
SELECT
  node, coalesce(document ->> 'group', '') AS node_group,
  coalesce((document ->> 'enabled')::boolean, true) AS enabled,
  coalesce(document ->> 'controlled_by', 'us') AS controlled_by,
  coalesce(document ->> 'timezone', 'Asia/Shanghai') AS timezone
FROM nodes
WHERE tenant = $1 AND node = ANY($2::text[]);

-- name: rules_for
-- Enabled rules that hold at an instant or later and may be for one of these SKUs.
-- $1 tenant, $2 skus and '', $3 categories and '', $4 brands and '', $5 owners and '', $6 at
SELECT rule, document
FROM stock_rules
WHERE tenant = $1 AND enabled AND sku = ANY($2::text[]) AND category = ANY($3::text[])
  AND brand = ANY($4::text[]) AND owner = ANY($5::text[])
  AND (ends_at IS NULL OR ends_at > $6);

-- name: rules_changed
-- What rules speak of, as infra.publishing.changed; only SKUs that have stock keys. Per rule
-- $2 sku, $3 category, $4 brand, $5 owner, $6 node, $7 node_group, $8 batch, $9 condition.
-- $1 tenant
WITH m AS (
  SELECT DISTINCT *
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[]) AS m (sku, category, brand, owner, node, node_group, batch, condition)
),
found AS (
  SELECT s.sku AS named, s.owner AS whose, m.*
  FROM m
  JOIN skus AS s ON s.tenant = $1 AND s.sku = m.sku
  WHERE m.sku <> ''
  UNION ALL
  SELECT s.sku, s.owner, m.*
  FROM m
  JOIN skus AS s ON s.tenant = $1
    AND (m.category = '' OR s.document ->> 'category' = m.category)
    AND (m.brand = '' OR s.document ->> 'brand' = m.brand)
  WHERE m.sku = ''
)
INSERT INTO stock_changes (tenant, sku)
SELECT DISTINCT $1, f.named
FROM found AS f
WHERE f.owner IN ('', f.whose) AND EXISTS (
  SELECT 1
  FROM stock_keys AS k
  WHERE k.tenant = $1 AND k.sku = f.named AND k.owner = f.whose
    AND f.node IN ('', k.node) AND f.batch IN ('', k.batch) AND f.condition IN ('', k.condition)
    AND (f.node_group = '' OR EXISTS (
      SELECT 1
      FROM nodes AS n
      WHERE n.tenant = $1 AND n.node = k.node AND n.document ->> 'group' = f.node_group
    ))
);
