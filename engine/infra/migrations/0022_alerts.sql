-- Alerts of stock (engine/alerts).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE alert_rules (
  tenant text NOT NULL,
  rule text NOT NULL,
  version bigint NOT NULL,
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, rule)
);

-- One row from when something is worth an alert until it is not any more.
CREATE TABLE stock_alerts (
  alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  kind text NOT NULL,
  subject text NOT NULL,                     -- digest of the next eight: they are too long for a key
  sku text NOT NULL,
  channel text NOT NULL,
  campaign text NOT NULL,
  node text NOT NULL,
  node_group text NOT NULL,
  batch text NOT NULL,
  item_id text NOT NULL,
  sku_id text NOT NULL,
  severity text NOT NULL,
  value bigint NOT NULL,                     -- units, seconds or days, when it was last looked at
  "limit" bigint NOT NULL,
  rule text NOT NULL,                        -- '' is one of the defaults
  since timestamptz NOT NULL DEFAULT now(),
  until timestamptz                          -- NULL while it stands
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX stock_alerts_standing ON stock_alerts (tenant, kind, subject)
  WHERE until IS NULL;

-- How much of a SKU was ever bought, and since when that did not change: looked at now and then.
CREATE TABLE stock_sales (
  tenant text NOT NULL,
  sku text NOT NULL,
  sold bigint NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, sku)
) WITH (fillfactor = 80);

-- When nodes last told us of their stock, to within a few seconds.
CREATE TABLE stock_feeds (
  tenant text NOT NULL,
  node text NOT NULL,
  heard_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, node)
) WITH (fillfactor = 50);
INSERT INTO stock_feeds (tenant, node, heard_at)
SELECT k.tenant, k.node, max(b.updated_at)
FROM stock_keys AS k
JOIN stock_balances AS b ON b.key_id = k.key_id
GROUP BY k.tenant, k.node;
