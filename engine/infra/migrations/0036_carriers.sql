-- Carriers: services, rate cards, regions that are switched off, waybills (engine/carriers).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- `document` is the body of the last PUT, normalised.
CREATE TABLE carrier_services (
  tenant text NOT NULL,
  service text NOT NULL,
  version bigint NOT NULL,
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, service)
);

-- A row a version: one that took effect stays as it is, for quotes name it. Of a card at most one
-- version, the last, has not taken effect yet; that one is replaced by the next.
CREATE TABLE rate_cards (
  tenant text NOT NULL,
  card text NOT NULL,
  version bigint NOT NULL,
  service text NOT NULL,
  since timestamptz NOT NULL,                -- in force from then on,
  until timestamptz,                         -- until before then or the next version; NULL: for ever
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, card, version)
);

-- A region, and all that lies in it, that a service does not go to for now.
CREATE TABLE carrier_regions_off (
  tenant text NOT NULL,
  service text NOT NULL,
  region text NOT NULL,                      -- '': everywhere
  since timestamptz NOT NULL DEFAULT now(),
  reason text NOT NULL,
  actor text NOT NULL,
  PRIMARY KEY (tenant, service, region)
);

-- A waybill that a carrier was asked for. `request_id` is ours and the same however often it is
-- asked, so that no parcel gets two; `waybill` is '' until the carrier said it.
CREATE TABLE waybills (
  tenant text NOT NULL,
  request_id text NOT NULL,
  shipment_id text NOT NULL,
  service text NOT NULL,
  carrier text NOT NULL,
  waybill text NOT NULL DEFAULT '',
  state text NOT NULL CHECK (state IN ('asked', 'got', 'used', 'cancelled', 'failed')),
  reason text NOT NULL DEFAULT '',
  data jsonb NOT NULL DEFAULT '{}',          -- to print; no name, no phone, no address
  asked_at timestamptz NOT NULL DEFAULT now(),
  state_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, request_id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX waybills_number ON waybills (tenant, carrier, waybill) WHERE waybill <> '';
CREATE INDEX waybills_shipment ON waybills (tenant, shipment_id);
