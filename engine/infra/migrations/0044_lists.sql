-- Lists of orders by what few of them have (engine/orders).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX blocks_code ON blocks (code);

-- It costs next to nothing to keep: events come in the order of their instants.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX events_at ON events USING brin (at) WITH (autosummarize = true);
