-- name: tables
-- Those of the names that mean no table any more.
SELECT name FROM pg_catalog.unnest(%(names)s::text[]) AS name WHERE pg_catalog.to_regclass(name) IS NULL;

-- name: publications
-- Those of the names that mean no publication any more.
SELECT name FROM pg_catalog.unnest(%(names)s::text[]) AS name
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_publication AS p WHERE p.pubname = name);
