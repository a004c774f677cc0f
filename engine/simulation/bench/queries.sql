-- How far Postgres has come with a cell's log, and what it has of one campaign.

-- name: recorded
SELECT last_id, recorded FROM cells WHERE cell = $1;

-- name: orders_of_campaigns
SELECT count(*) FROM orders WHERE campaign = any($1::text[]);

-- name: size
SELECT
  (SELECT count(*) FROM orders) AS orders,
  pg_database_size(current_database()) AS database,
  (SELECT wal_bytes FROM pg_stat_wal) AS wal,
  (SELECT wal_fpi FROM pg_stat_wal) AS wal_pages;

-- name: tables
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes
FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relnamespace = to_regnamespace('public')
ORDER BY bytes DESC, name
LIMIT 8;

-- name: tidy_up
-- What the server's own vacuum would do while we measure.
VACUUM (ANALYZE);

-- name: write_out
CHECKPOINT;

-- name: pools_to_grant
-- $1 campaign
SELECT count(*) FROM pools WHERE campaign = $1 AND NOT ended;

-- name: write_grants
-- $1 campaign, $2 how many for each of its pools, an even number: none is left with more or less
INSERT INTO grants (pool_id, seq, delta, reason, reference)
SELECT p.pool_id, p.seq + n, CASE WHEN n % 2 = 1 THEN 1 ELSE -1 END, 'campaign', $1
FROM pools AS p, generate_series(1, $2::integer) AS n
WHERE p.campaign = $1 AND NOT p.ended;

-- name: grants_are_open
SELECT EXISTS (SELECT FROM grants WHERE applied IS NULL);

-- name: route_skus
-- $1 tenant, $2 how many
INSERT INTO skus (tenant, sku, owner, version, document, actor)
SELECT $1, 'bench-' || lpad((n - 1)::text, 4, '0'), '', 1, '{"name": "bench"}', 'bench'
FROM generate_series(1, $2::integer) AS n;

-- name: route_stock
-- $1 tenant, $2 nodes, $3 of each which part of all SKUs it has: 20 to 420 units, or, where there are
-- fewer than 40 nodes, as much more that all together have no less
WITH made AS (
  INSERT INTO stock_keys (tenant, node, owner, sku, condition, batch)
  SELECT $1, n.node, '', s.sku, 'good', ''
  FROM unnest($2::text[], $3::float8[]) AS n (node, share)
  JOIN skus AS s ON s.tenant = $1
  WHERE abs(hashtextextended(n.node || s.sku, 0) % 1000) < n.share * 1000
  RETURNING key_id
)
INSERT INTO stock_balances (key_id, counted, as_of)
SELECT key_id, (20 + key_id * 7919 % 400) * greatest(1, 40 / cardinality($2::text[])), now()
FROM made;

-- name: restock
-- What was bound lies there again, so that no load runs out; routers see it when they read it anew.
UPDATE stock_balances SET committed = 0 WHERE committed > 0;

-- name: route_orders
-- $1 tenant, $2 channel, $3 order_ids, $4 draws of each
INSERT INTO orders (
  order_id, cell, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, fulfilment_state, currency, payable, attempt, fingerprint, placed_at, accepted_at,
  log_id, actor, draws, counters, document
)
SELECT
  o.order_id, 'bench', $1, $2, o.order_id, '', '', 'sale', 'open', 'paid', 'committed', 'unrouted',
  'CNY', 12000, 1, '', now(), now(), '1-0', 'bench', o.draws::jsonb, '[]', '{}'
FROM unnest($3::text[], $4::text[]) AS o (order_id, draws)
RETURNING order_id, xmin::text AS row_version;

-- name: route_now
-- $1 what their ids begin with
UPDATE routing_queue SET due_at = now() WHERE order_id LIKE $1 || '-%';

-- name: routed
-- $1 what their ids begin with: orders that are bound, their shipments, and what waits still
SELECT
  (
    SELECT count(*) FROM orders WHERE order_id LIKE $1 || '-%' AND fulfilment_state = 'routed'
  ) AS orders,
  (SELECT count(*) FROM shipments WHERE order_id LIKE $1 || '-%') AS parcels,
  (SELECT count(*) FROM routing_queue WHERE order_id LIKE $1 || '-%') AS waiting;
