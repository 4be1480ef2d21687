"""Compression, retention and continuous aggregates, on a Community server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
    from hyperferry import reconcile
    from hyperferry.config import load_settings

    settings = load_settings({"dsn": community.db.dsn}, config=file)
    difference = reconcile.inspect(community.db.dsn, "player_stats", settings.declared).difference
    assert [step.key for step in difference.steps if "refresh" not in step.key] == [], (
        "`hyperferry diff` agrees"
    )
