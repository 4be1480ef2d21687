-- name: schema_lock
-- One at a time changes the rights on the ledger's schema, to its transaction's end: PostgreSQL refuses the second of two as concurrent.
SELECT pg_catalog.pg_advisory_xact_lock(7150917265);

-- name: owner_alone
-- Takes from everybody but its owner what ALTER DEFAULT PRIVILEGES gave on a new object. A body for DO.
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC'
                             ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
        FROM pg_catalog.{catalog} c, pg_catalog.aclexplode(c.{acl}) a
        WHERE c.oid = {object}::pg_catalog.{kind} AND a.grantee <> c.{owner}
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s', {word}, {object}::pg_catalog.{kind}, grantee);
    END LOOP;
END
