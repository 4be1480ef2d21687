"""The whole job for tables of every kind, with the application at work before, during and after; judged by PostgreSQL alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from job import HOURS, THIRDS, Job, Make, eventually

from hyperferry.model.plan_options import PlanOptions
from kit import tables
from kit.oracle import describe, schema_dump
from servers import Database


@dataclass(frozen=True)
class Story:
    """A kind of table: how it is made, its chunk interval, and what the application does to it, again and again. `%(n)s` is a
    number that grows. `moves`: what a hypertable refuses, done before the cutover alone."""

    make: Any
    changes: tuple[str, ...]
    moves: tuple[str, ...] = ()
    interval: str = "20 days"
    time: str = "at"


def plain(text: str) -> str:
    """A table `t` of this definition with 400 rows; `{at}` is the time's expression."""
    return text + "CREATE INDEX ON t (at);"


STORIES = {
    "keyed": Story(
        lambda conn: tables.player_stats(conn, rows=1500, days=100),
        (
            "INSERT INTO {table} (player_id, game_id, stat_type, value, game_date) SELECT %(n)s, 1, 'new', %(n)s, "
            "timestamptz '2020-08-03' + %(n)s * interval '1 hour' FROM generate_series(1, 3)",
            "UPDATE {table} SET value = value + 0.01 WHERE id %% 50 = %(n)s %% 50",
            "DELETE FROM {table} WHERE id = %(n)s * 3",
            "UPDATE {table} SET value = 1.00 WHERE player_id = %(n)s",
            "UPDATE {table} SET game_date = game_date + interval '1 second' WHERE id = %(n)s * 7 + 1",
        ),
        ("UPDATE {table} SET game_date = game_date + interval '30 days' WHERE id %% 100 = %(n)s %% 100",),
        time="game_date",
    ),
    "keyless": Story(
        lambda conn: tables.keyless(conn, rows=600),
        (
            "INSERT INTO {table} SELECT * FROM {table} WHERE sensor = %(n)s %% 4 ORDER BY at LIMIT 3",
            "INSERT INTO {table} VALUES (timestamp '2024-03-01', NULL, NULL, NULL), (timestamp '2024-03-01', NULL, NULL, NULL)",
            "DELETE FROM {table} WHERE ctid IN (SELECT min(ctid) FROM {table} WHERE sensor IS NULL)",
            "UPDATE {table} SET note = NULL WHERE value = %(n)s %% 9",
            "UPDATE {table} SET value = 1.000 WHERE value = 1 AND sensor = %(n)s %% 4",
        ),
        ("UPDATE {table} SET at = at + interval '40 days' WHERE extract(day FROM at) = %(n)s %% 28",),
    ),
    "composite": Story(
        lambda conn: tables.composite(conn, rows=900),
        (
            "INSERT INTO {table} VALUES ('new', %(n)s / 3.0, %(n)s, '2024-01-02', NULL)",
            "UPDATE {table} SET price = -price WHERE seq %% 30 = %(n)s %% 30",
            "DELETE FROM {table} WHERE seq = %(n)s * 2",
            "UPDATE {table} SET symbol = symbol + 1000 WHERE seq = %(n)s * 5",
        ),
        ("UPDATE {table} SET at = at + interval '60 days' WHERE seq %% 100 = %(n)s %% 100",),
        interval="1 day",
    ),
    "awkward": Story(
        lambda conn: tables.awkward(conn, rows=300),
        (
            'INSERT INTO {table} ("%%s ""id"" {{0}}", "when (UTC)") VALUES (5000 + %(n)s, timestamptz \'2024-01-02\')',
            "UPDATE {table} SET \"select\" = \"select\" + 1 WHERE \"%%s \"\"id\"\" {{0}}\" %% 20 = %(n)s %% 20",
            "DELETE FROM {table} WHERE \"%%s \"\"id\"\" {{0}}\" = %(n)s * 2",
        ),
        ('UPDATE {table} SET "when (UTC)" = "when (UTC)" + interval \'50 days\' WHERE "%%s ""id"" {{0}}" = %(n)s * 3',),
        interval="3 days",
        time="when (UTC)",
    ),
    "rich": Story(
        lambda conn: tables.rich(conn, rows=200),
        (
            "UPDATE {table} SET free = 1.000, f8 = '-0', js = '{{\"b\":  1}}', span = '30 days' WHERE id %% 20 = %(n)s %% 20",
            "UPDATE {table} SET nums = ARRAY[1.0, 1.00], p = NULL, x = '<b/>', padded = 'a ' WHERE id = %(n)s",
            "DELETE FROM {table} WHERE id = %(n)s * 4",
            "INSERT INTO {table} (id, at, free) VALUES (9000 + %(n)s, '2024-01-20', 'NaN')",
        ),
        ("UPDATE {table} SET at = at + interval '45 days' WHERE id = %(n)s + 50",),
    ),
    "integer time": Story(
        tables.integer_time,
        (
            "INSERT INTO {table} VALUES (%(n)s, 77, '\\x00')",
            "UPDATE {table} SET hash = hash || '\\x01' WHERE height %% 100 = %(n)s",
            "DELETE FROM {table} WHERE height = %(n)s * 3 AND chain = 1",
        ),
        ("UPDATE {table} SET height = height + 5000 WHERE height = %(n)s * 7 AND chain = 0",),
        interval="300",
    ),
    "text keys": Story(
        tables.text_keys,
        (
            "UPDATE {table} SET note = upper(note) WHERE label = 'label ' || %(n)s * 2",
            "UPDATE {table} SET label = upper(label) WHERE label = 'label ' || %(n)s * 3",
            "DELETE FROM {table} WHERE label = 'LABEL ' || %(n)s * 5",
            "INSERT INTO {table} VALUES ('Extra ' || %(n)s, '2024-01-05', NULL)",
        ),
        ("UPDATE {table} SET at = at + interval '25 days' WHERE label = 'label ' || %(n)s * 7",),
        interval="3 days",
    ),
    "case-blind text keys of an extension": Story(
        tables.citext_keys,
        (
            "UPDATE {table} SET handle = upper(handle::text)::extras.citext WHERE handle OPERATOR(extras.=) ('user' || %(n)s)::extras.citext",
            "DELETE FROM {table} WHERE handle::text = 'User' || (%(n)s + 200)",
            "INSERT INTO {table} VALUES ('Extra' || %(n)s, '2024-01-05', NULL)",
        ),
        interval="3 days",
    ),
    "keys of types with dots in their names": Story(
        plain('CREATE SCHEMA "my.types"; CREATE TYPE "My.Enum" AS ENUM (\'a\', \'b\'); CREATE TYPE "my.types".word AS ENUM (\'x\', \'y\');'
              'CREATE TABLE t (k "My.Enum", d "my.types".word, n integer, at timestamptz NOT NULL, v text, PRIMARY KEY (k, d, n));'
              "INSERT INTO t SELECT (CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END)::\"My.Enum\", (CASE WHEN i % 3 = 0 THEN 'x' ELSE 'y' END)::\"my.types\".word, "
              "i, timestamptz '2024-01-01' + i * interval '2 hours', 'row' FROM generate_series(1, 400) AS i;"),
        (
            "UPDATE {table} SET v = v || '!' WHERE n %% 40 = %(n)s %% 40",
            "UPDATE {table} SET k = 'a' WHERE n = %(n)s * 3",
            "DELETE FROM {table} WHERE n = %(n)s * 5 + 1",
            "INSERT INTO {table} VALUES ('b', 'x', 1000 + %(n)s, '2024-01-09', 'new')",
        ),
        ("UPDATE {table} SET at = at + interval '25 days' WHERE n = %(n)s * 7",),
        interval="3 days",
    ),
    "a key of a domain over an enum": Story(
        plain("CREATE TYPE word AS ENUM ('x', 'y'); CREATE DOMAIN said AS word;"
              "CREATE TABLE t (d said, n integer, at timestamptz NOT NULL, v text, PRIMARY KEY (d, n));"
              "INSERT INTO t SELECT (CASE WHEN i % 3 = 0 THEN 'x' ELSE 'y' END)::said, i, timestamptz '2024-01-01' + i * interval '2 hours', 'row' "
              "FROM generate_series(1, 400) AS i;"),
        (
            "UPDATE {table} SET v = v || '!' WHERE n %% 40 = %(n)s %% 40",
            "UPDATE {table} SET d = 'x' WHERE n = %(n)s * 5",
            "DELETE FROM {table} WHERE n = %(n)s * 5 + 1",
            "INSERT INTO {table} VALUES ('y', 1000 + %(n)s, '2024-01-09', 'new')",
        ),
        ("UPDATE {table} SET at = at + interval '25 days' WHERE n = %(n)s * 7",),
        interval="3 days",
    ),
    "date time, identity always": Story(
        plain("CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at date NOT NULL, v numeric);"
              "INSERT INTO t (at, v) SELECT date '2024-01-01' + i / 8, i FROM generate_series(1, 400) AS i;"),
        (
            "INSERT INTO {table} (at, v) VALUES (date '2024-01-01' + %(n)s %% 40, %(n)s)",
            "UPDATE {table} SET v = round(v, %(n)s %% 5) WHERE id %% 40 = %(n)s %% 40",
            "DELETE FROM {table} WHERE id = %(n)s * 3",
        ),
        ("UPDATE {table} SET at = at + 60 WHERE id = %(n)s * 4",),
    ),
    "timestamp time, unique values, dropped column": Story(
        plain("CREATE TABLE t (gone text, id uuid PRIMARY KEY, u integer UNIQUE, at timestamp NOT NULL, v text DEFAULT 'd');"
              "ALTER TABLE t DROP gone;"
              "INSERT INTO t SELECT md5(i::text)::uuid, i, timestamp '2024-01-01' + i / 20 * interval '1 day' FROM generate_series(1, 400) AS i;"),
        (
            "INSERT INTO {table} VALUES (md5('new' || %(n)s)::uuid, 1000 + %(n)s, timestamp '2024-01-08', NULL)",
            "UPDATE {table} SET u = CASE WHEN u = %(n)s * 10 THEN NULL ELSE u END, v = 'x' WHERE u %% 10 = %(n)s %% 10",
            "DELETE FROM {table} WHERE u = %(n)s * 3 + 1",
        ),
        ("UPDATE {table} SET at = at + interval '33 days' WHERE u %% 50 = %(n)s %% 50",),
    ),
    "policies, checks and triggers that speak of columns": Story(
        plain("CREATE TABLE t (id integer PRIMARY KEY, at timestamptz NOT NULL, v text, n integer CHECK (n < 1000000), "
              "twice integer GENERATED ALWAYS AS (n * 2) STORED);"
              "CREATE POLICY few ON t USING (n > 3) WITH CHECK (v <> ''); ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
              "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
              "CREATE TRIGGER u BEFORE UPDATE OF v ON t FOR EACH ROW WHEN (OLD.n > 3) EXECUTE FUNCTION f();"
              "CREATE STATISTICS st (dependencies) ON v, n FROM t; CREATE INDEX lowered ON t (lower(v)) WHERE n > 3;"
              "INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '2 hours', 'x', i FROM generate_series(1, 400) AS i;"),
        ("INSERT INTO {table} VALUES (1000 + %(n)s, '2024-01-09', 'new', 4)", "UPDATE {table} SET n = n + 1, v = 'y' WHERE id %% 40 = %(n)s %% 40"),
    ),
    "empty": Story(
        plain("CREATE TABLE t (id integer PRIMARY KEY, at timestamptz NOT NULL);"),
        ("INSERT INTO {table} SELECT %(n)s, now()", "DELETE FROM {table} WHERE id = %(n)s - 2"),
    ),
    "one row": Story(
        plain("CREATE TABLE t (id integer PRIMARY KEY, at timestamptz NOT NULL, v text); INSERT INTO t VALUES (0, '2024-01-01', 'x');"),
        ("INSERT INTO {table} VALUES (%(n)s, '2024-01-02', 'y')", "UPDATE {table} SET v = v || 'z' WHERE id < 3"),
    ),
}  # fmt: skip


class Application:
    """One session that does its changes in turn until it is told to stop. It must see no error."""

    def __init__(self, job: Job, changes: tuple[str, ...]) -> None:
        self.job, self.changes, self.n = job, changes, 0
        self.error: BaseException | None = None

    def once(self, conn: psycopg.Connection[Any]) -> None:
        """Each change once."""
        self.n += 1
        for text in self.changes:
            conn.execute(psycopg.sql.SQL(text).format(table=self.job.table.ident), {"n": self.n})  # type: ignore[arg-type]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """At work in a thread meanwhile."""
        over = threading.Event()

        def run() -> None:
            try:
                with self.job.db.connect() as conn:
                    while not over.is_set():
                        self.once(conn)
                        time.sleep(0.05)
            except BaseException as error:
                self.error = error

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        began = self.n
        try:
            eventually("the application is at work", lambda: self.n > began + 1 or self.error)
            yield
        finally:
            over.set()
            thread.join()
        assert self.error is None, self.error


@pytest.mark.parametrize("kind", STORIES)
def test_from_a_plain_table_to_a_hypertable_and_back(job: Make, kind: str) -> None:
    story = STORIES[kind]
    options = PlanOptions(chunk_interval=story.interval, batch_rows=100)
    made = job(story.make, story.time, options=options)
    before, after = Application(made, (*story.changes, *story.moves)), Application(made, story.changes)
    with made.db.connect() as conn:
        before.once(conn)
    found = structure(made)

    with before.at_work():
        assert made.start().phase == "synced"
    with made.db.connect() as conn:
        before.once(conn)
    made.sync()
    made.assert_equal()

    after.n = before.n
    with after.at_work():
        report = made.cutover()
    assert report.phase == "cut_over"
    made.sync()
    made.assert_equal()
    assert (
        made.value(
            "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name = %s",
            made.table.name,
        )
        == 1
    )
    kept = structure(made)
    assert all(kept[kind] == found[kind] for kind in ("table", "columns", "views", "sequences"))

    with after.at_work():
        assert made.rollback().phase == "rolled_back"
    made.sync()
    made.assert_equal()
    assert structure(made) == found, "the plain table is exactly as it was"

    made.cutover()
    made.sync()
    made.assert_equal()
    rows = made.value("SELECT count(*) FROM {table}")
    assert made.finish().phase == "finished"
    assert made.db.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'hyperferry\\_%'") == []
    with made.db.connect() as conn:
        after.once(conn)
        (count,) = conn.execute(
            psycopg.sql.SQL("SELECT count(*) FROM {}").format(made.table.ident)
        ).fetchone() or (None,)
        assert count is not None
        assert abs(count - rows) < 50


def structure(job: Job) -> dict[str, Any]:
    """What the catalogs say of the table, our own triggers apart."""
    with job.db.connect() as conn:
        found = describe(conn, job.table)
    return {
        kind: [row for row in rows if not any("hyperferry_" in str(value) for value in row)]
        for kind, rows in found.items()
    }


# What hangs on the table works afterwards.


def test_views_grants_sequence_and_owner_work_after_the_swap(job: Make, db: Database) -> None:
    owner, writer, reader = db.make_role("owner"), db.make_role("writer"), db.make_role("reader")
    made = job(
        tables.player_stats,
        role=owner,
        rows=800,
        days=60,
        options=PlanOptions(chunk_interval="20 days", batch_rows=100),
    )
    made.db.execute(
        f"CREATE VIEW totals WITH (security_barrier) AS SELECT player_id, sum(value) AS total FROM player_stats GROUP BY 1;"
        f"ALTER VIEW totals OWNER TO {owner}; CREATE VIEW top AS SELECT * FROM totals WHERE total > 10; ALTER VIEW top OWNER TO {owner};"
        f"GRANT SELECT ON top TO {reader}; GRANT SELECT, INSERT, UPDATE, DELETE ON player_stats TO {writer};"
        f"GRANT USAGE ON SEQUENCE player_stats_id_seq TO {writer}; COMMENT ON TABLE player_stats IS 'stats'"
    )

    def works(serial: int) -> None:
        """As each role: read through the view, write through the name, take a number from the sequence."""
        with db.connect(reader) as conn:
            assert conn.execute("SELECT count(*) > 0 FROM top").fetchone() == (True,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute("SELECT 1 FROM player_stats")
        with db.connect(writer) as conn:
            number = conn.execute(
                "INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date) "
                "VALUES (1, 1, 'w', 1, '2020-08-09') RETURNING id"
            ).fetchone()
            assert number is not None
            assert number[0] >= serial
            conn.execute("UPDATE player_stats SET value = 2 WHERE id = %s", number)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute("TRUNCATE player_stats")
        with db.connect(owner) as conn:
            assert conn.execute(
                "SELECT tableowner FROM pg_tables WHERE schemaname = 'public' AND tablename = 'player_stats'"
            ).fetchone() == (owner,)
            conn.execute("COMMENT ON TABLE player_stats IS 'mine'")
            assert conn.execute("SELECT pg_get_serial_sequence('player_stats', 'id')").fetchone() == (
                "public.player_stats_id_seq",
            )

    works(801)
    made.db.execute("COMMENT ON TABLE player_stats IS 'stats'")
    made.start()
    made.cutover()
    works(802)
    made.db.execute("COMMENT ON TABLE player_stats IS 'stats'")
    made.sync()
    made.assert_equal()
    made.rollback()
    works(803)
    made.db.execute("COMMENT ON TABLE player_stats IS 'stats'")
    made.sync()
    made.cutover()
    made.finish()
    works(804)
    assert db.execute("SELECT count(*) FROM player_stats") == [(804,)]


# Abort leaves the table as it was found.

STAGES: dict[str, Callable[[Job], Any]] = {
    "prepared": lambda job: job.capture(),
    "copying": lambda job: (job.cut().copy_next(), job.run("DELETE FROM {table} WHERE id = 3")),
    "synced": lambda job: job.start(),
    "rolled back": lambda job: (job.start(), job.cutover(), job.rollback()),
}

HUNG = (
    HOURS
    + """
CREATE TABLE p (id bigint PRIMARY KEY);
CREATE VIEW w WITH (security_invoker) AS SELECT v, count(*) AS n FROM t GROUP BY v;
COMMENT ON COLUMN t.v IS 'a value';
ALTER TABLE t ADD CONSTRAINT twain UNIQUE (id, at);
CREATE STATISTICS st (dependencies) ON v, at FROM t;
ALTER TABLE t ADD CONSTRAINT c CHECK (id >= 0), ADD q bigint REFERENCES p ON DELETE SET NULL, ALTER v SET STATISTICS 50;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER u AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();
CREATE INDEX part ON t (v text_pattern_ops) INCLUDE (id) WHERE id > 5;
CREATE UNIQUE INDEX expr ON t (lower(v), at);
ALTER TABLE t SET (fillfactor = 90);
"""
)


@pytest.mark.parametrize("stage", STAGES)
def test_after_abort_pg_dump_prints_what_it_printed_before(job: Make, stage: str) -> None:
    made = job(HUNG, options=THIRDS)
    pg_dump = made.db.server.program("pg_dump")
    before = schema_dump(made.db.dsn, pg_dump, ledger=("hyperferry",))
    STAGES[stage](made)
    assert schema_dump(made.db.dsn, pg_dump, ledger=("hyperferry",)) != before
    rows = made.run("SELECT count(*), sum(hashtext(t::text)) FROM {table} AS t")
    assert made.abort().phase == "aborted"
    assert schema_dump(made.db.dsn, pg_dump, ledger=("hyperferry",)) == before
    assert made.db.execute("SELECT count(*), sum(hashtext(t::text)) FROM t") == rows
    left = "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'hyperferry' AND relname ~ '_1$'"
    assert made.db.execute(left) == []
    again = Job(made.db, made.table, made.options)
    assert again.start().phase == "synced", "and one can begin anew"
    again.close()
