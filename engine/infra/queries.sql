-- Tables: reference_versions (engine/infra/migrations/0002_reference.sql).

-- name: keep_version
-- $1 tenant, $2 kind, $3 id, $4 version, $5 document, $6 actor
INSERT INTO reference_versions (tenant, kind, id, version, document, actor)
VALUES ($1, $2, $3, $4, $5::jsonb, $6);

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
