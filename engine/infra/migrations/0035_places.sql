-- Places: what a node can do and when, and regions of one's own (engine/places).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- `document` is the body of the last PUT, normalised. A node without a row works round the clock.
CREATE TABLE node_profiles (
  tenant text NOT NULL,
  node text NOT NULL,
  version bigint NOT NULL,
  document jsonb NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, node)
);

-- Regions that count instead of those in the tree (engine/places/data), or beside them.
CREATE TABLE regions (
  tenant text NOT NULL,
  code text NOT NULL,
  name text NOT NULL,
  latitude double precision,                 -- degrees; both or none
  longitude double precision,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((latitude IS NULL) = (longitude IS NULL)),
  PRIMARY KEY (tenant, code)
);
