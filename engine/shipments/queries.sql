-- Tables: declared_lines (0047_declared_lines.sql), shipments, shipment_reports, stops, stop_parts, parcels, order_addresses
-- (engine/infra/migrations/0030_shipments.sql); of orders how far they are, of blocks whether one
-- stands, of milestones what was told of parcels. Locks: orders by order_id, then shipments by shipment_id, then stops, then stock.

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

-- name: touch
-- $1 order_ids, locked
UPDATE orders SET fulfilment_state = fulfilment_state WHERE order_id = any($1::text[]);

-- name: begin_progress
-- $1 order_ids: no order goes back that came to us when it was on its way (rules/progress.py)
UPDATE orders SET fulfilment_state = 'routed'
WHERE
  order_id = any($1::text[])
  AND fulfilment_state NOT IN (
    'routed', 'partly_shipped', 'shipped', 'delivered', 'refused', 'returned'
  );

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
  intercepts, release_at, capacity, capacity_back, state, cancelling, wms_ref, reason, short
FROM shipments
WHERE order_id = any($1::text[])
ORDER BY shipment_id
FOR NO KEY UPDATE;

-- name: shipments_of
-- $1 order_ids: all of theirs, not locked
SELECT
  shipment_id, tenant, order_id, node, attempt, consignment_id, mode, lines, service, no_return,
  intercepts, release_at, capacity, capacity_back, state, cancelling, wms_ref, reason, short
FROM shipments
WHERE order_id = any($1::text[])
ORDER BY shipment_id;

-- name: shown
-- $1 tenant, $2 channel, $3 shipment_id, $4 order_id, $5 node, $6 state, $7 carrier, $8 promised to
-- leave before and not (wholly) gone, $9 after this id, $10 how many; empty texts and NULL do not filter
SELECT
  s.shipment_id, s.order_id, s.consignment_id, s.node, s.attempt, s.mode, s.state, s.state_at,
  s.reason, s.service, s.quote, s.currency, s.card, s.card_version, s.promised_ship_by, s.promised_deliver_by, s.wms_ref,
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
  AND ($8::timestamptz IS NULL OR (
    s.promised_ship_by < $8
    AND s.state IN (
      'planned', 'sending', 'unknown', 'sent', 'accepted', 'picked', 'packed', 'stopping',
      'partly_shipped'
    )
  ))
  AND s.shipment_id > $9
ORDER BY s.shipment_id
LIMIT $10;

-- name: parcels_of
-- $1 shipment_ids
SELECT
  shipment_id, parcel_id, carrier, waybill, items, grams, mm, serials, shipped_at, milestone,
  milestone_at
FROM parcels
WHERE shipment_id = any($1::text[])
ORDER BY parcel_id;

-- name: tracking_of
-- $1 shipment_ids: what was told of their parcels; without a carrier it is of every parcel of a number
SELECT p.parcel_id, m.milestone, m.at, m.place, m.source
FROM parcels AS p
JOIN milestones AS m
  ON m.tenant = p.tenant AND m.waybill = p.waybill AND m.carrier IN ('', p.carrier)
WHERE p.shipment_id = any($1::text[]) AND p.waybill <> ''
ORDER BY p.parcel_id, m.at, m.milestone, m.source;

-- name: stops_of_order
SELECT stop_id, cause, asked_at, answer, answered_at, shipments
FROM stops
WHERE order_id = $1
ORDER BY asked_at, stop_id;

-- name: stops_of
-- $1 shipment_ids
SELECT p.shipment_id, p.stop_id, t.cause, t.asked_at, p.answer, p.at
FROM stop_parts AS p
JOIN stops AS t ON t.stop_id = p.stop_id
WHERE p.shipment_id = any($1::text[])
ORDER BY t.asked_at, p.stop_id;

-- name: routed_for
-- $1 shipment_ids: the regions that these were routed for
SELECT DISTINCT region FROM shipments WHERE shipment_id = ANY($1::text[]);

-- name: has_live
SELECT EXISTS (
  SELECT FROM shipments WHERE order_id = $1 AND state NOT IN ('cancelled', 'rejected')
);

-- name: has_unsent
-- $1 order_id, $2 line_nos: whether a shipment with one of them has not left yet
SELECT EXISTS (
  SELECT FROM shipments AS s CROSS JOIN json_array_elements(s.lines) AS l
  WHERE
    s.order_id = $1 AND (l ->> 0)::integer = any($2::integer[])
    AND s.state IN ('planned', 'sending', 'unknown', 'sent', 'accepted', 'picked', 'packed')
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

-- name: declare
-- $1 tenants, $2 skus, $3 shipment_ids
INSERT INTO declared_lines (tenant, sku, shipment_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT DO NOTHING;

-- name: counted_since
-- Of each SKU only one row is looked at to find out that nobody counts it. $1 tenant, $2 how many
WITH RECURSIVE known AS (
  (SELECT d.sku FROM declared_lines AS d WHERE d.tenant = $1 ORDER BY d.sku LIMIT 1)
  UNION ALL
  SELECT (
    SELECT d.sku FROM declared_lines AS d
    WHERE d.tenant = $1 AND d.sku > k.sku
    ORDER BY d.sku
    LIMIT 1
  )
  FROM known AS k
  WHERE k.sku IS NOT NULL
)
SELECT DISTINCT s.order_id, s.shipment_id
FROM known AS k
JOIN skus AS u ON u.tenant = $1 AND u.sku = k.sku
JOIN declared_lines AS d ON d.tenant = $1 AND d.sku = k.sku
JOIN shipments AS s ON s.shipment_id = d.shipment_id
WHERE EXISTS (
  SELECT FROM stock_keys AS t WHERE t.tenant = $1 AND t.sku = k.sku AND t.owner = u.owner
)
ORDER BY s.order_id, s.shipment_id
LIMIT $2;

-- name: owners_of_counted
-- $1 tenant, $2 skus
SELECT u.sku, u.owner
FROM skus AS u
WHERE
  u.tenant = $1 AND u.sku = any($2::text[])
  AND EXISTS (
    SELECT FROM stock_keys AS t WHERE t.tenant = $1 AND t.sku = u.sku AND t.owner = u.owner
  );

-- name: adopt
-- $1 shipment_id, locked, $2 its lines, $3 tenant, $4 skus that are assigned now
WITH done AS (
  DELETE FROM declared_lines
  WHERE tenant = $3 AND sku = any($4::text[]) AND shipment_id = $1
)
UPDATE shipments SET lines = $2::json WHERE shipment_id = $1;

-- name: plan_again
-- $1 shipment_id, $2 that of the new one, $3 its attempt, $4 at; capacity that the old one had taken
-- and not given back is the new one's.
WITH handed_on AS (
  UPDATE shipments SET capacity_back = true WHERE shipment_id = $1
), declared AS (
  INSERT INTO declared_lines (tenant, sku, shipment_id)
  SELECT DISTINCT s.tenant, l ->> 1, $2
  FROM shipments AS s CROSS JOIN json_array_elements(s.lines) AS l
  WHERE s.shipment_id = $1 AND (l ->> 3)::integer = 0
)
INSERT INTO shipments (
  shipment_id, tenant, order_id, node, attempt, consignment_id, mode, lines, service, card, quote,
  currency, quoted_grams, promised_ship_by, promised_deliver_by, region, no_return, intercepts,
  merge_hash, release_at, capacity, capacity_back, state, state_at, card_version
)
SELECT
  $2, tenant, order_id, node, $3, $2, mode, lines, service, card, quote, currency, quoted_grams,
  promised_ship_by, promised_deliver_by, region, no_return, intercepts, '', release_at, capacity,
  capacity_back, 'planned', $4, card_version
FROM shipments
WHERE shipment_id = $1;

-- name: set_state
UPDATE shipments
SET
  state = $2, state_at = $3, reason = CASE WHEN $4 = '' THEN reason ELSE $4 END,
  told_at = $5::jsonb, wms_ref = CASE WHEN $6 = '' THEN wms_ref ELSE $6 END, cancelling = $7,
  short = $8::json
WHERE shipment_id = $1;

-- name: move_on
-- $1 shipment_ids, $2 the state that is ours
UPDATE shipments SET state = $2, state_at = $3 WHERE shipment_id = any($1::text[]);

-- name: settle_short
-- $1 shipment_ids
UPDATE shipments SET short_settled = true
WHERE shipment_id = any($1::text[]) AND NOT short_settled AND short::text <> '[]'
RETURNING shipment_id;

-- name: withdraw
-- $1 planned shipments, $2 at: no node was ever asked for them, and what is said of the consignment
-- that they were to be in, maybe by the name of one of them, is not said of them.
UPDATE shipments SET state = 'cancelled', state_at = $2, consignment_id = ''
WHERE shipment_id = any($1::text[]);

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
SELECT revision, ship_to, region_code, change_id, state, former_region
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

-- name: note_told_addresses
-- What marketplaces told anew, where anything is under way: $1 order_ids, $2 regions, $3 those before,
-- $4 change_ids, $5 actors, $6 at, in ms, whatever the connection takes for an instant. The document
-- has the address itself. Shipments are still routed by the region of before the first change that
-- has no answer. A version may come again after it was forgotten, and is another change then.
INSERT INTO order_addresses (
  order_id, revision, ship_to, region_code, former_region, change_id, state, unasked, actor, at
)
SELECT
  u.order_id, n.revision, '{}'::json, u.region,
  coalesce(
    (
      SELECT a.former_region FROM order_addresses AS a
      WHERE a.order_id = u.order_id AND a.state = 'requested'
      ORDER BY a.revision
      LIMIT 1
    ), u.former
  ),
  u.change_id || CASE
    WHEN EXISTS (
      SELECT FROM order_addresses AS a
      WHERE a.order_id = u.order_id AND a.change_id = u.change_id
    ) THEN ':' || n.revision ELSE ''
  END,
  'requested', true, u.actor, to_timestamp(u.at / 1000.0)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
  AS u (order_id, region, former, change_id, actor, at)
CROSS JOIN LATERAL (
  SELECT coalesce(max(a.revision), 0) + 1 AS revision
  FROM order_addresses AS a
  WHERE a.order_id = u.order_id
) AS n
WHERE EXISTS (
  SELECT FROM shipments AS s
  WHERE
    s.order_id = u.order_id
    AND s.state NOT IN (
      'cancelled', 'rejected', 'lost', 'delivered', 'refused', 'returning', 'returned'
    )
)
RETURNING order_id, revision, ship_to, region_code, change_id, state, former_region;

-- name: addresses_to_ask
-- Orders of which an address was told anew, and nobody asked yet that anything be stopped. $1 limit
SELECT DISTINCT order_id FROM order_addresses WHERE unasked LIMIT $1;

-- name: take_unasked
-- $1 order_id, locked: those changes of it, once
UPDATE order_addresses SET unasked = false
WHERE order_id = $1 AND unasked
RETURNING revision, ship_to, region_code, change_id, state, former_region;

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

-- name: shipped_twice
-- Shipments that were to be stopped because their units had left from elsewhere after all, and left.
SELECT count(DISTINCT p.shipment_id)
FROM stops AS t
JOIN stop_parts AS p ON p.stop_id = t.stop_id
JOIN shipments AS s ON s.shipment_id = p.shipment_id
WHERE
  t.cause = 'manual' AND t.cause_id LIKE 'confirmed_late:%' AND p.answer <> 'stopped'
  AND s.state IN (
    'partly_shipped', 'shipped', 'lost', 'delivered', 'refused', 'returning', 'returned'
  );

-- name: mergeable
-- $1 how many, $2 among these shipment_ids or NULL: planned, waiting for others, and in no
-- consignment of several yet.
SELECT s.shipment_id, s.order_id, s.merge_hash, s.node, s.service, s.quoted_grams, s.release_at
FROM shipments AS s
WHERE
  s.state = 'planned' AND s.merge_hash <> '' AND s.consignment_id = s.shipment_id
  AND s.release_at IS NOT NULL
  AND ($2::text[] IS NULL OR s.shipment_id = any($2))
  AND NOT EXISTS (
    SELECT FROM shipments AS m
    WHERE m.consignment_id = s.shipment_id AND m.consignment_id <> m.shipment_id
  )
ORDER BY s.merge_hash, s.release_at, s.shipment_id
LIMIT $1;

-- name: merge
-- $1 consignment_id, $2 its members, which are locked, $3 when it is due
UPDATE shipments SET consignment_id = $1, release_at = $3 WHERE shipment_id = any($2::text[]);

-- name: asked_to_stop
-- $1 shipment_ids: those that somebody asked to stop
SELECT DISTINCT shipment_id FROM stop_parts WHERE shipment_id = any($1::text[]);

-- name: was_to_leave
-- $1 shipment_ids: those of which `not_stopped` was said, and `stopped` never
SELECT shipment_id
FROM stop_parts
WHERE shipment_id = any($1::text[])
GROUP BY shipment_id
HAVING bool_or(answer = 'not_stopped') AND NOT bool_or(answer = 'stopped');
