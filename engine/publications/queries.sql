-- Tables: publications, publication_changes, drains
-- (engine/infra/migrations/0012_publications.sql), pool_excess (…/0010_supply.sql), listings
-- (…/0007_listings.sql), bundles (…/0016_bundles.sql), channels, skus, campaigns, pool_moves (…/0002_reference.sql), pools, ledger, pauses, cells, events
-- (…/0001_spine.sql).

-- name: look
-- What may have changed since the last look, in one round trip. $1 cell, $2 what listings were seen
-- under, $3 seconds back in which a campaign that begins or ends is told again
SELECT
  coalesce((SELECT last_id FROM cells WHERE cell = $1), '0-0') AS last_id,
  pg_current_snapshot()::text AS snapshot,
  EXISTS (
    SELECT FROM listings
    WHERE xid >= pg_snapshot_xmin($2::text::pg_snapshot)
      AND NOT pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
  ) AS listed,
  EXISTS (
    SELECT FROM bundles
    WHERE xid >= pg_snapshot_xmin($2::text::pg_snapshot)
      AND NOT pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
  ) AS bundled,
  EXISTS (SELECT FROM publication_changes) AS changed,
  EXISTS (SELECT FROM publications) AS any_published,
  EXISTS (SELECT FROM drains WHERE ended_at IS NULL) AS draining,
  ARRAY(
    SELECT concat_ws(E'\x1f', tenant, scope, id, since) FROM pauses ORDER BY tenant, scope, id
  ) AS pauses,
  ARRAY(
    SELECT concat_ws(E'\x1f', tenant, campaign)
    FROM campaigns
    WHERE starts_at BETWEEN now() - make_interval(secs => $3) AND now()
      OR ends_at BETWEEN now() - make_interval(secs => $3) AND now()
  ) AS turning;

-- name: changed_listings
-- $1 as above
SELECT DISTINCT tenant, sku
FROM listings
WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot)
  AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot);

-- name: changed_bundles
-- $1 as above
SELECT tenant, sku
FROM bundles
WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot)
  AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot);

-- name: bundles_with
-- Bundles of which one of these SKUs is a component. $1 tenants, $2 skus
SELECT DISTINCT b.tenant, b.sku
FROM unnest($1::text[], $2::text[]) AS a (tenant, sku)
JOIN bundles AS b
  ON b.tenant = a.tenant
  AND b.components @> jsonb_build_array(jsonb_build_object('sku', a.sku));

-- name: take_changes
DELETE FROM publication_changes RETURNING tenant, channel, sku;

-- name: tell_changes
-- $1 tenants, $2 channels, $3 skus
INSERT INTO publication_changes (tenant, channel, sku)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[]);

-- name: skus_of_channel
-- $1 tenant, $2 channel
SELECT DISTINCT sku FROM listings WHERE tenant = $1 AND channel = $2
UNION
SELECT sku FROM publications WHERE tenant = $1 AND channel = $2;

-- name: skus_of_campaign
-- $1 tenant, $2 campaign
SELECT DISTINCT p.sku
FROM pools AS p
WHERE p.tenant = $1 AND p.campaign = $2
  AND (
    EXISTS (SELECT FROM publications AS s WHERE s.tenant = p.tenant AND s.sku = p.sku)
    OR (p.tenant, p.sku) IN (
      SELECT b.tenant, part ->> 'sku'
      FROM bundles AS b
      CROSS JOIN jsonb_array_elements(b.components) AS part
    )
  );

-- name: every_sku
SELECT DISTINCT l.tenant, l.sku
FROM listings AS l
JOIN channels AS c ON c.tenant = l.tenant AND c.channel = l.channel
WHERE c.document ->> 'authority' = 'external' AND NOT l.removed
UNION
SELECT tenant, sku FROM publications;

-- name: moved_pools
-- Pools of published SKUs, or of parts of bundles, that the log moved behind one position and up to another, with the units
-- that were taken from them by second of cell time. The first bound is for the index: ids of one
-- millisecond are not in the order of their texts.
-- $1 cell, $2 ms from which to look, as text, $3 $4 behind which position, $5 $6 up to which
SELECT
  p.tenant, p.sku, l.pool_id, l.second,
  sum(greatest(l.held + l.sold, 0))::bigint AS taken
FROM (
  SELECT
    pool_id, held, sold, split_part(log_id, '-', 1)::bigint AS ms,
    split_part(log_id, '-', 2)::bigint AS n, split_part(log_id, '-', 1)::bigint / 1000 AS second
  FROM ledger
  WHERE cell = $1 AND log_id >= $2
) AS l
JOIN pools AS p ON p.pool_id = l.pool_id
WHERE (l.ms, l.n) > ($3::bigint, $4::bigint)
  AND (l.ms, l.n) <= ($5::bigint, $6::bigint)
  AND (
    EXISTS (SELECT FROM publications AS s WHERE s.tenant = p.tenant AND s.sku = p.sku)
    OR (p.tenant, p.sku) IN (
      SELECT b.tenant, part ->> 'sku'
      FROM bundles AS b
      CROSS JOIN jsonb_array_elements(b.components) AS part
    )
  )
GROUP BY p.tenant, p.sku, l.pool_id, l.second
ORDER BY l.second;

-- name: shelves
-- Every link of an external channel that stands, or stood, for one of these SKUs.
-- $1 tenants, $2 skus
WITH links AS (
  SELECT l.tenant, l.channel, l.item_id, l.sku_id
  FROM unnest($1::text[], $2::text[]) AS a (tenant, sku)
  JOIN listings AS l ON l.tenant = a.tenant AND l.sku = a.sku
  UNION
  SELECT s.tenant, s.channel, s.item_id, s.sku_id
  FROM unnest($1::text[], $2::text[]) AS a (tenant, sku)
  JOIN publications AS s ON s.tenant = a.tenant AND s.sku = a.sku
)
SELECT
  k.tenant, k.channel, k.item_id, k.sku_id, m.skus, m.units, b.components,
  s.number, s.state, s.sku, s.units_per, s.published, s.buffer, s.reach, s.lag_measured,
  s.reducible, s.fixed_buffer, s.lag_told, s.share,
  extract(epoch FROM now() - s.published_at)::double precision AS age_s
FROM links AS k
JOIN channels AS c ON c.tenant = k.tenant AND c.channel = k.channel
CROSS JOIN LATERAL (
  SELECT array_agg(l.sku ORDER BY l.sku) AS skus, array_agg(l.units_per ORDER BY l.sku) AS units
  FROM listings AS l
  WHERE l.tenant = k.tenant AND l.channel = k.channel AND l.item_id = k.item_id
    AND l.sku_id = k.sku_id AND NOT l.removed
) AS m
LEFT JOIN bundles AS b
  ON b.tenant = k.tenant AND b.sku = m.skus[1] AND cardinality(m.skus) = 1
LEFT JOIN publications AS s
  ON s.tenant = k.tenant AND s.channel = k.channel AND s.item_id = k.item_id
    AND s.sku_id = k.sku_id
WHERE c.document ->> 'authority' = 'external' AND (m.skus IS NOT NULL OR s.number IS NOT NULL);

-- name: campaigns_of
-- The campaigns in which channels have pools of SKUs. $1 tenants, $2 skus
SELECT p.tenant, p.channel, p.sku, array_agg(DISTINCT p.campaign ORDER BY p.campaign) AS campaigns
FROM unnest($1::text[], $2::text[]) AS a (tenant, sku)
JOIN skus AS k ON k.tenant = a.tenant AND k.sku = a.sku
JOIN pools AS p ON p.tenant = k.tenant AND p.owner = k.owner AND p.sku = k.sku
WHERE p.channel <> '' AND p.campaign <> '' AND NOT p.ended
GROUP BY p.tenant, p.channel, p.sku;

-- name: publish
-- Write what listings are to show, where nobody wrote since it was read; a quantity that changed
-- takes the next number. $1 tenants, $2 channels, $3 item_ids, $4 sku_ids, $5 numbers read (0: no
-- row) and $6 states read, $7 states, $8 skus, $9 units_per, $10 published, $11 buffers, $12 reaches
WITH told AS (
  SELECT *
  FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
    $8::text[], $9::integer[], $10::bigint[], $11::bigint[], $12::bigint[]
  ) AS t (
    tenant, channel, item_id, sku_id, number, before, state, sku, units_per, published, buffer,
    reach
  )
)
INSERT INTO publications AS s (
  tenant, channel, item_id, sku_id, number, state, sku, units_per, published, buffer, reach
)
SELECT
  tenant, channel, item_id, sku_id, number + 1, state, sku, units_per, published, buffer, reach
FROM told
ORDER BY tenant, channel, item_id, sku_id
ON CONFLICT (tenant, channel, item_id, sku_id) DO UPDATE
SET
  number = CASE
    WHEN s.number > 0 AND s.published = excluded.published THEN s.number
    ELSE excluded.number
  END,
  published_at = CASE
    WHEN s.number > 0 AND s.published = excluded.published THEN s.published_at
    ELSE now()
  END,
  state = excluded.state, sku = excluded.sku, units_per = excluded.units_per,
  published = excluded.published, buffer = excluded.buffer, reach = excluded.reach
WHERE s.number = excluded.number - 1
  AND s.state = (
    SELECT t.before
    FROM told AS t
    WHERE (t.tenant, t.channel, t.item_id, t.sku_id)
      = (s.tenant, s.channel, s.item_id, s.sku_id)
  )
RETURNING s.tenant, s.channel, s.item_id, s.sku_id, s.number;

-- name: stop_sku
-- Publish 0 on every listing of a SKU, or of a bundle with it, that does not stand at it.
-- $1 tenant, $2 sku
INSERT INTO publications AS s (
  tenant, channel, item_id, sku_id, number, state, sku, units_per, published
)
SELECT l.tenant, l.channel, l.item_id, l.sku_id, 1, 'paused', min(l.sku), min(l.units_per), 0
FROM listings AS l
JOIN channels AS c ON c.tenant = l.tenant AND c.channel = l.channel
WHERE l.tenant = $1 AND NOT l.removed
  AND (l.sku = $2 OR l.sku IN (
    SELECT b.sku
    FROM bundles AS b
    WHERE b.tenant = $1 AND b.components @> jsonb_build_array(jsonb_build_object('sku', $2::text))
  ))
  AND c.document ->> 'authority' = 'external'
GROUP BY l.tenant, l.channel, l.item_id, l.sku_id
ORDER BY l.tenant, l.channel, l.item_id, l.sku_id
ON CONFLICT (tenant, channel, item_id, sku_id) DO UPDATE
SET
  number = s.number + CASE WHEN s.number > 0 AND s.published = 0 THEN 0 ELSE 1 END,
  published_at = CASE WHEN s.number > 0 AND s.published = 0 THEN s.published_at ELSE now() END,
  state = 'paused', published = 0, buffer = 0;

-- name: listings_of_sku
-- Those of bundles with it, too. $1 tenant, $2 sku
SELECT channel, item_id, sku_id, number, published, acked_number, acked_at
FROM publications
WHERE tenant = $1
  AND (sku = $2 OR sku IN (
    SELECT b.sku
    FROM bundles AS b
    WHERE b.tenant = $1 AND b.components @> jsonb_build_array(jsonb_build_object('sku', $2::text))
  ))
ORDER BY channel, item_id, sku_id;

-- name: list_publications
-- $1 tenant, $2 channel ('' all), $3 sku ('' all), $4 pending, $5 drift (null all), $6 $7 $8 after
-- (channel, item_id, sku_id), $9 limit
SELECT *, number > greatest(acked_number, refused_number) AS pending
FROM publications
WHERE tenant = $1
  AND number > 0
  AND ($2 = '' OR channel = $2)
  AND ($3 = '' OR sku = $3)
  AND ($4::boolean IS NULL OR $4 = (number > greatest(acked_number, refused_number)))
  AND ($5::boolean IS NULL OR $5 = (coalesce(drift, 0) <> 0))
  AND (channel, item_id, sku_id) > ($6, $7, $8)
ORDER BY channel, item_id, sku_id
LIMIT $9;

-- name: mark_sent
-- What an adapter was given. $1 tenant, $2 channels, $3 item_ids, $4 sku_ids, $5 numbers
UPDATE publications AS s
SET sent_number = s.number, sent = s.published, sent_at = now(), sent_made_at = s.published_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[])
  AS t (channel, item_id, sku_id, number)
WHERE s.tenant = $1 AND s.channel = t.channel AND s.item_id = t.item_id AND s.sku_id = t.sku_id
  AND s.number = t.number AND s.sent_number < s.number;

-- name: lock_publications
-- $1 tenant, $2 channel, $3 item_ids, $4 sku_ids
SELECT
  item_id, sku_id, number, published, published_at, sent_number, sent, sent_made_at, acked_number,
  acked, acked_at, refused_number, lag_measured, seen, seen_at, drift, drift_told, now() AS now
FROM publications
WHERE tenant = $1 AND channel = $2
  AND (item_id, sku_id) IN (SELECT * FROM unnest($3::text[], $4::text[]))
ORDER BY tenant, channel, item_id, sku_id
FOR UPDATE;

-- name: ack
-- $1 tenant, $2 channel, $3 item_ids, $4 sku_ids, $5 numbers, $6 quantities, $7 measured lags
UPDATE publications AS s
SET acked_number = t.number, acked = t.quantity, acked_at = now(), lag_measured = t.lag
FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::double precision[])
  AS t (item_id, sku_id, number, quantity, lag)
WHERE s.tenant = $1 AND s.channel = $2 AND s.item_id = t.item_id AND s.sku_id = t.sku_id;

-- name: refuse
-- $1 tenant, $2 channel, $3 item_ids, $4 sku_ids, $5 numbers, $6 reasons
UPDATE publications AS s
SET refused_number = t.number, refused = t.reason
FROM unnest($3::text[], $4::text[], $5::bigint[], $6::text[])
  AS t (item_id, sku_id, number, reason)
WHERE s.tenant = $1 AND s.channel = $2 AND s.item_id = t.item_id AND s.sku_id = t.sku_id;

-- name: see
-- $1 tenant, $2 channel, $3 item_ids, $4 sku_ids, $5 quantities, $6 instants
UPDATE publications AS s
SET seen = t.quantity, seen_at = t.at
FROM unnest($3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
  AS t (item_id, sku_id, quantity, at)
WHERE s.tenant = $1 AND s.channel = $2 AND s.item_id = t.item_id AND s.sku_id = t.sku_id
RETURNING s.item_id, s.sku_id, s.sku, s.number, s.published, s.seen, s.drift, s.drift_told,
  extract(epoch FROM s.seen_at - s.acked_at)::double precision AS after_ack_s;

-- name: tell_drift
-- $1 tenant, $2 channel, $3 item_ids, $4 sku_ids, $5 drifts
UPDATE publications AS s
SET drift_told = t.drift
FROM unnest($3::text[], $4::text[], $5::bigint[]) AS t (item_id, sku_id, drift)
WHERE s.tenant = $1 AND s.channel = $2 AND s.item_id = t.item_id AND s.sku_id = t.sku_id;

-- name: keep_settings
-- Only links that exist; one that was never published gets its row without a number.
-- $1 tenant, $2 channel, $3 item_ids, $4 sku_ids, $5 reducible, $6 buffers, $7 lags, $8 shares
WITH told AS (
  SELECT t.*, l.sku, l.units_per
  FROM unnest(
    $3::text[], $4::text[], $5::boolean[], $6::bigint[], $7::double precision[], $8::integer[]
  ) AS t (item_id, sku_id, reducible, fixed_buffer, lag_told, share)
  JOIN LATERAL (
    SELECT min(l.sku) AS sku, min(l.units_per) AS units_per
    FROM listings AS l
    WHERE l.tenant = $1 AND l.channel = $2 AND l.item_id = t.item_id AND l.sku_id = t.sku_id
      AND NOT l.removed
    HAVING count(*) > 0
  ) AS l ON true
)
INSERT INTO publications AS s (
  tenant, channel, item_id, sku_id, sku, units_per, state, reducible, fixed_buffer, lag_told, share
)
SELECT
  $1, $2, item_id, sku_id, sku, units_per, 'not_on_sale', reducible, fixed_buffer, lag_told, share
FROM told
ORDER BY item_id, sku_id
ON CONFLICT (tenant, channel, item_id, sku_id) DO UPDATE
SET
  reducible = excluded.reducible, fixed_buffer = excluded.fixed_buffer,
  lag_told = excluded.lag_told, share = excluded.share
RETURNING s.item_id, s.sku_id, s.sku;

-- name: write_events
-- $1 kind, $2 actor, $3 data, as one jsonb array
INSERT INTO events (at, kind, actor, data)
SELECT now(), $1, $2, one::json FROM jsonb_array_elements($3::jsonb) AS one;

-- name: is_drained
-- Whether units that leave this pool are shown by a marketplace. $1 tenant, $2 channel, $3 sku
SELECT
  EXISTS (
    SELECT FROM channels
    WHERE tenant = $1 AND channel = $2 AND document ->> 'authority' = 'external'
  )
  AND EXISTS (
    SELECT FROM listings
    WHERE tenant = $1 AND channel = $2 AND NOT removed
      AND (sku = $3 OR sku IN (
        SELECT b.sku
        FROM bundles AS b
        WHERE b.tenant = $1 AND b.components @> jsonb_build_array(jsonb_build_object('sku', $3::text))
      ))
  );

-- name: find_move
-- $1 tenant, $2 move_id
SELECT
  m.document, m.at, m.moved, d.move_id, d.tenant, d.source, d.target, d.channel, d.sku, d.units,
  d.state, d.moving, d.reason, d.told, d.listings, d.requested_at, d.ended_at, d.actor,
  d.deadline < now() AS overdue,
  extract(epoch FROM now() - d.confirmed_at)::double precision AS confirmed_ago_s,
  ARRAY(
    SELECT coalesce(s.acked_number, 0) >= (one ->> 2)::bigint
    FROM jsonb_array_elements(d.listings) WITH ORDINALITY AS l (one, n)
    LEFT JOIN publications AS s
      ON s.tenant = d.tenant AND s.channel = d.channel AND s.item_id = one ->> 0
        AND s.sku_id = one ->> 1
    ORDER BY l.n
  ) AS confirmed
FROM pool_moves AS m
LEFT JOIN drains AS d ON d.tenant = m.tenant AND d.move_id = m.move_id
WHERE m.tenant = $1 AND m.move_id = $2;

-- name: insert_drain
-- $1 tenant, $2 move_id, $3 source, $4 target, $5 channel, $6 sku, $7 units, $8 seconds it may
-- take, $9 actor, $10 why it is refused at once, '' it is not
INSERT INTO drains (
  tenant, move_id, source, target, channel, sku, units, state, deadline, actor, reason, ended_at
)
VALUES (
  $1, $2, $3, $4, $5, $6, $7, CASE $10::text WHEN '' THEN 'requested' ELSE 'refused' END,
  now() + make_interval(secs => $8), $9, $10, CASE $10::text WHEN '' THEN NULL ELSE now() END
)
ON CONFLICT (tenant, move_id) DO NOTHING
RETURNING move_id;

-- name: irreducible
-- $1 tenant, $2 channel, $3 sku
SELECT EXISTS (
  SELECT FROM publications
  WHERE tenant = $1 AND channel = $2 AND NOT reducible
    AND (sku = $3 OR sku IN (
      SELECT b.sku
      FROM bundles AS b
      WHERE b.tenant = $1 AND b.components @> jsonb_build_array(jsonb_build_object('sku', $3::text))
    ))
);

-- name: open_drains
-- Drains that have not ended: of these SKUs, or with null of all. $1 tenants, $2 skus
SELECT
  tenant, move_id, source, target, channel, sku, units, state, moving, listings, actor,
  deadline < now() AS overdue,
  extract(epoch FROM now() - confirmed_at)::double precision AS confirmed_ago_s
FROM drains
WHERE ended_at IS NULL
  AND ($1::text[] IS NULL OR (tenant, sku) IN (SELECT * FROM unnest($1::text[], $2::text[])))
ORDER BY requested_at, tenant, move_id;

-- name: units_draining
-- $1 source
SELECT coalesce(sum(units), 0)::bigint FROM drains WHERE source = $1 AND ended_at IS NULL;

-- name: mark_draining
-- $1 tenant, $2 move_id, $3 listings
UPDATE drains
SET state = 'draining', listings = $3::jsonb, draining_at = now()
WHERE tenant = $1 AND move_id = $2 AND state = 'requested';

-- name: mark_confirmed
-- $1 tenant, $2 move_id
UPDATE drains
SET confirmed_at = now()
WHERE tenant = $1 AND move_id = $2 AND ended_at IS NULL;

-- name: mark_moving
-- $1 tenant, $2 move_id; nothing comes back when it has ended meanwhile.
UPDATE drains
SET moving = true
WHERE tenant = $1 AND move_id = $2 AND ended_at IS NULL
RETURNING move_id;

-- name: end_drain
-- $1 tenant, $2 move_id, $3 state, $4 reason, $5 told, $6 whether the cell may have been asked
UPDATE drains
SET state = $3, reason = $4, told = $5, ended_at = now()
WHERE tenant = $1 AND move_id = $2 AND ended_at IS NULL AND moving = $6
RETURNING move_id;

-- name: confirmed
-- What shops said of listings. $1 tenant, $2 channel, $3 item_ids, $4 sku_ids
SELECT
  s.item_id, s.sku_id, s.number, s.acked_number, coalesce(s.acked, 0) AS acked,
  s.refused_number, s.refused, s.reducible, s.units_per, s.reach, s.lag_told, s.lag_measured
FROM publications AS s
WHERE s.tenant = $1 AND s.channel = $2
  AND (s.item_id, s.sku_id) IN (SELECT * FROM unnest($3::text[], $4::text[]));

-- name: excess
-- Pools of marketplaces with more than their policy says, of which no drain is under way, nor was
-- refused a moment ago. $1 actor of such drains, $2 seconds, $3 limit
SELECT x.units, p.tenant, p.owner, p.sku, p.channel, p.campaign, p.node_group
FROM pool_excess AS x
JOIN pools AS p ON p.pool_id = x.pool_id
WHERE NOT EXISTS (
  SELECT FROM drains AS d
  WHERE d.source = x.pool_id AND d.actor = $1
    AND (d.ended_at IS NULL OR d.ended_at > now() - make_interval(secs => $2))
)
  AND EXISTS (
    SELECT FROM listings AS l
    WHERE l.tenant = p.tenant AND l.channel = p.channel AND NOT l.removed
      AND (
        l.sku = p.sku
        OR l.sku IN (
          SELECT b.sku
          FROM bundles AS b
          WHERE b.tenant = p.tenant
            AND b.components @> jsonb_build_array(jsonb_build_object('sku', p.sku))
        )
      )
  )
ORDER BY x.since, x.pool_id
LIMIT $3;

-- name: drain_of_pool
-- A drain that the engine began by itself and that has not ended. $1 source, $2 actor
SELECT move_id
FROM drains
WHERE source = $1 AND actor = $2 AND ended_at IS NULL
LIMIT 1;
