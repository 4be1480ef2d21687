"""`bench` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servers import SO_OFTEN, Database

from .conftest import Hyperferry

QUERIES = """
-- name: a day
SELECT count(*) FROM player_stats WHERE game_date >= $1 AND game_date < $2;
-- name: a write
DELETE FROM player_stats;
"""
KEYS = {
    "made_by", "format", "table", "failed", "compared", "verdicts", "before", "after", "queries", "left_out", "server", "at", "seed", "runs",
    "draws", "threshold_percent", "ignored_ms", "timeout_seconds", "plans", "cold", "notes", "seconds",
}  # fmt: skip


@pytest.fixture
def queries(hyperferry: Hyperferry) -> Path:
    file = hyperferry.folder / "queries.sql"
    file.write_text(QUERIES, "utf-8")
    return file


def test_alone_then_against_it(unchanged: Database, hyperferry: Hyperferry, queries: Path) -> None:
    ran = hyperferry(
        "bench", "player_stats", "--time", "game_date", "--queries", "queries.sql", "--runs", "2", "--save", "kept.json", "--html", "page.html",
        "--timeout", "50 s", "--json", dsn=unchanged.dsn,
    )  # fmt: skip
    assert ran.code == 0, ran.stderr
    assert set(ran.json) == KEYS
    assert ran.json["table"] == "public.player_stats"
    assert ran.json["before"] is None
    assert [(each["name"], each["verdict"]) for each in ran.json["queries"]] == [("a day", "measured")]
    assert [each["name"] for each in ran.json["left_out"]] == ["a write"]
    assert (hyperferry.folder / "page.html").read_text("utf-8").startswith("<!doctype html>")
    kept = json.loads((hyperferry.folder / "kept.json").read_text("utf-8"))
    kept["queries"][0]["after"]["runs"] = [
        {**run, "planning_ms": 0.0, "execution_ms": 0.0001} for run in kept["queries"][0]["after"]["runs"]
    ]
    (hyperferry.folder / "kept.json").write_text(json.dumps(kept), "utf-8")
    again = hyperferry("bench", "player_stats", "--against", "kept.json", "--ignore-below", "0", dsn=unchanged.dsn)
    assert again.code == 3, again.stdout + again.stderr
    assert "slower a day" in again.stdout
    assert "What to do" in again.stdout
    # Its time limit is the kept one.
    assert hyperferry("bench", "player_stats", "--against", "kept.json", "--json", dsn=unchanged.dsn).json["timeout_seconds"] == 50


@pytest.mark.parametrize(
    "options",
    [
        ("--queries", "nowhere.sql"),
        ("--queries", "queries.sql", "--timeout", "soon"),
        ("--queries", "queries.sql", "--runs", "0"),
        ("--queries", "queries.sql", "--threshold", "-1"),
        ("--queries", "queries.sql", "--threshold", "nan"),
        ("--queries", "queries.sql", "--html", "no/such/folder/x.html"),
        ("--queries", "queries.sql", "--save", "."),
        ("--against", "queries.sql"),
        ("--against", "queries.sql", "--alone"),
        ("--plan", "none"),
        (),
    ],
)
def test_wrong_options_are_usage(unchanged: Database, hyperferry: Hyperferry, queries: Path, options: tuple[str, ...]) -> None:
    ran = hyperferry("bench", "player_stats", *options, "--json", dsn=unchanged.dsn)
    assert ran.code == 2, ran.stdout + ran.stderr
    assert ran.json["remedy"]


def test_a_file_to_complete_is_written(unchanged: Database, hyperferry: Hyperferry) -> None:
    unchanged.execute("CREATE EXTENSION pg_stat_statements")
    try:
        with unchanged.connect() as conn:
            for _ in range(SO_OFTEN):
                conn.execute("SELECT * FROM player_stats WHERE player_id = 3")
        ran = hyperferry("bench", "player_stats", "--write-queries", "out.sql", "--json", dsn=unchanged.dsn)
        assert ran.code == 0, ran.stderr
        assert ran.json["queries"] >= 1
        used = hyperferry("bench", "player_stats", "--queries", "out.sql", "--runs", "1", "--json", dsn=unchanged.dsn)
        assert used.code == 0, used.stderr
        assert "SELECT * FROM player_stats WHERE player_id = $1" in [each["sql"] for each in used.json["queries"]]
    finally:
        unchanged.execute("DROP EXTENSION pg_stat_statements")
