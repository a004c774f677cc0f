-- Tables: cells, pools, ledger, grants, orders, shorts, duplicates, cell_rules, pauses, events
-- (infra/migrations/0001_spine.sql), stock_balances and what it is made of (…/0009_physical.sql,
-- …/0015_physical.sql), publications (…/0012_publications.sql), drifts, adjustments
-- (…/0013_assurance.sql).

-- name: recorded_to
SELECT epoch, last_id FROM cells WHERE cell = $1;

-- name: pool_ids
-- $1 cell, $2 after, $3 limit
SELECT pool_id FROM pools WHERE cell = $1 AND pool_id > $2 ORDER BY pool_id LIMIT $3;

-- name: sent_grants
-- Before the cell is read: what is marked as sent by now, it has answered before.
SELECT pool_id, max(seq) AS seq
FROM grants
WHERE applied IS NULL AND sent_at IS NOT NULL
GROUP BY pool_id;

-- name: pools_differing
-- Of pools as the cell has them, those that Postgres, wherever it is in the log, has otherwise.
-- Numbers come as texts of arrays, which cost whoever sends them a tenth. $1 pool ids, then their
-- $2 granted, $3 owed, $4 available, $5 held, $6 sold, $7 seq, $8 ended and $9 successor
SELECT c.pool_id
FROM unnest(
  $1::text[], $2::text::bigint[], $3::text::bigint[], $4::text::bigint[], $5::text::bigint[],
  $6::text::bigint[], $7::text::bigint[], $8::text::boolean[], $9::text[]
) AS c (pool_id, granted, owed, available, held, sold, seq, ended, successor)
JOIN pools AS p ON p.pool_id = c.pool_id
WHERE
  (p.granted, p.owed, p.available, p.held, p.sold, p.seq, p.ended, p.successor)
  <> (c.granted, c.owed, c.available, c.held, c.sold, c.seq, c.ended, c.successor);

-- name: pools_at
-- Pools as they stood at a position that Postgres has passed: less what was recorded since.
-- $1 cell, $2 pool ids, $3 that position, as ms and sequence $4, $5
WITH later AS (
  SELECT
    pool_id, sum(granted)::bigint AS granted, sum(owed)::bigint AS owed,
    sum(available)::bigint AS available, sum(held)::bigint AS held, sum(sold)::bigint AS sold
  FROM ledger
  WHERE
    cell = $1 AND log_id >= split_part($3, '-', 1)
    AND (split_part(log_id, '-', 1)::bigint, split_part(log_id, '-', 2)::bigint)
      > ($4::bigint, $5::bigint)
  GROUP BY pool_id
), numbered AS (
  SELECT
    pool_id,
    count(*) FILTER (
      WHERE log_id <> '' AND (split_part(log_id, '-', 1)::bigint, split_part(log_id, '-', 2)::bigint)
        > ($4::bigint, $5::bigint)
    ) AS later,
    max(seq) FILTER (WHERE applied IS NOT NULL) AS applied
  FROM grants
  WHERE pool_id = any($2::text[])
  GROUP BY pool_id
)
SELECT
  p.pool_id, p.tenant, p.sku, p.channel, p.campaign,
  p.granted - coalesce(l.granted, 0) AS granted, p.owed - coalesce(l.owed, 0) AS owed,
  p.available - coalesce(l.available, 0) AS available, p.held - coalesce(l.held, 0) AS held,
  p.sold - coalesce(l.sold, 0) AS sold,
  greatest(p.seq, coalesce(n.applied, 0)) - coalesce(n.later, 0) AS seq,
  p.seq AS folded, p.ended, p.successor
FROM pools AS p
LEFT JOIN later AS l ON l.pool_id = p.pool_id
LEFT JOIN numbered AS n ON n.pool_id = p.pool_id
WHERE p.pool_id = any($2::text[]);

-- name: ledger_gaps
-- One statement, so one moment: what is written with a pool is there with it.
SELECT
  p.pool_id, p.tenant, p.sku, p.channel, p.campaign,
  ARRAY[p.granted, p.owed, p.available, p.held, p.sold] AS pool,
  ARRAY[
    coalesce(l.granted, 0), coalesce(l.owed, 0), coalesce(l.available, 0), coalesce(l.held, 0),
    coalesce(l.sold, 0)
  ] AS ledger
FROM pools AS p
LEFT JOIN (
  SELECT
    pool_id, sum(granted)::bigint AS granted, sum(owed)::bigint AS owed,
    sum(available)::bigint AS available, sum(held)::bigint AS held, sum(sold)::bigint AS sold
  FROM ledger
  WHERE cell = $1
  GROUP BY pool_id
) AS l ON l.pool_id = p.pool_id
WHERE
  p.cell = $1
  AND (p.granted, p.owed, p.available, p.held, p.sold) IS DISTINCT FROM (
    coalesce(l.granted, 0), coalesce(l.owed, 0), coalesce(l.available, 0), coalesce(l.held, 0),
    coalesce(l.sold, 0)
  )
LIMIT $2;

-- name: grant_gaps
-- Numbers that are missing or were folded out of their order, and pools whose grants as applied are
-- not what the log told of them; of one moment.
WITH told AS (
  SELECT reference AS pool_id, sum(granted)::bigint AS units
  FROM ledger
  WHERE cell = $1 AND kind = 'granted'
  GROUP BY reference
), given AS (
  SELECT
    g.pool_id, count(*) AS numbers, max(g.seq) AS last_seq,
    coalesce(sum(g.applied), 0)::bigint AS units,
    min(g.seq) FILTER (WHERE g.applied IS NULL) AS first_open,
    max(g.seq) FILTER (WHERE g.applied IS NOT NULL) AS last_applied
  FROM grants AS g
  GROUP BY g.pool_id
)
SELECT
  p.pool_id, p.tenant, p.sku, p.channel, p.campaign, g.numbers, g.last_seq, g.first_open,
  g.last_applied, coalesce(g.units, 0) AS given, coalesce(t.units, 0) AS told,
  (
    SELECT min(a.seq)
    FROM grants AS a
    WHERE
      a.pool_id = p.pool_id AND a.applied <> 0
      AND NOT EXISTS (
        SELECT FROM ledger AS l
        WHERE l.cell = $1 AND l.log_id = a.log_id AND l.reference = a.pool_id AND l.kind = 'granted'
      )
  ) AS untold
FROM pools AS p
JOIN given AS g ON g.pool_id = p.pool_id
LEFT JOIN told AS t ON t.pool_id = p.pool_id
WHERE
  p.cell = $1
  AND (
    g.units <> coalesce(t.units, 0) OR g.numbers <> g.last_seq OR g.first_open < g.last_applied
  )
LIMIT $2;

-- name: untold_grants
-- $1 cell, $2 pool ids
SELECT a.pool_id, max(a.seq) AS seq
FROM grants AS a
WHERE
  a.pool_id = any($2::text[]) AND a.applied IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM ledger AS l
    WHERE l.cell = $1 AND l.log_id = a.log_id AND l.reference = a.pool_id AND l.kind = 'granted'
  )
GROUP BY a.pool_id;

-- name: holds_differing
-- Of holds as the cell has them, those that are not what Postgres recorded: rules.compare_hold, for
-- the many that agree. $1 order ids, then their $2 state, $3 attempt, $4 end in ms and $5 draws
SELECT h.order_id
FROM unnest($1::text[], $2::text::text[], $3::text::integer[], $4::text::bigint[], $5::text[])
  AS h (order_id, state, attempt, held_until, draws)
LEFT JOIN orders AS o ON o.order_id = h.order_id
WHERE
  o.order_id IS NULL
  OR (h.state = 'P') <> (
    o.state = 'open' AND o.payment_state IN ('unpaid', 'deposit_paid')
    AND o.source_status IN ('', 'unpaid')
  )
  OR h.state = 'P' AND (
    o.draws <> h.draws::jsonb
    OR o.version = '' AND o.attempt <> h.attempt
    OR h.held_until > 0 AND o.held_until IS NOT NULL
    AND o.held_until <> to_timestamp(h.held_until / 1000.0)
  );

-- name: orders_of
-- $1 order ids
SELECT
  order_id, tenant,
  state = 'open' AND payment_state IN ('unpaid', 'deposit_paid')
  AND source_status IN ('', 'unpaid') AS pending,
  state, attempt, version = '' AS asked_for,
  coalesce(round(extract(epoch FROM held_until) * 1000), 0)::bigint AS held_until, draws
FROM orders
WHERE order_id = any($1::text[]);

-- name: duplicates_of
-- $1 cell, $2 order ids: second holds of known orders, to be given back
SELECT DISTINCT order_id FROM duplicates WHERE cell = $1 AND order_id = any($2::text[]);

-- name: order_pages
SELECT greatest(1, pg_relation_size('orders') / current_setting('block_size')::bigint) AS pages;

-- name: remembered_orders
-- Orders of these pages of the table that the cell must remember: those it may forget ended over 7
-- days ago, and were accepted before that. Going by pages costs no index, and reads each once.
-- $1 cell, $2 from and $3 to (block, 0)
SELECT order_id
FROM orders
WHERE
  ctid >= $2::tid AND ctid < $3::tid AND cell = $1
  AND (
    accepted_at > now() - interval '6 days 23 hours'
    OR state = 'open' AND payment_state IN ('unpaid', 'deposit_paid')
    AND source_status IN ('', 'unpaid') AND draws <> '[]'
  );

-- name: owed_off
-- What is listed in `shorts`, pool by pool, against what the pools owe; of one moment.
SELECT p.pool_id, p.tenant, p.sku, p.channel, p.campaign, p.owed, coalesce(s.units, 0) AS listed
FROM pools AS p
LEFT JOIN (
  SELECT pool_id, sum(units)::bigint AS units FROM shorts GROUP BY pool_id
) AS s ON s.pool_id = p.pool_id
WHERE p.cell = $1 AND p.owed <> coalesce(s.units, 0)
LIMIT $2;

-- name: known_rules
-- $1 cell, $2 after field, $3 limit
SELECT field, body
FROM cell_rules
WHERE cell = $1 AND applied AND field > $2
ORDER BY field
LIMIT $3;

-- name: rules_of
-- $1 cell, $2 fields
SELECT field, body FROM cell_rules WHERE cell = $1 AND applied AND field = any($2::text[]);

-- name: missing_rules
-- What documents and pools must have in the cell, and nothing was ever written down for.
SELECT d.tenant, d.field
FROM (
  SELECT tenant, unnest(fields) AS field FROM campaigns WHERE planned_version > 0
  UNION ALL
  SELECT tenant, concat_ws(E'\x1f', 'campaign', tenant, campaign)
  FROM campaigns WHERE planned_version > 0
  UNION ALL
  SELECT tenant, concat_ws(E'\x1f', 'channel', tenant, channel)
  FROM channels WHERE planned_version > 0
  UNION ALL
  SELECT tenant, concat_ws(E'\x1f', 'offer', tenant, campaign, channel, sku)
  FROM pools WHERE cell = $1 AND channel <> '' AND NOT ended
) AS d
WHERE NOT EXISTS (SELECT FROM cell_rules AS r WHERE r.cell = $1 AND r.field = d.field)
LIMIT $2;

-- name: documents_off
-- Documents that say something else than what of them was planned; what is not planned yet waits.
-- A claim says more than its campaign's entry where a later version of ours added a field. Entries
-- of campaigns that name bundles are put together from several.
-- $1 limit
SELECT 'supply policy' AS what, tenant, policy AS id, '' AS sku
FROM supply_policies
WHERE planned_version = version AND planned IS DISTINCT FROM document
UNION ALL
SELECT 'campaign', c.tenant, c.campaign, one ->> 'sku'
FROM campaigns AS c
CROSS JOIN jsonb_array_elements(c.document -> 'skus') AS one
LEFT JOIN campaign_skus AS s
  ON s.tenant = c.tenant AND s.campaign = c.campaign AND s.sku = one ->> 'sku'
WHERE
  c.planned_version = c.version AND c.returned_at IS NULL
  AND (s.document @> one) IS NOT TRUE
  AND NOT EXISTS (
    SELECT
    FROM jsonb_array_elements(c.document -> 'skus') AS named
    JOIN bundles AS b ON b.tenant = c.tenant AND b.sku = named ->> 'sku'
  )
LIMIT $1;

-- name: known_pauses
SELECT tenant, scope, id, by, reason FROM pauses;

-- name: balances_off
-- Balances against what they are made of, by the rule of engine/physical/rules/folding.py; of one
-- moment. A part is of one verb, and its units are as the rule has them. $1 after key, $2 to key
SELECT
  b.key_id, k.tenant, k.node, k.sku,
  ARRAY[
    b.changed, b.changed_locked, b.accepted_then, b.shipped_since, b.committed, b.handed_over,
    b.shipped
  ] AS stored,
  ARRAY[
    m.changed, m.changed_locked, a.accepted_then, a.shipped_since, a.committed, a.handed_over,
    a.shipped
  ] AS counted
FROM stock_balances AS b
JOIN stock_keys AS k ON k.key_id = b.key_id
CROSS JOIN LATERAL (
  SELECT
    coalesce(sum(quantity), 0)::bigint AS changed, coalesce(sum(locked), 0)::bigint AS changed_locked
  FROM stock_movements
  WHERE key_id = b.key_id AND kind <> 'count' AND (b.as_of IS NULL OR happened_at > b.as_of)
) AS m
CROSS JOIN LATERAL (
  SELECT
    coalesce(sum(units) FILTER (WHERE shipped_at IS NOT NULL), 0)::bigint AS shipped,
    coalesce(sum(units) FILTER (
      WHERE shipped_at IS NOT NULL AND (b.as_of IS NULL OR shipped_at > b.as_of)
    ), 0)::bigint AS shipped_since,
    coalesce(sum(units) FILTER (
      WHERE shipped_at IS NULL AND cancelled_at IS NULL AND accepted_at IS NULL
    ), 0)::bigint AS committed,
    coalesce(sum(units) FILTER (
      WHERE shipped_at IS NULL AND cancelled_at IS NULL AND accepted_at IS NOT NULL
    ), 0)::bigint AS handed_over,
    coalesce(sum(units) FILTER (
      WHERE accepted_at <= b.as_of AND (shipped_at IS NULL OR shipped_at > b.as_of)
        AND (shipped_at IS NOT NULL OR cancelled_at IS NULL OR cancelled_at > b.as_of)
    ), 0)::bigint AS accepted_then
  FROM (
    SELECT units - apart AS units, accepted_at, shipped_at, cancelled_at
    FROM stock_assignments
    WHERE key_id = b.key_id
    UNION ALL
    SELECT
      units, accepted_at, CASE verb WHEN 'ship' THEN at END, CASE verb WHEN 'cancel' THEN at END
    FROM stock_parts
    WHERE key_id = b.key_id
  ) AS pieces
) AS a
WHERE
  b.key_id > $1 AND b.key_id <= $2
  AND (
    b.changed, b.changed_locked, b.accepted_then, b.shipped_since, b.committed, b.handed_over,
    b.shipped
  ) <> (
    m.changed, m.changed_locked, a.accepted_then, a.shipped_since, a.committed, a.handed_over,
    a.shipped
  );

-- name: listings_off
-- Shops that were told a number, confirmed it, and then showed another one. Fewer is what buyers take
-- in the moment before their orders come, so it counts only where it was so for a minute.
SELECT tenant, channel, item_id, sku_id, sku, published, seen, drift
FROM publications
WHERE drift > 0 OR drift < 0 AND seen_at > acked_at + interval '1 minute'
ORDER BY tenant, channel, item_id, sku_id
LIMIT $1;

-- name: last_key
SELECT coalesce(max(key_id), 0) FROM stock_balances;

-- name: raise_drift
-- Nothing is told anew of what was seen before. $1 cell, $2 tenant, $3 kind, $4 subject, $5 expected,
-- $6 found, $7 units, $8 detail, $9 repair, $10 unsafe
INSERT INTO drifts AS d (
  cell, tenant, kind, subject, expected, found, units, detail, repair, unsafe
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (cell, kind, subject) WHERE resolved_at IS NULL DO UPDATE
SET
  expected = excluded.expected, found = excluded.found, units = excluded.units,
  detail = excluded.detail, repair = excluded.repair, unsafe = excluded.unsafe, last_seen = now()
RETURNING drift_id, xmax = 0 AS fresh, done;

-- name: note_repair
UPDATE drifts SET done = $2 WHERE drift_id = $1;

-- name: adjust
INSERT INTO adjustments (
  drift_id, cell, kind, subject, value_before, value_after, reason, actor
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: resolve_drifts
-- Of these kinds, what a whole pass that began at $3 has not seen. $1 cell, $2 kinds
UPDATE drifts
SET resolved_at = now()
WHERE cell = $1 AND kind = any($2::text[]) AND resolved_at IS NULL AND last_seen < $3
RETURNING drift_id, tenant, kind, subject, done;

-- name: tell
INSERT INTO events (at, kind, actor, data) VALUES (now(), $1, $2, $3::json);

-- name: now
SELECT clock_timestamp();

-- name: unsafe_drifts
SELECT count(*) AS drifts, min(detail) AS one
FROM drifts
WHERE cell = $1 AND resolved_at IS NULL AND unsafe;

-- name: list_drifts
-- Newest first. $1 tenant, $2 kind or '', $3 open only, $4 below drift_id, $5 limit
SELECT
  drift_id, tenant, kind, subject, expected, found, units, detail, repair, unsafe, done, first_seen,
  last_seen, resolved_at
FROM drifts
WHERE
  tenant IN ($1, '') AND ($2 = '' OR kind = $2) AND (NOT $3::boolean OR resolved_at IS NULL)
  AND ($4::bigint IS NULL OR drift_id < $4)
ORDER BY drift_id DESC
LIMIT $5;

-- name: send_grant_again
-- A grant of which neither the cell nor the ledger knows; whoever sends finds it with its number.
UPDATE grants AS g
SET sent_at = NULL, applied = NULL, log_id = ''
WHERE
  g.pool_id = $2 AND g.seq >= $3
  AND NOT EXISTS (
    SELECT FROM ledger AS l
    WHERE l.cell = $1 AND l.log_id = g.log_id AND l.reference = g.pool_id AND l.kind = 'granted'
  );

-- name: set_pool_seq
-- As far as the grants were really applied.
UPDATE pools SET seq = $2 WHERE pool_id = $1 AND seq > $2;

-- name: tell_rule_again
UPDATE cell_rules SET version = $3, body = $4, applied = false WHERE cell = $1 AND field = $2;

-- name: one_rule
SELECT version, body FROM cell_rules WHERE cell = $1 AND field = $2;

-- name: note_pause
INSERT INTO pauses (tenant, scope, id, since, by, reason)
VALUES ($1, $2, $3, to_timestamp($4::bigint / 1000.0), $5, $6)
ON CONFLICT (tenant, scope, id) DO NOTHING;

-- name: raise_epoch
UPDATE cells SET epoch = $3 WHERE cell = $1 AND epoch = $2;
