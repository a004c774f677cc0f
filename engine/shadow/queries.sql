-- Tables: shadow_lines, shadow_counts, shadow_numbers (engine/infra/migrations/0020_shadow.sql),
-- listings (…/0007_listings.sql).

-- name: lock_shadow
-- Who brings facts of one tenant takes turns: which version is newer is decided beside the rows.
-- $1 tenant
SELECT pg_advisory_xact_lock(hashtextextended('shadow ' || $1::text, 0));

-- name: find_lines
-- $1 tenant, then per line $2 channel, $3 channel_order_id, $4 line
SELECT channel, channel_order_id, line, version, item_id, sku_id, sku, node, quantity, placed_at,
  known_at, accepted_at, shipped_at, cancelled_at
FROM shadow_lines
WHERE tenant = $1 AND (channel, channel_order_id, line) IN (
  SELECT * FROM unnest($2::text[], $3::text[], $4::text[])
);

-- name: write_lines
-- $1 tenant, then per line its columns in their order
INSERT INTO shadow_lines (
  tenant, channel, channel_order_id, line, version, item_id, sku_id, sku, node, quantity,
  placed_at, known_at, accepted_at, shipped_at, cancelled_at
)
SELECT $1, * FROM unnest(
  $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
  $10::bigint[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[],
  $15::timestamptz[]
)
ON CONFLICT (tenant, channel, channel_order_id, line) DO UPDATE
SET version = excluded.version, item_id = excluded.item_id, sku_id = excluded.sku_id,
  sku = excluded.sku, node = excluded.node, quantity = excluded.quantity,
  placed_at = excluded.placed_at, known_at = excluded.known_at,
  accepted_at = excluded.accepted_at, shipped_at = excluded.shipped_at,
  cancelled_at = excluded.cancelled_at, imported_at = now();

-- name: find_counts
-- $1 tenant, then per count $2 sku, $3 node, $4 owner, $5 condition, $6 batch, $7 as_of, $8 sequence
SELECT node, owner, sku, condition, batch, as_of, sequence, basis, quantity, locked, safety,
  received_at
FROM shadow_counts
WHERE tenant = $1 AND (sku, node, owner, condition, batch, as_of, sequence) IN (
  SELECT * FROM unnest(
    $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bigint[]
  )
);

-- name: write_counts
-- $1 tenant, then per count its columns in their order
INSERT INTO shadow_counts (
  tenant, node, owner, sku, condition, batch, as_of, sequence, basis, quantity, locked, safety,
  received_at
)
SELECT $1, * FROM unnest(
  $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bigint[],
  $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::timestamptz[]
);

-- name: find_numbers
-- $1 tenant, then per number $2 channel, $3 item_id, $4 sku_id, $5 sku, $6 seen_at
SELECT channel, item_id, sku_id, sku, seen_at, quantity
FROM shadow_numbers
WHERE tenant = $1 AND (channel, item_id, sku_id, sku, seen_at) IN (
  SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
);

-- name: write_numbers
-- $1 tenant, then per number its columns in their order
INSERT INTO shadow_numbers (tenant, channel, item_id, sku_id, sku, seen_at, quantity)
SELECT $1, * FROM unnest(
  $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bigint[]
);

-- name: all_lines
-- In the order in which they were placed. $1 tenant, $2 until
SELECT channel, channel_order_id, line, version, item_id, sku_id, sku, node, quantity, placed_at,
  known_at, accepted_at, shipped_at, cancelled_at
FROM shadow_lines
WHERE tenant = $1 AND placed_at <= $2
ORDER BY placed_at, channel, channel_order_id, line;

-- name: all_counts
-- $1 tenant, $2 until
SELECT node, owner, sku, condition, batch, as_of, sequence, basis, quantity, locked, safety,
  received_at
FROM shadow_counts
WHERE tenant = $1 AND as_of <= $2
ORDER BY as_of, sequence, node, owner, batch, sku, condition;

-- name: all_numbers
-- $1 tenant, $2 until
SELECT channel, item_id, sku_id, sku, seen_at, quantity
FROM shadow_numbers
WHERE tenant = $1 AND seen_at <= $2
ORDER BY seen_at, channel, item_id, sku_id, sku;

-- name: mapped_links
-- What the links of these facts stand for now. $1 tenant
SELECT channel, item_id, sku_id, sku, units_per
FROM listings
WHERE tenant = $1 AND NOT removed
ORDER BY channel, item_id, sku_id, sku;

-- name: forget_lines
DELETE FROM shadow_lines WHERE tenant = $1;

-- name: forget_counts
DELETE FROM shadow_counts WHERE tenant = $1;

-- name: forget_numbers
DELETE FROM shadow_numbers WHERE tenant = $1;
