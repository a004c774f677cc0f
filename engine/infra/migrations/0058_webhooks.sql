-- Webhooks (engine/webhooks): who is told, what there is to tell, how far each has come, and what
-- came of each try. What goes well costs one row of `webhook_attempts` a delivery: an endpoint reads
-- `webhook_events` by a cursor, and only what waits has a row of its own.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE webhook_endpoints (
  endpoint_id text PRIMARY KEY,
  tenant text NOT NULL,
  url text NOT NULL,
  description text NOT NULL,
  types text[] NOT NULL,                     -- as they were asked for
  patterns text[] NOT NULL,                  -- the same as LIKE has them
  channels text[] NOT NULL,                  -- {}: all
  state text NOT NULL DEFAULT 'active',      -- active disabled
  cause text NOT NULL DEFAULT '',            -- why it is disabled
  version bigint NOT NULL DEFAULT 1,         -- of what is above, and of its secrets
  actor text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  cursor bigint NOT NULL,                    -- all below it is delivered, or waits
  owner text NOT NULL DEFAULT '',            -- who delivers, until when; the token fences
  token bigint NOT NULL DEFAULT 0,
  leased_until timestamptz NOT NULL DEFAULT '-infinity',
  failures int NOT NULL DEFAULT 0,           -- what opens its circuit
  failing_since timestamptz,
  delivered_at timestamptz
) WITH (fillfactor = 50);

CREATE TABLE webhook_secrets (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  endpoint_id text NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
  secret text NOT NULL,                      -- whole: we sign with it
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz                     -- NULL: the newest one
);
CREATE INDEX webhook_secrets_endpoint ON webhook_secrets (endpoint_id);

-- What somebody wants to be told; numbers are in the order of commits: one writer at a time.
CREATE TABLE webhook_events (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  message_id text NOT NULL,
  type text NOT NULL,
  channel text NOT NULL,
  key text NOT NULL,
  at timestamptz NOT NULL,
  trace text NOT NULL,
  body text NOT NULL
);
CREATE INDEX webhook_events_at ON webhook_events USING brin (at) WITH (autosummarize = true);

-- What did not go well, or stands behind such a one, or is to be sent again.
CREATE TABLE webhook_waiting (
  endpoint_id text NOT NULL,
  seq bigint NOT NULL,
  key text NOT NULL,
  state text NOT NULL DEFAULT 'waiting',     -- waiting dead
  attempts int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  cause text NOT NULL DEFAULT '',
  PRIMARY KEY (endpoint_id, seq)
) WITH (fillfactor = 70);
CREATE INDEX webhook_waiting_key ON webhook_waiting (endpoint_id, key, seq) WHERE state = 'waiting';
CREATE INDEX webhook_waiting_dead ON webhook_waiting (endpoint_id, seq) WHERE state = 'dead';
CREATE INDEX webhook_waiting_due ON webhook_waiting (endpoint_id, due_at) WHERE state = 'waiting';

CREATE TABLE webhook_attempts (
  endpoint_id text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  seq bigint NOT NULL,
  message_id text NOT NULL,
  type text NOT NULL,
  attempt int NOT NULL,
  at timestamptz NOT NULL,
  outcome text NOT NULL,                     -- delivered failed gone
  status int NOT NULL,                       -- 0: no answer
  seconds real NOT NULL,
  error text NOT NULL,
  PRIMARY KEY (endpoint_id, id)
);
CREATE INDEX webhook_attempts_at ON webhook_attempts USING brin (at) WITH (autosummarize = true);
