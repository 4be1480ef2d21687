-- name: chunk_writers
-- Sessions and prepared transactions, ours excepted, that hold a lock on a chunk with which rows are written, as one text; NULL where there is
-- none. Autovacuum holds a weaker one. Locks are read once and looked up in a hash of the chunks: sessions hold tens of thousands.
SELECT pg_catalog.string_agg(DISTINCT CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE pg_catalog.concat('session ', l.pid) END, ', ')
FROM pg_catalog.pg_locks AS l
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
  AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
  AND (l.relation IN (SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = {oid})) IS TRUE
