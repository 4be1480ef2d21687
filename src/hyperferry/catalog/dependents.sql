-- name: dependents
-- Everything that depends on the table, its row type, its keys, its indexes or the sequence of an identity, and on views among those, with the
-- longest way to it. What belongs to the table (indexes, own constraints, defaults, triggers, policies, rules) and its inheritance children are
-- left out, and so are temporary views that read views of the table alone: those keep their meaning, and go with their sessions. The
-- definition is what points a dependent at the table of that name again. From PostgreSQL 16 on the number of a temporary schema is its session's.
WITH RECURSIVE found(classid, objid, depth, via) AS (
    SELECT 'pg_class'::regclass::oid, %(oid)s::oid, 0, NULL::text
    UNION
    SELECT CASE WHEN v.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass END, COALESCE(v.oid, d.objid), f.depth + 1, r.via
    FROM found f
    CROSS JOIN LATERAL (
        SELECT f.classid, f.objid, 'columns'
        UNION ALL
        SELECT 'pg_type'::regclass, t.oid, 'rowtype' FROM pg_class c JOIN pg_type y ON y.oid = c.reltype
            JOIN pg_type t ON t.oid IN (y.oid, y.typarray)
        WHERE f.classid = 'pg_class'::regclass AND c.oid = f.objid
        UNION ALL
        SELECT 'pg_constraint'::regclass, k.oid, 'key' FROM pg_constraint k
        WHERE f.classid = 'pg_class'::regclass AND k.conrelid = f.objid AND k.contype IN ('p', 'u', 'x')
        UNION ALL
        SELECT 'pg_class'::regclass, i.indexrelid, 'index' FROM pg_index i WHERE f.depth = 0 AND i.indrelid = f.objid
        UNION ALL
        SELECT 'pg_class'::regclass, s.objid, 'sequence' FROM pg_depend s
        WHERE f.depth = 0 AND s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass AND s.refobjid = f.objid
          AND s.refobjsubid > 0 AND s.deptype = 'i'
    ) AS r(classid, objid, via)
    JOIN pg_depend d ON d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype IN ('n', 'a')
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
    LEFT JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm') AND w.rulename = '_RETURN'
    WHERE f.depth < 50
      AND (d.classid, COALESCE(v.oid, d.objid)) IS DISTINCT FROM (f.classid, f.objid)
      AND COALESCE(v.oid <> f.objid, true)
      AND (f.depth = 0 OR v.relpersistence IS DISTINCT FROM 't')
      AND NOT (d.classid = 'pg_class'::regclass AND (
          EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = d.objid AND h.inhparent::bigint = f.objid::bigint)
          OR EXISTS (SELECT FROM pg_class o WHERE o.oid = d.objid AND (o.relkind IN ('S', 't', 'i', 'I')
                                                             OR f.depth > 0 AND o.relpersistence = 't'))))
      AND NOT (d.classid = 'pg_rewrite'::regclass AND w.ev_class = f.objid)
      AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
          SELECT FROM pg_constraint k WHERE k.oid = d.objid AND (k.conrelid IN (f.objid, %(oid)s) OR k.contype = 'f')))
      AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (
          SELECT FROM pg_attrdef k WHERE k.oid = d.objid AND k.adrelid IN (f.objid, %(oid)s)))
      AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (
          SELECT FROM pg_trigger k WHERE k.oid = d.objid AND k.tgrelid IN (f.objid, %(oid)s)))
      AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (
          SELECT FROM pg_policy k WHERE k.oid = d.objid AND (k.polrelid IN (f.objid, %(oid)s)
              -- The shadow's copy of a policy that reads its own table: the swap binds it anew.
              OR k.polrelid IN (SELECT o.oid FROM pg_class o JOIN pg_namespace s ON s.oid = o.relnamespace
                                WHERE s.nspname ~ '^hyperferry_(new|old)_[0-9]+$'))))
      AND d.classid::regclass::text NOT IN ('pg_statistic_ext', 'pg_publication_rel', 'pg_default_acl')
), object(classid, objid, depth, direct, via) AS (
    SELECT classid, objid, max(depth)::int, bool_or(depth = 1), COALESCE(array_agg(DISTINCT via ORDER BY via) FILTER (WHERE depth = 1), '{}')
    FROM found WHERE depth > 0 GROUP BY classid, objid
)
SELECT i.type AS kind, COALESCE(cn.nspname::text, pn.nspname::text, tn.nspname::text, i.schema, '') AS schema,
       COALESCE(c.relname::text, p.proname::text, w.rulename::text, y.polname::text, i.name, i.identity) AS name,
       o.objid::bigint AS oid, i.identity AS identity,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
            WHEN p.prokind IN ('f', 'p', 'w') THEN pg_get_functiondef(p.oid)
            WHEN w.oid IS NOT NULL THEN 'CREATE OR REPLACE RULE' || substr(pg_get_ruledef(w.oid), length('CREATE RULE') + 1)
            WHEN y.oid IS NOT NULL THEN concat(
                'ALTER POLICY ', quote_ident(y.polname), ' ON ', quote_ident(bn.nspname), '.', quote_ident(b.relname),
                ' USING (' || pg_get_expr(y.polqual, y.polrelid) || ')',
                ' WITH CHECK (' || pg_get_expr(y.polwithcheck, y.polrelid) || ')') END AS definition,
       COALESCE(c.reloptions, '{}') AS options,
       COALESCE(pg_get_userbyid(COALESCE(c.relowner, p.proowner, t.typowner, b.relowner))::text, '') AS owner,
       COALESCE(pg_has_role(COALESCE(c.relowner, p.proowner, t.typowner, b.relowner), 'USAGE'), false) AS owned,
       o.via AS via, o.depth AS depth, o.direct AS direct, obj_description(o.objid, o.classid::regclass::name) AS comment,
       COALESCE(c.relkind IN ('v', 'm') AND (
           EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN')
           OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)), false) AS rules,
       bn.nspname::text AS of_schema, b.relname::text AS of_name, b.relkind::text AS of_kind,
       -- Of the stored statements 1 is a SELECT; 2 to 5 are UPDATE, INSERT, DELETE, MERGE.
       COALESCE(p.prosqlbody::text ~ ':(commandType [2-5]|hasForUpdate true|hasModifyingCTE true)\M', false) AS writes,
       COALESCE(p.proleakproof, false) AS leakproof,
       CASE WHEN COALESCE(cn.nspname, pn.nspname, bn.nspname) ~ '^pg_temp_[0-9]+$' AND current_setting('server_version_num')::int >= 160000
            THEN (SELECT a.pid FROM pg_stat_activity a  -- of a crash such a schema can be left, and its number be somebody else's now
                  WHERE a.pid = pg_stat_get_backend_pid(substr(COALESCE(cn.nspname, pn.nspname, bn.nspname), 9)::int)
                    AND a.datname = current_database() AND COALESCE(a.backend_type, 'client backend') = 'client backend') END AS session
FROM object o
CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) AS i
LEFT JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
LEFT JOIN pg_namespace cn ON cn.oid = c.relnamespace
LEFT JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace
LEFT JOIN pg_type t ON o.classid = 'pg_type'::regclass AND t.oid = o.objid
LEFT JOIN pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN pg_rewrite w ON o.classid = 'pg_rewrite'::regclass AND w.oid = o.objid
LEFT JOIN pg_policy y ON o.classid = 'pg_policy'::regclass AND y.oid = o.objid
LEFT JOIN pg_class b ON b.oid = COALESCE(w.ev_class, y.polrelid)
LEFT JOIN pg_namespace bn ON bn.oid = b.relnamespace
ORDER BY o.depth, i.type, i.identity;
