-- Tables: reference_versions (engine/infra/migrations/0002_reference.sql), stock_changes
-- (…/0010_supply.sql), duties (…/0018_duties.sql), jobs and job_breakers (…/0033_jobs.sql).

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

-- name: read_hints
-- As read_events; of these kinds only which orders they are about, and how far it read ($3 events).
WITH seen AS MATERIALIZED (
  SELECT xid, id, kind, order_id
  FROM events
  WHERE
    (xid, id) > ($1::bigint::text::xid8, $2::bigint)
    AND xid < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY xid, id
  LIMIT $3
)
SELECT
  last.xid::text::bigint AS xid, last.id, (SELECT count(*) FROM seen) AS n,
  ARRAY(
    SELECT DISTINCT s.order_id
    FROM seen AS s
    WHERE s.order_id <> '' AND s.kind = any($4::text[])
    ORDER BY s.order_id
  ) AS orders
FROM seen AS last
ORDER BY last.xid DESC, last.id DESC
LIMIT 1;

-- name: advance_reader
UPDATE event_cursors SET xid = $2::bigint::text::xid8, id = $3 WHERE reader = $1;

-- name: end_of_events
-- Below it no event can come any more.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint;

-- name: pass_events
-- $1 reader, $2 the end as it was: all that lies below is behind it, if it was not so before.
-- Where no event lies between, nothing is written: it is asked again and again.
INSERT INTO event_cursors AS c (reader, xid, id)
SELECT $1, ($2::bigint - 1)::text::xid8, 9223372036854775807
WHERE NOT EXISTS (
  SELECT FROM event_cursors AS c
  WHERE c.reader = $1 AND NOT EXISTS (
    SELECT FROM events AS e
    WHERE (e.xid, e.id) > (c.xid, c.id) AND e.xid < $2::bigint::text::xid8
  )
)
ON CONFLICT (reader) DO UPDATE SET xid = excluded.xid, id = excluded.id
WHERE c.xid < excluded.xid;

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

-- name: put_jobs
-- $1 tenant, $2 queues, $3 kinds, $4 keys, $5 payloads, $6 instants (NULL: at once), in turn.
INSERT INTO jobs (tenant, queue, kind, key, payload, due_at)
SELECT $1, one.queue, one.kind, one.key, one.payload::jsonb, coalesce(one.due_at, now())
FROM
  unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    WITH ORDINALITY AS one (queue, kind, key, payload, due_at, n)
ORDER BY one.n;

-- name: claim_jobs
-- $1 tenant, $2 what names of queues begin with, $3 queues and $7 how many jobs of each the caller
-- has, of $8 at most, $4 limit, $5 lease, $6 failures that open a breaker. One due job of each queue first, then a second of each, … A job
-- waits for earlier ones of its key; an open queue gets one job, when its probe is due.
WITH RECURSIVE named (queue) AS (
  (
    SELECT j.queue FROM jobs AS j
    WHERE j.tenant = $1 AND j.state = 'waiting' AND j.queue >= $2::text COLLATE "C"
    ORDER BY j.queue
    LIMIT 1
  )
  UNION ALL
  SELECT (
    SELECT j.queue FROM jobs AS j
    WHERE j.tenant = $1 AND j.state = 'waiting' AND j.queue > n.queue
    ORDER BY j.queue
    LIMIT 1
  )
  FROM named AS n
  WHERE starts_with(n.queue, $2)
), probing AS MATERIALIZED (
  SELECT b.queue FROM job_breakers AS b
  WHERE b.tenant = $1 AND b.failures >= $6 AND b.probe_at <= now()
  FOR UPDATE SKIP LOCKED
), allowed AS (
  SELECT
    n.queue,
    least(
      CASE WHEN b.queue IS NULL THEN $4::int / (count(*) OVER ())::int + 1 ELSE 1 END,
      $8::int - coalesce(h.jobs, 0)
    ) AS room
  FROM named AS n
  LEFT JOIN unnest($3::text[], $7::int[]) AS h (queue, jobs) ON h.queue = n.queue
  LEFT JOIN job_breakers AS b ON b.tenant = $1 AND b.queue = n.queue AND b.failures >= $6
  WHERE
    starts_with(n.queue, $2) AND coalesce(h.jobs, 0) < $8
    AND (b.queue IS NULL OR n.queue IN (SELECT p.queue FROM probing AS p))
), due AS MATERIALIZED (
  SELECT f.job_id, f.queue, f.due_at
  FROM allowed AS a
  CROSS JOIN LATERAL (
    SELECT j.job_id, j.queue, j.due_at
    FROM jobs AS j
    WHERE
      j.tenant = $1 AND j.queue = a.queue AND j.state = 'waiting' AND j.due_at <= now()
      AND NOT EXISTS (
        SELECT FROM jobs AS e
        WHERE e.tenant = $1 AND e.key = j.key AND e.job_id < j.job_id AND e.state = 'waiting'
      )
    ORDER BY j.due_at, j.job_id
    LIMIT a.room
    FOR UPDATE SKIP LOCKED
  ) AS f
), turns AS (
  SELECT
    d.job_id, d.due_at, row_number() OVER (PARTITION BY d.queue ORDER BY d.due_at, d.job_id) AS turn
  FROM due AS d
), claimed AS (
  UPDATE jobs AS j
  SET
    token = nextval('job_tokens'), attempts = j.attempts + 1,
    leased_until = now() + $5::interval, due_at = now() + $5::interval
  WHERE
    j.job_id IN (SELECT t.job_id FROM turns AS t ORDER BY t.turn, t.due_at, t.job_id LIMIT $4)
  RETURNING j.job_id, j.tenant, j.queue, j.kind, j.key, j.payload, j.attempts, j.token
), probed AS (
  UPDATE job_breakers AS b
  SET probe_at = now() + $5::interval
  WHERE
    b.tenant = $1 AND b.queue IN (SELECT p.queue FROM probing AS p)
    AND b.queue IN (SELECT c.queue FROM claimed AS c)
)
SELECT job_id, tenant, queue, kind, key, payload, attempts, token
FROM claimed
ORDER BY job_id;

-- name: hold_job
-- $1 job, $2 token; the row stays locked, so that nobody takes it over in between.
SELECT job_id FROM jobs
WHERE job_id = $1 AND token = $2 AND state = 'waiting'
FOR UPDATE;

-- name: finish_job
-- $1 job, $2 token
DELETE FROM jobs
WHERE job_id = $1 AND token = $2 AND state = 'waiting'
RETURNING job_id;

-- name: retry_job
-- $1 job, $2 token, $3 error, $4 tries (0: without end), $5 first and $6 longest wait in seconds.
UPDATE jobs
SET
  leased_until = NULL, last_error = $3,
  state = CASE WHEN $4::int > 0 AND attempts >= $4 THEN 'dead' ELSE 'waiting' END,
  due_at = now() + make_interval(
    secs => least($5::float8 * 2 ^ least(attempts - 1, 30), $6::float8) * (0.8 + 0.4 * random())
  )
WHERE job_id = $1 AND token = $2 AND state = 'waiting'
RETURNING state;

-- name: bury_job
-- $1 job, $2 token, $3 error
UPDATE jobs
SET leased_until = NULL, last_error = $3, state = 'dead'
WHERE job_id = $1 AND token = $2 AND state = 'waiting'
RETURNING job_id;

-- name: release_job
-- $1 job, $2 token, $3 when it is due again; it was not begun.
UPDATE jobs
SET leased_until = NULL, due_at = coalesce($3, now()), attempts = attempts - 1
WHERE job_id = $1 AND token = $2 AND state = 'waiting'
RETURNING job_id;

-- name: withdraw_jobs
-- $1 tenant, $2 key
DELETE FROM jobs
WHERE tenant = $1 AND key = $2
RETURNING job_id;

-- name: dead_jobs
-- $1 tenant, $2 job behind which to go on, $3 limit, $4 queue, "" of all
SELECT job_id, tenant, queue, kind, key, payload, attempts, last_error, created_at
FROM jobs
WHERE tenant = $1 AND state = 'dead' AND job_id > $2 AND ($4 = '' OR queue = $4)
ORDER BY job_id
LIMIT $3;

-- name: revive_job
-- $1 tenant, $2 job
UPDATE jobs
SET state = 'waiting', attempts = 0, due_at = now()
WHERE tenant = $1 AND job_id = $2 AND state = 'dead'
RETURNING job_id;

-- name: revive_queue
-- $1 tenant, $2 queue, $3 limit: the oldest first
UPDATE jobs
SET state = 'waiting', attempts = 0, due_at = now()
WHERE job_id IN (
  SELECT j.job_id FROM jobs AS j
  WHERE j.tenant = $1 AND j.queue = $2 AND j.state = 'dead'
  ORDER BY j.job_id
  LIMIT $3
  FOR UPDATE SKIP LOCKED
)
RETURNING job_id;

-- name: count_jobs
-- $1 tenant
SELECT queue, state, count(*) AS jobs
FROM jobs
WHERE tenant = $1
GROUP BY queue, state
ORDER BY queue, state;

-- name: open_breakers
-- $1 tenant, $2 failures that open one
SELECT queue FROM job_breakers
WHERE tenant = $1 AND failures >= $2
ORDER BY queue;

-- name: breaker_open
-- Whether nobody is to be asked now: of all who would ask when a probe is due, one finds that it is
-- not. $1 tenant, $2 queue, $3 failures that open one, $4 until the next probe, if this one is lost
WITH probe AS (
  UPDATE job_breakers SET probe_at = now() + $4::interval
  WHERE tenant = $1 AND queue = $2 AND failures >= $3 AND probe_at <= now()
  RETURNING queue
)
SELECT failures >= $3 AS open, EXISTS (SELECT FROM probe) AS probe
FROM job_breakers
WHERE tenant = $1 AND queue = $2;

-- name: breaker_failed
-- $1 tenant, $2 queue, $3 failures that open it, $4 first and $5 longest wait in seconds, $6
-- was a probe. From a call that began before it opened nothing new is learnt: no probe is put off.
INSERT INTO job_breakers AS b (tenant, queue, failures)
VALUES ($1, $2, 1)
ON CONFLICT (tenant, queue) DO UPDATE
SET
  failures = b.failures + CASE WHEN b.failures < $3 OR $6 THEN 1 ELSE 0 END,
  opened_at = CASE WHEN b.failures + 1 >= $3 THEN coalesce(b.opened_at, now()) END,
  probe_at = CASE
    WHEN b.failures + 1 < $3 THEN NULL
    WHEN b.failures >= $3 AND NOT $6 THEN b.probe_at
    ELSE
      now() + make_interval(
        secs => least($4::float8 * 2 ^ least(b.failures + 1 - $3, 30), $5::float8)
      )
  END
RETURNING b.failures;

-- name: breaker_succeeded
-- $1 tenant, $2 queue
DELETE FROM job_breakers WHERE tenant = $1 AND queue = $2;
