-- What it takes to report what plans decide beside the active one (engine/routing), and to forget
-- it and reviews (engine/review) when they are old.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Pairs are [decided, tried]: by the active plan, and by the one that is tried.
ALTER TABLE shadow_decisions
ADD COLUMN active_plan text NOT NULL DEFAULT '',
ADD COLUMN active_version bigint NOT NULL DEFAULT 0,
ADD COLUMN stages integer [] NOT NULL DEFAULT '{0,0}',
ADD COLUMN rules integer [] NOT NULL DEFAULT '{0,0}',
ADD COLUMN queues text [] NOT NULL DEFAULT '{"",""}',
ADD COLUMN unplaced bigint [] NOT NULL DEFAULT '{0,0}',    -- units in no parcel
ADD COLUMN late boolean [] NOT NULL DEFAULT '{f,f}',       -- arrives after what the buyer was promised
ADD COLUMN region text NOT NULL DEFAULT '',                -- two digits: the province
ADD COLUMN currency text NOT NULL DEFAULT 'CNY';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX shadow_decisions_last ON shadow_decisions (tenant, plan, version, at);

-- What a version that is tried did not decide: there was no time for it, or it failed.
CREATE TABLE shadow_omissions (
  tenant text NOT NULL,
  plan text NOT NULL,
  version bigint NOT NULL,
  skipped bigint NOT NULL,                   -- orders
  failed bigint NOT NULL,                    -- orders
  reason text NOT NULL,                      -- of the last failure: what kind of error it was
  at timestamptz NOT NULL,
  PRIMARY KEY (tenant, plan, version)
);

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX reviews_at ON reviews (at);
