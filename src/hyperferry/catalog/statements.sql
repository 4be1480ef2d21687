-- name: extension_schema
-- Where pg_stat_statements is, if it is here.
SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements';

-- name: statements
-- Statements of this database that name the table and may behave otherwise on a hypertable, and those that raise the isolation.
SELECT query FROM {view}
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (strpos(lower(query), lower(%(name)s)) > 0 AND query ~* '(on\s+conflict|update\s|\monly\M|\mcopy\M)'
       OR query ~* 'isolation\s+level\s+(repeatable\s+read|serializable)|transaction_isolation')
ORDER BY calls DESC LIMIT 2000;

-- name: hidden
-- How many statements of this database are of other roles and not shown to this one (it lacks pg_read_all_stats).
SELECT count(*) FROM {view}
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query = '<insufficient privilege>'
  -- A managed service hides its administrator's own from those too who may read everybody's.
  AND NOT pg_has_role('pg_read_all_stats', 'USAGE');

-- name: functions
-- Functions of users whose source names the table and has ON CONFLICT, UPDATE, ONLY or COPY in it, and rules that do.
SELECT name, source FROM (
    SELECT p.oid::regprocedure::text AS name, p.prosrc || COALESCE(pg_get_function_sqlbody(p.oid), '') AS source
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE l.lanname NOT IN ('internal', 'c') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'hyperferry')
    UNION ALL
    SELECT 'rule ' || quote_ident(w.rulename) || ' on ' || w.ev_class::regclass::text, pg_get_ruledef(w.oid)
    FROM pg_rewrite w WHERE w.rulename <> '_RETURN' AND w.oid >= 16384
) AS written
WHERE strpos(lower(source), lower(%(name)s)) > 0 AND source ~* '(on\s+conflict|update\s|\monly\M|\mcopy\M)'
ORDER BY 1 LIMIT 500;
