-- What nodes were asked to ship, what they said of it, and what was to be stopped (engine/shipments).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What one node sends for one order. `state` is the fold of its reports, or ours where nothing was
-- told; `told_at` has the earliest instant of each kind that was told, by the node's clock.
CREATE TABLE shipments (
  shipment_id text PRIMARY KEY,                    -- order_id || '-s' || n, n = 1, 2, … of the order
  tenant text NOT NULL,
  order_id text NOT NULL,
  node text NOT NULL,
  attempt integer NOT NULL,
  consignment_id text NOT NULL,                    -- by what the node knows it; the same of merged ones
  mode text NOT NULL CHECK (mode IN ('ship', 'pickup', 'instant')),
  lines json NOT NULL,                             -- [[line_no, sku, units, bound], …]; never changed
  service text NOT NULL DEFAULT '',
  card text NOT NULL DEFAULT '',
  quote bigint,                                    -- minor units
  currency text NOT NULL DEFAULT '',
  quoted_grams integer NOT NULL DEFAULT 0,
  promised_ship_by timestamptz,
  promised_deliver_by timestamptz,
  region text NOT NULL DEFAULT '',
  no_return text NOT NULL DEFAULT 'picked'         -- from where on it cannot be stopped
    CHECK (no_return IN ('accepted', 'picked', 'waybill', 'shipped')),
  intercepts boolean NOT NULL DEFAULT false,       -- whether its carrier turns parcels back
  merge_hash text NOT NULL DEFAULT '',
  release_at timestamptz,
  capacity json NOT NULL DEFAULT '[]',             -- [[scope, id, day, dim, n], …], given back once
  capacity_back boolean NOT NULL DEFAULT false,
  state text NOT NULL,
  state_at timestamptz NOT NULL,
  told_at jsonb NOT NULL DEFAULT '{}',
  cancelling boolean NOT NULL DEFAULT false,       -- a cancel was sent, and is not answered yet
  wms_ref text NOT NULL DEFAULT '',
  reason text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  UNIQUE (order_id, node, attempt)
) WITH (fillfactor = 70);
CREATE INDEX shipments_consignment ON shipments (consignment_id)
WHERE consignment_id <> shipment_id;
CREATE INDEX shipments_open ON shipments (node, state, promised_ship_by)
WHERE state IN (
  'planned', 'sending', 'unknown', 'sent', 'accepted', 'picked', 'packed', 'stopping',
  'partly_shipped'
);
CREATE INDEX shipments_capacity ON shipments (shipment_id)
WHERE NOT capacity_back AND state IN ('cancelled', 'rejected');
CREATE INDEX shipments_merge ON shipments (merge_hash) WHERE state = 'planned' AND merge_hash <> '';

-- What nodes said; a repeat ends at the key.
CREATE TABLE shipment_reports (
  shipment_id text NOT NULL,
  kind text NOT NULL,
  report_id text NOT NULL,
  at timestamptz NOT NULL,                         -- by the node's clock
  received_at timestamptz NOT NULL DEFAULT now(),
  data json NOT NULL,
  PRIMARY KEY (shipment_id, kind, report_id)
);

-- What was asked to be stopped, and the one answer to it.
CREATE TABLE stops (
  stop_id text PRIMARY KEY,
  tenant text NOT NULL,
  order_id text NOT NULL,
  cause text NOT NULL CHECK (cause IN ('cancel', 'refund', 'address', 'manual')),
  cause_id text NOT NULL,
  lines json NOT NULL,                             -- [[line_no, units], …]; [] is the whole order
  asked_at timestamptz NOT NULL,
  actor text NOT NULL,
  shipments text [] NOT NULL,
  answer text NOT NULL DEFAULT ''
    CHECK (answer IN ('', 'stopped', 'not_stopped', 'intercept_requested')),
  answered_at timestamptz,
  detail json NOT NULL DEFAULT '{}',               -- what its cause needs once it is answered
  UNIQUE (order_id, cause, cause_id)
);
CREATE INDEX stops_open ON stops (asked_at) WHERE answer = '';

CREATE TABLE stop_parts (
  stop_id text NOT NULL,
  shipment_id text NOT NULL,
  answer text NOT NULL DEFAULT ''
    CHECK (answer IN ('', 'stopped', 'not_stopped', 'intercept_requested')),
  at timestamptz,
  PRIMARY KEY (stop_id, shipment_id)
);
CREATE INDEX stop_parts_shipment ON stop_parts (shipment_id);

CREATE TABLE parcels (
  parcel_id text PRIMARY KEY,                      -- shipment_id || '-p' || n
  tenant text NOT NULL,
  shipment_id text NOT NULL,
  order_id text NOT NULL,
  carrier text NOT NULL,
  waybill text NOT NULL,
  items json NOT NULL,                             -- [[line_no, units], …]; [] where nobody told
  grams integer,
  mm json,                                         -- [length, width, height]
  serials json NOT NULL DEFAULT '[]',
  shipped_at timestamptz NOT NULL,
  milestone text NOT NULL DEFAULT '',
  milestone_at timestamptz,
  UNIQUE (tenant, carrier, waybill, shipment_id)
);
CREATE INDEX parcels_order ON parcels (order_id);
CREATE INDEX parcels_shipment ON parcels (shipment_id);

-- Where an order is to go, where that was changed after it came.
CREATE TABLE order_addresses (
  order_id text NOT NULL,
  revision integer NOT NULL,
  ship_to json NOT NULL,
  region_code text NOT NULL,
  change_id text NOT NULL,
  state text NOT NULL CHECK (state IN ('requested', 'applied', 'refused')),
  actor text NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (order_id, revision),
  UNIQUE (order_id, change_id)
);
