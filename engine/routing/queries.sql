-- Tables: routing_queue, queue_waits, routing_decisions, node_rejections, broken_promises, capacity
-- (engine/infra/migrations/0031_routing.sql), routing_hands (0038), routing_names (0041); of orders,
-- blocks, stops and shipments whether and how
-- an order may be bound, of jobs which calls were given up, of stock what is free, of skus whose it is. Locks: orders by order_id, then
-- rows of the queue, shipments, stops, stock, and capacity by its key.

-- name: claim
-- $1 tenant, $2 limit, $3 lease. A statement of its own: it takes no other lock.
WITH token AS MATERIALIZED (
  SELECT nextval('routing_tokens') AS token
), due AS MATERIALIZED (
  SELECT q.order_id
  FROM routing_queue AS q
  WHERE
    q.tenant = $1 AND q.due_at <= now()
    AND (q.leased_until IS NULL OR q.leased_until < now())
  ORDER BY q.due_at, q.turn
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
UPDATE routing_queue AS q
SET token = t.token, leased_until = now() + $3::interval
FROM due AS d, token AS t
WHERE q.order_id = d.order_id
RETURNING q.order_id, q.facts, q.row_version, q.hops, q.token, q.queue, q.due_at, q.turn;

-- name: put_rows
-- $1 tenant, then columns; a row that is there is written anew, and nobody's lease holds any more.
-- `since` and the alarm stay as long as the queue is the same, hops never fall. What is to be routed
-- anew for no other facts stays where a router put it, also what a node refused.
INSERT INTO routing_queue AS q (
  tenant, order_id, queue, reason, due_at, alarm_at, hops, turn, facts, row_version
)
SELECT
  $1, r.order_id, r.queue, r.reason, r.due_at, r.alarm_at, r.hops, r.turn, r.facts, r.row_version
FROM
  unnest(
    $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::integer[],
    $8::bigint[], $9::bytea[], $10::text[]
  ) AS r (order_id, queue, reason, due_at, alarm_at, hops, turn, facts, row_version)
ORDER BY r.order_id
ON CONFLICT (order_id) DO UPDATE
SET
  queue = excluded.queue, reason = excluded.reason, due_at = excluded.due_at,
  since = CASE WHEN q.queue = excluded.queue THEN q.since ELSE now() END,
  alarm_at = CASE WHEN q.queue = excluded.queue THEN q.alarm_at ELSE excluded.alarm_at END,
  hops = greatest(q.hops, excluded.hops), turn = excluded.turn, facts = excluded.facts,
  row_version = excluded.row_version, token = 0, leased_until = NULL
WHERE
  excluded.queue NOT IN ('NEW', 'REJECTED') OR q.queue IN ('HELD_RISK', 'HELD_PRESALE')
  OR q.facts <> excluded.facts OR q.row_version <> excluded.row_version
  OR q.hops < excluded.hops;

-- name: lock_own_order
-- $1 tenant, $2 channel or '', $3 order_id
SELECT order_id
FROM orders
WHERE tenant = $1 AND ($2::text = '' OR channel = $2) AND order_id = $3
FOR UPDATE;

-- name: lock_row
-- $1 order_id, locked
SELECT queue, facts FROM routing_queue WHERE order_id = $1 FOR UPDATE;

-- name: has_node
-- Whether it is one that we send from. $1 tenant, $2 node
SELECT EXISTS (
  SELECT FROM nodes AS n
  WHERE
    n.tenant = $1 AND n.node = $2 AND coalesce((n.document ->> 'enabled')::boolean, true)
    AND coalesce(n.document ->> 'controlled_by', 'us') = 'us'
);

-- name: try_again
-- $1 order_id, locked, $2 facts, $3 seconds until the alarm, $4 whether the facts are to be made anew
-- first, as the bind sees it then; whoever has leased it binds nothing
UPDATE routing_queue
SET
  queue = 'NEW', reason = '', due_at = now(), hops = 0, facts = $2, token = 0, cancel_at = NULL,
  row_version = CASE WHEN $4::boolean THEN '' ELSE row_version END,
  leased_until = NULL, since = CASE WHEN queue = 'NEW' THEN since ELSE now() END,
  alarm_at = now() + make_interval(secs => $3::integer)
WHERE order_id = $1;

-- name: list_queue
-- The longest waiting first. $1 tenant, $2 channel or '', $3 queue or '', $4 since before, behind
-- $5 since and $6 order_id where that is not NULL, $7 limit
SELECT
  q.order_id, o.channel, q.queue, q.reason, q.since,
  q.alarm_at IS NULL OR q.alarm_at <= now() AS alarm, q.due_at, q.hops,
  ARRAY(
    SELECT w.sku FROM queue_waits AS w WHERE w.order_id = q.order_id ORDER BY w.sku
  ) AS waits_for,
  coalesce(h.node, '') AS node
FROM routing_queue AS q
JOIN orders AS o ON o.order_id = q.order_id
LEFT JOIN routing_hands AS h ON h.order_id = q.order_id
WHERE
  q.tenant = $1 AND ($2::text = '' OR o.channel = $2) AND ($3::text = '' OR q.queue = $3)
  AND q.since <= $4
  AND ($5::timestamptz IS NULL OR (q.since, q.order_id) > ($5, $6::text))
ORDER BY q.since, q.order_id
LIMIT $7;

-- name: broken
-- Open ones. $1 tenant, $2 channel or '', behind $3 order_id and $4 line_no, $5 limit
SELECT
  b.order_id, o.channel, b.line_no, b.sku, b.node_group, b.units, b.reason, b.since
FROM broken_promises AS b
JOIN orders AS o ON o.order_id = b.order_id
WHERE
  b.tenant = $1 AND b.until IS NULL AND ($2::text = '' OR o.channel = $2)
  AND (b.order_id, b.line_no) > ($3, $4::integer)
ORDER BY b.order_id, b.line_no
LIMIT $5;

-- name: withdraw_rows
-- $1 order_ids: they ended, or wait for nothing any more
WITH waits AS (
  DELETE FROM queue_waits WHERE order_id = any($1::text[])
)
DELETE FROM routing_queue WHERE order_id = any($1::text[]);

-- name: hold_rows
-- $1 order_ids, $2 token: those that are still ours, locked
SELECT order_id
FROM routing_queue
WHERE order_id = any($1::text[]) AND token = $2
ORDER BY order_id
FOR UPDATE;

-- name: give_back
-- $1 order_ids, $2 token, $3 when they are due: they were not decided, or for nothing
UPDATE routing_queue SET due_at = $3, leased_until = NULL
WHERE order_id = any($1::text[]) AND token = $2;

-- name: park_rows
-- $1 order_ids, $2 queues, $3 reasons, $4 due, $5 alarms, $6 facts of what is left, $7 when it is
-- cancelled (the first that was said counts, -infinity takes it back), $8 how many seconds ago stock
-- was seen, $9 by which inputs; of orders that were bound in part the version is that of now.
UPDATE routing_queue AS q
SET
  queue = r.queue, reason = r.reason, due_at = r.due_at, facts = r.facts,
  since = CASE WHEN q.queue = r.queue THEN q.since ELSE now() END,
  alarm_at = CASE WHEN q.queue = r.queue THEN q.alarm_at ELSE r.alarm_at END,
  row_version = o.xmin::text, token = 0, leased_until = NULL,
  tried_at = now() - make_interval(secs => $8), inputs = $9,
  cancel_at = nullif(
    CASE WHEN r.cancel_at = '-infinity' THEN r.cancel_at ELSE coalesce(q.cancel_at, r.cancel_at) END,
    '-infinity'
  )
FROM
  unnest(
    $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bytea[],
    $7::timestamptz[]
  ) AS r (order_id, queue, reason, due_at, alarm_at, facts, cancel_at)
JOIN orders AS o ON o.order_id = r.order_id
WHERE q.order_id = r.order_id;

-- name: to_cancel
-- $1 tenant, $2 how many
SELECT order_id
FROM routing_queue
WHERE tenant = $1 AND cancel_at <= now() AND queue IN ('UNFILLABLE', 'BACKORDER')
ORDER BY cancel_at
LIMIT $2;

-- name: hold_to_cancel
-- $1 order_id, locked; what is left of it, if it still is to be cancelled
SELECT facts
FROM routing_queue
WHERE order_id = $1 AND cancel_at <= now() AND queue IN ('UNFILLABLE', 'BACKORDER')
FOR UPDATE;

-- name: forget_waits
DELETE FROM queue_waits WHERE order_id = any($1::text[]);

-- name: add_waits
-- $1 tenant, $2 skus, $3 order_ids
INSERT INTO queue_waits (tenant, sku, order_id)
SELECT $1, w.sku, w.order_id
FROM unnest($2::text[], $3::text[]) AS w (sku, order_id)
ON CONFLICT DO NOTHING;

-- name: wake_waiting
-- $1 tenant, $2 how many: orders that wait for stock of which something changed since they were
-- tried, and of which there is some now; and those that were tried by other rules of stock, nodes or
-- profiles than $3, which may free what was there before
WITH came AS MATERIALIZED (
  SELECT q.order_id
  FROM routing_queue AS q
  WHERE
    q.tenant = $1 AND q.queue IN ('UNFILLABLE', 'BACKORDER')
    AND (q.due_at IS NULL OR q.due_at > now())
    AND (q.inputs <> $3 OR EXISTS (
      SELECT
      FROM queue_waits AS w
      JOIN stock_keys AS k ON k.tenant = w.tenant AND k.sku = w.sku
      JOIN stock_balances AS b ON b.key_id = k.key_id
      WHERE
        w.order_id = q.order_id AND w.tenant = q.tenant
        AND b.sellable > 0 AND b.updated_at > q.tried_at
    ))
  ORDER BY q.since
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
UPDATE routing_queue AS q SET due_at = now()
FROM came
WHERE q.order_id = came.order_id;

-- name: overdue
-- $1 tenant, $2 how many: once each, for as long as it stays in that queue
WITH late AS (
  SELECT order_id
  FROM routing_queue
  WHERE tenant = $1 AND alarm_at <= now()
  ORDER BY alarm_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
UPDATE routing_queue AS q SET alarm_at = NULL
FROM late
WHERE q.order_id = late.order_id
RETURNING q.order_id, q.queue, q.reason, q.since;

-- name: lock_orders
-- $1 order_ids
SELECT order_id, xmin::text AS row_version, state
FROM orders
WHERE order_id = any($1::text[])
ORDER BY order_id
FOR UPDATE;

-- name: standing
-- $1 order_ids, locked: whether something holds them, and the next numbers of theirs
SELECT
  o.order_id,
  EXISTS (
    SELECT FROM blocks AS b
    WHERE b.order_id = o.order_id AND (b.until IS NULL OR b.until > now())
  ) OR EXISTS (
    SELECT FROM stops AS t WHERE t.order_id = o.order_id AND t.answer = ''
  ) AS held,
  (
    SELECT coalesce(max(d.n), 0) + 1 FROM routing_decisions AS d WHERE d.order_id = o.order_id
  ) AS decision,
  (SELECT count(*) + 1 FROM shipments AS s WHERE s.order_id = o.order_id) AS shipment
FROM unnest($1::text[]) AS o (order_id);

-- name: lock_capacity
-- $1 tenant, $2 scopes, $3 ids, $4 days, $5 dims, $6 limits: in the order of the key. What is new is
-- made, a limit that was changed is kept, and all are locked.
INSERT INTO capacity AS c (tenant, scope, id, day, dim, "limit")
SELECT $1, s.scope, s.id, s.day, s.dim, s.most
FROM
  unnest($2::text[], $3::text[], $4::date[], $5::text[], $6::bigint[])
    WITH ORDINALITY AS s (scope, id, day, dim, most, n)
ORDER BY s.n
ON CONFLICT (tenant, scope, id, day, dim) DO UPDATE SET "limit" = excluded."limit"
RETURNING c.scope, c.id, c.day, c.dim, c.used, c."limit";

-- name: take_capacity
-- $1 tenant, $2 scopes, $3 ids, $4 days, $5 dims, $6 how much
UPDATE capacity AS c SET used = c.used + s.n
FROM
  unnest($2::text[], $3::text[], $4::date[], $5::text[], $6::bigint[]) AS s (scope, id, day, dim, n)
WHERE
  c.tenant = $1 AND c.scope = s.scope AND c.id = s.id AND c.day = s.day AND c.dim = s.dim
  AND (c."limit" IS NULL OR c.used + s.n <= c."limit");

-- name: lock_capacity_given_back
-- $1 tenant, $2 scopes, $3 ids, $4 days, $5 dims: in the order in which `lock_capacity` locks
SELECT c.used
FROM
  unnest($2::text[], $3::text[], $4::date[], $5::text[])
    WITH ORDINALITY AS s (scope, id, day, dim, n)
JOIN capacity AS c
  ON c.tenant = $1 AND c.scope = s.scope AND c.id = s.id AND c.day = s.day AND c.dim = s.dim
ORDER BY s.n
FOR UPDATE OF c;

-- name: give_capacity_back
-- $1 tenant, $2 scopes, $3 ids, $4 days, $5 dims, $6 how much; a day that was forgotten stays so
UPDATE capacity AS c SET used = greatest(c.used - s.n, 0)
FROM
  unnest($2::text[], $3::text[], $4::date[], $5::text[], $6::bigint[]) AS s (scope, id, day, dim, n)
WHERE c.tenant = $1 AND c.scope = s.scope AND c.id = s.id AND c.day = s.day AND c.dim = s.dim;

-- name: capacity_from
-- $1 tenant, $2 the first day
SELECT scope, id, day, dim, used, "limit"
FROM capacity
WHERE tenant = $1 AND day >= $2;

-- name: forget_capacity
-- $1 before this day
DELETE FROM capacity WHERE day < $1;

-- name: load_of_nodes
-- $1 tenant: shipments that nodes have before them
SELECT node, count(*) AS shipments
FROM shipments
WHERE
  tenant = $1
  AND state IN ('planned', 'sending', 'unknown', 'sent', 'accepted', 'picked', 'packed', 'stopping')
GROUP BY node;

-- name: inputs
-- Greater whenever a rule of stock, a node or a profile is made or changed; none is ever deleted.
-- $1 tenant
SELECT
  (SELECT coalesce(sum(r.version), 0)::bigint FROM stock_rules AS r WHERE r.tenant = $1) AS rules,
  (SELECT coalesce(sum(n.version), 0)::bigint FROM nodes AS n WHERE n.tenant = $1) AS nodes,
  (
    SELECT coalesce(sum(p.version), 0)::bigint FROM node_profiles AS p WHERE p.tenant = $1
  ) AS profiles;

-- name: free_of
-- $1 tenant, $2 skus: of goods without a batch, their owners' own; of one that has none its owner
SELECT
  s.sku, s.owner, k.key_id, coalesce(k.node, '') AS node, coalesce(b.sellable, 0) AS sellable
FROM skus AS s
LEFT JOIN stock_keys AS k
  ON
    k.tenant = s.tenant AND k.sku = s.sku AND k.owner = s.owner
    AND k.condition = 'good' AND k.batch = ''
LEFT JOIN stock_balances AS b ON b.key_id = k.key_id
WHERE s.tenant = $1 AND s.sku = any($2::text[]);

-- name: keep_names
INSERT INTO routing_names (tenant, names, nodes, services) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: names
-- $1 tenant, $2 digests
SELECT names, nodes, services FROM routing_names WHERE tenant = $1 AND names = any($2::bigint[]);

-- name: order_to_explain
-- $1 tenant, $2 channel or any, $3 order_id: whether it may be seen, and where it waits
SELECT q.queue, q.reason, q.since, q.due_at, q.hops
FROM orders AS o
LEFT JOIN routing_queue AS q ON q.order_id = o.order_id
WHERE o.order_id = $3 AND o.tenant = $1 AND ($2 = '' OR o.channel = $2);

-- name: decisions
-- $1 order_id, $2 below this number, $3 how many: the last one first
SELECT n, at, plan, version, stage, rule, verdict, queue, reason, inputs, trace
FROM routing_decisions
WHERE order_id = $1 AND n < $2
ORDER BY n DESC
LIMIT $3;

-- name: decisions_to_replay
-- Of each order the last decision of a time, the latest order first. $1 tenant, $2 since, $3 until,
-- $4 at and $5 order_id of the last one that was read, $6 how many
SELECT d.order_id, d.at, d.plan, d.version, d.stage, d.rule, d.queue, d.inputs, d.trace
FROM routing_decisions AS d
WHERE
  d.tenant = $1 AND d.at >= $2 AND d.at < $3 AND d.at <= $4 AND (d.at, d.order_id) < ($4, $5)
  AND NOT EXISTS (
    SELECT FROM routing_decisions AS l
    WHERE l.order_id = d.order_id AND l.n > d.n AND l.at < $3
  )
ORDER BY d.at DESC, d.order_id DESC
LIMIT $6;

-- name: rejections
-- $1 order_id, $2 how many
SELECT line_no, node, reason, units, stock_effect, exclude_until, actor, at
FROM node_rejections
WHERE order_id = $1
ORDER BY at DESC, line_no, node
LIMIT $2;

-- name: promises
-- $1 order_id, $2 how many: that could not be kept, at least for a while
SELECT line_no, sku, node_group, units, reason, since, until
FROM broken_promises
WHERE order_id = $1
ORDER BY since DESC, line_no
LIMIT $2;

-- name: break_promises
-- $1 tenant, $2 at, then columns; a line whose promise is broken already is not told again
INSERT INTO broken_promises (tenant, since, order_id, line_no, sku, node_group, units, reason)
SELECT $1, $2, b.order_id, b.line_no, b.sku, b.node_group, b.units, b.reason
FROM
  unnest($3::text[], $4::integer[], $5::text[], $6::text[], $7::integer[], $8::text[])
    AS b (order_id, line_no, sku, node_group, units, reason)
ON CONFLICT (order_id, line_no) WHERE until IS NULL DO NOTHING
RETURNING order_id, line_no, sku, units, reason;

-- name: keep_promises
-- $1 order_ids, $2 line numbers that wait still, one array as order:line, $3 at
UPDATE broken_promises AS b SET until = $3
WHERE
  b.order_id = any($1::text[]) AND b.until IS NULL
  AND b.order_id || ':' || b.line_no <> all($2::text[])
RETURNING b.order_id, b.line_no, b.sku, b.units;

-- name: add_rejection
-- One more of a node for a line; $3 tenant … $8 at, $9 shipment_id
INSERT INTO node_rejections (
  order_id, line_no, node, n, tenant, reason, units, stock_effect, exclude_until, actor, at,
  shipment_id
)
SELECT
  $1, r.line_no, $2,
  (
    SELECT count(*) + 1 FROM node_rejections AS k
    WHERE k.order_id = $1 AND k.line_no = r.line_no AND k.node = $2
  ),
  $3, $4, r.units, $5, $6, $7, $8, $9
FROM unnest($10::integer[], $11::integer[]) AS r (line_no, units);

-- name: taken_off
-- $1 order_id, $2 shipment_id: units that were taken off its node's stock when it refused them
SELECT line_no, sum(units)::bigint AS units
FROM node_rejections
WHERE order_id = $1 AND shipment_id = $2 AND stock_effect <> ''
GROUP BY line_no;

-- name: excluded
-- $1 order_ids: nodes that refused a line and are not to be asked yet
SELECT order_id, line_no, node, max(coalesce(exclude_until, 'infinity')) AS until
FROM node_rejections
WHERE order_id = any($1::text[]) AND (exclude_until IS NULL OR exclude_until > now())
GROUP BY order_id, line_no, node
ORDER BY order_id, line_no, node;

-- name: hands
-- $1 order_ids: what is decided of them by hand, and how often nodes refused them since
SELECT
  o.order_id, coalesce(h.hold, '') AS hold, coalesce(h.node, '') AS node,
  (
    SELECT count(DISTINCT k.shipment_id) FROM node_rejections AS k
    WHERE k.order_id = o.order_id AND (h.since IS NULL OR k.noted_at > h.since)
  ) AS hops
FROM unnest($1::text[]) AS o (order_id)
LEFT JOIN routing_hands AS h ON h.order_id = o.order_id;

-- name: to_look_at
-- $1 tenant, $2 order_ids: why a person has to look at them although nothing is to be routed: their
-- units left twice, or a call for them was given up: to their node, or to the carrier that was to
-- turn them round
SELECT h.order_id, h.hold AS reason
FROM routing_hands AS h
WHERE h.order_id = any($2::text[]) AND h.hold = 'shipped_twice'
UNION
SELECT s.order_id, 'call_dead' AS reason
FROM jobs AS j
JOIN shipments AS s
  ON s.shipment_id = j.key OR (s.consignment_id = j.key AND s.consignment_id <> s.shipment_id)
WHERE
  j.tenant = $1 AND j.state = 'dead' AND s.order_id = any($2::text[])
  AND (
    (j.kind = 'call' AND s.state IN ('planned', 'sending', 'unknown'))
    OR (j.kind = 'intercept' AND s.shipment_id = j.key)
  )
ORDER BY order_id, reason;

-- name: hold_orders
-- $1 tenant, $2 order_ids, locked, $3 why, $4 actor
WITH held AS (
  UPDATE routing_queue AS q
  SET
    queue = 'MANUAL', reason = $3, due_at = NULL, token = 0, leased_until = NULL,
    since = CASE WHEN q.queue = 'MANUAL' THEN q.since ELSE now() END
  WHERE q.order_id = any($2::text[])
)
INSERT INTO routing_hands (order_id, tenant, hold, actor)
SELECT o.order_id, $1, $3, $4
FROM unnest($2::text[]) AS o (order_id)
ON CONFLICT (order_id) DO UPDATE SET hold = excluded.hold, actor = excluded.actor, at = now();

-- name: take_in_hand
-- $1 tenant, $2 order_id, locked, $3 node or '', $4 actor: it is tried again, with no hop behind it
INSERT INTO routing_hands AS h (order_id, tenant, node, since, actor)
VALUES ($2, $1, $3, now(), $4)
ON CONFLICT (order_id) DO UPDATE
SET hold = '', node = excluded.node, since = now(), actor = excluded.actor, at = now();

-- name: count_queue
-- $1 tenant
SELECT queue, count(*) AS orders, extract(EPOCH FROM now() - min(since))::float8 AS oldest_s
FROM routing_queue
WHERE tenant = $1
GROUP BY queue;

-- name: nowhere
-- Orders of tenants with an active plan that are to be sent, and of which something is neither in the
-- queue nor in a live shipment: what is to be sent is as engine/review/rules says. Those that whoever
-- takes them up (reader `fulfilment`, a sweep) has not come to yet are not counted. $1 reader
WITH place AS MATERIALIZED (
  SELECT coalesce(max(c.xid::text::bigint), 0)::text::xid8 AS xid, coalesce(max(c.id), 0) AS id
  FROM event_cursors AS c
  WHERE c.reader = $1
), standing AS (
  SELECT o.order_id, o.tenant, o.draws
  FROM orders AS o
  LEFT JOIN channels AS c ON c.tenant = o.tenant AND c.channel = o.channel
  WHERE
    o.state = 'open' AND o.payment_state IN ('paid', 'partly_refunded', 'on_delivery')
    AND o.tenant IN (SELECT p.tenant FROM routing_plans AS p WHERE p.status = 'ACTIVE')
    AND coalesce(c.document ->> 'authority', 'gate') <> 'record'
    AND coalesce(nullif(o.document ->> 'fulfilled_by', ''), 'merchant') = 'merchant'
    AND NOT EXISTS (SELECT FROM routing_queue AS q WHERE q.order_id = o.order_id)
), sent AS (
  SELECT
    s.order_id, (l ->> 0)::integer AS line_no,
    sum(
      (l ->> 2)::bigint - coalesce(
        (
          SELECT sum((x ->> 1)::bigint) FROM json_array_elements(s.short) AS x
          WHERE s.short_settled AND x ->> 0 = l ->> 0
        ), 0
      )
    ) AS units
  FROM shipments AS s CROSS JOIN json_array_elements(s.lines) AS l
  WHERE
    s.order_id IN (SELECT n.order_id FROM standing AS n)
    AND s.state NOT IN ('cancelled', 'rejected')
  GROUP BY s.order_id, (l ->> 0)::integer
), drawn AS (
  SELECT n.order_id, (d ->> 0)::integer AS line_no, sum((d ->> 2)::bigint) AS units
  FROM standing AS n CROSS JOIN jsonb_array_elements(n.draws) AS d
  GROUP BY n.order_id, (d ->> 0)::integer
), lacking AS (
  SELECT DISTINCT w.order_id
  FROM drawn AS w
  JOIN order_lines AS l ON l.order_id = w.order_id AND l.line_no = w.line_no
  LEFT JOIN sent AS s ON s.order_id = w.order_id AND s.line_no = w.line_no
  WHERE least(w.units, l.open_quantity) > coalesce(s.units, 0)
)
SELECT count(*)
FROM standing AS n
JOIN lacking AS k ON k.order_id = n.order_id
WHERE
  NOT EXISTS (
    SELECT FROM events AS e
    WHERE e.order_id = n.order_id AND (e.xid, e.id) > (SELECT r.xid, r.id FROM place AS r)
  )
  AND NOT EXISTS (
    SELECT FROM events AS e
    WHERE
      e.kind = 'plan.activated'
      AND e.xid >= (SELECT r.xid FROM place AS r)
      AND (e.xid, e.id) > (SELECT r.xid, r.id FROM place AS r)
  )
  AND NOT EXISTS (
    SELECT FROM review_sweeps AS w WHERE w.tenant = n.tenant AND w.after < n.order_id
  );

-- name: count_broken
-- $1 tenant
SELECT count(*) FROM broken_promises WHERE tenant = $1 AND until IS NULL;

-- name: traces_of
-- The traces in which some of these orders ($1) were placed.
SELECT order_id, trace FROM orders WHERE order_id = any($1::text[]) AND trace IS NOT NULL;

-- name: forget_decisions
-- $1 before, $2 how many; those of orders that wait stay, for they are counted on from
DELETE FROM routing_decisions
WHERE (order_id, n) IN (
  SELECT d.order_id, d.n
  FROM routing_decisions AS d
  WHERE d.at < $1 AND NOT EXISTS (
    SELECT FROM routing_queue AS q WHERE q.order_id = d.order_id
  )
  ORDER BY d.at
  LIMIT $2
);

-- Tables: routing_plans (engine/infra/migrations/0032_plans.sql). Who changes a plan does so one after
-- the other by `lock_plans`.

-- name: lock_plans
-- $1 tenant
SELECT pg_advisory_xact_lock(hashtextextended('routing_plans/' || $1, 0));

-- name: get_plan
-- Its last version. $1 tenant, $2 plan
SELECT plan, version, updated_at, document
FROM routing_plans
WHERE tenant = $1 AND plan = $2
ORDER BY version DESC
LIMIT 1;

-- name: insert_plan
-- $1 tenant, $2 plan, $3 document, $4 actor, $5 digest
INSERT INTO routing_plans (tenant, plan, version, status, document, digest, created_by)
VALUES ($1, $2, 1, 'DRAFT', $3::json, $5, $4)
ON CONFLICT (tenant, plan, version) DO NOTHING
RETURNING plan, version, updated_at, document;

-- name: update_plan
-- The next version, in the place of the last one if that is a draft still.
-- $1 tenant, $2 plan, $3 document, $4 actor, $5 digest
WITH last AS (
  SELECT max(version) AS version
  FROM routing_plans
  WHERE tenant = $1 AND plan = $2
)
INSERT INTO routing_plans (tenant, plan, version, status, document, digest, created_by)
SELECT $1, $2, last.version + 1, 'DRAFT', $3::json, $5, $4
FROM last
RETURNING plan, version, updated_at, document;

-- name: drop_drafts
-- $1 tenant, $2 plan, $3 before this version
DELETE FROM routing_plans
WHERE tenant = $1 AND plan = $2 AND version < $3 AND status = 'DRAFT';

-- name: plan_version
-- $1 tenant, $2 plan, $3 version; NULL is the last one
SELECT
  plan, version, status, digest, created_by, created_at, updated_at, effective_from, effective_to,
  activated_by, activated_at, document
FROM routing_plans
WHERE tenant = $1 AND plan = $2 AND ($3::bigint IS NULL OR version = $3)
ORDER BY version DESC
LIMIT 1;

-- name: plan_versions
-- $1 tenant, $2 plan, $3 below this version, $4 limit
SELECT
  plan, version, status, digest, created_by, created_at, updated_at, effective_from, effective_to,
  activated_by, activated_at
FROM routing_plans
WHERE tenant = $1 AND plan = $2 AND version < $3
ORDER BY version DESC
LIMIT $4;

-- name: plans
-- The last version of each. $1 tenant, $2 after plan, $3 limit
SELECT DISTINCT ON (plan)
  plan, version, status, digest, created_by, created_at, updated_at, effective_from, effective_to,
  activated_by, activated_at
FROM routing_plans
WHERE tenant = $1 AND plan > $2
ORDER BY plan, version DESC
LIMIT $3;

-- name: any_active_plan
-- $1 tenant
SELECT EXISTS (SELECT 1 FROM routing_plans WHERE tenant = $1 AND status = 'ACTIVE');

-- name: plans_in_use
-- What decides and what is tried beside it. $1 tenant
SELECT
  plan, version, status, digest, created_by, created_at, updated_at, effective_from, effective_to,
  activated_by, activated_at, document
FROM routing_plans
WHERE tenant = $1 AND status IN ('ACTIVE', 'SHADOW')
ORDER BY status, plan, version;

-- name: used_plans
-- What `plans_in_use` are, without what they say. $1 tenant
SELECT status, plan, version
FROM routing_plans
WHERE tenant = $1 AND status IN ('ACTIVE', 'SHADOW')
ORDER BY status, plan, version;

-- name: move_plan
-- $1 tenant, $2 plan, $3 version, $4 status, $5 actor, $6 at
UPDATE routing_plans
SET
  status = $4, updated_at = $6,
  effective_to = CASE
    WHEN $4 = 'ACTIVE' THEN NULL
    WHEN status = 'ACTIVE' THEN $6
    ELSE effective_to
  END,
  effective_from = CASE WHEN $4 = 'ACTIVE' THEN $6 ELSE effective_from END,
  activated_at = CASE WHEN $4 = 'ACTIVE' THEN $6 ELSE activated_at END,
  activated_by = CASE WHEN $4 = 'ACTIVE' THEN $5 ELSE activated_by END
WHERE tenant = $1 AND plan = $2 AND version = $3;

-- Tables: shadow_decisions, shadow_omissions (engine/infra/migrations/0032_plans.sql,
-- 0039_shadowing.sql): what plans decided beside the active one. Pairs are [decided, tried].

-- name: keep_shadow_decisions
-- $1 tenant, $2 rows as JSON, in the order of their key; of an order the last decision counts
INSERT INTO shadow_decisions AS s (
  tenant, plan, version, order_id, at, same, parcels, freight, deliver_by, nodes, active_plan,
  active_version, stages, rules, queues, unplaced, late, region, currency
)
SELECT
  $1, r.plan, r.version, r.order_id, r.at, r.same, r.parcels, r.freight, r.deliver_by, r.nodes,
  r.active_plan, r.active_version, r.stages, r.rules, r.queues, r.unplaced, r.late, r.region,
  r.currency
FROM
  json_to_recordset($2::json) AS r (
    plan text, version bigint, order_id text, at timestamptz, same boolean, parcels integer [],
    freight bigint [], deliver_by timestamptz [], nodes json, active_plan text,
    active_version bigint, stages integer [], rules integer [], queues text [],
    unplaced bigint [], late boolean [], region text, currency text
  )
ON CONFLICT (tenant, plan, version, order_id) DO UPDATE
SET
  at = excluded.at, same = excluded.same, parcels = excluded.parcels, freight = excluded.freight,
  deliver_by = excluded.deliver_by, nodes = excluded.nodes, active_plan = excluded.active_plan,
  active_version = excluded.active_version, stages = excluded.stages, rules = excluded.rules,
  queues = excluded.queues, unplaced = excluded.unplaced, late = excluded.late,
  region = excluded.region, currency = excluded.currency
WHERE excluded.at >= s.at;

-- name: omit_shadow_decisions
-- $1 tenant, $2 plan, $3 version, $4 skipped, $5 failed, $6 reason; '' leaves the one that is kept
INSERT INTO shadow_omissions AS s (tenant, plan, version, skipped, failed, reason, at)
VALUES ($1, $2, $3, $4, $5, $6, now())
ON CONFLICT (tenant, plan, version) DO UPDATE
SET
  skipped = s.skipped + excluded.skipped, failed = s.failed + excluded.failed,
  reason = coalesce(nullif(excluded.reason, ''), s.reason), at = excluded.at;

-- name: shadow_omissions
-- $1 tenant, $2 plan, $3 version
SELECT skipped, failed, reason
FROM shadow_omissions
WHERE tenant = $1 AND plan = $2 AND version = $3;

-- name: shadow_span
-- $1 tenant, $2 plan, $3 version, $4 of how many, the last ones
SELECT min(d.at) AS since, max(d.at) AS until
FROM (
  SELECT at
  FROM shadow_decisions
  WHERE tenant = $1 AND plan = $2 AND version = $3
  ORDER BY at DESC
  LIMIT $4
) AS d;

-- name: shadow_groups
-- $1 tenant, $2 plan, $3 version, $4 of how many, the last ones: sums as `Sums` has them
SELECT
  d.active_plan, d.active_version, d.stages, d.rules, d.region, d.currency,
  count(*) AS orders,
  count(*) FILTER (WHERE d.same) AS same,
  count(*) FILTER (WHERE d.unplaced[1] = 0) AS placed_decided,
  count(*) FILTER (WHERE d.unplaced[2] = 0) AS placed_tried,
  count(*) FILTER (WHERE d.both) AS both,
  coalesce(sum(d.parcels[1]) FILTER (WHERE d.both), 0)::bigint AS parcels_decided,
  coalesce(sum(d.parcels[2]) FILTER (WHERE d.both), 0)::bigint AS parcels_tried,
  coalesce(sum(d.freight[1]) FILTER (WHERE d.both), 0)::bigint AS freight_decided,
  coalesce(sum(d.freight[2]) FILTER (WHERE d.both), 0)::bigint AS freight_tried,
  count(*) FILTER (WHERE d.both AND d.late[1]) AS late_decided,
  count(*) FILTER (WHERE d.both AND d.late[2]) AS late_tried,
  count(*) FILTER (WHERE d.both AND d.deliver_by[2] < d.deliver_by[1]) AS earlier,
  count(*) FILTER (WHERE d.both AND d.deliver_by[2] > d.deliver_by[1]) AS later,
  coalesce(
    sum(extract(EPOCH FROM d.deliver_by[2] - d.deliver_by[1]) * 1000) FILTER (WHERE d.both), 0
  )::bigint AS shift_ms
FROM (
  SELECT *, unplaced[1] = 0 AND unplaced[2] = 0 AS both
  FROM shadow_decisions
  WHERE tenant = $1 AND plan = $2 AND version = $3
  ORDER BY at DESC
  LIMIT $4
) AS d
GROUP BY d.active_plan, d.active_version, d.stages, d.rules, d.region, d.currency;

-- name: largest_shadow_differences
-- $1 tenant, $2 plan, $3 version, $4 of how many, the last ones, $5 how many
SELECT
  d.order_id, d.at, d.stages, d.rules, d.queues, d.freight, d.deliver_by, d.late, d.unplaced,
  d.nodes::text AS nodes, d.region, d.currency
FROM (
  SELECT *
  FROM shadow_decisions
  WHERE tenant = $1 AND plan = $2 AND version = $3
  ORDER BY at DESC
  LIMIT $4
) AS d
WHERE NOT d.same
ORDER BY
  abs(d.unplaced[2] - d.unplaced[1]) DESC, abs(d.freight[2] - d.freight[1]) DESC,
  abs(d.parcels[2] - d.parcels[1]) DESC,
  coalesce(
    greatest(d.deliver_by[2], d.deliver_by[1]) - least(d.deliver_by[2], d.deliver_by[1]),
    interval '0 s'
  ) DESC,
  d.order_id
LIMIT $5;

-- name: forget_shadow_decisions
-- $1 before, $2 how many
DELETE FROM shadow_decisions
WHERE (tenant, plan, version, order_id) IN (
  SELECT d.tenant, d.plan, d.version, d.order_id
  FROM shadow_decisions AS d
  WHERE d.at < $1
  ORDER BY d.at
  LIMIT $2
);
