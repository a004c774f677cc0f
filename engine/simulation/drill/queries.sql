-- Tables: orders, recoveries (infra/migrations).

-- name: recorded_numbers
SELECT channel_order_id FROM orders WHERE channel = $1;

-- name: last_recovery
SELECT
  orders, pending, greatest(0, accepted_before - accepted_after) AS uncounted,
  extract(epoch FROM rebuilt_at - started_at)::double precision AS seconds
FROM recoveries
WHERE opened_at IS NOT NULL
ORDER BY epoch DESC
LIMIT 1;

-- name: recorded_to
-- $1 cell: the last entry of its log that Postgres has
SELECT last_id FROM cells WHERE cell = $1;

-- name: recorded_orders
-- $1 campaign
SELECT channel, channel_order_id, order_id, version, payment_state, attention
FROM orders
WHERE campaign = $1;

-- name: recorded_payments
-- $1 campaign
SELECT p.order_id, p.payment_id, p.state
FROM payments AS p
INNER JOIN orders AS o ON o.order_id = p.order_id
WHERE o.campaign = $1;

-- name: sold_units
-- $1 campaign: what orders have that are not cancelled, by channel and SKU
SELECT o.channel, l.sku, sum(l.open_quantity)::bigint AS units
FROM orders AS o
INNER JOIN order_lines AS l ON l.order_id = o.order_id
WHERE o.campaign = $1 AND o.stock_state IN ('held', 'committed', 'consumed')
GROUP BY o.channel, l.sku;
