-- name: parse
-- The parts of a name as SQL reads it: unquoted ones folded to lower case.
SELECT parse_ident(%(text)s);

-- name: search_path
-- The schemas in which the session's user would look for a name; our own search_path is pinned, so the reset value counts.
SELECT set_config('search_path', reset_val, true)
FROM pg_settings WHERE name = 'search_path';

-- name: schemas
-- The existing schemas of the search_path in force, in order. The one statement that runs under a path of the user's: all is qualified.
SELECT pg_catalog.current_schemas(false)::pg_catalog.text[];

-- name: find
-- The relation of that schema and name.
SELECT c.oid::bigint, n.nspname::text, c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s;

-- name: name_of
-- What a relation is called now; no row where there is none.
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s::bigint::oid;

-- name: near
-- Relations that may have been meant: of the same name in other schemas or another case first, then those that share most of it.
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname NOT LIKE '\_timescaledb%%' AND n.nspname NOT LIKE 'timescaledb\_%%' AND n.nspname NOT LIKE 'hyperferry%%'
  AND (lower(c.relname) = lower(%(name)s) OR lower(n.nspname || '.' || c.relname) = lower(%(text)s)
       OR strpos(lower(c.relname), lower(%(name)s)) > 0 OR strpos(lower(%(name)s), lower(c.relname)) > 0
       OR left(lower(c.relname), 4) = left(lower(%(name)s), 4))
ORDER BY lower(c.relname) = lower(%(name)s) DESC, lower(n.nspname || '.' || c.relname) = lower(%(text)s) DESC,
         strpos(lower(c.relname), lower(%(name)s)) > 0 DESC, abs(length(c.relname) - length(%(name)s)), n.nspname, c.relname
LIMIT 5;
