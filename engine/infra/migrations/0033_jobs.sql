-- Calls to the outside that wait, are done by one worker at a time, and are tried again.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE jobs (
  job_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  queue text COLLATE "C" NOT NULL,           -- whom it asks: one breaker each
  kind text NOT NULL,
  key text NOT NULL,                         -- jobs of one key are done in turn, by job_id
  payload jsonb NOT NULL,                    -- ids only: what is personal is read when it is sent
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
  due_at timestamptz NOT NULL DEFAULT now(), -- of a leased one: when its lease lapses
  attempts int NOT NULL DEFAULT 0,           -- begun ones
  token bigint NOT NULL DEFAULT 0,           -- of the last lease
  leased_until timestamptz,                  -- NULL: nobody has it
  last_error text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX jobs_due ON jobs (tenant, queue, due_at) WHERE state = 'waiting';
CREATE INDEX jobs_key ON jobs (tenant, key, job_id);
CREATE INDEX jobs_dead ON jobs (tenant, job_id) WHERE state = 'dead';
CREATE SEQUENCE job_tokens;

-- A row only for a queue that failed since its last success.
CREATE TABLE job_breakers (
  tenant text NOT NULL,
  queue text COLLATE "C" NOT NULL,
  failures int NOT NULL,                     -- in a row
  opened_at timestamptz,                     -- NULL: calls go out as ever
  probe_at timestamptz,                      -- when the next single call may go out
  PRIMARY KEY (tenant, queue)
) WITH (fillfactor = 50);
