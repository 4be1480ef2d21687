-- name: hypertable
-- A hypertable with its first dimension, its owner, and what the session's role may do. No row: it is none.
SELECT c.oid::bigint AS oid, pg_get_userbyid(c.relowner)::text AS owner,
       pg_has_role(session_user, c.relowner, 'MEMBER') AS acts_as_owner, r.rolcanlogin AS owner_may_login,
       d.column_name::text AS time_column, format_type(d.column_type, NULL) AS time_type,
       d.integer_interval,
       CASE WHEN d.time_interval IS NOT NULL THEN (extract(year FROM d.time_interval) * 12 + extract(month FROM d.time_interval))::int END AS months,
       CASE WHEN d.time_interval IS NOT NULL THEN (extract(epoch FROM d.time_interval - make_interval(
            months => (extract(year FROM d.time_interval) * 12 + extract(month FROM d.time_interval))::int)) * 1000000)::bigint END AS microseconds,
       ARRAY(SELECT a.column_name::text FROM timescaledb_information.dimensions a
             WHERE a.hypertable_schema = h.hypertable_schema AND a.hypertable_name = h.hypertable_name
             ORDER BY a.dimension_number) AS partition_columns,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attnum) AS columns,
       c.relrowsecurity AS row_security, h.compression_enabled
FROM timescaledb_information.hypertables h
JOIN pg_namespace n ON n.nspname = h.hypertable_schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = h.hypertable_name
JOIN pg_roles r ON r.oid = c.relowner
JOIN timescaledb_information.dimensions d
  ON d.hypertable_schema = h.hypertable_schema AND d.hypertable_name = h.hypertable_name AND d.dimension_number = 1
WHERE h.hypertable_schema = %(schema)s AND h.hypertable_name = %(name)s;

-- name: chunks
-- How many chunks a hypertable (of the user's, or that of a continuous aggregate) has, and how many of them are compressed.
SELECT count(*)::int, count(*) FILTER (WHERE is_compressed)::int
FROM timescaledb_information.chunks WHERE hypertable_schema = %(schema)s AND hypertable_name = %(name)s;

-- name: indexes
-- The indexes of a relation, with what stands behind USING, as PostgreSQL prints them.
SELECT i.relname::text AS name, pg_get_indexdef(x.indexrelid) AS definition, x.indisunique AS unique,
       (SELECT k.conname::text FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x') LIMIT 1) AS constraint,
       x.indisvalid AS valid
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s
ORDER BY i.relname;

-- name: compression
-- The compression settings of a hypertable, one column a row; the view has its old name in every version.
SELECT attname::text, segmentby_column_index, orderby_column_index, orderby_asc, orderby_nullsfirst
FROM timescaledb_information.compression_settings
WHERE hypertable_schema = %(schema)s AND hypertable_name = %(name)s
ORDER BY segmentby_column_index, orderby_column_index;

-- name: jobs
-- The policies of a hypertable or continuous aggregate: the view named one by its hidden hypertable once, and names it by itself now.
-- Lengths of time come as months and microseconds, or as units of an integer column.
SELECT j.job_id::int AS id, j.proc_name::text AS procedure, j.owner::text AS owner, j.scheduled,
       jsonb_build_object('months', s.months, 'us',
            (extract(epoch FROM j.schedule_interval - make_interval(months => s.months)) * 1000000)::bigint) AS schedule,
       j.config ->> 'index_name' AS index,
       (SELECT jsonb_object_agg(k.key, CASE jsonb_typeof(k.value)
                   WHEN 'number' THEN jsonb_build_object('units', k.value)
                   WHEN 'string' THEN (SELECT jsonb_build_object('months', m.months, 'us',
                            (extract(epoch FROM (k.value #>> '{}')::interval - make_interval(months => m.months)) * 1000000)::bigint)
                        FROM (SELECT (extract(year FROM (k.value #>> '{}')::interval) * 12
                                      + extract(month FROM (k.value #>> '{}')::interval))::int AS months) m) END)
        FROM jsonb_each(j.config) k
        WHERE k.key IN ('drop_after', 'drop_created_before', 'compress_after', 'start_offset', 'end_offset') AND jsonb_typeof(k.value) <> 'null') AS spans
FROM timescaledb_information.jobs j
CROSS JOIN LATERAL (SELECT (extract(year FROM j.schedule_interval) * 12 + extract(month FROM j.schedule_interval))::int AS months) s
WHERE ((j.hypertable_schema = %(schema)s AND j.hypertable_name = %(name)s)
       OR (j.hypertable_schema = %(hidden_schema)s AND j.hypertable_name = %(hidden_name)s))
  AND j.proc_name IN ('policy_retention', 'policy_compression', 'policy_refresh_continuous_aggregate', 'policy_reorder')
ORDER BY j.job_id;

-- name: aggregates
-- Every continuous aggregate of the database with what it is made from: a hypertable, or the hidden hypertable of another one.
SELECT v.view_schema::text, v.view_name::text, v.view_owner::text, v.materialized_only, v.compression_enabled, v.view_definition,
       v.materialization_hypertable_schema::text, v.materialization_hypertable_name::text,
       v.hypertable_schema::text, v.hypertable_name::text
FROM timescaledb_information.continuous_aggregates v
ORDER BY 1, 2;

-- name: time_column
-- The column by which a hypertable, also that of a continuous aggregate, is cut into chunks.
SELECT d.column_name::text FROM timescaledb_information.dimensions d
WHERE d.hypertable_schema = %(schema)s AND d.hypertable_name = %(name)s AND d.dimension_number = 1;

-- name: view_columns
-- The columns of a view, in order.
SELECT ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s;

-- name: edition
-- TimescaleDB's version and edition.
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
       CASE current_setting('timescaledb.license', true) WHEN 'timescale' THEN 'community' ELSE 'apache' END,
       session_user::text,
       (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb');

-- name: now_function
-- The function that tells an integer time column's present, qualified; the views give its name alone.
SELECT format('%%I.%%I', d.integer_now_func_schema, d.integer_now_func)
FROM _timescaledb_catalog.dimension d JOIN _timescaledb_catalog.hypertable h ON h.id = d.hypertable_id
WHERE h.schema_name = %(schema)s AND h.table_name = %(name)s AND d.integer_now_func <> '' AND d.column_name = %(column)s;
