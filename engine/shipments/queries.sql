-- Tables: shipments, shipment_reports, stops, stop_parts, parcels, order_addresses
-- (engine/infra/migrations/0030_shipments.sql); of orders how far they are, of blocks whether one
-- stands. Locks: orders by order_id, then shipments by shipment_id, then stops, then stock.

-- name: lock_orders
-- $1 order_ids
SELECT order_id, tenant, channel, state, payment_state, fulfilment_state, draws, version
FROM orders
WHERE order_id = any($1::text[])
ORDER BY order_id
FOR UPDATE;

-- name: is_blocked
SELECT EXISTS (
  SELECT FROM blocks WHERE order_id = $1 AND (until IS NULL OR until > now())
);

-- name: set_progress
UPDATE orders AS o SET fulfilment_state = u.progress
FROM unnest($1::text[], $2::text[]) AS u (order_id, progress)
WHERE o.order_id = u.order_id;

-- name: orders_of
-- $1 consignment_id: whose orders' goods are in it
SELECT DISTINCT order_id
FROM shipments
WHERE shipment_id = $1 OR (consignment_id = $1 AND consignment_id <> shipment_id)
ORDER BY order_id;

-- name: lock_shipments
-- $1 order_ids: all of theirs
SELECT
  shipment_id, tenant, order_id, node, attempt, consignment_id, mode, lines, service, no_return,
  intercepts, release_at, capacity, capacity_back, state, cancelling, wms_ref, reason
FROM shipments
WHERE order_id = any($1::text[])
ORDER BY shipment_id
FOR NO KEY UPDATE;

-- name: shipments_of
-- $1 order_ids: all of theirs, not locked
SELECT
  shipment_id, tenant, order_id, node, attempt, consignment_id, mode, lines, service, no_return,
  intercepts, release_at, capacity, capacity_back, state, cancelling, wms_ref, reason
FROM shipments
WHERE order_id = any($1::text[])
ORDER BY shipment_id;

-- name: shown
-- $1 tenant, $2 channel, $3 shipment_id, $4 order_id, $5 node, $6 state, $7 carrier, $8 promised to
-- leave before, $9 after this id, $10 how many; empty texts and NULL do not filter
SELECT
  s.shipment_id, s.order_id, s.consignment_id, s.node, s.attempt, s.mode, s.state, s.state_at,
  s.reason, s.service, s.quote, s.currency, s.promised_ship_by, s.promised_deliver_by, s.wms_ref,
  s.told_at, s.lines
FROM shipments AS s
WHERE
  s.tenant = $1
  AND (
    $2 = ''
    OR EXISTS (SELECT FROM orders AS o WHERE o.order_id = s.order_id AND o.channel = $2)
  )
  AND ($3 = '' OR s.shipment_id = $3)
  AND ($4 = '' OR s.order_id = $4)
  AND ($5 = '' OR s.node = $5)
  AND ($6 = '' OR s.state = $6)
  AND (
    $7 = ''
    OR EXISTS (SELECT FROM parcels AS p WHERE p.shipment_id = s.shipment_id AND p.carrier = $7)
  )
  AND ($8::timestamptz IS NULL OR s.promised_ship_by < $8)
  AND s.shipment_id > $9
ORDER BY s.shipment_id
LIMIT $10;

-- name: parcels_of
-- $1 shipment_ids
SELECT
  shipment_id, parcel_id, carrier, waybill, items, grams, serials, shipped_at, milestone,
  milestone_at
FROM parcels
WHERE shipment_id = any($1::text[])
ORDER BY parcel_id;

-- name: stops_of
-- $1 shipment_ids
SELECT p.shipment_id, p.stop_id, t.cause, t.asked_at, p.answer, p.at
FROM stop_parts AS p
JOIN stops AS t ON t.stop_id = p.stop_id
WHERE p.shipment_id = any($1::text[])
ORDER BY t.asked_at, p.stop_id;

-- name: has_live
SELECT EXISTS (
  SELECT FROM shipments WHERE order_id = $1 AND state NOT IN ('cancelled', 'rejected')
);

-- name: next_numbers
-- $1 order_ids; those that have no shipment yet are not among the answers
SELECT order_id, count(*)::integer + 1 AS n
FROM shipments
WHERE order_id = any($1::text[])
GROUP BY order_id;

-- name: next_attempts
-- $1 order_id: by node
SELECT node, max(attempt) + 1 AS attempt FROM shipments WHERE order_id = $1 GROUP BY node;

-- name: plan_again
-- $1 shipment_id, $2 that of the new one, $3 its attempt, $4 at; capacity that the old one had taken
-- and not given back is the new one's.
WITH handed_on AS (
  UPDATE shipments SET capacity_back = true WHERE shipment_id = $1
)
INSERT INTO shipments (
  shipment_id, tenant, order_id, node, attempt, consignment_id, mode, lines, service, card, quote,
  currency, quoted_grams, promised_ship_by, promised_deliver_by, region, no_return, intercepts,
  merge_hash, release_at, capacity, capacity_back, state, state_at
)
SELECT
  $2, tenant, order_id, node, $3, $2, mode, lines, service, card, quote, currency, quoted_grams,
  promised_ship_by, promised_deliver_by, region, no_return, intercepts, '', release_at, capacity,
  capacity_back, 'planned', $4
FROM shipments
WHERE shipment_id = $1;

-- name: set_state
UPDATE shipments
SET
  state = $2, state_at = $3, reason = CASE WHEN $4 = '' THEN reason ELSE $4 END,
  told_at = $5::jsonb, wms_ref = CASE WHEN $6 = '' THEN wms_ref ELSE $6 END, cancelling = $7
WHERE shipment_id = $1;

-- name: move_on
-- $1 shipment_ids, $2 the state that is ours
UPDATE shipments SET state = $2, state_at = $3 WHERE shipment_id = any($1::text[]);

-- name: set_cancelling
-- $1 shipment_ids: a cancel is being sent
UPDATE shipments SET cancelling = true WHERE shipment_id = any($1::text[]) AND NOT cancelling;

-- name: take_back_capacity
-- $1 how many shipments at most
WITH over AS (
  SELECT shipment_id
  FROM shipments
  WHERE NOT capacity_back AND state IN ('cancelled', 'rejected')
  ORDER BY shipment_id
  LIMIT $1
  FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE shipments AS s SET capacity_back = true
FROM over
WHERE s.shipment_id = over.shipment_id
RETURNING s.tenant, s.capacity;

-- name: add_report
INSERT INTO shipment_reports (shipment_id, kind, report_id, at, data)
VALUES ($1, $2, $3, $4, $5::json)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: reports
-- $1 shipment_ids
SELECT shipment_id, kind, report_id, at, data
FROM shipment_reports
WHERE shipment_id = any($1::text[])
ORDER BY shipment_id, kind, report_id;

-- name: add_stop
INSERT INTO stops (
  stop_id, tenant, order_id, cause, cause_id, lines, asked_at, actor, shipments, detail
)
VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8, $9, $10::json)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: stop
SELECT stop_id, order_id, cause, cause_id, lines, actor, shipments, answer, detail
FROM stops
WHERE stop_id = $1;

-- name: add_stop_parts
INSERT INTO stop_parts (stop_id, shipment_id, answer, at)
SELECT $1, p.shipment_id, p.answer, CASE WHEN p.answer <> '' THEN $4::timestamptz END
FROM unnest($2::text[], $3::text[]) AS p (shipment_id, answer);

-- name: lock_open_stops
-- $1 order_ids: theirs that are open
SELECT stop_id, order_id, cause, cause_id, lines, actor, shipments, answer, detail
FROM stops
WHERE order_id = any($1::text[]) AND answer = ''
ORDER BY stop_id
FOR NO KEY UPDATE;

-- name: has_open_stop
-- $1 order_id: somebody waits for an answer about it
SELECT EXISTS (SELECT FROM stops WHERE order_id = $1 AND answer = '');

-- name: parts
-- $1 stop_ids
SELECT stop_id, shipment_id, answer
FROM stop_parts
WHERE stop_id = any($1::text[])
ORDER BY stop_id, shipment_id;

-- name: answer_parts
UPDATE stop_parts AS p SET answer = a.answer, at = $4
FROM unnest($1::text[], $2::text[], $3::text[]) AS a (stop_id, shipment_id, answer)
WHERE p.stop_id = a.stop_id AND p.shipment_id = a.shipment_id AND p.answer = '';

-- name: answer_stop
-- The one answer: whoever gets the row gave it.
UPDATE stops SET answer = $2, answered_at = $3
WHERE stop_id = $1 AND answer = ''
RETURNING stop_id, order_id, cause, cause_id, lines, actor, shipments, answer, detail;

-- name: overdue_stops
-- $1 asked before: nobody answered
SELECT stop_id, order_id FROM stops WHERE answer = '' AND asked_at < $1 ORDER BY asked_at LIMIT $2;

-- name: ended
-- An order of which this was asked is not asked again.
SELECT s.order_id, s.tenant
FROM shipments AS s
JOIN orders AS o ON o.order_id = s.order_id
WHERE
  s.state IN ('planned', 'sending', 'unknown', 'sent', 'accepted', 'picked', 'packed')
  AND o.state = 'cancelled'
  AND NOT EXISTS (
    SELECT FROM stops AS t
    WHERE t.order_id = s.order_id AND t.cause = 'manual' AND t.cause_id = 'order_cancelled'
  )
LIMIT 1;

-- name: stopped_here
-- $1 shipment_id: whether `stopped` was ever said of it
SELECT EXISTS (SELECT FROM stop_parts WHERE shipment_id = $1 AND answer = 'stopped');

-- name: add_parcels
-- A box that was told before stays as it was told first.
INSERT INTO parcels (
  parcel_id, tenant, shipment_id, order_id, carrier, waybill, items, grams, mm, serials, shipped_at
)
SELECT
  $1 || '-p' || (
    (SELECT count(*) FROM parcels AS k WHERE k.shipment_id = $1)
    + row_number() OVER (ORDER BY b.carrier, b.waybill)
  ),
  $2, $1, $3, b.carrier, b.waybill, b.items::json, b.grams, b.mm::json, b.serials::json, $4
FROM unnest($5::text[], $6::text[], $7::text[], $8::integer[], $9::text[], $10::text[])
  AS b (carrier, waybill, items, grams, mm, serials)
WHERE NOT EXISTS (
  SELECT FROM parcels AS k
  WHERE
    k.tenant = $2 AND k.carrier = b.carrier AND k.waybill = b.waybill AND k.shipment_id = $1
)
RETURNING parcel_id;

-- name: addresses
-- $1 order_id: the changes of its address, the newest first
SELECT revision, ship_to, region_code, change_id, state
FROM order_addresses
WHERE order_id = $1
ORDER BY revision DESC;

-- name: add_address
INSERT INTO order_addresses (
  order_id, revision, ship_to, region_code, change_id, state, actor, at
)
SELECT
  $1, coalesce(max(a.revision), 0) + 1, $2::json, $3, $4, $5, $6, $7
FROM order_addresses AS a
WHERE a.order_id = $1
RETURNING revision;

-- name: settle_address
UPDATE order_addresses SET state = $3
WHERE order_id = $1 AND change_id = $2 AND state = 'requested'
RETURNING true;

-- name: shipped_after_stop
-- Shipments of which `stopped` was said, and of which something left all the same.
SELECT count(DISTINCT p.shipment_id)
FROM stop_parts AS p
JOIN shipments AS s ON s.shipment_id = p.shipment_id
WHERE
  p.answer = 'stopped'
  AND s.state IN (
    'partly_shipped', 'shipped', 'lost', 'delivered', 'refused', 'returning', 'returned'
  );
