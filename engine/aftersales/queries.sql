-- Tables: refunds (engine/infra/migrations/0006_aftersales.sql), blocks; of orders their money.

-- name: lock_order
-- $1 order_id; who changes blocks or refunds of an order does so one after the other.
SELECT
  order_id, tenant, cell, state, payment_state, stock_state, fulfilment_state, currency, payable, attention,
  draws, version
FROM orders
WHERE order_id = $1
FOR UPDATE;

-- name: paid
-- $1 order_id: what was paid for its goods, what was paid for none, and what was given back.
SELECT
  coalesce((
    SELECT sum(p.amount) FROM payments AS p WHERE p.order_id = $1 AND p.state = 'applied'
  ), 0)::bigint AS applied,
  coalesce((
    SELECT sum(p.amount) FROM payments AS p WHERE p.order_id = $1 AND p.state = 'refund_due'
  ), 0)::bigint AS due_back,
  coalesce((
    SELECT sum(r.amount) FROM refunds AS r WHERE r.order_id = $1 AND r.state = 'done'
  ), 0)::bigint AS refunded;

-- name: lines
-- $1 order_id: its lines (no components: they go with their bundle's), and of each the units that refunds before shipment were done for.
SELECT
  l.line_no, l.quantity, l.open_quantity,
  coalesce((
    SELECT sum((part ->> 1)::bigint)
    FROM refunds AS r CROSS JOIN jsonb_array_elements(r.lines) AS part
    WHERE
      r.order_id = l.order_id AND r.state = 'done' AND r.kind = 'cancel'
      AND (part ->> 0)::integer = l.line_no
  ), 0)::bigint AS refunded
FROM order_lines AS l
WHERE l.order_id = $1 AND l.part_of IN (0, l.line_no)
ORDER BY l.line_no;

-- name: refund
SELECT kind, state, amount, currency, lines FROM refunds WHERE order_id = $1 AND refund_id = $2;

-- name: count_refunds
SELECT count(*) FROM refunds WHERE order_id = $1;

-- name: requested
-- $1 order_id: the refunds that are neither done nor rejected, the oldest first.
SELECT refund_id
FROM refunds
WHERE order_id = $1 AND state = 'requested'
ORDER BY created_at, refund_id;

-- name: save_refund
INSERT INTO refunds (order_id, refund_id, kind, state, amount, currency, lines, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8)
ON CONFLICT (order_id, refund_id) DO UPDATE
SET state = excluded.state, actor = excluded.actor, updated_at = now();

-- name: settle_order
UPDATE orders SET payment_state = $2, attention = $3 WHERE order_id = $1;

-- name: ship_to
SELECT document -> 'ship_to' FROM orders WHERE order_id = $1;

-- name: block
SELECT code, line_id, reason, since, until, by
FROM blocks
WHERE order_id = $1 AND code = $2 AND line_id = $3;

-- name: set_block
-- One that has passed begins anew; one that stands keeps the instant since which it does.
INSERT INTO blocks AS b (order_id, code, line_id, reason, until, by)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (order_id, code, line_id) DO UPDATE
SET
  reason = excluded.reason, until = excluded.until, by = excluded.by,
  since = CASE WHEN b.until IS NULL OR b.until > now() THEN b.since ELSE excluded.since END;

-- name: lift_blocks
-- $1 order_id, $2 code, $3 line_id or NULL for all; returned are those that had not passed.
WITH gone AS (
  DELETE FROM blocks
  WHERE order_id = $1 AND code = $2 AND ($3::text IS NULL OR line_id = $3)
  RETURNING line_id, until
)
SELECT line_id FROM gone WHERE until IS NULL OR until > now() ORDER BY line_id;

-- name: blocks
SELECT code, line_id, reason, since, until, by
FROM blocks
WHERE order_id = $1 AND (until IS NULL OR until > now())
ORDER BY since, code, line_id;
