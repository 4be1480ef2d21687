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
WHERE NOT i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
    AND i.indkey[i.indnkeyatts - 1] = a.attnum AND i.indoption[i.indnkeyatts - 1] = 3
    AND (i.indnkeyatts = 1 OR i.indnkeyatts = 2 AND EXISTS (
        SELECT FROM timescaledb_information.dimensions AS s
        JOIN pg_catalog.pg_attribute AS b ON b.attrelid = t.oid AND b.attname = s.column_name AND b.attnum = i.indkey[0]
        WHERE s.hypertable_schema = n.nspname AND s.hypertable_name = t.relname AND s.dimension_number > 1))
    AND pg_catalog.starts_with(c.relname, pg_catalog.left(t.relname, 20));

-- name: state
-- How a table stands to what its model wants of it.
SELECT true AS hypertable, d.column_name::text AS time,
       COALESCE(d.integer_interval::text, d.time_interval::text) AS interval,
       COALESCE(d.integer_interval = CAST(:interval_units AS bigint), d.time_interval = CAST(CAST(:interval_span AS text) AS interval), false)
           AS same_interval,
       h.compression_enabled AS compressed,
       EXISTS (
           SELECT FROM timescaledb_information.jobs AS j WHERE j.proc_name = 'policy_compression'
           AND j.hypertable_schema = h.hypertable_schema AND j.hypertable_name = h.hypertable_name
           AND CASE WHEN d.integer_interval IS NOT NULL THEN CAST(j.config ->> 'compress_after' AS bigint) = CAST(:compress_units AS bigint)
                    ELSE CAST(j.config ->> 'compress_after' AS interval) = CAST(CAST(:compress_span AS text) AS interval) END) AS same_compression,
       EXISTS (
           SELECT FROM timescaledb_information.jobs AS j WHERE j.proc_name = 'policy_retention'
           AND j.hypertable_schema = h.hypertable_schema AND j.hypertable_name = h.hypertable_name
           AND CASE WHEN d.integer_interval IS NOT NULL THEN CAST(j.config ->> 'drop_after' AS bigint) = CAST(:drop_units AS bigint)
                    ELSE CAST(j.config ->> 'drop_after' AS interval) = CAST(CAST(:drop_span AS text) AS interval) END) AS same_retention
FROM timescaledb_information.hypertables AS h
JOIN timescaledb_information.dimensions AS d
    ON d.hypertable_schema = h.hypertable_schema AND d.hypertable_name = h.hypertable_name AND d.dimension_number = 1
WHERE h.hypertable_schema = :schema AND h.hypertable_name = :name;
