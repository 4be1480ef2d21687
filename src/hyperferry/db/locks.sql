-- name: blockers
-- Sessions and prepared transactions, ours excepted, that hold or await a lock on one of the tables, oldest transaction first. A
-- prepared transaction keeps the locks under the virtual id of the session that prepared it; its transactionid lock tells which.
SELECT DISTINCT ON (began, l.pid, l.virtualtransaction)
       COALESCE(l.pid, 0), COALESCE(a.usename, x.owner),
       COALESCE(a.application_name, 'prepared transaction ' || x.gid), COALESCE(a.state, a.backend_type, 'prepared'),
       EXTRACT(epoch FROM clock_timestamp() - COALESCE(a.xact_start, x.prepared)), COALESCE(a.query, ''),
       COALESCE(a.xact_start, x.prepared) AS began
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_locks own ON l.pid IS NULL AND own.locktype = 'transactionid' AND own.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts x ON x.transaction = own.transactionid
WHERE l.locktype = 'relation'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN (SELECT to_regclass(t) FROM unnest(%(tables)s::text[]) AS t)
  AND COALESCE(a.application_name, '') NOT LIKE 'hyperferry%%'
  AND (l.pid IS NULL OR l.pid <> pg_backend_pid())
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

-- name: autovacuum_on
-- Whether an autovacuum worker (not one against wraparound) holds a lock on the table.
SELECT EXISTS (
    SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.relation = to_regclass(%(table)s)
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND a.backend_type = 'autovacuum worker' AND a.query NOT LIKE '%%to prevent wraparound%%');
