-- name: there
-- Whether TimescaleDB knows continuous aggregates in this database.
SELECT to_regclass('_timescaledb_catalog.continuous_agg') IS NOT NULL;

-- name: aggregates
-- Every continuous aggregate: its numbers and its source's in TimescaleDB's catalog, its names, whether the view
-- reads the raw rows too, its query, whether it is of the form that has finished values (all from 2.7 on), and
-- whether the session's role has the owner's rights.
SELECT a.mat_hypertable_id, a.raw_hypertable_id, i.view_schema::text, i.view_name::text, i.hypertable_schema::text, i.hypertable_name::text,
       i.materialization_hypertable_schema::text, i.materialization_hypertable_name::text, i.materialized_only, i.view_definition,
       COALESCE((to_jsonb(i) ->> 'finalized')::boolean, true), i.view_owner::text, pg_has_role(i.view_owner, 'USAGE')
FROM _timescaledb_catalog.continuous_agg a
JOIN timescaledb_information.continuous_aggregates i ON i.view_schema = a.user_view_schema AND i.view_name = a.user_view_name
ORDER BY a.mat_hypertable_id;

-- name: hypertable_id
-- The number of a hypertable in TimescaleDB's catalog.
SELECT h.id FROM _timescaledb_catalog.hypertable h WHERE h.schema_name = %(schema)s AND h.table_name = %(name)s;

-- name: time_column
-- The column by which a hypertable is cut, its type, and the function that says "now" for an integer (a
-- schema-qualified name).
SELECT d.column_name::text, d.column_type::text, d.integer_now_func::text,
       (SELECT quote_ident(k.integer_now_func_schema) || '.' || quote_ident(k.integer_now_func)
        FROM _timescaledb_catalog.dimension k JOIN _timescaledb_catalog.hypertable h ON h.id = k.hypertable_id
        WHERE h.schema_name = d.hypertable_schema AND h.table_name = d.hypertable_name AND k.column_name = d.column_name)
FROM timescaledb_information.dimensions d
WHERE d.hypertable_schema = %(schema)s AND d.hypertable_name = %(name)s AND d.dimension_number = 1;

-- name: columns
-- The columns of a relation in their order, each with its type.
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), b.typname::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type b ON b.oid = a.atttypid
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- name: pending
-- What of the aggregate may be older than its source, as spans of the source's time in TimescaleDB's own count, both
-- ends within: logged for this aggregate, logged by writers and not yet given to the aggregates, and everything from
-- the threshold on, which is not logged.
SELECT l.lowest_modified_value, l.greatest_modified_value
FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log l WHERE l.materialization_id = %(mat)s
UNION ALL
SELECT l.lowest_modified_value, l.greatest_modified_value
FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log l WHERE l.hypertable_id = %(raw)s
UNION ALL
SELECT t.watermark, 9223372036854775807
FROM _timescaledb_catalog.continuous_aggs_invalidation_threshold t WHERE t.hypertable_id = %(raw)s;

-- name: has_ranges
-- Whether this version keeps the spans that a refresh is at work on apart.
SELECT to_regclass('_timescaledb_catalog.continuous_aggs_materialization_ranges') IS NOT NULL;

-- name: ranges
-- The spans that a refresh has taken out of the log and not yet done.
SELECT r.lowest_modified_value, r.greatest_modified_value
FROM _timescaledb_catalog.continuous_aggs_materialization_ranges r WHERE r.materialization_id = %(mat)s;

-- name: chunk_spans
-- The spans of a hypertable's chunks in TimescaleDB's own count, from the first, up to and without the second.
SELECT s.range_start, s.range_end FROM (
    SELECT COALESCE(k.range_start_integer, (EXTRACT(epoch FROM k.range_start) * 1000000)::bigint) AS range_start,
           COALESCE(k.range_end_integer, (EXTRACT(epoch FROM k.range_end) * 1000000)::bigint) AS range_end
    FROM timescaledb_information.chunks k
    WHERE k.hypertable_schema = %(schema)s AND k.hypertable_name = %(name)s) AS s
ORDER BY 1;

-- name: chunks_made
-- The same, once for each span, with the number of the chunk's table, which tells in which order they were made.
SELECT s.range_start, s.range_end, min(s.oid)::bigint FROM (
    SELECT COALESCE(k.range_start_integer, (EXTRACT(epoch FROM k.range_start) * 1000000)::bigint) AS range_start,
           COALESCE(k.range_end_integer, (EXTRACT(epoch FROM k.range_end) * 1000000)::bigint) AS range_end, c.oid::bigint
    FROM timescaledb_information.chunks k
    JOIN pg_namespace n ON n.nspname = k.chunk_schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = k.chunk_name
    WHERE k.hypertable_schema = %(schema)s AND k.hypertable_name = %(name)s) AS s
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: extension_schema
-- Where TimescaleDB's functions are.
SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb';

-- name: chunk_width
-- The width of a hypertable's chunks, as text that its time column's type can be moved by.
SELECT COALESCE(d.integer_interval::text, d.time_interval::text) FROM timescaledb_information.dimensions d
WHERE d.hypertable_schema = %(schema)s AND d.hypertable_name = %(name)s AND d.dimension_number = 1;
