-- Tables: reference_versions (engine/infra/migrations/0002_reference.sql), stock_changes
-- (…/0010_supply.sql), duties (…/0018_duties.sql).

-- name: keep_version
-- $1 tenant, $2 kind, $3 id, $4 version, $5 document, $6 actor
INSERT INTO reference_versions (tenant, kind, id, version, document, actor)
VALUES ($1, $2, $3, $4, $5::jsonb, $6);

-- name: note_changed
-- $1 tenant, $2 SKUs, $3 channel on which to ring
WITH noted AS (
  INSERT INTO stock_changes (tenant, sku)
  SELECT $1, one.sku
  FROM unnest($2::text[]) AS one (sku)
)
SELECT pg_notify($3, '');

-- name: write_events
-- $1 kind, $2 actor, $3 data
INSERT INTO events (at, kind, actor, data)
SELECT now(), $1, $2, one.data::jsonb
FROM unnest($3::text[]) AS one (data);

-- name: lock_reader
-- $1 reader; the upsert also locks its row, so that two processes of one name take turns.
INSERT INTO event_cursors (reader) VALUES ($1)
ON CONFLICT (reader) DO UPDATE SET reader = excluded.reader
RETURNING xid::text::bigint AS xid, id;

-- name: read_events
-- $1 xid and $2 id of the last event seen, $3 limit; only what no running transaction can precede.
SELECT xid::text::bigint AS xid, id, at, kind, order_id, actor, data
FROM events
WHERE
  (xid, id) > ($1::bigint::text::xid8, $2::bigint)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, id
LIMIT $3;

-- name: advance_reader
UPDATE event_cursors SET xid = $2::bigint::text::xid8, id = $3 WHERE reader = $1;

-- name: lock_parking_reader
-- $1 reader; as lock_reader, with the order behind which it looks at parked events next.
INSERT INTO event_cursors (reader) VALUES ($1)
ON CONFLICT (reader) DO UPDATE SET reader = excluded.reader
RETURNING xid::text::bigint AS xid, id, parked_after;

-- name: parked_orders
-- $1 reader, $2 order behind which to look, $3 at most how many parked events.
SELECT order_id
FROM parked_events
WHERE reader = $1 AND order_id > $2
ORDER BY order_id, xid, id
LIMIT $3;

-- name: unpark_events
-- $1 reader, $2 orders, $3 limit; the oldest events first, so that of each order some first ones go.
WITH free AS (
  SELECT p.xid, p.id
  FROM parked_events AS p
  WHERE
    p.reader = $1 AND p.order_id = any($2::text[])
    AND NOT EXISTS (
      SELECT FROM blocks AS b
      WHERE b.order_id = p.order_id AND (b.until IS NULL OR b.until > now())
    )
  ORDER BY p.xid, p.id
  LIMIT $3
), gone AS (
  DELETE FROM parked_events AS p
  USING free AS f
  WHERE p.reader = $1 AND p.xid = f.xid AND p.id = f.id
  RETURNING p.xid, p.id
)
SELECT e.xid::text::bigint AS xid, e.id, e.at, e.kind, e.order_id, e.actor, e.data
FROM gone AS g
JOIN events AS e ON e.xid = g.xid AND e.id = g.id;

-- name: read_or_park_events
-- $1 reader, $2 xid and $3 id of the last event seen, $4 limit. Events of an order that is blocked,
-- or that has some parked already, are parked; one statement, so all of it is of one moment.
WITH fresh AS (
  SELECT xid, id, at, kind, order_id, actor, data
  FROM events
  WHERE
    (xid, id) > ($2::bigint::text::xid8, $3::bigint)
    AND xid < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY xid, id
  LIMIT $4
), parked AS (
  INSERT INTO parked_events (reader, xid, id, order_id)
  SELECT $1, f.xid, f.id, f.order_id
  FROM fresh AS f
  WHERE
    EXISTS (
      SELECT FROM blocks AS b
      WHERE b.order_id = f.order_id AND (b.until IS NULL OR b.until > now())
    )
    OR EXISTS (
      SELECT FROM parked_events AS p WHERE p.reader = $1 AND p.order_id = f.order_id
    )
  RETURNING xid, id
)
SELECT
  f.xid::text::bigint AS xid, f.id, f.at, f.kind, f.order_id, f.actor, f.data,
  p.id IS NOT NULL AS parked
FROM fresh AS f
LEFT JOIN parked AS p ON p.xid = f.xid AND p.id = f.id
ORDER BY f.xid, f.id;

-- name: advance_parking_reader
UPDATE event_cursors
SET xid = $2::bigint::text::xid8, id = $3, parked_after = $4
WHERE reader = $1;

-- name: take_duty
-- $1 cell, $2 duty, $3 owner, $4 for how long. A row comes back to whoever has it now.
INSERT INTO duties AS d (cell, duty, owner, until)
VALUES ($1, $2, $3, now() + $4::interval)
ON CONFLICT (cell, duty) DO UPDATE
SET owner = excluded.owner, until = excluded.until
WHERE d.owner = excluded.owner OR d.until < now()
RETURNING d.owner;

-- name: leave_duty
-- $1 cell, $2 duty, $3 owner
DELETE FROM duties
WHERE cell = $1 AND duty = $2 AND owner = $3;

-- name: keep_inputs
-- $1 tenant
SELECT pg_advisory_xact_lock_shared(hashtextextended('tidegate.inputs.' || $1, 0));

-- name: change_inputs
-- $1 tenant
SELECT pg_advisory_xact_lock(hashtextextended('tidegate.inputs.' || $1, 0));
