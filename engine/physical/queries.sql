-- Tables: nodes (engine/infra/migrations/0002_reference.sql), stock_keys, stock_scopes,
-- stock_balances, stock_movements, stock_references, stock_reports, stock_assignments
-- (…/0009_physical.sql), stock_changes (…/0010_supply.sql), stock_parts (…/0015_physical.sql),
-- stock_feeds (…/0022_alerts.sql).

-- name: get_node
-- $1 tenant, $2 node
SELECT node, version, updated_at, document
FROM nodes
WHERE tenant = $1 AND node = $2;

-- name: lock_node
-- $1 tenant, $2 node
SELECT node, version, updated_at, document
FROM nodes
WHERE tenant = $1 AND node = $2
FOR UPDATE;

-- name: list_nodes
-- $1 tenant, $2 after node, $3 limit
SELECT node, version, updated_at, document
FROM nodes
WHERE tenant = $1 AND node > $2
ORDER BY node
LIMIT $3;

-- name: insert_node
-- $1 tenant, $2 node, $3 document, $4 actor
INSERT INTO nodes (tenant, node, version, document, actor)
VALUES ($1, $2, 1, $3::jsonb, $4)
ON CONFLICT (tenant, node) DO NOTHING
RETURNING node, version, updated_at, document;

-- name: update_node
-- $1 tenant, $2 node, $3 document, $4 actor
UPDATE nodes
SET document = $3::jsonb, actor = $4, version = version + 1, updated_at = now()
WHERE tenant = $1 AND node = $2
RETURNING node, version, updated_at, document;

-- name: node_changed
-- As infra.publishing.changed, of all that it holds. $1 tenant, $2 node
INSERT INTO stock_changes (tenant, sku)
SELECT DISTINCT tenant, sku
FROM stock_keys
WHERE tenant = $1 AND node = $2;

-- name: lock_node_scopes
-- Nobody makes keys at it until the transaction ends. $1 tenant, $2 node
SELECT owner
FROM stock_scopes
WHERE tenant = $1 AND node = $2
ORDER BY owner
FOR NO KEY UPDATE;

-- name: lock_node_balances
-- In the order of lock_balances. $1 tenant, $2 node
SELECT b.key_id
FROM stock_balances AS b
WHERE b.key_id IN (SELECT k.key_id FROM stock_keys AS k WHERE k.tenant = $1 AND k.node = $2)
ORDER BY b.key_id
FOR NO KEY UPDATE;

-- name: ever_assigned
-- Less what was cancelled. $1 tenant, $2 node
SELECT EXISTS (
  SELECT FROM stock_keys AS k
  JOIN stock_balances AS b ON b.key_id = k.key_id
  WHERE k.tenant = $1 AND k.node = $2 AND b.committed + b.handed_over + b.shipped > 0
);

-- name: known_nodes
-- $1 tenant, $2 nodes; none is ever removed.
SELECT node
FROM nodes
WHERE tenant = $1 AND node = ANY($2::text[]);

-- name: find_keys
-- Which of these there are, each with its place among them. LIMIT keeps the planner from reading
-- keys first, which it would of a table that it takes for small.
-- $1 tenant, then per key $2 node, $3 owner, $4 sku, $5 condition, $6 batch
SELECT w.place, k.key_id
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  WITH ORDINALITY AS w (node, owner, sku, condition, batch, place)
CROSS JOIN LATERAL (
  SELECT key_id
  FROM stock_keys
  WHERE tenant = $1 AND node = w.node AND owner = w.owner AND sku = w.sku
    AND condition = w.condition AND batch = w.batch
  LIMIT 1
) AS k;

-- name: make_scopes
-- In one order, so that no two of us wait for each other. $1 tenant, $2 nodes, $3 owners
INSERT INTO stock_scopes (tenant, node, owner)
SELECT DISTINCT $1, w.node, w.owner
FROM unnest($2::text[], $3::text[]) AS w (node, owner)
ORDER BY w.node, w.owner
ON CONFLICT (tenant, node, owner) DO NOTHING;

-- name: share_scopes
-- Nobody completes a count of them until the transaction ends. $1 tenant, $2 nodes, $3 owners
SELECT node, owner
FROM stock_scopes
WHERE tenant = $1 AND (node, owner) IN (SELECT * FROM unnest($2::text[], $3::text[]))
ORDER BY node, owner
FOR SHARE;

-- name: lock_scope
-- Nobody makes keys in it until the transaction ends. $1 tenant, $2 node, $3 owner
SELECT as_of, sequence
FROM stock_scopes
WHERE tenant = $1 AND node = $2 AND owner = $3
FOR NO KEY UPDATE;

-- name: complete_scope
-- $1 tenant, $2 node, $3 owner, $4 as_of, $5 sequence, $6 basis, $7 report
UPDATE stock_scopes
SET as_of = $4, sequence = $5, basis = $6, report = $7
WHERE tenant = $1 AND node = $2 AND owner = $3
  AND (as_of IS NULL OR (as_of, sequence) < ($4, $5));

-- name: make_keys
-- A new key was counted 0 by the last count of everything. Arguments as those of find_keys.
WITH made AS (
  INSERT INTO stock_keys (tenant, node, owner, sku, condition, batch)
  SELECT $1, w.node, w.owner, w.sku, w.condition, w.batch
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    AS w (node, owner, sku, condition, batch)
  ORDER BY w.node, w.owner, w.sku, w.condition, w.batch
  ON CONFLICT (tenant, node, owner, sku, condition, batch) DO NOTHING
  RETURNING key_id, node, owner
)
INSERT INTO stock_balances (key_id, basis, as_of, sequence, report)
SELECT m.key_id, s.basis, s.as_of, s.sequence, s.report
FROM made AS m
JOIN stock_scopes AS s ON s.tenant = $1 AND s.node = m.node AND s.owner = m.owner;

-- name: date_keys
-- Dates of a batch: one that is told later wins where `newer`, else it only fills what is missing.
-- $1 key_ids, $2 produced, $3 expires, $4 newer
UPDATE stock_keys AS k
SET
  produced_on = CASE WHEN w.newer THEN coalesce(w.produced_on, k.produced_on)
    ELSE coalesce(k.produced_on, w.produced_on) END,
  expires_on = CASE WHEN w.newer THEN coalesce(w.expires_on, k.expires_on)
    ELSE coalesce(k.expires_on, w.expires_on) END
FROM unnest($1::bigint[], $2::date[], $3::date[], $4::boolean[])
  AS w (key_id, produced_on, expires_on, newer)
WHERE k.key_id = w.key_id
  AND (k.produced_on IS DISTINCT FROM w.produced_on OR k.expires_on IS DISTINCT FROM w.expires_on)
RETURNING k.sku;

-- name: older_keys
-- What a count of everything would set to 0 if none of its pages named it.
-- $1 tenant, $2 node, $3 owner, $4 as_of, $5 sequence
SELECT k.key_id
FROM stock_keys AS k
JOIN stock_balances AS b ON b.key_id = k.key_id
WHERE k.tenant = $1 AND k.node = $2 AND k.owner = $3
  AND (b.as_of IS NULL OR (b.as_of, b.sequence) < ($4, $5));

-- name: lock_balances
-- In one order, and before anything is read that they are made of. $1 key_ids
SELECT key_id, basis, counted, counted_locked, as_of, sequence, on_hand, locked
FROM stock_balances
WHERE key_id = ANY($1::bigint[])
ORDER BY key_id
FOR NO KEY UPDATE;

-- name: lock_free
-- As lock_balances, of which one transaction has either. $1 key_ids
SELECT key_id, sellable
FROM stock_balances
WHERE key_id = ANY($1::bigint[])
ORDER BY key_id
FOR NO KEY UPDATE;

-- name: commit_balances
-- $1 key_ids, each once, $2 units of each
UPDATE stock_balances AS b
SET committed = b.committed + w.units, version = b.version + 1, updated_at = now()
FROM unnest($1::bigint[], $2::bigint[]) AS w (key_id, units)
WHERE b.key_id = w.key_id AND b.sellable >= w.units;

-- name: commit_apart
-- As commit_balances, of keys whose units lie on others. $1 key_ids, each once, $2 units of each
UPDATE stock_balances AS b
SET committed = b.committed + w.units, version = b.version + 1, updated_at = now()
FROM unnest($1::bigint[], $2::bigint[]) AS w (key_id, units)
WHERE b.key_id = w.key_id;

-- name: same_goods
-- $1 key_ids: all keys of their SKUs, owners and nodes, in any condition and batch
SELECT DISTINCT o.key_id
FROM stock_keys AS k
JOIN stock_keys AS o
  ON o.tenant = k.tenant AND o.node = k.node AND o.owner = k.owner AND o.sku = k.sku
WHERE k.key_id = any($1::bigint[]);

-- name: kept_otherwise
-- $1 tenant, then per key $2 node, $3 owner, $4 sku: those of which there is any key, by place
SELECT w.place
FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w (node, owner, sku, place)
WHERE EXISTS (
  SELECT FROM stock_keys AS k
  WHERE k.tenant = $1 AND k.node = w.node AND k.owner = w.owner AND k.sku = w.sku
);

-- name: count_balances
-- Set what was counted and add up anew what came after it: the rule of rules/folding.py, in SQL.
-- The rows are locked by a statement before this one, so nothing is written that it cannot see.
-- $1 report, then per key $2 key_id, $3 basis, $4 quantity, $5 locked, $6 as_of, $7 sequence
UPDATE stock_balances AS b
SET
  basis = n.basis, counted = n.counted, counted_locked = n.locked, as_of = n.as_of,
  sequence = n.sequence, report = $1, changed = n.changed, changed_locked = n.changed_locked,
  accepted_then = n.accepted_then, shipped_since = n.shipped_since,
  version = b.version + 1, updated_at = now()
FROM (
  SELECT w.*, m.changed, m.changed_locked, s.since + p.since AS shipped_since,
    o.units + s.units + c.units + p.units AS accepted_then
  FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[],
    $7::bigint[]) AS w (key_id, basis, counted, locked, as_of, sequence)
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(quantity), 0)::bigint AS changed,
      coalesce(sum(locked), 0)::bigint AS changed_locked
    FROM stock_movements
    WHERE key_id = w.key_id AND happened_at > w.as_of AND kind <> 'count'
  ) AS m
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(units - apart), 0)::bigint AS units
    FROM stock_assignments
    WHERE key_id = w.key_id AND shipped_at IS NULL AND cancelled_at IS NULL AND units > apart
      AND accepted_at <= w.as_of
  ) AS o
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(units - apart), 0)::bigint AS since,
      coalesce(sum(units - apart) FILTER (WHERE accepted_at <= w.as_of), 0)::bigint AS units
    FROM stock_assignments
    WHERE key_id = w.key_id AND shipped_at > w.as_of
  ) AS s
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(units - apart), 0)::bigint AS units
    FROM stock_assignments
    WHERE key_id = w.key_id AND shipped_at IS NULL AND cancelled_at > w.as_of
      AND accepted_at <= w.as_of
  ) AS c
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(units) FILTER (WHERE verb = 'ship'), 0)::bigint AS since,
      coalesce(sum(units) FILTER (WHERE accepted_at <= w.as_of), 0)::bigint AS units
    FROM stock_parts
    WHERE key_id = w.key_id AND at > w.as_of
  ) AS p
) AS n
JOIN stock_keys AS k ON k.key_id = n.key_id
WHERE b.key_id = n.key_id
RETURNING b.key_id, b.on_hand, b.locked, k.sku;

-- name: move_balances
-- $1 key_ids, each once, $2 by how many units, $3 by how many locked ones
UPDATE stock_balances AS b
SET
  changed = b.changed + w.quantity, changed_locked = b.changed_locked + w.locked,
  version = b.version + 1, updated_at = now()
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS w (key_id, quantity, locked)
JOIN stock_keys AS k ON k.key_id = w.key_id
WHERE b.key_id = w.key_id
RETURNING k.sku;

-- name: share_balances
-- $1 key_ids, each once, then what is added to each. `rings`: what may be sold of the key and what was
-- ever assigned of it are another sum now, so pools are; what a node is given only goes from one to
-- the other.
UPDATE stock_balances AS b
SET
  committed = b.committed + w.committed, handed_over = b.handed_over + w.handed_over,
  shipped = b.shipped + w.shipped, shipped_since = b.shipped_since + w.shipped_since,
  accepted_then = b.accepted_then + w.accepted_then,
  version = b.version + 1, updated_at = now()
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
  AS w (key_id, committed, handed_over, shipped, shipped_since, accepted_then)
JOIN stock_keys AS k ON k.key_id = w.key_id
WHERE b.key_id = w.key_id
RETURNING
  k.sku,
  w.shipped - w.shipped_since + CASE WHEN b.basis = 'available' THEN w.accepted_then ELSE 0 END
  <> 0 AS rings;

-- name: insert_movements
-- $1 tenant, $2 reference, $3 kind, $4 reason, $5 actor, then per line $6 key_id, $7 n, $8 quantity,
-- $9 locked, $10 happened_at, $11 applied
INSERT INTO stock_movements (
  tenant, reference, kind, reason, actor, key_id, n, quantity, locked, happened_at, applied,
  why_not
)
SELECT
  $1, $2, $3, $4, $5, w.key_id, w.n, w.quantity, w.locked, w.happened_at, w.applied,
  CASE WHEN w.applied THEN '' ELSE 'before_count' END
FROM unnest($6::bigint[], $7::integer[], $8::bigint[], $9::bigint[], $10::timestamptz[],
  $11::boolean[]) AS w (key_id, n, quantity, locked, happened_at, applied);

-- name: balances_of
-- $1 key_ids
SELECT
  b.key_id, k.node, k.owner, k.sku, k.condition, k.batch, k.produced_on, k.expires_on,
  b.on_hand, b.locked, b.committed, b.handed_over, b.shipped, b.sellable, b.basis, b.as_of,
  b.sequence, b.report, b.version, b.updated_at
FROM stock_balances AS b
JOIN stock_keys AS k ON k.key_id = b.key_id
WHERE b.key_id = ANY($1::bigint[]);

-- name: list_balances
-- $1 tenant, $2 node, $3 sku, $4 condition, each '' for all; $5…$9 the last key seen; $10 limit
SELECT
  b.key_id, k.node, k.owner, k.sku, k.condition, k.batch, k.produced_on, k.expires_on,
  b.on_hand, b.locked, b.committed, b.handed_over, b.shipped, b.sellable, b.basis, b.as_of,
  b.sequence, b.report, b.version, b.updated_at
FROM stock_keys AS k
JOIN stock_balances AS b ON b.key_id = k.key_id
WHERE k.tenant = $1
  AND ($2 = '' OR k.node = $2)
  AND ($3 = '' OR k.sku = $3)
  AND ($4 = '' OR k.condition = $4)
  AND (k.node, k.owner, k.sku, k.condition, k.batch) > ($5, $6, $7, $8, $9)
ORDER BY k.node, k.owner, k.sku, k.condition, k.batch
LIMIT $10;

-- name: list_movements
-- In the order in which transactions began to write. Below the oldest one that still runs nothing
-- can come any more: what lies there is `settled`, and who follows the list goes on behind it.
-- What came since an instant lies nowhere below the first hour of it, as no transaction waits for an
-- hour before it writes; without that bound the index would be read from its beginning.
-- $1 tenant, $2 node, $3 sku, each '' for all; $4 received since, or NULL; $5 xid and $6 id of the
-- last one seen, NULL for none; $7 limit
WITH first AS (
  SELECT received_at AS at
  FROM stock_movements
  WHERE tenant = $1 AND received_at >= $4::timestamptz
  ORDER BY received_at
  LIMIT 1
), start AS (
  SELECT min(m.xid::text::bigint)::text::xid8 AS xid  -- as a number, so that no order by xid serves
  FROM stock_movements AS m, first AS f
  WHERE m.tenant = $1 AND m.received_at BETWEEN f.at AND f.at + interval '1 hour'
)
SELECT
  m.xid::text::bigint AS xid, m.xid < pg_snapshot_xmin(pg_current_snapshot()) AS settled,
  m.movement_id, m.kind, m.reference, m.n, k.node, k.owner, k.sku, k.condition, k.batch,
  m.quantity, m.locked, m.reason, m.actor, m.happened_at, m.received_at, m.applied, m.why_not
FROM stock_movements AS m
JOIN stock_keys AS k ON k.key_id = m.key_id
WHERE m.tenant = $1
  AND ($2 = '' OR k.node = $2)
  AND ($3 = '' OR k.sku = $3)
  AND (
    $4::timestamptz IS NULL
    OR (m.received_at >= $4 AND m.xid >= coalesce((SELECT s.xid FROM start AS s), '0'))
  )
  AND (
    $5::bigint IS NULL OR (m.xid, m.movement_id) > ($5::bigint::text::xid8, $6::bigint)
  )
ORDER BY m.xid, m.movement_id
LIMIT $7;

-- name: take_reference
-- Nothing comes back when it is there; whoever is just taking it is waited for.
-- $1 tenant, $2 reference, $3 digest, $4 actor
INSERT INTO stock_references (tenant, reference, digest, actor)
VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, reference) DO NOTHING
RETURNING reference;

-- name: told_reference
-- $1 tenant, $2 reference
SELECT digest, answer
FROM stock_references
WHERE tenant = $1 AND reference = $2;

-- name: answer_reference
-- $1 tenant, $2 reference, $3 answer
UPDATE stock_references
SET answer = $3::json
WHERE tenant = $1 AND reference = $2;

-- name: prune_references
-- Forget the lines of old answers; what they are answers to stays known. $1 before, $2 limit
UPDATE stock_references AS r
SET pruned = true, answer = json_build_object(
  'reference', r.reference, 'kind', r.answer -> 'kind', 'happened_at', r.answer -> 'happened_at',
  'lines', '[]'::json, 'lines_kept', false
)
FROM (
  SELECT tenant, reference
  FROM stock_references
  WHERE NOT pruned AND received_at < $1
  ORDER BY received_at
  LIMIT $2
  FOR NO KEY UPDATE SKIP LOCKED
) AS old
WHERE r.tenant = old.tenant AND r.reference = old.reference;

-- name: lock_report
-- One page of a report at a time, so that one of them sees that it is the last.
-- $1 tenant, $2 node, $3 report
SELECT pg_advisory_xact_lock(
  hashtextextended(concat_ws(E'\x1f', 'tidegate.report', $1::text, $2::text, $3::text), 0)
);

-- name: told_pages
-- $1 tenant, $2 node, $3 report, $4 page
SELECT
  count(*) AS pages,
  min(head) AS head,
  min(digest) FILTER (WHERE page = $4) AS digest,
  min(answer::text) FILTER (WHERE page = $4) AS answer
FROM stock_reports
WHERE tenant = $1 AND node = $2 AND report = $3;

-- name: keep_page
-- $1 tenant, $2 node, $3 report, $4 page, $5 pages, $6 head, $7 digest, $8 actor, $9 answer
INSERT INTO stock_reports (tenant, node, report, page, pages, head, digest, actor, answer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::json);

-- name: insert_assignments
-- Those that are there stay as they are. $1 tenant, $2 assigned_at, then per assignment
-- $3 order_id, $4 line_no, $5 node, $6 attempt, $7 key_id, $8 units
INSERT INTO stock_assignments (
  tenant, assigned_at, order_id, line_no, node, attempt, key_id, units
)
SELECT $1, $2, w.*
FROM unnest($3::text[], $4::integer[], $5::text[], $6::integer[], $7::bigint[], $8::bigint[])
  AS w (order_id, line_no, node, attempt, key_id, units)
ORDER BY w.order_id, w.line_no, w.node, w.attempt
ON CONFLICT (tenant, order_id, line_no, node, attempt) DO NOTHING
RETURNING order_id, line_no, node, attempt, key_id, units;

-- name: find_assignments
-- $1 tenant, then per assignment $2 order_id, $3 line_no, $4 node, $5 attempt
SELECT
  a.order_id, a.line_no, a.node, a.attempt, a.key_id, a.units, a.apart, a.accepted_at,
  a.shipped_at, a.cancelled_at
FROM unnest($2::text[], $3::integer[], $4::text[], $5::integer[])
  AS w (order_id, line_no, node, attempt)
JOIN stock_assignments AS a
  ON a.tenant = $1 AND a.order_id = w.order_id AND a.line_no = w.line_no
  AND a.node = w.node AND a.attempt = w.attempt;

-- name: stamp_assignments
-- $1 tenant, then per assignment $2 order_id, $3 line_no, $4 node, $5 attempt, and what is known of
-- it now: $6 accepted_at, $7 shipped_at, $8 cancelled_at, $9 units of its parts
UPDATE stock_assignments AS a
SET
  accepted_at = w.accepted_at, shipped_at = w.shipped_at, cancelled_at = w.cancelled_at,
  apart = w.apart
FROM unnest($2::text[], $3::integer[], $4::text[], $5::integer[], $6::timestamptz[],
  $7::timestamptz[], $8::timestamptz[], $9::bigint[])
  AS w (order_id, line_no, node, attempt, accepted_at, shipped_at, cancelled_at, apart)
WHERE a.tenant = $1 AND a.order_id = w.order_id AND a.line_no = w.line_no
  AND a.node = w.node AND a.attempt = w.attempt;

-- name: find_parts
-- Arguments as those of find_assignments.
SELECT p.order_id, p.line_no, p.node, p.attempt, p.verb, p.part, p.told, p.at
FROM unnest($2::text[], $3::integer[], $4::text[], $5::integer[])
  AS w (order_id, line_no, node, attempt)
JOIN stock_parts AS p
  ON p.tenant = $1 AND p.order_id = w.order_id AND p.line_no = w.line_no
  AND p.node = w.node AND p.attempt = w.attempt;

-- name: keep_parts
-- $1 tenant, then per part its assignment ($2 order_id, $3 line_no, $4 node, $5 attempt), $6 verb,
-- $7 part, $8 units that were told, $9 at, $10 key_id, $11 units by the rule, $12 accepted_at
INSERT INTO stock_parts (
  tenant, order_id, line_no, node, attempt, verb, part, told, at, key_id, units, accepted_at
)
SELECT $1, w.*
FROM unnest($2::text[], $3::integer[], $4::text[], $5::integer[], $6::text[], $7::text[],
  $8::bigint[], $9::timestamptz[], $10::bigint[], $11::bigint[], $12::timestamptz[])
  AS w (order_id, line_no, node, attempt, verb, part, told, at, key_id, units, accepted_at)
ON CONFLICT (tenant, order_id, line_no, node, attempt, verb, part) DO UPDATE
SET at = excluded.at, units = excluded.units, accepted_at = excluded.accepted_at;

-- name: hear
-- To within some seconds, so that the writers of a node do not wait for each other.
-- $1 tenant, $2 nodes, $3 seconds
INSERT INTO stock_feeds (tenant, node, heard_at)
SELECT $1, w.node, now()
FROM unnest($2::text[]) AS w (node)
WHERE NOT EXISTS (
  SELECT
  FROM stock_feeds AS k
  WHERE k.tenant = $1 AND k.node = w.node AND k.heard_at > now() - make_interval(secs => $3)
)
ORDER BY w.node
ON CONFLICT (tenant, node) DO UPDATE
SET heard_at = excluded.heard_at;
