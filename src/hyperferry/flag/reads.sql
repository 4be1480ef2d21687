-- What an application's role needs to read a rollout's other side: two questions that it may ask the ledger, and the way into two schemas.

-- name: make_schema
-- For the first who allows it.
CREATE SCHEMA hyperferry_reads;
COMMENT ON SCHEMA hyperferry_reads IS 'hyperferry: what applications may ask about rollouts';

-- name: state
-- Whether the schema is there, whose it is, and whether that is this role or one that it is a member of.
SELECT o.rolname::text, pg_catalog.pg_has_role(o.oid, 'USAGE') FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_roles AS o ON o.oid = n.nspowner WHERE n.nspname = 'hyperferry_reads';

-- name: make_rollout
-- The rollout under way of a table: its number and phase, the oldest change that the other side lacks, the newest that was made, and whether
-- rows are in quarantine. With the rights of the ledger's role, since nobody else has any there.
CREATE OR REPLACE FUNCTION hyperferry_reads.rollout(
    of_schema text, of_name text,
    OUT number bigint, OUT phase text, OUT oldest bigint, OUT newest bigint, OUT quarantined boolean
) RETURNS SETOF record LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $hyperferry$
DECLARE
    direction text;
BEGIN
    SELECT r.id, r.phase INTO number, phase FROM hyperferry.rollout AS r
    WHERE r.source_schema = of_schema AND r.source_name = of_name AND r.strategy = 'blue-green'
      AND r.phase NOT IN ('finished', 'aborted');
    IF number IS NULL THEN
        RETURN;
    END IF;
    IF phase IN ('synced', 'cut_over', 'rolled_back') THEN
        direction := CASE phase WHEN 'cut_over' THEN 'reverse' ELSE 'forward' END;
        EXECUTE format('SELECT pg_sequence_last_value(%L::regclass), (SELECT min(id) FROM hyperferry.%I), '
                       'EXISTS (SELECT FROM hyperferry.%I AS q WHERE q.direction = %L)',
                       format('hyperferry.%I', direction || '_log_' || number || '_id_seq'),
                       direction || '_log_' || number, 'quarantine_' || number, direction)
        INTO newest, oldest, quarantined;
    END IF;
    RETURN NEXT;
END
$hyperferry$;

-- name: make_stands
-- The phase of a rollout, as it is now, and the schema of its table. In PL/pgSQL, which keeps the plan.
CREATE OR REPLACE FUNCTION hyperferry_reads.stands(of_number bigint, OUT phase text, OUT source_schema text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $hyperferry$
BEGIN
    SELECT r.phase, r.source_schema INTO phase, source_schema FROM hyperferry.rollout AS r WHERE r.id = of_number;
END
$hyperferry$;

-- name: make_hold
-- Whether this transaction may read the other side from now on to its end: it has written nothing, it sees each statement afresh, the table's
-- name means to it what it means to the rollout, and the other side is there and stays there, since this locks it as a reader does. The table
-- itself first, as a swap does, which waits for that lock alone: whoever reads the other side holds both, so that it is free then. Never
-- an error: a table that was moved meanwhile means no.
CREATE OR REPLACE FUNCTION hyperferry_reads.hold(of_schema text, of_name text, of_record text, of_number bigint, of_phase text)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $hyperferry$
DECLARE
    found record;
BEGIN
    IF pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL
       OR pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN false;
    END IF;
    EXECUTE pg_catalog.format('LOCK TABLE ONLY %s, ONLY %I.%I IN ACCESS SHARE MODE', of_record, of_schema, of_name);
    SELECT * INTO found FROM hyperferry_reads.stands(of_number);
    RETURN COALESCE(found.phase = of_phase AND pg_catalog.to_regclass(of_record)
                    = pg_catalog.to_regclass(pg_catalog.format('%I.%I', found.source_schema, of_name)), false);
EXCEPTION
    WHEN undefined_table OR invalid_schema_name OR insufficient_privilege OR lock_not_available OR deadlock_detected THEN
        RETURN false;
END
$hyperferry$;

-- name: is_role
-- Whether there is such a role.
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = %(role)s);

-- name: may_select
-- Whether the role may read the whole table, wherever it is.
SELECT pg_catalog.has_table_privilege(%(role)s::name, %(oid)s::bigint::oid, 'SELECT');
