-- The trace in which an order was placed (a W3C traceparent), for whoever goes on with it: NULL, and
-- without a byte in the row, where its request named none.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE orders ADD COLUMN trace text;
