-- name: table
-- The relation itself, with its sizes in bytes.
SELECT n.nspname::text AS schema, c.relname::text AS name, c.oid::bigint AS oid, c.relkind::text AS relkind,
       CASE WHEN c.relkind = 'p' THEN 'partitioned table'
            WHEN c.relispartition THEN 'partition'
            WHEN c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid) THEN 'inherited'
            WHEN c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) THEN 'inheritance parent'
            WHEN c.relkind = 'r' THEN 'table'
            WHEN c.relkind = 'v' THEN 'view'
            WHEN c.relkind = 'm' THEN 'materialized view'
            WHEN c.relkind = 'f' THEN 'foreign table'
            WHEN c.relkind = 'S' THEN 'sequence'
            WHEN c.relkind IN ('i', 'I') THEN 'index'
            WHEN c.relkind = 'c' THEN 'composite type'
            WHEN c.relkind = 't' THEN 'TOAST table'
            ELSE c.relkind::text END AS kind,
       c.relpersistence::text AS persistence,
       pg_get_userbyid(c.relowner)::text AS owner,
       c.reltuples::bigint AS estimated_rows,
       CASE WHEN c.relkind IN ('r', 'm', 't', 'S', 'i') THEN pg_total_relation_size(c.oid) ELSE 0 END AS total_bytes,
       CASE WHEN c.relkind IN ('r', 'm', 't', 'S', 'i') THEN pg_relation_size(c.oid) ELSE 0 END AS heap_bytes,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_indexes_size(c.oid) ELSE 0 END AS index_bytes,
       (SELECT spcname::text FROM pg_tablespace WHERE oid = c.reltablespace) AS tablespace,
       COALESCE(c.reloptions, '{}') AS options,
       COALESCE((SELECT reloptions FROM pg_class WHERE oid = c.reltoastrelid), '{}') AS toast_options,
       (SELECT amname::text FROM pg_am WHERE oid = c.relam) AS access_method,
       c.relreplident::text AS replica_identity,
       c.relrowsecurity AS row_security,
       c.relforcerowsecurity AS row_security_forced,
       COALESCE(c.relacl = '{}', false) AS bare,
       obj_description(c.oid, 'pg_class') AS comment,
       (SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass
          AND d.deptype = 'e' LIMIT 1) AS extension,
       CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS typed_of
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = %(oid)s;

-- name: is_hypertable
-- Whether the table is a hypertable or one of its chunks.
SELECT CASE WHEN EXISTS (SELECT FROM timescaledb_information.hypertables
                         WHERE hypertable_schema = %(schema)s AND hypertable_name = %(name)s) THEN 'hypertable'
            WHEN EXISTS (SELECT FROM timescaledb_information.chunks
                         WHERE chunk_schema = %(schema)s AND chunk_name = %(name)s) THEN 'chunk' END;

-- name: hypertables
-- All hypertables: schema and name.
SELECT hypertable_schema::text, hypertable_name::text FROM timescaledb_information.hypertables;

-- name: grants
-- Privileges on the relation and on its columns; the owner's own are listed where an ACL was ever set.
SELECT COALESCE(g.rolname::text, CASE WHEN a.grantee = 0 THEN '' ELSE a.grantee::text END) AS grantee,
       a.privilege_type AS privilege, a.is_grantable AS grantable, s.column_name AS column,
       CASE WHEN a.grantor = s.owner THEN '' ELSE COALESCE(b.rolname::text, a.grantor::text) END AS grantor,
       pg_has_role(a.grantor, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) AS as_grantor
FROM (
    SELECT NULL::text AS column_name, 0 AS number, c.relacl AS acl, c.relowner AS owner FROM pg_class c WHERE c.oid = %(oid)s
    UNION ALL
    SELECT attname::text, attnum, attacl, c.relowner
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attrelid = %(oid)s AND attnum > 0 AND NOT attisdropped
) s
CROSS JOIN LATERAL aclexplode(s.acl) a
LEFT JOIN pg_roles g ON g.oid = a.grantee
LEFT JOIN pg_roles b ON b.oid = a.grantor
ORDER BY s.number, 1, 2, 3;

-- name: columns
-- Live columns, with domains resolved to their base types. A type's name with a dot in it is quoted, and its schema's likewise.
WITH RECURSIVE base(number, type_oid) AS (
    SELECT attnum, atttypid FROM pg_attribute WHERE attrelid = %(oid)s AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT b.number, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.type_oid WHERE t.typtype = 'd'
)
SELECT a.attname::text AS name, a.attnum::int AS number, format_type(a.atttypid, a.atttypmod) AS type_sql,
       a.atttypid::bigint AS type_oid, CASE WHEN strpos(concat(bn.nspname, bt.typname), '.') > 0
           THEN concat(quote_ident(bn.nspname), '.', quote_ident(bt.typname)) ELSE concat(bn.nspname, '.', bt.typname) END AS base_type,
       CASE WHEN bt.typsubscript = 'array_subscript_handler'::regproc THEN 'a' ELSE bt.typtype::text END AS type_kind,
       a.attnotnull AS not_null, pg_get_expr(d.adbin, d.adrelid) AS default,
       a.attgenerated::text AS generated, a.attidentity::text AS identity,
       CASE WHEN a.attcollation <> t.typcollation THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS collation,
       CASE WHEN a.attcollation <> bt.typcollation THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS base_collation,
       COALESCE(co.collisdeterministic, true) AS deterministic,
       CASE WHEN a.attstorage <> t.typstorage THEN
           CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' WHEN 'x' THEN 'EXTENDED' END
       END AS storage,
       CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
       NULLIF(a.attstattarget, -1)::int AS statistics_target,
       -- Not what the server notes there for itself (pg_attver, from PostgreSQL 17.12 on).
       ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE NOT starts_with(o, 'pg_')) AS options,
       col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
JOIN base b ON b.number = a.attnum
JOIN pg_type bt ON bt.oid = b.type_oid AND bt.typtype <> 'd'
JOIN pg_namespace bn ON bn.oid = bt.typnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- name: sequences
-- Sequences owned by a column: serial (deptype a) and identity (deptype i).
SELECT a.attname::text AS column, n.nspname::text AS schema, s.relname::text AS name, s.oid::bigint AS oid,
       d.deptype = 'i' AS identity, format_type(q.seqtypid, NULL) AS type_sql, q.seqstart AS start, q.seqincrement AS increment,
       q.seqmin AS minimum, q.seqmax AS maximum, q.seqcache AS cache, q.seqcycle AS cycle,
       COALESCE(s.relacl = '{}', false) AS bare, obj_description(s.oid, 'pg_class') AS comment
FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_sequence q ON q.seqrelid = s.oid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid = %(oid)s AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
ORDER BY a.attnum, n.nspname, s.relname;

-- name: security_labels
-- Security labels of the table, its columns, its row type and the sequences of its identities.
SELECT s.provider || ': ' || s.label || CASE WHEN s.objoid = %(oid)s AND s.objsubid = 0 THEN '' ELSE ' (' || i.type || ' ' || i.identity || ')' END
FROM pg_seclabel s CROSS JOIN LATERAL pg_identify_object(s.classoid, s.objoid, s.objsubid) AS i
WHERE s.classoid = 'pg_class'::regclass AND s.objoid = %(oid)s
   OR s.classoid = 'pg_type'::regclass AND s.objoid = (SELECT reltype FROM pg_class WHERE oid = %(oid)s)
   OR s.classoid = 'pg_class'::regclass AND EXISTS (
       SELECT FROM pg_depend d WHERE d.classid = s.classoid AND d.objid = s.objoid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s
         AND d.refobjsubid > 0 AND d.deptype = 'i')
ORDER BY 1;

-- name: odd_parts
-- What a part of the table has that cannot be carried over: rights and comments on its row type, parts that go with an extension, members of one.
SELECT 'its row type has privileges of its own'
FROM pg_class c JOIN pg_type t ON t.oid = c.reltype WHERE c.oid = %(oid)s AND t.typacl IS DISTINCT FROM NULL AND t.typacl <> acldefault('T', t.typowner)
UNION ALL
SELECT 'its row type has a comment'
FROM pg_class c WHERE c.oid = %(oid)s AND obj_description(c.reltype, 'pg_type') IS NOT NULL
UNION ALL
SELECT i.type || ' ' || i.identity || CASE d.deptype WHEN 'e' THEN ' belongs to' ELSE ' depends on' END || ' the extension ' || e.extname
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype IN ('e', 'x') AND (
    d.classid = 'pg_class'::regclass AND (d.objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = %(oid)s) OR d.objid = %(oid)s AND d.deptype = 'x'
        OR d.objid IN (SELECT s.objid FROM pg_depend s WHERE s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass
                       AND s.refobjid = %(oid)s AND s.refobjsubid > 0 AND s.deptype = 'i'))
    OR d.classid = 'pg_trigger'::regclass AND d.objid IN (SELECT oid FROM pg_trigger WHERE tgrelid = %(oid)s))
ORDER BY 1;
