-- name: blockers
-- Sessions, ours excepted, that hold or await a lock on one of the tables, with their transaction's age; prepared transactions too.
SELECT DISTINCT ON (xact_start, l.pid, l.virtualtransaction)
       COALESCE(l.pid, 0), COALESCE(a.usename, x.owner), COALESCE(a.application_name, CASE WHEN x.gid IS NOT NULL THEN 'prepared transaction ' || x.gid END),
       COALESCE(a.state, a.backend_type, 'prepared'),
       EXTRACT(epoch FROM clock_timestamp() - COALESCE(a.xact_start, x.prepared)), COALESCE(a.query, '')
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts x ON l.virtualtransaction = '-1/' || x.transaction::text
WHERE l.locktype = 'relation'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN (SELECT to_regclass(t) FROM unnest(%(tables)s::text[]) AS t)
  AND COALESCE(a.application_name, '') NOT LIKE 'hyperferry%%'
  AND (l.pid IS NULL OR l.pid <> pg_backend_pid())
ORDER BY xact_start NULLS FIRST, l.pid, l.virtualtransaction
LIMIT 20;

-- name: autovacuum_on
-- Whether an autovacuum worker (not one against wraparound) holds a lock on the table.
SELECT EXISTS (
    SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.relation = to_regclass(%(table)s)
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND a.backend_type = 'autovacuum worker' AND a.query NOT LIKE '%%to prevent wraparound%%');
