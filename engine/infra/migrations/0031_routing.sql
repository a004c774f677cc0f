-- What waits to be routed, what was decided, and what nodes and services have left of a day.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- One row for each order that is to be routed, or that a person has to look at. A router leases rows
-- (`token`, `leased_until`) and ends each in the transaction that binds it; whoever writes a row
-- anew takes the lease away by `token` 0.
CREATE TABLE routing_queue (
  order_id text PRIMARY KEY,
  tenant text NOT NULL,
  queue text NOT NULL CHECK (queue IN (
    'NEW', 'HELD_RISK', 'HELD_PRESALE', 'UNFILLABLE', 'BACKORDER', 'REJECTED', 'MANUAL'
  )),
  reason text NOT NULL DEFAULT '',
  since timestamptz NOT NULL DEFAULT now(),  -- in this queue
  due_at timestamptz,                        -- NULL: by hand, or when stock comes
  alarm_at timestamptz,                      -- NULL: was raised, or is not to be
  hops integer NOT NULL DEFAULT 0,           -- how often a node refused
  turn bigint NOT NULL DEFAULT 0,            -- of what is due at once, the least first
  facts bytea NOT NULL,                      -- the order as it is decided (engine/routing/rules/facts.py)
  row_version text NOT NULL,                 -- orders.xmin that the facts are of
  token bigint NOT NULL DEFAULT 0,           -- of the last lease
  leased_until timestamptz,
  tried_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX routing_queue_due ON routing_queue (tenant, due_at, turn) WHERE due_at IS NOT NULL;
CREATE INDEX routing_queue_since ON routing_queue (tenant, queue, since, order_id);
CREATE INDEX routing_queue_alarm ON routing_queue (tenant, alarm_at) WHERE alarm_at IS NOT NULL;
CREATE SEQUENCE routing_tokens;

-- What orders in UNFILLABLE and BACKORDER wait for.
CREATE TABLE queue_waits (
  tenant text NOT NULL,
  sku text NOT NULL,
  order_id text NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, sku, order_id)
);
CREATE INDEX queue_waits_order ON queue_waits (order_id);

-- Append-only: what was decided, of which facts, and why; old ones are forgotten.
CREATE TABLE routing_decisions (
  order_id text NOT NULL,
  n integer NOT NULL,                        -- 1, 2, … of the order
  tenant text NOT NULL,
  at timestamptz NOT NULL,
  plan text NOT NULL,
  version integer NOT NULL,
  stage integer NOT NULL,
  rule integer NOT NULL,
  verdict text NOT NULL CHECK (verdict IN ('routed', 'parked')),
  queue text NOT NULL,                       -- '' where nothing is left
  reason text NOT NULL,
  snapshot_hash bigint NOT NULL,
  inputs bytea NOT NULL,
  trace bytea NOT NULL,
  PRIMARY KEY (order_id, n)
);
CREATE INDEX routing_decisions_at ON routing_decisions (at);

-- A node that refused a line is not asked for it again until then.
CREATE TABLE node_rejections (
  order_id text NOT NULL,
  line_no integer NOT NULL,
  node text NOT NULL,
  n integer NOT NULL,
  tenant text NOT NULL,
  reason text NOT NULL,
  units integer NOT NULL,
  stock_effect text NOT NULL DEFAULT '',
  exclude_until timestamptz,                 -- NULL: for good
  actor text NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (order_id, line_no, node, n)
);

-- Units that were sold, and that no node can send: open while `until` is NULL.
CREATE TABLE broken_promises (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  order_id text NOT NULL,
  line_no integer NOT NULL,
  sku text NOT NULL,
  node_group text NOT NULL,
  units integer NOT NULL,
  reason text NOT NULL,
  since timestamptz NOT NULL,
  until timestamptz
);
CREATE UNIQUE INDEX broken_promises_open ON broken_promises (order_id, line_no)
WHERE until IS NULL;

-- What is used up of a local day; `limit` is what its profile said when it was last used.
CREATE TABLE capacity (
  tenant text NOT NULL,
  scope text NOT NULL CHECK (scope IN ('node', 'service')),
  id text NOT NULL,
  day date NOT NULL,
  dim text NOT NULL CHECK (dim IN ('orders', 'lines', 'units', 'grams')),
  used bigint NOT NULL DEFAULT 0,
  "limit" bigint,                            -- NULL: none; 0: takes nothing
  PRIMARY KEY (tenant, scope, id, day, dim)
) WITH (fillfactor = 50);
CREATE INDEX capacity_day ON capacity (day);
