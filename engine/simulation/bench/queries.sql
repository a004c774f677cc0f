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

-- name: pools_to_grant
-- $1 campaign
SELECT count(*) FROM pools WHERE campaign = $1 AND NOT ended;

-- name: write_grants
-- $1 campaign, $2 how many for each of its pools, an even number: none is left with more or less
INSERT INTO grants (pool_id, seq, delta, reason, reference)
SELECT p.pool_id, p.seq + n, CASE WHEN n % 2 = 1 THEN 1 ELSE -1 END, 'campaign', $1
FROM pools AS p, generate_series(1, $2::integer) AS n
WHERE p.campaign = $1 AND NOT p.ended;

-- name: grants_are_open
SELECT EXISTS (SELECT FROM grants WHERE applied IS NULL);
