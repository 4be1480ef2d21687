"""Continuous aggregates, on a server with the Community edition: refreshed in windows, they are what their queries
give; what is not is found."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from hyperferry.db import connect
from hyperferry.db.connection import Connection
from hyperferry.errors import Interrupted, Refused, Usage
from hyperferry.model.declared import DeclaredIndex
from hyperferry.model.names import TableName
from hyperferry.model.throttle import Cause, Decision, Reason
from hyperferry.model.upkeep import CheckReport, Window
from hyperferry.throttle import Valve
from hyperferry.upkeep import checking, index_methods
from hyperferry.upkeep.aggregates import refresh
from hyperferry.upkeep.checking import check
from hyperferry.upkeep.indexes import build, plan
from servers import Database

from .conftest import wait_for

TABLE = TableName("stats", 'The "T" able')
QUERIES = {
    "daily": "SELECT time_bucket('1 day', at) AS day, player, sum(points) AS total, avg(value) AS mean, count(*) AS n, max(note) AS note "
    f"FROM {TABLE.quoted} GROUP BY 1, 2",
    'Monthly, "B"': "SELECT player AS \"P\"\"layer\", time_bucket('1 month', at, 'Europe/Berlin') AS month, sum(points) AS total "
    f"FROM {TABLE.quoted} WHERE player > 0 GROUP BY 1, 2 HAVING count(*) > 1",
    "hidden": f"SELECT time_bucket('12 hours', at) AS half, count(*) AS n FROM {TABLE.quoted} GROUP BY 1, player % 3",
}


def nothing() -> None:
    """Never stops."""


def quiet(message: str) -> None:
    """Says nothing."""


class Season:
    """A table of 60 days in chunks of 7, its owner's sessions, and its aggregates."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.owner = db.make_role("owner")
        db.execute(f'CREATE SCHEMA stats AUTHORIZATION "{self.owner}"')
        self.conn = self.connect()
        self.app = db.connect(self.owner)
        self.app.execute("SET client_min_messages = error")
        self.app.execute(
            f"CREATE TABLE {TABLE.quoted} (at timestamptz NOT NULL, player int NOT NULL, points numeric, value float8, note text)"
        )
        self.app.execute("SELECT create_hypertable(%s, 'at', chunk_time_interval => interval '7 days')", [TABLE.quoted])
        self.app.execute(
            f"INSERT INTO {TABLE.quoted} SELECT timestamptz '2024-01-01' + n * interval '20 minutes', n % 5, n % 7, sqrt(n), 'x' || n % 3 "
            "FROM generate_series(0, 60 * 72 - 1) n"
        )

    def connect(self) -> Connection:
        return connect(self.db.dsn_as(self.owner))

    def aggregate(self, name: str, query: str, materialized_only: bool = True) -> TableName:
        made = TableName("stats", name)
        self.app.execute(
            f"CREATE MATERIALIZED VIEW {made.quoted} WITH (timescaledb.continuous, timescaledb.materialized_only = "
            f"{str(materialized_only).lower()}) AS {query} WITH NO DATA"
        )
        return made

    def kept(self, name: TableName) -> str:
        """The hypertable that keeps an aggregate's rows."""
        [(kept,)] = self.db.execute(
            "SELECT format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "FROM timescaledb_information.continuous_aggregates WHERE view_schema = %s AND view_name = %s",
            name.schema,
            name.name,
        )
        return str(kept)

    def differs(self, name: TableName, query: str) -> int:
        """Rows that only one of the two has, by an oracle of its own: EXCEPT ALL both ways, floats rounded."""
        columns = [
            f"round({row[0]}::numeric, 9)" if row[1] == "double precision" else row[0]
            for row in self.db.execute(
                "SELECT quote_ident(attname), format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
                name.quoted,
            )
        ]
        listed = ", ".join(columns)
        one, two = f"SELECT {listed} FROM {name.quoted}", f"SELECT {listed} FROM ({query}) AS q"
        return int(self.db.execute(f"SELECT count(*) FROM (({one} EXCEPT ALL {two}) UNION ALL ({two} EXCEPT ALL {one})) AS d")[0][0])

    def check(self, **how: Any) -> CheckReport:
        return check(self.conn, TABLE, say=quiet, should_stop=nothing, **how)

    def refresh(self, name: TableName, window: Window | None = None, **how: Any) -> Any:
        return refresh(self.conn, name, window or Window(), say=how.pop("say", quiet), should_stop=how.pop("should_stop", nothing), **how)


@pytest.fixture
def season(community_db: Database) -> Iterator[Season]:
    made = Season(community_db)
    yield made
    made.conn.close()
    made.app.close()


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("materialized_only", [True, False])
def test_refreshed_in_windows_it_is_what_its_query_gives(season: Season, name: str, materialized_only: bool) -> None:
    made = season.aggregate(name, QUERIES[name], materialized_only)
    said: list[str] = []
    report = season.refresh(made, say=said.append)
    assert report.windows > 1
    season.app.execute(f"ALTER MATERIALIZED VIEW {made.quoted} SET (timescaledb.materialized_only = true)")
    assert season.differs(made, QUERIES[name]) == 0
    starts = [each.split(" to ")[0] for each in said if "refreshed in" in each and " to " in each]
    assert starts == sorted(starts, reverse=materialized_only)
    found = season.check(every=True)
    assert found.match
    assert not found.aggregates[0].different


def test_a_view_that_reads_raw_rows_too_never_shows_less_while_it_is_refreshed(season: Season) -> None:
    """Newest first, the watermark would pass buckets that are not kept yet: the view would show none of their rows."""
    made = season.aggregate("daily", QUERIES["daily"], materialized_only=False)
    seen: set[int] = set()

    def look(message: str) -> None:
        seen.add(season.db.execute(f"SELECT count(*) FROM {made.quoted}")[0][0])

    season.refresh(made, say=look)
    assert seen == {300}


def test_interrupted_it_keeps_what_was_done_and_goes_on_there(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    windows: list[str] = []

    def stop() -> None:
        if len(windows) == 2:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        season.refresh(made, say=windows.append, should_stop=stop)
    kept = season.db.execute(f"SELECT count(*) FROM {season.kept(made)}")[0][0]
    assert 0 < kept < 300
    again: list[str] = []
    report = season.refresh(made, say=again.append)
    assert report.skipped >= 1
    assert not set(windows) & set(again)
    assert season.differs(made, QUERIES["daily"]) == 0
    assert season.refresh(made).windows == 0


def test_a_lost_connection_loses_one_window_at_most(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    pid = season.conn.info.backend_pid
    done: list[str] = []

    def cut(message: str) -> None:
        done.append(message)
        if len(done) == 2:
            season.db.execute("SELECT pg_terminate_backend(%s)", pid)

    with pytest.raises(psycopg.OperationalError):
        season.refresh(made, say=cut)
    season.conn = season.connect()
    assert season.refresh(made).skipped >= 1
    assert season.differs(made, QUERIES["daily"]) == 0


def test_one_over_another_is_refreshed_after_it(season: Season) -> None:
    season.aggregate("daily", QUERIES["daily"])
    query = "SELECT time_bucket('7 days', day) AS week, sum(total) AS total FROM stats.daily GROUP BY 1"
    weekly = season.aggregate("weekly", query)
    season.refresh(weekly)
    raw = f"SELECT time_bucket('7 days', at) AS week, sum(points) AS total FROM {TABLE.quoted} GROUP BY 1"
    assert season.differs(weekly, raw) == 0
    found = season.check(every=True)
    assert [str(each.aggregate) for each in found.aggregates] == ["stats.daily", "stats.weekly"]
    assert found.match


@pytest.mark.parametrize(("kind", "width"), [("bigint", 1000), ("integer", 7), ("smallint", 10)])
def test_integer_time(community_db: Database, kind: str, width: int) -> None:
    owner = community_db.make_role("owner")
    community_db.execute(f'CREATE SCHEMA stats AUTHORIZATION "{owner}"')
    with community_db.connect(owner) as app, connect(community_db.dsn_as(owner)) as conn:
        app.execute(f"CREATE TABLE stats.t (at {kind} NOT NULL, v int); SELECT create_hypertable('stats.t', 'at', chunk_time_interval => {width * 20})")
        app.execute(f"CREATE FUNCTION stats.now() RETURNS {kind} LANGUAGE sql STABLE AS 'SELECT 4000::{kind}'")
        app.execute("SELECT set_integer_now_func('stats.t', 'stats.now')")
        app.execute("INSERT INTO stats.t SELECT n - 300, n FROM generate_series(1, 3000) n")
        query = f"SELECT time_bucket({width}::{kind}, at) AS b, sum(v) AS s FROM stats.t GROUP BY 1"
        app.execute(f"CREATE MATERIALIZED VIEW stats.c WITH (timescaledb.continuous, timescaledb.materialized_only) AS {query} WITH NO DATA")
        report = refresh(conn, TableName("stats", "c"), Window(), say=quiet, should_stop=nothing)
        assert report.windows > 0
        assert app.execute(f"SELECT count(*) FROM (TABLE stats.c EXCEPT {query}) d").fetchone() == (0,)
        assert app.execute("SELECT sum(s) FROM stats.c").fetchone() == app.execute("SELECT sum(v) FROM stats.t").fetchone()
        assert check(conn, TableName("stats", "t"), every=True, say=quiet, should_stop=nothing).match


def test_dates(community_db: Database) -> None:
    owner = community_db.make_role("owner")
    community_db.execute(f'CREATE SCHEMA stats AUTHORIZATION "{owner}"')
    with community_db.connect(owner) as app, connect(community_db.dsn_as(owner)) as conn:
        app.execute("CREATE TABLE stats.t (at date NOT NULL, v int); SELECT create_hypertable('stats.t', 'at', chunk_time_interval => interval '30 days')")
        app.execute("INSERT INTO stats.t SELECT date '2024-01-01' + n / 3, n FROM generate_series(0, 599) n")
        query = "SELECT time_bucket('1 week', at) AS b, sum(v) AS s FROM stats.t GROUP BY 1"
        app.execute(f"CREATE MATERIALIZED VIEW stats.c WITH (timescaledb.continuous, timescaledb.materialized_only) AS {query} WITH NO DATA")
        refresh(conn, TableName("stats", "c"), Window(), say=quiet, should_stop=nothing)
        assert app.execute("SELECT sum(s) FROM stats.c").fetchone() == app.execute("SELECT sum(v) FROM stats.t").fetchone()
        assert check(conn, TableName("stats", "t"), every=True, say=quiet, should_stop=nothing).match


def test_what_somebody_changed_in_the_kept_rows_is_found_and_mended(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    kept = season.kept(made)
    season.db.execute(f"UPDATE {kept} SET total = total + 1, mean = mean * 1.00001 WHERE day = '2024-01-20' AND player = 3")
    season.db.execute(f"DELETE FROM {kept} WHERE day = '2024-02-03' AND player = 1")
    season.db.execute(f"INSERT INTO {kept} (day, player, total) VALUES ('2024-02-05', 99, 1)")
    found = season.check(every=True)
    assert not found.match
    [each] = found.aggregates
    assert each.different == ("2024-01-20 00:00:00+00", "2024-02-03 00:00:00+00", "2024-02-05 00:00:00+00")
    by_kind = {each.kind: each for each in each.differences}
    assert set(by_kind) == {"differs", "missing", "extra"}
    assert set(by_kind["differs"].values) == {"total", "mean"}
    assert by_kind["differs"].group == {"day": "2024-01-20 00:00:00+00", "player": "3"}
    kept_total, raw_total = by_kind["differs"].values["total"]
    assert int(str(kept_total)) == int(str(raw_total)) + 1
    mended = season.check(every=True, repair=True)
    assert mended.match
    assert set(mended.aggregates[0].repaired) == set(each.different)
    assert season.differs(made, QUERIES["daily"]) == 0


def test_rows_that_no_group_tells_apart_are_counted(season: Season) -> None:
    made = season.aggregate("hidden", QUERIES["hidden"])
    season.refresh(made)
    season.db.execute(
        f"DELETE FROM {season.kept(made)} WHERE ctid = (SELECT ctid FROM {season.kept(made)} WHERE half = '2024-01-20' LIMIT 1)"
    )
    found = season.check(every=True).aggregates[0]
    assert found.different == ("2024-01-20 00:00:00+00",)
    assert found.differences[0].kind == "count"
    assert found.notes


def test_the_last_digits_of_a_sum_of_floats_are_no_difference(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    season.db.execute(f"UPDATE {season.kept(made)} SET mean = mean * (1 + 1e-14)")
    assert season.check(every=True).match
    season.db.execute(f"UPDATE {season.kept(made)} SET mean = mean * (1 + 1e-7) WHERE day = '2024-01-20'")
    assert season.check(every=True).aggregates[0].different == ("2024-01-20 00:00:00+00",)


def test_what_waits_for_a_refresh_and_what_was_dropped_stand_apart(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    season.app.execute(f"INSERT INTO {TABLE.quoted} VALUES ('2024-01-30 05:00', 1, 1, 1, 'late'), ('2024-06-01', 1, 1, 1, 'new')")
    season.app.execute("SELECT drop_chunks(%s, timestamptz '2024-01-11')", [TABLE.quoted])
    [(first,)] = season.db.execute("SELECT min(range_start) FROM timescaledb_information.chunks WHERE hypertable_schema = 'stats'")
    assert first.isoformat() == "2024-01-11T00:00:00+00:00"
    found = season.check(every=True)
    assert found.match
    [each] = found.aggregates
    assert "2024-01-30 00:00:00+00" in each.waiting
    assert "2024-06-01 00:00:00+00" in each.waiting
    assert each.dropped == tuple(f"2024-01-{day:02} 00:00:00+00" for day in range(1, 11))
    assert set(each.waiting) == {"2024-01-30 00:00:00+00", "2024-06-01 00:00:00+00"}
    before = season.db.execute(f"SELECT * FROM {made.quoted} WHERE day < '2024-01-11' ORDER BY 1, 2")
    season.refresh(made)
    assert season.db.execute(f"SELECT * FROM {made.quoted} WHERE day < '2024-01-11' ORDER BY 1, 2") == before
    assert season.check(every=True).aggregates[0].different == ()
    season.check(every=True, repair=True)
    assert season.db.execute(f"SELECT * FROM {made.quoted} WHERE day < '2024-01-11' ORDER BY 1, 2") == before


def test_the_same_seed_draws_the_same_buckets(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    season.db.execute(f"UPDATE {season.kept(made)} SET n = n + 1")
    one, two = (season.check(samples=10, seed=5).aggregates[0] for _ in range(2))
    assert one.different == two.different
    assert len(one.different) == one.checked
    assert one.checked <= 10
    assert {"2024-01-01 00:00:00+00", "2024-02-29 00:00:00+00"} <= set(one.different)
    assert season.check(samples=10, seed=6).aggregates[0].different != one.different


def test_writers_meanwhile_make_no_difference(season: Season) -> None:
    """A comparison is one snapshot: what is written after it, and what a refresh does beside it, is not in it."""
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    stop = threading.Event()

    def write() -> None:
        with season.db.connect(season.owner) as app:
            app.execute("SET client_min_messages = error")
            turn = 0
            while not stop.is_set():
                turn += 1
                app.execute(f"INSERT INTO {TABLE.quoted} VALUES (timestamptz '2024-01-01' + %s * interval '7 hours', 1, 5, 1, 'm')", [turn % 200])
                if turn % 20 == 0:
                    app.execute("CALL refresh_continuous_aggregate('stats.daily', '2024-01-01', '2024-02-20')")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for seed in range(5):
            found = season.check(samples=10, seed=seed)
            assert found.match, found
    finally:
        stop.set()
        thread.join()


def test_the_throttle_makes_it_rest_between_windows(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    valve = Valve()
    valve.set(Decision(0.0, None, 0.25, (Reason(Cause.REPLICA_LAG, True, "a replica is behind"),)))
    done: list[str] = []
    thread = threading.Thread(target=lambda: season.refresh(made, say=done.append, throttle=valve))
    thread.start()
    wait_for(lambda: season.db.execute("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'hyperferry%%' AND state = 'idle' AND datname = current_database()"))
    thread.join(1.0)
    assert thread.is_alive()
    assert done == []
    valve.let_go()
    thread.join()
    assert season.differs(made, QUERIES["daily"]) == 0


def test_a_window_is_aligned_to_whole_buckets(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    report = season.refresh(made, Window("2024-01-10 05:00+00", "2024-01-20 05:00+00"))
    assert (report.start, report.end) == ("2024-01-11 00:00:00+00", "2024-01-20 00:00:00+00")
    assert season.db.execute(f"SELECT min(day)::text, max(day)::text FROM {made.quoted}") == [("2024-01-11 00:00:00+00", "2024-01-19 00:00:00+00")]
    with pytest.raises(Usage, match="no time"):
        season.refresh(made, Window("yesterday week", None))


def test_wrong_names_and_missing_rights_are_told(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    with pytest.raises(Usage, match="not a continuous aggregate"):
        season.refresh(TABLE)
    with pytest.raises(Usage, match="not a hypertable"):
        check(season.conn, made, say=quiet, should_stop=nothing)
    with pytest.raises(Usage, match="not a continuous aggregate"):
        season.check(only=TABLE)
    stranger = season.db.make_role("stranger")
    with connect(season.db.dsn_as(stranger)) as conn:
        with pytest.raises(Refused, match="owner"):
            refresh(conn, made, Window(), say=quiet, should_stop=nothing)
        with pytest.raises(Refused, match="owner"):
            check(conn, TABLE, say=quiet, should_stop=nothing)


def test_the_apache_edition_has_none(db: Database) -> None:
    db.execute("CREATE TABLE t (at timestamptz NOT NULL); SELECT create_hypertable('t', 'at')")
    with connect(db.dsn) as conn:
        with pytest.raises(Refused, match="continuous aggregates"):
            check(conn, TableName("public", "t"), say=quiet, should_stop=nothing)
        with pytest.raises(Refused, match="continuous aggregates"):
            refresh(conn, TableName("public", "c"), Window(), say=quiet, should_stop=nothing)


def test_an_aggregate_takes_an_index_too(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    index = DeclaredIndex("daily_by_player", ("player", "day DESC"), where="n > 1")
    report = build(season.conn, made, index, say=quiet, should_stop=nothing)
    assert report.built == report.chunks > 0
    assert build(season.conn, made, index, say=quiet, should_stop=nothing).built == 0
    with pytest.raises(Refused, match="no unique index"):
        build(season.conn, made, DeclaredIndex("u", ("player", "day"), unique=True), say=quiet, should_stop=nothing)


def test_after_an_interruption_only_the_aggregates_own_index_is_dropped(season: Season, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another table beside the aggregate's view has an index of that name; the aggregate's own is in the schema of its hypertable."""
    monkeypatch.setattr(index_methods, "_outwait_long_writers", lambda run, side: None)
    monkeypatch.setattr(index_methods, "deadlock_timeout_ms", lambda conn: 60_000)
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    season.app.execute("CREATE TABLE stats.players (player int)")
    season.app.execute("CREATE INDEX player_idx ON stats.players (player)")
    index = DeclaredIndex("player_idx", ("player", "n"))
    caught: list[BaseException] = []

    def interrupted(conn: Connection) -> None:
        try:
            build(conn, made, index, say=quiet, should_stop=nothing)
        except psycopg.Error as error:
            caught.append(error)

    [(chunk,)] = season.db.execute("SELECT c::text FROM show_chunks(%s) AS c ORDER BY 1 LIMIT 1", made.quoted)
    conn = season.connect()
    pid = conn.info.backend_pid
    with season.db.connect(autocommit=False) as writer:
        writer.execute(f"LOCK TABLE {chunk} IN ROW EXCLUSIVE MODE")
        thread = threading.Thread(target=interrupted, args=[conn])
        thread.start()
        wait_for(lambda: season.db.execute("SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", pid))
        season.db.execute("SELECT pg_terminate_backend(%s)", pid)
        thread.join()
        writer.rollback()
    assert caught
    roots = "SELECT n.nspname, i.indisvalid FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace "
    roots += "WHERE x.relname = 'player_idx' ORDER BY 1"
    assert season.db.execute(roots) == [("_timescaledb_internal", False), ("stats", True)]
    report = build(season.conn, made, index, say=quiet, should_stop=nothing)
    assert TableName("_timescaledb_internal", "player_idx") in report.cleaned
    assert report.name == TableName("_timescaledb_internal", "player_idx")
    assert season.db.execute(roots) == [("_timescaledb_internal", True), ("stats", True)]
    assert plan(season.conn, made, index).there


def test_what_an_index_means_on_compressed_chunks_is_said(season: Season) -> None:
    season.app.execute(f"ALTER TABLE {TABLE.quoted} SET (timescaledb.compress, timescaledb.compress_segmentby = 'player')")
    season.app.execute("SELECT compress_chunk(c) FROM show_chunks(%s, older_than => timestamptz '2024-01-20') c", [TABLE.quoted])
    index = DeclaredIndex("by_points", ("points",))
    made = plan(season.conn, TABLE, index)
    assert made.compressed > 0
    assert any("segment_by" in note for note in made.notes)
    before = season.db.execute(f"SELECT count(*), sum(points) FROM {TABLE.quoted}")
    assert build(season.conn, TABLE, index, say=quiet, should_stop=nothing).built == made.chunks
    assert season.db.execute(f"SELECT count(*), sum(points) FROM {TABLE.quoted}") == before


def test_the_command_ends_with_3_where_they_differ(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    season.db.execute(f"UPDATE {season.kept(made)} SET n = n + 1 WHERE day = '2024-01-20'")
    wanted = ["check-aggregates", TABLE.quoted, "--dsn", season.db.dsn_as(season.owner), "--json", "--all"]

    def run(*more: str) -> tuple[int, Any]:
        done = subprocess.run([sys.executable, "-m", "hyperferry", *wanted, *more], capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    code, found = run("--aggregate", "stats.daily")
    assert (code, found["match"], found["table"]) == (3, False, str(TABLE))
    [each] = found["aggregates"]
    assert each["different"] == ["2024-01-20 00:00:00+00"]
    value = each["differences"][0]["values"]["n"]
    assert int(value["kept"]) == int(value["raw"]) + 1
    code, found = run("--repair")
    assert (code, found["match"], found["aggregates"][0]["repaired"]) == (0, True, ["2024-01-20 00:00:00+00"])
    code, found = run("--aggregate", "stats.nothing")
    assert code == 2


def test_a_bucket_of_which_a_part_was_dropped_is_kept_as_it_was(season: Season) -> None:
    """Chunks begin on Thursdays, weeks on Mondays: a refresh of the week would count its later days alone."""
    made = season.aggregate("weekly", f"SELECT time_bucket('7 days', at) AS week, sum(points) AS total FROM {TABLE.quoted} GROUP BY 1")
    season.refresh(made)
    before = season.db.execute(f"TABLE {made.quoted}")
    season.app.execute("SELECT drop_chunks(%s, timestamptz '2024-01-11')", [TABLE.quoted])
    season.app.execute(f"INSERT INTO {TABLE.quoted} VALUES ('2024-01-12', 1, 0, 0, '')")
    assert season.check(every=True).aggregates[0].dropped == ("2024-01-01 00:00:00+00", "2024-01-08 00:00:00+00")
    said: list[str] = []
    season.refresh(made, Window("2024-01-01", None), say=said.append)
    assert "begins at 2024-01-15" in said[0]
    season.check(every=True, repair=True)
    assert sorted(season.db.execute(f"TABLE {made.quoted}")) == sorted(before)


def test_what_was_never_refreshed_waits_though_its_bucket_begins_before_the_first_chunk(season: Season) -> None:
    season.aggregate("fifty", f"SELECT time_bucket('50 days', at) AS b, count(*) AS n FROM {TABLE.quoted} GROUP BY 1")
    [each] = season.check(every=True).aggregates
    assert each.waiting[0] < "2023-12-28"
    assert (each.dropped, each.different, len(each.waiting)) == ((), (), each.checked)


MANY = f"SELECT time_bucket('1 day', at) AS day, at AS moment, sum(points) AS total FROM {TABLE.quoted} GROUP BY 1, 2"
"""Seventy-two groups to a bucket: seven buckets have more than five hundred differing rows."""


def test_buckets_with_many_differences_hide_no_other(season: Season) -> None:
    made = season.aggregate("many", MANY)
    season.refresh(made)
    season.db.execute(f"UPDATE {season.kept(made)} SET total = total + 1")
    [each] = season.check(every=True).aggregates
    assert (len(each.different), each.checked) == (60, 60)
    mended = season.check(every=True, repair=True)
    assert mended.match
    assert len(mended.aggregates[0].repaired) == 60
    assert season.differs(made, MANY) == 0


def test_what_was_dropped_hides_no_difference(season: Season) -> None:
    made = season.aggregate("many", MANY)
    season.refresh(made)
    season.app.execute("SELECT drop_chunks(%s, timestamptz '2024-01-11')", [TABLE.quoted])
    season.db.execute(f"UPDATE {season.kept(made)} SET total = total + 1 WHERE moment = '2024-02-20 12:00+00'")
    season.db.execute(f"DELETE FROM {season.kept(made)} WHERE day = '2024-02-21'")
    [each] = season.check(every=True).aggregates
    assert len(each.dropped) == 10
    assert each.different == ("2024-02-20 00:00:00+00", "2024-02-21 00:00:00+00")
    assert {difference.kind for difference in each.differences} == {"differs", "missing"}


def test_a_bucket_whose_rows_are_dropped_before_its_repair_is_left(season: Season, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long check may have found it hours ago; a forced refresh would delete all of it."""
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    season.db.execute(f"UPDATE {season.kept(made)} SET total = total + 1 WHERE day IN ('2024-01-02', '2024-02-02')")
    repair = checking._Check._repair

    def late(self: Any) -> None:
        season.app.execute("SELECT drop_chunks(%s, timestamptz '2024-01-11')", [TABLE.quoted])
        repair(self)

    monkeypatch.setattr(checking._Check, "_repair", late)
    before = season.db.execute(f"SELECT * FROM {season.kept(made)} WHERE day < '2024-01-11' ORDER BY 1, 2")
    report = season.check(every=True, repair=True)
    [each] = report.aggregates
    assert season.db.execute(f"SELECT * FROM {season.kept(made)} WHERE day < '2024-01-11' ORDER BY 1, 2") == before
    assert report.match
    assert each.dropped == ("2024-01-02 00:00:00+00",)
    assert each.different == each.repaired == ("2024-02-02 00:00:00+00",)
    assert {difference.bucket for difference in each.differences} == {"2024-02-02 00:00:00+00"}


def test_a_bucket_that_is_lost_from_what_is_kept_comes_back_though_it_begins_before_the_first_chunk(season: Season) -> None:
    made = season.aggregate("fifty", f"SELECT time_bucket('50 days', at) AS b, count(*) AS n FROM {TABLE.quoted} GROUP BY 1")
    season.app.execute("CALL refresh_continuous_aggregate('stats.fifty', NULL, '2024-07-01')")
    before = season.db.execute(f"TABLE {made.quoted}")
    season.db.execute(f"DELETE FROM {season.kept(made)} WHERE b < '2024-01-01'")
    mended = season.check(every=True, repair=True)
    assert (mended.match, len(mended.aggregates[0].repaired)) == (True, 1)
    assert sorted(season.db.execute(f"TABLE {made.quoted}")) == sorted(before)


def kept_before(season: Season, name: TableName, column: str, moment: str) -> list[tuple[Any, ...]]:
    """The rows that are kept of the time from 1971 on, before a moment, with the places where they lie."""
    return season.db.execute(
        f"SELECT ctid::text, xmin::text, k::text FROM {season.kept(name)} k WHERE {column} >= '1971-01-01' AND {column} < %s ORDER BY 3", moment
    )


@pytest.mark.parametrize("materialized_only", [True, False])
def test_rows_that_come_late_cost_nothing_that_is_kept_of_dropped_chunks(season: Season, materialized_only: bool) -> None:
    """One far behind everything; one amid what was dropped, whose chunk comes anew with it, for days that are kept; one in the chunk
    before the first that is there, so that the chunks hang together."""
    made = season.aggregate("daily", QUERIES["daily"], materialized_only)
    season.refresh(made)
    season.app.execute("SELECT drop_chunks(%s, timestamptz '2024-01-25')", [TABLE.quoted])
    before = kept_before(season, made, "day", "2024-01-25")
    assert len(before) == 24 * 5
    season.app.execute(
        f"INSERT INTO {TABLE.quoted} VALUES ('1970-01-01 05:00+00', 1, 7, 1, 'late'), ('2024-01-13 05:00+00', 1, 1, 1, 'late'), "
        "('2024-01-23 05:00+00', 1, 1, 1, 'late'), ('2024-01-30 05:00+00', 1, 1, 1, 'late')"
    )
    said: list[str] = []
    season.refresh(made, say=said.append)
    assert kept_before(season, made, "day", "2024-01-25") == before
    assert season.db.execute(f"SELECT day::text, total FROM {season.kept(made)} WHERE day < '1971-01-01'") == [("1970-01-01 00:00:00+00", 7)]
    assert any("2 buckets from 2024-01-13 00:00:00+00 on left as kept" in each for each in said), said
    season.app.execute(f"ALTER MATERIALIZED VIEW {made.quoted} SET (timescaledb.materialized_only = true)")
    assert season.differs(made, QUERIES["daily"]) == 24 * 5 + 2
    assert season.refresh(made).windows == 0
    season.check(every=True, repair=True)
    assert kept_before(season, made, "day", "2024-01-25") == before


def test_rows_that_come_late_where_nothing_is_left(season: Season) -> None:
    made = season.aggregate("daily", QUERIES["daily"])
    season.refresh(made)
    before = kept_before(season, made, "day", "2024-03-01")
    season.app.execute("SELECT drop_chunks(%s, timestamptz '2025-01-01')", [TABLE.quoted])
    season.app.execute(f"INSERT INTO {TABLE.quoted} VALUES ('2024-02-13 05:00+00', 1, 1, 1, ''), ('2024-03-05 05:00+00', 1, 1, 1, '')")
    season.refresh(made)
    assert kept_before(season, made, "day", "2024-03-01") == before
    assert season.db.execute(f"SELECT total FROM {made.quoted} WHERE day > '2024-03-01'") == [(1,)]


def test_a_month_of_which_the_first_days_were_dropped_is_kept_as_it_was(season: Season) -> None:
    """No month is without a chunk, so that nothing but the log tells of what was dropped."""
    made = season.aggregate("monthly", f"SELECT time_bucket('1 month', at) AS month, sum(points) AS total FROM {TABLE.quoted} GROUP BY 1")
    season.refresh(made)
    season.app.execute(f"INSERT INTO {TABLE.quoted} VALUES ('2024-01-30', 1, 1000, 1, ''), ('2024-02-20', 1, 1000, 1, '')")
    season.refresh(made)
    assert season.differs(made, f"SELECT time_bucket('1 month', at) AS month, sum(points) AS total FROM {TABLE.quoted} GROUP BY 1") == 0
    season.app.execute("SELECT drop_chunks(%s, timestamptz '2024-01-11')", [TABLE.quoted])
    before = kept_before(season, made, "month", "2024-02-01")
    season.app.execute(f"INSERT INTO {TABLE.quoted} VALUES ('2024-01-30', 1, 1, 1, ''), ('2024-02-20', 1, 1, 1, '')")
    season.refresh(made)
    assert kept_before(season, made, "month", "2024-02-01") == before
    assert season.differs(made, f"SELECT time_bucket('1 month', at) AS month, sum(points) AS total FROM {TABLE.quoted} GROUP BY 1") == 2


def test_chunks_dropped_amid_others_leave_what_is_kept(season: Season) -> None:
    made = season.aggregate("weekly", f"SELECT time_bucket('7 days', at) AS week, sum(points) AS total FROM {TABLE.quoted} GROUP BY 1")
    season.refresh(made)
    season.app.execute("SELECT drop_chunks(%s, older_than => timestamptz '2024-02-01', newer_than => timestamptz '2024-01-18')", [TABLE.quoted])
    before = sorted(season.db.execute(f"TABLE {made.quoted}"))
    season.app.execute(f"INSERT INTO {TABLE.quoted} VALUES ('2024-01-22', 1, 1, 1, ''), ('2024-01-10', 1, 1, 1, '')")
    said: list[str] = []
    season.refresh(made, say=said.append)
    after = sorted(season.db.execute(f"TABLE {made.quoted}"))
    [((week, total), (_, now))] = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert (week.isoformat(), now) == ("2024-01-08T00:00:00+00:00", total + 1)
    assert any("left as kept" in each for each in said), said


def test_rows_that_come_late_by_an_integer_time(community_db: Database) -> None:
    owner = community_db.make_role("owner")
    community_db.execute(f'CREATE SCHEMA stats AUTHORIZATION "{owner}"')
    with community_db.connect(owner) as app, connect(community_db.dsn_as(owner)) as conn:
        app.execute("CREATE TABLE stats.t (at int NOT NULL, v int); SELECT create_hypertable('stats.t', 'at', chunk_time_interval => 100)")
        app.execute("CREATE FUNCTION stats.now() RETURNS int LANGUAGE sql STABLE AS 'SELECT 4000'")
        app.execute("SELECT set_integer_now_func('stats.t', 'stats.now')")
        app.execute("INSERT INTO stats.t SELECT n, n FROM generate_series(1, 2000) n")
        query = "SELECT time_bucket(7, at) AS b, sum(v) AS s FROM stats.t GROUP BY 1"
        app.execute(f"CREATE MATERIALIZED VIEW stats.c WITH (timescaledb.continuous, timescaledb.materialized_only) AS {query} WITH NO DATA")
        refresh(conn, TableName("stats", "c"), Window(), say=quiet, should_stop=nothing)
        app.execute("SELECT drop_chunks('stats.t', older_than => 1000)")
        before = app.execute("SELECT * FROM stats.c WHERE b < 1000 ORDER BY 1").fetchall()
        app.execute("INSERT INTO stats.t VALUES (-500, 5), (455, 1), (995, 1), (1500, 1)")
        refresh(conn, TableName("stats", "c"), Window(), say=quiet, should_stop=nothing)
        assert app.execute("SELECT * FROM stats.c WHERE b BETWEEN 0 AND 999 ORDER BY 1").fetchall() == before
        assert app.execute("SELECT s FROM stats.c WHERE b < 0").fetchall() == [(5,)]
        assert app.execute(f"SELECT count(*) FROM (SELECT * FROM stats.c WHERE b >= 1001 EXCEPT {query}) d").fetchone() == (0,)


def test_rows_that_come_late_to_an_aggregate_over_another(season: Season) -> None:
    season.aggregate("daily", QUERIES["daily"])
    weekly = season.aggregate("weekly", "SELECT time_bucket('7 days', day) AS week, sum(total) AS total FROM stats.daily GROUP BY 1")
    season.refresh(weekly)
    season.app.execute("SELECT drop_chunks(%s, timestamptz '2024-01-25')", [TABLE.quoted])
    before = [row[2] for row in kept_before(season, weekly, "week", "2024-01-25")]
    season.app.execute(
        f"INSERT INTO {TABLE.quoted} VALUES ('1970-01-01 05:00+00', 1, 7, 1, 'late'), ('2024-01-13 05:00+00', 1, 1, 1, 'late')"
    )
    season.refresh(weekly)
    assert [row[2] for row in kept_before(season, weekly, "week", "2024-01-25")] == before
    assert season.db.execute("SELECT total FROM stats.weekly WHERE week < '1971-01-01'") == [(7,)]
