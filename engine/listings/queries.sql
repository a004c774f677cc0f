-- Tables: listings, unmapped_listings (engine/infra/migrations/0007_listings.sql), pools
-- (…/0001_spine.sql), bundles (…/0016_bundles.sql).

-- name: lock_listings
-- Writers of one tenant take turns: the counts they answer are exact, and two that replace the
-- same link do not leave it doubled.
-- $1 tenant
SELECT pg_advisory_xact_lock(hashtextextended('listings ' || $1::text, 0));

-- name: upsert_listings
-- $1 tenant, $2 actor, then per mapping $3 channel, $4 item_id, $5 sku_id, $6 sku, $7 units_per;
-- the same one may stand there twice.
WITH told AS (
  SELECT channel, item_id, sku_id, sku, min(units_per) AS units_per, count(*) AS times
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::integer[])
    AS t (channel, item_id, sku_id, sku, units_per)
  GROUP BY channel, item_id, sku_id, sku
), compared AS (
  SELECT t.*, l.sku IS NULL OR l.removed AS is_new, l.units_per AS units_before
  FROM told AS t
  LEFT JOIN listings AS l
    ON l.tenant = $1 AND l.channel = t.channel AND l.item_id = t.item_id
      AND l.sku_id = t.sku_id AND l.sku = t.sku
), written AS (
  INSERT INTO listings (tenant, channel, item_id, sku_id, sku, units_per, actor)
  SELECT $1, channel, item_id, sku_id, sku, units_per, $2
  FROM compared
  WHERE is_new OR units_before <> units_per
  ON CONFLICT (tenant, channel, item_id, sku_id, sku) DO UPDATE
  SET units_per = excluded.units_per, removed = false, xid = pg_current_xact_id(),
    actor = excluded.actor, updated_at = now()
)
SELECT
  count(*) FILTER (WHERE is_new) AS created,
  count(*) FILTER (WHERE NOT is_new AND units_before <> units_per) AS updated,
  coalesce(sum(times), 0)::bigint
    - count(*) FILTER (WHERE is_new OR units_before <> units_per) AS unchanged
FROM compared;

-- name: remove_others
-- What links are mapped to beside what is told; arguments as above, without units.
UPDATE listings AS l
SET removed = true, xid = pg_current_xact_id(), actor = $2, updated_at = now()
WHERE l.tenant = $1
  AND NOT l.removed
  AND (l.channel, l.item_id, l.sku_id) IN (
    SELECT * FROM unnest($3::text[], $4::text[], $5::text[])
  )
  AND (l.channel, l.item_id, l.sku_id, l.sku) NOT IN (
    SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[])
  );

-- name: count_doubled
-- $1 tenant, then per link $2 channel, $3 item_id, $4 sku_id; one may stand there twice.
SELECT count(*)
FROM (
  SELECT 1
  FROM listings AS l
  WHERE l.tenant = $1
    AND NOT l.removed
    AND (l.channel, l.item_id, l.sku_id) IN (
      SELECT * FROM unnest($2::text[], $3::text[], $4::text[])
    )
  GROUP BY l.channel, l.item_id, l.sku_id
  HAVING count(*) > 1
) AS doubled;

-- name: remove_listings
-- $1 tenant, $2 actor, $3 channel, $4 item_id, $5 sku_id, $6 sku, '' for all
UPDATE listings
SET removed = true, xid = pg_current_xact_id(), actor = $2, updated_at = now()
WHERE tenant = $1 AND channel = $3 AND item_id = $4 AND sku_id = $5 AND ($6 = '' OR sku = $6)
  AND NOT removed
RETURNING sku;

-- name: list_listings
-- $1 tenant, $2 channel, $3 item_id, $4 sku, each '' for all; $5…$8 the last one seen; $9 limit
SELECT channel, item_id, sku_id, sku, units_per, actor, updated_at
FROM listings
WHERE tenant = $1
  AND NOT removed
  AND ($2 = '' OR channel = $2)
  AND ($3 = '' OR item_id = $3)
  AND ($4 = '' OR sku = $4)
  AND (channel, item_id, sku_id, sku) > ($5, $6, $7, $8)
ORDER BY channel, item_id, sku_id, sku
LIMIT $9;

-- name: list_alarms
-- What orders have met and still stands, and links that were mapped twice before an order came.
-- $1 tenant, $2 channel, $3 reason, each '' for all; $4…$7 the last one seen; $8 limit
WITH standing AS (
  SELECT
    u.channel, u.item_id, u.sku_id, u.sku,
    CASE
      WHEN u.reason = 'unknown_sku' THEN u.reason
      WHEN m.skus IS NULL THEN 'unmapped'
      ELSE 'doubled'
    END AS reason,
    coalesce(m.skus, '{}') AS skus, u.first_seen, u.last_seen, u.orders
  FROM unmapped_listings AS u
  CROSS JOIN LATERAL (
    SELECT array_agg(l.sku ORDER BY l.sku) AS skus
    FROM listings AS l
    WHERE l.tenant = u.tenant AND l.channel = u.channel AND l.item_id = u.item_id
      AND l.sku_id = u.sku_id AND NOT l.removed
  ) AS m
  WHERE u.tenant = $1
    AND ($2 = '' OR u.channel = $2)
    AND CASE
      WHEN u.reason = 'unknown_sku'
        THEN NOT EXISTS (SELECT 1 FROM pools AS p WHERE p.tenant = u.tenant AND p.sku = u.sku)
          AND NOT EXISTS (
            SELECT 1
            FROM bundles AS b
            WHERE b.tenant = u.tenant AND b.sku = u.sku AND b.components <> '[]'
          )
      ELSE coalesce(cardinality(m.skus), 0) <> 1
    END
  UNION ALL
  SELECT
    l.channel, l.item_id, l.sku_id, '', 'doubled', array_agg(l.sku ORDER BY l.sku),
    max(l.updated_at), max(l.updated_at), 0
  FROM listings AS l
  WHERE l.tenant = $1 AND NOT l.removed AND ($2 = '' OR l.channel = $2)
  GROUP BY l.channel, l.item_id, l.sku_id
  HAVING count(*) > 1 AND NOT EXISTS (
    SELECT 1 FROM unmapped_listings AS u
    WHERE u.tenant = $1 AND u.channel = l.channel AND u.item_id = l.item_id
      AND u.sku_id = l.sku_id AND u.reason <> 'unknown_sku'
  )
)
SELECT channel, item_id, sku_id, sku, reason, skus, first_seen, last_seen, orders
FROM standing
WHERE ($3 = '' OR reason = $3) AND (channel, item_id, sku_id, sku) > ($4, $5, $6, $7)
ORDER BY channel, item_id, sku_id, sku
LIMIT $8;

-- name: snapshot
SELECT pg_current_snapshot()::text;

-- name: all_listings
SELECT tenant, channel, item_id, sku_id, sku, units_per, removed
FROM listings
WHERE NOT removed
ORDER BY tenant, channel, item_id, sku_id;

-- name: changed_listings
-- $1 a snapshot: what was written by transactions that it did not see. Numbers from a sequence
-- would miss one that took a lower number and committed later.
SELECT tenant, channel, item_id, sku_id, sku, units_per, removed
FROM listings
WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot)
  AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
ORDER BY tenant, channel, item_id, sku_id;
