-- Tables: the view exceptions, desk_remedies (engine/infra/migrations/0061_desk.sql).

-- name: plan_each
-- For the transaction: filters that are not given fall away, and with them whole branches of the view.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: list_exceptions
-- By urgency. The page is cut before it is known what is at risk: that is asked of its rows alone.
-- $1 tenant, $2 channel or '', $3 codes or NULL, $4 sku or '', $5 only overdue, $6 now, $7 since before
-- or NULL, $8 ship_by before or NULL, $9 ids or NULL, behind $10 ship_by (NULL: never), $11 since (NULL:
-- from the beginning) and $12 id, $13 limit
WITH page AS MATERIALIZED (
  SELECT e.id, e.order_id
  FROM exceptions AS e
  WHERE
    e.tenant = any(ARRAY[$1::text, '']) AND ($2::text = '' OR e.channel = $2)
    AND ($3::text[] IS NULL OR e.code = any($3))
    AND ($4::text = '' OR CASE
      WHEN e.sku <> '' THEN e.sku = $4
      ELSE EXISTS (SELECT FROM order_lines AS l WHERE l.order_id = e.order_id AND l.sku = $4)
    END)
    AND (NOT $5::boolean OR e.ship_by < $6::timestamptz)
    AND ($7::timestamptz IS NULL OR e.since <= $7)
    AND ($8::timestamptz IS NULL OR e.ship_by < $8)
    AND ($9::text[] IS NULL OR e.id = any($9))
    AND ($11::timestamptz IS NULL OR
      (coalesce(e.ship_by, 'infinity'), e.since, e.id)
      > (coalesce($10::timestamptz, 'infinity'), $11, $12::text))
  ORDER BY coalesce(e.ship_by, 'infinity'), e.since, e.id
  LIMIT $13
)
SELECT
  e.id, e.code, e.order_id, e.channel, e.channel_order_id, e.line_id, e.sku, e.subject, e.since,
  e.ship_by, e.amount, e.currency, e.reason
FROM exceptions AS e
WHERE
  e.tenant = any(ARRAY[$1::text, ''])
  AND e.order_id = any(ARRAY(SELECT page.order_id FROM page))
  AND e.id = any(ARRAY(SELECT page.id FROM page))
ORDER BY coalesce(e.ship_by, 'infinity'), e.since, e.id;

-- name: sum_exceptions
-- Of each code at most $4 are looked at, one more than is counted.
-- $1 tenant, $2 channel or '', $3 codes, $5 now
SELECT
  c.code, e.channel, e.currency, count(*) AS count,
  count(*) FILTER (WHERE e.ship_by < $5::timestamptz) AS overdue,
  sum(e.amount)::bigint AS amount, min(e.since) AS oldest,
  min(e.ship_by) FILTER (WHERE e.ship_by >= $5) AS next_ship_by,
  (sum(count(*)) OVER (PARTITION BY c.code))::bigint AS of_code
FROM unnest($3::text[]) AS c (code)
CROSS JOIN LATERAL (
  SELECT x.channel, x.currency, x.ship_by, x.amount, x.since
  FROM exceptions AS x
  WHERE
    x.tenant = any(ARRAY[$1::text, '']) AND x.code = c.code AND ($2::text = '' OR x.channel = $2)
  LIMIT $4
) AS e
GROUP BY c.code, e.channel, e.currency
ORDER BY c.code, e.channel, e.currency;

-- name: count_exceptions
-- As many as are counted. $1 tenant, $2 codes, $3 how many at most
SELECT c.code, (
  SELECT count(*)
  FROM (
    SELECT
    FROM exceptions AS x
    WHERE x.tenant = any(ARRAY[$1::text, '']) AND x.code = c.code
    LIMIT $3
  ) AS counted
) AS count
FROM unnest($2::text[]) AS c (code);

-- name: still_waits
-- $1 tenant, $2 order_id, $3 id
SELECT EXISTS (
  SELECT FROM exceptions AS e
  WHERE e.tenant = any(ARRAY[$1::text, '']) AND e.order_id = $2 AND e.id = $3
);

-- name: begin_remedy
-- Nothing is returned where somebody else runs it, or it was answered; of one that was broken off the
-- targets stay those of the first run. $1 tenant, $2 remedy_id, $3 digest, $4 targets, $5 actor,
-- $6 for how long nobody else runs it
INSERT INTO desk_remedies AS d (tenant, remedy_id, asked, targets, actor, until)
VALUES ($1, $2, $3, $4::json, $5, now() + $6::interval)
ON CONFLICT (tenant, remedy_id) DO UPDATE SET until = excluded.until
WHERE d.answer IS NULL AND d.until < now() AND d.asked = excluded.asked
RETURNING targets;

-- name: remedy
-- $1 tenant, $2 remedy_id
SELECT asked, answer FROM desk_remedies WHERE tenant = $1 AND remedy_id = $2;

-- name: end_remedy
-- $1 tenant, $2 remedy_id, $3 answer
UPDATE desk_remedies SET answer = $3::json WHERE tenant = $1 AND remedy_id = $2;

-- name: tell_remedy
-- $1 actor, $2 data
INSERT INTO events (at, kind, actor, data) VALUES (now(), 'exceptions.remedied', $1, $2::json);
