-- Tables: webhook_endpoints, webhook_secrets, webhook_events, webhook_waiting, webhook_attempts
-- (engine/infra/migrations/0058_webhooks.sql).

-- name: filters
-- $1 tenant
SELECT patterns, types, channels FROM webhook_endpoints WHERE tenant = $1;

-- name: orders_of
-- $1 order ids
SELECT order_id, tenant, channel, channel_order_id, coalesce(trace, '') AS trace
FROM orders WHERE order_id = ANY($1::text[]);

-- name: add_messages
-- $1 tenant, $2 ids, $3 types, $4 channels, $5 keys, $6 instants, $7 traces, $8 bodies, in turn.
INSERT INTO webhook_events (tenant, message_id, type, channel, key, at, trace, body)
SELECT $1, one.message_id, one.type, one.channel, one.key, one.at, one.trace, one.body
FROM
  unnest(
    $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::text[]
  ) WITH ORDINALITY AS one (message_id, type, channel, key, at, trace, body, n)
ORDER BY one.n;

-- name: lease
-- Keep what this process has, and take some of what nobody has. $1 tenant, $2 process, $3 how long,
-- $4 how many more
WITH free AS (
  SELECT e.endpoint_id
  FROM webhook_endpoints AS e
  WHERE
    e.tenant = $1 AND e.state = 'active' AND e.owner <> $2 AND e.leased_until < now()
  ORDER BY e.leased_until, e.endpoint_id
  LIMIT $4
  FOR UPDATE SKIP LOCKED
)
UPDATE webhook_endpoints AS e
SET
  owner = $2, leased_until = now() + $3::interval,
  token = e.token + CASE WHEN e.owner = $2 THEN 0 ELSE 1 END
WHERE
  e.tenant = $1 AND e.state = 'active'
  AND (e.owner = $2 OR e.endpoint_id IN (SELECT f.endpoint_id FROM free AS f))
RETURNING e.endpoint_id, e.token, e.version;

-- name: leave
-- $1 endpoint, $2 token
UPDATE webhook_endpoints SET owner = '', leased_until = '-infinity'
WHERE endpoint_id = $1 AND token = $2;

-- name: endpoint
-- $1 endpoint
SELECT
  endpoint_id, url, patterns, channels, version, cursor, token, failures, failing_since
FROM webhook_endpoints
WHERE endpoint_id = $1;

-- name: secrets
-- $1 endpoint; the newest first
SELECT secret, expires_at FROM webhook_secrets
WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > now())
ORDER BY id DESC;

-- name: bells
-- For whom there may be something to do. $1 tenant, $2 process
SELECT e.endpoint_id
FROM webhook_endpoints AS e
WHERE
  e.tenant = $1 AND e.owner = $2 AND e.state = 'active'
  AND (
    e.cursor < (SELECT max(w.seq) FROM webhook_events AS w)
    OR EXISTS (
      SELECT FROM webhook_waiting AS d
      WHERE d.endpoint_id = e.endpoint_id AND d.state = 'waiting' AND d.due_at <= now()
    )
  );

-- name: fresh
-- The next messages, at most $4, and how far it looked (`reach`; one row at least if it looked).
-- $1 tenant, $2 endpoint, $3 behind which, $5 patterns, $6 channels
WITH page AS MATERIALIZED (
  SELECT seq, tenant, message_id, type, channel, key, trace, body
  FROM webhook_events
  WHERE seq > $3
  ORDER BY seq
  LIMIT $4
)
SELECT
  r.reach, p.seq, p.message_id, p.type, p.key, p.trace, p.body,
  p.key <> '' AND EXISTS (
    SELECT FROM webhook_waiting AS w
    WHERE w.endpoint_id = $2 AND w.key = p.key AND w.state = 'waiting'
  ) AS held
FROM (SELECT max(seq) AS reach FROM page) AS r
LEFT JOIN page AS p
  ON
    p.tenant = $1 AND p.type LIKE ANY($5::text[])
    AND ($6::text[] = '{}' OR p.channel = ANY($6::text[]))
WHERE r.reach IS NOT NULL
ORDER BY p.seq;

-- name: due
-- What waited long enough, and that nothing of its key stands before that has not.
-- $1 endpoint, $2 numbers that the caller has, $3 limit
SELECT w.seq, w.attempts, e.message_id, e.type, w.key, e.trace, e.body
FROM webhook_waiting AS w
JOIN webhook_events AS e ON e.seq = w.seq
WHERE
  w.endpoint_id = $1 AND w.state = 'waiting' AND w.due_at <= now() AND w.seq <> ALL($2::bigint[])
  AND (
    w.key = ''
    OR NOT EXISTS (
      SELECT FROM webhook_waiting AS b
      WHERE
        b.endpoint_id = $1 AND b.key = w.key AND b.state = 'waiting' AND b.seq < w.seq
        AND b.due_at > now()
    )
  )
ORDER BY w.seq
LIMIT $3;

-- name: stand
-- The first statement of whoever writes what came of deliveries: it is still the one who may.
-- $1 endpoint, $2 token, $3 cursor, $4 failures, $5 failing since, $6 delivered now, $7 why disabled
UPDATE webhook_endpoints
SET
  cursor = $3, failures = $4, failing_since = $5,
  delivered_at = CASE WHEN $6::boolean THEN now() ELSE delivered_at END,
  state = CASE WHEN $7 = '' THEN state ELSE 'disabled' END, cause = $7,
  updated_at = CASE WHEN $7 = '' THEN updated_at ELSE now() END
WHERE endpoint_id = $1 AND token = $2 AND state = 'active'
RETURNING endpoint_id;

-- name: settle
-- $1 endpoint, $2 numbers that wait no more
DELETE FROM webhook_waiting WHERE endpoint_id = $1 AND seq = ANY($2::bigint[]);

-- name: wait
-- $1 endpoint, $2 numbers, $3 keys, $4 states, $5 attempts, $6 waits in seconds, $7 causes
INSERT INTO webhook_waiting AS w (endpoint_id, seq, key, state, attempts, due_at, cause)
SELECT
  $1, one.seq, one.key, one.state, one.attempts, now() + make_interval(secs => one.wait), one.cause
FROM
  unnest($2::bigint[], $3::text[], $4::text[], $5::int[], $6::float8[], $7::text[])
    AS one (seq, key, state, attempts, wait, cause)
ON CONFLICT (endpoint_id, seq) DO UPDATE
SET
  state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at,
  cause = excluded.cause;

-- name: add_endpoint
-- It is told what is committed from now on. $1 id, $2 tenant, $3 url, $4 description, $5 types,
-- $6 patterns, $7 channels, $8 actor, $9 at most how many a tenant has
INSERT INTO webhook_endpoints (
  endpoint_id, tenant, url, description, types, patterns, channels, actor, cursor
)
SELECT
  $1, $2, $3, $4, $5::text[], $6::text[], $7::text[], $8,
  coalesce((SELECT max(w.seq) FROM webhook_events AS w), 0)
WHERE (SELECT count(*) FROM webhook_endpoints AS e WHERE e.tenant = $2) < $9::int
RETURNING endpoint_id;

-- name: change_endpoint
-- $1 tenant, $2 id, $3 url, $4 description, $5 types, $6 patterns, $7 channels, $8 actor
UPDATE webhook_endpoints
SET
  url = $3, description = $4, types = $5::text[], patterns = $6::text[], channels = $7::text[],
  actor = $8, version = version + 1, updated_at = now()
WHERE tenant = $1 AND endpoint_id = $2
RETURNING endpoint_id;

-- name: enable
-- What waits begins anew, in `revive`. $1 tenant, $2 id, $3 actor
UPDATE webhook_endpoints
SET
  state = 'active', cause = '', failures = 0, failing_since = NULL, actor = $3,
  version = version + 1, updated_at = now()
WHERE tenant = $1 AND endpoint_id = $2 AND state = 'disabled'
RETURNING endpoint_id;

-- name: revive
-- $1 endpoint
UPDATE webhook_waiting SET attempts = 0, due_at = now()
WHERE endpoint_id = $1 AND state = 'waiting';

-- name: disable
-- $1 tenant, $2 id, $3 actor
UPDATE webhook_endpoints
SET
  state = 'disabled', cause = 'by_hand', actor = $3, owner = '', leased_until = '-infinity',
  token = token + 1, updated_at = now()
WHERE tenant = $1 AND endpoint_id = $2 AND state = 'active'
RETURNING endpoint_id;

-- name: remove_endpoint
-- What was tried stays until it is old. $1 tenant, $2 id
WITH gone AS (
  DELETE FROM webhook_endpoints WHERE tenant = $1 AND endpoint_id = $2
  RETURNING endpoint_id
), waits AS (
  DELETE FROM webhook_waiting AS w USING gone AS g WHERE w.endpoint_id = g.endpoint_id
)
SELECT endpoint_id FROM gone;

-- name: lock_endpoint
-- $1 tenant, $2 id
SELECT endpoint_id, patterns, channels FROM webhook_endpoints
WHERE tenant = $1 AND endpoint_id = $2
FOR UPDATE;

-- name: add_secret
-- $1 endpoint, $2 secret
INSERT INTO webhook_secrets (endpoint_id, secret) VALUES ($1, $2);

-- name: end_secrets
-- $1 endpoint, $2 how long the ones there are sign still; none that ends sooner lives longer.
WITH bumped AS (
  UPDATE webhook_endpoints SET version = version + 1 WHERE endpoint_id = $1
)
UPDATE webhook_secrets SET expires_at = least(expires_at, now() + $2::interval)
WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > now())
RETURNING expires_at;

-- name: forget_secrets
DELETE FROM webhook_secrets WHERE expires_at < now();

-- name: list_endpoints
-- $1 tenant, $2 id ("" of all), $3 behind which, $4 limit, $5 how far a backlog is counted
SELECT
  e.endpoint_id, e.url, e.types, e.channels, e.description, e.state, e.cause, e.failures,
  e.failing_since, e.delivered_at, e.created_at, e.updated_at,
  (
    SELECT count(*)
    FROM (
      SELECT FROM webhook_events AS w
      WHERE
        w.tenant = e.tenant AND w.seq > e.cursor AND w.type LIKE ANY(e.patterns)
        AND (e.channels = '{}' OR w.channel = ANY(e.channels))
      LIMIT $5
    ) AS behind
  ) AS backlog,
  (
    SELECT count(*) FROM webhook_waiting AS w
    WHERE w.endpoint_id = e.endpoint_id AND w.state = 'waiting'
  ) AS waiting,
  (
    SELECT count(*) FROM webhook_waiting AS w
    WHERE w.endpoint_id = e.endpoint_id AND w.state = 'dead'
  ) AS dead,
  ARRAY(
    SELECT s.expires_at FROM webhook_secrets AS s
    WHERE s.endpoint_id = e.endpoint_id AND (s.expires_at IS NULL OR s.expires_at > now())
    ORDER BY s.id DESC
  ) AS secrets
FROM webhook_endpoints AS e
WHERE e.tenant = $1 AND ($2 = '' OR e.endpoint_id = $2) AND e.endpoint_id > $3
ORDER BY e.endpoint_id
LIMIT $4;

-- name: list_attempts
-- $1 endpoint, $2 before which (0: the newest), $3 outcome ("" of all), $4 message ("" of all), $5
-- limit
SELECT id, message_id, seq AS sequence, type, attempt, at, outcome, status, seconds, error
FROM webhook_attempts
WHERE
  endpoint_id = $1 AND ($2::bigint = 0 OR id < $2) AND ($3 = '' OR outcome = $3)
  AND ($4 = '' OR message_id = $4)
ORDER BY id DESC
LIMIT $5;

-- name: list_dead
-- $1 endpoint, $2 behind which, $3 cause ("" of all), $4 limit
SELECT e.message_id, w.seq AS sequence, e.type, w.key, e.at, w.attempts, w.cause
FROM webhook_waiting AS w
JOIN webhook_events AS e ON e.seq = w.seq
WHERE w.endpoint_id = $1 AND w.state = 'dead' AND w.seq > $2 AND ($3 = '' OR w.cause = $3)
ORDER BY w.seq
LIMIT $4;

-- name: dead_by_cause
-- $1 endpoint
SELECT cause, count(*) AS letters, min(seq) AS first_sequence, max(seq) AS last_sequence
FROM webhook_waiting
WHERE endpoint_id = $1 AND state = 'dead'
GROUP BY cause
ORDER BY letters DESC, cause;

-- name: replay_dead
-- $1 endpoint, $2 message ids (none: all), $3 and $4 numbers, $5 and $6 instants, $7 cause, $8 limit
WITH chosen AS (
  SELECT w.seq
  FROM webhook_waiting AS w
  JOIN webhook_events AS e ON e.seq = w.seq
  WHERE
    w.endpoint_id = $1 AND w.state = 'dead' AND w.seq BETWEEN $3 AND $4
    AND ($2::text[] = '{}' OR e.message_id = ANY($2::text[]))
    AND ($5::timestamptz IS NULL OR e.at >= $5) AND ($6::timestamptz IS NULL OR e.at <= $6)
    AND ($7 = '' OR w.cause = $7)
  ORDER BY w.seq
  LIMIT $8
)
UPDATE webhook_waiting AS w
SET state = 'waiting', attempts = 0, due_at = now()
FROM chosen AS c
WHERE w.endpoint_id = $1 AND w.seq = c.seq
RETURNING w.seq;

-- name: replay
-- Of what the endpoint is told, and was looked at for it: what lies before it comes anyway.
-- $1 endpoint, $2 message ids (none: all), $3 and $4 numbers, $5 and $6 instants, $7 limit
INSERT INTO webhook_waiting AS d (endpoint_id, seq, key)
SELECT e.endpoint_id, w.seq, w.key
FROM webhook_endpoints AS e
JOIN webhook_events AS w ON w.tenant = e.tenant AND w.seq <= e.cursor
WHERE
  e.endpoint_id = $1 AND w.type LIKE ANY(e.patterns)
  AND (e.channels = '{}' OR w.channel = ANY(e.channels))
  AND w.seq BETWEEN $3 AND $4
  AND ($2::text[] = '{}' OR w.message_id = ANY($2::text[]))
  AND ($5::timestamptz IS NULL OR w.at >= $5) AND ($6::timestamptz IS NULL OR w.at <= $6)
ORDER BY w.seq
LIMIT $7
ON CONFLICT (endpoint_id, seq) DO UPDATE
SET state = 'waiting', attempts = 0, due_at = now()
RETURNING seq;

-- name: prune_attempts
-- $1 older than which, $2 limit
DELETE FROM webhook_attempts
WHERE ctid = ANY(ARRAY(SELECT ctid FROM webhook_attempts WHERE at < $1 LIMIT $2));

-- name: prune_events
-- What is old, and nobody who is told something has still before him. $1 older than which, $2 limit
WITH old AS (
  SELECT w.seq
  FROM webhook_events AS w
  WHERE
    w.at < $1
    AND w.seq <= coalesce(
      (SELECT min(e.cursor) FROM webhook_endpoints AS e WHERE e.state = 'active'),
      9223372036854775807
    )
    AND NOT EXISTS (
      SELECT
      FROM webhook_waiting AS d
      JOIN webhook_endpoints AS e ON e.endpoint_id = d.endpoint_id
      WHERE d.seq = w.seq AND d.state = 'waiting' AND e.state = 'active'
    )
  ORDER BY w.seq
  LIMIT $2
), letters AS (
  DELETE FROM webhook_waiting AS d USING old AS o WHERE d.seq = o.seq
)
DELETE FROM webhook_events AS w USING old AS o WHERE w.seq = o.seq
RETURNING w.seq;

-- name: measure
-- $1 tenant, $2 how far a backlog is counted
WITH standing AS (
  SELECT
    e.state,
    CASE WHEN e.state = 'active' THEN (
      SELECT count(*)
      FROM (
        SELECT FROM webhook_events AS w
        WHERE
          w.tenant = e.tenant AND w.seq > e.cursor AND w.type LIKE ANY(e.patterns)
          AND (e.channels = '{}' OR w.channel = ANY(e.channels))
        LIMIT $2
      ) AS behind
    ) ELSE 0 END AS behind,
    CASE WHEN e.state = 'active' THEN least(
      (
        SELECT w.at FROM webhook_events AS w
        WHERE
          w.tenant = e.tenant AND w.seq > e.cursor AND w.type LIKE ANY(e.patterns)
          AND (e.channels = '{}' OR w.channel = ANY(e.channels))
        ORDER BY w.seq
        LIMIT 1
      ),
      (
        SELECT w.at
        FROM webhook_waiting AS d
        JOIN webhook_events AS w ON w.seq = d.seq
        WHERE d.endpoint_id = e.endpoint_id AND d.state = 'waiting'
        ORDER BY d.seq
        LIMIT 1
      )
    ) END AS oldest,
    (
      SELECT count(*) FROM webhook_waiting AS d
      WHERE d.endpoint_id = e.endpoint_id AND d.state = 'waiting'
    ) AS waiting,
    (
      SELECT count(*) FROM webhook_waiting AS d
      WHERE d.endpoint_id = e.endpoint_id AND d.state = 'dead'
    ) AS dead
  FROM webhook_endpoints AS e
  WHERE e.tenant = $1
)
SELECT
  count(*) FILTER (WHERE state = 'active') AS active,
  count(*) FILTER (WHERE state = 'disabled') AS disabled,
  coalesce(sum(behind + waiting), 0)::bigint AS waiting, coalesce(sum(dead), 0)::bigint AS dead,
  greatest(coalesce(extract(epoch FROM now() - min(oldest)), 0), 0)::float8 AS oldest_s
FROM standing;
