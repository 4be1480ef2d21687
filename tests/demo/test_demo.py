"""`hyperferry demo`, small: it passes, measures, judges by itself, and leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hyperferry.db import connect
from hyperferry.demo import data
from hyperferry.demo.fleet import Fleet
from hyperferry.demo.oracle import Oracle
from servers import Database


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "hyperferry", "demo", *arguments], capture_output=True, text=True, timeout=280
    )


def gone(db: Database, database: str) -> bool:
    """Neither the database nor a role of it is left on the server."""
    role = "stats_app_" + database.rpartition("_")[2]
    return db.execute(
        "SELECT (SELECT count(*) FROM pg_database WHERE datname = %s), (SELECT count(*) FROM pg_roles WHERE rolname = %s)",
        database,
        role,
    ) == [(0, 0)]


@pytest.mark.slow
def test_the_demo_passes_and_leaves_nothing(db: Database) -> None:
    ran = demo("--dsn", db.dsn, "--rows", "30000", "--rate", "200", "--writers", "3", "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    value = json.loads(ran.stdout)
    assert value["passed"] is True
    assert value["rows"] == 30000
    assert value["writer_errors"] == 0
    assert value["writes"] > 300
    assert [each["when"] for each in value["comparisons"]] == [
        "after the cutover",
        "after the rollback",
        "after the second cutover",
    ]
    for each in value["comparisons"]:
        assert (each["missing"], each["extra"], each["writes_wrong"]) == (0, 0, 0)
        assert each["rows"] > 29000
    assert all(value[name]["stall_ms"] > 0 for name in ("cutover", "rollback", "second_cutover"))
    assert gone(db, value["database"])


@pytest.mark.slow
def test_real_rows_from_files(db: Database, tmp_path: Path) -> None:
    header = "game_date,player_id,game_id,stat_type,value\n"
    lines = [f"2024-0{1 + n % 6}-06T15:00:00Z,{n % 40},{n},minutes,{n % 90}\n" for n in range(4000)]
    (tmp_path / "one.csv").write_text(header + "".join(lines[:2000]))
    with gzip.open(tmp_path / "two.csv.gz", "wt") as file:
        file.write(header + "".join(lines[2000:]))
    ran = demo(
        *("--dsn", db.dsn, "--csv", str(tmp_path / "one.csv"), "--csv", str(tmp_path / "two.csv.gz")),
        *("--rate", "100", "--writers", "2"),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4,000 rows (one.csv, two.csv.gz)" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_the_same_seed_gives_the_same_rows(db: Database) -> None:
    found = set()
    for seed in (1, 1, 2):
        with connect(db.dsn) as conn:
            data.make_table(conn, rows=5000, seed=seed, files=())
        found.add(db.execute("SELECT count(*), sum(hashtextextended(t::text, 0)) FROM player_stats AS t")[0])
        db.execute("DROP TABLE player_stats CASCADE")
    assert len(found) == 2
    assert {rows for rows, _ in found} == {5000}


def test_the_judge_sees_what_is_wrong(db: Database) -> None:
    """A judge that never says no proves nothing: a lost row, a row too many, a stale row, a deleted row that came back."""
    with connect(db.dsn) as conn:
        data.make_table(conn, rows=2000, seed=1, files=())
    db.execute(
        "CREATE SCHEMA hyperferry_new_1; CREATE TABLE hyperferry_new_1.player_stats AS TABLE player_stats"
    )

    def judge(*expected: tuple[int, str | None, str | None]) -> tuple[int, int, int]:
        with Oracle(db.dsn) as oracle:
            verdict = oracle.judge(expected)
        return verdict.missing, verdict.extra, verdict.wrong

    (value, time), *_ = db.execute("SELECT value::text, game_date::text FROM player_stats WHERE id = 1")
    assert judge((1, value, time)) == (0, 0, 0)
    assert judge((1, "-7", time)) == (0, 0, 1)
    assert judge((1, value, "2001-01-01")) == (0, 0, 1)
    assert judge((1, None, None)) == (0, 0, 1)
    assert judge((99999, value, time)) == (0, 0, 1)
    db.execute("DELETE FROM hyperferry_new_1.player_stats WHERE id = 5")
    assert judge() == (1, 0, 0)
    db.execute("INSERT INTO hyperferry_new_1.player_stats SELECT * FROM player_stats WHERE id IN (5, 6)")
    assert judge() == (0, 1, 0)
    db.execute("UPDATE hyperferry_new_1.player_stats SET value = value + 0.00 WHERE id = 7")
    assert judge() == (1, 2, 0)


def test_writers_count_their_errors(db: Database) -> None:
    """A writer that hides what went wrong proves nothing either."""
    role = db.make_role()
    with connect(db.dsn) as conn:
        data.make_table(conn, rows=2000, seed=1, files=())
    db.execute(f"GRANT SELECT, INSERT ON player_stats, player_totals TO {role}")
    db.execute(f"GRANT USAGE ON SEQUENCE player_stats_id_seq TO {role}")
    until = time.monotonic() + 60
    with Fleet(db.dsn_as(role), writers=2, rate=200, seed=1) as fleet:
        while min(sum(work.errors for work in fleet.total), sum(work.operations["insert"] for work in fleet.total)) <= 10:
            assert time.monotonic() < until
            time.sleep(0.5)
            fleet.report()
    assert all(work.operations["delete"] == work.operations["correct"] == 0 for work in fleet.total)
    texts = [text for work in fleet.total for text in work.error_texts]
    assert "permission denied" in texts[0]
