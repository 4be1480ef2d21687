-- What autogenerate asks the database. In SQLAlchemy's notation: a colon begins a parameter. Asked as text, since asyncpg wants the type of a cast.

-- name: edition
-- apache or timescale; NULL without the extension.
SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'timescaledb')
       THEN COALESCE(pg_catalog.current_setting('timescaledb.license', true), 'timescale') END;

-- name: default_indexes
-- Indexes that create_hypertable makes by itself: of the time alone, or of one more dimension and the time, under the name that it gives.
SELECT n.nspname::text, t.relname::text, c.relname::text
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
JOIN timescaledb_information.dimensions AS d
    ON d.hypertable_schema = n.nspname AND d.hypertable_name = t.relname AND d.dimension_number = 1
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attname = d.column_name
CROSS JOIN LATERAL (
    SELECT t.relname::text || '_' || pg_catalog.string_agg(k.attname::text, '_' ORDER BY p.place) || '_idx' AS name
    FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS p(number, place)
    JOIN pg_catalog.pg_attribute AS k ON k.attrelid = t.oid AND k.attnum = p.number) AS chosen
WHERE NOT i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts
    AND i.indkey[i.indnkeyatts - 1] = a.attnum AND i.indoption[i.indnkeyatts - 1] = 3
    AND (i.indnkeyatts = 1 OR i.indnkeyatts = 2 AND EXISTS (
        SELECT FROM timescaledb_information.dimensions AS s
        JOIN pg_catalog.pg_attribute AS b ON b.attrelid = t.oid AND b.attname = s.column_name AND b.attnum = i.indkey[0]
        WHERE s.hypertable_schema = n.nspname AND s.hypertable_name = t.relname AND s.dimension_number > 1))
    -- The name that PostgreSQL chooses: table, columns, idx, and a number where that is taken; a long one is cut.
    AND CASE WHEN pg_catalog.octet_length(chosen.name) < 62 THEN pg_catalog.regexp_replace(c.relname::text, '[0-9]*$', '') = chosen.name
             ELSE pg_catalog.starts_with(c.relname::text, pg_catalog.left(t.relname::text, 20)) END;

-- name: state
-- How a table stands to what its model wants of it. A policy that is paused, or drops chunks by when they were made, is another. What a policy says is read as what it is: the server may do so for every policy of the
-- database before it looks whose it is.
SELECT true AS hypertable, d.column_name::text AS time,
       COALESCE(d.integer_interval::text, d.time_interval::text) AS interval,
       COALESCE(d.integer_interval = CAST(:interval_units AS bigint), d.time_interval = CAST(CAST(:interval_span AS text) AS interval), false)
           AS same_interval,
       h.compression_enabled AS compressed,
       (SELECT j.config ->> 'compress_after' FROM timescaledb_information.jobs AS j WHERE j.proc_name = 'policy_compression' AND j.scheduled
           AND j.hypertable_schema = h.hypertable_schema AND j.hypertable_name = h.hypertable_name ORDER BY j.job_id LIMIT 1) AS compress_after,
       (SELECT j.config ->> 'drop_after' FROM timescaledb_information.jobs AS j WHERE j.proc_name = 'policy_retention' AND j.scheduled
           AND j.config ->> 'drop_created_before' IS NULL
           AND j.hypertable_schema = h.hypertable_schema AND j.hypertable_name = h.hypertable_name ORDER BY j.job_id LIMIT 1) AS drop_after,
       EXISTS (
           SELECT FROM timescaledb_information.jobs AS j WHERE j.proc_name = 'policy_compression' AND j.scheduled
           AND j.hypertable_schema = h.hypertable_schema AND j.hypertable_name = h.hypertable_name
           AND CASE pg_catalog.jsonb_typeof(j.config -> 'compress_after')
                   WHEN 'number' THEN CAST(j.config ->> 'compress_after' AS numeric) = CAST(:compress_units AS bigint)
                   WHEN 'string' THEN CAST(j.config ->> 'compress_after' AS interval) = CAST(CAST(:compress_span AS text) AS interval)
                   ELSE false END) AS same_compression,
       EXISTS (
           SELECT FROM timescaledb_information.jobs AS j WHERE j.proc_name = 'policy_retention' AND j.scheduled
           AND j.config ->> 'drop_created_before' IS NULL
           AND j.hypertable_schema = h.hypertable_schema AND j.hypertable_name = h.hypertable_name
           AND CASE pg_catalog.jsonb_typeof(j.config -> 'drop_after')
                   WHEN 'number' THEN CAST(j.config ->> 'drop_after' AS numeric) = CAST(:drop_units AS bigint)
                   WHEN 'string' THEN CAST(j.config ->> 'drop_after' AS interval) = CAST(CAST(:drop_span AS text) AS interval)
                   ELSE false END) AS same_retention
FROM timescaledb_information.hypertables AS h
JOIN timescaledb_information.dimensions AS d
    ON d.hypertable_schema = h.hypertable_schema AND d.hypertable_name = h.hypertable_name AND d.dimension_number = 1
WHERE h.hypertable_schema = :schema AND h.hypertable_name = :name;

-- name: has_settings
-- Whether this version keeps how chunks are compressed where it can be read for one table (2.14 and later).
SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = '_timescaledb_catalog' AND c.relname = 'compression_settings' AND a.attname = 'relid');

-- name: settings
-- How the table's chunks are compressed. Not by TimescaleDB's view, which fails where there is a hypertable that this role may not look at.
SELECT s.segmentby::text[] AS segment_by, s.orderby::text[] AS order_by, s.orderby_desc AS descending, s.orderby_nullsfirst AS nulls_first
FROM _timescaledb_catalog.compression_settings AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = :schema AND c.relname = :name;
