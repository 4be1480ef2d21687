-- name: now
-- The server's clock, as seconds since 1970.
SELECT EXTRACT(epoch FROM clock_timestamp())::float8;

-- name: hypertable
-- TimescaleDB's number for a hypertable, whether it keeps compressed rows, and the name of the continuous aggregate it belongs to; no row
-- for anything else. The views hide what holds an aggregate's rows, hence the catalog: these columns have been there since 2.0.
SELECT h.id, a.user_view_schema::text AS view_schema, a.user_view_name::text AS view_name,
       EXISTS (SELECT FROM timescaledb_information.compression_settings s
               WHERE s.hypertable_schema = h.schema_name AND s.hypertable_name = h.table_name) AS compression_enabled
FROM _timescaledb_catalog.hypertable h
LEFT JOIN _timescaledb_catalog.continuous_agg a ON a.mat_hypertable_id = h.id
WHERE h.schema_name = %(schema)s AND h.table_name = %(name)s;

-- name: kind
-- The kind of a relation, its owner, and whether the session's role may read it and act as its owner.
SELECT c.relkind::text, pg_get_userbyid(c.relowner)::text, has_table_privilege(c.oid, 'SELECT'), pg_has_role(c.relowner, 'USAGE'),
       (SELECT format('%%I.%%I', h.schema_name, h.table_name)
        FROM _timescaledb_catalog.continuous_agg a JOIN _timescaledb_catalog.hypertable h ON h.id = a.mat_hypertable_id
        WHERE a.user_view_schema = n.nspname AND a.user_view_name = c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s;

-- name: plain_kind
-- The same where TimescaleDB is not there.
SELECT c.relkind::text, pg_get_userbyid(c.relowner)::text, has_table_privilege(c.oid, 'SELECT'), pg_has_role(c.relowner, 'USAGE'), NULL
FROM pg_class c WHERE c.oid = %(oid)s;

-- name: dimensions
-- The dimensions: name, type, kind, width on the time's axis, function that tells the present, number of partitions.
SELECT d.column_name::text, d.column_type::text, d.dimension_type::text,
       COALESCE(d.integer_interval, (EXTRACT(epoch FROM d.time_interval) * 1000000)::bigint),
       c.integer_now_func_schema::text, c.integer_now_func::text, d.num_partitions
FROM timescaledb_information.dimensions d
LEFT JOIN _timescaledb_catalog.dimension c ON c.hypertable_id = %(id)s AND c.column_name = d.column_name
WHERE d.hypertable_schema = %(schema)s AND d.hypertable_name = %(name)s
ORDER BY d.dimension_number;

-- name: columns
-- The columns as they are stored. The chunks of a table whose columns were dropped may have others in front; their names tell.
SELECT a.attname::text AS name, a.attlen::int AS length,
       CASE a.attalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END AS align
FROM pg_attribute a WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

-- name: chunks
-- The chunks with their ranges, in order. An infinite end stands as the largest number.
SELECT c.oid::bigint AS oid, v.is_compressed AS compressed,
       COALESCE(v.range_start::text, v.range_start_integer::text) AS start_text,
       COALESCE(v.range_end::text, v.range_end_integer::text) AS end_text,
       COALESCE(v.range_start_integer, CASE WHEN isfinite(v.range_start) THEN (EXTRACT(epoch FROM v.range_start) * 1000000)::bigint
                                            ELSE -9223372036854775807 END) AS start,
       COALESCE(v.range_end_integer, CASE WHEN isfinite(v.range_end) THEN (EXTRACT(epoch FROM v.range_end) * 1000000)::bigint
                                          ELSE 9223372036854775807 END) AS end
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN timescaledb_information.chunks v ON v.chunk_schema = n.nspname AND v.chunk_name = c.relname
WHERE i.inhparent = %(oid)s
ORDER BY start, oid;

-- name: has_compress_relid
-- Whether TimescaleDB notes the table of compressed rows by its OID (2.19 and later).
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('_timescaledb_catalog.compression_settings') AND attname = 'compress_relid');

-- name: companions
-- The tables that hold the rows of compressed chunks, by chunk.
SELECT s.relid::oid::bigint, s.compress_relid::oid::bigint
FROM _timescaledb_catalog.compression_settings s
WHERE s.compress_relid IS NOT NULL AND s.relid::oid = ANY(%(oids)s::oid[]);

-- name: companions_by_number
-- The same before 2.19, where a chunk has the number of another.
SELECT c.oid::bigint, d.oid::bigint
FROM _timescaledb_catalog.chunk k
JOIN _timescaledb_catalog.chunk z ON z.id = k.compressed_chunk_id
JOIN pg_namespace n ON n.nspname = k.schema_name JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = k.table_name
JOIN pg_namespace m ON m.nspname = z.schema_name JOIN pg_class d ON d.relnamespace = m.oid AND d.relname = z.table_name
WHERE c.oid = ANY(%(oids)s::oid[]);

-- name: has_relid
-- Whether TimescaleDB notes a chunk by its OID (2.29 and later).
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '_timescaledb_catalog.chunk'::regclass AND attname = 'relid');

-- name: partial
-- Compressed chunks into which rows came since (CHUNK_STATUS_COMPRESSED_PARTIAL).
SELECT k.relid::oid::bigint FROM _timescaledb_catalog.chunk k WHERE k.status & 8 <> 0 AND k.relid::oid = ANY(%(oids)s::oid[]);

-- name: partial_by_name
-- The same before 2.29.
SELECT c.oid::bigint FROM _timescaledb_catalog.chunk k
JOIN pg_namespace n ON n.nspname = k.schema_name JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = k.table_name
WHERE k.status & 8 <> 0 AND c.oid = ANY(%(oids)s::oid[]);

-- name: compression_sizes
-- What compression made of the chunks, as noted then: name, bytes before, bytes after.
SELECT chunk_schema::text, chunk_name::text, uncompressed_total_size::bigint, compressed_total_size::bigint
FROM _timescaledb_internal.compressed_chunk_stats
WHERE hypertable_schema = %(schema)s AND hypertable_name = %(name)s AND compressed_total_size IS NOT NULL;

-- name: relations
-- The catalog's and the statistics' figures of many tables at once. None of them is opened or locked.
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relpages AS pages, c.reltuples::float8 AS rows,
       COALESCE(t.relpages, 0) AS toast_pages,
       pg_stat_get_numscans(c.oid) AS scans, pg_stat_get_live_tuples(c.oid) AS live, pg_stat_get_dead_tuples(c.oid) AS dead,
       pg_stat_get_mod_since_analyze(c.oid) AS modified, pg_stat_get_ins_since_vacuum(c.oid) AS inserted,
       EXTRACT(epoch FROM GREATEST(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)))::float8 AS vacuumed,
       EXTRACT(epoch FROM pg_stat_get_last_autovacuum_time(c.oid))::float8 AS autovacuumed,
       EXTRACT(epoch FROM GREATEST(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)))::float8 AS analyzed,
       GREATEST(CASE WHEN c.relfrozenxid <> '0' THEN age(c.relfrozenxid) ELSE 0 END,
                CASE WHEN t.relfrozenxid <> '0' THEN age(t.relfrozenxid) ELSE 0 END) AS xid_age,
       GREATEST(CASE WHEN c.relminmxid <> '0' THEN mxid_age(c.relminmxid) ELSE 0 END,
                CASE WHEN t.relminmxid <> '0' THEN mxid_age(t.relminmxid) ELSE 0 END) AS mxid_age,
       c.reloptions AS options, t.reloptions AS toast_options
FROM unnest(%(oids)s::oid[]) AS o(oid)
JOIN pg_class c ON c.oid = o.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid;

-- name: measure
-- Sizes as they are on disk. This opens each table for a moment, so it is asked only for those whose statistics are old, and not for
-- those that somebody holds or awaits exclusively.
SELECT c.oid::bigint, pg_relation_size(c.oid), pg_indexes_size(c.oid),
       pg_total_relation_size(c.oid) - pg_relation_size(c.oid) - pg_indexes_size(c.oid)
FROM unnest(%(oids)s::oid[]) AS o(oid)
JOIN pg_class c ON c.oid = o.oid
WHERE NOT EXISTS (SELECT FROM pg_locks l LEFT JOIN pg_index i ON i.indexrelid = l.relation
                  WHERE l.mode = 'AccessExclusiveLock' AND c.oid IN (l.relation, i.indrelid)
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()));

-- name: widths
-- What ANALYZE knows of the columns, a row for each table. By names alone: a join with the view is made row by row (7 s for 2,000 chunks).
SELECT s.schemaname::text, s.tablename::text, array_agg(s.attname::text), array_agg(s.avg_width), array_agg(s.null_frac::float8),
       array_agg(s.n_distinct::float8)
FROM pg_stats s
WHERE s.schemaname = ANY(%(schemas)s::name[]) AND s.tablename = ANY(%(names)s::name[]) AND NOT s.inherited
GROUP BY 1, 2;

-- name: indexes
-- The indexes of many tables at once, with what each is made of, and invalid ones of their TOAST tables, as the tables' own.
SELECT i.indexrelid::bigint AS oid, n.nspname::text AS schema, x.relname::text AS name, COALESCE(o.oid, i.indrelid)::bigint AS table_oid,
       m.amname::text AS method, i.indnkeyatts::int AS key_columns, i.indisunique AS unique, i.indisprimary AS primary,
       i.indisexclusion AS exclusion, i.indisreplident AS replica_identity, i.indisvalid AND i.indisready AS valid,
       i.indpred IS NOT NULL AS partial, x.relpages AS pages, x.reltuples::float8 AS rows, pg_stat_get_numscans(i.indexrelid) AS scans,
       x.reloptions AS options,
       (SELECT array_agg(CASE WHEN i.indkey[a.attnum - 1] = 0 THEN NULL ELSE a.attname::text END ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attnum > 0) AS columns,
       concat_ws('/', m.amname, i.indclass::text, i.indcollation::text, i.indoption::text, i.indisunique, i.indnkeyatts,
                 CASE WHEN i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
                      THEN regexp_replace(pg_get_indexdef(i.indexrelid), '^.*? USING ', '') END) AS made_of,
       CASE WHEN %(definitions)s THEN pg_get_indexdef(i.indexrelid) ELSE '' END AS definition
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = x.relnamespace
JOIN pg_am m ON m.oid = x.relam
LEFT JOIN pg_class o ON NOT i.indisvalid AND o.reltoastrelid = i.indrelid AND o.oid = ANY(%(oids)s::oid[])
WHERE i.indrelid = ANY(%(oids)s::oid[]) OR o.oid IS NOT NULL
ORDER BY i.indexrelid;

-- name: settings
-- The settings that the rules look at.
SELECT name::text, setting::text FROM pg_settings
WHERE name LIKE 'autovacuum%%' OR name LIKE 'vacuum%%' OR name IN (
    'block_size', 'max_locks_per_transaction', 'max_connections', 'max_prepared_transactions', 'max_worker_processes',
    'timescaledb.max_background_workers', 'track_counts', 'shared_buffers', 'timescaledb.restoring');

-- name: oldest_chunk
-- When the oldest chunk that is there was made; NULL before TimescaleDB 2.13, which does not note it.
SELECT EXTRACT(epoch FROM min((to_jsonb(k) ->> 'creation_time')::timestamptz))::float8 FROM _timescaledb_catalog.chunk k
WHERE k.hypertable_id = %(id)s AND NOT COALESCE((to_jsonb(k) ->> 'dropped')::boolean, false);

-- name: surroundings
-- Databases that may have a scheduler, since when statistics are counted (after a crash, which loses them, a database's own reset
-- is NULL, and the archiver's is the moment of the crash), when the hypertable as a whole was analyzed, and what of this server's
-- processes is seen: autovacuum workers at work, hidden processes, TimescaleDB's scheduler for this database (on a standby there
-- is none).
SELECT (SELECT count(*) FROM pg_database WHERE datallowconn AND NOT datistemplate)::int,
       EXTRACT(epoch FROM GREATEST((SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()),
                                   (SELECT stats_reset FROM pg_stat_archiver)))::float8,
       EXTRACT(epoch FROM GREATEST(pg_stat_get_last_analyze_time(%(oid)s::oid), pg_stat_get_last_autoanalyze_time(%(oid)s::oid)))::float8,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type IS NULL)::int,
       CASE WHEN NOT pg_is_in_recovery()
            THEN EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'TimescaleDB Background Worker Scheduler%%'
                         AND datname = current_database()) END,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb');
