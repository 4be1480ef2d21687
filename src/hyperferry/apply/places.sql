-- name: dimension
-- The one dimension of a hypertable (NULL where it has several, or a partitioning function), whether a slice names its chunk (else a
-- constraint of the chunk names the slice), and whether a chunk is noted by its OID (else by its name). No row where the catalogue is otherwise.
WITH known AS (
    SELECT concat(c.relname, '.', a.attname) AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = to_regnamespace('_timescaledb_catalog') AND a.attnum > 0 AND NOT a.attisdropped
), shape AS (
    SELECT bool_or(name = 'dimension_slice.chunk_id') AS slice_names_chunk, bool_or(name = 'chunk.relid') AS chunk_has_oid,
           bool_or(name = 'chunk_constraint.dimension_slice_id') AS by_constraint, bool_or(name = 'chunk.table_name') AS by_name,
           count(*) FILTER (WHERE name IN ('chunk.id', 'chunk.hypertable_id', 'chunk.status', 'chunk.osm_chunk',
               'dimension_slice.id', 'dimension_slice.dimension_id', 'dimension_slice.range_start', 'dimension_slice.range_end')) = 8 AS rest
    FROM known
)
SELECT (SELECT CASE WHEN count(*) = 1
                   THEN min(d.id) FILTER (WHERE d.column_name = %(column)s AND d.num_slices IS NULL AND d.partitioning_func IS NULL) END
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN _timescaledb_catalog.hypertable h ON h.schema_name = n.nspname AND h.table_name = c.relname
        JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id
        WHERE c.oid = {oid}), slice_names_chunk, chunk_has_oid
FROM shape WHERE rest AND (slice_names_chunk OR by_constraint) AND (chunk_has_oid OR by_name);

-- name: chunk_of
-- The chunk whose slice holds both ends: slices do not overlap, so it is the last one that begins in time, if it ends in time. Plain: a table
-- (one in another storage is foreign), no part of it compressed or frozen, still a chunk of this hypertable for PostgreSQL too, and one that we
-- may use as we may the root (it may have been moved to a schema of others). A dimension may be added later, to a hypertable with rows too: a
-- slice is then not of one chunk. Each step looks by an index for the one row of the step before (bigint keeps the planner off the index on
-- the parent, by which it would read all chunks).
SELECT (
    SELECT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(r.relname))
    FROM _timescaledb_catalog.chunk k CROSS JOIN pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
    WHERE k.id = {chunk} AND {relation} AND k.status = 0 AND NOT k.osm_chunk AND r.relkind = 'r'
      AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = r.oid AND i.inhparent::bigint = {root})
      AND NOT EXISTS (SELECT FROM _timescaledb_catalog.dimension d WHERE d.hypertable_id = k.hypertable_id AND d.id <> {dimension})
      AND NOT r.relrowsecurity AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
      AND pg_catalog.has_table_privilege(r.oid, 'SELECT') AND pg_catalog.has_table_privilege(r.oid, 'DELETE'))
FROM (SELECT slice.* FROM _timescaledb_catalog.dimension_slice slice
      WHERE slice.dimension_id = {dimension} AND slice.range_start <= {low} ORDER BY slice.range_start DESC LIMIT 1) AS found
WHERE found.range_end > {high}

-- name: chunk_by_slice
-- The chunk of the slice.
found.chunk_id

-- name: chunk_by_constraint
-- The same, in an older catalogue. Where a dropped chunk left its note there, the newest is the one that can be there.
(SELECT pg_catalog.max(cc.chunk_id) FROM _timescaledb_catalog.chunk_constraint cc WHERE cc.dimension_slice_id = found.id)

-- name: relation_by_oid
-- The table of the chunk.
r.oid = k.relid

-- name: relation_by_name
-- The same, in an older catalogue. Not to_regclass: it fails where we may not use the schema.
r.relname = k.table_name AND n.nspname = k.schema_name

-- name: integer
-- A time as TimescaleDB notes it in a slice.
{value}::bigint

-- name: microseconds
-- The same: since 1970, whatever the type; NULL (which lies in no slice) where that is more than can be noted.
(SELECT CASE WHEN pg_catalog.isfinite(v.x) AND pg_catalog.abs(v.e) < 9000000000000 THEN (v.e * 1000000)::bigint END
 FROM (SELECT w.x, CASE WHEN pg_catalog.isfinite(w.x) THEN EXTRACT(epoch FROM w.x) END FROM (SELECT {value}) AS w(x)) AS v(x, e));
