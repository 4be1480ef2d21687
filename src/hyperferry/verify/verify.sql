-- name: start
-- What a verification must know before its first snapshot: the time, the rollout's epoch, the newest verification so far.
SELECT clock_timestamp(), r.epoch,
       COALESCE((SELECT max(v.id) FROM hyperferry.verification AS v WHERE v.rollout_id = r.id), 0)
FROM hyperferry.rollout AS r WHERE r.id = %(id)s;

-- name: newer_verification
-- Whether another verification of the rollout was recorded since.
SELECT EXISTS (SELECT FROM hyperferry.verification AS v WHERE v.rollout_id = %(id)s AND v.id > %(newest)s);

-- name: forget_excused
-- The excused pairs of this verification replace those of earlier ones.
DELETE FROM {excused} WHERE verification_started < %(started)s;

-- name: lock_excused
-- Two verifications must not record themselves at once.
LOCK TABLE {excused} IN SHARE ROW EXCLUSIVE MODE;

-- name: quarantined
-- Pairs of this direction that the other side cannot take.
SELECT count(*) FROM {quarantine} WHERE direction = %(direction)s;

-- name: next_cut
-- Where the next range begins: so many rows further along the index.
SELECT {texts} FROM {table} AS s WHERE {behind} ORDER BY {columns} OFFSET %(rows)s LIMIT 1;

-- name: rows
-- The rows of a table by its statistics; -1 where there are none.
SELECT reltuples::bigint FROM pg_class WHERE oid = %(oid)s;

-- name: sampled_cuts
-- Cuts from a sample of the table's pages: so many sampled rows apart.
SELECT {texts} FROM (
    SELECT {columns}, row_number() OVER (ORDER BY {columns}) AS "hyperferry's place"
    FROM {table} AS s TABLESAMPLE system (%(percent)s) WHERE {known}
) AS s
WHERE s."hyperferry's place" %% %(every)s = 0 ORDER BY {columns};

-- name: pending_truncation
-- A TRUNCATE whose effect has not reached the other side: no pair stands in the log for what it removed.
SELECT EXISTS (SELECT FROM {log} WHERE op = 'T');

-- name: sums
-- Count and sum of the image hashes of one range on one side, and the count of rows in ranges recorded as dropped.
SELECT /* hyperferry */ count(*){kept}, COALESCE(sum({hash}){kept}, 0), {dropped} FROM {table} AS {row} WHERE {within};

-- name: backlog_groups
-- The pairs of one range that stand in the backlog, by the chunk in which their time lies: least and greatest time, their number, and that of the
-- chunk's width.
SELECT (array_agg(x.t ORDER BY x.t))[1]::text, (array_agg(x.t ORDER BY x.t DESC))[1]::text, count(*), floor({bucket})::numeric
FROM {log} AS x WHERE x.op <> 'T' AND {within} GROUP BY x.t IS NULL, floor({bucket}) ORDER BY 1;

-- name: settle_backlog
-- One group of them: by how much their rows differ between the sides, in number and in hash; those that differ are kept as excused.
WITH pairs AS MATERIALIZED (SELECT DISTINCT {columns_l} FROM {log} AS l WHERE l.op <> 'T' AND {within} AND {group}),
looked AS MATERIALIZED (
    SELECT {columns_e}, s.n AS sn, t.n AS tn, s.h AS sh, t.h AS th
    FROM pairs AS e CROSS JOIN LATERAL ({of_source}) AS s CROSS JOIN LATERAL ({of_target}) AS t
), kept AS (INSERT INTO {excused} (verification_started, {columns})
            SELECT %(started)s, {columns} FROM looked WHERE sn <> tn OR sh <> th RETURNING 1)
SELECT COALESCE(sum(sn - tn), 0), COALESCE(sum(sh - th), 0), (SELECT count(*) FROM kept) FROM looked;

-- name: differing
-- The pairs of one range whose rows' images differ, those apart that only the target has where chunks were dropped; `logged` where the
-- pair stands in the backlog of this snapshot.
SELECT {columns}, count(*) FILTER (WHERE side = 's') AS sn, count(*) FILTER (WHERE side = 't') AS tn, bool_or(side = 'l') AS logged
FROM (SELECT {s_pair}, 's' AS side, {s_hash} AS image, false AS dropped FROM {source} AS s WHERE {s_range}
      UNION ALL
      SELECT {t_pair}, 't', {t_hash}, {t_dropped} FROM {target} AS t WHERE {t_range}
      UNION ALL
      SELECT {l_pair}, 'l', NULL, false FROM {log} AS l WHERE l.op <> 'T' AND {l_range}) AS sides
GROUP BY {columns}
HAVING (count(*) FILTER (WHERE side = 's') > 0 OR NOT bool_or(dropped)) AND (
    count(*) FILTER (WHERE side = 's') <> count(*) FILTER (WHERE side = 't')
    OR sum(image) FILTER (WHERE side = 's') IS DISTINCT FROM sum(image) FILTER (WHERE side = 't'));

-- name: drill
-- Keeps the excused pairs of a range; returns their number, the number of the others, and the first of these.
WITH differing AS MATERIALIZED ({differing}),
kept AS (INSERT INTO {excused} (verification_started, {columns}) SELECT %(started)s, {columns} FROM differing WHERE logged RETURNING 1)
SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM differing WHERE NOT logged),
       (SELECT jsonb_agg(jsonb_build_array({pair}, d.sn, d.tn))
        FROM (SELECT * FROM differing WHERE NOT logged ORDER BY {order} LIMIT %(limit)s) AS d);

-- name: repair
-- Puts the differing pairs of a range into the backlog, to be applied by state; returns their number.
WITH differing AS MATERIALIZED ({differing}),
put AS (INSERT INTO {log} (op, {columns}) SELECT 'R', {columns} FROM differing WHERE NOT logged RETURNING 1)
SELECT count(*) FROM put;

-- name: repair_proved
-- The same for pairs that were excused at first and then found to differ.
WITH put AS (INSERT INTO {log} (op, {columns}) SELECT 'R', {columns} FROM {excused} WHERE verification_started = '-infinity' RETURNING 1)
SELECT count(*) FROM put;

-- name: excused_count
-- How many pairs of this verification are excused.
SELECT count(*) FROM {excused} WHERE verification_started = %(started)s;

-- name: excused_by_others
-- How many pairs were excused by other verifications than this recorded one: they were interrupted before they could forget any.
SELECT count(*) FROM {excused}
WHERE verification_started IS DISTINCT FROM (SELECT v.started_at FROM hyperferry.verification AS v WHERE v.id = %(id)s);

-- name: look_at_pairs
-- Both sides of given pairs, found by index.
SELECT {columns_e}, e.place, s.n AS sn, t.n AS tn, s.n <> t.n OR s.h <> t.h AS differs
FROM {pairs} AS e CROSS JOIN LATERAL ({of_source}) AS s CROSS JOIN LATERAL ({of_target}) AS t
WHERE {which};

-- name: of_pair
-- Count and sum of the image hashes of one pair's rows.
SELECT count(*) AS n, COALESCE(sum({hash}), 0) AS h FROM {table} AS {row} WHERE {matches};

-- name: excused_groups
-- The same of excused pairs; the least and the greatest time are NULL for those without one.
SELECT (array_agg(x.t ORDER BY x.t))[1]::text, (array_agg(x.t ORDER BY x.t DESC))[1]::text, count(*), floor({bucket})::numeric
FROM {excused} AS x{which} GROUP BY x.t IS NULL, floor({bucket}) ORDER BY 1;

-- name: look_again
-- The next excused pairs: those that are equal now go; those that differ without standing in the backlog are marked (-infinity) and returned.
WITH slice AS MATERIALIZED (
    SELECT x.ctid AS place, {columns} FROM {excused} AS x
    WHERE x.verification_started = %(started)s AND x.ctid > %(after)s::tid AND {within} ORDER BY x.ctid LIMIT %(slice)s
), looked AS MATERIALIZED ({looks}),
judged AS MATERIALIZED (SELECT d.*, CASE WHEN d.differs THEN {logged} ELSE false END AS logged FROM looked AS d),
settled AS (DELETE FROM {excused} AS x USING judged AS d WHERE x.ctid = d.place AND NOT d.differs),
proved AS (UPDATE {excused} AS x SET verification_started = '-infinity' FROM judged AS d WHERE x.ctid = d.place AND d.differs AND NOT d.logged)
SELECT (SELECT max(place)::text FROM slice), (SELECT count(*) FROM judged WHERE differs AND NOT logged),
       (SELECT jsonb_agg(jsonb_build_array({pair}, d.sn, d.tn))
        FROM (SELECT * FROM judged WHERE differs AND NOT logged ORDER BY {order} LIMIT %(limit)s) AS d);

-- name: unequal
-- Excused pairs whose rows differ.
EXISTS (SELECT FROM {pairs} AS e CROSS JOIN LATERAL ({of_source}) AS s CROSS JOIN LATERAL ({of_target}) AS t
        WHERE {which} AND (s.n <> t.n OR s.h <> t.h));

-- name: groups
-- Count, and sums of the numeric columns, for each group of one range on both sides.
SELECT g, count(*) FILTER (WHERE side = 's'), count(*) FILTER (WHERE side = 't'){sums}
FROM (SELECT {s_group} AS g, 's' AS side{s_values} FROM {source} AS s WHERE {s_range} AND NOT {s_dropped}{s_settled}
      UNION ALL
      SELECT {t_group}, 't'{t_values} FROM {target} AS t WHERE {t_range} AND NOT {t_dropped}{t_settled}) AS sides
GROUP BY g LIMIT %(limit)s;
