-- name: tables
-- Those of the tables whose name means none any more, and what they are called now (NULL: they are gone).
SELECT given.name, c.oid::pg_catalog.regclass::text
FROM ROWS FROM (pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(oids)s::bigint[])) AS given(name, oid)
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = given.oid::pg_catalog.oid
WHERE pg_catalog.to_regclass(given.name) IS NULL;

-- name: publications
-- Those of the names that mean no publication any more.
SELECT name FROM pg_catalog.unnest(%(names)s::text[]) AS name
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_publication AS p WHERE p.pubname = name);
