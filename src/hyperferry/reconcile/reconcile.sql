-- name: reads
-- The relations that a view reads, by its rule.
SELECT DISTINCT n.nspname::text, c.relname::text
FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.ev_class = to_regclass(%(view)s) AND d.refobjid <> r.ev_class AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
ORDER BY 1, 2;

-- name: definition
-- A view's query as PostgreSQL prints it, and its columns.
SELECT pg_get_viewdef(c.oid), ARRAY(SELECT a.attname::text FROM pg_attribute a
                                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM pg_class c WHERE c.oid = to_regclass(%(view)s);

-- name: kind
-- What a relation of that name is.
SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s;

-- name: older
-- The chunks that a retention policy would drop now, by OID.
SELECT s.chunk::oid::bigint FROM {show_chunks}({relation}::regclass, older_than => {older_than}) AS s(chunk);

-- name: drops
-- Chunks, oldest first, with the beginning and the end of each, as text and in TimescaleDB's own count.
SELECT n.nspname::text, c.relname::text, COALESCE(k.range_start::text, k.range_start_integer::text),
       COALESCE(k.range_end::text, k.range_end_integer::text),
       COALESCE(k.range_start_integer, CASE WHEN isfinite(k.range_start) THEN (EXTRACT(epoch FROM k.range_start) * 1000000)::bigint END),
       COALESCE(k.range_end_integer, CASE WHEN isfinite(k.range_end) THEN (EXTRACT(epoch FROM k.range_end) * 1000000)::bigint END)
FROM unnest(%(chunks)s::oid[]) AS s(chunk)
JOIN pg_class c ON c.oid = s.chunk JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN timescaledb_information.chunks k ON k.chunk_schema = n.nspname AND k.chunk_name = c.relname
ORDER BY k.range_end, k.range_end_integer, 2;

-- name: tiered
-- Whether a hypertable has chunks on object storage: one foreign table among its chunks stands for all of them.
SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = to_regclass(%(table)s) AND c.relkind = 'f');

-- name: estimate
-- The rows of a chunk by its statistics; compressed ones are not in there.
SELECT GREATEST(c.reltuples, 0)::bigint FROM pg_class c WHERE c.oid = to_regclass(%(chunk)s);

-- name: my_views
-- The views that this session made for itself.
SELECT oid FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'v';
