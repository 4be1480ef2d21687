-- name: in_our_way
-- Who, ours apart, has waited for our other session, and for how long at most, in seconds.
SELECT a.pid, a.application_name, COALESCE(EXTRACT(epoch FROM clock_timestamp() - min(l.waitstart)), 0)::float8
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND %(pid)s = ANY(pg_blocking_pids(l.pid)) AND COALESCE(a.application_name, '') NOT LIKE 'hyperferry%%'
GROUP BY a.pid, a.application_name ORDER BY 3 DESC LIMIT 1;

-- name: we_wait_for
-- Whom our other session waits for: pids of sessions, if it waits at all.
SELECT b.pid, COALESCE(a.usename, '?'), COALESCE(NULLIF(a.application_name, ''), '?'), COALESCE(a.state, '?'),
       EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8
FROM unnest(pg_blocking_pids(%(pid)s)) AS b(pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid ORDER BY 5 DESC NULLS LAST LIMIT 1;

-- name: there
-- Whether a table, and an index of it where one is named, are still there.
SELECT EXISTS (SELECT FROM pg_class WHERE oid = %(oid)s AND relname = %(name)s)
   AND (%(index)s::oid IS NULL OR EXISTS (SELECT FROM pg_index WHERE indexrelid = %(index)s::oid
                                           AND indrelid IN (%(oid)s, (SELECT reltoastrelid FROM pg_class WHERE oid = %(oid)s))));

-- name: may_maintain
-- Whether this role may vacuum, analyze and reindex a table: as its owner, or by the privilege MAINTAIN (PostgreSQL 17).
SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = %(oid)s;

-- name: may_maintain_17
-- The same where there is the privilege.
SELECT pg_has_role(c.relowner, 'USAGE') OR has_table_privilege(c.oid, 'MAINTAIN') FROM pg_class c WHERE c.oid = %(oid)s;

-- name: left_by_reindex
-- Invalid indexes of a table with the names that REINDEX CONCURRENTLY gives to its new and its old ones: an interrupted one left them;
-- with their owner.
SELECT n.nspname::text, x.relname::text, pg_get_userbyid(x.relowner)::text
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
WHERE i.indrelid IN (%(oid)s, (SELECT reltoastrelid FROM pg_class WHERE oid = %(oid)s)) AND NOT i.indisvalid AND x.relname ~ '_cc(new|old)[0-9]*$';

-- name: index_bytes
-- Size of an index on disk; NULL where it is gone.
SELECT pg_relation_size(x.oid) FROM pg_class x JOIN pg_namespace n ON n.oid = x.relnamespace
WHERE n.nspname = %(schema)s AND x.relname = %(name)s;

-- name: extension
-- The schema of pgstattuple, and whether this role may call it; no row where it is not in this database.
SELECT n.nspname::text, has_function_privilege(p.oid, 'EXECUTE')
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = 'pgstattuple_approx'
WHERE e.extname = 'pgstattuple' LIMIT 1;

-- name: table_exact
-- What of a table's pages is free or dead: its all-visible pages by the map, the others read.
SELECT table_len, (approx_free_space + dead_tuple_len)::bigint FROM {function}({table}::regclass);

-- name: index_exact
-- What of a B-tree's pages is empty, deleted, or less full than it was made to be. All its pages are read.
SELECT index_size, ((empty_pages + deleted_pages + leaf_pages * GREATEST(0, 1 - avg_leaf_density / {fillfactor}::float8)) * {block})::bigint
FROM {function}({index}::regclass);

-- name: place
-- A moment or an interval before now, in microseconds since 1970.
SELECT (EXTRACT(epoch FROM %(text)s::timestamptz) * 1000000)::bigint;

-- name: place_before
-- The present less an interval, as a value of the time column by the session's time zone; NULL for one that leads beyond the
-- present: '2 years ago' is a negative interval.
SELECT CASE WHEN %(text)s::interval >= interval '0' THEN (EXTRACT(epoch FROM b.at) * 1000000)::bigint END
FROM (SELECT (now()::{moment} - %(text)s::interval)::{kind}) AS b(at);

-- name: drop_one
-- Drops the chunks in one range; gives schema and name of those that went.
SELECT parse_ident(c::text) FROM {drop_chunks}({table}::regclass, older_than => {older}, newer_than => {newer}) AS c;

-- name: still_there
-- Which of these tables are still there.
SELECT c.oid::bigint FROM pg_class c WHERE c.oid = ANY(%(oids)s::oid[]);
