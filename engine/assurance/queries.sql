-- Tables: cells, leases, pools, orders, ledger, checkpoints (infra/migrations/0001_spine.sql).

-- name: next_epoch
-- Under the row's lock: recorders of the old epoch find nothing to update any more.
UPDATE cells SET epoch = epoch + 1, closed_reason = '' WHERE cell = $1
RETURNING epoch, last_id, identity;

-- name: make_cell
INSERT INTO cells (cell, identity) VALUES ($1, $2) ON CONFLICT (cell) DO NOTHING;

-- name: cell
SELECT epoch, last_id, identity, recorded, closed_reason FROM cells WHERE cell = $1;

-- name: allow_waiting
-- For this transaction: it reads as fast as the cell takes what is read.
SET LOCAL idle_in_transaction_session_timeout = '60s';

-- name: cell_to_rebuild
-- `lived_ms` is the last instant at which the cell is known to have lived, in its own time.
SELECT
  epoch, last_id, recorded, seen_accepted, shift_from, shift_to,
  greatest(split_part(last_id, '-', 1)::bigint, seen_ms) AS lived_ms
FROM cells
WHERE cell = $1;

-- name: pools_to_rebuild
SELECT
  pool_id, granted, owed, available, held, sold, seq, ended, successor
FROM pools
WHERE
  cell = $1
  AND (seq > 0 OR granted <> 0 OR owed <> 0 OR available <> 0 OR held <> 0 OR sold <> 0 OR ended);

-- name: rules
SELECT field, body FROM cell_rules WHERE cell = $1;

-- name: pauses
SELECT tenant, scope, id, by, reason, (extract(epoch FROM since) * 1000)::bigint AS since_ms
FROM pauses;

-- name: marks
-- Returns and moves that were done; what is older than the time of remembering nobody asks again.
SELECT 'r' || chr(31) || return_id AS mark, split_part(log_id, '-', 1)::bigint AS at_ms
FROM stock_returns
WHERE cell = $1 AND log_id ~ '^\d' AND created_at > now() - interval '8 days'
UNION ALL
SELECT 'v' || chr(31) || move_id, (extract(epoch FROM at) * 1000)::bigint
FROM moves_done
WHERE cell = $1 AND at > now() - interval '8 days';

-- name: remembered_campaigns
SELECT tenant, campaign FROM campaigns WHERE ends_at > now() - interval '7 days';

-- name: begin_recovery
INSERT INTO recoveries (cell, epoch, reason, last_id, lost_at, accepted_before)
VALUES ($1, $2, $3, $4, to_timestamp($5::bigint / 1000.0), $6)
ON CONFLICT DO NOTHING;

-- name: note_rebuilt
UPDATE recoveries SET rebuilt_at = now(), pools = $3, orders = $4, pending = $5
WHERE cell = $1 AND epoch = $2;

-- name: note_reopened
UPDATE recoveries
SET
  opened_at = now(), accepted_after = $3, accepted_before = greatest(accepted_before, $4)
WHERE cell = $1 AND epoch = $2
RETURNING reason, accepted_before, accepted_after;

-- name: ask_again
-- What the lost cell had answered and the log never told is to be done again: grants, ends of
-- campaigns, releases of second holds.
WITH grants_again AS (
  UPDATE grants SET sent_at = NULL WHERE applied IS NULL AND sent_at IS NOT NULL
), campaigns_again AS (
  UPDATE campaigns AS c
  SET returned_at = NULL
  WHERE
    c.returned_at IS NOT NULL
    AND EXISTS (SELECT FROM pools AS p WHERE p.pool_id = any(c.pools) AND NOT p.ended)
)
UPDATE duplicates AS d
SET released = false
WHERE
  d.cell = $1 AND d.released AND NOT d.merged
  AND NOT EXISTS (
    SELECT FROM ledger AS l
    WHERE
      l.cell = d.cell AND l.reference = d.order_id AND l.kind = 'released'
      AND (split_part(l.log_id, '-', 1)::bigint, split_part(l.log_id, '-', 2)::bigint)
        > (split_part(d.log_id, '-', 1)::bigint, split_part(d.log_id, '-', 2)::bigint)
  );

-- name: note_closed
UPDATE cells SET closed_reason = $2 WHERE cell = $1;

-- name: note_opened
UPDATE cells SET closed_reason = '', opened_at = now() WHERE cell = $1;

-- name: renew_lease
INSERT INTO leases (process, until, restored_epoch)
VALUES ($1, now() + $2::interval, $3)
ON CONFLICT (process) DO UPDATE
SET until = excluded.until, restored_epoch = greatest(leases.restored_epoch, excluded.restored_epoch);

-- name: end_lease
DELETE FROM leases WHERE process = $1;

-- name: waited_for
SELECT process FROM leases WHERE until > now() AND restored_epoch < $1 ORDER BY process;

-- name: forget_leases
DELETE FROM leases WHERE until < now() - interval '1 hour';

-- name: checkpoint
SELECT log_id, accepted, recorded, parts, parts_seen FROM checkpoints WHERE checkpoint_id = $1;

-- name: checkpoint_pools
SELECT
  coalesce(c.pool_id, p.pool_id) AS pool_id, coalesce(p.campaign, '') AS campaign,
  coalesce(p.channel, '') AS channel, coalesce(p.sku, '') AS sku,
  c.cell_totals, c.recorded_totals
FROM checkpoint_pools AS c
LEFT JOIN pools AS p ON p.pool_id = c.pool_id
WHERE c.checkpoint_id = $1
ORDER BY campaign, sku, channel;

-- name: pools_outside
-- Pools that Postgres had moved at the checkpoint and the cell did not name in it; one that was
-- granted since then is nobody's fault, one that moved without a ledger row is somebody's.
-- The ledger is read once, whatever the planner thinks of the number of such pools.
WITH outside AS MATERIALIZED (
  SELECT p.*
  FROM pools AS p
  WHERE
    p.cell = $1
    AND (p.granted <> 0 OR p.owed <> 0 OR p.available <> 0 OR p.held <> 0 OR p.sold <> 0)
    AND NOT EXISTS (
      SELECT FROM checkpoint_pools AS c WHERE c.checkpoint_id = $2 AND c.pool_id = p.pool_id
    )
), moved AS MATERIALIZED (
  SELECT
    l.pool_id,
    bool_or(
      (split_part(l.log_id, '-', 1)::bigint, split_part(l.log_id, '-', 2)::bigint)
      < (split_part(k.log_id, '-', 1)::bigint, split_part(k.log_id, '-', 2)::bigint)
    ) AS before
  FROM ledger AS l, checkpoints AS k
  WHERE
    l.cell = $1 AND k.checkpoint_id = $2 AND l.pool_id IN (SELECT outside.pool_id FROM outside)
  GROUP BY l.pool_id
)

SELECT p.pool_id, p.campaign, p.channel, p.sku, p.granted, p.owed, p.available, p.held, p.sold
FROM outside AS p
LEFT JOIN moved AS m ON m.pool_id = p.pool_id
WHERE coalesce(m.before, true);

-- name: pool_totals
SELECT pool_id, campaign, channel, sku, granted, owed, available, held, sold, balance, broken
FROM pools
WHERE cell = $1
ORDER BY campaign, sku, channel;

-- name: ledger_totals
SELECT
  pool_id, sum(granted)::bigint AS granted, sum(owed)::bigint AS owed,
  sum(available)::bigint AS available, sum(held)::bigint AS held, sum(sold)::bigint AS sold
FROM ledger
WHERE cell = $1
GROUP BY pool_id;

-- name: drawn_totals
-- What the orders themselves say they hold and were sold, pool by pool; units on their way back
-- (stock_returns without a log id) are still sold as far as the cell knows.
SELECT pool_id, sum(held)::bigint AS held, sum(sold)::bigint AS sold
FROM (
  SELECT
    d ->> 1 AS pool_id,
    CASE WHEN o.pending THEN (d ->> 2)::bigint ELSE 0 END AS held,
    CASE WHEN o.pending THEN 0 ELSE (d ->> 2)::bigint END AS sold
  FROM (
    SELECT
      cell, draws,
      payment_state IN ('unpaid', 'deposit_paid') AND source_status IN ('', 'unpaid') AS pending
    FROM orders
  ) AS o, jsonb_array_elements(o.draws) AS d
  WHERE o.cell = $1
  UNION ALL
  SELECT d ->> 0, 0, (d ->> 1)::bigint
  FROM stock_returns AS r, jsonb_array_elements(r.draws) AS d
  WHERE r.cell = $1 AND r.log_id = ''
) AS drawn
GROUP BY pool_id;

-- name: dead_letters
-- $1 cell, $2 behind this one, $3 limit: those that nobody settled
SELECT id, cell, kind, order_id, reason, at
FROM dead_letters
WHERE cell = $1 AND id > $2 AND resolved_at IS NULL
ORDER BY id
LIMIT $3;

-- name: settle_letter
-- $1 cell, $2 which; true if it was open
UPDATE dead_letters SET resolved_at = now()
WHERE cell = $1 AND id = $2 AND resolved_at IS NULL
RETURNING true;

-- name: order_counts
SELECT
  (SELECT count(*) FROM orders WHERE cell = $1) AS orders,
  (SELECT count(*) FROM duplicates WHERE cell = $1) AS duplicates,
  (SELECT count(*) FROM dead_letters WHERE cell = $1 AND resolved_at IS NULL) AS dead_letters,
  (SELECT recorded FROM cells WHERE cell = $1) AS recorded,
  (SELECT last_id FROM cells WHERE cell = $1) AS last_id,
  (
    SELECT count(*) FROM orders AS o
    WHERE
      o.cell = $1 AND o.payment_state = 'paid'
      AND o.version = '' -- what a marketplace's buyer paid, it alone knows
      AND o.payable > coalesce((
        SELECT sum(p.amount) FROM payments AS p WHERE p.order_id = o.order_id AND p.state = 'applied'
      ), -1)
  ) AS paid_without_payment,
  (
    SELECT count(*) FROM payments AS p
    WHERE
      p.state = 'applied'
      AND NOT EXISTS (
        SELECT FROM orders AS o
        WHERE
          o.order_id = p.order_id AND (
            o.version <> '' OR o.payment_state IN (
              'deposit_paid', 'paid', 'refund_due', 'partly_refunded', 'refunded'
            )
          )
      )
  ) AS applied_without_paid,
  (
    SELECT count(*) FROM pools AS p
    WHERE
      p.cell = $1
      AND p.owed <> coalesce((
        SELECT sum(s.units) FROM shorts AS s
        WHERE s.pool_id = p.pool_id AND EXISTS (
          SELECT FROM orders AS o WHERE o.order_id = s.order_id
        )
      ), 0)
  ) AS owed_to_nobody;

-- name: duplicates_settled
-- A second hold is given back by a script call; until its log entry is folded, the pools hold units
-- that no order owns.
SELECT NOT EXISTS (
  SELECT FROM duplicates AS d
  WHERE
    d.cell = $1 AND NOT d.merged
    AND NOT EXISTS (
      SELECT FROM ledger AS l
      WHERE l.cell = d.cell AND l.reference = d.order_id AND l.kind = 'released'
        AND (split_part(l.log_id, '-', 1)::bigint, split_part(l.log_id, '-', 2)::bigint)
          > (split_part(d.log_id, '-', 1)::bigint, split_part(d.log_id, '-', 2)::bigint)
    )
);

-- name: forget_gap
DELETE FROM gap_orders WHERE cell = $1;

-- name: known_orders
SELECT order_id FROM orders WHERE order_id = any($1::text[]);

-- name: note_gap
INSERT INTO gap_orders (
  cell, order_id, tenant, channel, campaign, buyer_id, state, currency, payable, accepted_at
)
SELECT
  $1, order_id, tenant, channel, campaign, buyer_id, state, currency, payable,
  to_timestamp(since / 1000.0)
FROM unnest(
  $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::bigint[], $10::bigint[]
) AS g (order_id, tenant, channel, campaign, buyer_id, state, currency, payable, since)
ON CONFLICT DO NOTHING;

-- name: list_postings
-- In the order of the log's ids as texts. $1 cell, $2 tenant, $3 channel, $4 sku, $5 pool, $6 order,
-- $7 account ('' any), $8 from this ms as text, $9 $10 $11 after (entry, line, part), $12 limit.
-- No index leads from an order or a pool to its rows; those of an order begin when it came.
SELECT
  l.entry, l.line, l.part, l.at, l.kind, l.reference, l.debit, l.credit, l.units, l.item AS pool,
  p.sku, p.channel, p.campaign, p.node_group
FROM ledger_postings AS l
JOIN pools AS p ON p.pool_id = l.item
WHERE
  l.cell = $1 AND p.tenant = $2 AND ($3 = '' OR p.channel = $3) AND ($4 = '' OR p.sku = $4)
  AND ($5 = '' OR l.item = $5)
  AND (
    $6 = '' OR l.reference = $6
    OR l.reference IN (SELECT return_id FROM stock_returns WHERE order_id = $6)
  )
  AND ($7 = '' OR $7 IN (l.debit, l.credit))
  AND l.entry >= greatest($8, $9, (
    SELECT (extract(epoch FROM accepted_at - interval '1 hour') * 1000)::bigint::text
    FROM orders
    WHERE order_id = $6
  ))
  AND (l.entry, l.line, l.part) > ($9::text, $10::integer, $11::integer)
ORDER BY l.entry, l.line, l.part
LIMIT $12;

-- name: sum_postings
-- The same, added up by what caused it, as [account, debits, credits]. $1 to $6 as above, $7 from
-- this ms as text, $8 after reference, $9 limit.
WITH chosen AS (
  SELECT l.reference, l.debit, l.credit, l.units
  FROM ledger_postings AS l
  JOIN pools AS p ON p.pool_id = l.item
  WHERE
    l.cell = $1 AND p.tenant = $2 AND ($3 = '' OR p.channel = $3) AND ($4 = '' OR p.sku = $4)
    AND ($5 = '' OR l.item = $5)
    AND (
      $6 = '' OR l.reference = $6
      OR l.reference IN (SELECT return_id FROM stock_returns WHERE order_id = $6)
    )
    AND l.entry >= greatest($7, (
      SELECT (extract(epoch FROM accepted_at - interval '1 hour') * 1000)::bigint::text
      FROM orders
      WHERE order_id = $6
    ))
    AND l.reference > $8
), sides AS (
  SELECT reference, debit AS account, units AS debits, 0 AS credits
  FROM chosen
  UNION ALL
  SELECT reference, credit, 0, units
  FROM chosen
), accounts AS (
  SELECT
    reference, account, sum(debits)::bigint AS debits, sum(credits)::bigint AS credits
  FROM sides
  GROUP BY reference, account
)
SELECT
  reference, sum(debits)::bigint AS debits, sum(credits)::bigint AS credits,
  json_agg(json_build_array(account, debits, credits) ORDER BY account) AS accounts
FROM accounts
GROUP BY reference
ORDER BY reference
LIMIT $9;

-- name: tell
-- What somebody did to the cell. $1 kind, $2 actor, $3 data
INSERT INTO events (at, kind, actor, data) VALUES (now(), $1, $2, $3::json);

-- name: write_certificate
-- What a checkpoint that is whole says, in one row of its cell.
INSERT INTO certificates AS c (
  cell, log_id, at, pools, differing, unbalanced, oversold, unrecorded
)
SELECT
  k.cell, k.log_id, now(), count(p.pool_id),
  count(*) FILTER (WHERE p.cell_totals <> p.recorded_totals),
  count(*) FILTER (
    WHERE
      p.cell_totals[1] + p.cell_totals[2]
      <> p.cell_totals[3] + p.cell_totals[4] + p.cell_totals[5]
  ),
  coalesce(sum(greatest(
    0, p.cell_totals[4] + p.cell_totals[5] - p.cell_totals[1] - p.cell_totals[2]
  )), 0),
  abs(k.accepted - k.recorded)
FROM checkpoints AS k
LEFT JOIN checkpoint_pools AS p ON p.checkpoint_id = k.checkpoint_id
WHERE k.checkpoint_id = $1
GROUP BY k.checkpoint_id
ON CONFLICT (cell) DO UPDATE
SET
  log_id = excluded.log_id, at = excluded.at, pools = excluded.pools,
  differing = excluded.differing, unbalanced = excluded.unbalanced, oversold = excluded.oversold,
  unrecorded = excluded.unrecorded
RETURNING c.holds, c.differing, c.unbalanced, c.oversold, c.unrecorded;

-- name: forget_checkpoints
-- Those that were written for a certificate and nobody waits for any more. $1 their prefix
WITH old AS (
  DELETE FROM checkpoints
  WHERE starts_with(checkpoint_id, $1) AND at < now() - interval '2 minutes'
  RETURNING checkpoint_id
)
DELETE FROM checkpoint_pools AS p USING old WHERE p.checkpoint_id = old.checkpoint_id;

-- name: certificate
SELECT holds, extract(epoch FROM now() - at)::float8 AS age_s FROM certificates WHERE cell = $1;

-- name: pool_states
-- $1 tenant. A pool that ended has given what it had to its successor.
SELECT
  CASE
    WHEN broken OR balance <> 0 THEN 'broken'
    WHEN owed > 0 THEN 'short'
    WHEN available = 0 THEN 'sold_out'
    WHEN available * 10 <= granted THEN 'low'
    ELSE 'ok'
  END AS state,
  channel,
  count(*) FILTER (WHERE NOT ended AND (granted <> 0 OR owed <> 0 OR held <> 0 OR sold <> 0))
    AS pools,
  sum(owed)::bigint AS owed,
  sum(greatest(0, held + sold - granted - owed))::bigint AS oversold
FROM pools
WHERE tenant = $1
GROUP BY state, channel;

-- name: letters_by_kind
-- $1 cell, $2 tenant
SELECT
  (SELECT count(*) FROM dead_letters WHERE cell = $1 AND resolved_at IS NULL) AS cell,
  (SELECT count(*) FROM jobs WHERE tenant = $2 AND state = 'dead') AS job,
  (
    SELECT count(*)
    FROM webhook_endpoints AS e
    JOIN webhook_waiting AS w ON w.endpoint_id = e.endpoint_id AND w.state = 'dead'
    WHERE e.tenant = $2
  ) AS webhook;
