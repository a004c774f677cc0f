-- A check of each line that a router binds, of what cannot be otherwise: whoever writes an assignment
-- has locked the balance of its key, which refers to the key itself. It was a third of what Postgres
-- took to write assignments.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore ban-drop-constraint
ALTER TABLE stock_assignments DROP CONSTRAINT stock_assignments_key_id_fkey;
