-- The flag's setting in the database, which every role may read.

-- name: make
-- The schema and the table, for the first who sets anything.
CREATE SCHEMA IF NOT EXISTS hyperferry_flag;
GRANT USAGE ON SCHEMA hyperferry_flag TO PUBLIC;
CREATE TABLE IF NOT EXISTS hyperferry_flag.setting (
    name text NOT NULL,
    role text NOT NULL DEFAULT '',  -- '' for everybody
    share numeric(5, 2) NOT NULL CHECK (share BETWEEN 0 AND 100),
    set_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    set_by text NOT NULL DEFAULT session_user,
    PRIMARY KEY (name, role)
);
GRANT SELECT ON hyperferry_flag.setting TO PUBLIC;

-- name: exists
-- Whether anything was ever set.
SELECT pg_catalog.to_regclass('hyperferry_flag.setting') IS NOT NULL;

-- name: put
-- What is set for the role, or anew.
INSERT INTO hyperferry_flag.setting AS s (name, role, share) VALUES (%(name)s, %(role)s, %(share)s)
ON CONFLICT (name, role) DO UPDATE SET share = excluded.share, set_at = excluded.set_at, set_by = excluded.set_by;

-- name: take
-- Nothing is set for the role any more.
DELETE FROM hyperferry_flag.setting WHERE name = %(name)s AND role = %(role)s;

-- name: all
-- What is set, for everybody first.
SELECT name, role, share::float8, set_at, set_by FROM hyperferry_flag.setting WHERE name = %(name)s ORDER BY role;

-- name: is_role
-- Whether there is such a role.
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = %(role)s);
