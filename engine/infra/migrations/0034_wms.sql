-- Warehouses' systems: what they told, and the secrets that they and we sign with (engine/wms).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- A message that was taken in; the same again ends here. Pruned: what it did stays idempotent.
CREATE TABLE wms_callbacks (
  tenant text NOT NULL,
  node text NOT NULL,
  report_id text NOT NULL,                   -- by the kind of message and its own id
  consignment_id text NOT NULL,              -- '' of stock
  kind text NOT NULL,
  outcome text NOT NULL,                     -- recorded, repeated, or ignored: nobody knows of it
  detail text NOT NULL DEFAULT '',
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, node, report_id)
);
CREATE INDEX wms_callbacks_age ON wms_callbacks (received_at);

-- `former` is still accepted while it is not empty. No call ever answers one.
CREATE TABLE node_secrets (
  tenant text NOT NULL,
  node text NOT NULL,
  secret text NOT NULL,
  former text NOT NULL DEFAULT '',
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, node)
);
