-- Supply: from stock to pools, by SKU (engine/inventory).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- SKUs whose pools may have to change, as whoever changed something said in the same transaction.
-- The planner takes rows away when it plans their SKU: what is here was not looked at yet.
CREATE TABLE stock_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  sku text NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX stock_changes_sku ON stock_changes (tenant, sku);

-- When time alone changes what a SKU's pools should have: the next such instant after it was planned.
CREATE TABLE stock_instants (
  tenant text NOT NULL,
  sku text NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (tenant, sku)
);
CREATE INDEX stock_instants_at ON stock_instants (at);

-- A pool is of the stock of one group of nodes. The index begins as the planner looks them up. Pools
-- are few, and everything here is for a moment.
ALTER TABLE pools ADD COLUMN node_group text NOT NULL DEFAULT '';
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX pools_name
  ON pools (tenant, sku, owner, channel, listing, campaign, node_group);
-- squawk-ignore ban-drop-constraint
ALTER TABLE pools DROP CONSTRAINT pools_tenant_owner_sku_channel_listing_campaign_key;

-- What the grants of a pool up to one come to, all of them folded; so nobody adds up a whole sale.
CREATE TABLE grant_sums (
  pool_id text PRIMARY KEY,
  seq bigint NOT NULL,
  units bigint NOT NULL
);

-- Policies speak of one SKU (`sku`), or of many ('': by category, brand, or of all). `planned` is the
-- document of the planned version, `changes` the last row of stock_changes that it still waits for.
ALTER TABLE supply_policies
  ADD COLUMN dated boolean NOT NULL DEFAULT false,  -- in force from or until some instant only
  ADD COLUMN planned jsonb,
  ADD COLUMN changes bigint NOT NULL DEFAULT 0;
-- squawk-ignore ban-drop-column
ALTER TABLE supply_policies DROP COLUMN fields, DROP COLUMN pools;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX supply_policies_sku;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX supply_policies_one ON supply_policies (tenant, owner, sku)
  WHERE sku <> '' AND NOT dated;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX supply_policies_sku ON supply_policies (tenant, sku) WHERE planned IS NOT NULL;
UPDATE supply_policies AS s
SET planned = v.document
FROM reference_versions AS v
WHERE v.tenant = s.tenant AND v.kind = 'supply_policy' AND v.id = s.policy
  AND v.version = s.planned_version;

-- What campaigns that are planned and not over say of a SKU.
CREATE TABLE campaign_skus (
  tenant text NOT NULL,
  campaign text NOT NULL,
  sku text NOT NULL,
  version bigint NOT NULL,                   -- of the campaign
  channels text[] NOT NULL,
  document jsonb NOT NULL,                   -- its entry of the campaign's `skus`
  waves jsonb NOT NULL DEFAULT '[]',         -- [[ms, {channel: units}], …]
  PRIMARY KEY (tenant, campaign, sku)
);
CREATE INDEX campaign_skus_sku ON campaign_skus (tenant, sku);
ALTER TABLE campaigns ADD COLUMN changes bigint NOT NULL DEFAULT 0;
INSERT INTO campaign_skus (tenant, campaign, sku, version, channels, document)
SELECT
  c.tenant, c.campaign, one ->> 'sku', c.planned_version,
  ARRAY(SELECT jsonb_array_elements_text(v.document -> 'channels')), one
FROM campaigns AS c
JOIN reference_versions AS v
  ON v.tenant = c.tenant AND v.kind = 'campaign' AND v.id = c.campaign
  AND v.version = c.planned_version
CROSS JOIN jsonb_array_elements(v.document -> 'skus') AS one
WHERE c.returned_at IS NULL;

-- Units that orders hold or bought and that are not there any more; `until` once they are again.
CREATE TABLE stock_shorts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  sku text NOT NULL,
  node_group text NOT NULL,
  units bigint NOT NULL,                     -- the most while it stood
  lacking bigint NOT NULL,                   -- now
  since timestamptz NOT NULL DEFAULT now(),
  until timestamptz,
  told bigint NOT NULL DEFAULT 0             -- units of which an event named the orders
);
CREATE UNIQUE INDEX stock_shorts_standing ON stock_shorts (tenant, sku, node_group)
  WHERE until IS NULL;
CREATE INDEX stock_shorts_tenant ON stock_shorts (tenant, id);

-- Units that a marketplace's pool has beyond its policy: they stay until it confirmed a lower number.
CREATE TABLE pool_excess (
  pool_id text PRIMARY KEY,
  units bigint NOT NULL CHECK (units > 0),
  since timestamptz NOT NULL DEFAULT now()
);

-- Offers are planned with their SKU now, and end with it; a campaign keeps those of bundles.
UPDATE campaigns SET fields = '{}';
