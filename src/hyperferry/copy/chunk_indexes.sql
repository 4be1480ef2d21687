-- Indexes of the shadow's chunks, built before the root's, which takes them for its own.

-- name: may
-- Whether the role may make indexes on the hypertable's chunks: a chunk's index goes where the chunk is, so its schema is asked for.
SELECT pg_has_role(c.relowner, 'USAGE') AND NOT EXISTS (
    SELECT FROM pg_inherits h JOIN pg_class k ON k.oid = h.inhrelid
    WHERE h.inhparent = c.oid AND NOT has_schema_privilege(k.relnamespace, 'CREATE'))
FROM pg_class c WHERE c.oid = %(root)s::oid;

-- name: there
-- The hypertable's chunks with the indexes that they have, by their names.
SELECT n.nspname::text, c.relname::text,
       (SELECT jsonb_object_agg(x.relname, pg_get_indexdef(x.oid)) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisvalid)
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE h.inhparent = %(root)s::oid;

-- name: printed
-- The indexes of a table, as PostgreSQL prints them, by their names.
SELECT x.relname::text, pg_get_indexdef(x.oid)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s;

-- name: closed
-- Chunks, oldest first, into which no batch copies any more (batches are taken in their order), with the indexes that they have, by their names.
SELECT k.oid::bigint, k.schema, k.name,
       (SELECT jsonb_object_agg(x.relname, pg_get_indexdef(x.oid)) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = k.oid AND i.indisvalid)
FROM {chunks} AS k
WHERE k.oid <> ALL (%(known)s::oid[]) AND (NOT EXISTS (SELECT FROM {batch} AS b WHERE b.state = 'pending'){below})
ORDER BY k.starts;

-- name: below
-- Before the first batch that is pending. One that begins nowhere is the first of all.
 OR k.high <= (SELECT min(b.lo_t) FROM {batch} AS b WHERE b.state = 'pending'
               AND NOT EXISTS (SELECT FROM {batch} AS f WHERE f.state = 'pending' AND f.lo_t IS NULL))
