-- Duties: work of a cell that one process does at a time, and another goes on with.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The row only avoids work: whoever lost it without noticing must still do no harm.
CREATE TABLE duties (
  cell text NOT NULL,
  duty text NOT NULL,
  owner text NOT NULL,                       -- a process
  until timestamptz NOT NULL,
  PRIMARY KEY (cell, duty)
) WITH (fillfactor = 50);
