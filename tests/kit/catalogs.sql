-- What the full description of the catalogs asks for. Functions of the session, so that nothing is left in the database.

-- name: identify
-- An object by name, where pg_identify_object would name it by OID: TOAST tables after their tables, the triggers of foreign keys
-- after their constraints. NULL: there is no such object.
CREATE OR REPLACE FUNCTION pg_temp.identify(class oid, object oid, part int DEFAULT 0) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    owner oid;
    found text;
BEGIN
    IF object = 0 THEN
        RETURN NULL;
    END IF;
    IF class = 'pg_class'::regclass THEN
        SELECT c.oid INTO owner FROM pg_class c WHERE c.reltoastrelid = object;
        IF owner IS NOT NULL THEN
            RETURN 'toast of ' || pg_temp.identify('pg_class'::regclass, owner);
        END IF;
        SELECT i.indrelid INTO owner FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid AND c.relkind = 't' WHERE i.indexrelid = object;
        IF owner IS NOT NULL THEN
            RETURN 'index of ' || pg_temp.identify('pg_class'::regclass, owner);
        END IF;
    ELSIF class = 'pg_trigger'::regclass THEN
        SELECT concat('trigger ', t.tgfoid::regproc, ' of ', pg_temp.identify('pg_constraint'::regclass, t.tgconstraint), ' on ',
                      t.tgrelid::regclass) INTO found
        FROM pg_trigger t WHERE t.oid = object AND t.tgisinternal;
        IF found IS NOT NULL THEN
            RETURN found;
        END IF;
    END IF;
    SELECT i.type || ' ' || i.identity INTO found FROM pg_identify_object(class, object, part) AS i;
    RETURN found;
END $$;

-- name: rule_text
-- A rule as it would be written; an OID would say nothing.
CREATE OR REPLACE FUNCTION pg_temp.rule_text(rule oid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN c.relkind IN ('v', 'm') AND w.rulename = '_RETURN' THEN pg_get_viewdef(c.oid) ELSE pg_get_ruledef(w.oid) END
    FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class WHERE w.oid = rule
$$;

-- name: catalogs
-- The catalogs of the database, all but those of figures, with their columns and types.
SELECT c.oid::regclass::text, array_agg(a.attname::text ORDER BY a.attnum), array_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'
  AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_largeobject_metadata', 'pg_shdepend', 'pg_shdescription',
                        'pg_shseclabel', 'pg_authid', 'pg_auth_members', 'pg_database', 'pg_tablespace', 'pg_parameter_acl', 'pg_replication_origin',
                        'pg_subscription', 'pg_subscription_rel', 'pg_db_role_setting')
GROUP BY c.oid ORDER BY 1;

-- name: references
-- Which columns of the catalogs refer to which: PostgreSQL says so itself.
SELECT fktable::text, fkcols::text[], pktable::text, pkcols::text[], is_array FROM pg_get_catalog_foreign_keys();

-- name: shared_dependencies
-- Owners and other roles that objects of this database depend on.
SELECT pg_temp.identify(d.classid, d.objid, d.objsubid), d.deptype::text, pg_temp.identify(d.refclassid, d.refobjid)
FROM pg_shdepend d WHERE d.objid >= 16384 AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: sequence_values
-- Where the sequences stand.
SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences;
