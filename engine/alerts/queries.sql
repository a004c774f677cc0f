-- Tables: alert_rules, stock_alerts, stock_feeds, stock_sales
-- (engine/infra/migrations/0022_alerts.sql), skus,
-- channels, nodes (…/0002_reference.sql), pools (…/0001_spine.sql), stock_keys, stock_balances,
-- stock_movements (…/0009_physical.sql), stock_shorts (…/0010_supply.sql),
-- publications (…/0012_publications.sql).

-- name: get_rule
-- $1 tenant, $2 rule
SELECT rule, version, updated_at, document
FROM alert_rules
WHERE tenant = $1 AND rule = $2;

-- name: lock_rule
-- $1 tenant, $2 rule
SELECT rule, version, updated_at, document
FROM alert_rules
WHERE tenant = $1 AND rule = $2
FOR UPDATE;

-- name: list_rules
-- $1 tenant, $2 after rule, $3 limit
SELECT rule, version, updated_at, document
FROM alert_rules
WHERE tenant = $1 AND rule > $2
ORDER BY rule
LIMIT $3;

-- name: insert_rule
-- $1 tenant, $2 rule, $3 document, $4 actor
INSERT INTO alert_rules (tenant, rule, version, document, actor)
VALUES ($1, $2, 1, $3::jsonb, $4)
ON CONFLICT (tenant, rule) DO NOTHING
RETURNING rule, version, updated_at, document;

-- name: update_rule
-- $1 tenant, $2 rule, $3 document, $4 actor
UPDATE alert_rules
SET document = $3::jsonb, actor = $4, version = version + 1, updated_at = now()
WHERE tenant = $1 AND rule = $2
RETURNING rule, version, updated_at, document;

-- name: tenants
-- Whoever sells or keeps anything.
SELECT DISTINCT tenant FROM channels
UNION
SELECT DISTINCT tenant FROM nodes;

-- name: cards
-- $1 tenant, $2 skus
SELECT
  sku, coalesce(document ->> 'category', '') AS category, coalesce(document ->> 'brand', '') AS brand
FROM skus
WHERE tenant = $1 AND sku = ANY($2::text[]);

-- name: ever_granted
-- Of these SKUs, those that ever had units: one that never had is not sold out.
-- $1 tenant, $2 skus
SELECT DISTINCT sku
FROM pools
WHERE tenant = $1 AND sku = ANY($2::text[]) AND granted > 0;

-- name: shorts
-- $1 tenant, $2 at least so many
SELECT sku, node_group, lacking AS value
FROM stock_shorts
WHERE tenant = $1 AND until IS NULL AND lacking >= $2;

-- name: owed
-- $1 tenant, $2 at least so many
SELECT sku, sum(owed)::bigint AS value
FROM pools
WHERE tenant = $1 AND owed > 0
GROUP BY sku
HAVING sum(owed) >= $2;

-- name: drifted
-- $1 tenant, $2 at least so many
SELECT channel, item_id, sku_id, sku, abs(drift) AS value
FROM publications
WHERE tenant = $1 AND abs(drift) >= $2;

-- name: silent_nodes
-- Nodes of ours that told nothing of their stock for so long; one that never did is not awaited.
-- $1 tenant, $2 seconds
SELECT f.node, extract(epoch FROM now() - f.heard_at)::bigint AS value
FROM stock_feeds AS f
JOIN nodes AS n ON n.tenant = f.tenant AND n.node = f.node
WHERE f.tenant = $1
  AND f.heard_at < now() - make_interval(secs => $2)
  AND coalesce((n.document ->> 'enabled')::boolean, true)
  AND coalesce(n.document ->> 'controlled_by', 'us') = 'us';

-- name: aged
-- Units that lie since their batch was made or, without a date, since some of their key came in.
-- $1 tenant, $2 at least so many days
SELECT k.sku, k.node, k.batch, max(lying.days) AS value
FROM stock_keys AS k
JOIN stock_balances AS b ON b.key_id = k.key_id
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN k.produced_on IS NOT NULL THEN (current_date - k.produced_on)::bigint
    ELSE (
      SELECT extract(epoch FROM now() - max(m.happened_at))::bigint / 86400
      FROM stock_movements AS m
      WHERE m.key_id = k.key_id AND m.kind IN ('receipt', 'transfer_in', 'return_in')
    )
  END AS days
) AS lying
WHERE k.tenant = $1 AND b.on_hand > 0 AND lying.days >= $2
GROUP BY k.sku, k.node, k.batch;

-- name: note_sales
-- What was ever bought of each SKU that has pools, or stock that no channel sells; a change of it
-- begins its time anew. $1 tenant
INSERT INTO stock_sales AS s (tenant, sku, sold)
SELECT tenant, sku, sum(sold)::bigint
FROM (
  SELECT tenant, sku, sold FROM pools WHERE tenant = $1
  UNION ALL
  SELECT DISTINCT tenant, sku, 0::bigint FROM stock_keys WHERE tenant = $1
) AS known
GROUP BY tenant, sku
ON CONFLICT (tenant, sku) DO UPDATE
SET sold = excluded.sold, since = now()
WHERE s.sold <> excluded.sold;

-- name: slow
-- $1 tenant, $2 at least so many days
SELECT s.sku, extract(epoch FROM now() - s.since)::bigint / 86400 AS value
FROM stock_sales AS s
WHERE s.tenant = $1
  AND s.since <= now() - make_interval(days => $2)
  AND EXISTS (
    SELECT
    FROM stock_keys AS k
    JOIN stock_balances AS b ON b.key_id = k.key_id
    WHERE k.tenant = s.tenant AND k.sku = s.sku AND b.on_hand > 0
  );

-- name: standing
-- $1 tenant, $2 kinds
SELECT
  alert_id, kind, sku, channel, campaign, node, node_group, batch, item_id, sku_id, severity, value,
  "limit", rule
FROM stock_alerts
WHERE tenant = $1 AND until IS NULL AND kind = ANY($2::text[]);

-- name: raise
-- $1 tenant, then per alert $2 kind, $3 digest of the subject, $4…$11 the subject, $12 value,
-- $13 limit, $14 severity, $15 rule
INSERT INTO stock_alerts (
  tenant, kind, subject, sku, channel, campaign, node, node_group, batch, item_id, sku_id, value,
  "limit", severity, rule
)
SELECT $1, w.*
FROM unnest(
  $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
  $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::text[], $15::text[]
) AS w
ON CONFLICT (tenant, kind, subject) WHERE until IS NULL DO NOTHING;

-- name: change
-- $1 alert ids, $2 values, $3 limits, $4 severities, $5 rules
UPDATE stock_alerts AS a
SET value = w.value, "limit" = w.most, severity = w.severity, rule = w.rule
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
  AS w (alert_id, value, most, severity, rule)
WHERE a.alert_id = w.alert_id;

-- name: lift
-- $1 alert ids
UPDATE stock_alerts
SET until = now()
WHERE alert_id = ANY($1::bigint[]) AND until IS NULL;

-- name: list_alerts
-- $1 tenant, $2 channel, $3 kind, $4 sku, $5 severity, each '' for all, $6 standing ones only,
-- $7 after alert_id, $8 limit
SELECT
  alert_id, kind, severity, sku, channel, campaign, node, node_group, batch, item_id, sku_id, value,
  "limit", rule, since, until
FROM stock_alerts
WHERE tenant = $1
  AND ($2 = '' OR channel = $2)
  AND ($3 = '' OR kind = $3)
  AND ($4 = '' OR sku = $4)
  AND ($5 = '' OR severity = $5)
  AND (NOT $6 OR until IS NULL)
  AND alert_id > $7
ORDER BY alert_id
LIMIT $8;
