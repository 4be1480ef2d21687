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

-- name: may_rewrite
-- Whether chunks can be compressed, opened, merged or split here at all: not in the Apache edition.
SELECT COALESCE(current_setting('timescaledb.license', true), 'apache') <> 'apache';

-- name: chunk_versions
-- The hypertable's chunks as they are: whether any is compressed, the row versions of TimescaleDB's own notes on each, their files.
SELECT COALESCE(bool_or(k.status & 1 = 1), false), COALESCE(jsonb_object_agg(k.id, k.xmin::text), '{{}}'),
       (SELECT COALESCE(jsonb_object_agg(f.oid, f.relfilenode), '{{}}')
        FROM pg_inherits i JOIN pg_class f ON f.oid = i.inhrelid WHERE i.inhparent = {oid} AND f.relkind = 'r')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN _timescaledb_catalog.hypertable h ON h.schema_name = n.nspname AND h.table_name = c.relname
JOIN _timescaledb_catalog.chunk k ON k.hypertable_id = h.id
WHERE c.oid = {oid};

-- name: rewritten
-- Whether a chunk that this snapshot knows has got another file since, or is gone: pg_class is read by the snapshot, pg_relation_filenode by
-- what is so now.
SELECT EXISTS (
    SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = {oid} AND c.relkind = 'r' AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)::oid);
