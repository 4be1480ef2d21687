-- name: rows_up_to
-- How many rows the table has, counted no further than one above the limit.
SELECT count(*) FROM (SELECT FROM {table} LIMIT {limit} + 1) AS counted

-- name: count_rows
-- How many rows the table has.
SELECT count(*) FROM {table}

-- name: same_table
-- Whether the name still means the table of that OID.
SELECT pg_catalog.to_regclass(%(table)s)::oid::bigint = %(oid)s

-- name: chunks
-- How many chunks the hypertable has.
SELECT count(*) FROM timescaledb_information.chunks
WHERE hypertable_schema = %(schema)s AND hypertable_name = %(name)s
