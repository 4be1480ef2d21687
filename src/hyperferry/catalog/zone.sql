-- name: zone_of
-- The time zone of a job's session: its owner's in this database, its owner's, the database's, everybody's, else the server's,
-- which is what ours began with.
SELECT COALESCE(
    (SELECT substr(s.setting, length('timezone=') + 1)
     FROM pg_db_role_setting r CROSS JOIN LATERAL unnest(r.setconfig) AS s(setting)
     WHERE lower(split_part(s.setting, '=', 1)) = 'timezone'
       AND (r.setdatabase = 0 OR r.setdatabase = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
       AND (r.setrole = 0 OR r.setrole IN (SELECT o.oid FROM pg_roles o
                                           WHERE %(owner)s::text IN (o.rolname, quote_ident(o.rolname))))
     ORDER BY r.setrole <> 0 DESC, r.setdatabase <> 0 DESC LIMIT 1),
    (SELECT g.reset_val FROM pg_settings g WHERE g.name = 'TimeZone'));

-- name: before
-- The present less an interval, as a value of the time column by the session's time zone, in microseconds since 1970.
SELECT (EXTRACT(epoch FROM (now()::{moment} - %(after)s::interval)::{kind}) * 1000000)::bigint;
