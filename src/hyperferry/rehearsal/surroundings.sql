-- name: database
-- The database itself: encoding, owner, and the search_path that our session would have without us.
SELECT pg_encoding_to_char(d.encoding)::text AS encoding, pg_get_userbyid(d.datdba)::text AS owner, d.datname::text AS name,
       (SELECT reset_val FROM pg_settings WHERE name = 'search_path') AS search_path
FROM pg_database d WHERE d.datname = current_database();

-- name: database_grants
-- Privileges on the database; '' is PUBLIC.
SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END AS grantee, a.privilege_type AS privilege,
       a.is_grantable AS grantable
FROM pg_database d CROSS JOIN LATERAL aclexplode(COALESCE(d.datacl, acldefault('d', d.datdba))) a
WHERE d.datname = current_database() ORDER BY 1, 2;

-- name: roles
-- Every role that something in this database names (owners, grants, policies, default privileges), the session's own, and all that
-- they are members of.
WITH RECURSIVE named(oid) AS (
    SELECT s.refobjid FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
    WHERE d.datname = current_database() AND s.refclassid = 'pg_authid'::regclass
    UNION SELECT datdba FROM pg_database WHERE datname = current_database()
    UNION SELECT oid FROM pg_roles WHERE rolname IN (current_user, session_user)
    UNION SELECT a.grantee FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) a
    WHERE d.datname = current_database() AND a.grantee <> 0
), closed(oid) AS (
    SELECT oid FROM named
    UNION
    SELECT m.roleid FROM closed c JOIN pg_auth_members m ON m.member = c.oid
)
SELECT r.rolname::text AS name, r.rolsuper AS superuser, r.rolinherit AS inherit, r.rolcreatedb AS createdb,
       r.rolcreaterole AS createrole, r.rolbypassrls AS bypassrls
FROM closed c JOIN pg_roles r ON r.oid = c.oid
WHERE NOT starts_with(r.rolname, 'pg_') ORDER BY 1;

-- name: memberships
-- Who is a member of whom. INHERIT can be said of each membership from PostgreSQL 16 on, so it is read by name.
SELECT r.rolname::text AS role, u.rolname::text AS member, m.admin_option AS admin,
       COALESCE((to_jsonb(m) ->> 'inherit_option')::boolean, u.rolinherit) AS inherit
FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
ORDER BY 1, 2;

-- name: extensions
-- The extensions of this database with their schemas and versions, those first that others may need.
SELECT e.extname::text AS name, n.nspname::text AS schema, e.extversion AS version
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.oid;

-- name: settings
-- What the server and this database set for all sessions, as far as it decides what statements do.
SELECT s.name, s.reset_val AS value, false AS in_database
FROM pg_settings s
WHERE s.source IN ('configuration file', 'command line', 'environment variable')
  AND s.context IN ('user', 'superuser') AND s.name = ANY (%(names)s)
UNION ALL
SELECT split_part(c.item, '=', 1), substr(c.item, strpos(c.item, '=') + 1), true
FROM pg_db_role_setting d CROSS JOIN LATERAL unnest(d.setconfig) AS c(item)
WHERE d.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND d.setrole = 0;

-- name: limits
-- The limits that the server was started with.
SELECT name, setting::bigint FROM pg_settings
WHERE name IN ('max_locks_per_transaction', 'max_connections', 'max_prepared_transactions', 'max_worker_processes');

-- name: unreadable
-- Tables that the session's role may not read, so that pg_dump could not lock them: all but the table itself. Chunks and what belongs to
-- extensions are not dumped anyway.
SELECT quote_ident(n.nspname) AS schema, quote_ident(c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname NOT LIKE '\_timescaledb%%' AND n.nspname !~ '^hyperferry(_(new|old)_[0-9]+)?$'
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  AND c.oid <> %(oid)s
ORDER BY 1, 2;

-- name: tablespaces
-- Tablespaces in use in this database.
SELECT DISTINCT t.spcname::text FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
WHERE t.spcname NOT IN ('pg_global', 'pg_default') ORDER BY 1;
