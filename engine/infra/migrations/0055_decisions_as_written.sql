-- What a decision was made of is written once and seldom read: compressed by Postgres its COPY took
-- 1.8 times as long as that of shipments, as it is 0.7 times.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE routing_decisions
  ALTER COLUMN inputs SET STORAGE EXTERNAL,
  ALTER COLUMN trace SET STORAGE EXTERNAL;
