-- How far Postgres has come with a cell's log, and what it has of one campaign.

-- name: recorded
SELECT last_id, recorded FROM cells WHERE cell = $1;

-- name: orders_of_campaigns
SELECT count(*) FROM orders WHERE campaign = any($1::text[]);

-- name: size
SELECT
  (SELECT count(*) FROM orders) AS orders,
  pg_database_size(current_database()) AS database,
  (SELECT wal_bytes FROM pg_stat_wal) AS wal,
  (SELECT wal_fpi FROM pg_stat_wal) AS wal_pages;

-- name: tables
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes
FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relnamespace = to_regnamespace('public')
ORDER BY bytes DESC, name
LIMIT 8;

-- name: tidy_up
-- What the server's own vacuum would do while we measure.
VACUUM (ANALYZE);

-- name: write_out
CHECKPOINT;
