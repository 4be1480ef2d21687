-- name: make
-- Inserts a source row of each of the times; gives the chunk that it went into, and the pair.
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values} FROM unnest(%(firsts)s::text[]) AS f(first)
CROSS JOIN LATERAL (SELECT s.* FROM {source} AS s WHERE {t} = f.first::{kind} LIMIT 1) AS s
RETURNING tableoid::regclass::text, {pair};
