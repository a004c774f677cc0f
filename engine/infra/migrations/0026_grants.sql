-- Grants are settled in stretches, and planned around.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Every grant is updated twice soon after it is written, sent and then folded: room beside it keeps
-- the first of these out of the indexes.
ALTER TABLE grants SET (fillfactor = 60);

-- The planner asks before each SKU which of them wait for units to be taken away; mostly none do.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX grants_shrinking ON grants (pool_id) WHERE applied IS NULL AND delta < 0;
