-- Addresses that marketplaces told anew of what nodes have already (engine/shipments).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- By what its shipments were routed when it was told: what is compared with `region_code`.
ALTER TABLE order_addresses ADD COLUMN former_region text NOT NULL DEFAULT '';

-- Nobody asked yet that what goes to the former one be stopped. Such rows are few, and none is before.
ALTER TABLE order_addresses ADD COLUMN unasked boolean NOT NULL DEFAULT false;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX order_addresses_unasked ON order_addresses (order_id) WHERE unasked;
