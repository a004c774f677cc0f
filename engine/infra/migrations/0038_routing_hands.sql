-- Which shipment a node refused, and what is decided of an order's routing by hand or until somebody
-- looks at it.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE node_rejections
  ADD COLUMN shipment_id text NOT NULL DEFAULT '',
  ADD COLUMN noted_at timestamptz NOT NULL DEFAULT now();

CREATE TABLE routing_hands (
  order_id text PRIMARY KEY,
  tenant text NOT NULL,
  hold text NOT NULL DEFAULT '',             -- why it waits in MANUAL until somebody has it tried again
  node text NOT NULL DEFAULT '',             -- where all that is left of it is to be sent from
  since timestamptz,                         -- what nodes refused until then is no hop any more
  actor text NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
