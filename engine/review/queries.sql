-- Tables: review_rules, reviews, review_sweeps (engine/infra/migrations/0032_plans.sql); of orders what
-- is to be sent of them, and what keeps them from it. Orders are locked by order_id.

-- name: get_rules
-- $1 tenant, $2 name
SELECT name, version, updated_at, document
FROM review_rules
WHERE tenant = $1 AND name = $2;

-- name: lock_rules
-- $1 tenant, $2 name
SELECT name, version, updated_at, document
FROM review_rules
WHERE tenant = $1 AND name = $2
FOR UPDATE;

-- name: list_rules
-- $1 tenant, $2 after name, $3 limit
SELECT name, version, updated_at, document
FROM review_rules
WHERE tenant = $1 AND name > $2
ORDER BY name
LIMIT $3;

-- name: insert_rules
-- $1 tenant, $2 name, $3 document, $4 actor
INSERT INTO review_rules (tenant, name, version, document, actor)
VALUES ($1, $2, 1, $3::json, $4)
ON CONFLICT (tenant, name) DO NOTHING
RETURNING name, version, updated_at, document;

-- name: update_rules
-- $1 tenant, $2 name, $3 document, $4 actor
UPDATE review_rules
SET document = $3::json, actor = $4, version = version + 1, updated_at = now()
WHERE tenant = $1 AND name = $2
RETURNING name, version, updated_at, document;

-- name: lock_orders
-- $1 tenant, $2 order_ids
SELECT
  o.order_id, o.channel, o.state, o.payment_state, o.currency, o.payable, o.placed_at, o.draws,
  o.document, o.xmin::text AS row_version,
  coalesce(c.document ->> 'authority', 'gate') AS authority,
  coalesce((c.document ->> 'cool_off_seconds')::bigint, 0) AS cool_off_s
FROM orders AS o
LEFT JOIN channels AS c ON c.tenant = o.tenant AND c.channel = o.channel
WHERE o.tenant = $1 AND o.order_id = any($2::text[])
ORDER BY o.order_id
FOR UPDATE OF o;

-- name: lines_of
-- $1 order_ids
SELECT order_id, line_no, sku, open_quantity, payable, part_of
FROM order_lines
WHERE order_id = any($1::text[])
ORDER BY order_id, line_no;

-- name: groups_of
-- $1 pool_ids
SELECT pool_id, node_group FROM pools WHERE pool_id = any($1::text[]);

-- name: sent_of
-- What live shipments have, less what their nodes left out. $1 order_ids
SELECT
  s.order_id, (l ->> 0)::integer AS line_no,
  sum(
    (l ->> 2)::bigint - coalesce(
      (
        SELECT sum((x ->> 1)::bigint) FROM json_array_elements(s.short) AS x
        WHERE s.short_settled AND x ->> 0 = l ->> 0
      ), 0
    )
  )::bigint AS units
FROM shipments AS s CROSS JOIN json_array_elements(s.lines) AS l
WHERE s.order_id = any($1::text[]) AND s.state NOT IN ('cancelled', 'rejected')
GROUP BY s.order_id, (l ->> 0)::integer;

-- name: paid_at
-- When the first money came. $1 order_ids
SELECT order_id, min(coalesce(paid_at, recorded_at)) AS paid_at
FROM payments
WHERE order_id = any($1::text[]) AND state = 'applied'
GROUP BY order_id;

-- name: blocks_of
-- $1 order_ids; also those that have passed
SELECT order_id, code, until, reason
FROM blocks
WHERE order_id = any($1::text[])
ORDER BY order_id, since, code, line_id;

-- name: addresses_of
-- Where orders are to go, where that was changed. $1 order_ids
SELECT DISTINCT ON (order_id) order_id, ship_to
FROM order_addresses
WHERE order_id = any($1::text[]) AND state = 'applied'
ORDER BY order_id, revision DESC;

-- name: last_reviews
-- $1 order_ids
SELECT DISTINCT ON (order_id) order_id, revision, digest, verdict, rule, rules_version
FROM reviews
WHERE order_id = any($1::text[])
ORDER BY order_id, revision DESC;

-- name: add_reviews
-- $1 order_ids, $2 revisions, $3 digests, $4 verdicts, $5 rules, $6 versions of them, $7 at
INSERT INTO reviews (order_id, revision, at, digest, verdict, rule, rules_version)
SELECT u.order_id, u.revision, $7, u.digest, u.verdict, u.rule, u.rules_version
FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[])
  AS u (order_id, revision, digest, verdict, rule, rules_version)
ON CONFLICT (order_id, revision) DO NOTHING;

-- name: released
-- Who lifted the block of an order's last review. $1 order_ids, $2 who
UPDATE reviews AS r
SET released_by = u.who
FROM unnest($1::text[], $2::text[]) AS u (order_id, who)
WHERE
  r.order_id = u.order_id AND r.verdict = 'block' AND r.released_by = ''
  AND r.revision = (SELECT max(m.revision) FROM reviews AS m WHERE m.order_id = u.order_id);

-- name: forget_reviews
-- $1 before, $2 how many. The last one of an order that is still to be sent stays: without it rules
-- would hold again what a person let pass.
DELETE FROM reviews
WHERE (order_id, revision) IN (
  SELECT r.order_id, r.revision
  FROM reviews AS r
  LEFT JOIN orders AS o ON o.order_id = r.order_id
  WHERE
    r.at < $1
    AND (
      o.order_id IS NULL OR o.state <> 'open'
      OR o.fulfilment_state IN ('shipped', 'delivered', 'refused', 'returned')
      OR EXISTS (SELECT FROM reviews AS n WHERE n.order_id = r.order_id AND n.revision > r.revision)
    )
  ORDER BY r.at
  LIMIT $2
);

-- name: begin_sweep
-- $1 tenant
INSERT INTO review_sweeps (tenant, after) VALUES ($1, '')
ON CONFLICT (tenant) DO UPDATE SET after = '';

-- name: sweeping
-- Behind which order; nothing where none is under way. $1 tenant
SELECT after FROM review_sweeps WHERE tenant = $1 FOR UPDATE;

-- name: swept
-- $1 tenant, $2 after
UPDATE review_sweeps SET after = $2 WHERE tenant = $1;

-- name: end_sweep
-- $1 tenant
DELETE FROM review_sweeps WHERE tenant = $1;

-- name: open_paid
-- $1 tenant, $2 after, $3 limit
SELECT order_id
FROM orders
WHERE
  tenant = $1 AND state = 'open' AND payment_state IN ('paid', 'partly_refunded', 'on_delivery')
  AND order_id > $2
ORDER BY order_id
LIMIT $3;
