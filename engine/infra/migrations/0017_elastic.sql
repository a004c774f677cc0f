-- Units lent from slow to fast shops during a sale: what was seen, what was decided.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What was last seen of a pool whose campaign lends; written when it changed, not when time passed.
CREATE TABLE elastic_seen (
  pool_id text PRIMARY KEY,
  used bigint NOT NULL,                      -- held and sold, ever
  available bigint NOT NULL,
  units double precision NOT NULL,           -- that went, weighted: what is long past counts less
  seconds double precision NOT NULL,         -- in which they went, weighted alike
  at timestamptz NOT NULL,
  needy boolean NOT NULL,                    -- sells out soon: looked at again though nothing changes
  borrowed_at timestamptz,
  note text NOT NULL                         -- why it is in need and gets nothing
) WITH (fillfactor = 50);

-- Every lending that was decided; the number counts those of a SKU, so that none is decided twice.
CREATE TABLE elastic_lendings (
  id bigint GENERATED ALWAYS AS IDENTITY,
  cell text NOT NULL,
  tenant text NOT NULL,
  campaign text NOT NULL,
  sku text NOT NULL,
  n bigint NOT NULL,
  move_id text NOT NULL,
  source text NOT NULL,
  target text NOT NULL,
  units bigint NOT NULL,
  how text NOT NULL CHECK (how IN ('move', 'drain')),
  keep bigint NOT NULL,                      -- what the lender does not go below
  reason text NOT NULL,
  figures jsonb NOT NULL,
  state text NOT NULL CHECK (state IN ('decided', 'observed', 'requested', 'done', 'refused')),
  detail text NOT NULL DEFAULT '',           -- why it was refused
  decided_at timestamptz NOT NULL,
  done_at timestamptz,
  PRIMARY KEY (tenant, campaign, sku, n)
) WITH (fillfactor = 80);
CREATE INDEX elastic_lendings_shown ON elastic_lendings (tenant, campaign, id);
CREATE INDEX elastic_lendings_open ON elastic_lendings (cell, id) WHERE state IN ('decided', 'requested');

-- Campaigns are few, and written by people: building the index takes no time anybody notices.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX campaigns_elastic ON campaigns (ends_at)
WHERE document -> 'elastic' -> 'enabled' = 'true';
