-- Reads of what was recorded, to compare it with what buyers were told; nothing here writes.

-- name: unsettled
-- What still moves by itself of a channel's sale: unpaid holds, payments and returns on their way.
SELECT
  (
    SELECT count(*)
    FROM orders
    WHERE campaign = $1 AND channel = $2 AND stock_state = 'held'
  )
  + (
    SELECT count(*)
    FROM payments AS p
    INNER JOIN orders AS o ON o.order_id = p.order_id
    WHERE o.campaign = $1 AND o.channel = $2 AND p.state = 'received'
  )
  + (
    SELECT count(*)
    FROM stock_returns AS r
    INNER JOIN orders AS o ON o.order_id = r.order_id
    WHERE o.campaign = $1 AND o.channel = $2 AND r.log_id = ''
  );

-- name: sale_orders
SELECT order_id, channel_order_id, state, payment_state, stock_state
FROM orders
WHERE campaign = $1 AND channel = $2;

-- name: sale_lines
SELECT l.order_id, l.line_no, l.sku, l.quantity, l.open_quantity, o.stock_state
FROM order_lines AS l
INNER JOIN orders AS o ON o.order_id = l.order_id
WHERE o.campaign = $1 AND o.channel = $2
ORDER BY l.order_id, l.line_no;

-- name: sale_payments
SELECT p.order_id, p.payment_id, p.state
FROM payments AS p
INNER JOIN orders AS o ON o.order_id = p.order_id
WHERE o.campaign = $1 AND o.channel = $2;

-- name: sale_cancels
SELECT c.order_id, c.cancel_id
FROM cancels AS c
INNER JOIN orders AS o ON o.order_id = c.order_id
WHERE o.campaign = $1 AND o.channel = $2;

-- name: market_orders
-- The units of each order of a marketplace as they stand in the pools, by SKU.
SELECT o.channel_order_id, o.version, p.sku, sum((d.draw ->> 2)::bigint)::bigint AS units
FROM orders AS o
LEFT JOIN LATERAL jsonb_array_elements(o.draws) AS d (draw) ON true
LEFT JOIN pools AS p ON p.pool_id = d.draw ->> 1
WHERE o.channel = $1 AND o.campaign = $2
GROUP BY o.channel_order_id, o.version, p.sku;

-- name: market_pools
SELECT channel, sku, granted, held + sold AS wanted, owed, available
FROM pools
WHERE campaign = $1
ORDER BY channel, sku;

-- name: market_shorts
-- The units owed to each order, first to the one that is repaid first.
SELECT p.channel, p.sku, array_agg(s.units ORDER BY s.placed_at, s.order_id) AS units
FROM shorts AS s
INNER JOIN pools AS p ON p.pool_id = s.pool_id
WHERE p.campaign = $1
GROUP BY p.channel, p.sku;

-- name: played_sale
-- $1 tenant, $2 campaign
SELECT
  document, starts_at,
  extract(epoch FROM least(ends_at, now()) - starts_at)::double precision AS lasts_s
FROM campaigns
WHERE tenant = $1 AND campaign = $2;

-- name: played_wishes
-- What was sold and stayed so, with the second of the sale in which it was.
-- $1 tenant, $2 campaign, $3 starts_at
SELECT
  extract(epoch FROM o.accepted_at - $3::timestamptz)::double precision AS at_s,
  o.channel, l.sku, l.open_quantity AS units
FROM orders AS o
INNER JOIN order_lines AS l ON l.order_id = o.order_id
WHERE o.tenant = $1 AND o.campaign = $2
  AND o.stock_state IN ('held', 'committed', 'short', 'consumed')
  AND l.open_quantity > 0
ORDER BY o.accepted_at, o.order_id, l.line_no;

-- name: played_marketplaces
-- $1 tenant
SELECT channel
FROM channels
WHERE tenant = $1 AND document ->> 'authority' = 'external';
