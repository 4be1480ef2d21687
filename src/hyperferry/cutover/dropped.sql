-- name: forget
-- All that was known of the chunks.
DELETE FROM {known};

-- name: forget_dropped
-- What was dropped in an earlier cutover.
DELETE FROM {known} WHERE dropped_at IS NOT NULL;

-- name: unproved
-- Whether a table was attached as a chunk since the last verification.
EXISTS (SELECT FROM ({attached}) AS p WHERE p.chunk NOT IN (SELECT k.chunk FROM {known} AS k));

-- name: gone
-- Known chunks that are no more. One that was merged into another lies within a chunk that was known before; one that was dropped may
-- lie within a new one, made by rows that came later. Names of chunks are not used twice. TRUNCATE drops the chunks as well, and is in
-- the log: until it is applied nothing is taken for dropped, and then nothing of before counts any more (apply, barrier).
k.dropped_at IS NULL AND NOT EXISTS (SELECT FROM {log} WHERE op = 'T') AND CASE WHEN k.chunk IN (SELECT p.chunk FROM ({present}) AS p) THEN false ELSE NOT EXISTS (
    SELECT FROM ({present}) AS p JOIN {known} AS o ON o.chunk = p.chunk WHERE p.low < k.high AND p.high > k.low) END

-- name: mark
-- Notes newly dropped ranges and returns them.
UPDATE {known} AS k SET dropped_at = clock_timestamp() WHERE {gone} RETURNING {low_text}, {high_text};

-- name: dropped
-- Every range dropped so far, noted or not.
SELECT {low_text}, {high_text} FROM {known} AS k WHERE k.dropped_at IS NOT NULL OR ({gone}) ORDER BY k.low;

-- name: unnoticed
-- Whether a chunk is gone that is not noted as dropped.
EXISTS (SELECT FROM {known} AS k WHERE {gone});

-- name: missing
-- Whether a known chunk is no child of the hypertable's any more.
EXISTS (SELECT FROM {known} AS k WHERE k.dropped_at IS NULL AND k.chunk NOT IN (
    SELECT pg_catalog.concat(n.nspname, '.', c.relname) FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE i.inhparent = {oid}));

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

-- name: rows_left
-- Rows of the dropped ranges that old still has and the hypertable has not, and of which no change waits in the log.
SELECT count(*)
FROM (SELECT {pair} FROM {old} AS o WHERE {within}) AS p
WHERE NOT EXISTS (SELECT FROM {hypertable} AS s WHERE {match})
    AND NOT EXISTS (SELECT FROM {log} AS l WHERE l.op = 'T' OR {waiting});
