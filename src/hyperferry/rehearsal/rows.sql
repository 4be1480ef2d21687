-- name: foreign_keys
-- The table's foreign keys with the columns that they refer to.
SELECT k.conname::text AS name, k.confrelid::bigint AS parent, pn.nspname::text AS schema, p.relname::text AS table,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(number, position)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.position) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(number, position)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.position) AS referenced
FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.conrelid = %(oid)s AND k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conname;

-- name: checks
-- What restricts a column's values: the table's checks that name it, and its domain's. In their text stand values that they allow.
SELECT a.attname::text, k.conname::text, pg_get_constraintdef(k.oid)
FROM pg_attribute a
JOIN pg_constraint k ON k.contype = 'c' AND ((k.conrelid = a.attrelid AND a.attnum = ANY (k.conkey)) OR k.contypid = a.atttypid)
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY 1, 2;

-- name: parent_row
-- Whether a relation has a row.
SELECT EXISTS (SELECT FROM {table});

-- name: uuid_maker
-- The function that makes a version 7 UUID of a time, if there is one.
SELECT p.oid::regproc::text FROM pg_proc p
WHERE p.proname = 'to_uuidv7' AND p.pronargs = 1 AND p.proargtypes[0] = 'timestamptz'::regtype LIMIT 1;
