-- Tables: elastic_seen, elastic_lendings (engine/infra/migrations/0017_elastic.sql,
-- …/0023_elastic.sql);
-- read besides: campaigns, channels (…/0002_reference.sql), pools, pauses, cells (…/0001_spine.sql).

-- name: recorded_to
-- $1 cell
SELECT now() AS at, coalesce((SELECT last_id FROM cells WHERE cell = $1), '0-0') AS log_id;

-- name: running_sales
-- Campaigns that lend and run now; one that is paused lends nothing. The document comes along only
-- where the caller does not know this version.
-- $1 tenants, $2 campaigns, $3 versions that are known
SELECT
  c.tenant, c.campaign, c.version, c.pools, c.starts_at, c.ends_at,
  CASE WHEN k.version IS NULL THEN c.document END AS document
FROM campaigns AS c
LEFT JOIN unnest($1::text[], $2::text[], $3::bigint[]) AS k (tenant, campaign, version)
  ON k.tenant = c.tenant AND k.campaign = c.campaign AND k.version = c.version
WHERE c.document -> 'elastic' -> 'enabled' = 'true'
  AND c.ends_at > now()
  AND c.starts_at <= now()
  AND c.returned_at IS NULL
  AND NOT EXISTS (
    SELECT FROM pauses AS p
    WHERE p.tenant = c.tenant AND p.scope = 'campaign' AND p.id = c.campaign
  )
ORDER BY c.tenant, c.campaign;

-- name: changed_pools
-- All pools of the SKUs of which one pool changed or is in need, and on which nothing waits to be
-- done. A paused SKU is left alone.
-- $1 cell, $2 tenant, $3 campaign, $4 pool ids
WITH changed AS (
  SELECT DISTINCT p.sku
  FROM unnest($4::text[]) AS w (pool_id)
  JOIN pools AS p ON p.pool_id = w.pool_id
  LEFT JOIN elastic_seen AS s ON s.pool_id = w.pool_id
  WHERE s.pool_id IS NULL OR s.needy
    OR s.used <> p.held + p.sold OR s.available <> p.available
)

SELECT
  p.tenant, p.campaign, p.sku, p.channel, p.node_group, p.pool_id, p.granted, p.available,
  p.held + p.sold AS used,
  s.used AS seen_used, s.available AS seen_available, s.units, s.seconds, s.at, s.needy,
  s.borrowed_at, s.note,
  coalesce(h.document ->> 'authority', 'gate') = 'external' AS external,
  EXISTS (
    SELECT FROM elastic_lendings AS l
    WHERE l.cell = $1 AND l.state = 'requested'
      AND l.tenant = p.tenant AND l.campaign = p.campaign AND l.sku = p.sku
      AND l.source = p.channel AND l.node_group = p.node_group
  ) AS draining
FROM unnest($4::text[]) AS w (pool_id)
JOIN pools AS p ON p.pool_id = w.pool_id
JOIN changed ON changed.sku = p.sku
LEFT JOIN elastic_seen AS s ON s.pool_id = w.pool_id
LEFT JOIN channels AS h ON h.tenant = p.tenant AND h.channel = p.channel
WHERE p.cell = $1
  AND p.tenant = $2
  AND p.campaign = $3
  AND p.channel <> ''
  AND NOT p.ended
  AND coalesce(h.document ->> 'authority', 'gate') <> 'record'
  AND NOT EXISTS (
    SELECT FROM pauses AS q
    WHERE q.tenant = p.tenant AND q.scope = 'sku' AND q.id = p.sku
  )
  AND NOT EXISTS (
    SELECT FROM elastic_lendings AS l
    WHERE l.cell = $1 AND l.state = 'decided'
      AND l.tenant = p.tenant AND l.campaign = p.campaign AND l.sku = p.sku
  )
ORDER BY p.sku, p.node_group, p.channel;

-- name: note_seen
-- $1 pool ids, $2 used, $3 available, $4 units, $5 seconds, $6 at, $7 needy, $8 borrowed_at, $9 notes
INSERT INTO elastic_seen (
  pool_id, used, available, units, seconds, at, needy, borrowed_at, note
)
SELECT *
FROM unnest(
  $1::text[], $2::bigint[], $3::bigint[], $4::double precision[], $5::double precision[],
  $6::timestamptz[], $7::boolean[], $8::timestamptz[], $9::text[]
)
ON CONFLICT (pool_id) DO UPDATE
SET
  used = excluded.used, available = excluded.available, units = excluded.units,
  seconds = excluded.seconds, at = excluded.at, needy = excluded.needy,
  borrowed_at = excluded.borrowed_at, note = excluded.note;

-- name: last_numbers
-- $1 tenant, $2 campaign, $3 skus
SELECT w.sku, coalesce(max(l.n), 0) AS n
FROM unnest($3::text[]) AS w (sku)
LEFT JOIN elastic_lendings AS l ON l.tenant = $1 AND l.campaign = $2 AND l.sku = w.sku
GROUP BY w.sku;

-- name: write_lending
-- $1 cell, $2 tenant, $3 campaign, $4 sku, $5 node_group, $6 n, $7 move_id, $8 source, $9 target,
-- $10 units, $11 how, $12 keep, $13 reason, $14 figures, $15 state, $16 decided_at
INSERT INTO elastic_lendings (
  cell, tenant, campaign, sku, node_group, n, move_id, source, target, units, how, keep, reason,
  figures, state, decided_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::jsonb, $15, $16);

-- name: open_lendings
-- $1 cell, $2 limit
SELECT
  state, tenant, campaign, sku, node_group, n, move_id, source, target, units, how, keep, reason,
  figures
FROM elastic_lendings
WHERE cell = $1 AND state IN ('decided', 'requested')
ORDER BY id
LIMIT $2;

-- name: end_lending
-- Nothing comes back when it was ended before: its event is written once. What one process found
-- refused, another may have done after all.
-- $1 tenant, $2 campaign, $3 sku, $4 n, $5 state, $6 detail, $7 units
UPDATE elastic_lendings
SET
  state = $5, detail = $6, units = $7,
  done_at = CASE WHEN $5 = 'requested' THEN NULL ELSE now() END
WHERE tenant = $1 AND campaign = $2 AND sku = $3 AND n = $4
  AND state <> $5
  AND (state IN ('decided', 'requested') OR (state = 'refused' AND $5 = 'done'))
RETURNING n;

-- name: tell
-- $1 kind, $2 actor, $3 data
INSERT INTO events (at, kind, actor, data) VALUES (now(), $1, $2, $3::json);

-- name: list_lendings
-- $1 tenant, $2 campaign, $3 before id, $4 limit
SELECT
  id, sku, node_group, source, target, units, how, state, reason, detail, move_id, figures,
  decided_at, done_at
FROM elastic_lendings
WHERE tenant = $1 AND campaign = $2 AND id < $3
ORDER BY id DESC
LIMIT $4;

-- name: list_shops
-- $1 tenant, $2 campaign, $3 pool ids
SELECT
  p.tenant, p.campaign, p.sku, p.channel, p.node_group, p.pool_id, p.granted, p.available,
  p.held + p.sold AS used,
  s.used AS seen_used, s.available AS seen_available, s.units, s.seconds, s.at, s.needy,
  s.borrowed_at, s.note,
  false AS external, false AS draining
FROM pools AS p
JOIN elastic_seen AS s ON s.pool_id = p.pool_id
WHERE p.tenant = $1 AND p.campaign = $2 AND p.pool_id = ANY($3::text[]) AND NOT p.ended
ORDER BY p.sku, p.node_group, p.channel;

-- name: shown_pools
-- $1 tenant, $2 campaign
SELECT pools, now() AS at
FROM campaigns
WHERE tenant = $1 AND campaign = $2;
