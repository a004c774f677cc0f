-- How far Postgres has come with a cell's log, and what it has of one campaign.

-- name: recorded
SELECT last_id, recorded FROM cells WHERE cell = $1;

-- name: orders_of_campaigns
SELECT count(*) FROM orders WHERE campaign = any($1::text[]);
