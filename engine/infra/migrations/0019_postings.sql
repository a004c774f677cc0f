-- Places in double entry: a view of movements, assignments and their parts.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The physical side: from suppliers, buyers and corrections to a node, from there assigned, shipped.
-- What the rule of engine/physical makes of late facts (a count that knew of them already) is no
-- movement of its own: the rest that it leaves stands against `adjustment`, one line a key.
CREATE VIEW stock_postings AS
WITH moved AS (
  SELECT
    m.key_id, m.reference, m.n AS line, m.kind, m.happened_at AS at,
    'node'::text AS debit,
    CASE m.kind
      WHEN 'receipt' THEN 'supplier'
      WHEN 'return_in' THEN 'returned'
      WHEN 'transfer_in' THEN 'transfer'
      WHEN 'transfer_out' THEN 'transfer'
      WHEN 'condition_change' THEN 'transfer'
      ELSE 'adjustment'
    END AS credit,
    m.quantity AS units
  FROM stock_movements AS m
  WHERE m.applied
  UNION ALL
  SELECT a.key_id, a.order_id, a.line_no, 'assigned', a.assigned_at, 'assigned', 'node', a.units
  FROM stock_assignments AS a
  UNION ALL
  SELECT
    a.key_id, a.order_id, a.line_no, 'shipped', a.shipped_at, 'shipped', 'assigned',
    a.units - a.apart
  FROM stock_assignments AS a
  WHERE a.shipped_at IS NOT NULL
  UNION ALL
  SELECT
    a.key_id, a.order_id, a.line_no, 'cancelled', a.cancelled_at, 'node', 'assigned',
    a.units - a.apart
  FROM stock_assignments AS a
  WHERE a.shipped_at IS NULL AND a.cancelled_at IS NOT NULL
  UNION ALL
  SELECT
    p.key_id, p.order_id, p.line_no, CASE p.verb WHEN 'ship' THEN 'shipped' ELSE 'cancelled' END,
    p.at, CASE p.verb WHEN 'ship' THEN 'shipped' ELSE 'node' END, 'assigned', p.units
  FROM stock_parts AS p
), rest AS (
  SELECT
    b.key_id, b.updated_at,
    b.on_hand - b.committed - b.handed_over - coalesce(m.units, 0)::bigint AS units
  FROM stock_balances AS b
  LEFT JOIN (
    SELECT
      key_id,
      sum(CASE WHEN debit = 'node' THEN units WHEN credit = 'node' THEN -units ELSE 0 END) AS units
    FROM moved
    GROUP BY key_id
  ) AS m ON m.key_id = b.key_id
)
SELECT
  key_id, reference, line, kind, at,
  CASE WHEN units > 0 THEN debit ELSE credit END AS debit,
  CASE WHEN units > 0 THEN credit ELSE debit END AS credit,
  abs(units) AS units
FROM moved
WHERE units <> 0
UNION ALL
SELECT
  key_id, '', 0, 'rule', updated_at, CASE WHEN units > 0 THEN 'node' ELSE 'adjustment' END,
  CASE WHEN units > 0 THEN 'adjustment' ELSE 'node' END, abs(units)
FROM rest
WHERE units <> 0;
