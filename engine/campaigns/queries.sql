-- Tables: campaigns (engine/infra/migrations/0002_reference.sql), campaign_skus, stock_changes
-- (…/0010_supply.sql).

-- name: get_campaign
-- $1 tenant, $2 campaign
SELECT campaign, version, published_version, updated_at, starts_at <= now() AS settled, document
FROM campaigns
WHERE tenant = $1 AND campaign = $2;

-- name: lock_campaign
-- $1 tenant, $2 campaign
SELECT
  campaign, version, published_version, updated_at, starts_at <= now() AS settled, document,
  returned_at IS NOT NULL AS returned
FROM campaigns
WHERE tenant = $1 AND campaign = $2
FOR UPDATE;

-- name: list_campaigns
-- $1 tenant, $2 after campaign, $3 limit
SELECT campaign, version, published_version, updated_at, starts_at <= now() AS settled, document
FROM campaigns
WHERE tenant = $1 AND campaign > $2
ORDER BY campaign
LIMIT $3;

-- name: insert_campaign
-- $1 tenant, $2 campaign, $3 document, $4 actor, $5 starts_at, $6 ends_at, $7 returns
INSERT INTO campaigns (tenant, campaign, version, document, actor, starts_at, ends_at, returns)
VALUES ($1, $2, 1, $3::jsonb, $4, $5, $6, $7)
ON CONFLICT (tenant, campaign) DO NOTHING
RETURNING
  campaign, version, published_version, updated_at, starts_at <= now() AS settled, document;

-- name: update_campaign
-- $1 tenant, $2 campaign, $3 document, $4 actor, $5 starts_at, $6 ends_at, $7 returns
UPDATE campaigns
SET
  document = $3::jsonb, actor = $4, starts_at = $5, ends_at = $6, returns = $7,
  version = version + 1, updated_at = now()
WHERE tenant = $1 AND campaign = $2
RETURNING
  campaign, version, published_version, updated_at, starts_at <= now() AS settled, document;

-- name: campaign_returned
-- $1 tenant, $2 campaign
SELECT returned_at IS NOT NULL
FROM campaigns
WHERE tenant = $1 AND campaign = $2;

-- name: unplanned_campaigns
-- $1 limit
SELECT
  tenant, campaign, version, published_version, updated_at, starts_at <= now() AS settled,
  document, fields, pools, room_key::text AS room_key
FROM campaigns
WHERE planned_version < version
ORDER BY tenant, campaign
LIMIT $1
FOR UPDATE SKIP LOCKED;

-- name: plan_campaigns
-- $1 tenants, $2 campaigns, $3 fields and $4 pools, each as one jsonb array a campaign, $5 the last
-- change of a SKU that they still wait for
UPDATE campaigns AS c
SET
  planned_version = c.version,
  changes = greatest(c.changes, $5),
  fields = ARRAY(SELECT jsonb_array_elements_text(done.fields)),
  pools = ARRAY(SELECT jsonb_array_elements_text(done.pools))
FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[])
  AS done (tenant, campaign, fields, pools)
WHERE c.tenant = done.tenant AND c.campaign = done.campaign;

-- name: publish_campaigns
UPDATE campaigns AS p
SET published_version = planned_version
WHERE published_version < planned_version
  AND NOT EXISTS (
    SELECT 1
    FROM stock_changes AS c
    JOIN campaign_skus AS s ON s.tenant = c.tenant AND s.sku = c.sku
    WHERE c.id <= p.changes AND s.tenant = p.tenant AND s.campaign = p.campaign
  );

-- name: replan_naming_campaigns
-- Campaigns that sell this bundle, whose components have changed: their own version stays.
-- $1 tenant, $2 sku
UPDATE campaigns AS c
SET planned_version = least(planned_version, version - 1)
WHERE tenant = $1
  AND returned_at IS NULL
  AND EXISTS (
    SELECT 1 FROM jsonb_array_elements(c.document -> 'skus') AS one WHERE one ->> 'sku' = $2
  );

-- name: ended_campaigns
-- $1 limit
SELECT tenant, campaign, ends_at, pools
FROM campaigns
WHERE returns
  AND returned_at IS NULL
  AND ends_at <= now()
  AND planned_version = version
ORDER BY ends_at
LIMIT $1;

-- name: mark_returned
-- $1 tenant, $2 campaign
UPDATE campaigns
SET returned_at = now()
WHERE tenant = $1 AND campaign = $2 AND returned_at IS NULL;
