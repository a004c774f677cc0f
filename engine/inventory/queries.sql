-- Tables: supply_policies, campaigns, channels, unplannable, pool_moves, publication_changes
-- (engine/infra/migrations/0002_reference.sql, 0004_unplannable.sql, 0012_publications.sql),
-- pools, grants, cell_rules, pauses, cells (…/0001_spine.sql), bundles (…/0016_bundles.sql).

-- name: get_policy
-- $1 tenant, $2 policy
SELECT policy, version, published_version, updated_at, document
FROM supply_policies
WHERE tenant = $1 AND policy = $2;

-- name: lock_policy
-- $1 tenant, $2 policy
SELECT policy, version, published_version, updated_at, document
FROM supply_policies
WHERE tenant = $1 AND policy = $2
FOR UPDATE;

-- name: list_policies
-- $1 tenant, $2 after policy, $3 limit
SELECT policy, version, published_version, updated_at, document
FROM supply_policies
WHERE tenant = $1 AND policy > $2
ORDER BY policy
LIMIT $3;

-- name: policy_of_sku
-- $1 tenant, $2 owner, $3 sku
SELECT policy
FROM supply_policies
WHERE tenant = $1 AND owner = $2 AND sku = $3;

-- name: policies_of_skus
-- $1 tenant, $2 owners, $3 skus
SELECT p.sku, p.document
FROM supply_policies AS p
JOIN unnest($2::text[], $3::text[]) AS wanted (owner, sku)
  ON p.owner = wanted.owner AND p.sku = wanted.sku
WHERE p.tenant = $1;

-- name: insert_policy
-- $1 tenant, $2 policy, $3 document, $4 actor, $5 owner, $6 sku
INSERT INTO supply_policies (tenant, policy, version, document, actor, owner, sku)
VALUES ($1, $2, 1, $3::jsonb, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING policy, version, published_version, updated_at, document;

-- name: update_policy
-- $1 tenant, $2 policy, $3 document, $4 actor
UPDATE supply_policies
SET document = $3::jsonb, actor = $4, version = version + 1, updated_at = now()
WHERE tenant = $1 AND policy = $2
RETURNING policy, version, published_version, updated_at, document;

-- name: unplanned_policies
-- A pool whose last shrink is not folded has an amount nobody knows yet: its policy waits.
-- $1 limit
SELECT
  tenant, owner, policy, version, published_version, updated_at, document, fields, pools
FROM supply_policies AS s
WHERE planned_version < version
  AND NOT EXISTS (
    SELECT 1
    FROM grants AS g
    WHERE g.pool_id = ANY(s.pools) AND g.applied IS NULL AND g.delta < 0
  )
ORDER BY tenant, policy
LIMIT $1
FOR UPDATE SKIP LOCKED;

-- name: plan_policies
-- $1 tenants, $2 policies, $3 fields and $4 pools, each as one jsonb array a policy
UPDATE supply_policies AS s
SET
  planned_version = s.version,
  fields = ARRAY(SELECT jsonb_array_elements_text(done.fields)),
  pools = ARRAY(SELECT jsonb_array_elements_text(done.pools))
FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[])
  AS done (tenant, policy, fields, pools)
WHERE s.tenant = done.tenant AND s.policy = done.policy;

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
  AND u.version = coalesce(c.version, s.version, h.version)
  AND u.version > coalesce(c.planned_version, s.planned_version, h.planned_version)
ORDER BY u.kind, u.id
LIMIT $2;

-- name: publish_policies
UPDATE supply_policies
SET published_version = planned_version
WHERE published_version < planned_version;

-- name: lock_planning
-- One planner a cell at a time: two would number the same grants twice. Held until the transaction
-- ends, and the server ends a transaction whose client went to sleep in it.
-- $1 cell
SELECT
  set_config('idle_in_transaction_session_timeout', '10s', true),
  pg_advisory_xact_lock(hashtextextended('tidegate.planning.' || $1, 0));

-- name: make_pools
-- $1 cell, $2 tenants, $3 owners, $4 skus, $5 channels, $6 campaigns
INSERT INTO pools (pool_id, cell, tenant, owner, sku, channel, campaign)
SELECT 'p' || nextval('pool_ids'), $1, d.tenant, d.owner, d.sku, d.channel, d.campaign
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  AS d (tenant, owner, sku, channel, campaign)
WHERE NOT EXISTS (
  SELECT 1
  FROM pools AS p
  WHERE p.tenant = d.tenant AND p.owner = d.owner AND p.sku = d.sku
    AND p.channel = d.channel AND p.listing = '' AND p.campaign = d.campaign
)
ON CONFLICT (tenant, owner, sku, channel, listing, campaign) DO NOTHING;

-- name: pools_by_name
-- $1 tenants, $2 owners, $3 skus, $4 channels, $5 campaigns
SELECT p.pool_id, p.tenant, p.owner, p.sku, p.channel, p.campaign
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
  AS d (tenant, owner, sku, channel, campaign)
JOIN pools AS p
  ON p.tenant = d.tenant AND p.owner = d.owner AND p.sku = d.sku
  AND p.channel = d.channel AND p.listing = '' AND p.campaign = d.campaign;

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
-- $1 pool ids, $2 seqs
UPDATE grants AS g
SET sent_at = now()
FROM unnest($1::text[], $2::bigint[]) AS done (pool_id, seq)
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
-- $1 cell, $2 fields, $3 versions
UPDATE cell_rules AS r
SET applied = true
FROM unnest($2::text[], $3::bigint[]) AS done (field, version)
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
SELECT pool_id, tenant, owner, sku, channel, campaign
FROM pools
WHERE pool_id = ANY($1::text[]) AND NOT ended;

-- name: insert_move
-- $1 tenant, $2 move_id, $3 document, $4 actor
INSERT INTO pool_moves (tenant, move_id, document, actor)
VALUES ($1, $2, $3::jsonb, $4)
ON CONFLICT (tenant, move_id) DO NOTHING;

-- name: same_move
-- $1 tenant, $2 move_id, $3 document
SELECT document = $3::jsonb
FROM pool_moves
WHERE tenant = $1 AND move_id = $2;

-- name: finish_move
-- $1 tenant, $2 move_id, $3 units
UPDATE pool_moves
SET moved = $3
WHERE tenant = $1 AND move_id = $2;

-- name: paused_since
-- $1 tenant, $2 scope, $3 id
SELECT since
FROM pauses
WHERE tenant = $1 AND scope = $2 AND id = $3;

-- name: list_stock
-- One row for each pool of a channel, with the offer that the cell serves from it; and for each bundle
-- of which every component has a pool there, in a campaign only if that names it.
-- $1 tenant, $2 channel ('' all), $3 sku ('' all), $4 $5 $6 after (sku, channel, campaign), $7 limit
WITH plain AS (
  SELECT p.sku, p.channel, p.campaign, p.pool_id, r.body, '[]'::jsonb AS components
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
  SELECT b.sku, p.channel, p.campaign, ''::text, ''::bytea, b.components
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

-- name: stock_of
-- The rows of list_stock for these. $1 tenant, $2 skus, $3 channels, $4 campaigns
SELECT p.sku, p.channel, p.campaign, p.pool_id, r.body, '[]'::jsonb AS components
FROM pools AS p
JOIN cell_rules AS r
  ON r.cell = p.cell
  AND r.field = concat_ws(E'\x1f', 'offer', p.tenant, p.campaign, p.channel, p.sku)
WHERE p.tenant = $1
  AND NOT p.ended
  AND (p.sku, p.channel, p.campaign) IN (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[])
  );

-- name: available
-- $1 pool ids
SELECT pool_id, available
FROM pools
WHERE pool_id = ANY($1::text[]) AND NOT ended;

-- name: recorded_to
-- $1 cell
SELECT now() AS at, coalesce((SELECT last_id FROM cells WHERE cell = $1), '0-0') AS log_id;
