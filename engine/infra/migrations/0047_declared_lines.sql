-- Goods that nobody had counted when a shipment of them was planned: their units are assigned once
-- somebody counts them (engine/shipments/service/adopting.py).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '600s';

CREATE TABLE declared_lines (
  tenant text NOT NULL,
  sku text NOT NULL,
  shipment_id text NOT NULL,
  PRIMARY KEY (tenant, sku, shipment_id)
);
INSERT INTO declared_lines (tenant, sku, shipment_id)
SELECT DISTINCT s.tenant, l ->> 1, s.shipment_id
FROM shipments AS s CROSS JOIN json_array_elements(s.lines) AS l
WHERE (l ->> 3)::integer = 0;
