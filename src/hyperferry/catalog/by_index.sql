-- name: prospect
-- What may spare the pass over the rows: whether NULLs come first where an index is read upwards that leads with the column and orders it as
-- its type does (NULL: there is none), and rows and pages as they were last counted, with the pages and bytes of now.
-- An index made while old versions of rows were about (indcheckxmin) is left alone by the planner until nobody can see them.
SELECT (SELECT (i.indoption[0] & 1 = 1) <> (i.indoption[0] & 2 = 2)
        FROM pg_index i
        JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam JOIN pg_opclass o ON o.oid = i.indclass[0]
        WHERE i.indrelid = c.oid AND i.indkey[0] = %(column)s AND i.indisvalid AND i.indisready AND i.indislive AND i.indpred IS NULL
          AND m.amname = 'btree' AND o.opcdefault
          AND (NOT i.indcheckxmin OR age(i.xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid))
        ORDER BY 1 LIMIT 1),
       c.reltuples::float8, c.relpages, pg_relation_size(c.oid)::float8 / current_setting('block_size')::int, pg_relation_size(c.oid)
FROM pg_class c WHERE c.oid = %(oid)s;

-- name: along_index
-- The facts of the pass over the rows, by probes of an index: the first row of each bucket (from one row the next is looked for behind the
-- bucket's end, or a hair before it, so that rounding passes over none), then NULLs, infinities and the rows of the edges alone.
-- The hypothetical {rows} of the table say how many rows are left out at either end, by the same rule as in scan.sql. The first column is
-- false where there are more probes than {probes}, or the table has fewer rows than are left out: then nothing else counts.
WITH RECURSIVE hyperferry_step AS (
    SELECT 1 AS number, (SELECT x.{time} FROM ONLY {table} AS x WHERE {finite} ORDER BY x.{time} {upwards} LIMIT 1) AS value
    UNION ALL
    SELECT s.number + 1,
           (SELECT x.{time} FROM ONLY {table} AS x WHERE x.{time} > {behind} AND {below} ORDER BY x.{time} {upwards} LIMIT 1)
    FROM hyperferry_step AS s WHERE s.value IS NOT NULL AND s.number <= {probes}
), bucket AS MATERIALIZED (
    SELECT p.b, min(p.value) AS low FROM (SELECT {bucket} AS b, s.value FROM hyperferry_step AS s WHERE s.value IS NOT NULL) AS p GROUP BY p.b
), counted AS MATERIALIZED (
    SELECT (SELECT count(*) FROM ONLY {table} AS x WHERE x.{time} IS NULL) AS nulls, {infinite} AS infinite,
           NOT EXISTS (SELECT FROM hyperferry_step AS s WHERE s.value IS NOT NULL AND s.number > {probes}) AS complete,
           (SELECT count(*) FROM bucket) AS buckets
), total AS MATERIALIZED (
    SELECT c.*, u.usable, greatest(ceil(u.usable * 0.001), least(5, floor(u.usable * 0.1)))::bigint AS skipped
    FROM counted AS c
    CROSS JOIN LATERAL (SELECT CASE WHEN c.buckets > 0 THEN greatest({rows} - c.nulls - c.infinite, c.buckets) ELSE 0 END AS usable) AS u
), bulk AS MATERIALIZED (
    SELECT (SELECT {bucket} FROM (SELECT x.{time} AS value FROM ONLY {table} AS x WHERE {finite} ORDER BY x.{time} {upwards}
                                  OFFSET (SELECT t.skipped FROM total AS t WHERE t.complete) LIMIT 1) AS s) AS low,
           (SELECT {bucket} FROM (SELECT x.{time} AS value FROM ONLY {table} AS x WHERE {finite} ORDER BY x.{time} {downwards}
                                  OFFSET (SELECT t.skipped FROM total AS t WHERE t.complete) LIMIT 1) AS s) AS high
), far AS MATERIALIZED (
    SELECT r.low, r.following FROM (SELECT b.b, b.low, lead(b.low) OVER (ORDER BY b.b) AS following FROM bucket AS b) AS r
    CROSS JOIN bulk AS k CROSS JOIN total AS t
    WHERE t.complete AND (r.b < k.low - 10 * greatest(k.high - k.low + 1, {least_distance})
                          OR r.b > k.high + 10 * greatest(k.high - k.low + 1, {least_distance}))
), edge AS MATERIALIZED (
    SELECT f.low, (SELECT x.{time} FROM ONLY {table} AS x WHERE x.{time} >= f.low AND {up_to_following} ORDER BY x.{time} {downwards} LIMIT 1) AS high,
           (SELECT count(*) FROM ONLY {table} AS x WHERE x.{time} >= f.low AND {up_to_following}) AS n
    FROM far AS f
)
SELECT t.complete AND (t.usable <= t.skipped OR (SELECT low IS NOT NULL AND high IS NOT NULL FROM bulk)),
       (t.usable + t.nulls + t.infinite)::bigint, t.nulls, t.infinite,
       (SELECT min(low) FROM bucket)::text,
       (SELECT x.{time} FROM ONLY {table} AS x WHERE {finite} ORDER BY x.{time} {downwards} LIMIT 1)::text,
       t.buckets,
       (SELECT COALESCE(sum(n), 0) FROM edge)::bigint,
       ARRAY(SELECT value FROM (SELECT low::text AS value FROM edge UNION SELECT high::text FROM edge) AS example ORDER BY 1 LIMIT 5),
       (SELECT count(*) FROM edge)
FROM total AS t;
