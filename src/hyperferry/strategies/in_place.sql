-- name: rows_up_to
-- How many rows the table has, counted no further than one above the limit.
SELECT count(*) FROM (SELECT FROM {table} LIMIT {limit} + 1) AS counted

-- name: count_rows
-- How many rows the table has.
SELECT count(*) FROM {table}

-- name: same_table
-- Whether the name still means the table of that OID.
SELECT pg_catalog.to_regclass(%(table)s)::oid::bigint = %(oid)s

-- name: chunks
-- How many chunks the hypertable has.
SELECT count(*) FROM timescaledb_information.chunks
WHERE hypertable_schema = %(schema)s AND hypertable_name = %(name)s

-- name: snapshot_holders
-- Sessions, ours excepted, whose snapshot is older than what is about to be committed, and may be used again: idle in a transaction, in the
-- middle of a long statement of a transaction of several (one that waits for a lock took its snapshot since, unless it is above READ COMMITTED),
-- or pg_dump, which waits for the table with the snapshot that it will read it by.
SELECT a.pid, a.usename::text, a.application_name, a.state, EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start), a.query
FROM pg_catalog.pg_stat_activity AS a
WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_xmin IS NOT NULL
  AND COALESCE(a.application_name, '') NOT LIKE 'hyperferry%'
  AND (a.state LIKE 'idle in transaction%' OR a.application_name = 'pg_dump'
       OR a.state = 'active' AND a.xact_start < a.query_start AND a.wait_event_type IS DISTINCT FROM 'Lock'
          AND a.query_start < pg_catalog.now() AND a.query_start < pg_catalog.clock_timestamp() - interval '1 second')
ORDER BY a.xact_start LIMIT 5
