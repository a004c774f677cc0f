-- By which rules of stock, nodes and profiles an order was found to have to wait.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE routing_queue ADD COLUMN inputs bigint NOT NULL DEFAULT 0;
