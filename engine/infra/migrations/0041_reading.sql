-- What it takes to read of an order why and where it is sent (engine/routing, engine/orders).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What numbers of nodes and services in decisions are called: a row for each list that a router saw.
-- Lists change as seldom as nodes are made, so none is forgotten.
CREATE TABLE routing_names (
  tenant text NOT NULL,
  names bigint NOT NULL,                     -- digest of both (engine/routing/rules/tracing.py)
  nodes text [] NOT NULL,
  services text [] NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, names)
);
