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

-- name: set
-- A text that is another one once the hypertable has other chunks, at the transaction's snapshot.
SELECT pg_catalog.concat(count(*), ' ', pg_catalog.sum(pg_catalog.hashoidextended(inhrelid, 0))) FROM pg_catalog.pg_inherits WHERE inhparent = {oid};

-- name: gone
-- Known chunks that are no more. One that was merged into another lies within a chunk that was known before; one that was dropped may
-- lie within a new one, made by rows that came later. Names of chunks are not used twice. TRUNCATE drops the chunks as well, and is in
-- the log: until it is applied nothing is taken for dropped, and then nothing of before counts any more (apply, barrier).
k.dropped_at IS NULL AND NOT EXISTS (SELECT FROM {log} WHERE op = 'T') AND CASE WHEN k.chunk IN (SELECT p.chunk FROM ({present}) AS p) THEN false ELSE NOT EXISTS (
    SELECT FROM ({present}) AS p JOIN {known} AS o ON o.chunk = p.chunk WHERE p.low < k.high AND p.high > k.low) END

-- name: mark
-- Notes newly dropped ranges and returns them.
UPDATE {known} AS k SET dropped_at = clock_timestamp() WHERE {gone} RETURNING {low_text}, {high_text};

-- name: text_integer
-- An end of a range as text of the time column's type.
{value}::text;

-- name: text_timestamptz
-- The same.
{value}::text;

-- name: text_timestamp
-- The same.
({value} AT TIME ZONE 'UTC')::text;

-- name: text_date
-- The same; a chunk's ends lie at midnight.
({value} AT TIME ZONE 'UTC')::date::text;

-- name: text_uuid
-- The same: the least UUIDv7 of that millisecond.
CASE WHEN NOT isfinite({value}) THEN CASE WHEN {value} < now() THEN '00000000-0000-0000-0000-000000000000' ELSE 'ffffffff-ffff-ffff-ffff-ffffffffffff' END
     ELSE regexp_replace(lpad(to_hex((extract(epoch FROM {value}) * 1000)::bigint), 12, '0'), '(.{{8}})(.{{4}})', '\1-\2-0000-0000-000000000000') END;
