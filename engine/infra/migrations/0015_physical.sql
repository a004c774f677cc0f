-- Physical stock: a list that can be followed, parts of assignments, answers that are forgotten.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Which transaction wrote it: who follows the list must know below which one nothing can come any
-- more. Those that are there were all committed long ago. A constant first: no row is written anew.
ALTER TABLE stock_movements ADD COLUMN xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE stock_movements ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
-- Before the first release nobody waits for it.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX stock_movements_follow ON stock_movements (tenant, xid, movement_id);
-- Where in that order what came since an instant begins.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX stock_movements_received;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX stock_movements_received ON stock_movements (tenant, received_at) INCLUDE (xid);

-- Its lines were forgotten: what remains says so. The digest stays and tells a repeat from another.
ALTER TABLE stock_references ADD COLUMN pruned boolean NOT NULL DEFAULT false;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX stock_references_prunable ON stock_references (received_at) WHERE NOT pruned;

-- Units of an assignment that left or were cancelled apart from the others, as many as its parts
-- have by the rule; the stamps of its row are those of the rest.
ALTER TABLE stock_assignments ADD COLUMN apart bigint NOT NULL DEFAULT 0;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX stock_assignments_open;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX stock_assignments_open ON stock_assignments (key_id)
  WHERE shipped_at IS NULL AND cancelled_at IS NULL AND units > apart;

CREATE TABLE stock_parts (
  tenant text NOT NULL,
  order_id text NOT NULL,
  line_no integer NOT NULL,
  node text NOT NULL,
  attempt integer NOT NULL,
  verb text NOT NULL CHECK (verb IN ('ship', 'cancel')),
  part text NOT NULL,                        -- of the parcel or the call that said so
  told bigint NOT NULL CHECK (told > 0),
  at timestamptz NOT NULL,                   -- the earliest one told
  key_id bigint NOT NULL REFERENCES stock_keys,
  units bigint NOT NULL CHECK (units >= 0),  -- as the rule has it: what shipped was not cancelled
  accepted_at timestamptz,                   -- of the assignment
  PRIMARY KEY (tenant, order_id, line_no, node, attempt, verb, part)
);
CREATE INDEX stock_parts_ended ON stock_parts (key_id, at);

-- One look-up of a key found all of its SKU by the old index, where nothing had been analysed yet:
-- 5,000 of them took half a minute for a SKU of many batches. By this one each finds its row.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX stock_keys_sku;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX stock_keys_sku ON stock_keys (tenant, sku, node, owner, condition, batch);
