"""The two commands as a user runs them, on real statistics of basketball games among others."""

from __future__ import annotations

import csv
import gzip
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from cli.conftest import Hyperferry
from hyperferry import engine
from hyperferry.model.plan_options import PlanOptions
from kit.tables import DATA, SEASONS
from servers import Database

from .conftest import SENSORS, chunks, fill


@pytest.fixture
def hyperferry(tmp_path: Path) -> Hyperferry:
    """`hyperferry("health", "sensors", dsn=...)`."""
    return Hyperferry(tmp_path)


def test_health_in_json_has_its_stable_keys_and_the_exit_code_asked_for(sensors: Database, hyperferry: Hyperferry) -> None:
    fill(sensors, 900)
    ran = hyperferry("health", "sensors", "--json", dsn=sensors.dsn)
    assert ran.code == 0, ran.stderr
    assert {"table", "examined", "findings", "figures"} == set(ran.json)
    assert ran.json["table"] == "public.sensors"
    assert all(set(each) == {"rule", "level", "message", "remedy", "command"} for each in ran.json["findings"])
    assert "warning" in {each["level"] for each in ran.json["findings"]}  # autovacuum is off
    assert hyperferry("health", "sensors", "--fail-on", "warning", dsn=sensors.dsn).code == 3
    assert hyperferry("health", "sensors", "--fail-on", "never", dsn=sensors.dsn).code == 0
    text = hyperferry("health", "sensors", dsn=sensors.dsn).stdout
    assert "warning autovacuum-off:" in text
    assert "0 critical, 1 warning" in text


def test_wrong_input_has_the_right_exit_codes(db: Database, hyperferry: Hyperferry) -> None:
    db.execute("CREATE TABLE plain (id int)")
    for command, code, words in (
        (("health", "plain"), 2, "is not a hypertable"),
        (("health", "nowhere"), 2, "There is no table"),
        (("health",), 2, "No table was named"),
        (("maintain", "plain"), 2, "is not a hypertable"),
        (("maintain", "plain", "--only", "sweep"), 2, "'sweep' is none of"),
        (("maintain", "plain", "--window", "later"), 2, "is not understood"),
        (("maintain", "plain", "--confirm", "plain"), 2, "goes with --drop-older-than"),
        (("maintain", "plain", "--accept", "all"), 2, "goes with --drop-older-than"),
        (("maintain", "plain", "--drop-older-than", "1 day", "--all"), 2, "goes with --confirm"),
    ):
        ran = hyperferry(*command, dsn=db.dsn)
        assert (ran.code, words in ran.stderr) == (code, True), (command, ran.stderr)
    ran = hyperferry("health", "plain", dsn="postgresql://nobody@127.0.0.1:1/x")
    assert ran.code == 1
    assert "Cannot connect" in ran.stderr


def test_maintenance_is_told_done_and_dropped_only_when_confirmed(sensors: Database, hyperferry: Hyperferry) -> None:
    fill(sensors, 9_000)
    sensors.execute("DELETE FROM sensors WHERE sensor < 20")
    dry = hyperferry("maintain", "sensors", "--dry-run", dsn=sensors.dsn)
    assert "would be run; nothing was done" in dry.stdout
    ran = hyperferry("maintain", "sensors", "--json", "--pause", "0", dsn=sensors.dsn)
    assert ran.code == 0, ran.stderr
    assert {each["state"] for each in ran.json["tasks"]} == {"done"}
    assert ran.json["left"] == 0
    assert "nothing needs doing" in hyperferry("maintain", "sensors", dsn=sensors.dsn).stdout
    before = chunks(sensors)
    listed = hyperferry("maintain", "sensors", "--drop-older-than", "48 hours", dsn=sensors.dsn)
    assert listed.code == 3
    assert before[0].split(".")[1] in listed.stdout
    assert chunks(sensors) == before
    dropped = hyperferry("maintain", "sensors", "--drop-older-than", "48 hours", "--confirm", "sensors", "--json", dsn=sensors.dsn)
    assert (dropped.code, dropped.json["dropped"]) == (0, 1)
    assert chunks(sensors) == before[1:]


def test_what_failed_is_named_and_ends_with_1(sensors: Database, hyperferry: Hyperferry) -> None:
    fill(sensors, 9_000)
    with sensors.connect() as conn, suppress(psycopg.errors.UniqueViolation):
        conn.execute(f"CREATE UNIQUE INDEX CONCURRENTLY twice_idx ON {chunks(sensors)[0]} (place)")
    ran = hyperferry("maintain", "sensors", "--only", "reindex", "--all", "--pause", "0", dsn=sensors.dsn)
    assert ran.code == 1, ran.stderr
    text = " ".join(ran.stdout.split())
    assert "failed reindex twice_idx: could not create unique index" in text
    assert "1 failed: mend what the server says" in text
    assert "left" not in text
    ran = hyperferry("maintain", "sensors", "--only", "reindex", "--json", "--pause", "0", dsn=sensors.dsn)
    assert (ran.code, ran.json["left"], ran.json["failed"]) == (1, 1, 1)
    assert [each["state"] for each in ran.json["tasks"]] == ["failed"]


def test_a_chunk_that_drop_chunks_passes_over_is_told_and_ends_with_1(community_db: Database, hyperferry: Hyperferry) -> None:
    sensors = community_db
    sensors.execute(SENSORS)
    fill(sensors, 900)
    first = chunks(sensors)[0]
    sensors.execute(f"SELECT _timescaledb_functions.freeze_chunk('{first}')")
    command = ("maintain", "sensors", "--drop-older-than", "24 hours", "--confirm", "sensors")
    ran = hyperferry(*command, "--json", dsn=sensors.dsn)
    assert (ran.code, ran.json["dropped"], ran.json["left"]) == (1, 1, 1), ran.stderr
    assert [(each["state"], each["dropped"]) for each in ran.json["chunks"]] == [("left", False), ("dropped", True)]
    assert f"LEFT, drop_chunks passed over {first}" in ran.stderr
    ran = hyperferry(*command, dsn=sensors.dsn)
    assert (ran.code, "unfreeze_chunk" in ran.stdout) == (1, True)
    sensors.execute(f"SELECT _timescaledb_functions.unfreeze_chunk('{first}')")
    ran = hyperferry(*command, "--json", dsn=sensors.dsn)
    assert (ran.code, ran.json["dropped"], ran.json["losses"]) == (0, 1, [])
    assert first not in chunks(sensors)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_with_4_and_the_same_command_goes_on(sensors: Database, hyperferry: Hyperferry) -> None:
    fill(sensors, 9_000)
    with sensors.connect(autocommit=False) as reader:
        reader.execute("SELECT count(*) FROM sensors")  # REINDEX waits for this one
        process = subprocess.Popen(
            hyperferry.command("maintain", "sensors", "--all", "--only", "reindex"),
            env=hyperferry.env(sensors.dsn), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until = time.monotonic() + 120
        while not sensors.execute("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'REINDEX INDEX CONCURRENTLY%'"):
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 4, err
        assert "ended: interrupted" in out
        reader.rollback()
    again = hyperferry("maintain", "sensors", "--all", "--only", "reindex", "--pause", "0", dsn=sensors.dsn)
    assert again.code == 0, again.stderr
    assert sensors.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / SEASONS[0]).exists(), reason="the real data are not beside the repository")
def test_real_games_through_a_rollout_and_its_leftovers(db: Database, hyperferry: Hyperferry) -> None:
    """The table before, while and after it becomes a hypertable: health follows it."""
    with gzip.open(DATA / SEASONS[0], "rt", encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        rows = [row for _, row in zip(range(20_000), reader, strict=False)]
    time_column = next(name for name in header if "date" in name.lower())
    with db.connect() as conn:
        columns = ", ".join(f'"{name}" ' + ("date NOT NULL" if name == time_column else "text") for name in header)
        conn.execute(f"CREATE TABLE games (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns})")
        named = ", ".join(f'"{name}"' for name in header)
        with conn.cursor() as cursor, cursor.copy(f"COPY games ({named}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row([value or None for value in row])
        conn.execute(f'CREATE INDEX ON games ("{time_column}")')
        conn.execute("ANALYZE games")
    assert hyperferry("health", "games", dsn=db.dsn).code == 2
    plan = engine.make_plan(db.dsn, "games", time_column, PlanOptions(chunk_interval="30 days"))
    engine.start(db.dsn, None, plan)
    before = hyperferry("health", "games", "--json", dsn=db.dsn)
    assert before.code == 0, before.stderr
    assert before.json["examined"].startswith("hyperferry_new_")
    assert before.json["figures"]["rows"] == len(rows)
    assert hyperferry("maintain", "games", dsn=db.dsn).code == 3  # not in use yet
    ran = hyperferry("cutover", "games", "--accept", "all", dsn=db.dsn)
    assert ran.code == 0, ran.stderr
    db.execute(f"UPDATE games SET \"{header[0]}\" = 'changed' WHERE number = 7")
    after = hyperferry("health", "games", "--json", dsn=db.dsn)
    assert after.json["examined"] == "public.games"
    [left] = [each for each in after.json["findings"] if each["rule"] == "open-rollout"]
    assert "changes wait" in left["message"]
    assert hyperferry("maintain", "games", "--all", "--pause", "0", dsn=db.dsn).code == 0
    assert db.execute("SELECT count(*) FROM games") == [(len(rows),)]
    assert hyperferry("finish", "games", "--confirm", "games", dsn=db.dsn).code == 0
    assert "open-rollout" not in hyperferry("health", "games", "--json", dsn=db.dsn).stdout
