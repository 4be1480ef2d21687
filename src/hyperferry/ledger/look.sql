-- name: look
-- What two tables are now, by name: OID, a digest of the columns, and our triggers with the row version in pg_trigger.
SELECT n.name, c.oid::bigint,
       (SELECT md5(string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, a.attgenerated, a.attidentity), ';' ORDER BY a.attnum))
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT COALESCE(jsonb_object_agg(t.tgname, concat_ws(':', t.tgenabled, t.xmin, t.tgfoid::bigint)), '{}')
        FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgname LIKE 'hyperferry\_%%')
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS n(name, place)
LEFT JOIN pg_class c ON c.oid = to_regclass(n.name)
ORDER BY n.place;

-- name: expectations
-- What the ledger expects of the rollout's tables.
SELECT table_oid::bigint, columns, triggers FROM hyperferry.expectation WHERE rollout_id = %(rollout)s;

-- name: expect
-- Records what a table is now as what it is expected to be.
INSERT INTO hyperferry.expectation (rollout_id, table_oid, columns, triggers)
VALUES (%(rollout)s, %(oid)s, %(columns)s, %(triggers)s)
ON CONFLICT (rollout_id, table_oid) DO UPDATE SET columns = excluded.columns, triggers = excluded.triggers;
