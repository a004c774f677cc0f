-- Tables: carrier_services, rate_cards, carrier_regions_off, waybills
-- (engine/infra/migrations/0036_carriers.sql); read of scorecards how services fared, which whoever
-- follows parcels keeps. In a region '' is everywhere.

-- name: get_service
-- $1 tenant, $2 service
SELECT service, version, updated_at, document
FROM carrier_services
WHERE tenant = $1 AND service = $2;

-- name: lock_service
-- $1 tenant, $2 service
SELECT service, version, updated_at, document
FROM carrier_services
WHERE tenant = $1 AND service = $2
FOR UPDATE;

-- name: list_services
-- $1 tenant, $2 after service, $3 limit
SELECT service, version, updated_at, document
FROM carrier_services
WHERE tenant = $1 AND service > $2
ORDER BY service
LIMIT $3;

-- name: insert_service
-- $1 tenant, $2 service, $3 document, $4 actor
INSERT INTO carrier_services (tenant, service, version, document, actor)
VALUES ($1, $2, 1, $3::jsonb, $4)
ON CONFLICT (tenant, service) DO NOTHING
RETURNING service, version, updated_at, document;

-- name: update_service
-- $1 tenant, $2 service, $3 document, $4 actor
UPDATE carrier_services
SET document = $3::jsonb, actor = $4, version = version + 1, updated_at = now()
WHERE tenant = $1 AND service = $2
RETURNING service, version, updated_at, document;

-- name: get_card
-- $1 tenant, $2 card
SELECT card, version, updated_at, document
FROM rate_cards
WHERE tenant = $1 AND card = $2
ORDER BY version DESC
LIMIT 1;

-- name: lock_card
-- Its writers take turns by the lock of its service. $1 tenant, $2 card
SELECT card, version, updated_at, document
FROM rate_cards
WHERE tenant = $1 AND card = $2
ORDER BY version DESC
LIMIT 1
FOR UPDATE;

-- name: list_cards
-- $1 tenant, $2 after card, $3 limit
SELECT DISTINCT ON (card) card, version, updated_at, document
FROM rate_cards
WHERE tenant = $1 AND card > $2
ORDER BY card, version DESC
LIMIT $3;

-- name: insert_card
-- $1 tenant, $2 card, $3 document, $4 actor, $5 service, $6 since, $7 until
INSERT INTO rate_cards (tenant, card, version, document, actor, service, since, until)
VALUES ($1, $2, 1, $3::jsonb, $4, $5, $6, $7)
ON CONFLICT (tenant, card, version) DO NOTHING
RETURNING card, version, updated_at, document;

-- name: update_card
-- The next version, in the place of one that has not taken effect by the instant $8.
-- $1 tenant, $2 card, $3 document, $4 actor, $5 service, $6 since, $7 until, $8 now
WITH last AS (
  SELECT max(version) AS version
  FROM rate_cards
  WHERE tenant = $1 AND card = $2
),
replaced AS (
  DELETE FROM rate_cards AS c
  USING last
  WHERE c.tenant = $1 AND c.card = $2 AND c.version = last.version AND c.since > $8
)
INSERT INTO rate_cards (tenant, card, version, document, actor, service, since, until)
SELECT $1, $2, last.version + 1, $3::jsonb, $4, $5, $6, $7
FROM last
RETURNING card, version, updated_at, document;

-- name: versions_in_force
-- Versions that hold at an instant or later, and what says until when those hold: the next ones.
-- $1 tenant, $2 at
SELECT card, version, document
FROM (
  SELECT
    card, version, document, until,
    lead(since) OVER (PARTITION BY card ORDER BY version) AS ended
  FROM rate_cards
  WHERE tenant = $1
) AS c
WHERE (until IS NULL OR until > $2) AND (ended IS NULL OR ended > $2)
ORDER BY card, version;

-- name: other_currency
-- A card in another currency than this, '' if there is none. $1 tenant, $2 card, $3 currency
SELECT coalesce(min(card), '')
FROM rate_cards
WHERE tenant = $1 AND card <> $2 AND document ->> 'currency' <> $3;

-- name: all_services
-- $1 tenant
SELECT service, document
FROM carrier_services
WHERE tenant = $1
ORDER BY service;

-- name: switch_off
-- xmax is 0 of a row that is new. $1 tenant, $2 service, $3 region, $4 reason, $5 actor
INSERT INTO carrier_regions_off AS r (tenant, service, region, reason, actor)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, service, region) DO UPDATE SET reason = excluded.reason, actor = excluded.actor
RETURNING service, region, since, reason, actor, xmax = 0 AS made;

-- name: switch_on
-- $1 tenant, $2 service, $3 region
DELETE FROM carrier_regions_off
WHERE tenant = $1 AND service = $2 AND region = $3
RETURNING service;

-- name: regions_off
-- $1 tenant, $2 service
SELECT service, region, since, reason, actor
FROM carrier_regions_off
WHERE tenant = $1 AND service = $2
ORDER BY region;

-- name: all_off
-- $1 tenant
SELECT service, region
FROM carrier_regions_off
WHERE tenant = $1;

-- name: fared
-- Of parcels that left on a day or later and have an end, by service. $1 tenant, $2 day
SELECT
  service, sum(parcels)::bigint AS parcels, sum(on_time)::bigint AS on_time,
  sum(damaged)::bigint AS damaged, sum(refused)::bigint AS refused
FROM scorecards
WHERE tenant = $1 AND day >= $2
GROUP BY service;

-- name: ask_waybill
-- Nothing if it was asked for before. $1 tenant, $2 request, $3 shipment, $4 service, $5 carrier
INSERT INTO waybills (tenant, request_id, shipment_id, service, carrier, state)
VALUES ($1, $2, $3, $4, $5, 'asked')
ON CONFLICT (tenant, request_id) DO NOTHING;

-- name: waybill
-- $1 tenant, $2 request
SELECT
  request_id, shipment_id, service, carrier, waybill, state, reason, data, asked_at, state_at
FROM waybills
WHERE tenant = $1 AND request_id = $2;

-- name: waybills_of
-- $1 tenant, $2 shipments
SELECT
  request_id, shipment_id, service, carrier, waybill, state, reason, data, asked_at, state_at
FROM waybills
WHERE tenant = $1 AND shipment_id = ANY($2::text[])
ORDER BY shipment_id, request_id;

-- name: move_waybill
-- Only from the states that lead there: of two who would move it one finds nothing to do.
-- $1 tenant, $2 request, $3 state, $4 states before, $5 waybill, $6 data, $7 reason
UPDATE waybills
SET state = $3, waybill = $5, data = $6::jsonb, reason = $7, state_at = now()
WHERE tenant = $1 AND request_id = $2 AND state = ANY($4::text[])
RETURNING
  request_id, shipment_id, service, carrier, waybill, state, reason, data, asked_at, state_at;

-- name: versions_of
-- Those that took effect and, perhaps, one that has not, from the last one that is below $3.
-- $1 tenant, $2 card, $3 version, $4 limit
SELECT card, version, updated_at, document
FROM rate_cards
WHERE tenant = $1 AND card = $2 AND version < $3
ORDER BY version DESC
LIMIT $4;

-- name: put_carrier_secret
-- $1 tenant, $2 service, $3 secret, $4 actor
INSERT INTO carrier_secrets (tenant, service, secret, actor) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, service) DO UPDATE
SET secret = excluded.secret, actor = excluded.actor, updated_at = now();

-- name: carrier_secret
-- $1 tenant, $2 service
SELECT secret FROM carrier_secrets
WHERE tenant = $1 AND service = $2;

-- name: use_left
-- Parcels of their consignments left under these numbers. $1 tenant, $2 how many
UPDATE waybills SET state = 'used', state_at = now(), leased_until = NULL
WHERE tenant = $1 AND state = 'got' AND request_id = ANY(
  ARRAY(
    SELECT w.request_id
    FROM waybills AS w
    JOIN parcels AS p ON p.tenant = w.tenant AND p.waybill = w.waybill
    JOIN shipments AS s ON s.shipment_id = p.shipment_id AND s.consignment_id = w.shipment_id
    WHERE w.tenant = $1 AND w.state = 'got'
    LIMIT $2
  )
)
RETURNING request_id;

-- name: lease_idle
-- Numbers under which nothing will leave: all that is in their consignments is over, or has left
-- under others. To whoever gives them back. $1 tenant, $2 how many, $3 for how long
UPDATE waybills AS w SET leased_until = now() + $3::interval
FROM (
  SELECT i.tenant, i.request_id
  FROM waybills AS i
  WHERE
    i.tenant = $1 AND i.state IN ('asked', 'got')
    AND (i.leased_until IS NULL OR i.leased_until < now())
    AND NOT EXISTS (
      SELECT FROM shipments AS s
      WHERE
        (s.shipment_id = i.shipment_id
          OR (s.consignment_id = i.shipment_id AND s.consignment_id <> s.shipment_id))
        AND s.consignment_id = i.shipment_id
        AND s.state NOT IN (
          'cancelled', 'rejected', 'shipped', 'lost', 'delivered', 'refused', 'returning',
          'returned'
        )
    )
    AND NOT EXISTS (
      SELECT FROM parcels AS p
      JOIN shipments AS s ON s.shipment_id = p.shipment_id AND s.consignment_id = i.shipment_id
      WHERE p.tenant = i.tenant AND p.waybill = i.waybill
    )
  ORDER BY i.state_at
  LIMIT $2
  FOR NO KEY UPDATE OF i SKIP LOCKED
) AS idle
WHERE w.tenant = idle.tenant AND w.request_id = idle.request_id
RETURNING
  w.request_id, w.shipment_id, w.service, w.carrier, w.waybill, w.state, w.reason, w.data,
  w.asked_at, w.state_at;
