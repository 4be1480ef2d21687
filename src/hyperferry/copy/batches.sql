-- name: nulls_first
-- Whether NULLs come first where the index on the time is read upwards; of several indexes, one where they come last is taken.
SELECT COALESCE((SELECT (i.indoption[0] & 1 = 1) <> (i.indoption[0] & 2 = 2)
                 FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
                 JOIN pg_catalog.pg_am AS m ON m.oid = x.relam
                 WHERE i.indrelid = %(oid)s AND i.indkey[0] = %(column)s AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
                 ORDER BY 1 LIMIT 1), false);

-- name: first
-- The first time. ORDER BY and LIMIT instead of min(): uuid has no min() before PostgreSQL 18.
SELECT {t}::text FROM {table} AS s WHERE {t} IS NOT NULL ORDER BY {t} {upwards} LIMIT 1;

-- name: parts
-- A loose scan of the index on the time: the first time in each chunk, and the chunk's end.
WITH RECURSIVE part(first, upto) AS (
    (SELECT {t}, {end} FROM {table} AS s WHERE {t} IS NOT NULL ORDER BY {t} {upwards} LIMIT 1)
    UNION ALL
    SELECT n.first, n.upto
    FROM part AS p CROSS JOIN LATERAL (
        SELECT {t} AS first, {end} AS upto FROM {table} AS s WHERE {t} >= p.upto AND {t} > p.first ORDER BY {t} {upwards} LIMIT 1
    ) AS n
)
SELECT first::text, upto::text FROM part;

-- name: trusted
-- Whether the statistics tell how many rows lie in a range of the time: the table was analyzed, and little was written since.
SELECT COALESCE((SELECT GREATEST(s.last_analyze, s.last_autoanalyze) IS NOT NULL
                        AND s.n_mod_since_analyze <= 0.1 * GREATEST(c.reltuples, 0) AND c.reltuples >= 100000
                 FROM pg_catalog.pg_stat_all_tables AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.relid
                 WHERE s.relid = %(oid)s), false);

-- name: estimate
-- The server's own estimate of the rows in a part.
EXPLAIN (FORMAT JSON) SELECT FROM {table} AS s WHERE {t} >= {first}::{kind} AND {t} < {end}::{kind};

-- name: count
-- The rows in a part, up to a number.
SELECT count(*) FROM (SELECT FROM {table} AS s WHERE {t} >= {first}::{kind} AND {t} < {end}::{kind} LIMIT %(most)s) AS counted;

-- name: further
-- The time so many rows further on.
SELECT {t}::text FROM {table} AS s
WHERE {t} >= %(cur)s::{kind} AND (%(end)s::text IS NULL OR {t} < %(end)s::{kind}) ORDER BY {t} {upwards} OFFSET %(n)s LIMIT 1;

-- name: after
-- The next time.
SELECT {t}::text FROM {table} AS s
WHERE {t} > %(cur)s::{kind} AND (%(end)s::text IS NULL OR {t} < %(end)s::{kind}) ORDER BY {t} {upwards} LIMIT 1;

-- name: pages
-- How many pages a table has.
SELECT pg_relation_size(%(oid)s::bigint::oid) / current_setting('block_size')::bigint;

-- name: rows_of_chunks
-- Where a row of each chunk lies of which a sample of the table's pages has one.
SELECT /* hyperferry */ COALESCE(array_agg(f.place), '{{}}')::text
FROM (SELECT min(s.ctid) AS place FROM {table} AS s TABLESAMPLE system (%(percent)s) WHERE {t} IS NOT NULL AND {finite} GROUP BY {bucket}) AS f;

-- name: keys_of_rows
-- The keys of the rows that lie there now.
SELECT /* hyperferry */ {texts} FROM {table} AS s WHERE s.ctid = ANY(%(places)s::tid[]);

-- name: keys_at_times
-- The key of one row at each time.
SELECT /* hyperferry */ k.* FROM unnest(%(times)s::text[]) AS f(first)
CROSS JOIN LATERAL (SELECT {texts} FROM {table} AS s WHERE {t} = f.first::{kind} LIMIT 1) AS k;

-- name: known_rows
-- The rows of which the first of the columns by which batches are cut is known, by a condition that an index serves.
SELECT /* hyperferry */ count(*) FROM {table} AS s WHERE {column} OPERATOR(pg_catalog.<) {value} OR {column} OPERATOR(pg_catalog.>=) {value};

-- name: visible_pages
-- How many pages the table has, and on how many of them everybody sees every row, as far as the server noted it.
SELECT pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint, c.relallvisible::bigint
FROM pg_catalog.pg_class AS c WHERE c.oid = %(oid)s::bigint::oid;

-- name: lead
-- Whether each of these indexes begins with the column.
SELECT count(*) = cardinality(%(names)s::text[])
FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = %(oid)s::bigint::oid AND x.relname = ANY(%(names)s::text[]) AND a.attname = %(column)s;
