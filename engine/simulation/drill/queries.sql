-- Tables: orders, recoveries (infra/migrations).

-- name: recorded_numbers
SELECT channel_order_id FROM orders WHERE channel = $1;

-- name: last_recovery
SELECT
  orders, pending, greatest(0, accepted_before - accepted_after) AS uncounted,
  extract(epoch FROM rebuilt_at - started_at)::double precision AS seconds
FROM recoveries
WHERE opened_at IS NOT NULL
ORDER BY epoch DESC
LIMIT 1;
