-- Whether cell and database agreed at the last checkpoint that was written for it (engine/assurance).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE certificates (
  cell text PRIMARY KEY,
  log_id text NOT NULL,
  at timestamptz NOT NULL,
  pools bigint NOT NULL,
  differing bigint NOT NULL,                 -- pools that are not the same on both sides
  unbalanced bigint NOT NULL,                -- pools that do not add up
  oversold bigint NOT NULL,
  unrecorded bigint NOT NULL,                -- orders accepted before it and not recorded before it
  holds boolean GENERATED ALWAYS AS (
    differing = 0 AND unbalanced = 0 AND oversold = 0 AND unrecorded = 0
  ) STORED
) WITH (fillfactor = 50);
