"""Compression, retention and continuous aggregates, on a Community server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
        'table = "player_stats"\nchunk_interval = "14 days"\n'
        '[compression]\nsegment_by = ["player_id"]\nafter = "30 days"\n[retention]\nafter = "20 years"\n'
        '[[index]]\nname = "by_value"\ncolumns = ["value DESC"]\nwhere = "value > 100"\n'
        '[[continuous_aggregate]]\nname = "weekly"\nquery = """SELECT time_bucket(\'7 days\', game_date) AS week, sum(value) AS total '
        'FROM player_stats GROUP BY 1"""\nrefresh = { start_offset = "6 months", end_offset = "7 days", schedule = "1 day" }\n'
        '[[continuous_aggregate.index]]\nname = "by_total"\ncolumns = ["total"]\n',
        "utf-8",
    )
    community.run(made)
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    after = community.state()
    assert jobs(community) == [
        "policy_compression",
        "policy_refresh_continuous_aggregate",
        "policy_retention",
    ]
    community.run(lambda op: op.apply_policies("player_stats", str(file)))
    assert community.state() == after
    assert [key for key in lacking(community, file) if "refresh" not in key] == [], "`hyperferry diff` agrees"


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
