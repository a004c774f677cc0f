-- What a node was asked to collect at the door (engine/wms).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Written once, before the first call: the same call again asks for the same. Of what is cancelled
-- or rejected it counts no more.
CREATE TABLE shipment_dues (
  shipment_id text PRIMARY KEY,
  due bigint NOT NULL CHECK (due >= 0),       -- minor units
  at timestamptz NOT NULL DEFAULT now()
);
