"""What `inspect` says of a table is what was done to it, whatever its names are."""

from __future__ import annotations

import pytest

import servers
from hyperferry.catalog import inspect, resolve_table
from hyperferry.catalog.scan import estimate_scan_seconds
from hyperferry.db import connect
from hyperferry.errors import Usage
from hyperferry.model.names import TableName
from servers import Database

AWKWARD = '"my.schema"."Weird ""Näme"'
LONG = "n" * 63


def test_awkward_names_come_back_exactly(db: Database) -> None:
    db.execute(
        f"""
        CREATE SCHEMA "my.schema";
        CREATE TABLE {AWKWARD} (
            id bigserial PRIMARY KEY, "Time ""x" timestamptz NOT NULL, v numeric(10, 2),
            "b)" text COLLATE "C" DEFAULT ';--');
        CREATE INDEX "odd ON x USING btree (" ON {AWKWARD} (lower("b)") DESC, v NULLS FIRST) INCLUDE (id)
            WITH (fillfactor = 70) WHERE v > 0;
        COMMENT ON COLUMN {AWKWARD}."b)" IS 'it''s';
        GRANT SELECT ("b)") ON {AWKWARD} TO PUBLIC;
        CREATE VIEW public."a.b" WITH (security_barrier) AS SELECT "b)" FROM {AWKWARD};
        CREATE STATISTICS "my.schema"."st ats" ON id, v FROM {AWKWARD};
        INSERT INTO {AWKWARD} ("Time ""x", v) SELECT '2024-01-01'::timestamptz + i * interval '1 day', i
            FROM generate_series(1, 100) i;
        """
    )
    with connect(db.dsn) as connection:
        seen = inspect(connection, AWKWARD, 'Time "x')
    assert seen.table.name == TableName("my.schema", 'Weird "Näme')
    assert [column.name for column in seen.columns] == ["id", 'Time "x', "v", "b)"]
    assert [column.type_sql for column in seen.columns][2] == "numeric(10,2)"
    assert seen.columns[3].collation == 'pg_catalog."C"'
    assert seen.columns[3].comment == "it's"
    key, index = seen.indexes
    assert key.primary
    assert key.constraint == 'Weird "Näme_pkey'
    assert key.columns[0].equals == "OPERATOR(pg_catalog.=)"
    assert index.name == "odd ON x USING btree ("
    assert index.tail.startswith(
        'USING btree (lower("b)") DESC, v NULLS FIRST) INCLUDE (id) WITH (fillfactor='
    )
    assert [column.column for column in index.columns] == [None, "v"]
    assert index.included == ("id",)
    assert index.predicate == "(v > (0)::numeric)"
    (view,) = seen.dependents
    assert (view.name, view.options, view.via) == (
        TableName("public", "a.b"),
        ("security_barrier=true",),
        ("columns",),
    )
    (grant,) = (grant for grant in seen.table.grants if grant.column)
    assert (grant.grantee, grant.privilege, grant.column) == ("", "SELECT", "b)")
    assert seen.sequences[0].name == TableName("my.schema", 'Weird "Näme_id_seq')
    assert seen.extended_statistics[0].name.name == "st ats"
    assert seen.scan is not None
    assert (seen.scan.rows, seen.scan.buckets) == (100, 15)
    assert (seen.scan.minimum, seen.scan.maximum) == ("2024-01-02 00:00:00+00", "2024-04-10 00:00:00+00")


def test_names_of_63_bytes(db: Database) -> None:
    db.execute(f'CREATE TABLE "{LONG}" ("{LONG}" timestamptz PRIMARY KEY)')
    with connect(db.dsn) as connection:
        seen = inspect(connection, LONG, LONG)
        assert seen.time is not None
        assert seen.indexes[0].tail == f"USING btree ({LONG})"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Metrics", TableName("public", "metrics")),
        ('"Metrics"', TableName("app", "Metrics")),
        ("app.METRICS", TableName("app", "metrics")),
        ('APP."Metrics"', TableName("app", "Metrics")),
        ("only_app", TableName("app", "only_app")),
    ],
)
def test_a_name_is_read_as_sql_reads_it_in_the_users_own_search_path(
    db: Database, text: str, meant: TableName
) -> None:
    db.execute(
        "CREATE SCHEMA app; CREATE TABLE metrics (); CREATE TABLE app.metrics ();"
        'CREATE TABLE app."Metrics" ();'
        f'CREATE TABLE app.only_app (); ALTER DATABASE "{db.name}" SET search_path = nowhere, public, app'
    )
    with connect(db.dsn) as connection:
        assert resolve_table(connection, text)[1] == meant
        assert connection.execute("SHOW search_path").fetchone() == ("pg_catalog, pg_temp",)


def test_a_wrong_name_is_wrong_usage_and_near_names_are_told(db: Database) -> None:
    db.execute('CREATE SCHEMA app; CREATE TABLE app."Metrics" ()')
    with connect(db.dsn) as connection:
        with pytest.raises(Usage) as caught:
            inspect(connection, "metrics", "ts")
        assert caught.value.facts["near names"] == 'app."Metrics"'
        for text in ("", "a.b.c", '"open', "x; DROP TABLE y", "1abc"):
            with pytest.raises(Usage):
                inspect(connection, text, "ts")


def test_a_missing_or_odd_time_column_is_no_error_here(db: Database) -> None:
    db.execute("CREATE TABLE t (id int PRIMARY KEY, note text)")
    with connect(db.dsn) as connection:
        assert inspect(connection, "t", "nope").scan is None
        assert inspect(connection, "t", "note").scan is None
        assert inspect(connection, "t", "id", scan=False).scan is None


@pytest.mark.parametrize("interval", ["0", "-1", "1.5", "1 day", "x"])
def test_an_interval_that_an_integer_column_cannot_have(db: Database, interval: str) -> None:
    db.execute("CREATE TABLE t (ts bigint)")
    with connect(db.dsn) as connection, pytest.raises(Usage):
        inspect(connection, "t", "ts", interval=interval)


def test_the_scan_finds_what_a_hypertable_would_refuse(db: Database) -> None:
    db.execute(
        "CREATE TABLE t (ts timestamptz, v int);"
        "INSERT INTO t SELECT '2024-01-04'::timestamptz + i * interval '1 hour', i FROM "
        "generate_series(0, 167) i;"
        "INSERT INTO t VALUES (NULL, 1), ('infinity', 2), ('-infinity', -3), ('3024-01-01', 4), "
        "('2024-01-03 23:59', 5);"
        "ALTER TABLE t ADD CONSTRAINT plus CHECK (v > 0) NOT VALID, ADD CONSTRAINT fine CHECK (v < 999) "
        "NOT VALID"
    )
    with connect(db.dsn) as connection:
        seen = inspect(connection, "t", "ts", interval="7 days")
    scan = seen.scan
    assert scan is not None
    # Weeks begin on Thursdays, as 1970-01-01 did: 2024-01-04 was one.
    assert (scan.rows, scan.nulls, scan.infinite, scan.buckets) == (173, 1, 2, 3)
    assert (scan.far_rows, scan.far_buckets, scan.far_examples) == (1, 1, ("3024-01-01 00:00:00+00",))
    assert scan.check_violations == (("plus", 2),)
    assert estimate_scan_seconds(seen.table) < 1


def test_buckets_are_what_timescaledb_makes_chunks_of(db: Database) -> None:
    """For each type of time, as many buckets as there are chunks afterwards."""
    for type_sql, values, interval in (
        ("timestamptz", "'1969-11-01'::timestamptz + i * interval '31 hours'", "7 days"),
        ("timestamp", "'1969-11-01'::timestamp + i * interval '31 hours'", "36 hours"),
        ("date", "'1969-11-01'::date + i", "1 month"),
        ("bigint", "(i - 40) * 77", "1000"),
        ("smallint", "(i - 40) * 77", "500"),
    ):
        db.execute("DROP TABLE IF EXISTS t CASCADE")
        db.execute(f"CREATE TABLE t (ts {type_sql} NOT NULL)")
        db.execute(f"INSERT INTO t SELECT {values} FROM generate_series(1, 150) i")
        with connect(db.dsn) as connection:
            scan = inspect(connection, "t", "ts", interval=interval).scan
        width = interval if type_sql in ("bigint", "smallint") else f"interval '{interval}'"
        db.execute(
            f"SELECT create_hypertable('t', 'ts', chunk_time_interval => {width}, migrate_data => true)"
        )
        ((chunks,),) = db.execute("SELECT count(*) FROM show_chunks('t')")
        assert scan is not None
        assert scan.buckets == chunks, type_sql


def test_views_on_views_are_found_with_the_longest_way(db: Database) -> None:
    db.execute(
        "CREATE TABLE t (id int PRIMARY KEY, ts timestamptz, v int); CREATE VIEW a AS SELECT * FROM t;"
        "CREATE VIEW b AS SELECT * FROM a; CREATE VIEW c AS SELECT b.* FROM b JOIN t USING (id);"
        "CREATE VIEW k AS SELECT id, v FROM t GROUP BY id;"
    )
    with connect(db.dsn) as connection:
        seen = inspect(connection, "t", "ts").dependents
    assert {d.name.name: (d.depth, d.via) for d in seen} == {
        "a": (1, ("columns",)),
        "b": (2, ()),
        "c": (3, ("columns",)),
        "k": (1, ("columns", "key")),
    }


def test_without_timescaledb_the_facts_are_there_all_the_same(server: servers.Server) -> None:
    db = servers.make_database(server)
    try:
        db.execute("DROP EXTENSION timescaledb")
        db.execute("CREATE TABLE t (ts timestamptz NOT NULL); INSERT INTO t VALUES (now())")
        db.execute("ALTER TABLE t ADD UNIQUE (ts); CREATE TABLE p (ts timestamptz REFERENCES t (ts))")
        db.execute("CREATE TABLE c (FOREIGN KEY (ts) REFERENCES t (ts)) INHERITS (p)")
        with connect(db.dsn) as connection:
            seen = inspect(connection, "t", "ts")
        assert seen.server.timescaledb_installed is None
        assert {key.table.name for key in seen.inbound_keys} == {"p", "c"}
        assert seen.server.timescaledb_available is not None
        assert seen.server.timescaledb_preloaded is True
        assert seen.scan is not None
        assert seen.scan.rows == 1
    finally:
        servers.drop_database(db)


def test_a_role_without_rights_gets_facts_and_no_scan(db: Database) -> None:
    stranger = db.make_role("stranger")
    db.execute("CREATE TABLE t (ts timestamptz NOT NULL, n serial); CREATE VIEW v AS SELECT ts FROM t")
    with connect(db.dsn_as(stranger)) as connection:
        seen = inspect(connection, "t", "ts")
    assert seen.scan is None
    assert not seen.rights.select
    assert seen.needs is not None
    assert {need.kind for need in seen.needs.missing} >= {"member", "schema"}
    assert not seen.dependents[0].owned
    assert not seen.activity.transactions_visible


def test_a_columns_options_are_the_users_alone(db: Database) -> None:
    """PostgreSQL 17.12 notes a version of its own among them, another for each table."""
    db.execute("CREATE TABLE t (id int, at timestamptz); ALTER TABLE t ALTER id SET (n_distinct = 5)")
    with connect(db.dsn) as conn:
        found = {column.name: column.options for column in inspect(conn, "t", "at").columns}
    assert found == {"id": ("n_distinct=5",), "at": ()}


def test_a_key_that_points_at_the_table_is_listed_unless_another_table_brings_it(db: Database) -> None:
    """A table that inherits has its key to itself; a partition and a chunk have it from their parents."""
    up = "FOREIGN KEY (id, ts) REFERENCES t"
    db.execute(
        "CREATE TABLE t (id int, ts timestamptz, PRIMARY KEY (id, ts)); INSERT INTO t VALUES (1, '2024-01-01');"
        f"CREATE TABLE orders (id int, ts timestamptz, CONSTRAINT up {up});"
        f"CREATE TABLE orders_2023 (CONSTRAINT up_2023 {up}) INHERITS (orders);"
        f"CREATE TABLE parted (id int, ts timestamptz, CONSTRAINT up_parted {up}) PARTITION BY LIST (id);"
        "CREATE TABLE part PARTITION OF parted FOR VALUES IN (1);"
        f"CREATE TABLE cut (id int, ts timestamptz NOT NULL, CONSTRAINT up_cut {up}); SELECT create_hypertable('cut', 'ts');"
        "INSERT INTO cut SELECT * FROM t"
    )
    assert db.execute("SELECT count(*) FROM show_chunks('cut')") == [(1,)]
    with connect(db.dsn) as connection:
        seen = inspect(connection, "t", "ts")
    found = {key.identity: key.hypertable for key in seen.inbound_keys}
    assert found == {
        "public.orders.up": False,
        "public.orders_2023.up_2023": False,
        "public.parted.up_parted": False,
        "public.cut.up_cut": True,
    }
