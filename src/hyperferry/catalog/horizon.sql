-- name: holders
-- What keeps dead rows of this database from being cleaned: sessions (a standby's feedback arrives by its walsender, which has no
-- database), prepared transactions, replication slots; the oldest first by the age of its xmin in transactions. Autovacuum holds nothing back.
-- Other roles' times and queries are hidden without pg_monitor; their xmin is not.
SELECT * FROM (
    SELECT a.pid, COALESCE(a.usename::text, '?') AS user, COALESCE(NULLIF(a.application_name, ''), a.backend_type, '?') AS what,
           COALESCE(a.state, a.backend_type, '?') AS state, EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds,
           GREATEST(age(a.backend_xmin), age(a.backend_xid)) AS transactions,
           COALESCE(a.application_name, '') LIKE 'hyperferry%' AS ours
    FROM pg_stat_activity a
    WHERE a.pid <> pg_backend_pid() AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
      AND (a.datname = current_database() OR a.datname IS NULL)
      AND COALESCE(a.backend_type, 'client backend') <> 'autovacuum worker'
    UNION ALL
    SELECT NULL, x.owner::text, 'prepared transaction ' || x.gid, 'prepared',
           EXTRACT(epoch FROM clock_timestamp() - x.prepared)::float8, age(x.transaction), false
    FROM pg_prepared_xacts x WHERE x.database = current_database()
    UNION ALL
    SELECT s.active_pid, '', 'replication slot ' || s.slot_name, CASE WHEN s.active THEN 'active' ELSE 'inactive' END,
           NULL, age(s.xmin), false
    FROM pg_replication_slots s WHERE s.xmin IS NOT NULL
) AS h ORDER BY transactions DESC NULLS LAST, seconds DESC NULLS LAST;

-- name: our_oldest
-- The oldest open transaction of ours but this one: the session, what it is for, and its age in seconds.
SELECT a.pid, a.application_name, EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.application_name LIKE 'hyperferry%' AND a.xact_start IS NOT NULL
ORDER BY a.xact_start LIMIT 1;
