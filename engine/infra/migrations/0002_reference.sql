-- Reference data: what is sold, where, by which rules, and how far the cell was told of it.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- `document` is the body of the last PUT, normalised; `version` is its ETag. `planned_version` is
-- the version whose pools, grants and rules were written down for the cell, `published_version` the
-- one that the cell has; the publisher alone moves these two.
CREATE TABLE skus (
  tenant text NOT NULL,
  sku text NOT NULL,
  owner text NOT NULL,
  version bigint NOT NULL,
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, sku)
);

CREATE TABLE channels (
  tenant text NOT NULL,
  channel text NOT NULL,
  version bigint NOT NULL,
  planned_version bigint NOT NULL DEFAULT 0,
  published_version bigint NOT NULL DEFAULT 0,
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, channel)
);
CREATE INDEX channels_unplanned ON channels (tenant, channel) WHERE planned_version < version;

CREATE TABLE nodes (
  tenant text NOT NULL,
  node text NOT NULL,
  version bigint NOT NULL,
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, node)
);

CREATE TABLE campaigns (
  tenant text NOT NULL,
  campaign text NOT NULL,
  version bigint NOT NULL,
  planned_version bigint NOT NULL DEFAULT 0,
  published_version bigint NOT NULL DEFAULT 0,
  starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL,
  returns boolean NOT NULL,                  -- at_end = return_to_shared
  returned_at timestamptz,                   -- its pools were ended into the shared ones
  fields text[] NOT NULL DEFAULT '{}',       -- rules it has in the cell, so that a PUT can end them
  pools text[] NOT NULL DEFAULT '{}',        -- pools it was given, so that a PUT can empty them
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, campaign)
);
CREATE INDEX campaigns_unplanned ON campaigns (tenant, campaign) WHERE planned_version < version;
CREATE INDEX campaigns_to_return ON campaigns (ends_at) WHERE returns AND returned_at IS NULL;

CREATE TABLE supply_policies (
  tenant text NOT NULL,
  policy text NOT NULL,
  owner text NOT NULL,
  sku text NOT NULL,
  version bigint NOT NULL,
  planned_version bigint NOT NULL DEFAULT 0,
  published_version bigint NOT NULL DEFAULT 0,
  fields text[] NOT NULL DEFAULT '{}',
  pools text[] NOT NULL DEFAULT '{}',
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, policy)
);
CREATE UNIQUE INDEX supply_policies_sku ON supply_policies (tenant, owner, sku);
CREATE INDEX supply_policies_unplanned ON supply_policies (tenant, policy)
  WHERE planned_version < version;

-- Every version of everything above, append-only: who changed what, and when.
CREATE TABLE reference_versions (
  tenant text NOT NULL,
  kind text NOT NULL,
  id text NOT NULL,
  version bigint NOT NULL,
  document jsonb NOT NULL,
  actor text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, kind, id, version)
);

-- Moves between pools as they were asked for: the same move_id must ask for the same.
CREATE TABLE pool_moves (
  tenant text NOT NULL,
  move_id text NOT NULL,
  document jsonb NOT NULL,
  moved bigint,                              -- units; NULL until the cell did it
  actor text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, move_id)
);

-- When the cell answered that it has this grant; the log's fold (`applied`) follows a moment later.
ALTER TABLE grants ADD COLUMN sent_at timestamptz;
