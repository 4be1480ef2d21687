"""`advise` as a user runs it: the database is as it was before, whatever is given."""

from __future__ import annotations

import tomllib

import pytest

from servers import Database

from .conftest import Hyperferry

KEYS = {"table", "time_column", "unit", "facts", "recommendations", "warnings", "histogram", "read", "toml"}
PARTS = {"rule", "title", "recommended", "reason", "numbers", "toml", "action", "unavailable"}


def test_everything_it_writes(unchanged: Database, hyperferry: Hyperferry) -> None:
    ran = hyperferry(
        "advise", "player_stats", "--time", "game_date", "--json", "--html", "page.html", "--out", "advised.toml", dsn=unchanged.dsn
    )
    assert ran.code == 0, ran.stderr
    assert set(ran.json) == KEYS
    assert all(set(each) == PARTS for each in ran.json["recommendations"])
    assert sum(bar["rows"] for bar in ran.json["histogram"]["bars"]) == 3_000
    lines = (hyperferry.folder / "advised.toml").read_text("utf-8")
    assert tomllib.loads(lines) == tomllib.loads(ran.json["toml"])
    assert tomllib.loads(lines)["chunk_interval"] == "7 days"
    page = (hyperferry.folder / "page.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<rect") == len(ran.json["histogram"]["bars"])
    assert "http" not in page.replace("http://www.w3.org", "")
    again = hyperferry("advise", "player_stats", "--time", "game_date", "--toml", dsn=unchanged.dsn)
    assert again.stdout == lines


def test_the_lines_can_be_used(unchanged: Database, hyperferry: Hyperferry) -> None:
    """What is advised on this edition is read by the other commands."""
    ran = hyperferry("advise", "player_stats", "--time", "game_date", "--out", "hyperferry.toml", dsn=unchanged.dsn)
    assert ran.code == 0, ran.stderr
    plan = hyperferry("plan", "--json", dsn=unchanged.dsn)
    assert plan.code == 0, plan.stderr
    assert plan.json["chunk_interval"] == "INTERVAL '7 days'"
    assert hyperferry("advise", "--out", "hyperferry.toml", dsn=unchanged.dsn).code == 0


def test_a_file_of_somebody_elses_stays(unchanged: Database, hyperferry: Hyperferry) -> None:
    mine = hyperferry.folder / "hyperferry.toml"
    mine.write_text('table = "player_stats"\ntime_column = "game_date"\n', "utf-8")
    ran = hyperferry("advise", "--out", "hyperferry.toml", dsn=unchanged.dsn)
    assert (ran.code, "did not write it" in ran.stderr) == (2, True)
    assert mine.read_text("utf-8").startswith("table")


def test_for_people(unchanged: Database, hyperferry: Hyperferry) -> None:
    ran = hyperferry("advise", "player_stats", "--time", "game_date", dsn=unchanged.dsn, NO_COLOR="1")
    assert ran.code == 0, ran.stderr
    assert "\x1b" not in ran.stdout
    assert "█" in ran.stdout
    assert 'chunk_interval = "7 days"' in ran.stdout
    assert "Apache edition" in ran.stdout
    assert "read: every row of" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("nothing_here", "--time", "game_date"), 2, "no table"),
        (("player_stats",), 2, "No time column"),
        (("player_stats", "--time", "stat_type"), 2, "of type text"),
        (("player_stats", "--time", "game_dates"), 2, "no column"),
        (("player_totals", "--time", "game_date"), 2, "is a view"),
        (("player_stats_pkey", "--time", "game_date"), 2, "is a index"),
        (("player_stats", "--time", "game_date", "--updated", "value"), 2, "--updated 'value'"),
        (("player_stats", "--time", "game_date", "--arrived", "nope"), 2, "--arrived 'nope'"),
        (("player_stats", "--time", "game_date", "--pages", "0"), 2, "--pages"),
        (("player_stats", "--time", "game_date", "--queries", "nowhere.sql"), 2, "cannot be read"),
        (("player_stats", "--time", "game_date", "--html", "no/folder/x.html"), 2, "--html"),
        (("player_stats", "--time", "game_date", "--out", "."), 2, "is a folder"),
    ],
)  # fmt: skip
def test_wrong_input(unchanged: Database, hyperferry: Hyperferry, arguments: tuple[str, ...], code: int, word: str) -> None:
    ran = hyperferry("advise", *arguments, dsn=unchanged.dsn)
    assert (ran.code, word in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_server_that_is_not_there(hyperferry: Hyperferry) -> None:
    ran = hyperferry("advise", "t", "--time", "ts", dsn="postgresql://nobody@127.0.0.1:1/none")
    assert (ran.code, "Cannot connect" in ran.stderr) == (1, True)


def test_an_interval_in_the_settings_is_judged(unchanged: Database, hyperferry: Hyperferry) -> None:
    ran = hyperferry("advise", "player_stats", "--time", "game_date", "--chunk-interval", "1 minute", "--json", dsn=unchanged.dsn)
    assert [each["rule"] for each in ran.json["warnings"]] == ["chunk-count"]
