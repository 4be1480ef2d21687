"""Compression, retention and continuous aggregates, on a Community server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.util import CommandError

from hyperferry import reconcile
from hyperferry.config import load_settings

from .conftest import Place
from .test_operations import made

pytestmark = pytest.mark.community

DAILY = (
    "SELECT time_bucket('1 day', game_date) AS day, player_id, sum(value) AS total, count(*) AS n FROM player_stats\n"
    "-- it's a day: of 24 hours\nGROUP BY 1, 2;"
)


def everything(op: Any) -> None:
    op.add_compression(
        "player_stats", segment_by=["player_id"], order_by=["game_date DESC", "id"], after="30 days"
    )
    op.add_retention("player_stats", "20 years")
    op.create_continuous_aggregate(
        "daily",
        DAILY,
        materialized_only=False,
        start_offset="3 months",
        end_offset="1 day",
        schedule="1 hour",
    )


def nothing(op: Any) -> None:
    op.drop_continuous_aggregate("daily")
    op.remove_retention("player_stats")
    op.remove_compression("player_stats")


def jobs(place: Place) -> list[str]:
    return [row[0] for row in place.state()[2]]


def lacking(place: Place, file: Path, table: str = "player_stats") -> list[str]:
    """What `hyperferry diff` has to say of the file."""
    settings = load_settings({"dsn": place.db.dsn}, config=file)
    return [step.key for step in reconcile.inspect(place.db.dsn, table, settings.declared).difference.steps]


def segments(place: Place) -> list[str]:
    """The columns by which chunks of player_stats are compressed."""
    rows = place.db.execute(
        "SELECT attname::text FROM timescaledb_information.compression_settings "
        "WHERE hypertable_name = 'player_stats' AND segmentby_column_index IS NOT NULL ORDER BY segmentby_column_index"
    )
    return [row[0] for row in rows]


def test_policies_twice_over_changed_and_taken_away(community: Place) -> None:
    community.run(made)
    before = community.state()
    community.run(everything)
    after = community.state()
    assert jobs(community) == [
        "policy_compression",
        "policy_refresh_continuous_aggregate",
        "policy_retention",
    ]
    numbers = community.db.execute("SELECT job_id FROM timescaledb_information.jobs ORDER BY 1")
    community.run(everything)
    assert community.state() == after
    assert community.db.execute("SELECT job_id FROM timescaledb_information.jobs ORDER BY 1") == numbers, (
        "what is the same stays"
    )
    community.run(lambda op: op.add_retention("player_stats", "30 years"))
    assert ("policy_retention", "30 years") in [
        (row[0], row[2].get("drop_after")) for row in community.state()[2]
    ]
    community.run(nothing)
    assert community.state() == before
    community.run(nothing)
    assert community.state() == before


def test_the_retention_of_an_aggregate_has_a_way_back(community: Place) -> None:
    community.run(made)
    community.run(lambda op: op.create_continuous_aggregate("daily", DAILY))
    before = community.state()
    for _ in range(2):
        community.run(lambda op: op.add_retention("daily", "20 years"))
    assert jobs(community) == ["policy_retention"]
    for _ in range(2):
        community.run(lambda op: op.remove_retention("daily", after="20 years"))
        assert community.state() == before
    community.db.execute("CREATE VIEW plain AS SELECT 1")
    community.run(lambda op: op.remove_retention("plain"))


def test_compressed_chunks_stay_and_are_spoken_of(community: Place) -> None:
    community.run(made)
    community.run(everything)
    community.db.execute("SELECT compress_chunk(c) FROM show_chunks('player_stats') AS c")
    community.run(everything)
    community.run(nothing)
    assert jobs(community) == []
    assert community.db.execute(
        "SELECT compression_enabled FROM timescaledb_information.hypertables WHERE hypertable_name = 'player_stats'"
    ) == [(True,)]
    community.run(lambda op: op.revert_hypertable("player_stats"))
    assert community.db.execute("SELECT count(*) FROM player_stats") == [(2000,)]


def test_the_script_does_what_the_operations_do(community: Place) -> None:
    script = community.script(lambda op: (made(op), everything(op)))
    for _ in range(2):
        done = community.psql(script)
        assert done.returncode == 0, done.stderr
    by_script = community.state()
    community.run(nothing)
    community.run(lambda op: op.revert_hypertable("player_stats"))
    community.run(lambda op: (made(op), everything(op)))
    assert community.state() == by_script


def test_a_policy_of_another_table_in_other_units_is_no_matter(community: Place) -> None:
    community.db.execute(
        "CREATE TABLE in_us (at bigint NOT NULL); SELECT create_hypertable('in_us', 'at', chunk_time_interval => 86400000000);"
        "CREATE FUNCTION us() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1::bigint'; SELECT set_integer_now_func('in_us', 'us');"
        "SELECT add_retention_policy('in_us', 630720000000000000)"
    )
    community.run(made)
    for _ in range(2):
        community.run(lambda op: op.add_retention("player_stats", "20 years"))
    community.run(lambda op: op.add_retention("in_us", 5))
    assert jobs(community) == ["policy_retention", "policy_retention"]


def test_what_the_file_declares(community: Place, tmp_path: Path) -> None:
    file = tmp_path / "hyperferry.toml"
    file.write_text(
        'table = "player_stats"\nchunk_interval = "14 days"\nupdates_within = "7 days"\n'
        '[compression]\nsegment_by = ["player_id"]\nafter = "30 days"\n[retention]\nafter = "20 years"\n'
        '[[index]]\nname = "by_value"\ncolumns = ["value DESC"]\nwhere = "value > 100"\n'
        '[[continuous_aggregate]]\nname = "weekly"\nquery = """SELECT time_bucket(\'7 days\', game_date) AS week, sum(value) AS total '
        'FROM player_stats GROUP BY 1"""\nrefresh = { start_offset = "6 months", end_offset = "7 days", schedule = "1 day" }\n'
        '[[continuous_aggregate.index]]\nname = "by_total"\ncolumns = ["total"]\n',
        "utf-8",
    )
    community.run(made)
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    assert "policy_retention" not in jobs(community), "the aggregate comes first"
    community.db.execute("CALL refresh_continuous_aggregate('weekly', NULL, NULL)")
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    after = community.state()
    assert jobs(community) == [
        "policy_compression",
        "policy_refresh_continuous_aggregate",
        "policy_retention",
    ]
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    assert community.state() == after
    assert lacking(community, file) == [], "`hyperferry diff` agrees"


WEEKLY = (
    'table = "player_stats"\n{table}[[continuous_aggregate]]\nname = "weekly"\n'
    "query = \"SELECT time_bucket('7 days', game_date) AS week, sum(value) AS total FROM player_stats GROUP BY 1\"\n{more}"
)


def test_what_the_file_wants_gone_goes(community: Place, tmp_path: Path) -> None:
    """Of an aggregate, as of the table."""
    file = tmp_path / "hyperferry.toml"
    file.write_text(WEEKLY.format(table="", more=""), "utf-8")
    community.run(made)
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    community.db.execute("CALL refresh_continuous_aggregate('weekly', NULL, NULL)")
    before = community.state()
    file.write_text(
        WEEKLY.format(
            table='[compression]\nafter = "30 days"\n',
            more='materialized_only = false\nretention = { after = "20 years" }\ncompression = { after = "1 year" }\n'
            'refresh = { start_offset = "28 days", end_offset = "7 days", schedule = "1 day" }\n',
        ),
        "utf-8",
    )
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    assert jobs(community) == [
        "policy_compression",
        "policy_compression",
        "policy_refresh_continuous_aggregate",
        "policy_retention",
    ]
    assert lacking(community, file) == []
    file.write_text(
        WEEKLY.format(
            table="compression = false\n",
            more="materialized_only = true\nretention = false\ncompression = false\nrefresh = false\n",
        ),
        "utf-8",
    )
    for _ in range(2):
        community.run(lambda op: op.apply_policies("player_stats", str(file)))
        assert community.state() == before
    assert lacking(community, file) == []


def test_nothing_waits_for_a_lock_without_end(community: Place, tmp_path: Path) -> None:
    """Three seconds, unless the session says otherwise; the rest of the transaction waits as before."""
    file = tmp_path / "hyperferry.toml"
    file.write_text(WEEKLY.format(table='[compression]\nafter = "30 days"\n', more=""), "utf-8")
    community.run(made)
    script = community.script(lambda op: op.create_continuous_aggregate("daily", DAILY))
    with psycopg.connect(community.db.dsn) as other:
        other.execute("LOCK TABLE player_stats IN ACCESS EXCLUSIVE MODE")
        for said in ("SET statement_timeout = '20s';", "SET statement_timeout = '20s'; SET lock_timeout = '100ms';"):
            done = community.psql(script, said)
            assert "canceling statement due to lock timeout" in done.stderr
    for _ in range(2):
        done = community.psql(script + "DO $$ BEGIN ASSERT current_setting('lock_timeout') = '0'; END $$;")
        assert done.returncode == 0, done.stderr
    whole = community.script(lambda op: op.apply_policies("player_stats", str(file)))
    assert whole.index("CREATE MATERIALIZED VIEW") < whole.index("timescaledb.compress = true"), "which locks out everybody"
    done = community.psql(whole + "DO $$ BEGIN ASSERT current_setting('lock_timeout') = '0'; END $$;")
    assert done.returncode == 0, done.stderr


def test_compression_without_a_policy_stays_on(community: Place, tmp_path: Path) -> None:
    file = tmp_path / "hyperferry.toml"
    wish = 'segment_by = ["player_id"]\nafter = "30 days"\n'
    more = (
        'refresh = { start_offset = "28 days", end_offset = "7 days", schedule = "1 day" }\n'
        'compression = { segment_by = [], after = "1 year" }\n'
    )
    community.run(made)
    for table, own in ((wish, more), (wish.replace('"30 days"', "false"), more.replace('"1 year"', "false"))):
        file.write_text(WEEKLY.format(table=f"[compression]\n{table}", more=own), "utf-8")
        community.run(lambda op: op.apply_policies("player_stats", str(file)))
        assert community.db.execute(
            "SELECT compression_enabled FROM timescaledb_information.hypertables WHERE hypertable_name = 'player_stats' "
            "UNION ALL SELECT compression_enabled FROM timescaledb_information.continuous_aggregates"
        ) == [(True,), (True,)]
    assert jobs(community) == ["policy_refresh_continuous_aggregate"]
    assert segments(community) == ["player_id"]
    assert lacking(community, file) == ["refresh:public.weekly"]


def test_an_aggregate_that_is_there_with_another_query(community: Place, tmp_path: Path) -> None:
    file = tmp_path / "hyperferry.toml"
    community.run(made)
    community.run(lambda op: op.create_continuous_aggregate("weekly", DAILY, materialized_only=True))
    before = community.state()
    said = community.psql(
        community.script(lambda op: op.create_continuous_aggregate("weekly", DAILY, materialized_only=True))
    ).stderr
    assert said == ""
    said = community.psql(
        community.script(lambda op: op.create_continuous_aggregate("weekly", DAILY, materialized_only=False))
    ).stderr
    assert "weekly is there, and is left as it is: materialized_only = true, not false" in said
    file.write_text(WEEKLY.format(table="", more=""), "utf-8")
    done = community.psql(community.script(lambda op: op.apply_policies("player_stats", str(file))))
    assert done.returncode == 0, done.stderr
    assert "weekly is there with another query, and is left as it is. It has: SELECT" in done.stderr
    assert "Wanted: SELECT" in done.stderr
    assert community.state() == before
    community.db.execute("CREATE VIEW taken AS SELECT 1")
    with pytest.raises(CommandError, match="taken is there already, and is no continuous aggregate"):
        community.run(lambda op: op.create_continuous_aggregate("taken", DAILY))


def test_how_often_policies_run(community: Place, tmp_path: Path) -> None:
    file = tmp_path / "hyperferry.toml"
    text = (
        'table = "player_stats"\n[compression]\nafter = "30 days"\nschedule = "{0} hours"\n'
        '[retention]\nafter = "20 years"\nschedule = "{0} days"\n'
        '[reorder]\nindex = "player_stats_player_idx"\nschedule = "{0} weeks"\n'
    )
    community.run(made)
    every = "SELECT schedule_interval::text FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY proc_name"
    for number in (3, 5):
        file.write_text(text.format(number), "utf-8")
        community.run(lambda op: op.apply_policies("player_stats", str(file)))
        assert lacking(community, file) == []
        assert community.db.execute(every) == [
            (f"0{number}:00:00",),
            (f"{number * 7} days",),
            (f"{number} days",),
        ]
    before = community.db.execute("SELECT job_id FROM timescaledb_information.jobs ORDER BY 1")
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    assert community.db.execute("SELECT job_id FROM timescaledb_information.jobs ORDER BY 1") == before


def test_no_segments_is_a_wish(community: Place, tmp_path: Path) -> None:
    """Where nobody says it, TimescaleDB chooses the column of an index."""
    file = tmp_path / "hyperferry.toml"
    file.write_text('table = "player_stats"\n[compression]\nsegment_by = []\norder_by = []\n', "utf-8")
    community.run(made)
    community.run(lambda op: op.add_compression("player_stats"))
    assert segments(community) == ["player_id"]
    assert lacking(community, file) == ["compression"]
    for _ in range(2):
        community.run(lambda op: op.apply_policies("player_stats", str(file)))
        assert segments(community) == []
        assert lacking(community, file) == []
    community.run(lambda op: op.add_compression("player_stats", segment_by=["player_id"]))
    community.run(lambda op: op.add_compression("player_stats", segment_by=[]))
    assert segments(community) == []


def test_an_offset_of_nothing(community: Place, tmp_path: Path) -> None:
    """Up to the present, of an integer time."""
    community.db.execute(
        "CREATE TABLE ticks (at bigint NOT NULL, v int); SELECT create_hypertable('ticks', 'at', chunk_time_interval => 1000);"
        "CREATE FUNCTION tick_now() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 5000::bigint';"
        "SELECT set_integer_now_func('ticks', 'tick_now')"
    )
    file = tmp_path / "hyperferry.toml"
    file.write_text(
        'table = "ticks"\n[[continuous_aggregate]]\nname = "hundreds"\n'
        'query = "SELECT time_bucket(100, at) AS hundred, sum(v) AS total FROM ticks GROUP BY 1"\n'
        'refresh = { start_offset = 1000, end_offset = 0, schedule = "1 hour" }\n',
        "utf-8",
    )
    community.run(lambda op: op.apply_policies("ticks", str(file)))
    assert lacking(community, file, "ticks") == []
    numbers = "SELECT job_id, config ->> 'end_offset' FROM timescaledb_information.jobs WHERE job_id >= 1000"
    before = community.db.execute(numbers)
    assert [row[1] for row in before] == ["0"]
    community.run(lambda op: op.apply_policies("ticks", str(file)))
    assert community.db.execute(numbers) == before, "what is the same stays"
    with pytest.raises(CommandError, match="-1 is no offset: 0 or a number above it"):
        community.run(
            lambda op: op.create_continuous_aggregate("other", "SELECT 1", end_offset=-1, schedule="1 hour")
        )


KINDS = {
    "timestamptz": (
        "'7 days'::interval",
        "timestamptz '2024-01-06' + i * interval '2 hours'",
        "'1 day'",
        "'2024-01-20 00:00:00+00'",
    ),
    "timestamp": (
        "'7 days'::interval",
        "timestamp '2024-01-06' + i * interval '2 hours'",
        "'1 day'",
        "'2024-01-20'",
    ),
    "date": ("'7 days'::interval", "date '2024-01-06' + i / 12", "'1 day'", "'2024-01-20'::date"),
    "bigint": ("1000", "i", "10", "100"),
}
"""Of a time column: the width of a chunk, its rows, the bucket, a bucket in the midst of them."""


LEFT_OUT = 'the retention of "Events" is left out'


def events(place: Place, folder: Path, kind: str) -> Path:
    """A hypertable "Events" of old rows, and a file that wants an aggregate of them and retention."""
    width, rows, bucket, _ = KINDS[kind]
    place.db.execute(
        f'CREATE TABLE "Events" (at {kind} NOT NULL, v int);'
        f"SELECT create_hypertable('\"Events\"', 'at', chunk_time_interval => {width});"
        f'INSERT INTO "Events" SELECT {rows}, i FROM generate_series(1, 330) AS i'
    )
    after, start, end = ("'1 year'", "'30 days'", "'1 day'")
    if kind == "bigint":
        place.db.execute(
            "CREATE FUNCTION far() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1000000::bigint';"
            "SELECT set_integer_now_func('\"Events\"', 'far')"
        )
        after, start, end = ("1000", "500", "10")
    file = folder / "hyperferry.toml"
    file.write_text(
        f'table = \'"Events"\'\n[retention]\nafter = {after}\n[[continuous_aggregate]]\nname = "buckets"\n'
        f'query = """SELECT time_bucket({bucket}, at) AS bucket, sum(v) AS total FROM "Events" GROUP BY 1"""\n'
        f"refresh = {{ start_offset = {start}, end_offset = {end}, schedule = '1 hour' }}\n",
        "utf-8",
    )
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_retention_waits_until_the_aggregate_has_the_rows(
    community: Place, tmp_path: Path, kind: str
) -> None:
    """Its first run comes as soon as the revision is committed, and would drop all of them."""
    middle = KINDS[kind][3]
    file = events(community, tmp_path, kind)
    script = community.script(lambda op: op.apply_policies("Events", str(file)))
    done = community.psql(script)
    assert done.returncode == 0, done.stderr
    assert LEFT_OUT in done.stderr
    assert "never refreshed from them: public.buckets" in done.stderr
    assert jobs(community) == ["policy_refresh_continuous_aggregate"]
    # The newest part alone, as its policy would do, or an `apply` that was interrupted.
    community.db.execute(f"CALL refresh_continuous_aggregate('buckets', {middle}, NULL)")
    assert LEFT_OUT in community.psql(script).stderr
    assert jobs(community) == ["policy_refresh_continuous_aggregate"]
    assert community.db.execute('SELECT count(*) FROM "Events"') == [(330,)]
    community.db.execute(f"CALL refresh_continuous_aggregate('buckets', NULL, {middle})")
    done = community.psql(script)
    assert done.returncode == 0, done.stderr
    assert LEFT_OUT not in done.stderr
    assert jobs(community) == ["policy_refresh_continuous_aggregate", "policy_retention"]
    assert community.db.execute("SELECT sum(total) FROM buckets") == [(330 * 331 // 2,)]
    before = community.state()
    assert LEFT_OUT not in community.psql(script).stderr
    assert community.state() == before


def test_apply_does_what_is_left_out(community: Place, tmp_path: Path) -> None:
    file = events(community, tmp_path, "timestamptz")
    community.run(lambda op: op.apply_policies("Events", str(file)))
    found = lacking(community, file, '"Events"')
    assert found == ["refresh:public.buckets", "retention-policy"]
    wish = load_settings({"dsn": community.db.dsn}, config=file).declared
    chunks = community.db.execute("SELECT count(*) FROM show_chunks('\"Events\"')")[0][0]
    done = reconcile.apply(community.db.dsn, '"Events"', wish, allowed=reconcile.Allowed(chunks)).done
    assert [step.key for step in done] == found
    assert community.db.execute("SELECT sum(total) FROM buckets") == [(330 * 331 // 2,)]
    assert lacking(community, file, '"Events"') == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_refresh_that_ended_early_oldest_first_is_waited_for_as_far_as_rows_would_go(
    community: Place, tmp_path: Path, kind: str
) -> None:
    """As `apply` does it for an aggregate that reads newest rows from the table itself."""
    middle = KINDS[kind][3]
    file = events(community, tmp_path, kind)
    script = community.script(lambda op: op.apply_policies("Events", str(file)))
    assert community.psql(script).returncode == 0
    community.db.execute(f"CALL refresh_continuous_aggregate('buckets', NULL, {middle})")
    assert LEFT_OUT in community.psql(script).stderr
    assert jobs(community) == ["policy_refresh_continuous_aggregate"]
    # Rows that stay for long do not wait: time goes on.
    file.write_text(
        file.read_text("utf-8").replace("'1 year'", "'50 years'").replace("= 1000\n", "= 999950\n"), "utf-8"
    )
    community.run(lambda op: op.apply_policies("Events", str(file)))
    assert jobs(community) == ["policy_refresh_continuous_aggregate", "policy_retention"]
    assert community.db.execute('SELECT count(*) FROM "Events"') == [(330,)]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_came_after_the_refresh_are_waited_for(community: Place, tmp_path: Path, kind: str) -> None:
    """A backfill stands in TimescaleDB's logs between two times, first where writers log, then where aggregates do."""
    middle = KINDS[kind][3]
    file = events(community, tmp_path, kind)
    script = community.script(lambda op: op.apply_policies("Events", str(file)))
    community.psql(script)
    community.db.execute("CALL refresh_continuous_aggregate('buckets', NULL, NULL)")
    community.db.execute(f'INSERT INTO "Events" VALUES ({middle}, 1000)')
    assert LEFT_OUT in community.psql(script).stderr
    assert jobs(community) == ["policy_refresh_continuous_aggregate"]
    # Another stretch is refreshed, and the log is taken over.
    far = "900000, 900100" if kind == "bigint" else "'2030-01-01', '2030-02-01'"
    community.db.execute(f"CALL refresh_continuous_aggregate('buckets', {far})")
    assert LEFT_OUT in community.psql(script).stderr
    assert jobs(community) == ["policy_refresh_continuous_aggregate"]
    community.db.execute("CALL refresh_continuous_aggregate('buckets', NULL, NULL)")
    assert LEFT_OUT not in community.psql(script).stderr
    assert jobs(community) == ["policy_refresh_continuous_aggregate", "policy_retention"]
    assert community.db.execute("SELECT sum(total) FROM buckets") == [(330 * 331 // 2 + 1000,)]
    # What is not to be dropped yet does not wait.
    community.db.execute("SELECT remove_retention_policy('\"Events\"')")
    recent = "999990" if kind == "bigint" else "now() - interval '3 days'"
    community.db.execute(f'INSERT INTO "Events" VALUES ({recent}, 1)')
    assert LEFT_OUT not in community.psql(script).stderr
    assert jobs(community) == ["policy_refresh_continuous_aggregate", "policy_retention"]


def test_what_a_refresh_is_at_work_on_is_waited_for(community: Place, tmp_path: Path) -> None:
    """It has taken that out of the log, and may be broken off. A table that not every version has."""
    ranges = "_timescaledb_catalog.continuous_aggs_materialization_ranges"
    community.db.execute(
        f"CREATE TABLE IF NOT EXISTS {ranges} (materialization_id integer, lowest_modified_value bigint, greatest_modified_value bigint)"
    )
    file = events(community, tmp_path, "timestamptz")
    script = community.script(lambda op: op.apply_policies("Events", str(file)))
    community.psql(script)
    community.db.execute("CALL refresh_continuous_aggregate('buckets', NULL, NULL)")
    community.db.execute(
        f"INSERT INTO {ranges} SELECT mat_hypertable_id, {{0}}, {{1}} FROM _timescaledb_catalog.continuous_agg".format(
            *(f"(EXTRACT(epoch FROM timestamptz '2024-01-{day}') * 1000000)::bigint" for day in (20, 21))
        )
    )
    assert LEFT_OUT in community.psql(script).stderr
    assert jobs(community) == ["policy_refresh_continuous_aggregate"]


def test_rows_of_an_aggregate_wait_for_those_that_are_made_from_it(community: Place, tmp_path: Path) -> None:
    file = tmp_path / "hyperferry.toml"
    file.write_text(
        'table = "player_stats"\n[retention]\nafter = "20 years"\n'
        '[[continuous_aggregate]]\nname = "daily"\nretention = { after = "30 years" }\n'
        "query = \"SELECT time_bucket('1 day', game_date) AS day, sum(value) AS total FROM player_stats GROUP BY 1\"\n"
        '[[continuous_aggregate]]\nname = "weekly"\nretention = { after = "40 years" }\n'
        "query = \"SELECT time_bucket('7 days', day) AS week, sum(total) AS total FROM daily GROUP BY 1\"\n",
        "utf-8",
    )

    def retained() -> list[str]:
        community.run(lambda op: op.apply_policies("player_stats", str(file)))
        return sorted(row[2]["drop_after"] for row in community.state()[2])

    community.run(made)
    assert retained() == ["40 years"], "nothing is made from it, and it has no rows to lose"
    community.db.execute("CALL refresh_continuous_aggregate('daily', NULL, NULL)")
    assert retained() == ["20 years", "40 years"]
    community.db.execute("CALL refresh_continuous_aggregate('weekly', NULL, NULL)")
    assert retained() == ["20 years", "30 years", "40 years"]
    assert lacking(community, file) == []


KEPT = (
    'table = "player_stats"\n[retention]\nafter = "{after}"\n[[continuous_aggregate]]\nname = "daily"\n'
    "query = \"SELECT time_bucket('1 day', game_date) AS day, sum(value) AS total FROM player_stats GROUP BY 1\"\n"
)


def retention(place: Place) -> tuple[Any, ...]:
    """The policy of player_stats: its number, its settings, whether it runs."""
    (row,) = place.db.execute(
        "SELECT job_id, config - 'hypertable_id', scheduled FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    )
    return tuple(row)


def with_policies(place: Place, file: Path, after: str) -> str:
    """What is said while the file is brought about with this retention."""
    file.write_text(KEPT.format(after=after), "utf-8")
    done = place.psql(place.script(lambda op: op.apply_policies("player_stats", str(file))))
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_policy_that_drops_less_comes_at_once_and_one_that_drops_more_is_told(
    community: Place, tmp_path: Path
) -> None:
    """A new aggregate, beside a policy that goes on dropping."""
    file = tmp_path / "hyperferry.toml"
    community.run(made)
    community.run(lambda op: op.add_retention("player_stats", "20 years"))
    number = retention(community)[0]
    said = with_policies(community, file, "30 years")
    assert retention(community) == (number, {"drop_after": "30 years"}, True)
    assert "goes on, and may drop rows that are in no continuous aggregate yet" in said
    assert f"never refreshed from them: public.daily; job {number} drops rows older than 30 years" in said
    assert f"alter_job({number}, scheduled => false)" in said
    assert "goes on, and may drop rows" in with_policies(community, file, "30 years"), "the same, told as well"
    said = with_policies(community, file, "10 years")
    assert retention(community) == (number, {"drop_after": "30 years"}, True)
    assert "is left out" in said
    assert f"public.daily; meanwhile job {number} drops rows older than 30 years" in said
    community.db.execute("CALL refresh_continuous_aggregate('daily', NULL, NULL)")
    assert "hyperferry: the retention" not in with_policies(community, file, "10 years")
    assert retention(community)[1:] == ({"drop_after": "10 years"}, True)


def test_a_policy_that_is_paused_or_goes_by_when_chunks_were_made_is_another(
    community: Place, tmp_path: Path
) -> None:
    file = tmp_path / "hyperferry.toml"
    community.run(made)
    community.run(lambda op: op.add_retention("player_stats", "20 years"))
    number = retention(community)[0]
    community.db.execute(f"SELECT alter_job({number}, scheduled => false)")
    said = with_policies(community, file, "30 years")
    assert "is left out" in said
    assert "meanwhile" not in said, "it drops nothing"
    assert retention(community) == (number, {"drop_after": "20 years"}, False)
    community.run(lambda op: op.add_retention("player_stats", "20 years"))
    assert retention(community)[1:] == ({"drop_after": "20 years"}, True)
    community.db.execute(
        "SELECT alter_job(job_id, config => config || '{\"drop_created_before\": \"20 years\"}')"
        " FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    )
    said = with_policies(community, file, "20 years")
    assert "drops chunks that were made more than 20 years ago" in said
    community.run(lambda op: op.add_retention("player_stats", "20 years"))
    assert retention(community)[1:] == ({"drop_after": "20 years"}, True)


def test_retention_of_an_empty_table_and_of_one_that_has_it_already(community: Place, tmp_path: Path) -> None:
    file = tmp_path / "hyperferry.toml"
    text = (
        'table = "player_stats"\n[retention]\nafter = "20 years"\n[[continuous_aggregate]]\nname = "daily"\n'
        "query = \"SELECT time_bucket('1 day', game_date) AS day, sum(value) AS total FROM player_stats GROUP BY 1\"\n"
    )
    file.write_text(text, "utf-8")
    community.run(made)
    community.run(lambda op: op.add_retention("player_stats", "20 years"))
    before = community.db.execute("SELECT job_id FROM timescaledb_information.jobs WHERE job_id >= 1000")
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    assert before == community.db.execute(
        "SELECT job_id FROM timescaledb_information.jobs WHERE job_id >= 1000"
    )
    community.run(nothing)
    community.db.execute("TRUNCATE player_stats")
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    assert jobs(community) == ["policy_retention"]


@pytest.mark.parametrize(
    ("start", "compressed", "rule"),
    [("3 years", "4 years", "refresh-behind-retention"), ("1 year", "30 days", "compression-inside-updates")],
)
def test_a_file_that_apply_refuses_is_refused_here_too(
    community: Place, tmp_path: Path, start: str, compressed: str, rule: str
) -> None:
    file = tmp_path / "hyperferry.toml"
    file.write_text(
        f'table = "player_stats"\n[retention]\nafter = "2 years"\n[compression]\nafter = "{compressed}"\n'
        '[[continuous_aggregate]]\nname = "daily"\n'
        "query = \"SELECT time_bucket('1 day', game_date) AS day, sum(value) AS total FROM player_stats GROUP BY 1\"\n"
        f'refresh = {{ start_offset = "{start}", end_offset = "1 day", schedule = "1 hour" }}\n',
        "utf-8",
    )
    community.run(made)
    before = community.state()
    with pytest.raises(CommandError, match=rule) as raised:
        community.run(lambda op: op.apply_policies("player_stats", str(file)))
    assert "What to do: give" in str(raised.value)
    with pytest.raises(CommandError, match=rule):
        community.script(lambda op: op.apply_policies("player_stats", str(file)))
    assert community.state() == before
