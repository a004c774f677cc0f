-- Tables: supply_policies, campaigns, channels, skus, unplannable, pool_moves
-- (engine/infra/migrations/0002_reference.sql, 0004_unplannable.sql), publication_changes
-- (…/0012_publications.sql), bundles (…/0016_bundles.sql), pools, grants, cell_rules, pauses, cells
-- (…/0001_spine.sql), stock_changes, stock_instants, stock_shorts, campaign_skus, grant_sums,
-- pool_excess (…/0010_supply.sql); of orders their draws, and stock_assignments, stock_parts
-- (…/0009_physical.sql, …/0015_physical.sql) of what nodes were given of them.

-- name: get_policy
-- $1 tenant, $2 policy
SELECT policy, version, published_version, published_version > 0 AS settled, updated_at, document
FROM supply_policies
WHERE tenant = $1 AND policy = $2;

-- name: lock_policy
-- $1 tenant, $2 policy
SELECT policy, version, published_version, published_version > 0 AS settled, updated_at, document
FROM supply_policies
WHERE tenant = $1 AND policy = $2
FOR UPDATE;

-- name: list_policies
-- $1 tenant, $2 after policy, $3 limit
SELECT policy, version, published_version, published_version > 0 AS settled, updated_at, document
FROM supply_policies
WHERE tenant = $1 AND policy > $2
ORDER BY policy
LIMIT $3;

-- name: policy_of_sku
-- $1 tenant, $2 owner, $3 sku
SELECT policy
FROM supply_policies
WHERE tenant = $1 AND owner = $2 AND sku = $3 AND NOT dated;

-- name: insert_policy
-- $1 tenant, $2 policy, $3 document, $4 actor, $5 owner, $6 sku, $7 dated
INSERT INTO supply_policies (tenant, policy, version, document, actor, owner, sku, dated)
VALUES ($1, $2, 1, $3::jsonb, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING policy, version, published_version, published_version > 0 AS settled, updated_at, document;

-- name: update_policy
-- $1 tenant, $2 policy, $3 document, $4 actor, $5 dated
UPDATE supply_policies
SET document = $3::jsonb, actor = $4, dated = $5, version = version + 1, updated_at = now()
WHERE tenant = $1 AND policy = $2
RETURNING policy, version, published_version, published_version > 0 AS settled, updated_at, document;

-- name: unplanned_policies
-- $1 limit
SELECT tenant, owner, policy, version, published_version, published_version > 0 AS settled, updated_at, document
FROM supply_policies
WHERE planned_version < version
ORDER BY tenant, policy
LIMIT $1
FOR UPDATE SKIP LOCKED;

-- name: plan_policies
-- $1 tenants, $2 policies
UPDATE supply_policies AS s
SET planned_version = s.version, planned = s.document
FROM unnest($1::text[], $2::text[]) AS done (tenant, policy)
WHERE s.tenant = done.tenant AND s.policy = done.policy;

-- name: await_changes
-- They are published once these SKUs are planned. $1 tenants, $2 policies, $3 last change
UPDATE supply_policies AS s
SET changes = greatest(s.changes, $3)
FROM unnest($1::text[], $2::text[]) AS done (tenant, policy)
WHERE s.tenant = done.tenant AND s.policy = done.policy;

-- name: publish_policies
UPDATE supply_policies AS s
SET published_version = planned_version
WHERE published_version < planned_version
  AND NOT EXISTS (
    SELECT 1
    FROM stock_changes AS c
    WHERE c.id <= s.changes AND c.tenant = s.tenant AND (s.sku = '' OR c.sku = s.sku)
  );

-- name: planned_policies
-- $1 tenant, $2 skus
SELECT policy, planned_version, owner, planned
FROM supply_policies
WHERE tenant = $1 AND planned IS NOT NULL AND (sku = '' OR sku = ANY($2::text[]))
ORDER BY policy;

-- name: note_unplannable
-- Nothing comes back when the same was noted before.
INSERT INTO unplannable AS u (tenant, kind, id, version, reason)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, kind, id) DO UPDATE
SET version = excluded.version, reason = excluded.reason, since = now()
WHERE (u.version, u.reason) <> (excluded.version, excluded.reason)
RETURNING version;

-- name: unplannable
-- Notes on versions that are still the present ones and still not planned.
SELECT u.tenant, u.kind, u.id, u.version, u.reason
FROM unplannable AS u
LEFT JOIN campaigns AS c
  ON u.kind = 'campaign' AND c.tenant = u.tenant AND c.campaign = u.id
LEFT JOIN supply_policies AS s
  ON u.kind = 'supply_policy' AND s.tenant = u.tenant AND s.policy = u.id
LEFT JOIN channels AS h
  ON u.kind = 'channel' AND h.tenant = u.tenant AND h.channel = u.id
WHERE
  u.tenant = $1
  AND (
    u.version = coalesce(c.version, s.version, h.version)
    AND u.version > coalesce(c.planned_version, s.planned_version, h.planned_version)
    OR u.kind = 'sku'
    AND EXISTS (SELECT 1 FROM stock_changes AS x WHERE x.tenant = u.tenant AND x.sku = u.id)
  )
ORDER BY u.kind, u.id
LIMIT $2;

-- name: lock_planning
-- One planner a cell at a time: two would number the same grants twice. Held until the transaction
-- ends, and the server ends a transaction whose client went to sleep in it.
-- $1 cell
SELECT
  set_config('idle_in_transaction_session_timeout', '10s', true),
  pg_advisory_xact_lock(hashtextextended('tidegate.planning.' || $1, 0));

-- name: make_pools
-- $1 cell, $2 tenants, $3 owners, $4 skus, $5 channels, $6 campaigns, $7 node groups
INSERT INTO pools (pool_id, cell, tenant, owner, sku, channel, campaign, node_group)
SELECT
  'p' || nextval('pool_ids'), $1, d.tenant, d.owner, d.sku, d.channel, d.campaign, d.node_group
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
  AS d (tenant, owner, sku, channel, campaign, node_group)
WHERE NOT EXISTS (
  SELECT 1
  FROM pools AS p
  WHERE p.tenant = d.tenant AND p.sku = d.sku AND p.owner = d.owner
    AND p.channel = d.channel AND p.listing = '' AND p.campaign = d.campaign
    AND p.node_group = d.node_group
)
ON CONFLICT (tenant, sku, owner, channel, listing, campaign, node_group) DO NOTHING;

-- name: pools_by_name
-- $1 tenants, $2 owners, $3 skus, $4 channels, $5 campaigns, $6 node groups
SELECT p.pool_id, p.tenant, p.owner, p.sku, p.channel, p.campaign, p.node_group
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  AS d (tenant, owner, sku, channel, campaign, node_group)
JOIN pools AS p
  ON p.tenant = d.tenant AND p.sku = d.sku AND p.owner = d.owner
  AND p.channel = d.channel AND p.listing = '' AND p.campaign = d.campaign
  AND p.node_group = d.node_group;

-- name: pools_of_skus
-- `given` is what all grants amount to, `folded` those that are folded; the rest of what a pool has
-- came beside them, `drained` of it by the engine's own drains. One statement, so that pools and
-- grants are of one position of the log. OFFSET keeps it to one look into the index a SKU, whatever
-- Postgres knows of the tables.
-- $1 tenant, $2 skus
SELECT
  p.pool_id, p.owner, p.sku, p.channel, p.campaign, p.node_group, p.ended, p.granted, p.available,
  p.held + p.sold - p.owed AS used,
  coalesce(s.units, 0) + g.given AS given,
  coalesce(s.units, 0) + g.folded AS folded,
  coalesce(s.seq, 0) AS summed_seq,
  greatest(coalesce(s.seq, 0), g.folded_seq) AS folded_seq,
  greatest(coalesce(s.seq, 0), g.last_seq) AS last_seq,
  (
    SELECT coalesce(sum(CASE WHEN d.target = p.pool_id THEN d.units ELSE -d.units END), 0)::bigint
    FROM drains AS d
    WHERE (d.source = p.pool_id OR d.target = p.pool_id)
      AND d.actor = 'engine' AND d.moving AND d.state <> 'refused'
  ) AS drained
FROM unnest($2::text[]) AS w (sku)
CROSS JOIN LATERAL (
  SELECT * FROM pools WHERE tenant = $1 AND sku = w.sku AND listing = '' OFFSET 0
) AS p
LEFT JOIN grant_sums AS s ON s.pool_id = p.pool_id
CROSS JOIN LATERAL (
  SELECT
    coalesce(sum(coalesce(applied, delta)), 0)::bigint AS given,
    coalesce(sum(applied), 0)::bigint AS folded,
    coalesce(max(seq) FILTER (WHERE applied IS NOT NULL), 0) AS folded_seq,
    coalesce(max(seq), 0) AS last_seq
  FROM grants
  WHERE pool_id = p.pool_id AND seq > coalesce(s.seq, 0)
) AS g
ORDER BY p.pool_id;

-- name: lock_pools
-- $1 pool ids
SELECT pool_id FROM pools WHERE pool_id = ANY($1::text[]) FOR UPDATE SKIP LOCKED;

-- name: regroup_pools
-- $1 pool ids, $2 their node groups
UPDATE pools AS p
SET node_group = w.node_group
FROM unnest($1::text[], $2::text[]) AS w (pool_id, node_group)
WHERE p.pool_id = w.pool_id;

-- name: sum_grants
-- $1 pool ids, $2 seqs up to which all are folded, $3 what they amount to
INSERT INTO grant_sums (pool_id, seq, units)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
ON CONFLICT (pool_id) DO UPDATE SET seq = excluded.seq, units = excluded.units;

-- name: given
-- From the grants alone: the pools' own rows belong to the recorder, and locking them here would
-- make it wait, or deadlock with it, in the middle of a sale. Moves are not in here: units that
-- people moved stay where they were moved to.
-- $1 pool ids
SELECT
  w.pool_id,
  coalesce(max(g.seq), 0) AS last_seq,
  coalesce(sum(coalesce(g.applied, g.delta)), 0)::bigint AS units
FROM unnest($1::text[]) AS w (pool_id)
LEFT JOIN grants AS g ON g.pool_id = w.pool_id
GROUP BY w.pool_id
ORDER BY w.pool_id;

-- name: write_grants
-- $1 pool ids, $2 seqs, $3 deltas, $4 reasons, $5 references
INSERT INTO grants (pool_id, seq, delta, reason, reference)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[]);

-- name: stored_rules
-- $1 cell, $2 fields
SELECT field, version, body
FROM cell_rules
WHERE cell = $1 AND field = ANY($2::text[]);

-- name: write_rules
-- $1 cell, $2 fields, $3 versions, $4 bodies
INSERT INTO cell_rules (cell, field, version, body)
SELECT $1, one.field, one.version, one.body
FROM unnest($2::text[], $3::bigint[], $4::bytea[]) AS one (field, version, body)
ON CONFLICT (cell, field) DO UPDATE
SET version = excluded.version, body = excluded.body, applied = false;

-- name: forget_sent
-- A publisher that starts does not know what its predecessor really sent.
UPDATE grants
SET sent_at = NULL
WHERE applied IS NULL AND sent_at IS NOT NULL;

-- name: pending_grants
-- $1 seconds after which a grant that is sent but not folded is sent again, $2 limit
SELECT pool_id, seq, delta, reason, reference
FROM grants
WHERE applied IS NULL
  AND (sent_at IS NULL OR sent_at < now() - make_interval(secs => $1))
ORDER BY pool_id, seq
LIMIT $2;

-- name: mark_sent
-- Lost, it is only sent again: nobody waits for the disk. $1 pool ids, $2 seqs
WITH soon AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE grants AS g
SET sent_at = now()
FROM soon, unnest($1::text[], $2::bigint[]) AS done (pool_id, seq)
WHERE g.pool_id = done.pool_id AND g.seq = done.seq;

-- name: send_again
-- $1 pool ids, $2 seqs that the cell expects next
UPDATE grants AS g
SET sent_at = NULL
FROM unnest($1::text[], $2::bigint[]) AS expected (pool_id, seq)
WHERE g.pool_id = expected.pool_id AND g.seq >= expected.seq AND g.applied IS NULL;

-- name: unsent_pools
SELECT DISTINCT pool_id
FROM grants
WHERE applied IS NULL AND sent_at IS NULL;

-- name: pending_rules
-- $1 cell, $2 after field, $3 limit
SELECT field, version, body
FROM cell_rules
WHERE cell = $1 AND NOT applied AND field > $2
ORDER BY field
LIMIT $3;

-- name: mark_rules
-- As mark_sent. $1 cell, $2 fields, $3 versions
WITH soon AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE cell_rules AS r
SET applied = true
FROM soon, unnest($2::text[], $3::bigint[]) AS done (field, version)
WHERE r.cell = $1 AND r.field = done.field AND r.version = done.version;

-- name: tell_marketplaces
-- Have what external channels sell by these rules looked at again. $1 fields
INSERT INTO publication_changes (tenant, channel, sku)
SELECT told.tenant, told.channel, told.sku
FROM (
  SELECT DISTINCT
    parts[2] AS tenant,
    CASE parts[1] WHEN 'offer' THEN parts[4] ELSE parts[3] END AS channel,
    CASE parts[1] WHEN 'offer' THEN parts[5] ELSE '' END AS sku
  FROM unnest($1::text[]) AS f (field)
  CROSS JOIN LATERAL string_to_array(f.field, E'\x1f') AS parts
  WHERE parts[1] IN ('offer', 'channel')
) AS told
JOIN channels AS c ON c.tenant = told.tenant AND c.channel = told.channel
WHERE c.document ->> 'authority' = 'external';

-- name: open_pools
-- $1 pool ids
SELECT pool_id, tenant, owner, sku, channel, campaign, node_group
FROM pools
WHERE pool_id = ANY($1::text[]) AND NOT ended;

-- name: insert_move
-- $1 tenant, $2 move_id, $3 document, $4 actor
INSERT INTO pool_moves (tenant, move_id, document, actor)
VALUES ($1, $2, $3::jsonb, $4)
ON CONFLICT (tenant, move_id) DO NOTHING;

-- name: same_move
-- $1 tenant, $2 move_id, $3 document
-- Those of earlier versions name no group of nodes.
SELECT document IN ($3::jsonb, $3::jsonb #- '{from,node_group}' #- '{to,node_group}')
FROM pool_moves
WHERE tenant = $1 AND move_id = $2;

-- name: finish_move
-- $1 tenant, $2 move_id, $3 units
UPDATE pool_moves
SET moved = $3
WHERE tenant = $1 AND move_id = $2;

-- name: position
SELECT epoch, last_id FROM cells WHERE cell = $1;

-- name: paused_since
-- $1 tenant, $2 scope, $3 id
SELECT since
FROM pauses
WHERE tenant = $1 AND scope = $2 AND id = $3;

-- name: list_offers
-- One row for each SKU that a channel has pools of, of whatever groups of nodes, and that the cell
-- serves it; and for each bundle of which every component has a pool there, in a campaign only if
-- that names it.
-- $1 tenant, $2 channel ('' all), $3 sku ('' all), $4 $5 $6 after (sku, channel, campaign), $7 limit
WITH plain AS (
  SELECT DISTINCT p.sku, p.channel, p.campaign, '[]'::jsonb AS components
  FROM pools AS p
  JOIN cell_rules AS r
    ON r.cell = p.cell
    AND r.field = concat_ws(E'\x1f', 'offer', p.tenant, p.campaign, p.channel, p.sku)
  WHERE p.tenant = $1
    AND p.channel <> ''
    AND NOT p.ended
    AND ($2 = '' OR p.channel = $2)
    AND ($3 = '' OR p.sku = $3)
    AND (p.sku, p.channel, p.campaign) > ($4, $5, $6)
  ORDER BY p.sku, p.channel, p.campaign
  LIMIT $7
), made AS (
  SELECT b.sku, p.channel, p.campaign, b.components
  FROM bundles AS b
  CROSS JOIN jsonb_array_elements(b.components) AS part
  JOIN pools AS p
    ON p.tenant = b.tenant AND p.sku = part ->> 'sku' AND p.channel <> '' AND NOT p.ended
  WHERE b.tenant = $1
    AND ($2 = '' OR p.channel = $2)
    AND ($3 = '' OR b.sku = $3)
    AND (b.sku, p.channel, p.campaign) > ($4, $5, $6)
    AND (p.campaign = '' OR EXISTS (
      SELECT 1
      FROM cell_rules AS r
      WHERE r.cell = p.cell
        AND r.field = concat_ws(E'\x1f', 'offer', b.tenant, p.campaign, p.channel, b.sku)
    ))
  GROUP BY b.sku, p.channel, p.campaign, b.components
  HAVING count(DISTINCT p.sku) = jsonb_array_length(b.components)
  ORDER BY b.sku, p.channel, p.campaign
  LIMIT $7
)
SELECT * FROM plain
UNION ALL
SELECT * FROM made
ORDER BY sku, channel, campaign
LIMIT $7;

-- name: offers_below
-- Where one of a channel's pools has few free units; of campaigns, of those that run.
-- $1 tenant, $2 at most so many, $3 $4 $5 after (sku, channel, campaign), $6 limit
SELECT DISTINCT p.sku, p.channel, p.campaign
FROM pools AS p
WHERE p.tenant = $1
  AND p.channel <> ''
  AND NOT p.ended
  AND p.available <= $2
  AND (p.sku, p.channel, p.campaign) > ($3, $4, $5)
  AND (p.campaign = '' OR EXISTS (
    SELECT FROM campaigns AS c
    WHERE c.tenant = p.tenant AND c.campaign = p.campaign AND now() >= c.starts_at
      AND now() < c.ends_at
  ))
ORDER BY p.sku, p.channel, p.campaign
LIMIT $6;

-- name: offers
-- A channel's own pools, and the offer that the cell serves there.
-- $1 tenant, $2 skus, $3 channels, $4 campaigns
SELECT p.sku, p.channel, p.campaign, array_agg(p.pool_id) AS pools, (array_agg(r.body))[1] AS body
FROM pools AS p
JOIN cell_rules AS r
  ON r.cell = p.cell
  AND r.field = concat_ws(E'\x1f', 'offer', p.tenant, p.campaign, p.channel, p.sku)
WHERE p.tenant = $1
  AND NOT p.ended
  AND (p.sku, p.channel, p.campaign) IN (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[])
  )
GROUP BY p.sku, p.channel, p.campaign;

-- name: available
-- $1 pool ids
SELECT pool_id, available
FROM pools
WHERE pool_id = ANY($1::text[]) AND NOT ended;

-- name: accounts_of_sku
-- $1 tenant, $2 sku
SELECT pool_id, held, sold, owed
FROM pools
WHERE tenant = $1 AND sku = $2;

-- name: pauses_of
-- $1 tenant, $2 sku, $3 campaigns
SELECT scope, id
FROM pauses
WHERE tenant = $1
  AND (scope = 'sku' AND id = $2 OR scope = 'campaign' AND id = ANY($3::text[]));

-- name: recorded_to
-- $1 cell
SELECT now() AS at, coalesce((SELECT last_id FROM cells WHERE cell = $1), '0-0') AS log_id;

-- name: present
SELECT now();

-- name: cards
-- $1 tenant, $2 skus
SELECT
  sku, owner, coalesce(document ->> 'category', '') AS category,
  coalesce(document ->> 'brand', '') AS brand
FROM skus
WHERE tenant = $1 AND sku = ANY($2::text[]);

-- name: matching_skus
-- $1 tenant, $2 category, brand or all, $3 its name
SELECT sku
FROM skus
WHERE tenant = $1 AND ($2 = 'all' OR document ->> $2 = $3);

-- name: external_channels
-- $1 tenant
SELECT channel
FROM channels
WHERE tenant = $1 AND document ->> 'authority' = 'external';

-- name: claims
-- $1 tenant, $2 skus
SELECT campaign, sku, version, channels, document, waves
FROM campaign_skus
WHERE tenant = $1 AND sku = ANY($2::text[])
ORDER BY campaign;

-- name: pools_of_campaigns
-- $1 tenant, $2 campaigns
SELECT DISTINCT p.campaign, p.pool_id
FROM campaign_skus AS s
JOIN pools AS p ON p.tenant = s.tenant AND p.sku = s.sku AND p.campaign = s.campaign
WHERE s.tenant = $1 AND s.campaign = ANY($2::text[]);

-- name: drop_claims
-- $1 tenant, $2 campaigns, and what stays of them: $3 campaigns, $4 skus
DELETE FROM campaign_skus AS s
WHERE s.tenant = $1 AND s.campaign = ANY($2::text[])
  AND NOT EXISTS (
    SELECT 1
    FROM unnest($3::text[], $4::text[]) AS kept (campaign, sku)
    WHERE kept.campaign = s.campaign AND kept.sku = s.sku
  )
RETURNING s.sku;

-- name: write_claims
-- $1 tenant, $2 campaigns, $3 skus, $4 versions, $5 channels, each as a json array, $6 documents,
-- $7 waves
INSERT INTO campaign_skus (tenant, campaign, sku, version, channels, document, waves)
SELECT
  $1, w.campaign, w.sku, w.version, ARRAY(SELECT jsonb_array_elements_text(w.channels)),
  w.document, w.waves
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::jsonb[], $6::jsonb[], $7::jsonb[])
  AS w (campaign, sku, version, channels, document, waves)
ON CONFLICT (tenant, campaign, sku) DO UPDATE
SET
  version = excluded.version, channels = excluded.channels, document = excluded.document,
  waves = excluded.waves;

-- name: note_due
WITH due AS (
  DELETE FROM stock_instants
  WHERE at <= now()
  RETURNING tenant, sku
)
INSERT INTO stock_changes (tenant, sku)
SELECT tenant, sku FROM due;

-- name: note_free
-- Units that came free while the SKU lacks some: they are taken back.
INSERT INTO stock_changes (tenant, sku)
SELECT DISTINCT s.tenant, s.sku
FROM stock_shorts AS s
JOIN pools AS p
  ON p.tenant = s.tenant AND p.sku = s.sku AND p.node_group = s.node_group
  AND p.available > 0 AND NOT p.ended
WHERE s.until IS NULL
  AND NOT EXISTS (
    SELECT 1 FROM stock_changes AS c WHERE c.tenant = s.tenant AND c.sku = s.sku
  );

-- name: changed_skus
-- OFFSET as in pools_of_skus. $1 limit
WITH waiting AS MATERIALIZED (
  SELECT DISTINCT p.tenant, p.sku
  FROM (SELECT DISTINCT pool_id FROM grants WHERE applied IS NULL AND delta < 0) AS g
  CROSS JOIN LATERAL (SELECT tenant, sku FROM pools WHERE pool_id = g.pool_id OFFSET 0) AS p
), first AS (
  SELECT c.id, c.tenant, c.sku
  FROM stock_changes AS c
  WHERE NOT EXISTS (SELECT 1 FROM waiting AS w WHERE w.tenant = c.tenant AND w.sku = c.sku)
  ORDER BY c.id
  LIMIT $1 * 10
)
SELECT tenant, sku
FROM first
GROUP BY tenant, sku
ORDER BY min(id)
LIMIT $1;

-- name: waiting_skus
-- OFFSET as in pools_of_skus. $1 tenant, $2 skus
SELECT DISTINCT p.sku
FROM (SELECT DISTINCT pool_id FROM grants WHERE applied IS NULL AND delta < 0) AS g
CROSS JOIN LATERAL (SELECT tenant, sku FROM pools WHERE pool_id = g.pool_id OFFSET 0) AS p
WHERE p.tenant = $1 AND p.sku = ANY($2::text[]);

-- name: unsettled_skus
-- $1 tenant, $2 skus
SELECT sku FROM stock_changes WHERE tenant = $1 AND sku = ANY($2::text[])
UNION
SELECT sku FROM stock_instants WHERE tenant = $1 AND sku = ANY($2::text[]) AND at <= now()
UNION
SELECT p.sku
FROM grants AS g
JOIN pools AS p ON p.pool_id = g.pool_id
WHERE g.applied IS NULL AND p.tenant = $1 AND p.sku = ANY($2::text[]);

-- name: take_changed
-- $1 tenant, $2 skus
DELETE FROM stock_changes
WHERE tenant = $1 AND sku = ANY($2::text[]);

-- name: add_changed
-- $1 tenant, $2 skus
WITH added AS (
  INSERT INTO stock_changes (tenant, sku)
  SELECT $1, one.sku
  FROM unnest($2::text[]) AS one (sku)
  RETURNING id
)
SELECT max(id) FROM added;

-- name: drop_instants
-- $1 tenant, $2 skus, $3 those that have one
DELETE FROM stock_instants
WHERE tenant = $1 AND sku = ANY($2::text[]) AND NOT sku = ANY($3::text[]);

-- name: write_instants
-- $1 tenant, $2 skus, $3 instants
INSERT INTO stock_instants (tenant, sku, at)
SELECT $1, one.sku, one.at
FROM unnest($2::text[], $3::timestamptz[]) AS one (sku, at)
ON CONFLICT (tenant, sku) DO UPDATE SET at = excluded.at
WHERE stock_instants.at <> excluded.at;

-- name: marks
-- Of each SKU one number made from all that its plan is made from (pools_of_skus, cards, claims,
-- planned_policies; of engine.logical held_of, rules_for, places_of), '' for what is of many SKUs.
-- Rows count by their last writer; pools, which every sale writes, by what a sale does not change,
-- but for whether anything is free. Whoever plans from something else must count it here.
-- $1 cell
WITH given AS (
  SELECT
    pool_id, sum(coalesce(applied, delta))::bigint AS units, sum(applied)::bigint AS folded
  FROM grants
  GROUP BY pool_id
), own AS (
  SELECT
    p.tenant, p.sku, true AS is_planned,
    hash_record_extended(
      ROW(
        p.pool_id, p.owner, p.channel, p.campaign, p.node_group, p.ended, p.granted,
        CASE WHEN p.ended THEN p.available ELSE sign(p.available)::bigint END, g.units, g.folded,
        s.xmin::text
      ), 0
    ) AS mark
  FROM pools AS p
  LEFT JOIN given AS g ON g.pool_id = p.pool_id
  LEFT JOIN grant_sums AS s ON s.pool_id = p.pool_id
  WHERE p.cell = $1 AND p.listing = ''
  UNION ALL
  SELECT tenant, sku, sku <> '', hash_record_extended(ROW('policy'::text, policy, xmin::text), 0)
  FROM supply_policies
  WHERE planned IS NOT NULL
  UNION ALL
  SELECT tenant, sku, true, hash_record_extended(ROW('claim'::text, campaign, xmin::text), 0)
  FROM campaign_skus
  UNION ALL
  SELECT k.tenant, k.sku, true,
    hash_record_extended(ROW('key'::text, k.key_id, k.xmin::text, b.xmin::text), 0)
  FROM stock_keys AS k
  JOIN stock_balances AS b ON b.key_id = k.key_id
  UNION ALL
  SELECT tenant, sku, true, hash_record_extended(ROW('drain'::text, move_id, xmin::text), 0)
  FROM drains
  WHERE actor = 'engine' AND moving AND state <> 'refused'
  UNION ALL
  SELECT tenant, sku, false, hash_record_extended(ROW('card'::text, sku, xmin::text), 0)
  FROM skus
  UNION ALL
  SELECT tenant, sku, false, hash_record_extended(ROW('rule'::text, rule, xmin::text), 0)
  FROM stock_rules
  WHERE enabled
  UNION ALL
  SELECT
    split_part(field, E'\x1f', 2), split_part(field, E'\x1f', 5), false,
    hash_record_extended(ROW(field, xmin::text), 0)
  FROM cell_rules
  WHERE cell = $1 AND field >= E'offer\x1f' AND field < E'offer\x20'
  UNION ALL
  SELECT tenant, '', false, hash_record_extended(ROW('node'::text, node, xmin::text), 0)
  FROM nodes
  UNION ALL
  SELECT tenant, '', false, hash_record_extended(ROW('channel'::text, channel, xmin::text), 0)
  FROM channels
)
SELECT tenant, sku, bit_xor(mark) AS mark
FROM own
GROUP BY tenant, sku
HAVING sku = '' OR bool_or(is_planned);

-- name: drop_excess
-- $1 pool ids, $2 those that have some
DELETE FROM pool_excess
WHERE pool_id = ANY($1::text[]) AND NOT pool_id = ANY($2::text[]);

-- name: write_excess
-- $1 pool ids, $2 units
INSERT INTO pool_excess (pool_id, units)
SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (pool_id) DO UPDATE SET units = excluded.units
WHERE pool_excess.units <> excluded.units;

-- name: standing_shorts
-- $1 tenant, $2 skus
SELECT sku, node_group, lacking
FROM stock_shorts
WHERE tenant = $1 AND sku = ANY($2::text[]) AND until IS NULL;

-- name: begin_shorts
-- $1 tenant, $2 skus, $3 node groups, $4 units
INSERT INTO stock_shorts (tenant, sku, node_group, units, lacking)
SELECT $1, one.sku, one.node_group, one.units, one.units
FROM unnest($2::text[], $3::text[], $4::bigint[]) AS one (sku, node_group, units)
ON CONFLICT (tenant, sku, node_group) WHERE until IS NULL DO UPDATE
SET lacking = excluded.lacking, units = greatest(stock_shorts.units, excluded.lacking);

-- name: end_shorts
-- $1 tenant, $2 skus, $3 node groups, $4 kind of the event
WITH ended AS (
  UPDATE stock_shorts AS s
  SET until = now(), lacking = 0
  FROM unnest($2::text[], $3::text[]) AS one (sku, node_group)
  WHERE s.tenant = $1 AND s.sku = one.sku AND s.node_group = one.node_group AND s.until IS NULL
  RETURNING s.sku, s.node_group, s.units, s.since
)
INSERT INTO events (at, kind, actor, data)
SELECT
  now(), $4, 'publisher',
  json_build_object(
    'tenant', $1::text, 'sku', sku, 'node_group', node_group, 'units', units, 'since', since
  )
FROM ended;

-- name: list_shorts
-- $1 tenant, $2 sku ('' all), $3 the last one seen, $4 limit
SELECT id, sku, node_group, units, lacking, since, until
FROM stock_shorts
WHERE tenant = $1 AND id > $3 AND ($2 = '' OR sku = $2)
ORDER BY id
LIMIT $4;

-- name: untold_shorts
-- Those of which more units are lacking than an event has named orders for.
-- $1 limit
SELECT id, tenant, sku, node_group, lacking
FROM stock_shorts
WHERE until IS NULL AND lacking > told
ORDER BY id
LIMIT $1;

-- name: standing_short
-- $1 tenant, $2 id
SELECT id, tenant, sku, node_group, lacking
FROM stock_shorts
WHERE tenant = $1 AND id = $2 AND until IS NULL;

-- name: short_pools
-- $1 tenant, $2 sku, $3 node group
SELECT pool_id, channel
FROM pools
WHERE tenant = $1 AND sku = $2 AND node_group = $3 AND held + sold - owed > 0;

-- name: offering_channels
-- Whose orders may draw from a shared pool. $1 tenant, $2 sku
SELECT DISTINCT channel
FROM pools
WHERE tenant = $1 AND sku = $2 AND channel <> '';

-- name: newest_drawing
-- The newest orders of a channel with units of these pools that no node has yet. What nodes of the
-- group were given of a line is of these pools; what others were given is of them only beyond what
-- the line drew elsewhere. $1 tenant, $2 channel, $3 pool ids, $4 limit, $5 node group
SELECT o.order_id, o.accepted_at, d.units
FROM orders AS o
CROSS JOIN LATERAL (
  SELECT sum(least(line.here - g.here, line.units - g.units))::bigint AS units
  FROM (
    SELECT
      (one ->> 0)::integer AS line_no, sum((one ->> 2)::bigint) AS units,
      sum((one ->> 2)::bigint) FILTER (WHERE one ->> 1 = ANY($3::text[])) AS here
    FROM jsonb_array_elements(o.draws) AS one
    GROUP BY 1
    HAVING bool_or(one ->> 1 = ANY($3::text[]))
  ) AS line
  CROSS JOIN LATERAL (
    SELECT
      coalesce(sum(n.units), 0) AS units,
      coalesce(sum(n.units) FILTER (WHERE n.node_group = $5), 0) AS here
    FROM (
      SELECT
        coalesce((
          SELECT m.document ->> 'group' FROM nodes AS m WHERE m.tenant = $1 AND m.node = a.node
        ), '') AS node_group,
        CASE WHEN a.shipped_at IS NULL AND a.cancelled_at IS NOT NULL THEN 0
          ELSE a.units - a.apart END
        + coalesce((
          SELECT sum(p.units)
          FROM stock_parts AS p
          WHERE p.tenant = a.tenant AND p.order_id = a.order_id AND p.line_no = a.line_no
            AND p.node = a.node AND p.attempt = a.attempt AND p.verb = 'ship'
        ), 0) AS units
      FROM stock_assignments AS a
      WHERE a.tenant = $1 AND a.order_id = o.order_id AND a.line_no = line.line_no
    ) AS n
  ) AS g
  WHERE line.here > g.here AND line.units > g.units
) AS d
WHERE o.channel = $2 AND o.tenant = $1 AND o.state = 'open' AND d.units > 0
  AND EXISTS (
    SELECT FROM jsonb_array_elements(o.draws) AS one WHERE one ->> 1 = ANY($3::text[])
  )
ORDER BY o.placed_at DESC
LIMIT $4;

-- name: tell_short
-- $1 id, $2 units told, $3 kind of the event, $4 data
WITH told AS (
  UPDATE stock_shorts SET told = $2 WHERE id = $1 AND until IS NULL
  RETURNING id
)
INSERT INTO events (at, kind, actor, data)
SELECT now(), $3, 'publisher', $4::json FROM told;
