-- What another system sold, counted and showed (engine/shadow); only its report reads it.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- One row a line of an order, the newest version that was told.
CREATE TABLE shadow_lines (
  tenant text NOT NULL,
  channel text NOT NULL,
  channel_order_id text NOT NULL,
  line text NOT NULL,
  version text NOT NULL,
  item_id text NOT NULL,
  sku_id text NOT NULL,
  sku text NOT NULL,
  node text NOT NULL,
  quantity bigint NOT NULL CHECK (quantity > 0),   -- pieces of its link
  placed_at timestamptz NOT NULL,
  known_at timestamptz,                            -- to the other system
  accepted_at timestamptz,                         -- by a warehouse
  shipped_at timestamptz,
  cancelled_at timestamptz,
  imported_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, channel, channel_order_id, line)
);

-- Every count that was told, not only the one that counts: what was known when is the question.
CREATE TABLE shadow_counts (
  tenant text NOT NULL,
  node text NOT NULL,
  owner text NOT NULL,
  sku text NOT NULL,
  condition text NOT NULL
    CHECK (condition IN ('good', 'defective', 'carrier_damaged', 'box_damaged', 'in_transit')),
  batch text NOT NULL,
  as_of timestamptz NOT NULL,
  sequence bigint NOT NULL,
  basis text NOT NULL CHECK (basis IN ('on_hand', 'available')),
  quantity bigint NOT NULL,
  locked bigint NOT NULL,
  safety bigint NOT NULL,                          -- units that the node is to keep
  received_at timestamptz NOT NULL,                -- by the other system
  imported_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, sku, node, owner, condition, batch, as_of, sequence)
);

-- What a shop showed of a link from an instant on, in its pieces.
CREATE TABLE shadow_numbers (
  tenant text NOT NULL,
  channel text NOT NULL,
  item_id text NOT NULL,
  sku_id text NOT NULL,
  sku text NOT NULL,
  seen_at timestamptz NOT NULL,
  quantity bigint NOT NULL CHECK (quantity >= 0),
  imported_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, channel, item_id, sku_id, sku, seen_at)
);
