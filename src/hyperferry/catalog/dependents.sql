-- name: dependents
-- Everything that depends on the table, its row type or its primary key, and on views among those, with the longest way to it.
-- What belongs to the table (indexes, own constraints, defaults, triggers, policies, rules) and its inheritance children are left out.
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
        WHERE f.classid = 'pg_class'::regclass AND k.conrelid = f.objid AND k.contype = 'p'
    ) AS r(classid, objid, via)
    JOIN pg_depend d ON d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype IN ('n', 'a')
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
    LEFT JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm') AND w.rulename = '_RETURN'
    WHERE f.depth < 50
      AND (d.classid, COALESCE(v.oid, d.objid)) IS DISTINCT FROM (f.classid, f.objid)
      AND COALESCE(v.oid <> f.objid, true)
      AND NOT (d.classid = 'pg_class'::regclass AND (
          EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = d.objid AND h.inhparent = f.objid)
          OR EXISTS (SELECT FROM pg_class o WHERE o.oid = d.objid AND o.relkind IN ('S', 't', 'i', 'I'))))
      AND NOT (d.classid = 'pg_rewrite'::regclass AND w.ev_class = f.objid)
      AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
          SELECT FROM pg_constraint k WHERE k.oid = d.objid AND (k.conrelid IN (f.objid, %(oid)s) OR k.contype = 'f')))
      AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (
          SELECT FROM pg_attrdef k WHERE k.oid = d.objid AND k.adrelid IN (f.objid, %(oid)s)))
      AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (
          SELECT FROM pg_trigger k WHERE k.oid = d.objid AND k.tgrelid IN (f.objid, %(oid)s)))
      AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (
          SELECT FROM pg_policy k WHERE k.oid = d.objid AND k.polrelid IN (f.objid, %(oid)s)))
      AND d.classid::regclass::text NOT IN ('pg_statistic_ext', 'pg_publication_rel', 'pg_default_acl')
), object(classid, objid, depth, direct, via) AS (
    SELECT classid, objid, max(depth)::int, bool_or(depth = 1), array_agg(DISTINCT via ORDER BY via)
    FROM found WHERE depth > 0 GROUP BY classid, objid
)
SELECT i.type AS kind, COALESCE(cn.nspname::text, pn.nspname::text, tn.nspname::text, i.schema, '') AS schema,
       COALESCE(c.relname::text, p.proname::text, i.name, i.identity) AS name,
       o.objid::bigint AS oid, i.identity AS identity,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
            WHEN p.prokind IN ('f', 'p', 'w') THEN pg_get_functiondef(p.oid) END AS definition,
       COALESCE(c.reloptions, '{}') AS options,
       COALESCE(pg_get_userbyid(COALESCE(c.relowner, p.proowner, t.typowner))::text, '') AS owner,
       COALESCE(pg_has_role(COALESCE(c.relowner, p.proowner, t.typowner), 'USAGE'), false) AS owned,
       o.via AS via, o.depth AS depth, o.direct AS direct, obj_description(o.objid, o.classid::regclass::name) AS comment,
       COALESCE(c.relkind IN ('v', 'm') AND (
           EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN')
           OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)), false) AS rules
FROM object o
CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) AS i
LEFT JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
LEFT JOIN pg_namespace cn ON cn.oid = c.relnamespace
LEFT JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace
LEFT JOIN pg_type t ON o.classid = 'pg_type'::regclass AND t.oid = o.objid
LEFT JOIN pg_namespace tn ON tn.oid = t.typnamespace
ORDER BY o.depth, i.type, i.identity;
