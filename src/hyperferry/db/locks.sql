-- name: blockers
-- Sessions and prepared transactions, ours excepted, that hold or await a lock on one of the tables (or their chunks, where asked),
-- oldest transaction first. A prepared transaction keeps the locks under the virtual id of the session that prepared it; its
-- transactionid lock tells which. Locks are read once and the few that matter taken out before anything is joined: sessions that
-- use thousands of chunks hold tens of thousands, of which the planner knows nothing, and joined with each other they took minutes.
WITH RECURSIVE t AS (
    SELECT to_regclass(name)::oid AS oid FROM unnest(%(tables)s::text[]) AS name
    UNION
    SELECT i.inhrelid FROM t JOIN pg_inherits i ON i.inhparent = t.oid WHERE %(chunks)s
), locks AS MATERIALIZED (
    SELECT pid, virtualtransaction, locktype, relation, transactionid FROM pg_locks
    WHERE locktype = 'transactionid'
       OR locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), held AS MATERIALIZED (
    SELECT DISTINCT pid, virtualtransaction FROM locks
    WHERE locktype = 'relation' AND (relation IN (SELECT oid FROM t)) IS TRUE AND (pid IS NULL OR pid <> pg_backend_pid())
), prepared AS MATERIALIZED (
    SELECT virtualtransaction, transactionid FROM locks WHERE locktype = 'transactionid' AND pid IS NULL
)
SELECT DISTINCT ON (began, l.pid, l.virtualtransaction)
       COALESCE(l.pid, 0), COALESCE(a.usename, x.owner),
       COALESCE(a.application_name, 'prepared transaction ' || x.gid), COALESCE(a.state, a.backend_type, 'prepared'),
       EXTRACT(epoch FROM clock_timestamp() - COALESCE(a.xact_start, x.prepared)), COALESCE(a.query, ''),
       COALESCE(a.xact_start, x.prepared) AS began
FROM held l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN prepared own ON l.pid IS NULL AND own.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts x ON x.transaction = own.transactionid
WHERE COALESCE(a.application_name, '') NOT LIKE 'hyperferry%%'
ORDER BY began NULLS FIRST, l.pid, l.virtualtransaction
LIMIT 20;

-- name: snapshot_holders
-- Sessions, ours excepted, that are idle in a transaction and hold a snapshot, oldest transaction first.
SELECT a.pid, a.usename, a.application_name, a.state, EXTRACT(epoch FROM clock_timestamp() - a.xact_start), a.query
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_xmin IS NOT NULL
  AND COALESCE(a.application_name, '') NOT LIKE 'hyperferry%'
  AND a.state IN ('idle in transaction', 'idle in transaction (aborted)')
ORDER BY a.xact_start LIMIT 20;

-- name: exclusive_holders
-- Sessions and prepared transactions, ours excepted, that hold ACCESS EXCLUSIVE on a relation of this database, oldest transaction first.
SELECT DISTINCT ON (began, l.pid) COALESCE(l.pid, 0), a.usename, COALESCE(a.application_name, 'prepared transaction'),
       COALESCE(a.state, a.backend_type, 'prepared'), EXTRACT(epoch FROM clock_timestamp() - a.xact_start), COALESCE(a.query, ''),
       a.xact_start AS began
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND COALESCE(a.application_name, '') NOT LIKE 'hyperferry%'
ORDER BY began NULLS FIRST, l.pid LIMIT 20;

-- name: deadlock_timeouts
-- Each deadlock_timeout that is set anywhere that can be read, with its unit; an unreadable one where the server's own cannot be told,
-- since this role or database has one of its own.
SELECT CASE WHEN source IN ('default', 'configuration file', 'command line', 'environment variable') THEN setting || unit ELSE '?' END
FROM pg_settings WHERE name = 'deadlock_timeout'
UNION
SELECT substr(c, length('deadlock_timeout=') + 1) FROM pg_db_role_setting, unnest(setconfig) AS c WHERE c LIKE 'deadlock\_timeout=%'
UNION
SELECT substr(c, length('deadlock_timeout=') + 1) FROM pg_proc, unnest(proconfig) AS c WHERE c LIKE 'deadlock\_timeout=%';

-- name: quick_check
-- A part of a PL/pgSQL block: where the role may, our own check for a deadlock comes soon, so that a wait in vain is short.
BEGIN
    PERFORM pg_catalog.set_config('deadlock_timeout', '20ms', true);
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END;

-- name: patiently
-- A part of a PL/pgSQL block: one lock at once, else waited for, if nobody's deadlock check can fall into the wait.
BEGIN
    {at_once};
EXCEPTION WHEN lock_not_available THEN
    looked := pg_catalog.clock_timestamp();
    IF {budget} - spent < 1 OR EXISTS (
        SELECT FROM pg_catalog.pg_locks AS l, pg_catalog.unnest({timeouts}::pg_catalog.int4[]) AS d
        WHERE NOT l.granted AND COALESCE(l.waitstart, looked) + d * interval '1 ms'
              BETWEEN looked - interval '1 s' AND looked + 2 * {budget} * interval '1 ms')
    THEN
        RAISE;
    END IF;
    PERFORM pg_catalog.set_config('lock_timeout', pg_catalog.ceil({budget} - spent)::pg_catalog.text || 'ms', true);
    {waiting};
    PERFORM pg_catalog.set_config('lock_timeout', '1ms', true);
    spent := spent + EXTRACT(epoch FROM pg_catalog.clock_timestamp() - looked) * 1000;
    {at_once};
END;
