-- Assurance: drifts between the sides that must agree, their repairs, and pools in double entry.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What does not agree. One row from when it is seen until a whole pass does not see it any more.
CREATE TABLE drifts (
  drift_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cell text NOT NULL,
  tenant text NOT NULL,                      -- '' where it is the whole cell's
  kind text NOT NULL,
  subject text NOT NULL,                     -- pool, order, rule, key of stock, …, by kind
  expected text NOT NULL,
  found text NOT NULL,
  units bigint NOT NULL,                     -- by which it is off; 0 where nothing is counted
  detail text NOT NULL,                      -- a sentence
  repair text NOT NULL CHECK (repair IN ('safe', 'manual')),
  unsafe boolean NOT NULL,                   -- left alone, it could sell a unit twice
  done text NOT NULL DEFAULT '',             -- what was done about it, a sentence
  first_seen timestamptz NOT NULL DEFAULT now(),
  last_seen timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz
);
CREATE UNIQUE INDEX drifts_open ON drifts (cell, kind, subject) WHERE resolved_at IS NULL;

-- What was repaired, append-only: kind `adjustment` of the ledger. The value is that of the account
-- or counter named by `subject`, before and after.
CREATE TABLE adjustments (
  adjustment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  drift_id bigint NOT NULL REFERENCES drifts,
  cell text NOT NULL,
  kind text NOT NULL,
  subject text NOT NULL,
  value_before text NOT NULL,
  value_after text NOT NULL,
  reason text NOT NULL,
  actor text NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX adjustments_drift ON adjustments (drift_id);

-- The ledger in double entry, derived: units go from the credited account to the debited one, so an
-- entry balances by construction. Pools' side: what was granted comes from the nodes' account, what
-- is held leaves the pool for its holds, and so on; if a row did not add up, the rest would stand
-- against `adjustment`, for everybody to see. What came back passes the account `returned`.
CREATE VIEW ledger_postings AS
SELECT
  l.cell, l.log_id AS entry, l.n AS line, p.part, l.kind, l.reference, l.pool_id AS item,
  CASE WHEN p.units > 0 THEN p.debit ELSE p.credit END AS debit,
  CASE WHEN p.units > 0 THEN p.credit ELSE p.debit END AS credit,
  abs(p.units) AS units,
  to_timestamp(split_part(l.log_id, '-', 1)::bigint / 1000.0) AS at
FROM ledger AS l
CROSS JOIN LATERAL (
  VALUES
    (1, 'pool', 'node', l.granted),
    (2, 'pool', 'owed', l.owed),
    (3, 'hold', 'pool', l.held),
    (4, CASE l.kind WHEN 'returned' THEN 'returned' ELSE 'sold' END, 'pool',
      CASE l.kind WHEN 'returned' THEN 0 ELSE l.sold END),
    (5, 'sold', 'returned', CASE l.kind WHEN 'returned' THEN l.sold ELSE 0 END),
    (6, 'returned', 'pool', CASE l.kind WHEN 'returned' THEN l.sold ELSE 0 END),
    (7, 'pool', 'adjustment', l.available + l.held + l.sold - l.granted - l.owed)
) AS p (part, debit, credit, units)
WHERE p.units <> 0;
