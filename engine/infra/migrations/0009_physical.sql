-- Physical stock: units in places, as warehouses count and move them (engine/physical).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What is counted and moved. Its number stands in every other table, so that those rows are small.
CREATE TABLE stock_keys (
  key_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  node text NOT NULL,
  owner text NOT NULL,
  sku text NOT NULL,
  condition text NOT NULL
    CHECK (condition IN ('good', 'defective', 'carrier_damaged', 'box_damaged', 'in_transit')),
  batch text NOT NULL,                       -- '' when the warehouse keeps none
  produced_on date,                          -- of the batch
  expires_on date,
  UNIQUE (tenant, node, owner, sku, condition, batch)
);
CREATE INDEX stock_keys_sku ON stock_keys (tenant, sku);

-- The last count that named everything an owner has at a node, by (as_of, sequence): a key that is
-- made later was counted 0 by it. Who makes keys holds this row's share lock, who completes a count
-- its lock, so that no key slips through between them.
CREATE TABLE stock_scopes (
  tenant text NOT NULL,
  node text NOT NULL,
  owner text NOT NULL,
  as_of timestamptz,                         -- NULL: no such count came yet
  sequence bigint NOT NULL DEFAULT 0,
  basis text NOT NULL DEFAULT 'on_hand' CHECK (basis IN ('on_hand', 'available')),
  report text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant, node, owner)
);

-- One row a key, written under its lock. The first nine are what the rule (engine/physical/rules)
-- adds up; the generated ones are what it comes to, so that nothing can store another sum. Units may
-- be below 0: a warehouse can lose what was promised, and to hide that would sell it again.
CREATE TABLE stock_balances (
  key_id bigint PRIMARY KEY REFERENCES stock_keys,
  basis text NOT NULL DEFAULT 'on_hand' CHECK (basis IN ('on_hand', 'available')),
  counted bigint NOT NULL DEFAULT 0,         -- by the count that counts
  counted_locked bigint NOT NULL DEFAULT 0,
  as_of timestamptz,                         -- of that count; NULL: never counted
  sequence bigint NOT NULL DEFAULT 0,
  report text NOT NULL DEFAULT '',
  changed bigint NOT NULL DEFAULT 0,         -- by movements that happened after the count
  changed_locked bigint NOT NULL DEFAULT 0,
  accepted_then bigint NOT NULL DEFAULT 0,   -- held for accepted orders when it was counted
  shipped_since bigint NOT NULL DEFAULT 0,   -- left after it was counted
  committed bigint NOT NULL DEFAULT 0,       -- assigned, not accepted
  handed_over bigint NOT NULL DEFAULT 0,     -- accepted, not shipped
  shipped bigint NOT NULL DEFAULT 0,         -- ever
  on_hand bigint NOT NULL GENERATED ALWAYS AS (
    counted + CASE basis WHEN 'available' THEN counted_locked + accepted_then ELSE 0 END
    + changed - shipped_since
  ) STORED,
  locked bigint NOT NULL GENERATED ALWAYS AS (counted_locked + changed_locked) STORED,
  sellable bigint NOT NULL GENERATED ALWAYS AS (
    counted + CASE basis WHEN 'available' THEN counted_locked + accepted_then ELSE 0 END
    + changed - shipped_since - counted_locked - changed_locked - committed - handed_over
  ) STORED,
  version bigint NOT NULL DEFAULT 1,         -- one more with each change
  updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

-- Append-only. `count` rows say by how much a count moved what we had; the rule adds up the others.
CREATE TABLE stock_movements (
  movement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  key_id bigint NOT NULL REFERENCES stock_keys,
  reference text NOT NULL,                   -- of the call, or the report of the count
  n integer NOT NULL,                        -- its line, from 0; -1: counted 0, as no page named it
  kind text NOT NULL CHECK (kind IN (
    'receipt', 'adjustment', 'transfer_out', 'transfer_in', 'damage', 'return_in',
    'condition_change', 'lock', 'unlock', 'count'
  )),
  quantity bigint NOT NULL,                  -- by how much units on hand changed
  locked bigint NOT NULL,                    -- by how much locked units did
  reason text NOT NULL,
  actor text NOT NULL,
  happened_at timestamptz NOT NULL,          -- by the warehouse's clock
  received_at timestamptz NOT NULL DEFAULT now(),
  applied boolean NOT NULL,                  -- it changed the balance when it came
  why_not text NOT NULL DEFAULT '' CHECK (why_not IN ('', 'before_count'))
);
CREATE INDEX stock_movements_fold ON stock_movements (key_id, happened_at)
  INCLUDE (quantity, locked) WHERE kind <> 'count';
CREATE INDEX stock_movements_received ON stock_movements (tenant, received_at, movement_id);

-- What was asked under a reference, so that the same again gets the same answer.
CREATE TABLE stock_references (
  tenant text NOT NULL,
  reference text NOT NULL,
  digest text NOT NULL,
  answer json,                               -- NULL only inside the transaction that does it
  actor text NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, reference)
);

-- Pages of counts. `head` is the digest of what all pages of one report have in common.
CREATE TABLE stock_reports (
  tenant text NOT NULL,
  node text NOT NULL,
  report text NOT NULL,
  page integer NOT NULL,
  pages integer NOT NULL,
  head text NOT NULL,
  digest text NOT NULL,
  answer json NOT NULL,
  actor text NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, node, report, page)
);

-- Units of order lines that were given to a node to ship. An instant is the earliest one told.
CREATE TABLE stock_assignments (
  tenant text NOT NULL,
  order_id text NOT NULL,
  line_no integer NOT NULL,
  node text NOT NULL,
  attempt integer NOT NULL,
  key_id bigint NOT NULL REFERENCES stock_keys,
  units bigint NOT NULL CHECK (units > 0),
  assigned_at timestamptz NOT NULL,
  accepted_at timestamptz,
  shipped_at timestamptz,
  cancelled_at timestamptz,
  PRIMARY KEY (tenant, order_id, line_no, node, attempt)
);
-- What a count has to look at: what is open, and what ended after it.
CREATE INDEX stock_assignments_open ON stock_assignments (key_id)
  WHERE shipped_at IS NULL AND cancelled_at IS NULL;
CREATE INDEX stock_assignments_shipped ON stock_assignments (key_id, shipped_at)
  WHERE shipped_at IS NOT NULL;
CREATE INDEX stock_assignments_cancelled ON stock_assignments (key_id, cancelled_at)
  WHERE shipped_at IS NULL AND cancelled_at IS NOT NULL;
