-- name: jobs
-- The jobs of these hypertables, with their statistics: those that name one of them in their configuration, or are listed under its name.
-- One that never began has no statistics (pg_dump does not take them along): it is due at its initial start, else at once.
SELECT DISTINCT ON (j.job_id) j.job_id AS id, j.proc_name::text AS procedure, j.owner::text AS owner,
       r.rolname IS NOT NULL AS owner_exists, COALESCE(r.rolcanlogin, false) AS owner_can_login, j.scheduled,
       EXTRACT(epoch FROM j.schedule_interval)::float8 AS schedule, j.max_retries, j.config,
       CASE WHEN j.hypertable_name IS NOT NULL THEN format('%%I.%%I', j.hypertable_schema, j.hypertable_name) ELSE '' END AS table,
       s.last_run_status AS status,
       CASE WHEN EXISTS (SELECT FROM pg_stat_activity a
                         WHERE a.datname = current_database() AND a.application_name = j.application_name)
            THEN 'Running' ELSE s.job_status END AS state,
       EXTRACT(epoch FROM s.last_run_started_at)::float8 AS last_start,
       EXTRACT(epoch FROM s.last_successful_finish)::float8 AS last_success,
       EXTRACT(epoch FROM COALESCE(j.next_start, j.initial_start, '-infinity'))::float8 AS next_start,
       COALESCE(s.total_runs, 0) AS runs, COALESCE(s.total_failures, 0) AS failures,
       COALESCE(b.consecutive_failures + b.consecutive_crashes, 0) AS failures_in_a_row
FROM timescaledb_information.jobs j
LEFT JOIN timescaledb_information.job_stats s ON s.job_id = j.job_id
LEFT JOIN _timescaledb_internal.bgw_job_stat b ON b.job_id = j.job_id
LEFT JOIN pg_roles r ON j.owner::text IN (r.rolname, quote_ident(r.rolname))
WHERE j.config ->> 'hypertable_id' = ANY(%(ids)s::text[]) OR j.config ->> 'mat_hypertable_id' = ANY(%(ids)s::text[])
   OR (j.hypertable_schema = %(schema)s AND j.hypertable_name = %(name)s)
ORDER BY j.job_id;

-- name: scheduled
-- How many jobs this database runs.
SELECT count(*)::int FROM timescaledb_information.jobs WHERE scheduled;

-- name: errors
-- The last error of each of these jobs that this role may see.
SELECT DISTINCT ON (e.job_id) e.job_id, COALESCE(e.err_message, e.sqlerrcode, ''), EXTRACT(epoch FROM e.finish_time)::float8
FROM timescaledb_information.job_errors e WHERE e.job_id = ANY(%(jobs)s::int[])
ORDER BY e.job_id, e.start_time DESC;

-- name: width
-- An interval in microseconds.
SELECT (EXTRACT(epoch FROM %(text)s::interval) * 1000000)::bigint;

-- name: aggregates
-- The continuous aggregates on a hypertable, and those on such, nearest first. Where the width of a bucket stands depends on the version.
WITH RECURSIVE a AS (
    SELECT c.mat_hypertable_id, c.raw_hypertable_id, c.user_view_schema, c.user_view_name, c.materialized_only, to_jsonb(c) AS all, 1 AS depth
    FROM _timescaledb_catalog.continuous_agg c WHERE c.raw_hypertable_id = %(id)s
    UNION ALL
    SELECT c.mat_hypertable_id, c.raw_hypertable_id, c.user_view_schema, c.user_view_name, c.materialized_only, to_jsonb(c), a.depth + 1
    FROM _timescaledb_catalog.continuous_agg c JOIN a ON c.raw_hypertable_id = a.mat_hypertable_id
)
SELECT a.mat_hypertable_id AS id, a.raw_hypertable_id AS source_id, a.user_view_schema::text AS schema, a.user_view_name::text AS name,
       a.materialized_only, COALESCE(to_jsonb(b) ->> 'bucket_width', a.all ->> 'bucket_width') AS bucket
FROM a LEFT JOIN _timescaledb_catalog.continuous_aggs_bucket_function b ON b.mat_hypertable_id = a.mat_hypertable_id
ORDER BY a.depth, a.mat_hypertable_id;

-- name: has_watermarks
-- Whether the watermarks stand in a table (2.11 and later).
SELECT to_regclass('_timescaledb_catalog.continuous_aggs_watermark') IS NOT NULL;

-- name: watermarks
-- Up to where each aggregate is materialized, in TimescaleDB's own reckoning: microseconds since 1970, or the integer.
SELECT mat_hypertable_id, watermark FROM _timescaledb_catalog.continuous_aggs_watermark WHERE mat_hypertable_id = ANY(%(ids)s::int[]);

-- name: watermark
-- The same by a function, before.
SELECT _timescaledb_internal.cagg_watermark(%(id)s);

-- name: newest
-- The latest time in one chunk, by its index: place on the axis, and text.
SELECT {place}, max({column})::text FROM {chunk};
