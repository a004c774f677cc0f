-- The spine: cells, pools and their ledger, orders, and the events that later stages go on from.
SET LOCAL lock_timeout = '5s';

-- One row per cell: who records it, how far, and under which epoch. `last_id` is the log id up to
-- which everything is in the tables below; the recorder moves it by compare-and-set.
CREATE TABLE cells (
  cell text PRIMARY KEY,
  identity text NOT NULL,                    -- the same text stands in the cell itself
  epoch bigint NOT NULL DEFAULT 0,
  last_id text NOT NULL DEFAULT '0-0',
  recorded bigint NOT NULL DEFAULT 0,        -- claims folded; equals `accepted` in the cell
  owner text NOT NULL DEFAULT '',
  owner_until timestamptz NOT NULL DEFAULT '-infinity',
  closed_reason text NOT NULL DEFAULT '',
  opened_at timestamptz
) WITH (fillfactor = 50);

-- API processes that may hold accepted claims; the keeper waits for each before it opens a cell.
CREATE TABLE leases (
  process text PRIMARY KEY,
  until timestamptz NOT NULL,
  restored_epoch bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- What claims draw from. The counters change only by folding the log.
CREATE TABLE pools (
  pool_id text PRIMARY KEY,
  cell text NOT NULL,
  tenant text NOT NULL,
  owner text NOT NULL,
  sku text NOT NULL,
  channel text NOT NULL DEFAULT '',
  listing text NOT NULL DEFAULT '',
  campaign text NOT NULL DEFAULT '',
  granted bigint NOT NULL DEFAULT 0,
  owed bigint NOT NULL DEFAULT 0,
  available bigint NOT NULL DEFAULT 0,
  held bigint NOT NULL DEFAULT 0,
  sold bigint NOT NULL DEFAULT 0,
  seq bigint NOT NULL DEFAULT 0,             -- the last grant folded
  intent_seq bigint NOT NULL DEFAULT 0,      -- the last grant intended
  ended boolean NOT NULL DEFAULT false,
  successor text NOT NULL DEFAULT '',
  broken boolean NOT NULL DEFAULT false,
  -- 0 is conservation; a column, not a CHECK: a violation must be recorded, never refuse an order
  balance bigint GENERATED ALWAYS AS (granted + owed - available - held - sold) STORED,
  UNIQUE (tenant, owner, sku, channel, listing, campaign)
) WITH (fillfactor = 50);
CREATE SEQUENCE pool_ids AS bigint;

-- Intentions to change what a pool was given; the publisher sends them, the log confirms them.
CREATE TABLE grants (
  pool_id text NOT NULL,
  seq bigint NOT NULL,
  delta bigint NOT NULL,
  reason text NOT NULL,
  reference text NOT NULL DEFAULT '',
  actor text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  applied bigint,                            -- units that really moved; NULL until folded
  log_id text NOT NULL DEFAULT '',
  PRIMARY KEY (pool_id, seq)
);
CREATE INDEX grants_pending ON grants (pool_id, seq) WHERE applied IS NULL;

-- Every change of every pool, append-only: summed, it is the pool.
CREATE TABLE ledger (
  cell text NOT NULL,
  log_id text NOT NULL,
  n integer NOT NULL,                        -- position inside the log entry
  kind text NOT NULL,
  reference text NOT NULL,                   -- order, return, move or pool that caused it
  pool_id text NOT NULL,
  granted bigint NOT NULL,
  owed bigint NOT NULL,
  available bigint NOT NULL,
  held bigint NOT NULL,
  sold bigint NOT NULL,
  PRIMARY KEY (cell, log_id, n)
);

CREATE TABLE orders (
  order_id text PRIMARY KEY,
  cell text NOT NULL,
  tenant text NOT NULL,
  owner text NOT NULL DEFAULT '',
  channel text NOT NULL,
  channel_order_id text NOT NULL,
  campaign text NOT NULL,
  buyer_id text NOT NULL,
  kind text NOT NULL,
  state text NOT NULL,
  payment_state text NOT NULL,
  stock_state text NOT NULL,
  fulfilment_state text NOT NULL,
  currency text NOT NULL,
  payable bigint NOT NULL,                   -- minor units; what is still asked for
  pay_by timestamptz,
  held_until timestamptz,
  attempt integer NOT NULL,
  fingerprint text NOT NULL,
  placed_at timestamptz NOT NULL,
  accepted_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  log_id text NOT NULL,
  actor text NOT NULL,
  attention text NOT NULL DEFAULT '',        -- why a person must look; '' when none must
  draws jsonb NOT NULL,                      -- [[line_no, pool_id, units], …]: what it took from where
  counters jsonb NOT NULL,                   -- [[field, units, line_no], …]: what it counts towards limits
  document jsonb NOT NULL                    -- the order as posted
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX orders_identity ON orders (tenant, channel, channel_order_id);
CREATE INDEX orders_placed ON orders (channel, placed_at);

CREATE TABLE order_lines (
  order_id text NOT NULL,
  line_no integer NOT NULL,
  sku text NOT NULL,
  quantity integer NOT NULL,
  open_quantity integer NOT NULL,            -- not cancelled, not dropped
  payable bigint NOT NULL,                   -- minor units still asked for this line
  short integer NOT NULL DEFAULT 0,
  PRIMARY KEY (order_id, line_no)
) WITH (fillfactor = 80);

CREATE TABLE payments (
  order_id text NOT NULL,
  payment_id text NOT NULL,
  state text NOT NULL CHECK (state IN ('received', 'applied', 'refund_due')),
  reason text NOT NULL DEFAULT '',           -- why a refund is due
  amount bigint NOT NULL,
  currency text NOT NULL,
  method text NOT NULL,
  stage text NOT NULL,
  paid_at timestamptz,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  log_id text NOT NULL DEFAULT '',
  actor text NOT NULL DEFAULT '',
  PRIMARY KEY (order_id, payment_id)
);
CREATE INDEX payments_received ON payments (recorded_at) WHERE state = 'received';

CREATE TABLE cancels (
  order_id text NOT NULL,
  cancel_id text NOT NULL,
  kind text NOT NULL,
  reason text NOT NULL,
  lines jsonb NOT NULL,                      -- [[line_no, units, minor units], …]
  actor text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  log_id text NOT NULL DEFAULT '',
  PRIMARY KEY (order_id, cancel_id)
);

CREATE TABLE blocks (
  order_id text NOT NULL,
  code text NOT NULL,
  line_id text NOT NULL DEFAULT '',
  reason text NOT NULL DEFAULT '',
  since timestamptz NOT NULL DEFAULT now(),
  until timestamptz,
  by text NOT NULL DEFAULT '',
  PRIMARY KEY (order_id, code, line_id)
);

-- What happened, in the transaction in which it did: an order's timeline, and the outbox.
-- Readers go by (xid, id) below the oldest running transaction, so they skip nothing.
CREATE TABLE events (
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  kind text NOT NULL,
  order_id text NOT NULL DEFAULT '',
  log_id text NOT NULL DEFAULT '',
  actor text NOT NULL DEFAULT '',
  data jsonb NOT NULL,
  PRIMARY KEY (xid, id)
);
CREATE INDEX events_order ON events (order_id);

-- How far each reader of events has come.
CREATE TABLE event_cursors (
  reader text PRIMARY KEY,
  xid xid8 NOT NULL DEFAULT '0',
  id bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Units of confirmed orders on their way back; the script `return` runs once per return_id.
CREATE TABLE stock_returns (
  return_id text PRIMARY KEY,
  cell text NOT NULL,
  order_id text NOT NULL,
  draws jsonb NOT NULL,                      -- [[pool_id, units], …]
  created_at timestamptz NOT NULL DEFAULT now(),
  log_id text NOT NULL DEFAULT ''            -- '' until the log confirms it
);
CREATE INDEX stock_returns_pending ON stock_returns (created_at) WHERE log_id = '';

-- Second holds of orders Postgres already had: the worker gives them back.
CREATE TABLE duplicates (
  cell text NOT NULL,
  log_id text NOT NULL,
  order_id text NOT NULL,
  released boolean NOT NULL DEFAULT false,
  PRIMARY KEY (cell, log_id, order_id)
);

-- What Postgres refused, kept whole so that a person can read and retry it.
CREATE TABLE dead_letters (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cell text NOT NULL,
  log_id text NOT NULL,
  order_id text NOT NULL,
  kind text NOT NULL,
  reason text NOT NULL,
  event bytea NOT NULL,
  payload bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz
);

-- Pauses as the cell knows them, for people and for a rebuild.
CREATE TABLE pauses (
  tenant text NOT NULL,
  scope text NOT NULL,
  id text NOT NULL,
  since timestamptz NOT NULL,
  by text NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (tenant, scope, id)
);

-- Rules as the cell was last told (windows, limits, policies): source for a rebuild.
CREATE TABLE cell_rules (
  cell text NOT NULL,
  field text NOT NULL,
  version bigint NOT NULL,
  body bytea NOT NULL,
  applied boolean NOT NULL DEFAULT false,
  PRIMARY KEY (cell, field)
);
CREATE INDEX cell_rules_pending ON cell_rules (cell) WHERE NOT applied;

-- Comparisons of the cell with Postgres at one position of the log.
CREATE TABLE checkpoints (
  checkpoint_id text PRIMARY KEY,
  cell text NOT NULL,
  log_id text NOT NULL,
  at timestamptz NOT NULL,
  accepted bigint NOT NULL,
  recorded bigint NOT NULL,
  parts integer NOT NULL,
  parts_seen integer NOT NULL
);
CREATE TABLE checkpoint_pools (
  checkpoint_id text NOT NULL,
  pool_id text NOT NULL,
  cell_totals bigint[] NOT NULL,             -- granted, owed, available, held, sold in the cell
  recorded_totals bigint[] NOT NULL,         -- the same in Postgres, at the same log position
  PRIMARY KEY (checkpoint_id, pool_id)
);

-- Keys of the HTTP API: only the digest of the secret is kept.
CREATE TABLE api_keys (
  key_id text PRIMARY KEY,
  name text NOT NULL,
  digest bytea NOT NULL,
  tenant text NOT NULL,
  scopes text[] NOT NULL,
  channel text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz
);
