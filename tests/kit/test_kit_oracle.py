"""The oracle tells apart what is not the same, and nothing else."""

from __future__ import annotations

import pytest
from psycopg import sql

from kit import oracle, tables
from servers import Database

LEFT, RIGHT = sql.Identifier("public", "l"), sql.Identifier("public", "r")


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("numeric", "1.0", "1.00"),
        ("float8", "0", "-0"),
        ("interval", "1 mon", "30 days"),
        ("json", '{"a":1}', '{"a": 1}'),
        ("jsonb", '{"a":1.0}', '{"a":1.00}'),
        ("text", "", None),
        ("text", "NULL", None),
        ("numeric[]", "{1.0}", "{1.00}"),
        ("point", "(0,0)", "(-0,0)"),
    ],
)
def test_values_that_are_not_the_same(db: Database, kind: str, one: str, other: str | None) -> None:
    with db.connect() as conn:
        for table, value in ((LEFT, one), (RIGHT, other)):
            conn.execute(
                sql.SQL("CREATE TABLE {t} (v {k}); INSERT INTO {t} VALUES ({v}), ({v})").format(
                    t=table,
                    k=sql.SQL(kind),
                    v=sql.Literal(value),
                )
            )
        assert oracle.differences(conn, LEFT, LEFT, ["v"]) == []
        assert len(oracle.differences(conn, LEFT, RIGHT, ["v"])) == 4
        with pytest.raises(AssertionError):
            oracle.assert_same_rows(conn, LEFT, RIGHT, ["v"])


def test_a_duplicate_less_is_a_difference(db: Database) -> None:
    with db.connect() as conn:
        table = tables.keyless(conn)
        conn.execute("CREATE TABLE l AS TABLE readings; CREATE TABLE r AS TABLE readings")
        oracle.assert_same_rows(conn, LEFT, RIGHT, table.columns)
        conn.execute("DELETE FROM r WHERE ctid = (SELECT max(ctid) FROM r)")
        assert len(oracle.differences(conn, LEFT, RIGHT, table.columns)) == 1


def test_a_description_shows_every_change(db: Database) -> None:
    with db.connect() as conn:
        table = tables.player_stats(conn, 10)
        seen = oracle.describe(conn, table)
        assert oracle.describe(conn, table) == seen
        for change in (
            "GRANT SELECT ON player_stats TO PUBLIC",
            "GRANT SELECT (id) ON player_stats TO PUBLIC",
            "COMMENT ON TABLE player_stats IS 'x'",
            "CREATE VIEW v AS SELECT id FROM player_stats",
            "ALTER VIEW v SET (security_barrier)",
            "CREATE INDEX i ON player_stats (value)",
            "ALTER TABLE player_stats ALTER value SET STATISTICS 7",
            "ALTER SEQUENCE player_stats_id_seq OWNED BY NONE",
            "CREATE STATISTICS st ON id, value FROM player_stats",
            "ALTER TABLE player_stats ENABLE ROW LEVEL SECURITY",
        ):
            conn.execute(change)
            now = oracle.describe(conn, table)
            assert now != seen, change
            seen = now


def test_a_schema_dump_leaves_the_ledger_out(db: Database) -> None:
    with db.connect() as conn:
        tables.player_stats(conn, 10)
        pg_dump = db.server.program("pg_dump")
        if not pg_dump.is_absolute():
            pytest.skip("no pg_dump of this server's version is known")
        before = oracle.schema_dump(db.dsn, pg_dump)
        assert "CREATE TABLE public.player_stats" in before
        conn.execute("CREATE SCHEMA hyperferry; CREATE TABLE hyperferry.x (); CREATE SCHEMA hyperferry_new_1")
        assert oracle.schema_dump(db.dsn, pg_dump) == before
        conn.execute("CREATE INDEX ON player_stats (value)")
        assert oracle.schema_dump(db.dsn, pg_dump) != before
