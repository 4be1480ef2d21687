-- name: closed
-- Uncompressed chunks, oldest first, that are old enough and in whose range no batch is pending.
SELECT k.oid::bigint, k.schema, k.name, k.low::text, k.high::text FROM {chunks} AS k
WHERE k.status = 0 AND {old} AND NOT EXISTS (SELECT FROM {batch} AS b WHERE b.state = 'pending' AND {covered})
ORDER BY k.starts;

-- name: old_by_now
-- A chunk's time is over, by so many microseconds.
k.ends <= now() - {after} * interval '1 microsecond'

-- name: old_by_greatest
-- A chunk ends so far behind the table's greatest time.
k.ends <= (SELECT max(s.{time}) FROM {source} AS s) - {after}

-- name: covered_by_time
-- A batch and a chunk overlap.
(b.lo_t IS NULL OR k.high IS NULL OR b.lo_t < k.high) AND (b.hi_t IS NULL OR k.low IS NULL OR b.hi_t > k.low)

-- name: partial
-- Compressed chunks that have rows beside the compressed ones, oldest first.
SELECT k.oid::bigint, k.schema, k.name, k.low::text, k.high::text FROM {chunks} AS k
WHERE k.status & 1 = 1 AND k.status & {beside} <> 0 ORDER BY k.starts;

-- name: cuts
-- Where batches begin within a chunk, in order.
SELECT b.lo_t::text FROM {batch} AS b
WHERE b.lo_t IS NOT NULL AND ({low}::text IS NULL OR b.lo_t > {low}::{kind}) AND ({high}::text IS NULL OR b.lo_t < {high}::{kind}) ORDER BY b.lo_t;

-- name: forget_excused
-- What a comparison of one chunk excused is nobody's to look at again: the verification of everything looks itself.
DELETE FROM {excused} WHERE verification_started = %(started)s;

-- name: status
-- What a chunk is now (NULL: it is gone).
SELECT CASE WHEN to_regclass({name})::oid = {oid} THEN _timescaledb_functions.chunk_status({oid}::regclass) END;

-- name: sums
-- Count and sum of the image hashes of a chunk's rows.
SELECT count(*), COALESCE(sum({hash}), 0) FROM {chunk} AS t;

-- name: bytes
-- A chunk on disk, with its indexes and TOAST, and with the table that holds its compressed rows.
SELECT pg_total_relation_size({oid}::regclass)
       + COALESCE((SELECT pg_total_relation_size(s.compress_relid) FROM _timescaledb_catalog.compression_settings s
                   WHERE s.relid = {oid}::regclass AND s.compress_relid IS NOT NULL), 0);

-- name: compress
-- Compresses a chunk, or what stands beside its compressed rows.
SELECT {schema}.compress_chunk({oid}::regclass, if_not_compressed => true);

-- name: totals
-- How many chunks there are, how many of them are compressed or in part, and what these took on disk before and take now.
SELECT count(*), count(*) FILTER (WHERE k.status & 1 = 1), count(*) FILTER (WHERE k.status & 1 = 1 AND k.status & {beside} <> 0),
       COALESCE(sum(e.before) FILTER (WHERE k.status & 1 = 1), 0)::bigint, COALESCE(sum(e.after) FILTER (WHERE k.status & 1 = 1), 0)::bigint
FROM {chunks} AS k LEFT JOIN {compressed} AS e ON e.chunk = k.schema || '.' || k.name;

-- name: each
-- The compressed chunks, oldest first: name, range, bytes before and after.
SELECT e.chunk, k.low::text, k.high::text, e.before, e.after
FROM {chunks} AS k JOIN {compressed} AS e ON e.chunk = k.schema || '.' || k.name WHERE k.status & 1 = 1 ORDER BY k.starts;

-- name: compressed
-- What the ledger noted of each chunk when it was last compressed, as a FROM item; a chunk's first size is what it took before.
(SELECT DISTINCT ON (v.chunk) v.chunk, first_value(v.before) OVER w AS before, v.after
 FROM (SELECT e.id, e.detail ->> 'chunk' AS chunk, (e.detail ->> 'before')::bigint AS before, (e.detail ->> 'after')::bigint AS after
       FROM hyperferry.event AS e WHERE e.rollout_id = {rollout} AND e.kind = 'compressed') AS v
 WINDOW w AS (PARTITION BY v.chunk ORDER BY v.id) ORDER BY v.chunk, v.id DESC)
