-- Logical stock: what may be sold at all (engine/logical).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- `document` is the body of the last PUT, normalised; the generated columns are what it speaks of,
-- '' where it speaks of all.
CREATE TABLE stock_rules (
  tenant text NOT NULL,
  rule text NOT NULL,
  version bigint NOT NULL,
  ends_at timestamptz,                       -- NULL: never
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  enabled boolean NOT NULL GENERATED ALWAYS AS ((document ->> 'enabled')::boolean) STORED,
  sku text NOT NULL GENERATED ALWAYS AS (coalesce(document #>> '{match,sku}', '')) STORED,
  category text NOT NULL GENERATED ALWAYS AS (coalesce(document #>> '{match,category}', '')) STORED,
  brand text NOT NULL GENERATED ALWAYS AS (coalesce(document #>> '{match,brand}', '')) STORED,
  owner text NOT NULL GENERATED ALWAYS AS (coalesce(document #>> '{match,owner}', '')) STORED,
  PRIMARY KEY (tenant, rule)
);
CREATE INDEX stock_rules_sku ON stock_rules (tenant, sku) WHERE enabled;

-- Which SKUs a rule or a policy of a category or a brand speaks of. These two tables are written
-- rarely; what waits for the lock waits no longer than a scan of them takes.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX skus_category ON skus (tenant, (document ->> 'category'));
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX skus_brand ON skus (tenant, (document ->> 'brand'));
