-- Whether a table's rows lie in the order of their time, or of another column.

-- name: pages
-- How many pages the table has, and how many the server is said to keep in memory.
SELECT pg_relation_size(%(oid)s::bigint::oid) / current_setting('block_size')::bigint,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'effective_cache_size');

-- name: ranges_on_pages
-- In how many ranges of the time the rows of a page lie, on average, by a sample of the table's pages; NULL where it met none.
SELECT avg(p.ranges)::float8
FROM (SELECT count(DISTINCT {bucket}) AS ranges FROM ONLY {table} AS s TABLESAMPLE system ({percent}) WHERE {finite}
      GROUP BY (s.ctid::text::point)[0]) AS p;

-- name: in_order
-- The columns whose values lie in their order or against it, by the statistics.
SELECT s.attname::text FROM pg_stats s
WHERE s.schemaname = %(schema)s AND s.tablename = %(name)s AND NOT s.inherited AND abs(s.correlation) >= %(least)s ORDER BY 1;
