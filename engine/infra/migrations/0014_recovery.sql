-- What a lost cell is rebuilt from and Postgres did not have yet, and what became of rebuilds.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = 0;             -- it reads the moves that were ever done

-- How far the recorder has seen the cell come, in cell time (ms) and accepted orders: where nothing
-- is sold for a while the log alone does not tell when a cell was lost. And the closed time whose
-- deadlines the last opening moved ('' before the first).
ALTER TABLE cells ADD COLUMN seen_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE cells ADD COLUMN seen_accepted bigint NOT NULL DEFAULT 0;
ALTER TABLE cells ADD COLUMN shift_from bigint NOT NULL DEFAULT 0;
ALTER TABLE cells ADD COLUMN shift_to bigint NOT NULL DEFAULT 0;

-- Moves that the cell did and the log told: it must not do them twice, whoever asks again.
CREATE TABLE moves_done (
  cell text NOT NULL,
  move_id text NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (cell, move_id)
);
CREATE INDEX moves_done_at ON moves_done (cell, at);
-- Of moves by hand; a campaign's end is not asked for again once its pools have ended.
INSERT INTO moves_done (cell, move_id, at)
SELECT DISTINCT ON (l.cell, l.reference)
  l.cell, l.reference, to_timestamp(split_part(l.log_id, '-', 1)::bigint / 1000.0)
FROM ledger AS l
WHERE l.kind = 'moved'
ORDER BY l.cell, l.reference, l.log_id
ON CONFLICT DO NOTHING;

-- Each rebuild of a cell: why, of how much, and what nobody could hand in again.
CREATE TABLE recoveries (
  cell text NOT NULL,
  epoch bigint NOT NULL,
  reason text NOT NULL,
  last_id text NOT NULL,                     -- up to which Postgres had recorded
  lost_at timestamptz NOT NULL,              -- the last instant the cell is known to have lived
  started_at timestamptz NOT NULL DEFAULT now(),
  rebuilt_at timestamptz,                    -- NULL: broken off, a later epoch began anew
  opened_at timestamptz,
  pools bigint NOT NULL DEFAULT 0,
  orders bigint NOT NULL DEFAULT 0,
  pending bigint NOT NULL DEFAULT 0,         -- of these orders
  accepted_before bigint NOT NULL DEFAULT 0, -- at least so many had been accepted when it was lost
  accepted_after bigint,                     -- recorded, and handed in again
  PRIMARY KEY (cell, epoch)
);

-- Orders that a cell has and a database restored to an earlier point has not, because the log that
-- told of them was cut.
CREATE TABLE gap_orders (
  cell text NOT NULL,
  order_id text NOT NULL,
  tenant text NOT NULL,
  channel text NOT NULL,
  campaign text NOT NULL,
  buyer_id text NOT NULL,
  state text NOT NULL,                       -- of the hold: P pending, C sold, R released, E expired
  currency text NOT NULL,
  payable bigint NOT NULL,                   -- minor units
  accepted_at timestamptz NOT NULL,
  found_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cell, order_id)
);
