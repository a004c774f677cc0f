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
