-- Tables: cells, ledger, pools, orders and what hangs on them (infra/migrations/0001_spine.sql).
-- Instants come as ms since the epoch; 0 means none.

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

-- name: post
-- Write ledger rows and move the pools by what was written, never by what was asked.
WITH posted AS (
  INSERT INTO ledger (cell, log_id, n, kind, reference, pool_id, granted, owed, available, held, sold)
  SELECT $1, *
  FROM unnest(
    $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]
  )
  RETURNING pool_id, granted, owed, available, held, sold
), change AS (
  SELECT
    pool_id, sum(granted)::bigint AS granted, sum(owed)::bigint AS owed,
    sum(available)::bigint AS available, sum(held)::bigint AS held, sum(sold)::bigint AS sold
  FROM posted
  GROUP BY pool_id
)
UPDATE pools AS p
SET
  granted = p.granted + c.granted, owed = p.owed + c.owed,
  available = p.available + c.available, held = p.held + c.held, sold = p.sold + c.sold,
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
INSERT INTO orders (
  cell, fulfilment_state, order_id, tenant, channel, channel_order_id, campaign, buyer_id, kind,
  state, payment_state, stock_state, currency, payable, pay_by, held_until, attempt, fingerprint,
  placed_at, accepted_at, log_id, actor, attention, draws, counters, stages, document
)
SELECT
  $1, 'unrouted', order_id, tenant, channel, channel_order_id, campaign, buyer_id, kind,
  state, payment_state, stock_state, currency, payable,
  to_timestamp(nullif(pay_by, 0) / 1000.0), to_timestamp(nullif(held_until, 0) / 1000.0),
  attempt, fingerprint, to_timestamp(placed_at / 1000.0), to_timestamp(accepted_at / 1000.0),
  log_id, actor, attention, draws::jsonb, counters::jsonb, stages::jsonb, document::jsonb
FROM unnest(
  $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[],
  $16::integer[], $17::text[], $18::bigint[], $19::bigint[], $20::text[], $21::text[], $22::text[],
  $23::text[], $24::text[], $25::text[], $26::text[]
) AS o (
  order_id, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, currency, payable, pay_by, held_until, attempt, fingerprint, placed_at, accepted_at,
  log_id, actor, attention, draws, counters, stages, document
)
ON CONFLICT DO NOTHING
RETURNING order_id;

-- name: insert_lines
INSERT INTO order_lines (order_id, line_no, sku, quantity, open_quantity, payable, short)
SELECT *
FROM unnest(
  $1::text[], $2::integer[], $3::text[], $4::integer[], $5::integer[], $6::bigint[], $7::integer[]
);

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

-- name: cut_lines
UPDATE order_lines AS l
SET open_quantity = l.open_quantity - u.units, payable = l.payable - u.money
FROM unnest($1::text[], $2::integer[], $3::integer[], $4::bigint[])
  AS u (order_id, line_no, units, money)
WHERE l.order_id = u.order_id AND l.line_no = u.line_no;

-- name: record_payments
-- A payment that waited as `received` gets its outcome, and one that the cell had refused for its
-- amount what it was booked as later; one that is booked keeps what it is.
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
WHERE payments.state = 'received' OR payments.reason = 'wrong_amount';

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

-- name: write_events
INSERT INTO events (at, kind, order_id, log_id, actor, data)
SELECT to_timestamp(at / 1000.0), kind, order_id, log_id, actor, data::jsonb
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  AS e (at, kind, order_id, log_id, actor, data);

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
WITH settled AS (
  UPDATE grants AS g
  SET applied = u.applied, log_id = u.log_id
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[])
    AS u (pool_id, seq, applied, log_id)
  WHERE g.pool_id = u.pool_id AND g.seq = u.seq
  RETURNING g.pool_id
)
UPDATE pools AS p
SET seq = greatest(p.seq, u.seq)
FROM (
  SELECT pool_id, max(seq) AS seq
  FROM unnest($1::text[], $2::bigint[]) AS s (pool_id, seq)
  GROUP BY pool_id
) AS u
WHERE p.pool_id = u.pool_id;

-- name: end_pools
UPDATE pools AS p
SET ended = true, successor = u.successor
FROM unnest($1::text[], $2::text[]) AS u (pool_id, successor)
WHERE p.pool_id = u.pool_id;

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
  placed_at, accepted_at, recorded_at, log_id, attention, draws, stages, document
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
  ) AS dropped
FROM orders AS o
WHERE o.order_id = $1;

-- name: lock_order
SELECT
  order_id, tenant, channel, cell, state, payment_state, stock_state, fulfilment_state, currency,
  payable, attention, draws
FROM orders
WHERE order_id = $1
FOR UPDATE;

-- name: applied_amount
SELECT coalesce(sum(amount), 0)::bigint
FROM payments
WHERE order_id = $1 AND state = 'applied';

-- name: order_lines
SELECT line_no, sku, quantity, open_quantity, payable, short
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
ORDER BY since, code;

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

-- name: list_orders
-- Newest first; a page goes on right after ($8, $9). Empty texts and NULL instants do not filter.
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
  AND ($3 = '' OR o.channel_order_id = $3)
  AND ($4::text = '' OR EXISTS (
    SELECT FROM blocks AS b
    WHERE b.order_id = o.order_id AND b.code = $4 AND (b.until IS NULL OR b.until > now())
  ))
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
