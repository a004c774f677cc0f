-- Units are lent within the stock of one group of nodes (engine/elastic).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE elastic_lendings ADD COLUMN node_group text NOT NULL DEFAULT '';
