-- name: role
-- The role that is to run hyperferry: whether it exists, may log in, is a superuser.
SELECT r.oid IS NOT NULL AS role_exists, COALESCE(r.rolcanlogin, false) AS role_can_login,
       COALESCE(r.rolsuper, false) AS role_superuser, current_database()::text AS database,
       current_setting('server_version_num')::int AS version_num
FROM (SELECT 1) AS one LEFT JOIN pg_roles r ON r.rolname = %(role)s;

-- name: general
-- What every rollout in this database needs of the role.
WITH me AS (SELECT COALESCE(to_regrole(quote_ident(%(role)s))::oid, 0) AS id), -- 0 has what PUBLIC has
ledger AS (SELECT n.nspowner, w.rolname, w.rolsuper FROM pg_namespace n JOIN pg_roles w ON w.oid = n.nspowner WHERE n.nspname = 'hyperferry')
SELECT 'database' AS kind, p.privilege, 'DATABASE ' || quote_ident(current_database()) AS object, p.why, 'role' AS holder,
       COALESCE(has_database_privilege(me.id, current_database(), p.privilege), false) AS held, false AS recommended,
       p.blue_green AS blue_green_only, false AS superuser, '' AS subject
FROM me CROSS JOIN (VALUES
    ('CONNECT', 'to connect', false),
    ('CREATE', 'for the ledger''s schema, and for the schemas in which the two tables take turns', false)) AS p(privilege, why, blue_green)
UNION ALL
SELECT 'schema', 'USAGE', 'SCHEMA ' || quote_ident(n.nspname), 'TimescaleDB''s functions stand there', 'role',
       COALESCE(has_schema_privilege(me.id, n.oid, 'USAGE'), false), false, false, false, ''
FROM me, pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'
UNION ALL
SELECT 'function', 'EXECUTE', 'FUNCTION ' || p.oid::regprocedure::text, 'makes the hypertable', 'role',
       COALESCE(has_function_privilege(me.id, p.oid, 'EXECUTE'), false), false, false, false, ''
FROM me, pg_extension e JOIN pg_proc p ON p.pronamespace = e.extnamespace AND p.proname = 'create_hypertable' AND p.pronargs > 5
WHERE e.extname = 'timescaledb'
UNION ALL
SELECT 'ledger', 'INHERIT', quote_ident(l.rolname), 'the ledger (schema hyperferry) of this database is that role''s', 'role',
       l.nspowner = me.id OR COALESCE(pg_has_role(me.id, l.nspowner, 'USAGE')
           AND (l.rolsuper OR NOT (SELECT rolsuper FROM pg_roles WHERE oid = me.id)), false), false, false, l.rolsuper, 'SCHEMA hyperferry'
FROM me, ledger l
UNION ALL
SELECT 'member', 'READ', 'pg_monitor',
       'to see other roles'' sessions: who is in the way, who holds an older snapshot, a vacuum that could be asked to yield', 'role',
       COALESCE(pg_has_role(me.id, 'pg_read_all_stats', 'USAGE'), false), true, false, false, ''
FROM me;

-- name: of_table
-- What a rollout of one table needs besides. What the table's owner has, its members have too; membership is asked for apart. Some rights
-- must be the owner's own: a chunk is made in the owner's name, whoever inserts.
WITH me AS (
    SELECT COALESCE(to_regrole(quote_ident(%(role)s))::oid, 0) AS id, c.oid AS table_id, c.relowner AS owner, c.relnamespace AS home,
           c.reltablespace AS space, current_setting('server_version_num')::int AS version
    FROM pg_class c WHERE c.oid = %(oid)s
), view AS (
    SELECT DISTINCT v.oid, v.relname, v.relnamespace, v.relowner, w.oid AS rule
    FROM me
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = me.table_id AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite w ON w.oid = d.objid AND w.rulename = '_RETURN'
    JOIN pg_class v ON v.oid = w.ev_class AND v.relkind = 'v'
        AND v.relpersistence <> 't'  -- a session's own; a blocker of its own
), statistic AS (
    SELECT s.stxowner, s.stxnamespace, quote_ident(n.nspname) || '.' || quote_ident(s.stxname) AS name
    FROM me JOIN pg_statistic_ext s ON s.stxrelid = me.table_id JOIN pg_namespace n ON n.oid = s.stxnamespace
), bound(owner, subject, privilege, why) AS (
    -- What else is bound to the table by its OID, or changes with it, and is somebody's.
    SELECT p.proowner, 'FUNCTION ' || p.oid::regprocedure::text, 'INHERIT', 'its body reads the table, and has to be pointed at the hypertable'
    FROM me JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = me.table_id AND d.classid = 'pg_proc'::regclass
    JOIN pg_proc p ON p.oid = d.objid
    UNION SELECT r.relowner, 'TABLE ' || r.oid::regclass::text, 'INHERIT', 'a rule of it names the table, and has to be pointed at the hypertable'
    FROM me JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = me.table_id AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite w ON w.oid = d.objid AND w.rulename <> '_RETURN' JOIN pg_class r ON r.oid = w.ev_class
    UNION SELECT r.relowner, 'TABLE ' || r.oid::regclass::text, 'INHERIT', 'a policy of it reads the table, and has to be pointed at the hypertable'
    FROM me JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = me.table_id AND d.classid = 'pg_policy'::regclass
    JOIN pg_policy p ON p.oid = d.objid JOIN pg_class r ON r.oid = p.polrelid
    UNION SELECT r.relowner, 'TABLE ' || r.oid::regclass::text, 'INHERIT', 'a foreign key of it points at the table, and changes hands or is dropped'
    FROM me JOIN pg_constraint k ON k.confrelid = me.table_id AND k.contype = 'f' AND k.conparentid = 0 JOIN pg_class r ON r.oid = k.conrelid
    UNION SELECT p.pubowner, 'PUBLICATION ' || quote_ident(p.pubname), 'INHERIT', 'the table has to leave it'
    FROM me JOIN pg_publication_rel r ON r.prrelid = me.table_id JOIN pg_publication p ON p.oid = r.prpubid
    UNION SELECT a.grantor, 'TABLE ' || me.table_id::regclass::text, 'SET', 'it granted privileges on the table, which only itself can grant again'
    FROM me JOIN pg_class c ON c.oid = me.table_id CROSS JOIN LATERAL (
        SELECT x.grantor FROM aclexplode(c.relacl) AS x
        UNION SELECT x.grantor FROM pg_attribute t, aclexplode(t.attacl) AS x WHERE t.attrelid = me.table_id AND t.attnum > 0) AS a
), becomes(id) AS (
    -- The role, and whose members it has to be: what those have, it has. Nobody is made a member of a superuser.
    SELECT id FROM me
    UNION SELECT w.oid FROM me JOIN pg_roles w
        ON w.oid = me.owner OR w.oid IN (SELECT relowner FROM view) OR w.oid IN (SELECT stxowner FROM statistic)
    WHERE NOT w.rolsuper
), part(classid, objid, runs) AS (
    -- The table, and all of it that is written down as SQL and made anew for the hypertable; `runs`: where a row is written.
    SELECT 'pg_class'::regclass::oid, table_id, false FROM me
    UNION ALL SELECT 'pg_attrdef'::regclass, a.oid, true FROM me JOIN pg_attrdef a ON a.adrelid = me.table_id
    UNION ALL SELECT 'pg_constraint'::regclass, k.oid, true FROM me JOIN pg_constraint k ON k.conrelid = me.table_id
    UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, true FROM me JOIN pg_index i ON i.indrelid = me.table_id
    UNION ALL SELECT 'pg_trigger'::regclass, t.oid, true FROM me JOIN pg_trigger t ON t.tgrelid = me.table_id AND NOT t.tgisinternal
        AND NOT starts_with(t.tgname, 'hyperferry_')
    UNION ALL SELECT 'pg_policy'::regclass, p.oid, false FROM me JOIN pg_policy p ON p.polrelid = me.table_id
    UNION ALL SELECT 'pg_rewrite'::regclass, v.rule, false FROM view v
), used AS (
    SELECT d.refclassid, d.refobjid, bool_or(part.runs) AS runs FROM part JOIN pg_depend d ON d.classid = part.classid AND d.objid = part.objid GROUP BY 1, 2
), named AS (
    -- The schemas that its definitions name.
    SELECT c.relnamespace AS space FROM used u JOIN pg_class c ON u.refclassid = 'pg_class'::regclass AND c.oid = u.refobjid
    UNION SELECT p.pronamespace FROM used u JOIN pg_proc p ON u.refclassid = 'pg_proc'::regclass AND p.oid = u.refobjid
    UNION SELECT t.typnamespace FROM used u JOIN pg_type t ON u.refclassid = 'pg_type'::regclass AND t.oid = u.refobjid
    UNION SELECT o.oprnamespace FROM used u JOIN pg_operator o ON u.refclassid = 'pg_operator'::regclass AND o.oid = u.refobjid
    UNION SELECT o.opcnamespace FROM used u JOIN pg_opclass o ON u.refclassid = 'pg_opclass'::regclass AND o.oid = u.refobjid
    UNION SELECT o.collnamespace FROM used u JOIN pg_collation o ON u.refclassid = 'pg_collation'::regclass AND o.oid = u.refobjid
    UNION SELECT v.relnamespace FROM view v
    UNION SELECT s.stxnamespace FROM statistic s
    UNION SELECT home FROM me
), parent AS (
    SELECT r.oid, quote_ident(n.nspname) || '.' || quote_ident(r.relname) AS name, r.relowner,
           string_agg(DISTINCT quote_ident(a.attname), ', ') AS columns,
           bool_and(has_column_privilege(me.owner, r.oid, a.attnum, 'REFERENCES')) AS may_refer
    FROM me
    JOIN pg_constraint k ON k.conrelid = me.table_id AND k.contype = 'f' AND k.confrelid <> me.table_id
    JOIN pg_class r ON r.oid = k.confrelid
    JOIN pg_namespace n ON n.oid = r.relnamespace
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = ANY (k.confkey)
    GROUP BY 1, 2, 3
), lockable(privilege) AS (
    SELECT p FROM me, unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE'] || CASE WHEN me.version >= 170000 THEN ARRAY['MAINTAIN'] END) AS p
)
SELECT 'member' AS kind, p.privilege, quote_ident(w.rolname) AS object, p.why, 'role' AS holder,
       COALESCE(CASE p.privilege WHEN 'INHERIT' THEN pg_has_role(me.id, me.owner, 'USAGE')
            ELSE pg_has_role(me.id, me.owner, CASE WHEN me.version >= 160000 THEN 'SET' ELSE 'MEMBER' END) END, false) AS held,
       false AS recommended, p.blue_green AS blue_green_only, w.rolsuper AS superuser, 'TABLE ' || me.table_id::regclass::text AS subject
FROM me JOIN pg_roles w ON w.oid = me.owner
CROSS JOIN (VALUES ('INHERIT', 'only its owner may change the table and what hangs on it', false),
                   ('SET', 'the hypertable and its schemas are given to the same owner', true)) AS p(privilege, why, blue_green)
UNION ALL
SELECT DISTINCT 'view owner', 'INHERIT', quote_ident(w.rolname), 'a view that reads the table is that role''s, and has to be pointed at the hypertable',
       'role', COALESCE(pg_has_role(me.id, v.relowner, 'USAGE'), false), false, true, w.rolsuper, 'VIEW ' || v.oid::regclass::text
FROM me, view v JOIN pg_roles w ON w.oid = v.relowner
WHERE v.relowner <> me.owner
UNION ALL
SELECT DISTINCT 'view owner', b.privilege, quote_ident(w.rolname), b.why, 'role',
       COALESCE(pg_has_role(me.id, b.owner, CASE WHEN b.privilege = 'INHERIT' THEN 'USAGE' WHEN me.version >= 160000 THEN 'SET' ELSE 'MEMBER' END), false),
       false, true, w.rolsuper, b.subject
FROM me, bound b JOIN pg_roles w ON w.oid = b.owner
WHERE b.owner <> me.owner
UNION ALL
SELECT DISTINCT 'member', p.privilege, quote_ident(w.rolname), p.why, 'role',
       COALESCE(CASE p.privilege WHEN 'INHERIT' THEN pg_has_role(me.id, s.stxowner, 'USAGE')
            ELSE pg_has_role(me.id, s.stxowner, CASE WHEN me.version >= 160000 THEN 'SET' ELSE 'MEMBER' END) END, false),
       false, true, w.rolsuper, 'STATISTICS ' || s.name
FROM me, statistic s JOIN pg_roles w ON w.oid = s.stxowner
CROSS JOIN (VALUES ('INHERIT', 'extended statistics on the table are that role''s, and change places with it'),
                   ('SET', 'the hypertable''s extended statistics are given to the same owner')) AS p(privilege, why)
WHERE s.stxowner <> me.owner
UNION ALL
SELECT 'schema', 'USAGE', 'SCHEMA ' || quote_ident(n.nspname), 'the table, or something in its definition, stands there', 'role',
       EXISTS (SELECT FROM becomes b WHERE has_schema_privilege(b.id, n.oid, 'USAGE')), false, false, false, ''
FROM me, named JOIN pg_namespace n ON n.oid = named.space
WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
UNION ALL
SELECT 'schema', 'CREATE', 'SCHEMA ' || quote_ident(n.nspname), 'the hypertable goes there at the cutover', 'role',
       EXISTS (SELECT FROM becomes b WHERE has_schema_privilege(b.id, n.oid, 'CREATE')), false, false, false, ''
FROM me JOIN pg_namespace n ON n.oid = me.home
UNION ALL
SELECT DISTINCT 'schema', 'CREATE', 'SCHEMA ' || quote_ident(n.nspname), 'a view there is defined anew at the cutover', 'role',
       EXISTS (SELECT FROM becomes b WHERE has_schema_privilege(b.id, n.oid, 'CREATE')), false, true, false, ''
FROM me, view v JOIN pg_namespace n ON n.oid = v.relnamespace
WHERE v.relnamespace <> me.home
UNION ALL
SELECT DISTINCT 'schema', 'CREATE', 'SCHEMA ' || quote_ident(n.nspname), 'extended statistics go there at the cutover', 'role',
       EXISTS (SELECT FROM becomes b WHERE has_schema_privilege(b.id, n.oid, 'CREATE')), false, true, false, ''
FROM me, statistic s JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxnamespace <> me.home
UNION ALL
SELECT 'table', p.privilege, me.table_id::regclass::text, p.why, 'owner', has_table_privilege(me.owner, me.table_id, p.privilege), false, p.blue_green, false, ''
FROM me CROSS JOIN (VALUES ('SELECT', 'to copy and to compare', false), ('INSERT', 'the hypertable gets the same rights, and rows', true),
    ('DELETE', 'changes are carried over as DELETE and INSERT', true), ('TRUNCATE', 'a TRUNCATE is carried over', true),
    ('TRIGGER', 'for the triggers that capture changes', true)) AS p(privilege, why, blue_green)
UNION ALL
SELECT 'table', 'REFERENCES (' || r.columns || ')', r.name, 'a foreign key points there, and every chunk gets it', 'owner', r.may_refer, false, false, false, ''
FROM me, parent r
UNION ALL
SELECT 'table', CASE WHEN me.version >= 170000 THEN 'MAINTAIN' ELSE 'DELETE' END, r.name,
       'its lock is taken, for the moment in which the foreign key changes hands', 'role',
       EXISTS (SELECT FROM lockable l, becomes b WHERE has_table_privilege(b.id, r.oid, l.privilege)), false, false, false, ''
FROM me, parent r
UNION ALL
SELECT 'sequence', p.privilege, s.oid::regclass::text, 'the identity goes on where it stands', 'owner',
       has_sequence_privilege(me.owner, s.oid, p.privilege), false, true, false, ''
FROM me JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = me.table_id AND d.classid = 'pg_class'::regclass
    AND d.deptype = 'i' AND d.refobjsubid > 0
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
CROSS JOIN (VALUES ('SELECT'), ('UPDATE')) AS p(privilege)
UNION ALL
SELECT DISTINCT 'type', 'USAGE', t.oid::regtype::text, 'a column''s type', 'owner', has_type_privilege(me.owner, t.oid, 'USAGE'), false, false, false, ''
FROM me JOIN pg_attribute a ON a.attrelid = me.table_id AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid AND t.typnamespace <> 'pg_catalog'::regnamespace
UNION ALL
SELECT 'function', 'EXECUTE', 'FUNCTION ' || p.oid::regprocedure::text, 'called where a row is written: by a trigger, a check, a default or an index',
       'owner', has_function_privilege(me.owner, p.oid, 'EXECUTE'), false, false, false, ''
FROM me, used u JOIN pg_proc p ON p.oid = u.refobjid
WHERE u.refclassid = 'pg_proc'::regclass AND u.runs AND p.pronamespace <> 'pg_catalog'::regnamespace
UNION ALL
SELECT DISTINCT 'tablespace', 'CREATE', 'TABLESPACE ' || quote_ident(s.spcname), 'the hypertable and its indexes lie where the table''s do', 'owner',
       has_tablespace_privilege(me.owner, s.oid, 'CREATE'), false, false, false, ''
FROM me JOIN pg_class r ON r.oid = me.table_id OR r.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = me.table_id)
JOIN pg_tablespace s ON s.oid = r.reltablespace
WHERE s.oid <> (SELECT dattablespace FROM pg_database WHERE datname = current_database());

-- name: owner
-- The owner of a table.
SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = %(oid)s;
