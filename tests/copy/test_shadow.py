"""The shadow is the source in all but what a hypertable asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql

from hyperferry.catalog import inspect
from hyperferry.copy.shadow import index_statements, key_statements, shadow_statements
from hyperferry.db import connect, execute, fetch_all, fetch_value
from hyperferry.db.connection import Connection
from hyperferry.model.inspection import Inspection
from hyperferry.model.names import Names, TableName
from hyperferry.model.plan import Plan
from hyperferry.planner import plan
from servers import Database

RICH = TableName("Ligue 1", "stats (live)")
TIME = "when (UTC)"


def make_rich_table(db: Database) -> tuple[str, str]:
    """The table of rich_table.sql; returns its owner and its reader."""
    owner, reader = db.make_role("owner"), db.make_role("reader")
    text = Path(__file__).with_name("rich_table.sql").read_text(encoding="utf-8")
    with db.connect() as conn:
        # Both roles get rights that default privileges would give to every new table: the shadow must not
        # have them.
        conn.execute(text.replace(":owner", f'"{owner}"').replace(":reader", f'"{reader}"'))
        conn.execute(
            sql.SQL("ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO {}").format(sql.Identifier(reader))
        )
        conn.execute(sql.SQL("ALTER DEFAULT PRIVILEGES GRANT UPDATE ON SEQUENCES TO PUBLIC"))
    return owner, reader


def build(conn: Connection, made: Plan, names: Names) -> None:
    """Everything in the order of a rollout, without rows."""
    for statements in (shadow_statements, key_statements, index_statements):
        for statement in statements(made, names):
            execute(conn, statement.sql)


def plan_of(conn: Connection, table: TableName, time: str) -> Plan:
    return plan(inspect(conn, table.quoted, time), ())


def described(inspection: Inspection, time_column: str) -> dict[str, object]:
    """All that the catalogs say of a table, without identifiers, sizes and the schema it stands in."""
    schema, owner = inspection.table.name.schema, inspection.table.owner

    def moved(text: str | None) -> str | None:
        for spelled in (f'"{schema}".', f"{schema}."):
            text = text.replace(f" ON {spelled}", " ON ") if text else text
            text = (
                text.replace(f"STATISTICS {spelled}", "STATISTICS ").replace(f"FROM {spelled}", "FROM ")
                if text
                else text
            )
        return text

    table = replace(
        inspection.table,
        name=TableName("", inspection.table.name.name),
        oid=0,
        kind="",
        total_bytes=0,
        heap_bytes=0,
        index_bytes=0,
        estimated_rows=0,
        grants=(),
    )
    return {
        "table": table,
        "grants": set(inspection.table.grants),
        "columns": [replace(c, number=n) for n, c in enumerate(inspection.columns)],
        "indexes": [
            replace(i, oid=0, bytes=0, definition=moved(i.definition) or "") for i in inspection.indexes
        ],
        "constraints": [c for c in inspection.constraints if (c.kind, c.columns) != ("n", (time_column,))],
        "policies": inspection.policies,
        # The owner's own rights may be written out or not: the same rights.
        "sequences": {
            (
                replace(
                    s,
                    name=TableName("", s.name.name),
                    oid=0,
                    grants=tuple(g for g in s.grants if g.grantee != owner),
                )
            )
            for s in inspection.sequences
            if s.identity
        },
        "statistics": [
            (s.name.name, s.owner, moved(s.definition), s.target, s.comment)
            for s in inspection.extended_statistics
        ],
    }


@pytest.mark.parametrize("as_owner", [False, True], ids=["superuser", "owner"])
def test_the_shadow_of_a_rich_table_is_the_table(db: Database, as_owner: bool) -> None:
    owner, _ = make_rich_table(db)
    db.execute(
        f'GRANT CREATE ON DATABASE "{db.name}" TO "{owner}"; GRANT USAGE ON SCHEMA "Ligue 1" TO "{owner}"'
    )
    names = Names(4, RICH)
    with connect(db.dsn_as(owner) if as_owner else db.dsn) as conn:
        made = (
            plan_of(conn, RICH, TIME)
            if not as_owner
            else plan(inspect(conn, RICH.quoted, TIME, scan=False), ())
        )
        build(conn, made, names)
        source = described(inspect(conn, RICH.quoted, TIME, scan=False), TIME)
        shadow = described(inspect(conn, names.shadow.quoted, TIME, scan=False), TIME)
    widened = {key.name for key in made.keys if key.widened}
    assert widened == {"pk (id)", "uq, deferrable", "one (slug)", "nnd"}
    for part in ("table", "grants", "columns", "policies", "sequences", "statistics"):
        assert shadow[part] == source[part], part
    for part in ("indexes", "constraints"):
        before = {thing.name: thing for thing in source[part]}  # type: ignore[attr-defined]
        after = {thing.name: thing for thing in shadow[part]}  # type: ignore[attr-defined]
        assert before.keys() == after.keys()
        for name in before:
            if name not in widened:
                assert after[name] == before[name]


def test_widened_keys_keep_all_but_their_width(db: Database) -> None:
    make_rich_table(db)
    names = Names(4, RICH)
    with connect(db.dsn) as conn:
        build(conn, plan_of(conn, RICH, TIME), names)
        made = {i.name: i for i in inspect(conn, names.shadow.quoted, TIME, scan=False).indexes}
        constraints = fetch_all(
            conn,
            "SELECT conname, pg_get_constraintdef(oid), condeferrable, condeferred, obj_description(oid) "
            "FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u') ORDER BY 1",
            [names.shadow.quoted],
        )
    assert made["pk (id)"].tail == """USING btree (id, "when (UTC)") INCLUDE (nick) WITH (fillfactor='70')"""
    assert made["pk (id)"].primary
    assert made["pk (id)"].comment == "the key's index"
    assert made["one (slug)"].tail == (
        """USING btree ("Ligue 1".slug("player ""GOAT"" name") COLLATE "POSIX" DESC NULLS LAST, id, """
        """"when (UTC)") """
        """INCLUDE (note) WITH (fillfactor='60') """
        """WHERE (((points)::numeric > (1)::numeric) AND (note <> 'WHERE ('::text))"""
    )
    assert made["nnd"].nulls_not_distinct
    assert constraints == [
        ("pk (id)", 'PRIMARY KEY (id, "when (UTC)") INCLUDE (nick)', False, False, "the key"),
        (
            "uq, deferrable",
            'UNIQUE (serie, phase, "when (UTC)") DEFERRABLE INITIALLY DEFERRED',
            True,
            True,
            None,
        ),
        ("with time", 'UNIQUE ("when (UTC)", "player ""GOAT"" name")', False, False, None),
    ]


def test_the_shadow_takes_every_row_as_it_is(db: Database) -> None:
    make_rich_table(db)
    db.execute('DELETE FROM "Ligue 1"."stats (live)" WHERE points <= 2')  # the check that is not valid yet
    names = Names(9, RICH)
    with connect(db.dsn) as conn:
        made = plan_of(conn, RICH, TIME)
        build(conn, made, names)
        columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in made.inspection.writable_columns)
        execute(
            conn,
            sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}").format(
                sql.Identifier(*names.shadow.quoted[1:-1].split('"."')),
                columns,
                columns,
                sql.SQL(RICH.quoted),
            ),
        )
        both = [
            fetch_all(conn, sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.SQL(name.quoted)))
            for name in (RICH, names.shadow)
        ]
        assert len(both[0]) > 500
        assert both[0] == both[1]
        # A chunk has what the columns were given, too.
        assert fetch_value(
            conn,
            "SELECT bool_and(a.attstorage = 'e' AND a.attcompression = 'p') "
            "FROM public.show_chunks(%s::regclass) c "
            "JOIN pg_attribute a ON a.attrelid = c AND a.attname = 'note'",
            [names.shadow.quoted],
        )


def test_what_only_postgresql_18_has(db: Database) -> None:
    if db.release != "testing":
        pytest.skip("virtual columns and NOT NULL constraints with names came with PostgreSQL 18")
    db.execute(
        "CREATE TABLE t (id int, at timestamptz, a int CONSTRAINT a_there NOT NULL, b int, "
        "v int GENERATED ALWAYS AS (a * 2) VIRTUAL, CONSTRAINT late CHECK (a > 0) NOT ENFORCED, "
        "PRIMARY KEY (id));"
        "COMMENT ON CONSTRAINT a_there ON t IS 'named';"
        "INSERT INTO t VALUES (1, '2024-01-01', 1, NULL);"
        "ALTER TABLE t ADD CONSTRAINT b_later NOT NULL b NOT VALID"
    )
    names = Names(1, TableName("public", "t"))
    with connect(db.dsn) as conn:
        build(conn, plan_of(conn, names.table, "at"), names)
        found = [inspect(conn, name.quoted, "at", scan=False) for name in (names.table, names.shadow)]
    assert found[0].columns[2:] == found[1].columns[2:]
    constraints = [
        {(c.name, c.definition, c.validated, c.enforced, c.comment) for c in f.constraints if c.kind in "cn"}
        for f in found
    ]
    assert constraints[0] <= constraints[1]
    assert {c[0] for c in constraints[1] - constraints[0]} == {
        "t_at_not_null"
    }  # a hypertable's time is NOT NULL


def test_tablespaces_are_kept(db: Database) -> None:
    space = f"space {db.name}"
    with db.connect() as conn:
        conn.execute("SET allow_in_place_tablespaces = on")
        conn.execute(sql.SQL("CREATE TABLESPACE {} LOCATION ''").format(sql.Identifier(space)))
    try:
        db.execute(
            f'CREATE TABLE t (id int, at timestamptz) TABLESPACE "{space}"; '
            f'ALTER TABLE t ADD PRIMARY KEY (id) WITH (fillfactor = 50) USING INDEX TABLESPACE "{space}"; '
            f'CREATE INDEX i ON t (at) TABLESPACE "{space}" WHERE id > 0; '
            f'CREATE UNIQUE INDEX u ON t (at, id) TABLESPACE "{space}"'
        )
        names = Names(1, TableName("public", "t"))
        with connect(db.dsn) as conn:
            build(conn, plan_of(conn, names.table, "at"), names)
            shadow = inspect(conn, names.shadow.quoted, "at", scan=False)
        assert shadow.table.tablespace == space
        assert {i.name: i.tablespace for i in shadow.indexes} == {"t_pkey": space, "i": space, "u": space}
        db.execute("DROP SCHEMA hyperferry_new_1 CASCADE; DROP TABLE t")
    finally:
        with db.connect() as conn:
            conn.execute(sql.SQL("DROP TABLESPACE IF EXISTS {}").format(sql.Identifier(space)))


@pytest.mark.parametrize("identity", ["FULL", "NOTHING"])
def test_replica_identity_and_forced_row_security(db: Database, identity: str) -> None:
    db.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz); ALTER TABLE t REPLICA IDENTITY {identity};"
        "ALTER TABLE t FORCE ROW LEVEL SECURITY; REVOKE ALL ON t FROM CURRENT_USER; "
        "GRANT SELECT ON t TO CURRENT_USER"
    )
    names = Names(1, TableName("public", "t"))
    with connect(db.dsn) as conn:
        build(conn, plan_of(conn, names.table, "at"), names)
        found = [inspect(conn, name.quoted, "at", scan=False).table for name in (names.table, names.shadow)]
    for fact in ("replica_identity", "row_security", "row_security_forced", "grants", "owner"):
        assert getattr(found[0], fact) == getattr(found[1], fact), fact


def test_a_hypertable_of_old_has_no_replica_identity(db: Database) -> None:
    """Before TimescaleDB 2.12 it is refused; preflight says that the hypertable goes without."""
    db.execute(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, UNIQUE (id, at)); ALTER TABLE t ALTER at SET NOT NULL; "
        "ALTER TABLE t REPLICA IDENTITY USING INDEX t_id_at_key; CREATE TABLE u (id int PRIMARY KEY, at timestamptz); "
        "ALTER TABLE u REPLICA IDENTITY FULL"
    )
    for table in ("t", "u"):
        names = Names(1, TableName("public", table))
        with connect(db.dsn) as conn:
            plan = plan_of(conn, names.table, "at")
        for version, times in (("2.12.0", 1), ("2.11.2", 0)):
            server = replace(plan.inspection.server, timescaledb_installed=version)
            old = replace(plan, inspection=replace(plan.inspection, server=server))
            texts = [s.text for s in (*shadow_statements(old, names), *key_statements(old, names))]
            assert sum("REPLICA IDENTITY" in text for text in texts) == times, (table, version)


def test_a_name_that_ends_our_quotes(db: Database) -> None:
    table = TableName("public", 'a$hyperferry$"; DROP TABLE keep; --')
    db.execute(f"CREATE TABLE keep (); CREATE TABLE {table.quoted} (id int PRIMARY KEY, at timestamptz)")
    names = Names(1, table)
    with connect(db.dsn) as conn:
        build(conn, plan_of(conn, table, "at"), names)
    assert db.execute("SELECT to_regclass('public.keep') IS NOT NULL") == [(True,)]


def test_the_preview_is_readable(db: Database) -> None:
    db.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamptz)")
    names = Names(3, TableName("public", "t"))
    with connect(db.dsn) as conn:
        texts = [s.text for s in shadow_statements(plan_of(conn, names.table, "at"), names)]
    assert texts[0] == 'CREATE SCHEMA "hyperferry_new_3" AUTHORIZATION "postgres"'
    assert texts[2] == (
        'CREATE TABLE "hyperferry_new_3"."t" (\n  "id" integer'
        + (' CONSTRAINT "t_id_not_null"' if db.release == "testing" else "")
        + ' NOT NULL,\n  "at" timestamp with time zone\n)\nUSING "heap"'
    )
    assert (
        """SELECT "public"."create_hypertable"('"hyperferry_new_3"."t"'::pg_catalog.regclass, 'at', """
        """chunk_time_interval => INTERVAL '7 days', create_default_indexes => false)""" in texts
    )
