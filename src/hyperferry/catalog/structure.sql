-- name: indexes
-- Indexes of the table; the tail is the definition from USING on.
SELECT c.relname::text AS name, c.oid::bigint AS oid, pg_get_indexdef(c.oid) AS definition,
       substr(pg_get_indexdef(c.oid), length(concat(
           'CREATE ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, 'INDEX ', quote_ident(c.relname), ' ON ',
           CASE WHEN c.relkind = 'I' THEN 'ONLY ' END, quote_ident(tn.nspname), '.', quote_ident(t.relname), ' ')) + 1) AS tail,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey[i.indnkeyatts:]) WITH ORDINALITY AS k(number, position)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.position) AS included,
       am.amname::text AS method, i.indisunique AS unique, i.indisprimary AS primary, i.indisexclusion AS exclusion,
       i.indisvalid AND i.indisready AND i.indislive AS valid, i.indimmediate AS immediate,
       COALESCE((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS nulls_not_distinct,
       pg_get_expr(i.indpred, i.indrelid) AS predicate,
       (SELECT conname::text FROM pg_constraint WHERE conindid = c.oid AND conrelid = i.indrelid AND contype IN ('p', 'u', 'x')) AS constraint,
       (SELECT spcname::text FROM pg_tablespace WHERE oid = c.reltablespace) AS tablespace,
       CASE WHEN c.relkind = 'i' THEN pg_relation_size(c.oid) ELSE 0 END AS bytes,
       obj_description(c.oid, 'pg_class') AS comment,
       i.indisclustered AS clustered, i.indisreplident AS replica_identity
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_am am ON am.oid = c.relam
WHERE i.indrelid = %(oid)s
ORDER BY i.indisprimary DESC, i.indisunique DESC, c.relname;

-- name: index_columns
-- Key columns of each index with the operators of their operator classes: = and < of a btree, = of a hash index.
SELECT i.indexrelid::bigint AS oid, a.attname::text AS column, pg_get_indexdef(i.indexrelid, k.position::int, false) AS expression,
       'OPERATOR(' || quote_ident(en.nspname) || '.' || eo.oprname || ')' AS equals,
       'OPERATOR(' || quote_ident(ln.nspname) || '.' || lo.oprname || ')' AS less
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey[:i.indnkeyatts - 1], i.indclass::oid[]) WITH ORDINALITY AS k(number, class, position)
JOIN pg_opclass oc ON oc.oid = k.class
JOIN pg_am am ON am.oid = oc.opcmethod
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number <> 0
LEFT JOIN pg_amop e ON e.amopfamily = oc.opcfamily AND e.amoplefttype = oc.opcintype AND e.amoprighttype = oc.opcintype
    AND e.amopstrategy = CASE am.amname WHEN 'btree' THEN 3 WHEN 'hash' THEN 1 END
LEFT JOIN pg_operator eo ON eo.oid = e.amopopr
LEFT JOIN pg_namespace en ON en.oid = eo.oprnamespace
LEFT JOIN pg_amop l ON l.amopfamily = oc.opcfamily AND l.amoplefttype = oc.opcintype AND l.amoprighttype = oc.opcintype
    AND am.amname = 'btree' AND l.amopstrategy = 1
LEFT JOIN pg_operator lo ON lo.oid = l.amopopr
LEFT JOIN pg_namespace ln ON ln.oid = lo.oprnamespace
WHERE i.indrelid = %(oid)s
ORDER BY i.indexrelid, k.position;

-- name: index_statistics
-- Statistics targets set on index columns.
SELECT i.indexrelid::bigint, a.attnum::int, a.attstattarget::int
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid
WHERE i.indrelid = %(oid)s AND a.attstattarget >= 0
ORDER BY 1, 2;

-- name: constraints
-- Constraints of the table. NOT ENFORCED exists from PostgreSQL 18, so the flag is read by name.
SELECT c.conname::text AS name, c.contype::text AS kind, pg_get_constraintdef(c.oid) AS definition,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k(number, position)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.position) AS columns,
       c.convalidated AS validated, COALESCE((to_jsonb(c) ->> 'conenforced')::boolean, true) AS enforced,
       c.condeferrable AS deferrable, c.condeferred AS deferred, c.connoinherit AS no_inherit,
       CASE WHEN c.contype IN ('p', 'u', 'x') THEN (SELECT relname::text FROM pg_class WHERE oid = c.conindid) END AS index,
       rn.nspname::text AS references_schema, r.relname::text AS references_name,
       NULLIF(c.confrelid, 0)::bigint AS references_oid,
       NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = c.oid AND g.tgisinternal AND g.tgenabled <> 'O') AS ordinary,
       obj_description(c.oid, 'pg_constraint') AS comment
FROM pg_constraint c
LEFT JOIN pg_class r ON r.oid = c.confrelid AND c.contype = 'f'
LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
WHERE c.conrelid = %(oid)s AND c.contype IN ('p', 'u', 'c', 'x', 'f', 'n')
ORDER BY c.contype, c.conname;

-- name: inbound_keys
-- Foreign keys that point at the table; those of partitions are made by their parent's. A table that inherits from another without being its
-- partition has keys of its own. `schemas` and `names` are those of all hypertables, side by side.
SELECT c.conname::text AS name, n.nspname::text AS table_schema, t.relname::text AS table_name, t.oid::bigint AS table_oid,
       pg_get_constraintdef(c.oid) AS definition,
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k(number, position)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.position) AS referenced_columns,
       c.convalidated AS validated, COALESCE((to_jsonb(c) ->> 'conenforced')::boolean, true) AS enforced,
       t.relkind::text AS table_kind, pg_get_userbyid(t.relowner)::text AS owner, pg_has_role(t.relowner, 'USAGE') AS owned,
       NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = c.oid AND g.tgenabled <> 'O') AS ordinary,
       obj_description(c.oid, 'pg_constraint') AS comment
FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.confrelid = %(oid)s AND c.contype = 'f' AND c.conparentid = 0
  -- A hypertable's chunks have its keys under names of their own.
  AND NOT EXISTS (SELECT FROM pg_inherits h JOIN pg_constraint p ON p.conrelid = h.inhparent AND p.contype = 'f' AND p.confrelid = c.confrelid
                  JOIN pg_class u ON u.oid = h.inhparent JOIN pg_namespace un ON un.oid = u.relnamespace
                  WHERE h.inhrelid = c.conrelid AND p.confkey = c.confkey
                    AND (un.nspname, u.relname) IN (SELECT * FROM unnest(%(schemas)s::name[], %(names)s::name[])))
ORDER BY n.nspname, t.relname, c.conname;

-- name: triggers
-- The user's triggers: neither internal ones nor ours.
SELECT t.tgname::text AS name, pg_get_triggerdef(t.oid) AS definition, t.tgfoid::regprocedure::text AS function,
       t.tgenabled::text AS enabled, t.tgtype & 1 <> 0 AS row_level, t.tgtype & 2 <> 0 AS before,
       t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL AS transition_tables,
       t.tgconstraint <> 0 AS constraint, obj_description(t.oid, 'pg_trigger') AS comment
FROM pg_trigger t
WHERE t.tgrelid = %(oid)s AND NOT t.tgisinternal AND NOT starts_with(t.tgname, 'hyperferry_')
ORDER BY t.tgname;

-- name: policies
-- Row security policies as statements, {table} for the table's name.
SELECT p.polname::text AS name, concat(
           'CREATE POLICY ', quote_ident(p.polname), ' ON {table} AS ', CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
           ' FOR ', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
           ' TO ', (SELECT string_agg(COALESCE(quote_ident(r.rolname), 'PUBLIC'), ', ' ORDER BY r.rolname)
                    FROM unnest(p.polroles) AS u(role) LEFT JOIN pg_roles r ON r.oid = u.role),
           ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
           ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') AS create,
       -- A sub-select of the table itself stands in the stored expression by OID.
       CASE WHEN concat(p.polqual, p.polwithcheck) ~ format(':relid %%s\M', p.polrelid) THEN concat(
           'ALTER POLICY ', quote_ident(p.polname), ' ON {table}', ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
           ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') END AS again,
       obj_description(p.oid, 'pg_policy') AS comment
FROM pg_policy p WHERE p.polrelid = %(oid)s ORDER BY p.polname;

-- name: rules
-- Rules on the table, by name; a view's own is left out.
SELECT rulename::text FROM pg_rewrite WHERE ev_class = %(oid)s AND rulename <> '_RETURN' ORDER BY 1;

-- name: extended_statistics
-- CREATE STATISTICS objects; a target of -1 (NULL from PostgreSQL 17) means none.
SELECT n.nspname::text AS schema, s.stxname::text AS name, pg_get_statisticsobjdef(s.oid) AS definition,
       NULLIF(s.stxstattarget, -1)::int AS target, obj_description(s.oid, 'pg_statistic_ext') AS comment,
       pg_get_userbyid(s.stxowner)::text AS owner, pg_has_role(s.stxowner, 'USAGE') AS owned
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = %(oid)s ORDER BY 1, 2;
