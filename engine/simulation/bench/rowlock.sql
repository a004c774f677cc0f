-- What one writes without an engine; the tables live in a schema of the bench's own.

-- name: stock_table
CREATE TABLE stock (sku text PRIMARY KEY, quantity bigint NOT NULL);

-- name: orders_table
CREATE TABLE orders (
  order_id text PRIMARY KEY,
  channel text NOT NULL,
  channel_order_id text NOT NULL,
  buyer_id text NOT NULL,
  total bigint NOT NULL,
  ship_to text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (channel, channel_order_id)
);

-- name: lines_table
CREATE TABLE order_lines (
  order_id text NOT NULL,
  line_no int NOT NULL,
  sku text NOT NULL,
  quantity bigint NOT NULL,
  unit_price bigint NOT NULL,
  PRIMARY KEY (order_id, line_no)
);

-- name: fill_stock
INSERT INTO stock (sku, quantity) SELECT unnest($1::text[]), 1000000000;

-- name: take
-- Kinder to it than SELECT ... FOR UPDATE and UPDATE: one round trip under the lock less.
UPDATE stock SET quantity = quantity - $2 WHERE sku = $1 AND quantity >= $2 RETURNING sku;

-- name: insert_order
INSERT INTO orders (order_id, channel, channel_order_id, buyer_id, total, ship_to)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: insert_line
INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price) VALUES ($1, $2, $3, $4, $5);
