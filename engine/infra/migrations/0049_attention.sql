-- Orders that a person has to look at although nothing of them is to be routed (engine/routing).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX routing_hands_twice ON routing_hands (order_id) WHERE hold = 'shipped_twice';
