-- Tables: channel_acks, milestones, legs, scorecards, parcel_scores, pickup_codes
-- (engine/infra/migrations/0037_logistics.sql), tracking_polls (0042_carriers.sql); read of
-- shipments, parcels, orders, channels and services of carriers.
-- Locks: orders by order_id and their shipments by shipment_id first, then these.

-- name: shipments_of
-- $1 order_ids: what clocks and acknowledgements go by
SELECT
  s.shipment_id, s.tenant, s.order_id, s.service, s.state, s.created_at, s.promised_ship_by,
  (SELECT min(p.shipped_at) FROM parcels AS p WHERE p.shipment_id = s.shipment_id) AS shipped_at,
  s.told_at
FROM shipments AS s
WHERE s.order_id = any($1::text[])
ORDER BY s.shipment_id;

-- name: parcels_of
-- $1 order_ids
SELECT
  p.parcel_id, p.tenant, p.shipment_id, p.order_id, p.carrier, p.waybill, s.service, s.region,
  p.shipped_at, s.promised_deliver_by AS deliver_by, p.milestone
FROM parcels AS p
JOIN shipments AS s ON s.shipment_id = p.shipment_id
WHERE p.order_id = any($1::text[])
ORDER BY p.parcel_id;

-- name: orders_of_waybills
-- $1 tenant, $2 carriers, $3 waybills; a carrier that is not told is any
SELECT DISTINCT p.order_id
FROM unnest($2::text[], $3::text[]) AS w (carrier, waybill)
JOIN parcels AS p
  ON p.tenant = $1 AND p.waybill = w.waybill AND (w.carrier = '' OR p.carrier = w.carrier)
WHERE w.waybill <> ''
ORDER BY p.order_id;

-- name: add_milestones
-- In the order of the key, so that two who tell the same do not wait for each other.
INSERT INTO milestones (
  tenant, waybill, carrier, milestone, at, source, place, raw, received_at
)
SELECT $1, m.waybill, m.carrier, m.milestone, m.at, m.source, m.place, m.raw, $9
FROM unnest(
  $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[]
) AS m (waybill, carrier, milestone, at, source, place, raw)
ORDER BY m.waybill, m.carrier, m.milestone, m.at, m.source
ON CONFLICT DO NOTHING
RETURNING waybill, carrier, milestone, at, source;

-- name: milestones_of
-- $1 tenant, $2 waybills: all that was told of them, by whatever carrier
SELECT waybill, carrier, milestone, at, source, place, received_at
FROM milestones
WHERE tenant = $1 AND waybill = any($2::text[])
ORDER BY at, milestone, source, carrier;

-- name: not_waiting
-- $1 tenant, $2 carriers, $3 waybills of parcels
UPDATE milestones AS m SET waits = false
FROM unnest($2::text[], $3::text[]) AS w (carrier, waybill)
WHERE m.tenant = $1 AND m.waybill = w.waybill AND m.carrier IN ('', w.carrier) AND m.waits;

-- name: orders_that_were_waited_for
-- $1 how many: orders whose parcels came after what was told of them
SELECT DISTINCT p.order_id
FROM milestones AS m
JOIN parcels AS p
  ON p.tenant = m.tenant AND p.waybill = m.waybill AND (m.carrier = '' OR p.carrier = m.carrier)
WHERE m.waits
LIMIT $1;

-- name: forget_waiting
-- $1 received before: of numbers that were never ours
DELETE FROM milestones
WHERE ctid IN (
  SELECT ctid FROM milestones WHERE waits AND received_at < $1 ORDER BY received_at LIMIT $2
);

-- name: set_milestones
-- $1 parcel_ids of locked orders, $2 milestones, $3 since when
UPDATE parcels AS p SET milestone = u.milestone, milestone_at = u.at
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS u (parcel_id, milestone, at)
WHERE p.parcel_id = u.parcel_id AND (p.milestone, p.milestone_at) IS DISTINCT FROM (u.milestone, u.at);

-- name: legs_of
-- $1 names
SELECT name, leg, near_at, due_at, met_at, state
FROM legs
WHERE name = any($1::text[])
ORDER BY name, due_at, leg;

-- name: lock_legs
-- $1 names: of locked orders, so that nobody adds to them; who breaches clocks passes them by
SELECT name, leg, near_at, due_at, met_at, state
FROM legs
WHERE name = any($1::text[])
ORDER BY name, leg
FOR UPDATE;

-- name: put_legs
-- A clock's ends are those of its first writing; what it stands at changes.
INSERT INTO legs (name, leg, order_id, service, near_at, due_at, met_at, state)
SELECT l.name, l.leg, l.order_id, l.service, l.near_at, l.due_at, l.met_at, l.state
FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
  $7::timestamptz[], $8::text[]
) AS l (name, leg, order_id, service, near_at, due_at, met_at, state)
ORDER BY l.name, l.leg
ON CONFLICT (name, leg) DO UPDATE SET met_at = excluded.met_at, state = excluded.state
WHERE (legs.met_at, legs.state) IS DISTINCT FROM (excluded.met_at, excluded.state);

-- name: breach
-- $1 now, $2 how many: clocks that ran out
WITH due AS (
  SELECT name, leg
  FROM legs
  WHERE state IN ('open', 'near') AND due_at < $1
  ORDER BY due_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
UPDATE legs AS l SET state = 'breached'
FROM due
WHERE l.name = due.name AND l.leg = due.leg
RETURNING l.name, l.leg, l.order_id, l.service, l.due_at;

-- name: come_near
-- $1 now, $2 how many
WITH due AS (
  SELECT name, leg
  FROM legs
  WHERE state = 'open' AND near_at <= $1
  ORDER BY near_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
UPDATE legs AS l SET state = 'near'
FROM due
WHERE l.name = due.name AND l.leg = due.leg
RETURNING l.name, l.leg, l.order_id, l.service, l.due_at;

-- name: scores_of
-- $1 parcel_ids of locked orders
SELECT parcel_id, score FROM parcel_scores WHERE parcel_id = any($1::text[]);

-- name: set_scores
INSERT INTO parcel_scores (parcel_id, score)
SELECT s.parcel_id, s.score::json FROM unnest($1::text[], $2::text[]) AS s (parcel_id, score)
ON CONFLICT (parcel_id) DO UPDATE SET score = excluded.score;

-- name: add_to_cards
-- One row a card, in the order of their keys.
INSERT INTO scorecards (
  tenant, service, day, region2, parcels, on_time, breached, delivered, damaged, refused, lost,
  minutes_sum
)
SELECT
  $1, c.service, c.day, c.region2, c.parcels, c.on_time, c.breached, c.delivered, c.damaged,
  c.refused, c.lost, c.minutes_sum
FROM unnest(
  $2::text[], $3::date[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
  $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]
) AS c (
  service, day, region2, parcels, on_time, breached, delivered, damaged, refused, lost, minutes_sum
)
ORDER BY c.service, c.day, c.region2
ON CONFLICT (tenant, service, day, region2) DO UPDATE SET
  parcels = scorecards.parcels + excluded.parcels,
  on_time = scorecards.on_time + excluded.on_time,
  breached = scorecards.breached + excluded.breached,
  delivered = scorecards.delivered + excluded.delivered,
  damaged = scorecards.damaged + excluded.damaged,
  refused = scorecards.refused + excluded.refused,
  lost = scorecards.lost + excluded.lost,
  minutes_sum = scorecards.minutes_sum + excluded.minutes_sum;

-- name: cards
-- $1 tenant, $2 service, $3 from this day, $4 until this day, after ($5, $6, $7), $8 how many
SELECT
  service, day, region2, parcels, on_time, breached, delivered, damaged, refused, lost, minutes_sum
FROM scorecards
WHERE
  tenant = $1
  AND ($2 = '' OR service = $2)
  AND ($3::date IS NULL OR day >= $3)
  AND ($4::date IS NULL OR day <= $4)
  AND (service, day, region2) > ($5, $6::text::date, $7)
ORDER BY service, day, region2
LIMIT $8;

-- name: open_acks
-- $1 parcel_ids that left, $2 at: of orders whose channel keeps its own book of them
INSERT INTO channel_acks (tenant, parcel_id, channel, order_id, due_at, ship_by, alarm_at)
SELECT o.tenant, p.parcel_id, o.channel, o.order_id, $2, b.ship_by, b.ship_by - $3::interval
FROM parcels AS p
JOIN shipments AS s ON s.shipment_id = p.shipment_id
JOIN orders AS o ON o.order_id = p.order_id
JOIN channels AS c ON c.tenant = o.tenant AND c.channel = o.channel
CROSS JOIN LATERAL (
  SELECT
    least((o.document -> 'promise' ->> 'ship_by')::timestamptz, s.promised_ship_by) AS ship_by
) AS b
WHERE
  p.parcel_id = any($1::text[])
  AND c.document ->> 'authority' = 'external'
  AND p.waybill <> ''
ORDER BY p.parcel_id
ON CONFLICT DO NOTHING;

-- name: give_out
-- $1 tenant, $2 channel, $3 now, $4 how many; whoever gets them tells the channel. The wait that
-- follows doubles with each time (rules/acks.py).
WITH due AS (
  SELECT parcel_id, channel
  FROM channel_acks
  WHERE tenant = $1 AND channel = $2 AND state = 'pending' AND due_at <= $3
  ORDER BY due_at, parcel_id
  LIMIT $4
  FOR UPDATE SKIP LOCKED
)
UPDATE channel_acks AS a
SET
  attempts = a.attempts + 1,
  due_at = $3 + least($6::interval, $5::interval * power(2, least(a.attempts, 16)))
FROM due
WHERE a.parcel_id = due.parcel_id AND a.channel = due.channel
RETURNING a.parcel_id;

-- name: acks
-- $1 tenant, $2 channel, $3 states, $4 parcel_ids or NULL, after ($5, $6), $7 how many
SELECT
  a.parcel_id, a.channel, a.version, a.order_id, o.channel_order_id, p.shipment_id, p.carrier,
  p.waybill, p.items, p.shipped_at, a.state, a.attempts, a.due_at, a.ship_by, a.reason
FROM channel_acks AS a
JOIN parcels AS p ON p.parcel_id = a.parcel_id
JOIN orders AS o ON o.order_id = a.order_id
WHERE
  a.tenant = $1
  AND ($2 = '' OR a.channel = $2)
  AND a.state = any($3::text[])
  AND ($4::text[] IS NULL OR a.parcel_id = any($4))
  AND (a.parcel_id, a.channel) > ($5, $6)
ORDER BY a.parcel_id, a.channel
LIMIT $7;

-- name: count_acks
-- $1 tenant: those that are not at their end
SELECT channel, state, count(*) AS parcels
FROM channel_acks
WHERE tenant = $1 AND state IN ('pending', 'failed')
GROUP BY channel, state;

-- name: lock_acks
-- $1 tenant, $2 channel, $3 parcel_ids
SELECT parcel_id, order_id, state, version, attempts
FROM channel_acks
WHERE tenant = $1 AND channel = $2 AND parcel_id = any($3::text[])
ORDER BY parcel_id
FOR UPDATE;

-- name: set_acks
-- $1 channel, then by parcel: state, reason, when it is due again
UPDATE channel_acks AS a SET state = u.state, reason = u.reason, due_at = u.due_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[])
  AS u (parcel_id, state, reason, due_at)
WHERE a.parcel_id = u.parcel_id AND a.channel = $1;

-- name: overdue_acks
-- $1 now, $2 how many: each is raised once
WITH late AS (
  SELECT parcel_id, channel, alarm_at
  FROM channel_acks
  WHERE alarm_at IS NOT NULL AND state <> 'acked' AND alarm_at <= $1
  ORDER BY alarm_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
UPDATE channel_acks AS a SET alarm_at = NULL
FROM late
WHERE a.parcel_id = late.parcel_id AND a.channel = late.channel
RETURNING a.parcel_id, a.channel, a.order_id, a.state, a.reason, a.ship_by;

-- name: parcels_shown
-- $1 tenant, $2 channel or any, $3 waybill
SELECT
  p.parcel_id, p.shipment_id, p.order_id, p.carrier, p.waybill, s.service, p.shipped_at,
  p.milestone, p.milestone_at, s.promised_deliver_by
FROM parcels AS p
JOIN shipments AS s ON s.shipment_id = p.shipment_id
JOIN orders AS o ON o.order_id = p.order_id
WHERE p.tenant = $1 AND p.waybill = $3 AND ($2 = '' OR o.channel = $2)
ORDER BY p.parcel_id
LIMIT 50;

-- name: pickup
-- $1 tenant, $2 channel or any, $3 shipment_id
SELECT s.order_id
FROM shipments AS s
JOIN orders AS o ON o.order_id = s.order_id
WHERE s.tenant = $1 AND s.shipment_id = $3 AND ($2 = '' OR o.channel = $2);

-- name: put_code
-- None: it was redeemed.
INSERT INTO pickup_codes (shipment_id, digest, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (shipment_id) DO UPDATE SET
  digest = excluded.digest, expires_at = excluded.expires_at, tries = 0
WHERE pickup_codes.redeemed_at IS NULL
RETURNING true;

-- name: lock_code
SELECT digest, tries, expires_at, redeemed_at
FROM pickup_codes
WHERE shipment_id = $1
FOR UPDATE;

-- name: note_wrong_code
UPDATE pickup_codes SET tries = tries + 1 WHERE shipment_id = $1;

-- name: redeem
-- Whoever gets the row hands the goods out.
UPDATE pickup_codes SET redeemed_at = $2, by = $3
WHERE shipment_id = $1 AND redeemed_at IS NULL
RETURNING true;

-- name: is_blocked
SELECT EXISTS (
  SELECT FROM blocks WHERE order_id = $1 AND (until IS NULL OR until > now())
);

-- name: begin_polls
-- $1 parcel_ids of locked orders, $2 when first: those whose carriers have a desk
INSERT INTO tracking_polls (parcel_id, tenant, service, due_at)
SELECT p.parcel_id, p.tenant, s.service, $2
FROM parcels AS p
JOIN shipments AS s ON s.shipment_id = p.shipment_id
JOIN carrier_services AS c ON c.tenant = s.tenant AND c.service = s.service
WHERE
  p.parcel_id = any($1::text[]) AND p.waybill <> ''
  AND coalesce(c.document ->> 'desk_url', '') <> ''
ORDER BY p.parcel_id
ON CONFLICT DO NOTHING;

-- name: put_off_polls
-- $1 parcel_ids, $2 when next
UPDATE tracking_polls SET due_at = $2 WHERE parcel_id = any($1::text[]);

-- name: end_polls
-- $1 parcel_ids
DELETE FROM tracking_polls WHERE parcel_id = any($1::text[]);

-- name: claim_polls
-- $1 tenant, $2 now, $3 how many, $4 when next: whoever gets them asks
WITH due AS (
  SELECT t.parcel_id, p.carrier, p.waybill
  FROM tracking_polls AS t
  JOIN parcels AS p ON p.parcel_id = t.parcel_id
  WHERE t.tenant = $1 AND t.due_at <= $2
  ORDER BY t.due_at
  LIMIT $3
  FOR UPDATE OF t SKIP LOCKED
)
UPDATE tracking_polls AS t SET due_at = $4
FROM due
WHERE t.parcel_id = due.parcel_id
RETURNING t.parcel_id, t.service, due.carrier, due.waybill;

-- name: any_shipped
SELECT EXISTS (SELECT FROM shipments);
