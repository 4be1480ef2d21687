-- name: make
-- Inserts the source row of each of the times, or keys; gives the chunk that it went into, and the pair.
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values} FROM unnest({texts}) AS f({names})
CROSS JOIN LATERAL (SELECT s.* FROM {source} AS s WHERE {same} LIMIT 1) AS s
RETURNING tableoid::regclass::text, {pair};
