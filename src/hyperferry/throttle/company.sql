-- name: company
-- Sessions of others that are at work, or did something within the last second, in whatever database: they share the server's
-- cores. What a session does is hidden from a role without pg_monitor; such a one counts, as it may be at work, unless it is
-- TimescaleDB's own.
SELECT count(*), count(*) FILTER (WHERE state IS NULL AND backend_type IS NULL)
FROM pg_stat_activity
WHERE pid <> pg_backend_pid()
  AND datid IS NOT NULL AND usesysid IS NOT NULL
  AND COALESCE(backend_type, 'client backend') = 'client backend'
  AND COALESCE(application_name, '') NOT LIKE 'hyperferry%%'
  AND COALESCE(application_name, '') NOT LIKE 'TimescaleDB Background%%'
  AND (state IS NULL OR state IN ('active', 'fastpath function call', 'disabled')
       OR state_change > clock_timestamp() - interval '1 second');
