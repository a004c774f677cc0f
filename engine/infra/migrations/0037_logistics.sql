-- What happens once goods have left (engine/logistics).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What channels are to be told: this parcel has left.
CREATE TABLE channel_acks (
  tenant text NOT NULL,
  parcel_id text NOT NULL,
  channel text NOT NULL,
  order_id text NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'acked', 'failed')),
  version integer NOT NULL DEFAULT 1,              -- of what is told; answers name it
  attempts integer NOT NULL DEFAULT 0,             -- how often it was given out
  due_at timestamptz NOT NULL,                     -- when it is given out (again)
  reason text NOT NULL DEFAULT '',
  ship_by timestamptz,
  alarm_at timestamptz,                            -- NULL: nobody waits, or it was raised
  PRIMARY KEY (parcel_id, channel)
) WITH (fillfactor = 70);
CREATE INDEX channel_acks_due ON channel_acks (tenant, channel, due_at) WHERE state = 'pending';
CREATE INDEX channel_acks_failed ON channel_acks (tenant, parcel_id) WHERE state = 'failed';
CREATE INDEX channel_acks_alarm ON channel_acks (alarm_at)
WHERE alarm_at IS NOT NULL AND state <> 'acked';

-- What was told of parcels, by their numbers: a carrier may speak before the node that sent it.
CREATE TABLE milestones (
  tenant text NOT NULL,
  waybill text NOT NULL,
  carrier text NOT NULL,
  milestone text NOT NULL,
  at timestamptz NOT NULL,                         -- by the teller's clock
  source text NOT NULL,
  place text NOT NULL,
  raw text NOT NULL,                               -- the carrier's own code
  received_at timestamptz NOT NULL DEFAULT now(),
  waits boolean NOT NULL DEFAULT true,             -- for a parcel of this number
  PRIMARY KEY (tenant, waybill, carrier, milestone, at, source)
);
CREATE INDEX milestones_waiting ON milestones (received_at) WHERE waits;

-- Clocks; the node's are by shipment, the carrier's by parcel.
CREATE TABLE legs (
  name text NOT NULL,                              -- parcel_id; of hand_over the shipment_id
  leg text NOT NULL CHECK (leg IN ('hand_over', 'pickup', 'transit', 'last_mile')),
  order_id text NOT NULL,
  service text NOT NULL,
  near_at timestamptz NOT NULL,
  due_at timestamptz NOT NULL,
  met_at timestamptz,
  state text NOT NULL CHECK (state IN ('open', 'near', 'breached', 'met', 'void')),
  PRIMARY KEY (name, leg)
) WITH (fillfactor = 70);
CREATE INDEX legs_due ON legs (due_at) WHERE state IN ('open', 'near');
CREATE INDEX legs_near ON legs (near_at) WHERE state = 'open';

-- How services fared, of the parcels that left on a day (UTC+8) and have an end.
CREATE TABLE scorecards (
  tenant text NOT NULL,
  service text NOT NULL,
  day date NOT NULL,
  region2 text NOT NULL,                           -- province
  parcels bigint NOT NULL,
  on_time bigint NOT NULL,
  breached bigint NOT NULL,
  delivered bigint NOT NULL,
  damaged bigint NOT NULL,
  refused bigint NOT NULL,
  lost bigint NOT NULL,
  minutes_sum bigint NOT NULL,                     -- of those delivered
  PRIMARY KEY (tenant, service, day, region2)
) WITH (fillfactor = 50);

-- What of a parcel stands on its card, so that later news change it by the difference.
CREATE TABLE parcel_scores (
  parcel_id text PRIMARY KEY,
  score json NOT NULL
);

CREATE TABLE pickup_codes (
  shipment_id text PRIMARY KEY,
  digest text NOT NULL,
  tries integer NOT NULL DEFAULT 0,                -- wrong ones
  expires_at timestamptz NOT NULL,
  redeemed_at timestamptz,
  by text NOT NULL DEFAULT ''
);

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX parcels_waybill ON parcels (tenant, waybill);
