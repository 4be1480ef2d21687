-- name: relation
-- Kind and size of a relation in rows (by its statistics) and pages, and whether it has statistics or no row.
SELECT c.relkind::text, c.reltuples::bigint, pg_relation_size(c.oid) / current_setting('block_size')::bigint,
       pg_relation_size(c.oid) = 0 OR EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s;

-- name: timescaledb
-- Whether TimescaleDB's views are here.
SELECT to_regclass('timescaledb_information.dimensions') IS NOT NULL;

-- name: dimension
-- The time column of a hypertable, and the width of its new chunks as text and as SQL; no row for anything else.
SELECT column_name::text, COALESCE(time_interval::text, integer_interval::text),
       COALESCE('interval ' || quote_literal(time_interval), integer_interval::text)
FROM timescaledb_information.dimensions
WHERE hypertable_schema = %(schema)s AND hypertable_name = %(name)s AND dimension_number = 1;

-- name: chunks
-- The chunks: name, rows, and whether they have statistics or no row. A compressed one has rows of its own no more.
SELECT v.chunk_name::text, c.reltuples::bigint,
       pg_relation_size(c.oid) = 0 OR EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = v.chunk_schema AND s.tablename = v.chunk_name),
       COALESCE(v.is_compressed, false)
FROM timescaledb_information.chunks v
JOIN pg_namespace n ON n.nspname = v.chunk_schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = v.chunk_name
WHERE v.hypertable_schema = %(schema)s AND v.hypertable_name = %(name)s;

-- name: indexes
-- The valid indexes of a table: name, definition from USING on, definition.
SELECT c.relname::text, substring(pg_get_indexdef(i.indexrelid) FROM ' (USING .*)$'), pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %(oid)s AND i.indisvalid ORDER BY c.relname;

-- name: means
-- The OID that the unqualified name has for the session's user, under the search_path in force.
SELECT pg_catalog.to_regclass(pg_catalog.quote_ident(%(name)s))::pg_catalog.oid::pg_catalog.int8;

-- name: own_path
-- Puts a schema before the user's own search_path.
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', pg_catalog.quote_ident(%(schema)s),
                             NULLIF(reset_val, '')), false)
FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'search_path';

-- name: locked
-- The relations that this transaction has locked.
SELECT relation::pg_catalog.int8 FROM pg_catalog.pg_locks
WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND locktype OPERATOR(pg_catalog.=) 'relation';

-- name: volatile
-- Those of the called functions that are volatile: they may do more than read.
SELECT DISTINCT format('%%I.%%I', n.nspname, p.proname)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN unnest(%(schemas)s::text[], %(names)s::text[]) AS called(schema, name)
     ON p.proname = called.name AND (called.schema = n.nspname OR called.schema IS NULL AND n.nspname = ANY(%(path)s::text[]))
WHERE p.provolatile = 'v' AND NOT (n.nspname = 'pg_catalog' AND p.proname = ANY(%(harmless)s::text[]))
  AND NOT (p.proname = ANY(%(reading)s::text[]) AND EXISTS (
      SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_extension'::regclass
        AND d.deptype = 'e' AND e.extname = 'timescaledb'))
ORDER BY 1;

-- name: parameter_types
-- The types of a prepared statement's parameters.
SELECT pg_catalog.cardinality(parameter_types)::pg_catalog.int4 FROM pg_catalog.pg_prepared_statements WHERE name OPERATOR(pg_catalog.=) %(name)s;

-- name: statements
-- What pg_stat_statements has of this database that has one of the names in it; one row for each text, the costliest first.
SELECT query, sum(calls)::bigint, sum(total_exec_time)::float8
FROM {view}
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND EXISTS (SELECT FROM unnest(%(names)s::text[]) AS n(name) WHERE strpos(lower(query), lower(n.name)) > 0) AND strpos(query, 'hyperferry') = 0
GROUP BY query ORDER BY sum(total_exec_time) DESC LIMIT 2000;

-- name: hidden
-- How many statements of others pg_stat_statements does not show this role.
SELECT count(*) FROM {view}
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query = '<insufficient privilege>';

-- name: info
-- The view with the counters of pg_stat_statements itself; NULL where the extension is older than 1.9.
SELECT to_regclass(format('%%I.pg_stat_statements_info', %(schema)s::text))::oid::bigint;

-- name: dropped
-- How often pg_stat_statements dropped its rarest entries for room since its reset, and how many it keeps.
SELECT dealloc, pg_catalog.current_setting('pg_stat_statements.max') FROM {info};

-- name: sample
-- Rows of a plain table that have what is wanted, always the same for a seed while the table stays as it is: from some of its pages,
-- in an order by the seed.
SELECT /* hyperferry */ {values} FROM (
    SELECT t.* FROM ONLY {table} AS t TABLESAMPLE system ({percent}) REPEATABLE ({seed})
    WHERE {present} ORDER BY hashtextextended(t.ctid::text, {seed}) LIMIT {rows}
) AS {alias};

-- name: span
-- The first and the last time of a hypertable, by its indexes on the time.
SELECT /* hyperferry */ min({time})::text, max({time})::text FROM {table};

-- name: row_from
-- The first row at a part of the way from the first time to the last that has what is wanted, of some, by the index on the time.
SELECT /* hyperferry */ {values} FROM (
    SELECT f.* FROM (SELECT t.* FROM {table} AS t WHERE t.{time} >= {bound} ORDER BY t.{time} LIMIT {most}) AS f
    WHERE {present} ORDER BY f.{time} LIMIT 1
) AS {alias};

-- name: first_rows
-- Some rows, whichever come first, in an order by the seed.
SELECT /* hyperferry */ {values} FROM (
    SELECT f.* FROM (SELECT t.* FROM {table} AS t LIMIT 10000) AS f WHERE {present} ORDER BY hashtextextended(f::text, {seed}) LIMIT {rows}
) AS {alias};

-- name: buffercache
-- The schema of pg_buffercache, and whether the session's role is a superuser.
SELECT (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_buffercache'),
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);

-- name: chunk_oids
-- The chunks of a hypertable by OID.
SELECT c.oid::bigint FROM timescaledb_information.chunks v
JOIN pg_namespace n ON n.nspname = v.chunk_schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = v.chunk_name
WHERE v.hypertable_schema = %(schema)s AND v.hypertable_name = %(name)s;

-- name: files
-- The files of these tables, of what their long values are kept in, and of the indexes of both.
SELECT pg_relation_filenode(each.oid)::bigint FROM pg_class t
CROSS JOIN LATERAL (
    SELECT held.oid FROM unnest(ARRAY[t.oid, t.reltoastrelid]) AS held(oid) WHERE held.oid <> 0
    UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid IN (t.oid, t.reltoastrelid)
) AS each
WHERE t.oid = ANY(%(oids)s::oid[]) AND pg_relation_filenode(each.oid) IS NOT NULL;

-- name: evict
-- Puts the pages of these files out of the server's cache.
SELECT count({function}(b.bufferid)) FROM {view} AS b
WHERE b.reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND b.relfilenode = ANY(%(files)s::oid[]);
