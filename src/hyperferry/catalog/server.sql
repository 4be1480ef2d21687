-- name: server
-- The server and the session's role. Settings are read by their reset value: what we pin is not what the user has.
SELECT current_setting('server_version_num')::int AS version_num,
       current_setting('server_version') AS version,
       current_database()::text AS database,
       current_user::text AS role,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       pg_is_in_recovery() AS in_recovery,
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescaledb_installed,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb') AS timescaledb_available,
       CASE WHEN EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.disable_load') THEN true
            WHEN EXISTS (SELECT FROM pg_settings WHERE name = 'shared_preload_libraries') THEN
                (SELECT setting ~ '(^|[ ,"/])timescaledb' FROM pg_settings WHERE name = 'shared_preload_libraries')
       END AS timescaledb_preloaded,
       (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'timescaledb') AS timescaledb_schema,
       CASE current_setting('timescaledb.license', true) WHEN 'apache' THEN 'apache' WHEN 'timescale' THEN 'community' END AS edition,
       (SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout') AS deadlock_timeout_ms,
       (SELECT setting::int FROM pg_settings WHERE name = 'max_locks_per_transaction') AS max_locks_per_transaction,
       (SELECT setting::int FROM pg_settings WHERE name = 'max_connections') AS max_connections,
       (SELECT setting::int FROM pg_settings WHERE name = 'max_prepared_transactions') AS max_prepared_transactions,
       pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers_bytes,
       (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation') AS default_isolation;

-- name: here
-- Whether the session did not leave the machine: by a socket, or the loopback interface. A container's address is not the loopback.
SELECT COALESCE(inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1', true);

-- name: reads_files
-- Whether the role may read the server's files.
SELECT has_function_privilege('pg_catalog.pg_read_file(text)', 'EXECUTE')
   AND (pg_has_role(current_user, 'pg_read_server_files', 'MEMBER')
        OR EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND rolsuper));

-- name: cores
-- How many processors Linux names.
SELECT count(*)::int FROM regexp_matches(pg_catalog.pg_read_file('/proc/cpuinfo'), '^processor\s*:', 'gn');

-- name: cores_of_container
-- How many processors' time its control group (version 2) gives the server, rounded up; NULL for no bound.
SELECT ceil(NULLIF(split_part(found.text, ' ', 1), 'max')::numeric / NULLIF(btrim(split_part(found.text, ' ', 2), E' \n'), '')::numeric)::int
FROM (SELECT pg_catalog.pg_read_file('/sys/fs/cgroup/cpu.max') AS text) AS found;

-- name: overloads
-- Functions that somebody made beside TimescaleDB's own of that name, in its schema: a call of ours could reach them.
SELECT p.oid::regprocedure::text || ' of ' || quote_ident(pg_get_userbyid(p.proowner))
FROM pg_extension e JOIN pg_proc p ON p.pronamespace = e.extnamespace
WHERE e.extname = 'timescaledb' AND p.proname = 'create_hypertable'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                  AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid)
ORDER BY 1;

-- name: rights
-- What the session's role may do with the table.
SELECT has_table_privilege(c.oid, 'SELECT') AS select,
       row_security_active(c.oid) AS row_security_active
FROM pg_class c WHERE c.oid = %(oid)s;

-- name: backend
-- The server process that serves this statement.
SELECT pg_backend_pid();

-- name: isolation_defaults
-- Roles and databases whose transactions are REPEATABLE READ or SERIALIZABLE unless they say otherwise.
SELECT r.rolname::text AS role, d.datname::text AS database, split_part(s.setting, '=', 2) AS isolation
FROM pg_db_role_setting c
CROSS JOIN LATERAL unnest(c.setconfig) AS s(setting)
LEFT JOIN pg_roles r ON r.oid = c.setrole
LEFT JOIN pg_database d ON d.oid = c.setdatabase
WHERE lower(split_part(s.setting, '=', 1)) IN ('default_transaction_isolation', 'transaction_isolation')
  AND lower(split_part(s.setting, '=', 2)) IN ('repeatable read', 'serializable')
  AND (c.setdatabase = 0 OR d.datname = current_database())
ORDER BY 1 NULLS FIRST, 2 NULLS FIRST;

-- name: event_triggers
-- Event triggers that are not an extension's own.
SELECT e.evtname::text FROM pg_event_trigger e
WHERE e.evtenabled <> 'D'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')
ORDER BY 1;
