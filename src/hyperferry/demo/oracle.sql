-- The demo's own comparison.

-- name: other_table
-- The schema of the table of the same name that is not the application's: the hypertable being built, or the old table.
SELECT n.nspname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = 'player_stats' AND c.relkind = 'r' AND n.nspname LIKE 'hyperferry\_%';

-- name: except_all
-- How many rows, as text, the one table has and the other has not, duplicates counted.
SELECT count(*) FROM (SELECT t::text FROM {one} AS t EXCEPT ALL SELECT t::text FROM {other} AS t) AS difference;

-- name: expected
-- What the writers say of the rows that they mind.
CREATE TEMPORARY TABLE expected (id bigint NOT NULL, value numeric, game_date timestamptz) ON COMMIT DROP;

-- name: wrong
-- Those that are not so: absent, doubled, different, or there although they were deleted.
SELECT format('row %s was to be (%s, %s) and is %s', e.id, e.value, e.game_date,
              COALESCE(string_agg(format('(%s, %s)', t.value, t.game_date), ' and '), 'not there'))
FROM pg_temp.expected e LEFT JOIN public.player_stats t ON t.id = e.id
GROUP BY e.id, e.value, e.game_date
HAVING count(t.id) <> CASE WHEN e.game_date IS NULL THEN 0 ELSE 1 END
    OR bool_or(t.value::text <> e.value::text OR t.game_date <> e.game_date);
