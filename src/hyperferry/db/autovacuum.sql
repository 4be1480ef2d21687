-- name: autovacuums_on
-- Tables among these and their children (chunks) on which an autovacuum worker (not one against wraparound) holds a lock. Without
-- pg_monitor what a session does is hidden; one without a user is then taken for one.
WITH RECURSIVE t AS (
    SELECT to_regclass(name)::oid AS oid FROM unnest(%(tables)s::text[]) AS name
    UNION
    SELECT i.inhrelid FROM t JOIN pg_inherits i ON i.inhparent = t.oid WHERE %(chunks)s
)
SELECT DISTINCT n.nspname, c.relname
FROM pg_locks l
JOIN t ON t.oid = l.relation
JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'm')
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.mode = 'ShareUpdateExclusiveLock'
  AND (a.backend_type = 'autovacuum worker' AND a.query NOT LIKE '%%to prevent wraparound%%'
       OR a.backend_type IS NULL AND a.usesysid IS NULL);

-- name: busy_last
-- These tables and their children (chunks), those on which somebody holds a lock that conflicts with our own kind last.
WITH RECURSIVE t AS (
    SELECT to_regclass(name)::oid AS oid FROM unnest(%(tables)s::text[]) AS name
    UNION
    SELECT i.inhrelid FROM t JOIN pg_inherits i ON i.inhparent = t.oid
)
SELECT n.nspname, c.relname
FROM t
JOIN pg_class c ON c.oid = t.oid AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation = t.oid AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid()), t.oid;

-- name: autovacuum_on_toast
-- Whether an autovacuum worker (not one against wraparound) is at work on a TOAST table of these tables or their children (chunks).
WITH RECURSIVE t AS (
    SELECT to_regclass(name)::oid AS oid FROM unnest(%(tables)s::text[]) AS name
    UNION
    SELECT i.inhrelid FROM t JOIN pg_inherits i ON i.inhparent = t.oid
)
SELECT EXISTS (
    SELECT FROM pg_locks l
    JOIN pg_class c ON c.reltoastrelid = l.relation AND c.oid IN (SELECT oid FROM t)
    JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.mode = 'ShareUpdateExclusiveLock'
      AND (a.backend_type = 'autovacuum worker' AND a.query NOT LIKE '%%to prevent wraparound%%'
           OR a.backend_type IS NULL AND a.usesysid IS NULL));

-- name: chunks_in_use
-- A table's children (chunks), whether somebody holds a lock on one that conflicts with our own kind, and whether somebody awaits one.
SELECT n.nspname, c.relname, COALESCE(u.held, false), COALESCE(u.awaited, false)
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN (
    SELECT l.relation, bool_or(l.granted) AS held, bool_or(NOT l.granted) AS awaited FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND (NOT l.granted OR l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))
    GROUP BY l.relation
) u ON u.relation = c.oid
WHERE i.inhparent = %(oid)s ORDER BY c.oid;

-- name: lock_chunks_at_once
-- The body of a DO block: SHARE UPDATE EXCLUSIVE on every child (chunk) of a table at once or on none.
DECLARE names text;
BEGIN
    SELECT pg_catalog.string_agg(pg_catalog.format('ONLY %I.%I', n.nspname, c.relname), ', ' ORDER BY c.oid) INTO names
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE i.inhparent = {oid};
    IF names IS NOT NULL THEN
        EXECUTE pg_catalog.concat('LOCK TABLE ', names, ' IN SHARE UPDATE EXCLUSIVE MODE NOWAIT');
    END IF;
EXCEPTION WHEN undefined_table THEN
    RAISE lock_not_available USING MESSAGE = 'a chunk was dropped or merged in this moment';
END;
