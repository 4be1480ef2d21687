-- name: dependents
-- What depends on the table or its row type, but for what is its own: constraints, generated columns, policies and triggers.
SELECT string_agg(DISTINCT CASE WHEN w.oid IS NULL THEN pg_describe_object(d.classid, d.objid, d.objsubid)
                                ELSE pg_describe_object('pg_class'::regclass, w.ev_class, 0) END, ', ')
FROM pg_class c
JOIN pg_type y ON y.oid = c.reltype
CROSS JOIN LATERAL (VALUES ('pg_class'::regclass, c.oid), ('pg_type'::regclass, y.oid), ('pg_type'::regclass, y.typarray))
    AS r (classid, objid)
JOIN pg_depend d ON d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype = 'n'
LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
WHERE c.oid = to_regclass(%(table)s) AND w.ev_class IS DISTINCT FROM c.oid
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.conrelid = c.oid)
  AND NOT EXISTS (SELECT FROM pg_attrdef k WHERE d.classid = 'pg_attrdef'::regclass AND k.oid = d.objid AND k.adrelid = c.oid)
  AND NOT EXISTS (SELECT FROM pg_policy k WHERE d.classid = 'pg_policy'::regclass AND k.oid = d.objid AND k.polrelid = c.oid)
  AND NOT EXISTS (SELECT FROM pg_trigger k WHERE d.classid = 'pg_trigger'::regclass AND k.oid = d.objid AND k.tgrelid = c.oid);

-- name: usage_not_needed
-- Owners, of now or of then, who have a right on the ledger's schema that they were given for a function there, and no such function any more.
SELECT DISTINCT r.rolname::text
FROM pg_namespace n, aclexplode(n.nspacl) g JOIN pg_roles r ON r.oid = g.grantee
WHERE n.nspname = 'hyperferry' AND g.grantee <> n.nspowner
  AND NOT EXISTS (SELECT FROM pg_proc p, aclexplode(p.proacl) a
                  WHERE p.pronamespace = n.oid AND p.proowner <> a.grantee AND a.grantee = g.grantee);

-- name: hidden
-- The tables that hold the compressed rows of a hypertable's chunks.
SELECT n.nspname, c.relname
FROM pg_inherits i JOIN _timescaledb_catalog.compression_settings s ON s.relid = i.inhrelid
JOIN pg_class c ON c.oid = s.compress_relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.inhparent = %(oid)s ORDER BY c.oid;

-- name: chunks_with
-- What has a trigger of one of these names with one of these functions of ours, but for the hypertable itself: its chunks, and what was a chunk
-- when it got the trigger, and was detached since (`strays`: the latter alone).
SELECT DISTINCT c.oid::bigint, n.nspname, c.relname
FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace JOIN pg_trigger g ON g.tgfoid = p.oid
JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE s.nspname = 'hyperferry' AND p.proname = ANY(%(functions)s::name[]) AND g.tgname = ANY(%(names)s::name[]) AND c.oid <> %(oid)s
  AND (NOT %(strays)s OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhparent = %(oid)s))
ORDER BY 1;
