-- Tables: campaigns (engine/infra/migrations/0002_reference.sql), publications
-- (…/0012_publications.sql).

-- name: windows
-- $1 tenant, $2 campaigns
SELECT campaign, starts_at > now() AS early, ends_at <= now() AS late
FROM campaigns
WHERE tenant = $1 AND campaign = ANY($2::text[]);

-- name: shown
-- What marketplaces are told of a SKU. $1 tenant, $2 sku
SELECT
  channel, item_id, sku_id, units_per, state, reach AS sellable, buffer, published, acked, seen
FROM publications
WHERE tenant = $1 AND sku = $2
ORDER BY channel, item_id, sku_id;
