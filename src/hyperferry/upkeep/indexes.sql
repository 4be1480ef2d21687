-- name: target
-- The hypertable itself, or the one under a continuous aggregate: its OID, whether the session's role may do with it
-- as its owner does, who that is, whether the name is an aggregate's, and the hypertable's own schema and name.
SELECT c.oid::bigint, pg_has_role(c.relowner, 'USAGE'), pg_get_userbyid(c.relowner)::text, t.aggregate, t.schema, t.name
FROM (SELECT h.hypertable_schema::text AS schema, h.hypertable_name::text AS name, false AS aggregate FROM timescaledb_information.hypertables h
      WHERE h.hypertable_schema = %(schema)s AND h.hypertable_name = %(name)s
      UNION ALL
      SELECT a.materialization_hypertable_schema::text, a.materialization_hypertable_name::text, true
      FROM timescaledb_information.continuous_aggregates a WHERE a.view_schema = %(schema)s AND a.view_name = %(name)s) AS t
JOIN pg_namespace n ON n.nspname = t.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name;

-- name: kind
-- What a relation of that name is, for whom it is no hypertable.
SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s;

-- name: version
-- TimescaleDB's version in this database, and its edition.
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), current_setting('timescaledb.license', true);

-- name: temporary_index
-- The definition, the name and the OID of the only index of the temporary table of that name, or of the one that is named,
-- and whether it has an expression or a predicate.
SELECT pg_get_indexdef(i.indexrelid), x.relname::text, i.indexrelid::bigint, i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relname = %(name)s AND c.relnamespace = pg_my_temp_schema()
  AND (%(index)s::text IS NULL OR x.relname = %(index)s);

-- name: root_alike
-- The definitions of the root's indexes that could be the template in other words: as many columns, an expression and a
-- predicate where it has them.
SELECT pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid, pg_index t JOIN pg_class tx ON tx.oid = t.indexrelid
WHERE i.indrelid = %(root)s::oid AND t.indexrelid = %(template)s::oid AND i.indisunique = t.indisunique AND x.relam = tx.relam
  AND i.indnatts = t.indnatts AND i.indnkeyatts = t.indnkeyatts
  AND (i.indexprs IS NULL) = (t.indexprs IS NULL) AND (i.indpred IS NULL) = (t.indpred IS NULL);

-- name: root_index
-- The root's index of that name: its definition, whether it is unique, and whether it is valid.
SELECT pg_get_indexdef(i.indexrelid), i.indisunique, i.indisvalid AND i.indisready AND i.indislive, x.oid::bigint
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = %(root)s::oid AND x.relname = %(name)s;

-- name: name_taken
-- What else has that name in the root's schema.
SELECT x.relkind::text FROM pg_class x
WHERE x.relname = %(name)s AND x.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = %(root)s::oid);

-- name: root_equals
-- The root's indexes of one of these definitions, whatever their names, valid ones first.
SELECT x.relname::text, i.indisvalid AND i.indisready AND i.indislive, i.indexrelid::bigint
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = %(root)s::oid AND i.indisunique = %(unique)s
  AND pg_get_indexdef(i.indexrelid) = ANY (
      SELECT format('CREATE %%sINDEX %%I ON %%I.%%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname, n.nspname, c.relname) || t.tail
      FROM unnest(%(tails)s::text[]) AS t(tail))
ORDER BY 2 DESC, 1;

-- name: chunks
-- The root's chunks, newest first: name, size of the rows, whether it is a foreign table (tiered), whether the role
-- may make an index in its schema, and of the indexes on it that are equal to the template the best (valid before
-- invalid) with its validity.
SELECT c.oid::bigint, n.nspname::text, c.relname::text, pg_relation_size(c.oid), c.relkind = 'f', has_schema_privilege(n.oid, 'CREATE'),
       e.name, e.valid
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index t ON t.indexrelid = %(template)s::oid
LEFT JOIN pg_class tc ON tc.oid = t.indexrelid
LEFT JOIN LATERAL (
    SELECT x.relname::text AS name, i.indisvalid AND i.indisready AND i.indislive AS valid
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND i.indisunique = t.indisunique AND i.indnatts = t.indnatts AND x.relam = tc.relam
      AND {equal}
    ORDER BY 2 DESC, 1 LIMIT 1) AS e ON true
WHERE h.inhparent = %(root)s::oid
ORDER BY c.oid DESC;

-- name: equal_by_structure
-- Whether a chunk's index is what the template asks for, as TimescaleDB sees it when it adopts one (2.22 and later).
_timescaledb_functions.index_matches(i.indexrelid, t.indexrelid)

-- name: equal_by_catalog
-- Whether a chunk's index belongs to the root's, which is the template: TimescaleDB keeps a list of them (up to 2.21).
EXISTS (SELECT FROM _timescaledb_catalog.chunk_index k JOIN _timescaledb_catalog.chunk ch ON ch.id = k.chunk_id
        WHERE ch.schema_name = n.nspname AND ch.table_name = c.relname AND k.index_name = x.relname
          AND k.hypertable_index_name = tc.relname AND t.indrelid = %(root)s::oid)

-- name: taken_in
-- Which of these names are taken in a schema.
SELECT x.relname::text FROM pg_class x JOIN pg_namespace n ON n.oid = x.relnamespace
WHERE n.nspname = %(schema)s AND x.relname = ANY (%(names)s);

-- name: partition_columns
-- The columns that the hypertable is cut by, as they stand in an index's definition. By names: a cast to regclass fails for a schema that
-- this role may not look into.
SELECT quote_ident(d.column_name) FROM timescaledb_information.dimensions d
JOIN pg_namespace n ON n.nspname = d.hypertable_schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = d.hypertable_name
WHERE c.oid = %(root)s::oid ORDER BY d.dimension_number;

-- name: compressed
-- How many of the root's chunks are compressed.
SELECT count(*)::int FROM timescaledb_information.chunks k
JOIN pg_namespace n ON n.nspname = k.hypertable_schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = k.hypertable_name
WHERE k.is_compressed AND c.oid = %(root)s::oid;

-- name: builders
-- Sessions that are building the index now: they hold it, or have it in pg_stat_progress_create_index.
SELECT DISTINCT p.pid FROM pg_stat_progress_create_index p
WHERE p.datname = current_database() AND p.pid <> pg_backend_pid()
  AND (p.relid = %(root)s::oid OR p.relid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %(root)s::oid))
  AND p.index_relid = ANY (%(indexes)s::oid[])
UNION
SELECT l.pid FROM pg_locks l
WHERE l.relation = ANY (%(indexes)s::oid[]) AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND NOT EXISTS (SELECT FROM pg_locks r WHERE r.pid = l.pid AND r.relation = %(root)s::oid
                  AND r.database = l.database);

-- name: long_writers
-- Sessions whose transaction has held a lock on the root or a chunk that keeps an index build waiting for more than
-- so many seconds. An autovacuum gives way by itself.
SELECT DISTINCT a.pid, a.usename::text, a.application_name, a.state,
       EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8, a.query
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.granted AND a.pid <> pg_backend_pid()
  AND (l.relation = %(root)s::oid OR l.relation IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %(root)s::oid))
  AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareLock')
  AND COALESCE(a.backend_type, '') <> 'autovacuum worker'
  AND clock_timestamp() - a.xact_start > make_interval(secs => %(seconds)s)
ORDER BY 5 DESC;

-- name: our_wait
-- What our building session waits for now: the relation, for how many seconds.
SELECT l.relation::bigint, COALESCE(EXTRACT(epoch FROM clock_timestamp() - l.waitstart), 0)::float8
FROM pg_locks l WHERE l.pid = %(pid)s AND NOT l.granted AND l.locktype = 'relation';

-- name: waits_behind
-- For how many seconds somebody has been waiting behind our building session; NULL: nobody.
SELECT max(EXTRACT(epoch FROM clock_timestamp() - l.waitstart))::float8
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND COALESCE(a.backend_type, '') <> 'autovacuum worker' AND %(pid)s = ANY (pg_blocking_pids(l.pid));

-- name: try_work
-- Ours alone while this session lives: no second hyperferry builds on the same hypertable.
SELECT pg_try_advisory_lock(hashtextextended('hyperferry upkeep', %(root)s));

-- name: end_work
-- Lets others build.
SELECT pg_advisory_unlock(hashtextextended('hyperferry upkeep', %(root)s));
