-- How many requests a second a key may send, and how many at once if it sent none before; 0: any.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE api_keys
  ADD COLUMN rate_per_s bigint NOT NULL DEFAULT 0,
  ADD COLUMN burst bigint NOT NULL DEFAULT 0;
