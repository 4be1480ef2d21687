-- What a check asks the databases that were made for it.

-- name: tables
-- Tables that a revision finds, with what they are parts of; of a hypertable's chunks the hypertable.
WITH RECURSIVE up AS (
    SELECT c.oid, c.oid AS root FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('r', 'p', 'm', 'f')
    UNION ALL
    SELECT up.oid, i.inhparent FROM up JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = up.root
), top AS (
    SELECT up.oid, up.root FROM up
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = up.root)
)
SELECT top.oid::bigint, n.nspname::text, c.relname::text, top.root::bigint
FROM top JOIN pg_catalog.pg_class AS c ON c.oid = top.root JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname NOT LIKE '\_timescaledb%' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::regclass
        AND d.objid = top.root AND d.deptype = 'e')
ORDER BY 1;

-- name: extended
-- Whether TimescaleDB's views are there.
SELECT pg_catalog.to_regclass('timescaledb_information.hypertables') IS NOT NULL;

-- name: hypertables
-- The hypertables, by schema and name.
SELECT hypertable_schema::text, hypertable_name::text FROM timescaledb_information.hypertables;

-- name: parts
-- What a schema dump does not show of hypertables: how they are cut, and what is done to them by whom.
SELECT 'hypertable ' || quote_ident(d.hypertable_schema) || '.' || quote_ident(d.hypertable_name),
    string_agg('by ' || quote_ident(d.column_name) || ' ' || COALESCE(d.time_interval::text, d.integer_interval::text, d.num_partitions::text, '')
        || COALESCE(' ' || d.integer_now_func, ''), ', ' ORDER BY d.dimension_number)
FROM timescaledb_information.dimensions AS d GROUP BY d.hypertable_schema, d.hypertable_name
UNION ALL
SELECT 'compression of ' || quote_ident(h.hypertable_schema) || '.' || quote_ident(h.hypertable_name),
    'on' || COALESCE((SELECT string_agg(', ' || quote_ident(s.attname) || COALESCE(' segment ' || s.segmentby_column_index::text, '')
        || COALESCE(' order ' || s.orderby_column_index::text || CASE WHEN s.orderby_asc THEN ' asc' ELSE ' desc' END, ''), '' ORDER BY s.attname)
        FROM timescaledb_information.compression_settings AS s
        WHERE s.hypertable_schema = h.hypertable_schema AND s.hypertable_name = h.hypertable_name), '')
FROM timescaledb_information.hypertables AS h WHERE h.compression_enabled
UNION ALL
SELECT 'job ' || j.proc_name || COALESCE(' of ' || quote_ident(j.hypertable_schema) || '.' || quote_ident(j.hypertable_name), ''),
    string_agg(j.schedule_interval::text || ' ' || COALESCE((j.config - 'hypertable_id' - 'mat_hypertable_id')::text, ''), E'\n'
        ORDER BY j.config::text)
FROM timescaledb_information.jobs AS j WHERE j.job_id >= 1000 GROUP BY j.proc_name, j.hypertable_schema, j.hypertable_name;

-- name: there
-- Whether a table of this name is there, in this schema or in any.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p') AND COALESCE(n.nspname = %(schema)s, true));

-- name: sizes
-- Rows by the statistics, those of chunks and partitions added up. A table that was never analyzed counts by its bytes: at least one row
-- of 100 bytes in each.
WITH RECURSIVE up AS (
    SELECT c.oid, c.oid AS root FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('r', 'p', 'm')
    UNION ALL
    SELECT up.oid, i.inhparent FROM up JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = up.root
)
SELECT n.nspname::text, r.relname::text, sum(CASE
    WHEN c.relkind = 'p' THEN 0
    WHEN c.reltuples >= 0 THEN c.reltuples
    ELSE c.relpages::bigint * pg_catalog.current_setting('block_size')::bigint / 100 END)::bigint
FROM up JOIN pg_catalog.pg_class AS r ON r.oid = up.root JOIN pg_catalog.pg_class AS c ON c.oid = up.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE n.nspname NOT LIKE '\_timescaledb%' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = up.root)
GROUP BY n.nspname, r.relname ORDER BY 1, 2;
