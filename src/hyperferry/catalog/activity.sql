-- name: transactions
-- Open transactions of this database, oldest first; without pg_monitor other roles' sessions stay hidden.
SELECT a.pid, COALESCE(a.usename::text, '') AS user, COALESCE(a.application_name, '') AS application, COALESCE(a.state, '') AS state,
       EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds, COALESCE(a.query, '') AS query,
       a.state LIKE 'idle in transaction%%' AND a.backend_xmin IS NOT NULL AS holds_snapshot,
       EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.relation = %(oid)s
               AND l.database = a.datid) AS touches_table
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
  AND a.backend_type = 'client backend' AND COALESCE(a.application_name, '') NOT LIKE 'hyperferry%%'
ORDER BY a.xact_start
LIMIT 100;

-- name: prepared
-- Prepared transactions of this database, oldest first. Their locks carry the virtual id of the session that prepared them, or
-- -1/xid after a restart; what tells whose they are is the lock on the transaction's own id beside them.
SELECT 0 AS pid, x.owner::text AS user, '' AS application, 'prepared' AS state,
       EXTRACT(epoch FROM clock_timestamp() - x.prepared)::float8 AS seconds, '' AS query, false AS holds_snapshot,
       EXISTS (SELECT FROM pg_locks own JOIN pg_locks l ON l.virtualtransaction = own.virtualtransaction AND l.pid IS NULL
               WHERE own.locktype = 'transactionid' AND own.transactionid = x.transaction AND own.pid IS NULL
                 AND l.locktype = 'relation' AND l.relation = %(oid)s
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS touches_table,
       x.gid AS prepared
FROM pg_prepared_xacts x WHERE x.database = current_database()
ORDER BY x.prepared LIMIT 100;

-- name: visible
-- Whether other roles' sessions can be seen.
SELECT pg_has_role('pg_read_all_stats', 'USAGE');

-- name: leftovers
-- What an earlier rollout left: schemas of ours that hold a relation of the table's name or nothing, and triggers of ours on the table.
SELECT 'schema ' || quote_ident(n.nspname), substring(n.nspname FROM '^hyperferry_(?:new|old)_([0-9]+)$')::bigint
FROM pg_namespace n
WHERE n.nspname ~ '^hyperferry_(new|old)_[0-9]+$'
  AND (EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = %(name)s)
       OR NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid))
UNION ALL
SELECT 'trigger ' || quote_ident(t.tgname) || ' on ' || t.tgrelid::regclass::text, NULL
FROM pg_trigger t WHERE t.tgrelid = %(oid)s AND NOT t.tgisinternal AND starts_with(t.tgname, 'hyperferry_')
ORDER BY 1;

-- name: has_ledger
-- Whether the ledger exists here, and is of somebody whom this role may trust (see the ledger's own schema_version).
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles o ON o.oid = n.nspowner
               JOIN pg_roles me ON me.rolname = current_user
               WHERE n.nspname = 'hyperferry' AND c.relname = 'rollout' AND c.relkind = 'r'
                 AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
                 AND (o.oid = me.oid OR o.rolsuper OR NOT me.rolsuper AND pg_has_role(o.oid, 'USAGE')));

-- name: foreign_ledger
-- Whose the ledger is, where it is there and this role may not read it, or not trust its owner: no row where it may, or where there is none.
SELECT o.rolname::text
FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner JOIN pg_roles me ON me.rolname = current_user
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'rollout' AND c.relkind = 'r'
WHERE n.nspname = 'hyperferry'
  AND NOT ((o.oid = me.oid OR o.rolsuper OR NOT me.rolsuper AND pg_has_role(o.oid, 'USAGE'))
           AND (c.oid IS NULL OR has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')));

-- name: open_rollouts
-- Rollouts that have not ended, with whether they are of this table.
SELECT id, phase::text, source_oid = %(oid)s OR (source_schema = %(schema)s AND source_name = %(name)s)
FROM hyperferry.rollout WHERE phase::text NOT IN ('finished', 'aborted') ORDER BY id DESC;

-- name: data_directory
-- Where the table's files are on the server, as far as this role may know.
SELECT COALESCE(NULLIF(pg_tablespace_location(c.reltablespace), ''), current_setting('data_directory')), inet_server_addr() IS NULL
FROM pg_class c WHERE c.oid = %(oid)s;

-- name: replicas
-- Replicas with the bytes of WAL that they have not replayed.
SELECT COALESCE(NULLIF(application_name, ''), client_addr::text, pid::text),
       COALESCE(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn), 0)::bigint
FROM pg_stat_replication ORDER BY 1;

-- name: slots
-- Replication slots with the bytes of WAL that they hold back.
SELECT slot_name::text,
       COALESCE(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint,
       active
FROM pg_replication_slots ORDER BY 1;

-- name: memberships
-- Publications that name the table, with what they publish of it (lists and filters exist from PostgreSQL 15, so they are read by name).
SELECT p.pubname::text AS name,
       (SELECT array_agg(a.attname::text ORDER BY u.place)
        FROM jsonb_array_elements_text(CASE jsonb_typeof(to_jsonb(r) -> 'prattrs') WHEN 'array' THEN to_jsonb(r) -> 'prattrs' END)
            WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = u.number::int) AS columns,
       (SELECT to_jsonb(v) ->> 'rowfilter' FROM pg_publication_tables v JOIN pg_class c ON c.oid = r.prrelid
        WHERE v.pubname = p.pubname AND v.tablename = c.relname AND v.schemaname = (SELECT nspname FROM pg_namespace WHERE oid = c.relnamespace)) AS filter,
       pg_get_userbyid(p.pubowner)::text AS owner, pg_has_role(p.pubowner, 'USAGE') AS owned
FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid WHERE r.prrelid = %(oid)s
ORDER BY 1;

-- name: schema_publications
-- Publications that name the table's schema (PostgreSQL 15): they leave a dependency of the publication on the schema.
SELECT p.pubname::text
FROM pg_class t
JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = t.relnamespace
    AND d.classid = to_regclass('pg_publication_namespace')
JOIN pg_depend e ON e.classid = d.classid AND e.objid = d.objid AND e.refclassid = 'pg_publication'::regclass
JOIN pg_publication p ON p.oid = e.refobjid
WHERE t.oid = %(oid)s
ORDER BY 1;

-- name: all_tables_publications
-- Publications FOR ALL TABLES.
SELECT pubname::text FROM pg_publication WHERE puballtables ORDER BY 1;

-- name: subscriptions
-- Subscriptions that write into the table.
SELECT s.subname::text FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid WHERE r.srrelid = %(oid)s ORDER BY 1;

-- name: other_replication
-- Replication by an extension that applies changes without firing triggers by statement, and that pg_subscription does not show: what it has
-- received up to where is kept under names of its own, for all databases of the server. Of the two that write the database's name into them,
-- as long as it is short and plain, another database's are left out.
SELECT format('%%s (%%s)', o.roname, e.extname)
FROM pg_replication_origin o
JOIN (VALUES ('pglogical', 'pgl_', true), ('spock', 'spk_', true), ('bdr', 'bdr_', false)) AS known(extension, prefix, by_database)
    ON starts_with(o.roname, known.prefix)
JOIN pg_extension e ON e.extname = known.extension
WHERE NOT known.by_database OR current_database() !~ '^[a-z0-9_]{1,15}$'
    OR starts_with(o.roname, concat(known.prefix, current_database(), '_'))
ORDER BY 1;
