-- What the oracle asks the catalogs. `%(table)s` is the quoted name.

-- name: columns
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text, a.attgenerated::text,
       pg_get_expr(d.adbin, d.adrelid), (SELECT collname::text FROM pg_collation WHERE oid = a.attcollation), a.attstorage::text,
       a.attcompression::text, NULLIF(COALESCE(a.attstattarget, -1), -1),
       ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE NOT starts_with(o, 'pg_')),
       ARRAY(SELECT x::text FROM unnest(a.attacl) AS x ORDER BY 1), col_description(a.attrelid, a.attnum)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

-- name: constraints
SELECT conname::text, contype::text, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')
FROM pg_constraint WHERE conrelid = to_regclass(%(table)s) AND contype <> 't' ORDER BY 1;

-- name: inbound_keys
SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), convalidated
FROM pg_constraint WHERE confrelid = to_regclass(%(table)s) AND contype = 'f'
    AND (conparentid = 0) ORDER BY 1, 2;

-- name: indexes
SELECT c.relname::text, pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisprimary, i.indisunique, i.indisreplident, i.indisclustered,
       (SELECT spcname::text FROM pg_tablespace WHERE oid = c.reltablespace), obj_description(c.oid, 'pg_class')
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(%(table)s) ORDER BY 1;

-- name: triggers
SELECT tgname::text, pg_get_triggerdef(oid), tgenabled::text, obj_description(oid, 'pg_trigger')
FROM pg_trigger WHERE tgrelid = to_regclass(%(table)s) AND NOT tgisinternal ORDER BY 1;

-- name: rules
SELECT rulename::text, pg_get_ruledef(oid), ev_enabled::text FROM pg_rewrite
WHERE ev_class = to_regclass(%(table)s) AND rulename <> '_RETURN' ORDER BY 1;

-- name: policies
SELECT polname::text, polcmd::text, polpermissive, ARRAY(SELECT r::regrole::text FROM unnest(polroles) AS r ORDER BY 1),
       pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
FROM pg_policy WHERE polrelid = to_regclass(%(table)s) ORDER BY 1;

-- name: statistics
SELECT stxname::text, stxnamespace::regnamespace::text, pg_get_statisticsobjdef(oid), COALESCE(stxstattarget, -1), obj_description(oid, 'pg_statistic_ext')
FROM pg_statistic_ext WHERE stxrelid = to_regclass(%(table)s) ORDER BY 1;

-- name: sequences
SELECT a.attname::text, s.oid::regclass::text, d.deptype::text, pg_get_userbyid(s.relowner)::text, format_type(q.seqtypid, NULL), q.seqstart,
       q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle, ARRAY(SELECT x::text FROM unnest(s.relacl) AS x ORDER BY 1)
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_sequence q ON q.seqrelid = s.oid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(%(table)s)
    AND d.deptype IN ('a', 'i') ORDER BY 1, 2;

-- name: table
SELECT c.relkind::text, c.relpersistence::text, pg_get_userbyid(c.relowner)::text, c.relrowsecurity, c.relforcerowsecurity,
       c.relreplident::text, ARRAY(SELECT o FROM unnest(c.reloptions) AS o ORDER BY 1),
       ARRAY(SELECT x::text FROM unnest(COALESCE(c.relacl, acldefault('r', c.relowner))) AS x ORDER BY 1),
       (SELECT spcname::text FROM pg_tablespace WHERE oid = c.reltablespace), obj_description(c.oid, 'pg_class')
FROM pg_class c WHERE c.oid = to_regclass(%(table)s);

-- name: views
SELECT DISTINCT v.oid::regclass::text, v.relkind::text, pg_get_viewdef(v.oid), ARRAY(SELECT o FROM unnest(v.reloptions) AS o ORDER BY 1),
       pg_get_userbyid(v.relowner)::text, ARRAY(SELECT x::text FROM unnest(COALESCE(v.relacl, acldefault('r', v.relowner))) AS x ORDER BY 1),
       obj_description(v.oid, 'pg_class')
FROM pg_depend d JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(%(table)s) ORDER BY 1;

-- name: publications
SELECT p.pubname::text FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
WHERE r.prrelid = to_regclass(%(table)s) ORDER BY 1;
