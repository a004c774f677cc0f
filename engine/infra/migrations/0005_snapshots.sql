-- Orders that a marketplace sold: the snapshot they stand at, and the units that are owed to them.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Both are '' for an order that was asked for; `version` says which snapshot this row is.
ALTER TABLE orders ADD COLUMN version text NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN source_status text NOT NULL DEFAULT '';
-- By what the channel names the line, so that a later snapshot finds it.
ALTER TABLE order_lines ADD COLUMN channel_line_id text NOT NULL DEFAULT '';

-- A first snapshot of an order that was here already, and that the cell had forgotten: not a second
-- hold to give back, but the order itself.
ALTER TABLE duplicates ADD COLUMN merged boolean NOT NULL DEFAULT false;

-- Units sold beyond stock, by the pool that owes them: summed by pool they are `pools.owed`. Who is
-- repaid first is decided by (placed_at, order_id).
CREATE TABLE shorts (
  order_id text NOT NULL,
  pool_id text NOT NULL,
  line_no integer NOT NULL,
  units bigint NOT NULL,
  placed_at timestamptz NOT NULL,
  PRIMARY KEY (order_id, pool_id)
);
CREATE INDEX shorts_turn ON shorts (pool_id, placed_at, order_id);
