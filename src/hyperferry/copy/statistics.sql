-- name: chunks
-- The hypertable's chunks, the largest first.
SELECT n.nspname, c.relname
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE i.inhparent = %(oid)s::bigint::oid
ORDER BY pg_catalog.pg_relation_size(c.oid) DESC, c.oid;

-- name: fresh
-- Whether an autovacuum has analyzed the chunk since it was filled; one with an index on an expression may lack that index's statistics.
SELECT COALESCE((
    SELECT COALESCE(s.last_analyze, s.last_autoanalyze) IS NOT NULL AND s.n_mod_since_analyze <= 0.1 * s.n_live_tup
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = s.relid AND i.indexprs IS NOT NULL)
    FROM pg_catalog.pg_stat_all_tables AS s
    WHERE s.relid = pg_catalog.to_regclass(%(chunk)s)), false);
