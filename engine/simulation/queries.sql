-- Reads of what was recorded, to compare it with what buyers were told; nothing here writes.

-- name: unsettled
-- What still moves by itself in a campaign: unpaid holds, payments and returns on their way.
SELECT
  (SELECT count(*) FROM orders WHERE campaign = $1 AND stock_state = 'held')
  + (
    SELECT count(*)
    FROM payments AS p
    INNER JOIN orders AS o ON o.order_id = p.order_id
    WHERE o.campaign = $1 AND p.state = 'received'
  )
  + (
    SELECT count(*)
    FROM stock_returns AS r
    INNER JOIN orders AS o ON o.order_id = r.order_id
    WHERE o.campaign = $1 AND r.log_id = ''
  );

-- name: sale_orders
SELECT order_id, channel_order_id, state, payment_state, stock_state FROM orders WHERE campaign = $1;

-- name: sale_lines
SELECT l.order_id, l.line_no, l.sku, l.quantity, l.open_quantity, o.stock_state
FROM order_lines AS l
INNER JOIN orders AS o ON o.order_id = l.order_id
WHERE o.campaign = $1
ORDER BY l.order_id, l.line_no;

-- name: sale_payments
SELECT p.order_id, p.payment_id, p.state
FROM payments AS p
INNER JOIN orders AS o ON o.order_id = p.order_id
WHERE o.campaign = $1;

-- name: sale_cancels
SELECT c.order_id, c.cancel_id
FROM cancels AS c
INNER JOIN orders AS o ON o.order_id = c.order_id
WHERE o.campaign = $1;
