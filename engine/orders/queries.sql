-- Tables: cells, ledger, pools, orders and what hangs on them (infra/migrations/0001_spine.sql).
-- Instants come as ms since the epoch; 0 means none, and NULL where whole orders come.

-- name: position
SELECT epoch, last_id, recorded, identity, owner, owner_until < now() AS lapsed
FROM cells
WHERE cell = $1;

-- name: advance
-- The first statement of a recording: compare-and-set on the whole position. Not one row: somebody
-- else recorded, or another epoch began, and everything read so far is worth nothing.
UPDATE cells
SET last_id = $2, recorded = recorded + $3, owner = $4, owner_until = now() + $5::interval
WHERE cell = $1 AND epoch = $6 AND last_id = $7
RETURNING recorded;

-- name: own
-- Take or keep the ownership of an idle log; it only avoids work.
UPDATE cells
SET owner = $2, owner_until = now() + $3::interval
WHERE cell = $1 AND (owner = $2 OR owner_until < now())
RETURNING epoch;

-- name: disown
UPDATE cells SET owner = '', owner_until = '-infinity' WHERE cell = $1 AND owner = $2;

-- name: move_pools
-- Move the pools by what these entries wrote into the ledger, never by what was asked.
-- $1 cell, $2 log ids, $3 pools that were given something, $4 the numbers of these grants
WITH change AS (
  SELECT
    pool_id, sum(granted)::bigint AS granted, sum(owed)::bigint AS owed,
    sum(available)::bigint AS available, sum(held)::bigint AS held, sum(sold)::bigint AS sold,
    max(seq) AS seq
  FROM (
    SELECT pool_id, granted, owed, available, held, sold, 0 AS seq
    FROM ledger
    WHERE cell = $1 AND log_id = any($2::text[])
    UNION ALL
    SELECT pool_id, 0, 0, 0, 0, 0, seq FROM unnest($3::text[], $4::bigint[]) AS given (pool_id, seq)
  ) AS told
  GROUP BY pool_id
)
UPDATE pools AS p
SET
  granted = p.granted + c.granted, owed = p.owed + c.owed,
  available = p.available + c.available, held = p.held + c.held, sold = p.sold + c.sold,
  seq = greatest(p.seq, c.seq),
  broken = p.broken OR p.balance <> 0
    OR least(
      p.granted + c.granted, p.owed + c.owed, p.available + c.available, p.held + c.held,
      p.sold + c.sold
    ) < 0
    OR c.granted + c.owed <> c.available + c.held + c.sold
FROM change AS c
WHERE p.pool_id = c.pool_id
RETURNING p.pool_id, p.tenant, p.sku, p.broken;

-- name: insert_orders
-- Some of them are here already, under another log id: those are passed over.
INSERT INTO orders (
  cell, order_id, tenant, channel, channel_order_id, campaign, buyer_id, kind,
  state, payment_state, stock_state, currency, payable, pay_by, held_until, attempt, fingerprint,
  placed_at, accepted_at, log_id, actor, attention, draws, counters, stages, document,
  fulfilment_state, version, source_status, trace
)
SELECT
  $1, order_id, tenant, channel, channel_order_id, campaign, buyer_id, kind,
  state, payment_state, stock_state, currency, payable,
  to_timestamp(nullif(pay_by, 0) / 1000.0), to_timestamp(nullif(held_until, 0) / 1000.0),
  attempt, fingerprint, to_timestamp(placed_at / 1000.0), to_timestamp(accepted_at / 1000.0),
  log_id, actor, attention, draws::jsonb, counters::jsonb, stages::jsonb, document::json,
  fulfilment_state, version, source_status, trace
FROM unnest(
  $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[],
  $16::integer[], $17::text[], $18::bigint[], $19::bigint[], $20::text[], $21::text[], $22::text[],
  $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[],
  $30::text[]
) AS o (
  order_id, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, currency, payable, pay_by, held_until, attempt, fingerprint, placed_at, accepted_at,
  log_id, actor, attention, draws, counters, stages, document, fulfilment_state, version,
  source_status, trace
)
ON CONFLICT DO NOTHING
RETURNING order_id;

-- name: lock_told
-- Orders ($1) that newer snapshots tell of, as everybody locks them; of those that a node may have
-- something of, where that goes by now.
WITH locked AS (
  SELECT
    order_id, fulfilment_state <> 'unrouted' AS routed,
    CASE WHEN fulfilment_state <> 'unrouted' THEN document -> 'ship_to' END AS ship_to
  FROM orders
  WHERE order_id = any($1::text[])
  ORDER BY order_id
  FOR UPDATE
)
SELECT order_id, ship_to FROM locked WHERE routed;

-- name: adopt_snapshots
-- What a newer snapshot says of orders that are here. When and by whom an order first came stays; so
-- does how far we have come with it where the marketplace does not know of it yet, and a refund that
-- it does not tell of.
UPDATE orders AS o
SET
  tenant = u.tenant, channel = u.channel, channel_order_id = u.channel_order_id,
  campaign = u.campaign, buyer_id = u.buyer_id, kind = u.kind, state = u.state,
  attention = CASE
    WHEN u.attention <> '' OR o.attention LIKE 'unreadable: %' THEN u.attention ELSE o.attention
  END,
  payment_state = CASE
    WHEN
      u.payment_state = 'paid' AND o.payment_state IN ('partly_refunded', 'refunded')
      AND EXISTS (SELECT FROM refunds AS r WHERE r.order_id = o.order_id AND r.state = 'done')
      THEN o.payment_state
    ELSE u.payment_state
  END,
  stock_state = u.stock_state,
  fulfilment_state = CASE
    WHEN u.fulfilment_state = 'unrouted' AND o.fulfilment_state IN ('routed', 'released')
      THEN o.fulfilment_state
    -- what our own shipments say is never taken back
    WHEN
      array_position(
        '{unrouted,routed,released,partly_shipped,shipped,delivered,refused,returned}'::text[],
        u.fulfilment_state
      ) < array_position(
        '{unrouted,routed,released,partly_shipped,shipped,delivered,refused,returned}'::text[],
        o.fulfilment_state
      )
      AND EXISTS (
        SELECT FROM shipments AS s
        WHERE s.order_id = o.order_id AND s.state NOT IN ('cancelled', 'rejected')
      )
      THEN o.fulfilment_state
    ELSE u.fulfilment_state
  END,
  currency = u.currency, payable = u.payable, pay_by = to_timestamp(nullif(u.pay_by, 0) / 1000.0),
  held_until = to_timestamp(nullif(u.held_until, 0) / 1000.0), fingerprint = u.fingerprint,
  placed_at = to_timestamp(u.placed_at / 1000.0), draws = u.draws::jsonb,
  counters = u.counters::jsonb, document = u.document::json, version = u.version,
  source_status = u.source_status
FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::bigint[], $15::text[],
  $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[],
  $23::text[]
) AS u (
  order_id, campaign, buyer_id, kind, state, payment_state, stock_state, currency,
  fulfilment_state, payable, pay_by, held_until, fingerprint, placed_at, draws, counters, document,
  version, source_status, tenant, channel, channel_order_id, attention
)
WHERE o.order_id = u.order_id;

-- name: forget_payments
-- What former snapshots of these orders ($1) told was paid, and the newest ($2, $3) does not.
DELETE FROM payments
WHERE
  order_id = any($1::text[]) AND state = 'applied'
  AND (order_id, payment_id) NOT IN (SELECT * FROM unnest($2::text[], $3::text[]));

-- name: reorder_shorts
-- When the order was placed may have been told anew, and with it whose turn it is.
UPDATE shorts AS s
SET placed_at = o.placed_at
FROM orders AS o
WHERE s.order_id = any($1::text[]) AND o.order_id = s.order_id AND s.placed_at <> o.placed_at;

-- name: adopt_lines
-- A line that is told of no more keeps the quantity it once had; what is short, the debts say.
INSERT INTO order_lines AS l (
  order_id, line_no, sku, quantity, open_quantity, payable, short, channel_line_id
)
SELECT *
FROM unnest(
  $1::text[], $2::integer[], $3::text[], $4::integer[], $5::integer[], $6::bigint[], $7::integer[],
  $8::text[]
)
ON CONFLICT (order_id, line_no) DO UPDATE
SET
  sku = excluded.sku,
  quantity = CASE WHEN excluded.quantity = 0 THEN l.quantity ELSE excluded.quantity END,
  open_quantity = excluded.open_quantity, payable = excluded.payable,
  channel_line_id = excluded.channel_line_id;

-- name: clear_marks
-- Blocks of a former snapshot ($1 orders) that the newest does not give ($2, $3, $4) any more; and a
-- refund that waited for the snapshot which shows it: all units that were refunded are gone there.
DELETE FROM blocks AS b
USING orders AS o
WHERE
  b.order_id = any($1::text[]) AND o.order_id = b.order_id
  AND (
    b.by = 'engine' AND b.code IN ('unmapped_sku', 'price')
    AND (b.order_id, b.code, b.line_id) NOT IN (
      SELECT * FROM unnest($2::text[], $3::text[], $4::text[])
    )
    OR b.code = 'refund_requested'
    AND (o.payment_state IN ('partly_refunded', 'refunded') OR o.state <> 'open')
    AND EXISTS (SELECT FROM refunds AS r WHERE r.order_id = b.order_id AND r.state = 'done')
    AND NOT EXISTS (SELECT FROM refunds AS r WHERE r.order_id = b.order_id AND r.state = 'requested')
    AND (
      o.state <> 'open' OR NOT EXISTS (
        SELECT FROM order_lines AS l
        WHERE
          l.order_id = b.order_id AND l.quantity - l.open_quantity < (
            SELECT coalesce(sum((part ->> 1)::bigint), 0)
            FROM refunds AS r CROSS JOIN jsonb_array_elements(r.lines) AS part
            WHERE
              r.order_id = l.order_id AND r.state = 'done' AND r.kind = 'cancel'
              AND (part ->> 0)::integer = l.line_no
          )
      )
    )
  );

-- name: owe
-- An order whose row was refused is owed all the same.
INSERT INTO shorts AS s (order_id, pool_id, line_no, units, placed_at)
SELECT u.order_id, u.pool_id, u.line_no, u.units, coalesce(o.placed_at, now())
FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[])
  AS u (order_id, pool_id, line_no, units)
LEFT JOIN orders AS o ON o.order_id = u.order_id
ON CONFLICT (order_id, pool_id) DO UPDATE
SET units = s.units + excluded.units, line_no = excluded.line_no;

-- name: repay
-- $2 units come to pool $1: first to the order that gave them back ($3), which is owed as much less,
-- then to whoever placed his order first. Each row is owed a unit at least, so $2 rows are enough.
WITH turn AS (
  (
    SELECT order_id, units, placed_at, 0 AS later
    FROM shorts
    WHERE pool_id = $1 AND order_id = $3
  )
  UNION ALL
  (
    SELECT order_id, units, placed_at, 1
    FROM shorts
    WHERE pool_id = $1 AND order_id <> $3
    ORDER BY placed_at, order_id
    LIMIT $2::bigint
  )
), due AS (
  SELECT
    order_id, units,
    least(units, greatest(0, $2::bigint - coalesce(sum(units) OVER before, 0)))::bigint AS part
  FROM turn
  WINDOW before AS (
    ORDER BY later, placed_at, order_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  )
), gone AS (
  DELETE FROM shorts AS s
  USING due AS d
  WHERE s.pool_id = $1 AND s.order_id = d.order_id AND d.part = d.units
), fewer AS (
  UPDATE shorts AS s
  SET units = d.units - d.part
  FROM due AS d
  WHERE s.pool_id = $1 AND s.order_id = d.order_id AND d.part > 0 AND d.part < d.units
)
SELECT order_id, part, units - part AS lacking FROM due WHERE part > 0;

-- name: lock_orders
-- Before their blocks are touched, as everybody does who touches blocks: else two wait for each other.
SELECT FROM orders WHERE order_id = any($1::text[]) ORDER BY order_id FOR UPDATE;

-- name: settle_shorts
-- Blocks, lines and states of these orders ($1), as what they are owed says: the last lines that drew
-- from a pool are those that lack. A block that a person lifted comes back only where more is owed by
-- now ($2).
WITH drawn AS (
  SELECT o.order_id, (d ->> 0)::integer AS line_no, d ->> 1 AS pool_id, (d ->> 2)::bigint AS units
  FROM orders AS o, jsonb_array_elements(o.draws) AS d
  WHERE o.order_id = any($1::text[])
), lacking AS (
  SELECT
    w.order_id, w.line_no,
    least(w.units, greatest(0, s.units - coalesce(sum(w.units) OVER behind, 0))) AS units
  FROM drawn AS w
  JOIN shorts AS s ON s.order_id = w.order_id AND s.pool_id = w.pool_id
  WINDOW behind AS (
    PARTITION BY w.order_id, w.pool_id ORDER BY w.line_no DESC
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  )
), owed AS (
  SELECT order_id, line_no, sum(units)::integer AS units
  FROM lacking
  WHERE units > 0
  GROUP BY order_id, line_no
), lifted AS (
  DELETE FROM blocks AS b
  WHERE
    b.order_id = any($1::text[]) AND b.code = 'short' AND b.by = 'engine'
    AND NOT EXISTS (
      SELECT FROM owed AS w
      WHERE w.order_id = b.order_id AND b.line_id = w.order_id || '-' || w.line_no
    )
), blocked AS (
  INSERT INTO blocks (order_id, code, line_id, reason, by)
  SELECT w.order_id, 'short', w.order_id || '-' || w.line_no, 'sold beyond our stock', 'engine'
  FROM owed AS w
  WHERE
    w.order_id = any($2::text[])
    OR EXISTS (SELECT FROM blocks AS b WHERE b.order_id = w.order_id AND b.code = 'short')
  ON CONFLICT DO NOTHING
), counted AS (
  UPDATE order_lines AS l
  SET short = coalesce(w.units, 0)
  FROM order_lines AS k
  LEFT JOIN owed AS w ON w.order_id = k.order_id AND w.line_no = k.line_no
  WHERE
    k.order_id = any($1::text[]) AND l.order_id = k.order_id AND l.line_no = k.line_no
    AND l.short <> coalesce(w.units, 0)
)
UPDATE orders AS o
SET
  stock_state = CASE
    WHEN EXISTS (SELECT FROM owed AS w WHERE w.order_id = o.order_id) THEN 'short'
    WHEN o.payment_state IN ('unpaid', 'deposit_paid') AND o.source_status = 'unpaid' THEN 'held'
    ELSE 'committed'
  END
WHERE
  o.order_id = any($1::text[])
  AND (o.stock_state = 'short' OR EXISTS (SELECT FROM owed AS w WHERE w.order_id = o.order_id));

-- name: note_unmapped
INSERT INTO unmapped_listings AS m (tenant, channel, item_id, sku_id, sku, reason)
SELECT DISTINCT ON (tenant, channel, item_id, sku_id, sku) *
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  AS u (tenant, channel, item_id, sku_id, sku, reason)
ON CONFLICT (tenant, channel, item_id, sku_id, sku) DO UPDATE
SET reason = excluded.reason, last_seen = now(), orders = m.orders + 1;

-- name: recall_holds
-- Orders as a cell that forgot them needs them; some were asked for before their channel became a
-- marketplace.
SELECT
  o.order_id, o.tenant, o.channel, o.campaign, o.buyer_id, o.state, o.payment_state, o.stock_state,
  o.currency, o.payable, o.pay_by, o.held_until, o.fingerprint, o.accepted_at, o.draws, o.counters,
  o.version, o.source_status,
  (
    SELECT jsonb_agg(
      jsonb_build_array(l.sku, l.payable, l.channel_line_id, l.part_of, l.per) ORDER BY l.line_no
    )
    FROM order_lines AS l
    WHERE l.order_id = o.order_id
  ) AS lines,
  (
    SELECT coalesce(jsonb_agg(jsonb_build_array(s.pool_id, s.units, s.line_no)), '[]')
    FROM shorts AS s
    WHERE s.order_id = o.order_id
  ) AS shorts
FROM orders AS o
WHERE o.order_id = any($1::text[]);

-- name: held_orders
-- Every order that a cell has to remember ($1), as a rebuild needs it: pending ones, those that ended
-- less than the time of remembering ago ($2: since then, ms) or belong to campaigns that did ($3, $4:
-- tenants, campaigns). A marketplace's older ones bring their hold along.
SELECT
  o.order_id, o.tenant, o.channel, o.campaign, o.buyer_id, o.currency, o.payable, o.attempt,
  o.fingerprint, o.draws, o.counters,
  coalesce((date_part('epoch', o.pay_by) * 1000)::bigint, 0) AS pay_by,
  coalesce((date_part('epoch', o.held_until) * 1000)::bigint, 0) AS held_until,
  (date_part('epoch', o.accepted_at) * 1000)::bigint AS accepted_at,
  o.stock_state,
  CASE
    WHEN o.version = '' AND (
      o.document::text LIKE '%"buyer_keys"%' OR o.document::text LIKE '%"on_short"%'
    ) THEN o.document
  END AS document,
  o.state, o.payment_state, o.stages, o.version, o.source_status,
  o.stock_state = 'held' AND o.pay_by < now() AS overdue
FROM orders AS o
WHERE
  o.cell = $1
  AND (
    o.stock_state = 'held'
    OR o.source_status = 'unpaid' AND (o.stock_state = 'short' OR o.held_until >= now())
    OR o.version = '' AND greatest(o.accepted_at, o.held_until) > to_timestamp($2::bigint / 1000.0)
    OR o.attempt > 1 AND o.held_until > to_timestamp($2::bigint / 1000.0) - interval '7 days'
    OR o.version <> '' AND o.placed_at > to_timestamp($2::bigint / 1000.0) - interval '1 day'
    OR (o.tenant, o.campaign) IN (SELECT * FROM unnest($3::text[], $4::text[]))
  );

-- name: lines_to_hold
SELECT order_id, sku, open_quantity, payable, channel_line_id, quantity
FROM order_lines
WHERE order_id = any($1::text[])
ORDER BY order_id, line_no;

-- name: payments_to_hold
-- What the cell booked; what waits for it, or was settled without it, it does not know.
SELECT order_id, payment_id, CASE state WHEN 'applied' THEN state ELSE reason END AS outcome, amount
FROM payments
WHERE order_id = any($1::text[]) AND log_id <> ''
ORDER BY split_part(log_id, '-', 1)::bigint, split_part(log_id, '-', 2)::bigint, payment_id;

-- name: cancels_to_hold
SELECT order_id, cancel_id, kind, lines, log_id
FROM cancels
WHERE order_id = any($1::text[])
ORDER BY recorded_at, cancel_id;

-- name: marks_to_hold
SELECT order_id, code, line_id
FROM blocks
WHERE order_id = any($1::text[]) AND by = 'engine' AND code IN ('unmapped_sku', 'price');

-- name: warned_orders
-- Whose end was announced, or that were split from one whose end was.
SELECT o.order_id
FROM orders AS o
WHERE
  o.order_id = any($1::text[])
  AND (
    o.accepted_at >= o.pay_by
    OR EXISTS (
      SELECT FROM events AS e
      WHERE e.order_id = o.order_id AND e.kind = 'hold.expiring' AND e.at >= o.pay_by
    )
  );

-- name: shorts_of_cell
SELECT s.order_id, s.pool_id, s.units, s.line_no, o.tenant, o.channel, o.campaign, l.sku
FROM shorts AS s
JOIN orders AS o ON o.order_id = s.order_id
LEFT JOIN order_lines AS l ON l.order_id = s.order_id AND l.line_no = s.line_no
WHERE o.cell = $1;

-- name: returns_on_their_way
SELECT order_id, draws FROM stock_returns WHERE cell = $1 AND log_id = '' AND order_id <> '';

-- name: second_holds
-- Second holds of known orders that the log does not tell the end of: what they hold, by the ledger.
SELECT d.order_id, l.pool_id, l.held, l.sold
FROM duplicates AS d
JOIN ledger AS l ON l.cell = d.cell AND l.log_id = d.log_id AND l.reference = d.order_id
WHERE
  d.cell = $1 AND NOT d.merged
  AND NOT EXISTS (
    SELECT FROM ledger AS k
    WHERE
      k.cell = d.cell AND k.reference = d.order_id AND k.kind = 'released'
      AND (split_part(k.log_id, '-', 1)::bigint, split_part(k.log_id, '-', 2)::bigint)
        > (split_part(d.log_id, '-', 1)::bigint, split_part(d.log_id, '-', 2)::bigint)
  );

-- name: note_merged
-- Snapshots of orders that the cell had forgotten and nobody reminded it of: what they had drawn then
-- goes back, and they are what the snapshot says.
INSERT INTO duplicates (cell, log_id, order_id, released, merged)
SELECT $1, u.log_id, u.order_id, true, true
FROM unnest($2::text[], $3::text[]) AS u (log_id, order_id)
ON CONFLICT DO NOTHING;

-- name: return_forgotten
INSERT INTO stock_returns (return_id, cell, order_id, draws)
SELECT
  'forgotten:' || u.log_id || ':' || o.order_id, o.cell, '',
  (SELECT jsonb_agg(jsonb_build_array(d -> 1, d -> 2)) FROM jsonb_array_elements(o.draws) AS d)
FROM unnest($1::text[], $2::text[]) AS u (log_id, order_id)
JOIN orders AS o ON o.order_id = u.order_id
WHERE jsonb_array_length(o.draws) > 0
ON CONFLICT DO NOTHING;

-- name: patch_orders
UPDATE orders AS o
SET
  state = coalesce(u.state, o.state),
  payment_state = coalesce(u.payment_state, o.payment_state),
  stock_state = coalesce(u.stock_state, o.stock_state),
  payable = coalesce(u.payable, o.payable),
  pay_by = coalesce(to_timestamp(u.pay_by / 1000.0), o.pay_by),
  held_until = coalesce(to_timestamp(u.held_until / 1000.0), o.held_until),
  attempt = coalesce(u.attempt, o.attempt),
  draws = coalesce(u.draws::jsonb, o.draws),
  counters = coalesce(u.counters::jsonb, o.counters),
  stages = coalesce(u.stages::jsonb, o.stages),
  attention = coalesce(u.attention, o.attention)
FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
  $8::integer[], $9::text[], $10::text[], $11::text[], $12::text[]
) AS u (
  order_id, state, payment_state, stock_state, payable, pay_by, held_until, attempt, draws, counters,
  stages, attention
)
WHERE o.order_id = u.order_id;

-- name: settle_orders
-- Orders of which a payment settled all that was asked: what patch_orders would do, for the many.
UPDATE orders
SET payment_state = 'paid', stock_state = 'committed', stages = '[]'
WHERE order_id = any($1::text[]);

-- name: mark_parts
UPDATE order_lines AS l
SET part_of = u.part_of, per = u.per
FROM unnest($1::text[], $2::integer[], $3::integer[], $4::integer[])
  AS u (order_id, line_no, part_of, per)
WHERE l.order_id = u.order_id AND l.line_no = u.line_no;

-- name: cut_lines
UPDATE order_lines AS l
SET open_quantity = l.open_quantity - u.units, payable = l.payable - u.money
FROM unnest($1::text[], $2::integer[], $3::integer[], $4::bigint[])
  AS u (order_id, line_no, units, money)
WHERE l.order_id = u.order_id AND l.line_no = u.line_no;

-- name: record_payments
-- A payment that waited as `received` gets its outcome, and one that the cell had refused for its
-- amount what it was booked as later; one that is booked keeps what it is, but where a marketplace's
-- newest snapshot says it anew.
INSERT INTO payments (
  order_id, payment_id, state, reason, amount, currency, method, stage, paid_at, log_id, actor
)
SELECT
  order_id, payment_id, state, reason, amount, currency, method, stage,
  to_timestamp(nullif(paid_at, 0) / 1000.0), log_id, actor
FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
  $9::bigint[], $10::text[], $11::text[]
) AS p (
  order_id, payment_id, state, reason, amount, currency, method, stage, paid_at, log_id, actor
)
ON CONFLICT (order_id, payment_id) DO UPDATE
SET
  state = excluded.state, reason = excluded.reason, log_id = excluded.log_id,
  amount = excluded.amount, currency = excluded.currency, method = excluded.method,
  stage = excluded.stage, paid_at = excluded.paid_at, actor = excluded.actor
WHERE
  payments.state = 'received' OR payments.reason = 'wrong_amount'
  OR EXISTS (
    SELECT FROM orders AS o WHERE o.order_id = excluded.order_id AND o.version <> ''
  );

-- name: record_cancels
INSERT INTO cancels (order_id, cancel_id, kind, reason, lines, actor, log_id)
SELECT order_id, cancel_id, kind, reason, lines::jsonb, actor, log_id
FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]
) AS c (order_id, cancel_id, kind, reason, lines, actor, log_id)
ON CONFLICT DO NOTHING;

-- name: set_blocks
INSERT INTO blocks (order_id, code, line_id, reason, since, by)
SELECT order_id, code, line_id, reason, to_timestamp(at / 1000.0), actor
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])
  AS b (order_id, code, line_id, reason, at, actor)
ON CONFLICT DO NOTHING;

-- name: note_duplicates
INSERT INTO duplicates (cell, log_id, order_id)
SELECT $1, * FROM unnest($2::text[], $3::text[])
ON CONFLICT DO NOTHING;

-- name: finish_returns
UPDATE stock_returns AS r
SET log_id = u.log_id
FROM unnest($1::text[], $2::text[]) AS u (return_id, log_id)
WHERE r.return_id = u.return_id;

-- name: write_dead_letter
INSERT INTO dead_letters (cell, log_id, order_id, kind, reason, event, payload)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: settle_grants
-- $1 pool ids, $2 seqs, $3 units that moved, $4 log ids
UPDATE grants AS g
SET applied = s.applied, log_id = s.log_id
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS s (pool_id, seq, applied, log_id)
WHERE g.pool_id = s.pool_id AND g.seq = s.seq;

-- name: adopt_grants
-- An intention that is not here was lost when Postgres was restored to an earlier point: the cell has
-- its number, so the next one must not be the same.
-- $1 pool ids, $2 seqs, $3 units that moved, $4 log ids, $5 units asked, $6 reasons, $7 references
INSERT INTO grants (pool_id, seq, applied, log_id, delta, reason, reference)
SELECT *
FROM unnest(
  $1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[]
)
ON CONFLICT (pool_id, seq) DO NOTHING;

-- name: end_pools
UPDATE pools AS p
SET ended = true, successor = u.successor
FROM unnest($1::text[], $2::text[]) AS u (pool_id, successor)
WHERE p.pool_id = u.pool_id;

-- name: note_move
INSERT INTO moves_done (cell, move_id, at)
VALUES ($1, $2, to_timestamp($3::bigint / 1000.0))
ON CONFLICT DO NOTHING;

-- name: note_shift
-- The closed time whose deadlines move from here on.
UPDATE cells SET shift_from = $2, shift_to = $3 WHERE cell = $1;

-- name: note_seen
UPDATE cells
SET seen_ms = greatest(seen_ms, $2), seen_accepted = greatest(seen_accepted, $3)
WHERE cell = $1;

-- name: set_pause
INSERT INTO pauses (tenant, scope, id, since, by, reason)
VALUES ($1, $2, $3, to_timestamp($4::bigint / 1000.0), $5, $6)
ON CONFLICT (tenant, scope, id) DO UPDATE
SET since = excluded.since, by = excluded.by, reason = excluded.reason;

-- name: lift_pause
DELETE FROM pauses WHERE tenant = $1 AND scope = $2 AND id = $3;

-- name: open_checkpoint
INSERT INTO checkpoints (checkpoint_id, cell, log_id, at, accepted, recorded, parts, parts_seen)
VALUES ($1, $2, $3, to_timestamp($4::bigint / 1000.0), $5, $6, $7, 1)
ON CONFLICT (checkpoint_id) DO UPDATE SET parts_seen = checkpoints.parts_seen + 1;

-- name: compare_pools
-- What the cell says of its pools beside what Postgres has at the same position of the log.
INSERT INTO checkpoint_pools (checkpoint_id, pool_id, cell_totals, recorded_totals)
SELECT
  $1, c.pool_id, ARRAY[c.granted, c.owed, c.available, c.held, c.sold],
  coalesce(ARRAY[p.granted, p.owed, p.available, p.held, p.sold], '{}')
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
  AS c (pool_id, granted, owed, available, held, sold)
LEFT JOIN pools AS p ON p.pool_id = c.pool_id;

-- name: pending_duplicates
SELECT log_id, order_id FROM duplicates WHERE cell = $1 AND NOT released LIMIT $2;

-- name: settle_duplicates
UPDATE duplicates SET released = true WHERE cell = $1 AND order_id = any($2::text[]);

-- name: pending_returns
SELECT return_id, order_id, draws FROM stock_returns WHERE log_id = '' ORDER BY created_at LIMIT $1;

-- name: refuse_return
UPDATE stock_returns SET log_id = 'refused: ' || $2 WHERE return_id = $1 RETURNING order_id;

-- name: call_attention
UPDATE orders SET attention = $2 WHERE order_id = $1;

-- name: receive_payment
-- While the cell is closed a payment waits here; the same one again changes nothing.
INSERT INTO payments (
  order_id, payment_id, state, amount, currency, method, stage, paid_at, actor
)
VALUES ($1, $2, 'received', $3, $4, $5, $6, to_timestamp(nullif($7::bigint, 0) / 1000.0), $8)
ON CONFLICT (order_id, payment_id) DO NOTHING;

-- name: payment
SELECT state, reason, amount, currency FROM payments WHERE order_id = $1 AND payment_id = $2;

-- name: received_payments
SELECT
  order_id, payment_id, amount, currency, method, stage, actor,
  coalesce((extract(epoch FROM paid_at) * 1000)::bigint, 0) AS paid_at
FROM payments
WHERE state = 'received'
ORDER BY recorded_at
LIMIT $1;

-- name: settle_payment
UPDATE payments SET state = $3, reason = $4
WHERE order_id = $1 AND payment_id = $2 AND state = 'received'
RETURNING amount;

-- name: add_payment
INSERT INTO payments (
  order_id, payment_id, state, reason, amount, currency, method, stage, paid_at, actor
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, to_timestamp(nullif($9::bigint, 0) / 1000.0), $10)
ON CONFLICT (order_id, payment_id) DO NOTHING
RETURNING order_id;

-- name: order
SELECT
  order_id, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, fulfilment_state, currency, payable, pay_by, held_until, attempt, fingerprint,
  placed_at, accepted_at, recorded_at, log_id, attention, draws, stages, document, version,
  source_status, trace
FROM orders
WHERE order_id = $1;

-- name: recall
-- An order as a repeat is answered; a line that is gone and was never cancelled had been dropped.
SELECT
  o.order_id, o.fingerprint, o.state, o.payment_state, o.stock_state, o.fulfilment_state, o.payable,
  o.pay_by, o.attention, o.stages,
  EXISTS (
    SELECT FROM blocks AS b WHERE b.order_id = o.order_id AND (b.until IS NULL OR b.until > now())
  ) AS blocked,
  ARRAY(
    SELECT l.line_no
    FROM order_lines AS l
    WHERE l.order_id = o.order_id AND l.open_quantity = 0 AND NOT EXISTS (
      SELECT
      FROM cancels AS c CROSS JOIN jsonb_array_elements(c.lines) AS cut
      WHERE c.order_id = o.order_id AND (cut ->> 0)::integer = l.line_no
    )
  ) AS dropped,
  (
    SELECT coalesce(jsonb_agg(jsonb_build_array(l.line_no, l.part_of, l.sku, l.per) ORDER BY l.line_no), '[]')
    FROM order_lines AS l
    WHERE l.order_id = o.order_id AND l.part_of > 0 AND l.part_of <> l.line_no
  ) AS parts
FROM orders AS o
WHERE o.order_id = $1;

-- name: lock_order
SELECT
  order_id, tenant, channel, cell, state, payment_state, stock_state, fulfilment_state, currency,
  payable, attention, draws, version
FROM orders
WHERE order_id = $1
FOR UPDATE;

-- name: applied_amount
SELECT coalesce(sum(amount), 0)::bigint
FROM payments
WHERE order_id = $1 AND state = 'applied';

-- name: fairness
-- Units of a campaign ($2) by buyer, added up: of all, and of the hundredth part with most.
WITH bought AS (
  SELECT o.buyer_id, sum(l.open_quantity) AS units
  FROM orders AS o
  JOIN order_lines AS l ON l.order_id = o.order_id
  WHERE o.tenant = $1 AND o.campaign = $2 AND l.part_of = 0 AND l.open_quantity > 0
    AND o.stock_state IN ('held', 'committed', 'short', 'consumed')
  GROUP BY o.buyer_id
),
ranked AS (
  SELECT
    units, row_number() OVER (ORDER BY units DESC) AS place,
    greatest(1, (count(*) OVER () + 99) / 100) AS top
  FROM bought
  WHERE buyer_id <> ''
)
SELECT
  count(*) AS buyers, coalesce(sum(units), 0)::bigint AS units,
  count(*) FILTER (WHERE place <= top) AS top_buyers,
  coalesce(sum(units) FILTER (WHERE place <= top), 0)::bigint AS top_units,
  coalesce(max(units), 0)::bigint AS most,
  coalesce((SELECT units FROM bought WHERE buyer_id = ''), 0)::bigint AS unnamed
FROM ranked;

-- name: order_lines
SELECT line_no, sku, quantity, open_quantity, payable, short, part_of, per
FROM order_lines
WHERE order_id = $1
ORDER BY line_no;

-- name: order_payments
SELECT payment_id, state, reason, amount, currency, method, stage, paid_at, recorded_at
FROM payments
WHERE order_id = $1
ORDER BY recorded_at, payment_id;

-- name: order_blocks
SELECT code, line_id, reason, since, until, by
FROM blocks
WHERE order_id = $1 AND (until IS NULL OR until > now())
ORDER BY since, code, line_id;

-- name: order_queue
-- Where it waits to be routed, or what is left of it.
SELECT queue, reason, since, due_at FROM routing_queue WHERE order_id = $1;

-- name: order_events
SELECT at, kind, actor, data FROM events WHERE order_id = $1 ORDER BY at, xid, id LIMIT $2;

-- name: cancel
SELECT lines, kind FROM cancels WHERE order_id = $1 AND cancel_id = $2;

-- name: cancel_order
UPDATE orders
SET
  state = CASE WHEN $2 THEN 'cancelled' ELSE state END,
  payment_state = CASE WHEN $2 AND payment_state = 'paid' THEN 'refund_due' ELSE payment_state END,
  stock_state = CASE WHEN $2 THEN 'released' ELSE stock_state END,
  payable = payable - $3,
  attention = CASE
    WHEN $2 AND attention LIKE 'a refund is due for %' THEN '' -- now the whole payment is
    WHEN NOT $2 AND payment_state = 'paid' THEN 'a refund is due for cancelled lines'
    ELSE attention
  END,
  draws = $4::jsonb
WHERE order_id = $1;

-- name: queue_return
INSERT INTO stock_returns (return_id, cell, order_id, draws)
VALUES ($1, $2, $3, $4::jsonb)
ON CONFLICT (return_id) DO NOTHING;

-- name: channels_of
SELECT channel FROM channels WHERE tenant = $1;

-- name: plan_each
-- For the transaction: a plan for any values would have to look through all orders.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: list_orders
-- Newest first; a page goes on right after ($8, $9). Empty texts and NULLs do not filter: they fall
-- away when the statement is planned, which is anew each time (`plan_each`). What only few orders are
-- of is looked up first, by its own index: $4 block, $11 queue, $12 waybill, $13 something has to leave
-- before, $14 something happened since.
-- A block counts until its `until`, as order_blocks has it.
SELECT
  o.order_id, o.channel, o.channel_order_id, o.campaign, o.buyer_id, o.state, o.payment_state,
  o.stock_state, o.fulfilment_state, o.currency, o.payable, o.pay_by, o.placed_at, o.attention,
  EXISTS (
    SELECT FROM blocks AS b
    WHERE b.order_id = o.order_id AND (b.until IS NULL OR b.until > now())
  ) AS blocked
FROM orders AS o
WHERE
  o.tenant = $1
  AND ($2 = '' OR o.channel = $2)
  AND ($3::text[] IS NULL OR o.order_id = any($3))
  AND ($4::text = '' OR o.order_id = any(ARRAY(
    SELECT b.order_id
    FROM blocks AS b
    WHERE b.code = $4 AND (b.until IS NULL OR b.until > now())
  )))
  AND ($11::text = '' OR o.order_id = any(ARRAY(
    SELECT q.order_id FROM routing_queue AS q WHERE q.tenant = $1 AND q.queue = $11
  )))
  AND ($12::text = '' OR o.order_id = any(ARRAY(
    SELECT p.order_id FROM parcels AS p WHERE p.tenant = $1 AND p.waybill = $12
  )))
  AND ($13::timestamptz IS NULL OR o.order_id = any(ARRAY(
    SELECT s.order_id
    FROM shipments AS s
    WHERE
      s.tenant = $1 AND s.promised_ship_by < $13
      AND s.state IN (
        'planned', 'sending', 'unknown', 'sent', 'accepted', 'picked', 'packed', 'stopping',
        'partly_shipped'
      )
    UNION ALL
    SELECT w.order_id
    FROM orders AS w
    WHERE
      w.order_id = any(ARRAY(SELECT q.order_id FROM routing_queue AS q WHERE q.tenant = $1))
      AND (w.document -> 'promise' ->> 'ship_by')::timestamptz < $13
  )))
  AND ($14::timestamptz IS NULL OR o.order_id = any(ARRAY(
    SELECT DISTINCT e.order_id FROM events AS e WHERE e.at >= $14
  )))
  AND ($5::timestamptz IS NULL OR o.placed_at >= $5)
  AND ($6::timestamptz IS NULL OR o.placed_at < $6)
  AND ($7 = '' OR $7 = CASE
    WHEN o.attention <> ''
      OR o.state = 'open' AND EXISTS (
        SELECT FROM blocks AS b
        WHERE b.order_id = o.order_id AND (b.until IS NULL OR b.until > now())
      )
      THEN 'needs_attention'
    WHEN o.payment_state = 'refund_due' THEN 'refund_due'
    WHEN o.state = 'cancelled' THEN 'cancelled'
    WHEN o.state = 'closed' AND o.stock_state = 'released' THEN 'expired'
    WHEN o.state = 'closed' THEN 'closed'
    WHEN o.fulfilment_state IN ('shipped', 'delivered') THEN o.fulfilment_state
    WHEN o.payment_state IN ('unpaid', 'deposit_paid') THEN 'pending_payment'
    ELSE 'paid'
  END)
  AND ($8::timestamptz IS NULL OR (o.placed_at, o.order_id) < ($8, $9::text))
ORDER BY o.placed_at DESC, o.order_id DESC
LIMIT $10;

-- name: blocks_by_code
-- A block counts until its `until`, as order_blocks has it.
SELECT
  b.code, count(*) AS blocks,
  greatest(0, extract(epoch FROM now() - min(b.since)))::float8 AS oldest_s
FROM blocks AS b
WHERE b.until IS NULL OR b.until > now()
GROUP BY b.code;

-- name: payments_waiting
SELECT count(*) FROM payments WHERE state = 'received';

-- name: ship_by_due
-- $1 tenant, $2 how many that wait to be routed are looked at, oldest first. What leaves in several
-- shipments is due with the first of them.
SELECT
  count(*) FILTER (WHERE due < now()) AS breached,
  count(*) FILTER (WHERE due >= now() AND due < now() + interval '2 hours') AS in_2h,
  count(*) FILTER (
    WHERE due >= now() + interval '2 hours' AND due < now() + interval '6 hours'
  ) AS in_6h,
  count(*) FILTER (WHERE due >= now() + interval '6 hours') AS in_12h
FROM (
  SELECT min(due) AS due
  FROM (
    SELECT s.order_id, s.promised_ship_by AS due
    FROM shipments AS s
    WHERE
      s.tenant = $1 AND s.promised_ship_by < now() + interval '12 hours'
      AND s.state IN (
        'planned', 'sending', 'unknown', 'sent', 'accepted', 'picked', 'packed', 'stopping',
        'partly_shipped'
      )
    UNION ALL
    SELECT o.order_id, (o.document -> 'promise' ->> 'ship_by')::timestamptz AS due
    FROM (
      SELECT q.order_id
      FROM routing_queue AS q
      WHERE q.tenant = $1
      ORDER BY q.since
      LIMIT $2
    ) AS w
    INNER JOIN orders AS o ON o.order_id = w.order_id
    WHERE (o.document -> 'promise' ->> 'ship_by')::timestamptz < now() + interval '12 hours'
  ) AS each
  GROUP BY order_id
) AS first;
