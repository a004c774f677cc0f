-- Everything that waits for a person, as one list (engine/desk; ops/adr/0031-the-desk-reads-a-view.md).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '600s';        -- it reads the orders there are, once; recorders wait for it

-- Which orders somebody has to look at. A partial index on `orders` would do, but its predicate would
-- name `payment_state`, and each payment would then write all of the order's indexes anew. Kept by the
-- triggers below: whoever writes an order knows nothing of it.
CREATE TABLE order_cares (
  order_id text NOT NULL,
  code text NOT NULL CHECK (code IN ('needs_attention', 'refund_due')),
  reason text NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (order_id, code)
);
CREATE INDEX order_cares_code ON order_cares (code);

CREATE FUNCTION keep_order_cares() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  due boolean := new.payment_state = 'refund_due' OR new.attention LIKE 'a refund is due for %';
  told boolean := new.attention <> '' AND new.attention NOT LIKE 'a refund is due for %';
BEGIN
  DELETE FROM order_cares AS c
  WHERE
    c.order_id = new.order_id
    AND NOT CASE c.code WHEN 'refund_due' THEN due ELSE told END;
  INSERT INTO order_cares (order_id, code, reason)
  SELECT new.order_id, one.code, one.reason
  FROM (
    VALUES
      ('refund_due', due, coalesce(nullif(new.attention, ''), 'the order ended and was paid')),
      ('needs_attention', told, new.attention)
  ) AS one (code, stands, reason)
  WHERE one.stands
  ON CONFLICT (order_id, code) DO UPDATE SET reason = excluded.reason
  WHERE order_cares.reason <> excluded.reason;
  RETURN NULL;
END;
$$;
CREATE TRIGGER order_cares_new AFTER INSERT ON orders FOR EACH ROW
WHEN (new.attention <> '' OR new.payment_state = 'refund_due')
EXECUTE FUNCTION keep_order_cares();
CREATE TRIGGER order_cares_changed AFTER UPDATE ON orders FOR EACH ROW
WHEN (
  old.attention <> new.attention
  OR (old.payment_state = 'refund_due') <> (new.payment_state = 'refund_due')
)
EXECUTE FUNCTION keep_order_cares();

INSERT INTO order_cares (order_id, code, reason, since)
SELECT
  order_id, 'refund_due',
  CASE WHEN attention LIKE 'a refund is due for %' THEN attention ELSE 'the order ended and was paid' END,
  recorded_at
FROM orders
WHERE payment_state = 'refund_due' OR attention LIKE 'a refund is due for %'
UNION ALL
SELECT order_id, 'needs_attention', attention, recorded_at
FROM orders
WHERE attention <> '' AND attention NOT LIKE 'a refund is due for %';

-- A sum over what a shipment has of its order's open units: minor units.
CREATE FUNCTION shipment_payable(of_order text, lines json) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT sum(l.payable * least((x ->> 2)::bigint, l.open_quantity) / l.open_quantity)::bigint
  FROM json_array_elements(lines) AS x
  JOIN order_lines AS l ON l.order_id = of_order AND l.line_no = (x ->> 0)::integer
  WHERE l.open_quantity > 0;
$$;

-- `tenant` is '' where it is the whole cell's; `since` is when it began, `ship_by` what was promised.
-- `amount` is what is at risk, in minor units: what a line asks for where a line is meant, of a
-- shipment what its order asks for of its units, money that is to go back where that is meant, else
-- what the whole order asks for; NULL where nobody can say.
CREATE VIEW exceptions AS
SELECT
  o.tenant, b.code, 'block:' || b.code || ':' || coalesce(nullif(b.line_id, ''), b.order_id) AS id,
  o.order_id, o.channel, o.channel_order_id, b.line_id, coalesce(l.sku, '') AS sku, '' AS subject,
  b.since, (o.document #>> '{promise,ship_by}')::timestamptz AS ship_by,
  coalesce(l.payable, o.payable) AS amount, o.currency, b.reason
FROM blocks AS b
JOIN orders AS o ON o.order_id = b.order_id
LEFT JOIN order_lines AS l
  ON l.order_id = CASE WHEN b.line_id <> '' THEN b.order_id END -- NULL is looked up in no time
  AND l.line_no = substring(b.line_id FROM '-(\d{1,4})$')::integer
WHERE
  o.state = 'open' AND (b.until IS NULL OR b.until > now())
  -- every order of a channel cools off, and every presale waits: nobody has to do anything
  AND NOT (b.code IN ('cool_off', 'presale') AND b.until IS NOT NULL)
UNION ALL
SELECT
  o.tenant, c.code, c.code || ':' || c.order_id, o.order_id, o.channel, o.channel_order_id, '', '', '',
  c.since,
  CASE WHEN o.state = 'open' THEN (o.document #>> '{promise,ship_by}')::timestamptz END,
  CASE
    WHEN c.code = 'needs_attention' THEN o.payable
    ELSE greatest(0, (
      SELECT
        coalesce(sum(p.amount) FILTER (WHERE p.state = 'applied'), 0)
        + coalesce(sum(p.amount) FILTER (WHERE p.state = 'refund_due'), 0)
      FROM payments AS p WHERE p.order_id = c.order_id
    ) - (
      SELECT coalesce(sum(r.amount), 0) FROM refunds AS r
      WHERE r.order_id = c.order_id AND r.state = 'done'
    ) - CASE WHEN o.state = 'open' THEN o.payable ELSE 0 END)::bigint
  END,
  o.currency, c.reason
FROM order_cares AS c
JOIN orders AS o ON o.order_id = c.order_id
UNION ALL
SELECT
  q.tenant, 'unfillable', 'queue:' || q.order_id, o.order_id, o.channel, o.channel_order_id, '', '', '',
  q.since, (o.document #>> '{promise,ship_by}')::timestamptz, o.payable, o.currency, q.reason
FROM routing_queue AS q
JOIN orders AS o ON o.order_id = q.order_id
WHERE q.queue = 'UNFILLABLE'
UNION ALL
SELECT
  q.tenant, 'backorder', 'queue:' || q.order_id, o.order_id, o.channel, o.channel_order_id, '', '', '',
  q.since, (o.document #>> '{promise,ship_by}')::timestamptz, o.payable, o.currency, q.reason
FROM routing_queue AS q
JOIN orders AS o ON o.order_id = q.order_id
WHERE q.queue = 'BACKORDER'
UNION ALL
SELECT
  q.tenant, 'rejected', 'queue:' || q.order_id, o.order_id, o.channel, o.channel_order_id, '', '', '',
  q.since, (o.document #>> '{promise,ship_by}')::timestamptz, o.payable, o.currency, q.reason
FROM routing_queue AS q
JOIN orders AS o ON o.order_id = q.order_id
WHERE q.queue = 'REJECTED'
UNION ALL
SELECT
  q.tenant, 'route_by_hand', 'queue:' || q.order_id, o.order_id, o.channel, o.channel_order_id, '', '', '',
  q.since, (o.document #>> '{promise,ship_by}')::timestamptz, o.payable, o.currency, q.reason
FROM routing_queue AS q
JOIN orders AS o ON o.order_id = q.order_id
WHERE q.queue = 'MANUAL'
UNION ALL
SELECT
  b.tenant, 'broken_promise', 'promise:' || b.id, o.order_id, o.channel, o.channel_order_id,
  b.order_id || '-' || b.line_no, b.sku, '', b.since,
  (o.document #>> '{promise,ship_by}')::timestamptz,
  l.payable * least(b.units, l.open_quantity) / l.open_quantity, o.currency,
  b.units || ' sold and not to be sent: ' || b.reason
FROM broken_promises AS b
JOIN orders AS o ON o.order_id = b.order_id
JOIN order_lines AS l ON l.order_id = b.order_id AND l.line_no = b.line_no
-- of what was cancelled since, nothing is promised any more
WHERE b.until IS NULL AND o.state = 'open' AND l.open_quantity > 0
UNION ALL
SELECT
  s.tenant, 'ship_by_missed', 'shipment:' || s.shipment_id, s.order_id, o.channel,
  o.channel_order_id, '', '', s.shipment_id, s.promised_ship_by, s.promised_ship_by,
  shipment_payable(s.order_id, s.lines), o.currency, s.node || ' has it, ' || s.state
FROM shipments AS s
JOIN orders AS o ON o.order_id = s.order_id
WHERE
  s.promised_ship_by < now()
  AND s.state IN (
    'planned', 'sending', 'unknown', 'sent', 'accepted', 'picked', 'packed', 'stopping',
    'partly_shipped'
  )
UNION ALL
SELECT
  a.tenant, 'ack_failed', 'ack:' || a.channel || ':' || a.parcel_id, a.order_id, a.channel,
  o.channel_order_id, '', '', a.parcel_id, p.shipped_at, a.ship_by,
  shipment_payable(s.order_id, s.lines), o.currency, a.reason
FROM channel_acks AS a
JOIN parcels AS p ON p.parcel_id = a.parcel_id
JOIN shipments AS s ON s.shipment_id = p.shipment_id
JOIN orders AS o ON o.order_id = a.order_id
WHERE a.state = 'failed'
UNION ALL
SELECT
  j.tenant, 'dead_job', 'letter:job-' || j.job_id, coalesce(s.order_id, ''),
  coalesce(o.channel, ''), coalesce(o.channel_order_id, ''), '', '', j.key, j.created_at,
  s.promised_ship_by, shipment_payable(s.order_id, s.lines), coalesce(o.currency, ''),
  j.queue || ': ' || j.last_error
FROM jobs AS j
LEFT JOIN LATERAL (
  SELECT m.order_id, m.promised_ship_by, m.lines
  FROM shipments AS m WHERE m.shipment_id = j.payload ->> 'consignment_id'
  UNION ALL
  SELECT m.order_id, m.promised_ship_by, m.lines
  FROM shipments AS m
  WHERE m.consignment_id = j.payload ->> 'consignment_id' AND m.consignment_id <> m.shipment_id
  LIMIT 1
) AS s ON true
LEFT JOIN orders AS o ON o.order_id = s.order_id
WHERE j.state = 'dead'
UNION ALL
SELECT
  coalesce(o.tenant, ''), 'dead_entry', 'letter:cell-' || d.id, d.order_id, coalesce(o.channel, ''),
  coalesce(o.channel_order_id, ''), '', '', d.log_id, d.at,
  (o.document #>> '{promise,ship_by}')::timestamptz, o.payable, coalesce(o.currency, ''),
  -- what follows in it may quote the row
  d.kind || ': ' || split_part(d.reason, E'\n', 1)
FROM dead_letters AS d
LEFT JOIN orders AS o ON o.order_id = d.order_id
WHERE d.resolved_at IS NULL
UNION ALL
SELECT
  coalesce(o.tenant, ''), 'payment_waiting', 'payment:' || p.order_id || ':' || p.payment_id,
  p.order_id, coalesce(o.channel, ''), coalesce(o.channel_order_id, ''), '', '', p.payment_id,
  p.recorded_at, NULL, p.amount, p.currency, 'it came while the cell was closed'
FROM payments AS p
LEFT JOIN orders AS o ON o.order_id = p.order_id
WHERE p.state = 'received'
UNION ALL
SELECT
  u.tenant, 'unmapped_listing',
  'listing:' || u.channel || ':' || u.item_id || ':' || u.sku_id || ':' || u.sku, '', u.channel, '',
  '', u.sku, u.item_id || CASE WHEN u.sku_id = '' THEN '' ELSE '/' || u.sku_id END, u.first_seen,
  NULL, NULL, '',
  CASE
    WHEN u.reason = 'unknown_sku' THEN 'no such SKU is for sale'
    WHEN m.skus = 0 THEN 'the link stands for no SKU'
    ELSE 'the link stands for ' || m.skus || ' SKUs'
  END || ', ' || u.orders || ' orders met it'
FROM unmapped_listings AS u
CROSS JOIN LATERAL (
  SELECT count(*) AS skus
  FROM listings AS l
  WHERE
    l.tenant = u.tenant AND l.channel = u.channel AND l.item_id = u.item_id
    AND l.sku_id = u.sku_id AND NOT l.removed
) AS m
WHERE
  CASE
    WHEN u.reason = 'unknown_sku'
      THEN NOT EXISTS (SELECT FROM pools AS p WHERE p.tenant = u.tenant AND p.sku = u.sku)
        AND NOT EXISTS (
          SELECT FROM bundles AS b
          WHERE b.tenant = u.tenant AND b.sku = u.sku AND b.components <> '[]'
        )
    ELSE m.skus <> 1
  END
UNION ALL
SELECT
  s.tenant, 'stock_short', 'short:' || s.id, '', '', '', '', s.sku, s.node_group, s.since, NULL,
  NULL, '', s.lacking || ' units are sold and are not there'
FROM stock_shorts AS s
WHERE s.until IS NULL
UNION ALL
SELECT
  e.tenant, 'webhook_failed', 'webhook:' || e.endpoint_id, '', '', '', '', '', e.endpoint_id,
  coalesce(e.failing_since, e.updated_at), NULL, NULL, '',
  CASE WHEN e.state = 'disabled' THEN 'it is told nothing: ' || e.cause ELSE 'messages were given up' END
  || CASE WHEN d.letters > 0 THEN ', ' || d.letters || ' dead letters' ELSE '' END
FROM webhook_endpoints AS e
CROSS JOIN LATERAL (
  SELECT count(*) AS letters
  FROM webhook_waiting AS w
  WHERE w.endpoint_id = e.endpoint_id AND w.state = 'dead'
) AS d
WHERE d.letters > 0 OR (e.state = 'disabled' AND e.cause <> 'by_hand');

-- What was done in bulk: whom it was to touch is written before the first is touched, what became of
-- them after the last.
CREATE TABLE desk_remedies (
  tenant text NOT NULL,
  remedy_id text NOT NULL,
  asked text NOT NULL,                       -- digest of the request
  targets json NOT NULL,
  actor text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  until timestamptz NOT NULL,                -- nobody else runs it before
  answer json,                               -- NULL: it runs, or was broken off
  PRIMARY KEY (tenant, remedy_id)
);
