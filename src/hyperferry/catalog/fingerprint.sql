-- name: fingerprint
-- One text over everything of a table that a swap carries over or relies on; the same after ANALYZE, VACUUM and any write. What the server
-- notes for itself among a column's options (pg_attver, from PostgreSQL 17.12 on) is left out. So are temporary views on the table's views, which
-- come and go with their sessions and do not mind a swap; one that reads the table itself does, and is in it. What depends on the table is
-- found as in dependents.sql.
-- Views, rules, policies and functions go in as stored, with OIDs: pg_get_viewdef and its kin lock every table that they name, which must not
-- happen inside the swap. One statement, without parameters, percent signs or dollar quotes, so that it can stand in an expression inside a DO block.
SELECT encode(sha256(convert_to(string_agg(line, chr(10) ORDER BY line COLLATE "C"), getdatabaseencoding())), 'hex')
FROM (
    WITH RECURSIVE t AS (
        SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = {oid}
    ), found(classid, objid, depth) AS (
        SELECT 'pg_class'::regclass::oid, t.oid, 0 FROM t
        UNION
        SELECT CASE WHEN v.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass END, COALESCE(v.oid, d.objid), f.depth + 1
        FROM found f
        CROSS JOIN LATERAL (
            SELECT f.classid, f.objid
            UNION ALL
            SELECT 'pg_type'::regclass, a.oid FROM pg_class c JOIN pg_type y ON y.oid = c.reltype
                JOIN pg_type a ON a.oid IN (y.oid, y.typarray)
            WHERE f.classid = 'pg_class'::regclass AND c.oid = f.objid
            UNION ALL
            SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k
            WHERE f.classid = 'pg_class'::regclass AND k.conrelid = f.objid AND k.contype IN ('p', 'u', 'x')
            UNION ALL
            SELECT 'pg_class'::regclass, i.indexrelid FROM pg_index i WHERE f.depth = 0 AND i.indrelid = f.objid
            UNION ALL
            SELECT 'pg_class'::regclass, s.objid FROM pg_depend s
            WHERE f.depth = 0 AND s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass AND s.refobjid = f.objid
              AND s.refobjsubid > 0 AND s.deptype = 'i'
        ) AS r(classid, objid)
        JOIN pg_depend d ON d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype IN ('n', 'a')
        LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
        LEFT JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm') AND w.rulename = '_RETURN'
        WHERE f.depth < 50 AND COALESCE(v.oid, d.objid) <> f.objid
          AND (f.depth = 0 OR v.relpersistence IS DISTINCT FROM 't')
          AND d.classid NOT IN ('pg_statistic_ext'::regclass, 'pg_publication_rel'::regclass, 'pg_default_acl'::regclass)
          AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
              SELECT FROM pg_constraint k WHERE k.oid = d.objid AND (k.conrelid IN (f.objid, {oid}) OR k.contype = 'f')))
          AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (
              SELECT FROM pg_attrdef k WHERE k.oid = d.objid AND k.adrelid IN (f.objid, {oid})))
          AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (
              SELECT FROM pg_trigger k WHERE k.oid = d.objid AND k.tgrelid IN (f.objid, {oid})))
          AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (
              SELECT FROM pg_policy k WHERE k.oid = d.objid AND (k.polrelid IN (f.objid, {oid})
              -- The shadow's copy of a policy that reads its own table: the swap binds it anew.
              OR k.polrelid IN (SELECT o.oid FROM pg_class o JOIN pg_namespace s ON s.oid = o.relnamespace
                                WHERE s.nspname ~ '^hyperferry_(new|old)_[0-9]+$'))))
          AND NOT (d.classid = 'pg_rewrite'::regclass AND w.ev_class = f.objid)
          -- CASE: for each chunk the first look is enough, and OR would take them in the order of the planner's liking. bigint: by the
          -- index on the child; where the planner's statistics are older than the chunks, it would read all children for each of them.
          AND NOT (d.classid = 'pg_class'::regclass AND CASE
              WHEN EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = d.objid AND h.inhparent::bigint = f.objid::bigint) THEN true
              ELSE EXISTS (SELECT FROM pg_class o WHERE o.oid = d.objid
                           AND (o.relkind IN ('S', 't', 'i', 'I') OR f.depth > 0 AND o.relpersistence = 't')) END)
    ), dependent AS (
        SELECT DISTINCT classid, objid FROM found WHERE depth > 0
    )
    SELECT jsonb_build_array('table', t.nspname, t.relname, t.relkind, t.relpersistence, pg_get_userbyid(t.relowner), t.reloptions,
               (SELECT reloptions FROM pg_class WHERE oid = t.reltoastrelid), t.relrowsecurity, t.relforcerowsecurity, t.relreplident,
               (SELECT amname FROM pg_am WHERE oid = t.relam), (SELECT spcname FROM pg_tablespace WHERE oid = t.reltablespace),
               t.reloftype <> 0, t.relispartition,
               ARRAY(SELECT a::text FROM unnest(COALESCE(t.relacl, acldefault('r', t.relowner))) AS a ORDER BY 1))::text AS line
    FROM t
    UNION ALL
    SELECT jsonb_build_array('column', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attidentity,
               pg_get_expr(d.adbin, d.adrelid), (SELECT collname FROM pg_collation WHERE oid = a.attcollation), a.attstorage,
               a.attcompression, COALESCE(a.attstattarget, -1),
               NULLIF(ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE NOT starts_with(o, 'pg_')), ARRAY[]::text[]),
               ARRAY(SELECT x::text FROM unnest(a.attacl) AS x ORDER BY 1))::text
    FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT jsonb_build_array('index', c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready, i.indislive, i.indisprimary,
               i.indimmediate, i.indisreplident, i.indisclustered, obj_description(c.oid, 'pg_class'),
               (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace),
               ARRAY(SELECT concat(a.attnum, ':', a.attstattarget) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attstattarget >= 0 ORDER BY a.attnum))::text
    FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
    UNION ALL
    SELECT jsonb_build_array('constraint', k.conname, k.contype, pg_get_constraintdef(k.oid), k.convalidated, k.connoinherit,
               obj_description(k.oid, 'pg_constraint'))::text
    FROM t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype IN ('p', 'u', 'c', 'x', 'f', 'n')
    UNION ALL
    SELECT jsonb_build_array('inbound', k.conrelid::regclass::text, k.conname, pg_get_constraintdef(k.oid), k.convalidated,
               obj_description(k.oid, 'pg_constraint'))::text
    FROM t JOIN pg_constraint k ON k.confrelid = t.oid AND k.contype = 'f' AND k.conparentid = 0  -- a partition comes with its parent's
        -- No index of pg_constraint serves confrelid, and each chunk has constraints of its own. A key depends on columns, a chunk on the table.
        AND k.oid IN (SELECT d.objid FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
                      AND d.refobjsubid > 0 AND d.classid = 'pg_constraint'::regclass OFFSET 0)
        -- So does a chunk, of a hypertable that points at the table: known by its name, as no catalog tells that is there without TimescaleDB.
        -- (A count: for each key one look by the index on the child.)
        AND CASE WHEN (SELECT c.relname ~ '_[0-9]+_chunk$' FROM pg_class c WHERE c.oid = k.conrelid) THEN
            (SELECT count(*) FROM pg_inherits h JOIN pg_constraint p ON p.conrelid = h.inhparent AND p.contype = 'f' AND p.confrelid = k.confrelid
             WHERE h.inhrelid = k.conrelid AND pg_get_constraintdef(p.oid) = pg_get_constraintdef(k.oid)) = 0
            ELSE true END
    UNION ALL
    SELECT jsonb_build_array('trigger', g.tgname, pg_get_triggerdef(g.oid), g.tgenabled, obj_description(g.oid, 'pg_trigger'))::text
    FROM t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND NOT starts_with(g.tgname, 'hyperferry_')
    UNION ALL
    SELECT jsonb_build_array('policy', p.polname, p.polpermissive, p.polcmd,
               ARRAY(SELECT CASE WHEN u.r = 0 THEN 'public' ELSE pg_get_userbyid(u.r)::text END FROM unnest(p.polroles) AS u(r) ORDER BY 1),
               p.polqual::text, p.polwithcheck::text, obj_description(p.oid, 'pg_policy'))::text
    FROM t JOIN pg_policy p ON p.polrelid = t.oid
    UNION ALL
    SELECT jsonb_build_array('rule', w.rulename, w.ev_type, w.is_instead, w.ev_qual::text, w.ev_action::text, w.ev_enabled)::text
    FROM t JOIN pg_rewrite w ON w.ev_class = t.oid AND w.rulename <> '_RETURN'
    UNION ALL
    SELECT jsonb_build_array('publication', p.pubname,
               (SELECT to_jsonb(r) - ARRAY['oid', 'prpubid', 'prrelid'] FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = t.oid))::text
    FROM t JOIN pg_publication p ON p.puballtables
        OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = t.oid)
    UNION ALL
    SELECT jsonb_build_array('schema publication', p.pubname)::text
    FROM t JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = t.relnamespace
        AND d.classid = to_regclass('pg_catalog.pg_publication_namespace')
    JOIN pg_depend e ON e.classid = d.classid AND e.objid = d.objid AND e.refclassid = 'pg_publication'::regclass
    JOIN pg_publication p ON p.oid = e.refobjid
    UNION ALL
    SELECT jsonb_build_array('sequence', a.attname, d.deptype, s.oid::regclass::text, pg_get_userbyid(s.relowner),
               format_type(q.seqtypid, NULL), q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle,
               ARRAY(SELECT x::text FROM unnest(COALESCE(s.relacl, acldefault('s', s.relowner))) AS x ORDER BY 1), obj_description(s.oid, 'pg_class'))::text
    FROM t JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = t.oid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_sequence q ON q.seqrelid = s.oid
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    UNION ALL
    SELECT jsonb_build_array('statistics', s.stxname, s.stxnamespace::regnamespace::text, pg_get_userbyid(s.stxowner), pg_get_statisticsobjdef(s.oid), COALESCE(s.stxstattarget, -1),
               obj_description(s.oid, 'pg_statistic_ext'))::text
    FROM t JOIN pg_statistic_ext s ON s.stxrelid = t.oid
    UNION ALL
    SELECT jsonb_build_array('comment', d.objsubid, d.description)::text
    FROM t JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = t.oid
    UNION ALL
    SELECT jsonb_build_array('label', l.objsubid, l.provider, l.label)::text
    FROM t JOIN pg_seclabel l ON l.classoid = 'pg_class'::regclass AND l.objoid = t.oid
    UNION ALL
    SELECT jsonb_build_array('parent', h.inhparent::regclass::text)::text
    FROM t JOIN pg_inherits h ON h.inhrelid = t.oid
    UNION ALL
    SELECT jsonb_build_array('dependent', i.type, i.identity,
               (SELECT w.ev_action::text FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename = '_RETURN'),
               (SELECT jsonb_build_array(w.ev_type, w.is_instead, w.ev_qual::text, w.ev_action::text, w.ev_enabled) FROM pg_rewrite w
                WHERE o.classid = 'pg_rewrite'::regclass AND w.oid = o.objid),
               (SELECT to_jsonb(y) FROM pg_policy y WHERE o.classid = 'pg_policy'::regclass AND y.oid = o.objid),
               ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum),
               to_jsonb(p),
               c.reloptions, pg_get_userbyid(COALESCE(c.relowner, p.proowner)),
               ARRAY(SELECT x::text FROM unnest(COALESCE(c.relacl, acldefault('r', c.relowner), p.proacl, acldefault('f', p.proowner))) AS x ORDER BY 1),
               obj_description(o.objid, o.classid::regclass::name),
               ARRAY(SELECT pg_get_triggerdef(g.oid) FROM pg_trigger g WHERE g.tgrelid = c.oid AND c.relkind IN ('v', 'm')
                     AND NOT g.tgisinternal ORDER BY g.tgname))::text
    FROM dependent o
    CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) AS i
    LEFT JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
    LEFT JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
) AS lines(line);
