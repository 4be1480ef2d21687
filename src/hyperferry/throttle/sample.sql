-- name: replicas
-- Who streams from here: where it has replayed to, in bytes, and its own report of how far its slowest stage is behind, in seconds.
-- Who replays nothing reports what it flushed: a logical consumer when it has what it was sent (before its first report its slot says from where
-- on it lacks it); pg_receivewal at a segment's end alone, so that there it counts where WAL was sent to.
-- Without pg_monitor the server shows that somebody streams, and nothing else (state is NULL).
SELECT COALESCE(NULLIF(r.application_name, ''), 'pid ' || r.pid), r.state,
       pg_wal_lsn_diff(COALESCE(r.replay_lsn, CASE WHEN l.confirmed IS NOT NULL THEN COALESCE(r.flush_lsn, l.confirmed) END, r.sent_lsn), '0/0')::bigint,
       CASE WHEN r.replay_lsn IS NOT NULL OR l.confirmed IS NOT NULL THEN EXTRACT(epoch FROM GREATEST(r.replay_lag, r.flush_lag, r.write_lag))::float8 END
FROM pg_stat_replication r
LEFT JOIN LATERAL (SELECT s.confirmed_flush_lsn FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical' LIMIT 1)
    AS l(confirmed) ON true
WHERE r.state IS NULL OR r.state IN ('streaming', 'catchup');

-- name: written
-- Where the WAL is now, in bytes.
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint;

-- name: slots
-- What each replication slot keeps; slots that are lost keep nothing any more.
SELECT s.slot_name::text, COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint, s.active, s.safe_wal_size,
       (SELECT NULLIF(g.setting::bigint, -1) * 1048576 FROM pg_settings g WHERE g.name = 'max_slot_wal_keep_size')
FROM pg_replication_slots s
WHERE s.restart_lsn IS NOT NULL AND s.wal_status IS DISTINCT FROM 'lost';

-- name: lock_waits
-- Sessions, ours excepted, that wait for the table itself, or for the writer of a row of it (such a one holds the row's lock of kind
-- tuple and waits for a transaction), longest first, with who is in their way.
SELECT w.pid, a.usename::text, a.application_name,
       COALESCE(EXTRACT(epoch FROM clock_timestamp() - w.waitstart), 0)::float8,
       (SELECT string_agg('pid ' || b.pid || COALESCE(' (' || NULLIF(b.application_name, '') || ')', ''), ', ')
        FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(w.pid)))
FROM pg_locks w
JOIN pg_stat_activity a ON a.pid = w.pid
WHERE NOT w.granted
  AND COALESCE(a.backend_type, 'client backend') = 'client backend'
  AND COALESCE(a.application_name, '') NOT LIKE 'hyperferry%%'
  AND (w.relation = %(table)s::oid AND w.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       OR w.locktype = 'transactionid' AND EXISTS (
           SELECT FROM pg_locks t WHERE t.pid = w.pid AND t.locktype = 'tuple' AND t.relation = %(table)s::oid
             AND t.database = (SELECT oid FROM pg_database WHERE datname = current_database())))
ORDER BY 4 DESC LIMIT 5;

-- name: probe
-- One small write and its commit feel what every writer feels: WAL, the disk's flush, a synchronous standby.
INSERT INTO hyperferry.probe DEFAULT VALUES;

-- name: probe_size
-- How large the probes have grown.
SELECT pg_relation_size('hyperferry.probe');

-- name: clear_probes
-- Nobody but the probes needs this table; where somebody reads it now it is cleared another time.
LOCK TABLE hyperferry.probe IN ACCESS EXCLUSIVE MODE NOWAIT; TRUNCATE hyperferry.probe;
