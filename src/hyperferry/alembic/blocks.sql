-- The bodies of the DO blocks that the operations run, online and in a script alike. What is in braces is put in as literals, so no name
-- can end a body. They know the state only when they run: that is what makes them safe to run twice.

-- name: target
-- What each of them begins with: the table, and the schema of TimescaleDB's functions.
    IF target IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = 'hyperferry: there is no table ' || {table};
    END IF;
    SELECT pg_catalog.quote_ident(n.nspname) INTO functions
    FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb';
    IF functions IS NULL THEN
        RAISE EXCEPTION USING MESSAGE = 'hyperferry: this database has no TimescaleDB',
            HINT = 'CREATE EXTENSION timescaledb; in a revision before this one, or by who may.';
    END IF;

-- name: is_hypertable
-- Whether the target is a hypertable, as a condition. By names: to_regclass fails for a schema that this role may not look into.
EXISTS (SELECT FROM timescaledb_information.hypertables AS h
        JOIN pg_catalog.pg_namespace AS hn ON hn.nspname = h.hypertable_schema
        JOIN pg_catalog.pg_class AS hc ON hc.relnamespace = hn.oid AND hc.relname = h.hypertable_name WHERE hc.oid = target)

-- name: is_aggregate
-- Whether the target is a continuous aggregate, as a condition. By names, as above.
EXISTS (SELECT FROM timescaledb_information.continuous_aggregates AS g
    JOIN pg_catalog.pg_namespace AS gn ON gn.nspname = g.view_schema
    JOIN pg_catalog.pg_class AS gc ON gc.relnamespace = gn.oid AND gc.relname = g.view_name WHERE gc.oid = target)

-- name: holder
-- The hypertable behind an aggregate.
        SELECT hc.oid INTO holder FROM timescaledb_information.continuous_aggregates AS g
        JOIN pg_catalog.pg_namespace AS gn ON gn.nspname = g.view_schema
        JOIN pg_catalog.pg_class AS gc ON gc.relnamespace = gn.oid AND gc.relname = g.view_name
        JOIN pg_catalog.pg_namespace AS hn ON hn.nspname = g.materialization_hypertable_schema
        JOIN pg_catalog.pg_class AS hc ON hc.relnamespace = hn.oid AND hc.relname = g.materialization_hypertable_name
        WHERE gc.oid = target;

-- name: community
-- Where the edition has no such thing: an error that says so, or nothing. It comes first, for an aggregate that was left out is not there.
    IF pg_catalog.current_setting('timescaledb.license', true) = 'apache' THEN
        IF {skip} THEN
            RAISE NOTICE USING MESSAGE = 'hyperferry: left out, for the Apache-2 edition of TimescaleDB has none: ' || {what};
            RETURN;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'hyperferry: the Apache-2 edition of TimescaleDB has none: ' || {what},
            HINT = 'Use the Community edition (timescaledb.license = timescale), or give the operation skip_on_apache=True.';
    END IF;

-- name: guard
-- A table of more rows is not rewritten within a migration, unless somebody who knows said so.
    IF NOT {forced}
        AND COALESCE(pg_catalog.current_setting({setting}, true), '') NOT IN ('1', 'on', 'true', 'yes') THEN
        IF pg_catalog.to_regclass('hyperferry_flag.setting') IS NOT NULL THEN
            EXECUTE 'SELECT EXISTS (SELECT FROM hyperferry_flag.setting WHERE name = $1 AND role = '''' AND share = 100)'
            INTO approved USING {flag};
        END IF;
        IF NOT approved AND pg_catalog.row_security_active(target) THEN
            RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
                MESSAGE = 'hyperferry: the rows of ' || target::text || ' cannot be counted, for row security may hide some from this role',
                HINT = 'Run this revision as a role with BYPASSRLS. ' || {hint};
        END IF;
        IF NOT approved THEN
            EXECUTE 'SELECT count(*) FROM (SELECT FROM ' || target::text || ' LIMIT ' || ({rows} + 1)::text || ') AS part' INTO many;
            IF many > {rows} THEN
                RAISE EXCEPTION USING
                    MESSAGE = 'hyperferry: ' || target::text || ' has more than ' || {rows}::text || ' rows; it would be blocked for as long as '
                        || 'they are rewritten',
                    HINT = {hint};
            END IF;
        END IF;
    END IF;

-- name: create_hypertable
-- A plain table becomes a hypertable in place, its key widened where that is wished for.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    waits text := pg_catalog.current_setting('lock_timeout');
    approved boolean := false;
    functions text;
    many bigint;
    cut_by text;
    key name;
    parts text[];
    back text[] := ARRAY[]::text[];
    after bigint;
    each record;
BEGIN
{target}
    IF {is_hypertable} THEN
        SELECT d.column_name INTO cut_by FROM timescaledb_information.dimensions AS d
        JOIN pg_catalog.pg_namespace AS dn ON dn.nspname = d.hypertable_schema
        JOIN pg_catalog.pg_class AS dc ON dc.relnamespace = dn.oid AND dc.relname = d.hypertable_name
        WHERE d.dimension_number = 1 AND dc.oid = target;
        IF cut_by <> {time} THEN
            RAISE EXCEPTION USING MESSAGE = 'hyperferry: ' || target::text || ' is a hypertable by ' || cut_by || ' already, not by ' || {time};
        END IF;
        RETURN;
    END IF;
{guard}
    PERFORM pg_catalog.set_config('lock_timeout', {lock_timeout}, true);
    EXECUTE 'LOCK TABLE ' || target::text || ' IN ACCESS EXCLUSIVE MODE';
    IF {widen} THEN
        SELECT c.conname, ARRAY(
            SELECT a.attname::text FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY AS k(number, place)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place)
        INTO key, parts FROM pg_catalog.pg_constraint AS c WHERE c.conrelid = target AND c.contype = 'p';
        IF parts IS DISTINCT FROM {key}::text[] THEN
            IF key IS NOT NULL THEN
                EXECUTE 'ALTER TABLE ' || target::text || ' DROP CONSTRAINT ' || pg_catalog.quote_ident(key);
            END IF;
            EXECUTE 'ALTER TABLE ' || target::text || ' ADD CONSTRAINT ' || pg_catalog.quote_ident(COALESCE(key, {key_name}))
                || ' PRIMARY KEY (' || {key_columns} || ')';
        END IF;
    END IF;
    -- Each row is moved like an INSERT, and the table is emptied like by TRUNCATE: triggers, disabled ones too, would fire.
    FOR each IN
        SELECT t.tgname, t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid) AS definition, pg_catalog.obj_description(t.oid, 'pg_trigger') AS says,
            n.nspname = 'hyperferry' AS ours
        FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS f ON f.oid = t.tgfoid JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
        WHERE t.tgrelid = target AND NOT t.tgisinternal ORDER BY t.tgname
    LOOP
        IF each.ours THEN
            RAISE EXCEPTION USING MESSAGE = 'hyperferry: a rollout of ' || target::text || ' is under way, which captures what is written to it',
                HINT = 'End it with `hyperferry finish` or `hyperferry abort` before this revision.';
        END IF;
        IF each.tgenabled <> 'O' THEN
            RAISE EXCEPTION USING
                MESSAGE = 'hyperferry: the trigger ' || pg_catalog.quote_ident(each.tgname) || ' of ' || target::text
                    || ' is not in its ordinary state, which chunks do not keep: a disabled one would fire there',
                HINT = 'Drop the trigger, or enable it in the ordinary way, before this operation.';
        END IF;
        EXECUTE 'DROP TRIGGER ' || pg_catalog.quote_ident(each.tgname) || ' ON ' || target::text;
        back := back || each.definition;
        IF each.says IS NOT NULL THEN
            back := back || ('COMMENT ON TRIGGER ' || pg_catalog.quote_ident(each.tgname) || ' ON ' || target::text || ' IS '
                || pg_catalog.quote_literal(each.says));
        END IF;
    END LOOP;
    EXECUTE 'SELECT count(*) FROM ' || target::text INTO many;
    EXECUTE 'SELECT ' || functions || '.create_hypertable($1, $2::name, ' || {interval}
        || 'create_default_indexes => ' || {default_indexes} || ', migrate_data => true, if_not_exists => true)'
    USING target, {time};
    EXECUTE 'SELECT count(*) FROM ' || target::text INTO after;
    IF after <> many THEN
        RAISE EXCEPTION USING MESSAGE = 'hyperferry: ' || target::text || ' had ' || many::text || ' rows and would have ' || after::text
            || ' as a hypertable';
    END IF;
    FOR each IN SELECT b.statement FROM pg_catalog.unnest(back) WITH ORDINALITY AS b(statement, place) ORDER BY b.place LOOP
        EXECUTE each.statement;
    END LOOP;
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: revert_hypertable
-- A hypertable becomes a plain table: its rows are copied, and what hangs on it is made anew under its names.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    waits text := pg_catalog.current_setting('lock_timeout');
    approved boolean := false;
    functions text;
    many bigint;
    hanging text;
    own_schema text;
    own_name text;
    own_owner text;
    spare text;
    columns text;
    made text[];
    statement text;
    each record;
BEGIN
    IF target IS NULL THEN
        RETURN;
    END IF;
{target}
    IF NOT {is_hypertable} THEN
        RETURN;
    END IF;
    IF pg_catalog.row_security_active(target) THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'hyperferry: ' || target::text || ' is not copied, for row security may hide rows from this role, which would be lost',
            HINT = 'Run this revision as a role with BYPASSRLS.';
    END IF;
{guard}
    SELECT pg_catalog.string_agg(what, ', ' ORDER BY what) INTO hanging FROM (
        SELECT 'the view ' || r.ev_class::regclass::text AS what
        FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid
        JOIN pg_catalog.pg_class AS v ON v.oid = r.ev_class
        WHERE v.relnamespace::regnamespace::text NOT LIKE '\_timescaledb%' AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
            AND d.refobjid = target AND r.ev_class <> target
        UNION SELECT 'the trigger ' || t.tgname::text FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid = target AND NOT t.tgisinternal AND t.tgname <> 'ts_insert_blocker'
        UNION SELECT 'the policy ' || p.polname::text FROM pg_catalog.pg_policy AS p WHERE p.polrelid = target
        UNION SELECT 'the key of ' || c.conrelid::regclass::text FROM pg_catalog.pg_constraint AS c
        WHERE c.confrelid = target AND c.contype = 'f' AND c.conrelid <> target
        UNION SELECT 'the publication ' || b.pubname::text
        FROM pg_catalog.pg_publication_rel AS r JOIN pg_catalog.pg_publication AS b ON b.oid = r.prpubid WHERE r.prrelid = target
        UNION SELECT 'the continuous aggregate ' || g.view_name::text FROM timescaledb_information.continuous_aggregates AS g
        JOIN pg_catalog.pg_namespace AS gn ON gn.nspname = g.hypertable_schema
        JOIN pg_catalog.pg_class AS gc ON gc.relnamespace = gn.oid AND gc.relname = g.hypertable_name WHERE gc.oid = target
    ) AS hangs;
    IF hanging IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = 'hyperferry: ' || target::text || ' cannot be made a plain table again while these hang on it: ' || hanging,
            HINT = 'Drop them in the same downgrade before, and make them anew after.';
    END IF;
    IF pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION USING MESSAGE = 'hyperferry: ' || target::text || ' is not copied in a transaction in '
                || pg_catalog.upper(pg_catalog.current_setting('transaction_isolation'))
                || ': rows that were committed since it began would be left out',
            HINT = 'Run this revision in READ COMMITTED.';
    END IF;
    PERFORM pg_catalog.set_config('lock_timeout', {lock_timeout}, true);
    EXECUTE 'LOCK TABLE ' || target::text || ' IN ACCESS EXCLUSIVE MODE';
    SELECT n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner) INTO own_schema, own_name, own_owner
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = target;
    spare := pg_catalog.quote_ident(own_schema) || '.' || pg_catalog.quote_ident('hyperferry_plain_' || target::oid::text);
    -- What is made again at the end: keys and other constraints that LIKE leaves out, indexes, grants, comments.
    made := ARRAY(
        SELECT 'ALTER TABLE ' || target::text || ' ADD CONSTRAINT ' || pg_catalog.quote_ident(c.conname) || ' '
            || pg_catalog.pg_get_constraintdef(c.oid)
        FROM pg_catalog.pg_constraint AS c WHERE c.conrelid = target AND c.contype IN ('p', 'u', 'x', 'f') ORDER BY c.contype = 'f', c.conname
    ) || ARRAY(
        SELECT pg_catalog.pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = target AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_constraint AS c WHERE c.conindid = i.indexrelid AND c.conrelid = target)
        ORDER BY i.indexrelid
    ) || ARRAY(
        SELECT pg_catalog.pg_get_statisticsobjdef(x.oid) FROM pg_catalog.pg_statistic_ext AS x
        WHERE x.stxrelid = target ORDER BY x.oid
    ) || ARRAY(
        SELECT 'COMMENT ON STATISTICS ' || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(x.stxname) || ' IS '
            || pg_catalog.quote_literal(pg_catalog.obj_description(x.oid, 'pg_statistic_ext'))
        FROM pg_catalog.pg_statistic_ext AS x JOIN pg_catalog.pg_namespace AS n ON n.oid = x.stxnamespace
        WHERE x.stxrelid = target AND pg_catalog.obj_description(x.oid, 'pg_statistic_ext') IS NOT NULL
    ) || ARRAY(
        SELECT 'REVOKE ALL ON ' || target::text || ' FROM ' || pg_catalog.quote_ident(own_owner) FROM pg_catalog.pg_class AS c
        WHERE c.oid = target AND c.relacl IS NOT NULL
    ) || ARRAY(
        SELECT 'GRANT ' || a.privilege_type || ' ON ' || target::text || ' TO '
            || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
            || CASE WHEN a.is_grantable AND a.grantee <> c.relowner THEN ' WITH GRANT OPTION' ELSE '' END
        FROM pg_catalog.pg_class AS c CROSS JOIN pg_catalog.aclexplode(c.relacl) AS a WHERE c.oid = target
    ) || ARRAY(
        SELECT 'GRANT ' || x.privilege_type || ' (' || pg_catalog.quote_ident(a.attname) || ') ON ' || target::text || ' TO '
            || CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END
            || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        FROM pg_catalog.pg_attribute AS a CROSS JOIN pg_catalog.aclexplode(a.attacl) AS x WHERE a.attrelid = target AND NOT a.attisdropped
    ) || ARRAY(
        SELECT 'ALTER TABLE ' || target::text || ' SET (' || pg_catalog.array_to_string(c.reloptions, ', ') || ')'
        FROM pg_catalog.pg_class AS c WHERE c.oid = target AND c.reloptions IS NOT NULL
    ) || ARRAY(
        SELECT 'COMMENT ON TABLE ' || target::text || ' IS ' || pg_catalog.quote_literal(d.description) FROM pg_catalog.pg_description AS d
        WHERE d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = target AND d.objsubid = 0
    ) || ARRAY(
        SELECT 'COMMENT ON CONSTRAINT ' || pg_catalog.quote_ident(c.conname) || ' ON ' || target::text || ' IS '
            || pg_catalog.quote_literal(pg_catalog.obj_description(c.oid, 'pg_constraint'))
        FROM pg_catalog.pg_constraint AS c
        WHERE c.conrelid = target AND c.contype IN ('p', 'u', 'x', 'f') AND pg_catalog.obj_description(c.oid, 'pg_constraint') IS NOT NULL
    ) || ARRAY(
        SELECT 'COMMENT ON INDEX ' || i.indexrelid::regclass::text || ' IS '
            || pg_catalog.quote_literal(pg_catalog.obj_description(i.indexrelid, 'pg_class'))
        FROM pg_catalog.pg_index AS i WHERE i.indrelid = target AND pg_catalog.obj_description(i.indexrelid, 'pg_class') IS NOT NULL
    ) || ARRAY(
        SELECT 'ALTER TABLE ' || target::text || ' CLUSTER ON ' || pg_catalog.quote_ident(ic.relname)
        FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid WHERE i.indrelid = target AND i.indisclustered
    ) || ARRAY(
        SELECT 'ALTER TABLE ' || target::text || ' REPLICA IDENTITY ' || CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
            ELSE 'USING INDEX ' || (SELECT pg_catalog.quote_ident(ic.relname) FROM pg_catalog.pg_index AS i
                JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid WHERE i.indrelid = target AND i.indisreplident) END
        FROM pg_catalog.pg_class AS c WHERE c.oid = target AND (c.relreplident IN ('f', 'n') OR c.relreplident = 'i' AND EXISTS (
            SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = target AND i.indisreplident))
    ) || ARRAY(
        SELECT 'ALTER TABLE ' || target::text || ' ALTER ' || pg_catalog.quote_ident(a.attname) || ' SET STATISTICS ' || a.attstattarget::text
        FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0
    ) || ARRAY(
        SELECT 'ALTER TABLE ' || target::text || ' ALTER ' || pg_catalog.quote_ident(a.attname) || ' SET ('
            || pg_catalog.string_agg(o.option, ', ') || ')'
        FROM pg_catalog.pg_attribute AS a CROSS JOIN LATERAL pg_catalog.unnest(a.attoptions) AS o(option)
        WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
            AND NOT pg_catalog.starts_with(o.option, 'pg_attver=') -- which PostgreSQL notes for itself, from 17.12 on
        GROUP BY a.attname
    ) || ARRAY(
        SELECT 'ALTER TABLE ' || target::text || ' ' || f.words FROM pg_catalog.pg_class AS c
        CROSS JOIN LATERAL (VALUES (c.relrowsecurity, 'ENABLE ROW LEVEL SECURITY'), (c.relforcerowsecurity, 'FORCE ROW LEVEL SECURITY')) AS f(is_on, words)
        WHERE c.oid = target AND f.is_on
    );
    EXECUTE 'CREATE TABLE ' || spare || ' (LIKE ' || target::text || ' INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)';
    EXECUTE 'ALTER TABLE ' || spare || ' OWNER TO ' || pg_catalog.quote_ident(own_owner);
    -- What default privileges gave is no part of the table's own.
    FOR each IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS who
        FROM pg_catalog.pg_class AS c CROSS JOIN pg_catalog.aclexplode(c.relacl) AS a WHERE c.oid = spare::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE 'REVOKE ALL ON ' || spare || ' FROM ' || each.who;
    END LOOP;
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns
    FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    EXECUTE 'INSERT INTO ' || spare || ' (' || columns || ') OVERRIDING SYSTEM VALUE SELECT ' || columns || ' FROM ' || target::text;
    FOR each IN
        SELECT d.objid::regclass::text AS sequence, s.relname::text AS name, a.attname, d.deptype, q.seqtypid::regtype::text AS kind
        FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
            AND d.refobjid = target AND d.deptype IN ('a', 'i')
    LOOP
        IF each.deptype = 'a' THEN
            EXECUTE 'ALTER SEQUENCE ' || each.sequence || ' OWNED BY ' || spare || '.' || pg_catalog.quote_ident(each.attname);
        ELSE
            EXECUTE 'SELECT pg_catalog.setval($1, s.last_value, s.is_called) FROM ' || each.sequence || ' AS s'
            USING pg_catalog.pg_get_serial_sequence(spare, each.attname)::regclass;
            EXECUTE 'ALTER SEQUENCE ' || pg_catalog.pg_get_serial_sequence(spare, each.attname) || ' AS ' || each.kind;
            made := made || ARRAY(
                SELECT 'GRANT ' || a.privilege_type || ' ON SEQUENCE ' || pg_catalog.pg_get_serial_sequence(spare, each.attname) || ' TO '
                    || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
                    || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
                FROM pg_catalog.pg_class AS c CROSS JOIN pg_catalog.aclexplode(c.relacl) AS a
                WHERE c.oid = each.sequence::regclass AND a.grantee <> c.relowner
            ) || ('ALTER SEQUENCE ' || pg_catalog.pg_get_serial_sequence(spare, each.attname) || ' RENAME TO '
                || pg_catalog.quote_ident(each.name));
        END IF;
    END LOOP;
    EXECUTE 'DROP TABLE ' || target::text;
    EXECUTE 'ALTER TABLE ' || spare || ' RENAME TO ' || pg_catalog.quote_ident(own_name);
    FOREACH statement IN ARRAY made LOOP
        EXECUTE statement;
    END LOOP;
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: set_chunk_interval
-- The width of chunks that are made from now on.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    waits text := pg_catalog.current_setting('lock_timeout');
    functions text;
BEGIN
{target}
{wait}
    EXECUTE 'SELECT ' || functions || '.set_chunk_time_interval($1, ' || {interval} || ')' USING target;
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: create_index
-- An index, unless there is a valid one of its name; what an interruption left invalid goes first.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    waits text := pg_catalog.current_setting('lock_timeout');
    holder oid;
    there regclass;
    valid boolean;
BEGIN
{community}
    IF target IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = 'hyperferry: there is no table ' || {table};
    END IF;
    holder := target;
    IF {aggregate} THEN -- whose indexes are those of the hypertable behind it
{holder}
    END IF;
    SELECT i.indexrelid, i.indisvalid INTO there, valid
    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid WHERE i.indrelid = holder AND c.relname = {name};
    IF valid THEN
        RETURN;
    END IF;
    IF there IS NULL AND EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_class AS h ON h.relnamespace = c.relnamespace
            WHERE h.oid = holder AND c.relname = {name}) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_table',
            MESSAGE = 'hyperferry: there is another relation called ' || pg_catalog.quote_ident({name}) || ' in the schema of ' || target::text;
    END IF;
{wait}
    IF there IS NOT NULL THEN
        EXECUTE 'DROP INDEX ' || there::text;
    END IF;
    IF {build} THEN
        EXECUTE {create};
    END IF;
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: wait
-- Where the session says nothing of its own, a lock is waited for no longer than this, and everybody else behind it.
    IF waits = '0' THEN
        PERFORM pg_catalog.set_config('lock_timeout', {lock_timeout}, true);
    END IF;

-- name: briefly
-- One statement that waits for a lock no longer than so.
DECLARE
    waits text := pg_catalog.current_setting('lock_timeout');
BEGIN
{wait}
    EXECUTE {statement};
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: alone
-- For a script run by psql: that what follows is not within a transaction. The two are equal where a statement is a transaction of its own.
BEGIN
    IF pg_catalog.now() <> pg_catalog.statement_timestamp() THEN
        RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction',
            MESSAGE = 'hyperferry: the index ' || {name} || ' is made chunk by chunk, which cannot be within a transaction',
            HINT = 'Put it into: with op.get_context().autocommit_block():. Run the script without --single-transaction.';
    END IF;
END

-- name: add_compression
-- How chunks are compressed, and the policy that does it.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    waits text := pg_catalog.current_setting('lock_timeout');
    functions text;
BEGIN
{community}
{target}
{wait}
    EXECUTE {alter} || target::text || ' SET (' || {options} || ')';
{policy}
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: remove_compression
-- The policy of a hypertable or a continuous aggregate goes. Chunks that are compressed stay so, and then compression stays on.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    waits text := pg_catalog.current_setting('lock_timeout');
    functions text;
    holder oid;
BEGIN
    IF target IS NULL OR pg_catalog.current_setting('timescaledb.license', true) = 'apache' THEN
        RETURN;
    END IF;
{target}
    IF {is_aggregate} THEN
{holder}
    ELSIF {is_hypertable} THEN
        holder := target;
    ELSE
        RETURN;
    END IF;
{wait}
    EXECUTE 'SELECT ' || functions || '.remove_compression_policy($1, if_exists => true)' USING target;
    IF EXISTS (SELECT FROM timescaledb_information.chunks AS h
            JOIN pg_catalog.pg_namespace AS hn ON hn.nspname = h.hypertable_schema
            JOIN pg_catalog.pg_class AS hc ON hc.relnamespace = hn.oid AND hc.relname = h.hypertable_name
            WHERE h.is_compressed AND hc.oid = holder) THEN
        RAISE NOTICE USING MESSAGE = 'hyperferry: compressed chunks of ' || target::text || ' stay compressed, and compression stays on; '
            || 'decompress_chunk undoes it';
    ELSE
        EXECUTE CASE WHEN holder = target THEN 'ALTER TABLE ' ELSE 'ALTER MATERIALIZED VIEW ' END || target::text
            || ' SET (timescaledb.compress = false)';
    END IF;
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: of_target
-- Whether a job j is a policy of the target, a hypertable or a continuous aggregate, as a condition.
EXISTS (SELECT FROM pg_catalog.pg_class AS own JOIN pg_catalog.pg_namespace AS at ON at.oid = own.relnamespace
    WHERE own.oid = target AND (j.hypertable_schema = at.nspname AND j.hypertable_name = own.relname
        OR EXISTS (SELECT FROM timescaledb_information.continuous_aggregates AS g
            WHERE g.materialization_hypertable_schema = j.hypertable_schema AND g.materialization_hypertable_name = j.hypertable_name
                AND g.view_schema = at.nspname AND g.view_name = own.relname)))

-- name: policy
-- A policy of this kind, unless there is one that says the same and runs.
    IF NOT EXISTS (SELECT FROM timescaledb_information.jobs AS j
            WHERE j.proc_name = {kind} AND j.scheduled AND {same} AND {of_target}) THEN
        EXECUTE 'SELECT ' || functions || {remove} USING target;
        EXECUTE 'SELECT ' || {add} USING target;
    END IF;

-- name: retention_after_aggregates
-- What drops rows is left out while there are rows that a continuous aggregate was never made from: they would be in neither. A policy that is
-- there and drops no less is changed where it stands at once: so no more is dropped than without that. One that drops such rows is told.
    DECLARE
        number integer;
        there jsonb;
        runs boolean;
        same boolean := false;
        no_less boolean := false;
        waiting text[];
        dropped text;
        hint text := 'hyperferry apply does that refresh';
    BEGIN
        SELECT j.job_id, j.config, j.scheduled, j.scheduled AND {same}, j.scheduled AND {no_less}
        INTO number, there, runs, same, no_less
        FROM timescaledb_information.jobs AS j WHERE j.proc_name = 'policy_retention' AND {of_target} ORDER BY j.job_id LIMIT 1;
{waiting}
        IF same THEN
            NULL;
        ELSIF no_less THEN
            there := pg_catalog.jsonb_set(there, ARRAY['drop_after'], {stored});
            EXECUTE 'SELECT FROM ' || functions || '.alter_job($1, schedule_interval => $2, config => $3)' USING number, {schedule}, there;
        ELSIF waiting IS NULL THEN
            EXECUTE 'SELECT ' || functions || '.remove_retention_policy($1, if_exists => true)' USING target;
            EXECUTE 'SELECT ' || {add} USING target;
        END IF;
        IF waiting IS NOT NULL THEN
            hint := hint || CASE WHEN same OR no_less THEN '.' ELSE ', and starts retention then.' END;
            IF runs THEN
                dropped := 'job ' || number::text || ' drops ' || COALESCE(
                    'chunks that were made more than ' || (there ->> 'drop_created_before') || ' ago', 'rows older than ' || (there ->> 'drop_after'));
                hint := hint || ' To have nothing dropped before: SELECT ' || functions || '.alter_job(' || number::text || ', scheduled => false);';
            END IF;
            RAISE NOTICE USING MESSAGE = 'hyperferry: the retention of ' || target::text || CASE WHEN same OR no_less
                    THEN ' goes on, and may drop rows' ELSE ' is left out, for it would drop rows' END || ' that are in no '
                    || 'continuous aggregate yet; never refreshed from them: ' || pg_catalog.array_to_string(waiting, ', ')
                    || COALESCE('; ' || CASE WHEN same OR no_less THEN '' ELSE 'meanwhile ' END || dropped, ''),
                HINT = hint;
        END IF;
    END;

-- name: waiting
-- The aggregates that were never made from rows which are there, or not since those changed. TimescaleDB's logs of what waits tell that: what is
-- logged for the aggregate, what writers logged since, what lies behind the threshold and is not logged, and what a refresh is at work on.
-- A new aggregate has all of time in it. Refreshed newest first, what is left is the stretch before: all of it counts. Of every other stretch, as
-- of a backfill, or of the time after the newest refresh, only what is to be dropped already counts: time goes on.
        DECLARE
            nobegin CONSTANT bigint := -9223372036854775808;
            noend CONSTANT bigint := 9223372036854775807;
            at_work CONSTANT boolean := EXISTS (
                SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                WHERE n.nspname = '_timescaledb_catalog' AND c.relname = 'continuous_aggs_materialization_ranges');
            each record;
            part record;
            lows bigint[];
            highs bigint[];
            moments interval[];
            conditions text[];
            lacks boolean;
        BEGIN
            FOR each IN
                SELECT pg_catalog.quote_ident(g.user_view_schema) || '.' || pg_catalog.quote_ident(g.user_view_name) AS name,
                    g.mat_hypertable_id AS own, g.raw_hypertable_id AS raw,
                    pg_catalog.quote_ident(s.schema_name) || '.' || pg_catalog.quote_ident(s.table_name) AS source,
                    pg_catalog.quote_ident(d.column_name) AS cut_by,
                    CASE WHEN d.column_type IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN 'number'
                        WHEN d.column_type = 'timestamptz'::regtype THEN 'timestamptz'
                        WHEN d.column_type IN ('timestamp'::regtype, 'date'::regtype) THEN 'timestamp' END AS kind,
                    CASE WHEN d.integer_now_func <> '' THEN pg_catalog.quote_ident(d.integer_now_func_schema) || '.'
                        || pg_catalog.quote_ident(d.integer_now_func) || '()' END AS present
                FROM _timescaledb_catalog.continuous_agg AS g
                JOIN _timescaledb_catalog.hypertable AS s ON s.id = g.raw_hypertable_id
                JOIN _timescaledb_catalog.dimension AS d ON d.hypertable_id = s.id AND d.num_slices IS NULL
                JOIN pg_catalog.pg_class AS c ON c.oid = target JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                WHERE s.schema_name = n.nspname AND s.table_name = c.relname -- it reads the table
                    OR g.user_view_schema = n.nspname AND g.user_view_name = c.relname -- it is the aggregate whose rows are to go
                    OR EXISTS (SELECT FROM _timescaledb_catalog.continuous_agg AS b WHERE b.mat_hypertable_id = s.id -- it reads that one
                        AND b.user_view_schema = n.nspname AND b.user_view_name = c.relname)
                ORDER BY 1
            LOOP
                lows := NULL;
                highs := NULL;
                IF at_work THEN
                    EXECUTE 'SELECT pg_catalog.array_agg(r.lowest_modified_value ORDER BY r.ctid), '
                        'pg_catalog.array_agg(r.greatest_modified_value ORDER BY r.ctid) '
                        'FROM _timescaledb_catalog.continuous_aggs_materialization_ranges AS r WHERE r.materialization_id = $1'
                    INTO lows, highs USING each.own;
                END IF;
                lacks := false;
                FOR part IN
                    WITH logged AS (
                        SELECT l.lowest_modified_value AS lowest, l.greatest_modified_value AS greatest
                        FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log AS l WHERE l.materialization_id = each.own
                        UNION ALL SELECT l.lowest_modified_value, l.greatest_modified_value
                        FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log AS l WHERE l.hypertable_id = each.raw
                        UNION ALL SELECT t.watermark, noend
                        FROM _timescaledb_catalog.continuous_aggs_invalidation_threshold AS t WHERE t.hypertable_id = each.raw
                        UNION ALL SELECT r.lowest, r.greatest FROM ROWS FROM (pg_catalog.unnest(lows), pg_catalog.unnest(highs)) AS r(lowest, greatest)
                    ), marked AS ( -- stretches that touch are one
                        SELECT g.lowest, g.greatest, g.lowest = nobegin AS from_first,
                            COALESCE(g.lowest > pg_catalog.max(g.greatest) OVER (PARTITION BY g.lowest = nobegin ORDER BY g.lowest, g.greatest
                                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), true) AS opens
                        FROM logged AS g WHERE g.lowest <= g.greatest
                    ), numbered AS (
                        SELECT m.lowest, m.greatest, m.from_first,
                            pg_catalog.sum(m.opens::integer) OVER (PARTITION BY m.from_first ORDER BY m.lowest, m.greatest) AS stretch
                        FROM marked AS m
                    )
                    SELECT m.from_first, pg_catalog.min(m.lowest) AS lowest, pg_catalog.max(m.greatest) AS greatest
                    FROM numbered AS m GROUP BY m.from_first, m.stretch ORDER BY 2, 3
                LOOP
                    EXIT WHEN lacks;
                    -- The logs count microseconds since 1970. From the year 1 to 10000, which a time of every kind knows.
                    moments := ARRAY(
                        SELECT pg_catalog.make_interval(hours => (b.within / 3600000000)::integer, secs => pg_catalog.mod(b.within, 3600000000) / 1000000.0)
                        FROM (SELECT GREATEST(LEAST(v.bound, 253402300800000000), -62135596800000000) AS within, v.place
                            FROM (VALUES (part.lowest, 1), (part.greatest, 2)) AS v(bound, place)) AS b
                        ORDER BY b.place);
                    conditions := ARRAY[]::text[];
                    IF NOT part.from_first THEN
                        conditions := conditions || ARRAY[
                            each.cut_by || ' >= ' || CASE each.kind WHEN 'number' THEN '$1' WHEN 'timestamptz' THEN '$3' ELSE '$5' END,
                            each.cut_by || ' < ' || CASE each.kind WHEN 'number' THEN each.present WHEN 'timestamptz' THEN 'pg_catalog.now()'
                                ELSE 'pg_catalog.now()::timestamp' END || ' - ' || {after}];
                    END IF;
                    IF part.greatest <> noend THEN
                        conditions := conditions
                            || (each.cut_by || ' <= ' || CASE each.kind WHEN 'number' THEN '$2' WHEN 'timestamptz' THEN '$4' ELSE '$6' END);
                    END IF;
                    -- A time of another kind is not compared.
                    CONTINUE WHEN each.kind IS NULL AND conditions <> ARRAY[]::text[] OR pg_catalog.array_position(conditions, NULL) IS NOT NULL;
                    EXECUTE 'SELECT EXISTS (SELECT FROM ' || each.source || ' WHERE ' || pg_catalog.array_to_string('true'::text || conditions, ' AND ') || ')'
                    INTO lacks USING part.lowest, part.greatest, pg_catalog.to_timestamp(0) + moments[1], pg_catalog.to_timestamp(0) + moments[2],
                        '1970-01-01'::timestamp + moments[1], '1970-01-01'::timestamp + moments[2];
                END LOOP;
                IF lacks THEN
                    waiting := waiting || each.name;
                END IF;
            END LOOP;
        END;

-- name: add_policy
-- A policy of a hypertable.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    waits text := pg_catalog.current_setting('lock_timeout');
    functions text;
BEGIN
{community}
{target}
{wait}
{policy}
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: remove_policy
-- The policy of a hypertable or a continuous aggregate goes, where there is one.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    waits text := pg_catalog.current_setting('lock_timeout');
    functions text;
BEGIN
    IF target IS NULL OR pg_catalog.current_setting('timescaledb.license', true) = 'apache' THEN
        RETURN;
    END IF;
{target}
{wait}
    IF {is_hypertable} OR {is_aggregate} THEN
        EXECUTE 'SELECT ' || functions || {remove} USING target;
    END IF;
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: create_continuous_aggregate
-- The aggregate, empty, unless it is there. Then its query cannot be changed: another one is told. Two are the same in the words in which
-- PostgreSQL prints them, or in which it prints what it printed, as after a dump.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    waits text := pg_catalog.current_setting('lock_timeout');
    functions text;
    newest_left_out boolean;
    kept text;
    wanted text;
    forms text[] := ARRAY[]::text[];
BEGIN
    IF target IS NOT NULL THEN
        IF pg_catalog.current_setting('timescaledb.license', true) = 'apache'
            OR NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'timescaledb') THEN
            RETURN;
        END IF;
        SELECT g.view_definition, g.materialized_only INTO kept, newest_left_out FROM timescaledb_information.continuous_aggregates AS g
        JOIN pg_catalog.pg_namespace AS gn ON gn.nspname = g.view_schema
        JOIN pg_catalog.pg_class AS gc ON gc.relnamespace = gn.oid AND gc.relname = g.view_name WHERE gc.oid = target;
        IF kept IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_table',
                MESSAGE = 'hyperferry: ' || target::text || ' is there already, and is no continuous aggregate',
                HINT = 'Give the continuous aggregate another name.';
        END IF;
{wait}
        IF newest_left_out <> {materialized_only} THEN
            IF {change} THEN
                EXECUTE 'ALTER MATERIALIZED VIEW ' || target::text || ' SET (timescaledb.materialized_only = ' || {materialized_only}::text || ')';
            ELSE
                RAISE NOTICE USING MESSAGE = 'hyperferry: ' || target::text || ' is there, and is left as it is: materialized_only = '
                        || newest_left_out::text || ', not ' || {materialized_only}::text,
                    HINT = 'ALTER MATERIALIZED VIEW ' || target::text || ' SET (timescaledb.materialized_only = ' || {materialized_only}::text || ');';
            END IF;
        END IF;
        BEGIN
            FOREACH wanted IN ARRAY ARRAY[{query}, kept] LOOP
                FOR again IN 1..2 LOOP
                    EXECUTE 'CREATE TEMP VIEW hyperferry_query AS ' || wanted;
                    wanted := pg_catalog.pg_get_viewdef('pg_temp.hyperferry_query'::regclass);
                    forms := forms || pg_catalog.rtrim(pg_catalog.btrim(pg_catalog.regexp_replace(wanted, '\s+', ' ', 'g')), ';');
                    DROP VIEW pg_temp.hyperferry_query;
                END LOOP;
            END LOOP;
            forms := forms || pg_catalog.rtrim(pg_catalog.btrim(pg_catalog.regexp_replace(kept, '\s+', ' ', 'g')), ';');
        EXCEPTION WHEN syntax_error_or_access_rule_violation OR invalid_schema_name THEN
            forms := NULL; -- what cannot be read cannot be compared
        END;
        IF NOT forms[1:2] && forms[3:5] THEN
            RAISE NOTICE USING MESSAGE = 'hyperferry: ' || target::text || ' is there with another query, and is left as it is. It has: ' || forms[5]
                    || '. Wanted: ' || forms[1],
                HINT = 'The query of a continuous aggregate cannot be changed: make the new one under another name beside it, and drop this one '
                    'when nobody reads it.';
        END IF;
        PERFORM pg_catalog.set_config('lock_timeout', waits, true);
        RETURN;
    END IF;
{community}
{wait}
    EXECUTE {create};
    PERFORM pg_catalog.set_config('lock_timeout', waits, true);
END

-- name: require_rollout
-- The table's rollout has come so far.
DECLARE
    target regclass := pg_catalog.to_regclass({table});
    functions text;
    stands text;
    hidden boolean := false;
    phases CONSTANT text[] := ARRAY['planned', 'prepared', 'copying', 'synced', 'cut_over', 'finished'];
BEGIN
{target}
    -- By what everybody may read: to_regclass would fail for who may not look into the schema.
    IF EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'hyperferry' AND c.relname = 'rollout') THEN
        BEGIN
            EXECUTE 'SELECT r.phase FROM hyperferry.rollout AS r JOIN pg_catalog.pg_class AS c ON c.oid = $1 '
                'JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace '
                'WHERE r.source_schema = n.nspname AND r.source_name = c.relname ORDER BY r.id DESC LIMIT 1'
            INTO stands USING target;
        EXCEPTION WHEN insufficient_privilege THEN
            hidden := true;
        END;
    END IF;
    IF {by_hypertable} AND {is_hypertable} AND ({phase} = 'cut_over' OR stands IS NULL AND NOT hidden) THEN
        RETURN;
    END IF;
    IF pg_catalog.array_position(phases, stands) >= pg_catalog.array_position(phases, {phase}) THEN
        RETURN;
    END IF;
    IF hidden THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'hyperferry: the rollout of ' || target::text || ' has to be ' || {phase} || ' before this revision, and this role may not see how '
                || 'it stands',
            HINT = 'Run Alembic as the role that runs hyperferry, or as a member of it.';
    END IF;
    IF {or_small} AND (stands IS NULL OR stands IN ('planned', 'aborted')) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION USING
        MESSAGE = 'hyperferry: the rollout of ' || target::text || ' has to be ' || {phase} || ' before this revision; it '
            || COALESCE('is ' || stands, 'has not begun'),
        HINT = {hint};
END
