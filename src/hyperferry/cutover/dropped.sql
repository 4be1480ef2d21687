-- name: forget
-- All that was known of the chunks.
DELETE FROM {known};

-- name: forget_dropped
-- What was dropped in an earlier cutover.
DELETE FROM {known} WHERE dropped_at IS NOT NULL;

-- name: unproved
-- Whether a table was attached as a chunk since the last verification.
EXISTS (SELECT FROM ({attached}) AS p WHERE p.chunk NOT IN (SELECT k.chunk FROM {known} AS k));

-- name: dropped
-- Every range dropped so far, noted or not.
SELECT {low_text}, {high_text} FROM {known} AS k WHERE k.dropped_at IS NOT NULL OR ({gone}) ORDER BY k.low;

-- name: unnoticed
-- Whether a chunk is gone that is not noted as dropped.
EXISTS (SELECT FROM {known} AS k WHERE {gone});

-- name: noted
-- A text that is another one once other chunks are noted as dropped.
(SELECT pg_catalog.concat(count(*), ' ', pg_catalog.sum(pg_catalog.hashtextextended(k.chunk, 0))) FROM {known} AS k WHERE k.dropped_at IS NOT NULL);

-- name: missing
-- Whether a known chunk is no child of the hypertable's any more.
EXISTS (SELECT FROM {known} AS k WHERE k.dropped_at IS NULL AND k.chunk NOT IN (
    SELECT pg_catalog.concat(n.nspname, '.', c.relname) FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE i.inhparent = {oid}));

-- name: rows_left
-- Rows of the dropped ranges that old still has and the hypertable has not, and of which no change waits in the log.
SELECT count(*)
FROM (SELECT {pair} FROM {old} AS o WHERE {within}) AS p
WHERE NOT EXISTS (SELECT FROM {hypertable} AS s WHERE {match})
    AND NOT EXISTS (SELECT FROM {log} AS l WHERE l.op = 'T' OR {waiting});
