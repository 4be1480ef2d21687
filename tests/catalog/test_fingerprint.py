"""The fingerprint changes with all that a swap relies on, and with nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import servers
from hyperferry.catalog import fingerprint, fingerprint_expression
from hyperferry.db import connect, execute
from hyperferry.db.connection import Connection
from servers import Database

TABLE = """
    DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s;
    CREATE TABLE s.o (id bigint PRIMARY KEY);
    CREATE TABLE s.t (id bigserial, ts timestamptz NOT NULL,
        v numeric(10, 2), note varchar(20), o bigint, paid numeric(10, 2),
        CONSTRAINT t_pkey PRIMARY KEY (id), CONSTRAINT positive CHECK (v > 0));
    CREATE INDEX by_time ON s.t (ts);
    CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER stamp BEFORE INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f();
    CREATE VIEW s.v AS SELECT id, ts FROM s.t;
    CREATE VIEW s.w AS SELECT ts FROM s.v;
    CREATE POLICY p ON s.t USING (v > 0);
    CREATE STATISTICS s.st ON ts, v FROM s.t;
    INSERT INTO s.t (ts, v, note) SELECT now(), i, i FROM generate_series(1, 100) i;
"""

CHANGES = [
    "ALTER TABLE s.t ADD c int",
    "ALTER TABLE s.t RENAME v TO w",
    "ALTER TABLE s.t DROP note",
    "ALTER TABLE s.t ALTER note TYPE varchar(30)",
    "ALTER TABLE s.t ALTER paid TYPE numeric(12, 2)",
    "ALTER TABLE s.t ALTER note SET NOT NULL",
    "ALTER TABLE s.t ALTER note SET DEFAULT 'x'",
    'ALTER TABLE s.t ALTER note TYPE varchar(20) COLLATE "C"',
    "ALTER TABLE s.t ALTER note SET STORAGE PLAIN",
    "ALTER TABLE s.t ALTER note SET STATISTICS 50",
    "ALTER TABLE s.t ALTER id DROP DEFAULT, ALTER id ADD GENERATED ALWAYS AS IDENTITY",
    "CREATE INDEX more ON s.t (v)",
    "DROP INDEX s.by_time",
    "ALTER INDEX s.by_time RENAME TO by_ts",
    "ALTER INDEX s.by_time SET (fillfactor = 70)",
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 's.by_time'::regclass",
    "ALTER TABLE s.t DROP CONSTRAINT positive",
    "ALTER TABLE s.t RENAME CONSTRAINT positive TO plus",
    "ALTER TABLE s.t ADD CONSTRAINT small CHECK (v < 1000) NOT VALID",
    "ALTER TABLE s.t ADD FOREIGN KEY (o) REFERENCES s.o",
    "CREATE TABLE s.c (t bigint REFERENCES s.t)",
    "ALTER TABLE s.t DISABLE TRIGGER stamp",
    "DROP TRIGGER stamp ON s.t",
    "CREATE TRIGGER more AFTER INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()",
    "GRANT SELECT ON s.t TO PUBLIC",
    "GRANT UPDATE (v) ON s.t TO PUBLIC",
    "ALTER TABLE s.t OWNER TO {role}",
    "ALTER TABLE s.t SET (fillfactor = 70)",
    "ALTER TABLE s.t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE s.t FORCE ROW LEVEL SECURITY",
    "ALTER POLICY p ON s.t USING (v > 1)",
    "DROP POLICY p ON s.t",
    "CREATE OR REPLACE VIEW s.v AS SELECT id, ts FROM s.t WHERE v > 1",
    "CREATE OR REPLACE VIEW s.w AS SELECT ts FROM s.v WHERE id > 1",
    "ALTER VIEW s.w SET (security_barrier)",
    "ALTER VIEW s.v OWNER TO {role}",
    "GRANT SELECT ON s.v TO PUBLIC",
    "COMMENT ON VIEW s.v IS 'x'",
    "CREATE VIEW s.x AS SELECT v FROM s.t",
    "CREATE MATERIALIZED VIEW s.x AS SELECT v FROM s.w JOIN s.t USING (ts)",
    "CREATE FUNCTION s.g() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM s.t; END",
    "CREATE FUNCTION s.g(s.t) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE RULE r AS ON DELETE TO s.t DO ALSO NOTHING",
    "CREATE PUBLICATION feed FOR TABLE s.t",
    "CREATE PUBLICATION feed FOR TABLES IN SCHEMA s",
    "CREATE PUBLICATION feed FOR ALL TABLES",
    "ALTER SEQUENCE s.t_id_seq OWNED BY NONE",
    "ALTER SEQUENCE s.t_id_seq CACHE 10",
    "GRANT USAGE ON SEQUENCE s.t_id_seq TO PUBLIC",
    "COMMENT ON TABLE s.t IS 'x'",
    "COMMENT ON COLUMN s.t.v IS 'x'",
    "COMMENT ON INDEX s.by_time IS 'x'",
    "COMMENT ON CONSTRAINT positive ON s.t IS 'x'",
    "DROP STATISTICS s.st",
    "ALTER TABLE s.t REPLICA IDENTITY FULL",
    "ALTER TABLE s.t RENAME TO u",
    "ALTER TABLE s.t SET SCHEMA public",
    "ALTER TABLE s.t SET UNLOGGED",
    "ALTER TABLE s.t CLUSTER ON by_time",
]

NO_CHANGES = [
    "ANALYZE s.t",
    "VACUUM s.t",
    "VACUUM FULL s.t",
    "CLUSTER s.t USING t_pkey",
    "REINDEX TABLE s.t",
    "INSERT INTO s.t (ts, v) VALUES (now(), 5); UPDATE s.t SET v = 7; DELETE FROM s.t WHERE id < 9",
    "TRUNCATE s.t",
    "TRUNCATE s.t RESTART IDENTITY",
    "SELECT nextval('s.t_id_seq')",
    "CREATE TRIGGER hyperferry_x AFTER INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()",
    "CREATE TABLE s.elsewhere (id int); CREATE VIEW s.y AS SELECT * FROM s.elsewhere",
    "CREATE PUBLICATION feed FOR TABLE s.o",
]


@pytest.fixture(scope="module")
def shared(server: servers.Server) -> Iterator[Database]:
    database = servers.make_database(server)
    yield database
    servers.drop_database(database)


@pytest.fixture
def table(shared: Database) -> Iterator[Connection]:
    with connect(shared.dsn, purpose="test") as connection:
        execute(connection, TABLE)
        yield connection
        execute(connection, "DROP PUBLICATION IF EXISTS feed")
        execute(connection, "DROP TABLE IF EXISTS public.t CASCADE")


def oid_of(connection: Connection) -> int:
    """The table's OID, which none of the changes changes."""
    row = connection.execute("SELECT 's.t'::regclass::oid::bigint").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("change", CHANGES)
def test_each_kind_of_change_changes_it(shared: Database, table: Connection, change: str) -> None:
    oid = oid_of(table)
    before = fingerprint(table, oid)
    if "{role}" in change:
        change = change.format(role=shared.make_role("owner"))
    elif change.startswith("UPDATE pg_index"):
        change = f"SET allow_system_table_mods = on; {change}"
    execute(table, change)
    assert fingerprint(table, oid) != before


@pytest.mark.parametrize("change", NO_CHANGES)
def test_what_is_no_change_leaves_it(table: Connection, change: str) -> None:
    oid = oid_of(table)
    if change.startswith("CLUSTER"):
        execute(table, "ALTER TABLE s.t CLUSTER ON t_pkey")
    before = fingerprint(table, oid)
    execute(table, change)
    assert fingerprint(table, oid) == before


def test_made_again_in_the_same_way_it_is_the_same(table: Connection) -> None:
    """But for views, rules, policies and functions it is made of names and definitions, not of OIDs."""
    execute(table, "DROP VIEW s.w, s.v; DROP POLICY p ON s.t")
    oid = oid_of(table)
    before = fingerprint(table, oid)
    execute(table, TABLE)
    execute(table, "DROP VIEW s.w, s.v; DROP POLICY p ON s.t")
    assert oid_of(table) != oid
    assert fingerprint(table, oid_of(table)) == before
    assert fingerprint(table, oid) == ""


def test_it_can_be_asked_inside_a_do_block(table: Connection) -> None:
    oid = oid_of(table)
    text = fingerprint_expression(oid).as_string(table)
    execute(
        table,
        f"DO $do$ BEGIN IF {text} IS DISTINCT FROM '{fingerprint(table, oid)}' THEN RAISE 'not the same'; "
        "END IF; END $do$",
    )


def test_on_a_hypertable_new_chunks_leave_it(table: Connection) -> None:
    execute(table, "CREATE TABLE s.h (ts timestamptz NOT NULL, v int); CREATE INDEX ON s.h (v)")
    execute(table, "SELECT public.create_hypertable('s.h', 'ts')")
    row = table.execute("SELECT 's.h'::regclass::oid::bigint").fetchone()
    assert row is not None
    before = fingerprint(table, int(row[0]))
    execute(table, "INSERT INTO s.h SELECT now() + i * interval '30 days', i FROM generate_series(1, 20) i")
    assert fingerprint(table, int(row[0])) == before
    execute(table, "CREATE INDEX ON s.h (v, ts)")
    assert fingerprint(table, int(row[0])) != before


def test_it_locks_no_other_table(table: Connection) -> None:
    """Asked inside the swap, it must not wait for a table that a view joins, or for one behind a policy."""
    execute(
        table,
        "CREATE VIEW s.joined AS SELECT t.id FROM s.t JOIN s.o USING (id);"
        "CREATE RULE r AS ON DELETE TO s.t DO ALSO DELETE FROM s.o;"
        "CREATE FUNCTION s.g() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM s.t JOIN s.o "
        "USING (id); END;"
        "CREATE POLICY other ON s.t USING (EXISTS (SELECT FROM s.o WHERE o.id = t.id))",
    )
    oid = oid_of(table)
    with table.transaction():
        fingerprint(table, oid)
        rows = table.execute(
            "SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = "
            "'relation' "
            "AND relation >= 16384 AND relation <> %s",
            [oid],
        ).fetchall()
    assert rows == []
