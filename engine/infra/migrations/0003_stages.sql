-- Orders paid in stages: a deposit, then the balance.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- [[name, pay_by, held_until, [[line_no, minor units for one unit], …]], …] of what is still to be
-- paid, instants in ms; a stage without prices asks for the rest. Empty: all is due at once.
ALTER TABLE orders ADD COLUMN stages jsonb NOT NULL DEFAULT '[]';
