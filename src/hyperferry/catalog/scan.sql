-- name: interval_seconds
-- The length of an interval in seconds; a month counts 30 days, as it does for TimescaleDB.
SELECT EXTRACT(epoch FROM %(text)s::interval)::float8;

-- name: sample_integer
-- The largest of some values of an integer time column, to guess its unit by.
SELECT max(v)::float8 FROM (SELECT {time} AS v FROM ONLY {table} WHERE {time} IS NOT NULL LIMIT 1000) AS sample;

-- name: not_valid
-- Checks (and, from PostgreSQL 18, not-null constraints) that are enforced but were never validated.
SELECT c.conname::text,
       CASE c.contype WHEN 'c' THEN '(' || pg_get_expr(c.conbin, c.conrelid) || ') IS FALSE'
                      ELSE quote_ident(a.attname) || ' IS NULL' END
FROM pg_constraint c
LEFT JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
WHERE c.conrelid = %(oid)s AND c.contype IN ('c', 'n') AND NOT c.convalidated
  AND COALESCE((to_jsonb(c) ->> 'conenforced')::boolean, true)
ORDER BY c.conname;

-- name: scan
-- One pass: the rows by bucket of the time, then the figures over the buckets. Percentiles are read off the buckets, so they cost no
-- sort of rows. For small tables up to five rows (a tenth at most) are left out at either end, else 0.1 percent.
WITH bucket AS MATERIALIZED (
    SELECT {bucket} AS b, {usable} AS usable, count(*) AS n, count({time}) AS known,
           count(*) FILTER (WHERE {infinite}) AS infinite, count(*) FILTER (WHERE {not_v7}) AS not_v7,
           min({value}) AS low, max({value}) AS high, {violations} AS violations
    FROM ONLY {table}
    GROUP BY 1, 2
), total AS (
    SELECT COALESCE(sum(n), 0) AS n, COALESCE(sum(n) FILTER (WHERE usable), 0) AS usable FROM bucket
), ranked AS (
    SELECT b.*, sum(b.n) OVER (ORDER BY b.b) AS upto, sum(b.n) OVER (ORDER BY b.b DESC) AS downto,
           greatest(ceil(t.usable * 0.001), least(5, floor(t.usable * 0.1))) AS skipped
    FROM bucket b CROSS JOIN total t WHERE b.usable
), bulk AS (
    SELECT min(b) FILTER (WHERE upto > skipped) AS low, max(b) FILTER (WHERE downto > skipped) AS high FROM ranked
), far AS (
    SELECT r.* FROM ranked r CROSS JOIN bulk k
    WHERE r.b < k.low - 10 * greatest(k.high - k.low + 1, {least_distance})
       OR r.b > k.high + 10 * greatest(k.high - k.low + 1, {least_distance})
), violated AS (
    SELECT v.position, sum(v.n) AS n FROM bucket b CROSS JOIN LATERAL unnest(b.violations) WITH ORDINALITY AS v(n, position)
    GROUP BY v.position
)
SELECT (SELECT n FROM total)::bigint,
       (SELECT COALESCE(sum(n - known), 0) FROM bucket)::bigint,
       (SELECT COALESCE(sum(infinite), 0) FROM bucket)::bigint,
       (SELECT min(low) FROM bucket WHERE usable)::text, (SELECT max(high) FROM bucket WHERE usable)::text,
       (SELECT count(*) FROM bucket WHERE usable)::bigint,
       (SELECT COALESCE(sum(n), 0) FROM far)::bigint,
       ARRAY(SELECT value FROM (SELECT low::text AS value FROM far UNION SELECT high::text FROM far) AS example ORDER BY 1 LIMIT 5),
       ARRAY(SELECT n::bigint FROM violated ORDER BY position),
       (SELECT count(*) FROM far)::bigint,
       (SELECT COALESCE(sum(not_v7), 0) FROM bucket)::bigint;
