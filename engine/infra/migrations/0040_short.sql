-- What of a shipment did not leave although its node said that it is done with it.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE shipments
  ADD COLUMN short json NOT NULL DEFAULT '[]', -- [[line_no, units], …]; the order is to get them still
  ADD COLUMN short_settled boolean NOT NULL DEFAULT false; -- late confirms had their time
