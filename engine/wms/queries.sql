-- Tables: wms_callbacks, node_secrets (engine/infra/migrations/0034_wms.sql), shipment_dues
-- (0048_shipment_dues.sql); of shipments, orders and what was paid for them what a warehouse has to
-- be told.

-- name: put_secret
-- $1 tenant, $2 node, $3 secret, $4 whether the one before is still accepted, $5 actor
INSERT INTO node_secrets AS s (tenant, node, secret, actor)
VALUES ($1, $2, $3, $5)
ON CONFLICT (tenant, node) DO UPDATE
SET
  former = CASE
    WHEN NOT $4::boolean THEN ''
    WHEN s.secret = excluded.secret THEN s.former
    ELSE s.secret
  END,
  secret = excluded.secret, actor = excluded.actor, updated_at = now();

-- name: secrets
-- $1 tenant, $2 node
SELECT secret, former FROM node_secrets
WHERE tenant = $1 AND node = $2;

-- name: take_callback
-- $1 tenant, $2 node, $3 report_id, $4 consignment_id, $5 kind, $6 outcome
INSERT INTO wms_callbacks (tenant, node, report_id, consignment_id, kind, outcome)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, node, report_id) DO NOTHING
RETURNING report_id;

-- name: note_callback
-- $1 tenant, $2 node, $3 report_id, $4 outcome, $5 detail
UPDATE wms_callbacks SET outcome = $4, detail = $5
WHERE tenant = $1 AND node = $2 AND report_id = $3;

-- name: prune_callbacks
-- $1 until, $2 limit
DELETE FROM wms_callbacks
WHERE (tenant, node, report_id) IN (
  SELECT c.tenant, c.node, c.report_id FROM wms_callbacks AS c
  WHERE c.received_at < $1
  ORDER BY c.received_at
  LIMIT $2
);

-- name: consignment_of
-- $1 tenant, $2 channel or any, $3 shipment_id: where it is, "" of one that was withdrawn
SELECT s.consignment_id, s.node, s.state
FROM shipments AS s
JOIN orders AS o ON o.order_id = s.order_id
WHERE s.tenant = $1 AND s.shipment_id = $3 AND ($2 = '' OR o.channel = $2);

-- name: members
-- $1 tenant, $2 node, $3 consignment_id: its shipments, and what of them was told to have left
SELECT
  s.shipment_id, s.order_id, s.lines,
  coalesce(
    (
      SELECT json_agg(json_build_array(p.carrier, p.waybill, p.items))
      FROM parcels AS p
      WHERE p.shipment_id = s.shipment_id
    ), '[]'
  ) AS parcels
FROM shipments AS s
WHERE
  s.tenant = $1 AND s.node = $2
  AND s.consignment_id = $3 AND (s.shipment_id = $3 OR s.consignment_id <> s.shipment_id)
ORDER BY s.shipment_id;

-- name: is_consignment
-- $1 tenant, $2 node, $3 consignment_id
SELECT EXISTS (
  SELECT FROM shipments
  WHERE
    tenant = $1 AND node = $2
    AND consignment_id = $3 AND (shipment_id = $3 OR consignment_id <> shipment_id)
);

-- name: lock_for_report
-- $1 orders; as everybody locks them.
SELECT order_id FROM orders
WHERE order_id = any($1::text[])
ORDER BY order_id
FOR UPDATE;

-- name: order_facts
-- $1 orders: what of each a warehouse has to be told. An address that was changed is the last one
-- that was applied.
SELECT
  o.order_id, o.channel, o.channel_order_id, o.kind, o.currency, o.payable, o.placed_at,
  o.accepted_at, o.payment_state, o.document,
  (
    SELECT json_agg(json_build_array(l.line_no, l.payable, l.open_quantity))
    FROM order_lines AS l
    WHERE l.order_id = o.order_id
  ) AS lines,
  (
    SELECT a.ship_to FROM order_addresses AS a
    WHERE a.order_id = o.order_id AND a.state = 'applied'
    ORDER BY a.revision DESC
    LIMIT 1
  ) AS ship_to,
  p.payment_id, p.paid_at,
  (
    SELECT coalesce(sum(m.amount), 0)::bigint FROM payments AS m
    WHERE m.order_id = o.order_id AND m.state = 'applied'
  ) AS paid
FROM orders AS o
LEFT JOIN LATERAL (
  SELECT m.payment_id, m.paid_at FROM payments AS m
  WHERE m.order_id = o.order_id AND m.state = 'applied'
  ORDER BY m.paid_at, m.payment_id
  LIMIT 1
) AS p ON true
WHERE o.order_id = any($1::text[])
ORDER BY o.order_id;

-- name: due
-- $1 order_id, which is locked: what of it is to be paid at the door, and who was asked to collect
SELECT
  o.draws,
  o.payable - (
    SELECT coalesce(sum(m.amount), 0)::bigint FROM payments AS m
    WHERE m.order_id = o.order_id AND m.state = 'applied'
  ) AS due,
  (
    SELECT coalesce(json_agg(json_build_array(l.line_no, l.payable, l.part_of)), '[]')
    FROM order_lines AS l
    WHERE l.order_id = o.order_id
  ) AS sold,
  (
    SELECT coalesce(json_agg(json_build_array(s.shipment_id, s.lines, d.due)), '[]')
    FROM shipments AS s
    LEFT JOIN shipment_dues AS d ON d.shipment_id = s.shipment_id
    WHERE s.order_id = o.order_id AND s.state NOT IN ('cancelled', 'rejected')
  ) AS live
FROM orders AS o
WHERE o.order_id = $1;

-- name: contents
-- $1 consignment, or the one shipment of it that was stopped before its node was asked
SELECT s.shipment_id, s.order_id, s.node, s.mode, s.lines, s.quoted_grams, coalesce(d.due, 0) AS due
FROM shipments AS s
LEFT JOIN shipment_dues AS d ON d.shipment_id = s.shipment_id
WHERE s.consignment_id = $1 OR (s.shipment_id = $1 AND s.consignment_id = '')
ORDER BY s.shipment_id;

-- name: ask_due
-- $1 shipment_id, $2 minor units
INSERT INTO shipment_dues (shipment_id, due) VALUES ($1, $2);

-- name: to_intercept
-- $1 shipment_id
SELECT
  s.order_id, s.service,
  ARRAY(
    SELECT p.waybill FROM parcels AS p WHERE p.shipment_id = s.shipment_id
    UNION
    SELECT w.waybill FROM waybills AS w
    WHERE w.tenant = s.tenant AND w.shipment_id = s.consignment_id AND w.state IN ('got', 'used')
  ) AS waybills
FROM shipments AS s
WHERE s.shipment_id = $1;
