-- name: record
-- Chunks that are not known yet.
INSERT INTO {known} (chunk, low, high)
SELECT p.chunk, p.low, p.high FROM ({present}) AS p
WHERE NOT EXISTS (SELECT FROM {known} AS k WHERE k.chunk = p.chunk) AND {which}
ON CONFLICT (chunk) DO NOTHING;

-- name: attached
-- Children of the hypertable that were tables of their own before: columns of a chunk that TimescaleDB made are inherited alone. Of rows that
-- came in with such a table no trigger knows.
SELECT pg_catalog.concat(n.nspname, '.', c.relname) AS chunk FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE i.inhparent = {oid} AND EXISTS (
    SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attislocal)

-- name: not_attached
-- Of present chunks those that TimescaleDB made.
p.chunk NOT IN (SELECT x.chunk FROM ({attached}) AS x)

-- name: present
-- The ranges of the hypertable's chunks now.
SELECT concat(v.chunk_schema, '.', v.chunk_name) AS chunk, v.{start} AS low, v.{end} AS high
FROM timescaledb_information.chunks v
WHERE (v.hypertable_schema, v.hypertable_name) = (
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = {oid})

-- name: children
-- How many chunks the hypertable has.
SELECT count(*) FROM pg_catalog.pg_inherits WHERE inhparent = {oid};
