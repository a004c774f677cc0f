-- What marketplaces are to show, what they confirmed, and units on their way out of their pools
-- (engine/publications).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- One row a link of an external channel. A change of `published` takes the next `number`, so that
-- what is late names an old one. Quantities are pieces of the listing but for `buffer`, `reach` and
-- `fixed_buffer`, which are units of the SKU.
CREATE TABLE publications (
  tenant text NOT NULL,
  channel text NOT NULL,
  item_id text NOT NULL,
  sku_id text NOT NULL,
  sku text NOT NULL,                         -- what it stands for; the last one, if it is unmapped
  units_per integer NOT NULL,
  state text NOT NULL CHECK (
    state IN ('on_sale', 'paused', 'not_on_sale', 'unmapped', 'doubled')
  ),
  number bigint NOT NULL DEFAULT 0,
  published bigint NOT NULL DEFAULT 0,
  published_at timestamptz NOT NULL DEFAULT now(),
  buffer bigint NOT NULL DEFAULT 0,          -- kept back now: fixed, and what sells within the lag
  reach bigint NOT NULL DEFAULT 0,           -- there for it, less owed and draining; may be below 0
  -- the last that an adapter was given, which may be older than the present number
  sent_number bigint NOT NULL DEFAULT 0,
  sent bigint NOT NULL DEFAULT 0,
  sent_at timestamptz,
  sent_made_at timestamptz,                  -- when that number was made
  acked_number bigint NOT NULL DEFAULT 0,
  acked bigint,
  acked_at timestamptz,
  refused_number bigint NOT NULL DEFAULT 0,
  refused text NOT NULL DEFAULT '',          -- what the marketplace said
  seen bigint,
  seen_at timestamptz,
  -- what the shop shows beyond our number, once it confirmed that and was looked at since
  drift bigint GENERATED ALWAYS AS (
    CASE WHEN acked_number = number AND seen_at >= acked_at THEN seen - published END
  ) STORED,
  drift_told bigint NOT NULL DEFAULT 0,      -- as the last event said it
  lag_measured double precision,             -- seconds from a number to its ack, smoothed
  reducible boolean NOT NULL DEFAULT true,
  fixed_buffer bigint NOT NULL DEFAULT 0,
  lag_told double precision,
  share integer NOT NULL DEFAULT 10000,      -- 1/10000 of what is there for it
  PRIMARY KEY (tenant, channel, item_id, sku_id)
) WITH (fillfactor = 70);
CREATE INDEX publications_sku ON publications (tenant, sku);

-- What a shelver has to look at again, said in the transaction of whoever changed it: a SKU of a
-- channel, '' for all of them. Who is the shelver takes the rows away.
CREATE TABLE publication_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  channel text NOT NULL,
  sku text NOT NULL
);

-- Moves out of a marketplace's pool, beside what was asked for (pool_moves).
CREATE TABLE drains (
  tenant text NOT NULL,
  move_id text NOT NULL,
  source text NOT NULL,                      -- pools
  target text NOT NULL,
  channel text NOT NULL,                     -- of the source
  sku text NOT NULL,
  units bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('requested', 'draining', 'done', 'refused')),
  moving boolean NOT NULL DEFAULT false,     -- the cell may have been asked: only it can say no now
  reason text NOT NULL DEFAULT '',           -- why it was refused
  told text NOT NULL DEFAULT '',             -- what the marketplace or the cell said to it
  listings jsonb NOT NULL DEFAULT '[]',      -- [[item_id, sku_id, number], …] to be confirmed
  requested_at timestamptz NOT NULL DEFAULT now(),
  deadline timestamptz NOT NULL,
  draining_at timestamptz,
  confirmed_at timestamptz,                  -- every listing had confirmed its number
  ended_at timestamptz,
  actor text NOT NULL,
  PRIMARY KEY (tenant, move_id)
);
CREATE INDEX drains_open ON drains (tenant, channel, sku) WHERE ended_at IS NULL;
CREATE INDEX drains_source ON drains (source);
CREATE INDEX drains_target ON drains (target);
