-- Plans of routing by version, what plans decide beside the active one, and reviews of orders
-- (engine/routing, engine/review).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- A row a version; of a plan at most one, the last, is a DRAFT, which the next one replaces. Any
-- other stays as it is: decisions name it.
CREATE TABLE routing_plans (
  tenant text NOT NULL,
  plan text NOT NULL,
  version bigint NOT NULL,
  status text NOT NULL CHECK (status IN ('DRAFT', 'SHADOW', 'ACTIVE', 'ARCHIVED')),
  document json NOT NULL,                    -- the body of its PUT
  digest text NOT NULL,                      -- SHA-256 of the document
  effective_from timestamptz,                -- since when it is, or was last, ACTIVE
  effective_to timestamptz,                  -- until when it was
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  activated_by text NOT NULL DEFAULT '',
  activated_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, plan, version)
);
CREATE UNIQUE INDEX routing_plans_active ON routing_plans (tenant) WHERE status = 'ACTIVE';


-- What a SHADOW plan decided of an order, beside what the active one did: [active, shadow] each.
CREATE TABLE shadow_decisions (
  tenant text NOT NULL,
  plan text NOT NULL,
  version bigint NOT NULL,
  order_id text NOT NULL,
  at timestamptz NOT NULL,
  same boolean NOT NULL,
  parcels integer [] NOT NULL,
  freight bigint [] NOT NULL,
  deliver_by timestamptz [] NOT NULL,
  nodes json NOT NULL,
  PRIMARY KEY (tenant, plan, version, order_id)
);
CREATE INDEX shadow_decisions_at ON shadow_decisions (at);

-- By which orders are approved or held before they are routed; one document, `main`, a tenant.
CREATE TABLE review_rules (
  tenant text NOT NULL,
  name text NOT NULL,
  version bigint NOT NULL,
  document json NOT NULL,
  actor text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, name)
);

-- What the rules said of an order, each time that it was another one than before.
CREATE TABLE reviews (
  order_id text NOT NULL,
  revision integer NOT NULL,
  at timestamptz NOT NULL,
  digest text NOT NULL,                      -- of what was judged; nothing of it is kept
  verdict text NOT NULL CHECK (verdict IN ('approve', 'block')),
  rule text NOT NULL,                        -- '': none held
  rules_version bigint NOT NULL,             -- 0: there were none
  released_by text NOT NULL DEFAULT '',      -- who lifted its block; '' also where that passed
  PRIMARY KEY (order_id, revision)
);

-- A tenant whose open orders are all to be looked at, from the one after this on: its first plan
-- was activated.
CREATE TABLE review_sweeps (
  tenant text PRIMARY KEY,
  after text NOT NULL
);
