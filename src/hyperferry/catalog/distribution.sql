-- name: memory
-- The settings that say how much memory the server uses, in bytes.
SELECT pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers, pg_size_bytes(current_setting('effective_cache_size')) AS effective_cache_size,
       pg_size_bytes(current_setting('work_mem')) AS work_mem, pg_size_bytes(current_setting('maintenance_work_mem')) AS maintenance_work_mem;

-- name: now
-- The server's clock, seconds since 1970.
SELECT date_part('epoch', clock_timestamp());

-- name: pages
-- Rows and pages of a table as they were last counted, and the pages that it has now.
SELECT reltuples::float8, relpages, pg_relation_size(oid) / current_setting('block_size')::int FROM pg_class WHERE oid = %(oid)s;

-- name: cut
-- Whether TimescaleDB's views are here.
SELECT to_regclass('timescaledb_information.dimensions') IS NOT NULL;

-- name: dimension
-- The width of a hypertable's new chunks (seconds, or the integer's own unit), and whether an integer has a function that says now.
SELECT column_name::text, COALESCE(EXTRACT(epoch FROM time_interval)::float8, integer_interval::float8), integer_now_func IS NOT NULL
FROM timescaledb_information.dimensions
WHERE hypertable_schema = %(schema)s AND hypertable_name = %(name)s AND dimension_number = 1;

-- name: chunks
-- The chunks with the places of their ends, what the statistics say of their rows, their bytes, and what was written to them.
SELECT v.chunk_schema::text AS schema, v.chunk_name::text AS name, c.oid::bigint AS oid,
       COALESCE(v.range_start_integer::float8, date_part('epoch', v.range_start)) AS start,
       COALESCE(v.range_end_integer::float8, date_part('epoch', v.range_end)) AS end,
       c.reltuples::float8 AS rows, COALESCE(v.is_compressed, false) AS compressed, c.relkind = 'r' AS plain,
       pg_relation_size(c.oid) / current_setting('block_size')::int AS pages,
       pg_total_relation_size(c.oid) AS bytes, pg_indexes_size(c.oid) AS index_bytes,
       COALESCE(s.n_tup_ins, 0) AS inserted, COALESCE(s.n_tup_upd, 0) AS updated, COALESCE(s.n_tup_del, 0) AS deleted
FROM timescaledb_information.chunks v
JOIN pg_namespace n ON n.nspname = v.chunk_schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = v.chunk_name
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE v.hypertable_schema = %(schema)s AND v.hypertable_name = %(name)s
ORDER BY 4;

-- name: detailed_sizes
-- Bytes of the chunks with what is compressed of them: asked for where something is, for it is slow (3 ms a chunk).
SELECT chunk_schema::text, chunk_name::text, total_bytes, index_bytes FROM {extension}.chunks_detailed_size(%(table)s::regclass);

-- name: sizes_before
-- Bytes that compressed chunks had before.
SELECT chunk_schema::text, chunk_name::text, before_compression_total_bytes FROM {extension}.chunk_compression_stats(%(table)s::regclass)
WHERE before_compression_total_bytes > 0;

-- name: compressed_rows
-- About how many rows a compressed chunk stands for; 0 where it was not analyzed since (2.29).
SELECT {extension}.approximate_row_count(%(oid)s::bigint::oid::regclass);

-- name: writes
-- What was written to the table itself as far as the server counted, and since when it has (NULL: never reset).
SELECT COALESCE(s.n_tup_ins, 0), COALESCE(s.n_tup_upd, 0), COALESCE(s.n_tup_del, 0), d.stats_reset::text,
       EXTRACT(epoch FROM clock_timestamp() - d.stats_reset)::float8 / 3600
FROM pg_stat_database d LEFT JOIN pg_stat_user_tables s ON s.relid = %(oid)s WHERE d.datname = current_database();

-- name: index_use
-- The indexes of a plain table: bytes and uses.
SELECT c.relname::text AS name, pg_relation_size(c.oid) AS bytes, COALESCE(pg_stat_get_numscans(c.oid), 0) AS scans
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %(oid)s ORDER BY 1;

-- name: chunk_index_use
-- The indexes of a hypertable: bytes and uses of their parts on the chunks, which are known by their definition from USING on.
WITH part AS (
    SELECT substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*$') AS tail, pg_relation_size(i.indexrelid) AS bytes,
           COALESCE(pg_stat_get_numscans(i.indexrelid), 0) AS scans
    FROM unnest(%(chunks)s::bigint[]) AS k(oid) JOIN pg_index i ON i.indrelid = k.oid
), whole AS (
    SELECT tail, sum(bytes)::bigint AS bytes, sum(scans)::bigint AS scans FROM part GROUP BY tail
)
SELECT c.relname::text AS name, COALESCE(w.bytes, 0) AS bytes, COALESCE(w.scans, 0) AS scans
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN whole w ON w.tail = substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*$')
WHERE i.indrelid = %(oid)s ORDER BY 1;

-- name: column_statistics
-- What ANALYZE found of the columns; of a hypertable what it found of all chunks together.
SELECT DISTINCT ON (s.attname) s.attname::text AS name, s.null_frac::float8, s.avg_width, s.n_distinct::float8, s.most_common_freqs[1]::float8 AS top_share,
       (SELECT sum(f.share)::float8 FROM unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS f(value, share) WHERE f.value = 't') AS true_share,
       s.correlation::float8
FROM pg_stats s WHERE s.schemaname = %(schema)s AND s.tablename = %(name)s AND s.inherited = %(inherited)s ORDER BY s.attname;

-- name: places
-- Times as text -> places.
SELECT ARRAY(SELECT {place} FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS u(text, n) CROSS JOIN LATERAL (SELECT u.text::{type} AS value) AS s ORDER BY n);

-- name: sampled
-- The rows that are looked at: which part of the table and which of its pages, and the place; other columns behind that.
SELECT /* hyperferry */ {part} AS part, (t.ctid::text::point)[0]::bigint AS page, {place} AS p{more} FROM ONLY {table} AS t{sampling}

-- name: bounds
-- Rows, rows with a place, and the places of some shares of the rows, far ones aside by the rule of the pass over all rows.
WITH looked AS MATERIALIZED ({rows}), ranked AS (
    SELECT p, row_number() OVER (ORDER BY p) AS n, count(*) OVER () AS total FROM looked WHERE p IS NOT NULL
), bulk AS (
    SELECT min(p) AS low, max(p) AS high FROM ranked
    WHERE n > greatest(ceil(total * 0.001), least(5, floor(total * 0.1))) AND n <= total - greatest(ceil(total * 0.001), least(5, floor(total * 0.1)))
), near AS (
    SELECT r.p FROM ranked r CROSS JOIN bulk k
    WHERE r.p BETWEEN k.low - 10 * greatest(k.high - k.low, {year}) AND k.high + 10 * greatest(k.high - k.low, {year})
)
SELECT (SELECT count(*) FROM looked), (SELECT count(*) FROM looked WHERE p IS NOT NULL), (SELECT count(*) FROM near),
       (SELECT min(p) FROM near), (SELECT max(p) FROM near), (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY p) FROM near),
       (SELECT min(p) FROM ranked), (SELECT max(p) FROM ranked),
       ARRAY(SELECT p FROM ranked EXCEPT ALL SELECT p FROM near ORDER BY 1 LIMIT 5);

-- name: median_place
-- The middle of the places, before anything else is known of an integer column.
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY p) FROM ({rows}) AS looked WHERE p IS NOT NULL;

-- name: bars
-- Rows by part and bar; those without a place, or far from the bulk, under NULL.
SELECT part, CASE WHEN p BETWEEN {low} AND {high} THEN floor(p / {width})::bigint END, count(*) FROM ({rows}) AS looked GROUP BY 1, 2 ORDER BY 1, 2;

-- name: page_spans
-- Pages with rows of the bulk, and how much of the time the rows of one cover (the median).
SELECT count(*), COALESCE(percentile_disc(0.5) WITHIN GROUP (ORDER BY span), 0)
FROM (SELECT max(p) - min(p) AS span FROM ({rows}) AS looked WHERE p BETWEEN {low} AND {high} GROUP BY part, page) AS pages;

-- name: values_by_interval
-- For the fullest intervals: rows, distinct values, values seen once, and rows of the most common one; those without a value left out.
SELECT sum(n)::float8, count(*)::float8, count(*) FILTER (WHERE n = 1)::float8, max(n)::float8
FROM (SELECT floor(p / {width}) AS b, c1, count(*) AS n FROM ({rows}) AS looked
      WHERE p BETWEEN {low} AND {high} AND c1 IS NOT NULL GROUP BY 1, 2) AS counted
GROUP BY b ORDER BY 1 DESC, b DESC LIMIT {most};

-- name: lag
-- How long after its time a column's moment lies, in seconds: rows, the part of a minute or more, and shares. Of rows alone whose time
-- lies behind the first arrival: what was loaded afterwards came late once, and says nothing of how rows come.
WITH looked AS MATERIALIZED ({rows})
SELECT count(*), avg((lag >= 60)::int)::float8, percentile_disc(ARRAY[0.5, 0.9, 0.99, 0.999, 1]) WITHIN GROUP (ORDER BY greatest(lag, 0))
FROM (SELECT c1 - p / {per_second} AS lag FROM looked
      WHERE p BETWEEN {low} AND {high} AND c1 IS NOT NULL AND p / {per_second} >= (SELECT min({came}) FROM looked){condition}) AS lags;

-- name: disorder
-- How far a row's time lies behind the latest middle of the pages before its own, in seconds, in the order in which the rows lie.
WITH looked AS MATERIALIZED ({rows}), page AS (
    SELECT part, page, percentile_disc(0.5) WITHIN GROUP (ORDER BY p) AS middle FROM looked WHERE p BETWEEN {low} AND {high} GROUP BY 1, 2
), reached AS (
    SELECT part, page, max(middle) OVER (PARTITION BY part ORDER BY page ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS top FROM page
), lags AS (
    SELECT (r.top - l.p) / {per_second} AS lag FROM looked l JOIN reached r USING (part, page)
    WHERE r.top IS NOT NULL AND l.p BETWEEN {low} AND {high}
)
SELECT count(*), avg((lag >= 60)::int)::float8, percentile_disc(ARRAY[0.5, 0.9, 0.99, 0.999, 1]) WITHIN GROUP (ORDER BY greatest(lag, 0)) FROM lags;

-- name: logged
-- How old the rows are that the last changes in a change log were made to, in seconds, as of now.
SELECT count(*), avg((lag >= 60)::int)::float8, percentile_disc(ARRAY[0.5, 0.9, 0.99, 0.999, 1]) WITHIN GROUP (ORDER BY greatest(lag, 0))
FROM (SELECT date_part('epoch', clock_timestamp()) - {place} / {per_second} AS lag
      FROM (SELECT l.t FROM {log} AS l WHERE l.op IN ('U', 'D') AND l.t IS NOT NULL ORDER BY l.id DESC LIMIT 10000) AS t) AS lags
WHERE lag IS NOT NULL;
