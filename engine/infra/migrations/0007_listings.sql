-- Listings: which SKU, and how many of it, one sellable link of a channel stands for.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- A link that two SKUs were told for keeps both: which one is meant, only a person knows.
-- Every process holds all of this in memory and asks for what transactions wrote (`xid`) that its
-- last snapshot did not see; a row that was removed stays, so that they learn of that, too.
CREATE TABLE listings (
  tenant text NOT NULL,
  channel text NOT NULL,
  item_id text NOT NULL,
  sku_id text NOT NULL,                      -- '' when the item has no variants
  sku text NOT NULL,
  units_per integer NOT NULL CHECK (units_per BETWEEN 1 AND 10000),
  removed boolean NOT NULL DEFAULT false,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, channel, item_id, sku_id, sku)
);
CREATE INDEX listings_xid ON listings (xid);
CREATE INDEX listings_sku ON listings (tenant, sku);

-- What orders named and could not be brought to one SKU. Written with the orders and never mended:
-- whether an alarm still stands is asked of `listings` and `pools` when it is read. A row of the key
-- must fit 2,704 bytes, so each text has at most 128 characters.
CREATE TABLE unmapped_listings (
  tenant text NOT NULL,
  channel text NOT NULL,
  item_id text NOT NULL,
  sku_id text NOT NULL,
  sku text NOT NULL,                         -- as the channel said it, '' when it said none
  reason text NOT NULL CHECK (reason IN ('unmapped', 'doubled', 'unknown_sku')),
  first_seen timestamptz NOT NULL DEFAULT now(),
  last_seen timestamptz NOT NULL DEFAULT now(),
  orders bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (tenant, channel, item_id, sku_id, sku)
);
