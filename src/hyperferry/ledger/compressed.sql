-- name: chunks
-- The hypertable's chunks with their ranges in the time column's own type (NULL where an end lies beyond it), as rows of a FROM item.
(SELECT c.oid, n.nspname AS schema, c.relname AS name, v.{start} AS starts, v.{end} AS ends, {low} AS low, {high} AS high,
        v.is_compressed AS compressed{status}
 FROM timescaledb_information.chunks v
 JOIN pg_namespace n ON n.nspname = v.chunk_schema
 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = v.chunk_name
 WHERE (v.hypertable_schema, v.hypertable_name) = (
     SELECT hn.nspname, h.relname FROM pg_class h JOIN pg_namespace hn ON hn.oid = h.relnamespace WHERE h.oid = {oid}))

-- name: status
-- TimescaleDB's note on a chunk as it is now; an error where it was dropped since.
, _timescaledb_functions.chunk_status(c.oid::regclass) AS status

-- name: below
-- The end of the newest chunk that is compressed, as text; an end that lies beyond the type is that of the chunk's beginning.
SELECT COALESCE(k.high, k.low)::text FROM {chunks} AS k WHERE k.compressed ORDER BY k.starts DESC LIMIT 1;

-- name: as_integer
-- An end of a range in the time column's type.
CASE WHEN {value} BETWEEN {least} AND {most} THEN {value} END

-- name: as_timestamptz
-- The same.
{value}

-- name: as_timestamp
-- The same.
({value} AT TIME ZONE 'UTC')

-- name: as_date
-- The same; a chunk's ends lie at midnight.
({value} AT TIME ZONE 'UTC')::date

-- name: as_uuid
-- The same: the least UUIDv7 of that millisecond.
(CASE WHEN NOT isfinite({value}) THEN NULL
      ELSE regexp_replace(lpad(to_hex((extract(epoch FROM {value}) * 1000)::bigint), 12, '0'), '(.{{8}})(.{{4}})', '\1-\2-0000-0000-000000000000')::uuid END)
