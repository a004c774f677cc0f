-- Refunds as they were told to us, and the events that wait for the blocks of their orders.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE refunds (
  order_id text NOT NULL,
  refund_id text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('cancel', 'return', 'allowance')),
  state text NOT NULL CHECK (state IN ('requested', 'done', 'rejected')),
  amount bigint NOT NULL,                    -- minor units
  currency text NOT NULL,
  lines jsonb NOT NULL,                      -- [[line_no, units], …]: what the money is for
  actor text NOT NULL,                       -- of the last change of state
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (order_id, refund_id)
);

-- Events a reader has passed without being offered them, because their order was blocked. The
-- primary key holds each once; the index finds an order's, oldest first.
CREATE TABLE parked_events (
  reader text NOT NULL,
  xid xid8 NOT NULL,
  id bigint NOT NULL,
  order_id text NOT NULL,
  PRIMARY KEY (reader, xid, id)
);
CREATE INDEX parked_events_order ON parked_events (reader, order_id, xid, id);

-- Behind which order the reader goes on looking for parked events that may go.
ALTER TABLE event_cursors ADD COLUMN parked_after text NOT NULL DEFAULT '';
