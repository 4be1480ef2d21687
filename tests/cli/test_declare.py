"""`diff` and `apply` as a user runs them."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from servers import Database

from .conftest import Hyperferry
from .test_wrong_input import assert_failure

HYPERTABLE = """
CREATE TABLE readings (at timestamptz NOT NULL, device int NOT NULL, value float8);
SELECT create_hypertable('readings', 'at', chunk_time_interval => interval '1 day', create_default_indexes => false);
INSERT INTO readings SELECT timestamptz '2024-01-01 00:00+00' + i * interval '1 hour', i % 5, i FROM generate_series(0, 119) i;
"""
FILE = """
table = "readings"
chunk_interval = "2 days"
[[index]]
name = "readings_device_idx"
columns = ["device", "at DESC"]
"""
KEYS = {"table", "timescaledb", "edition", "same", "steps", "later", "refusals", "unmanaged", "as_wanted"}


@pytest.fixture
def readings(db: Database, hyperferry: Hyperferry) -> Database:
    """A database with a small hypertable that hyperferry did not make, and a file about it."""
    db.execute(HYPERTABLE)
    (hyperferry.folder / "hyperferry.toml").write_text(FILE, "utf-8")
    return db


def test_diff_then_apply_then_diff(readings: Database, hyperferry: Hyperferry) -> None:
    found = hyperferry("diff", "--json", dsn=readings.dsn)
    assert found.code == 3, found.stderr
    assert set(found.json) == KEYS
    assert [step["key"] for step in found.json["steps"]] == ["chunk_interval", "index:readings_device_idx"]
    shown = hyperferry("diff", dsn=readings.dsn)
    assert shown.code == 3
    assert "chunks made from now on are 2 days wide, instead of 1 day" in shown.stdout
    statements = hyperferry("diff", "--sql", dsn=readings.dsn)
    assert statements.code == 3
    assert (
        'SELECT "public"."set_chunk_time_interval"(\'"public"."readings"\', INTERVAL \'2 days\');'
        in statements.stdout
    )
    done = hyperferry("apply", "readings", "--json", dsn=readings.dsn)
    assert done.code == 0, done.stderr
    assert [step["key"] for step in done.json["applied"]] == ["chunk_interval", "index:readings_device_idx"]
    assert done.json["same"] is True
    assert "add: the index readings_device_idx" in done.stderr
    same = hyperferry("diff", dsn=readings.dsn)
    assert same.code == 0, same.stdout
    assert "No difference" in same.stdout
    again = hyperferry("apply", "--json", dsn=readings.dsn)
    assert (again.code, again.json["applied"]) == (0, [])


def test_what_is_refused_ends_with_three_and_changes_nothing(
    readings: Database, hyperferry: Hyperferry
) -> None:
    with (hyperferry.folder / "hyperferry.toml").open("a") as file:
        file.write("columns = ['nowhere']\n".replace("columns", "include"))
    found = hyperferry("diff", "--json", dsn=readings.dsn)
    assert found.code == 3
    assert [each["rule"] for each in found.json["refusals"]] == ["index-not-buildable"]
    assert_failure(hyperferry("apply", "--json", dsn=readings.dsn), 3, "index-not-buildable", "nowhere")
    assert readings.execute(
        "SELECT time_interval = interval '1 day' FROM timescaledb_information.dimensions"
    ) == [(True,)]


def test_wrong_use(readings: Database, hyperferry: Hyperferry, tmp_path: Path) -> None:
    readings.execute("CREATE TABLE plain (i int); CREATE VIEW seen AS SELECT 1 AS i")
    (tmp_path / "any.toml").write_text("chunk_interval = '1 day'", "utf-8")
    (tmp_path / "nothing.toml").write_text("table = 'readings'", "utf-8")
    for command in ("diff", "apply"):
        assert_failure(hyperferry(command, "games", "--json", dsn=readings.dsn), 2, "about readings")
        for name, words in (("plain", "a plain table"), ("seen", "a view"), ("nowhere", "no table")):
            assert_failure(
                hyperferry(command, name, "--config", "any.toml", "--json", dsn=readings.dsn), 2, words
            )
        assert_failure(
            hyperferry(command, "--config", "nothing.toml", "--json", dsn=readings.dsn), 2, "wants nothing"
        )
        assert_failure(hyperferry(command, "--json", dsn="postgresql://u@127.0.0.1:1/x"), 1, "Cannot connect")


def test_ctrl_c_keeps_what_was_done(readings: Database, hyperferry: Hyperferry) -> None:
    """While somebody holds a chunk, the index cannot be built: interrupted there, the first step stays."""
    with readings.connect() as reader:
        reader.autocommit = False
        reader.execute("LOCK TABLE readings IN ROW EXCLUSIVE MODE")
        process = subprocess.Popen(
            hyperferry.command("apply", "--json"),
            cwd=hyperferry.folder,
            env=hyperferry.env(readings.dsn),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        deadline = time.monotonic() + 200
        while "add: the index" not in process.stderr.readline():
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)  # as Ctrl-C, which a shell may have had ignored
        assert process.wait(timeout=200) == 4
        reader.rollback()
    assert readings.execute(
        "SELECT time_interval = interval '2 days' FROM timescaledb_information.dimensions"
    ) == [(True,)]
    done = hyperferry("apply", "--json", dsn=readings.dsn)
    assert done.code == 0, done.stderr
    assert hyperferry("diff", dsn=readings.dsn).code == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_applied_before_the_cutover_unless_asked(stats: Database, hyperferry: Hyperferry) -> None:
    """The hypertable that is being built gets its index when asked, and has it after the cutover."""
    (hyperferry.folder / "hyperferry.toml").write_text(
        'table = "player_stats"\ntime_column = "game_date"\nchunk_interval = "7 days"\n'
        '[[index]]\nname = "player_stats_value_idx"\ncolumns = ["value"]\n',
        "utf-8",
    )
    assert hyperferry("start", dsn=stats.dsn).code == 0
    assert_failure(hyperferry("apply", "--json", dsn=stats.dsn), 3, "not cut over")
    early = hyperferry("apply", "--before-cutover", "--json", dsn=stats.dsn)
    assert early.code == 0, early.stderr
    assert [step["key"] for step in early.json["applied"]] == ["index:player_stats_value_idx"]
    assert (
        stats.execute(
            "SELECT count(*) FROM pg_indexes WHERE tablename = 'player_stats' AND schemaname = 'public'"
        )[0][0]
        == 3
    )
    assert hyperferry("cutover", "--accept", "all", dsn=stats.dsn).code == 0
    assert hyperferry("diff", dsn=stats.dsn).code == 0
    assert stats.execute(
        "SELECT count(*) FROM pg_indexes WHERE indexname = 'player_stats_value_idx' AND schemaname = 'public'"
    ) == [(1,)]
