-- When what is left of an order is cancelled, because a plan says so and nothing came of it.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE routing_queue ADD COLUMN cancel_at timestamptz;

-- Rows that have one are few, and none has before.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX routing_queue_cancel ON routing_queue (tenant, cancel_at) WHERE cancel_at IS NOT NULL;
