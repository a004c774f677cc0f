-- The version of the card that a quote was made by, how services fared of late, how carriers are
-- asked for numbers and for news (engine/shipments, engine/logistics, engine/carriers).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE shipments ADD COLUMN card_version bigint NOT NULL DEFAULT 0; -- 0: none, or not kept

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX scorecards_day ON scorecards (tenant, day);

ALTER TABLE waybills ADD COLUMN leased_until timestamptz; -- by whoever gives it back

-- Numbers that are to be used or given back: few beside all that ever were.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX waybills_open ON waybills (tenant, state_at) WHERE state IN ('asked', 'got');

-- What we sign with when a service's carrier is asked; written, and shown by nothing.
CREATE TABLE carrier_secrets (
  tenant text NOT NULL,
  service text NOT NULL,
  secret text NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, service)
);

-- Parcels whose carriers are asked where they are, until they have an end.
CREATE TABLE tracking_polls (
  parcel_id text PRIMARY KEY,
  tenant text NOT NULL,
  service text NOT NULL,
  due_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX tracking_polls_due ON tracking_polls (tenant, due_at);
