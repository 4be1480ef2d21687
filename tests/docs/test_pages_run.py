"""The commands of the pages, run from top to bottom on a real server as a reader would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servers import Database

from .conftest import ROOT, Block, blocks

TABLE = """
CREATE TABLE player_stats (
    id bigserial PRIMARY KEY,
    player_id integer NOT NULL,
    stat_type text NOT NULL,
    value numeric NOT NULL,
    game_date timestamptz NOT NULL
);
INSERT INTO player_stats (player_id, stat_type, value, game_date)
SELECT i % 30, 'stat ' || i % 5, i % 90, timestamptz '2024-01-06 15:00+00' + i * interval '20 minutes'
FROM generate_series(1, 3000) AS i;
CREATE INDEX ON player_stats (game_date);
"""


def shell(block: Block, db: Database, folder: Path) -> None:
    """Runs a block as it stands."""
    programs = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.body],
        cwd=folder,
        env={**os.environ, "DATABASE_URL": db.dsn, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{block.body}\n{done.stdout}\n{done.stderr}"


@pytest.mark.skipif(os.name != "posix", reason="the pages speak to a POSIX shell")
def test_the_readme_runs(db: Database, tmp_path: Path) -> None:
    db.execute(TABLE)
    run = [block for block in blocks(ROOT / "README.md") if block.mark == "run"]
    assert len(run) >= 5
    for block in run:
        shell(block, db, tmp_path)
    assert db.execute("SELECT hypertable_name FROM timescaledb_information.hypertables") == [
        ("player_stats",)
    ]


@pytest.mark.skipif(os.name != "posix", reason="the pages speak to a POSIX shell")
def test_the_page_of_commands_runs(db: Database, tmp_path: Path) -> None:
    db.execute(TABLE)
    run = [block for block in blocks(ROOT / "docs" / "commands.md") if block.mark == "run"]
    assert len(run) >= 8
    for block in run:
        shell(block, db, tmp_path)
    assert db.execute("SELECT count(*) FROM timescaledb_information.hypertables") == [(0,)]
    assert db.execute("SELECT count(*) FROM player_stats") == [(3000,)]


@pytest.mark.skipif(os.name != "posix", reason="the pages speak to a POSIX shell")
def test_the_page_of_benchmarks_runs(db: Database, tmp_path: Path) -> None:
    db.execute(TABLE)
    page = ROOT / "docs" / "bench.md"
    queries = next(block.body for block in blocks(page) if block.language == "sql")
    (tmp_path / "queries.sql").write_text(queries, "utf-8")
    run = [block for block in blocks(page) if block.mark == "run"]
    assert run
    for block in run:
        shell(block, db, tmp_path)
    after = json.loads((tmp_path / "after.json").read_text("utf-8"))
    assert [query["verdict"] in ("same", "slower", "faster", "unclear") for query in after["queries"]] == [True] * 3
    assert "<svg" in (tmp_path / "queries.html").read_text("utf-8")


def test_the_causes_of_the_page_are_those_that_there_are() -> None:
    source = (ROOT / "src" / "hyperferry" / "benchmark" / "causes.py").read_text("utf-8")
    page = (ROOT / "docs" / "bench.md").read_text("utf-8").partition("## Why a query loses")[2]
    assert set(re.findall(r'Cause\(\s*"([a-z-]+)"', source)) == set(re.findall(r"`([a-z-]+)`[,| ]", page))


def test_the_settings_of_the_page_are_accepted(tmp_path: Path) -> None:
    from hyperferry.config import load_settings

    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    found = re.search(r"```toml\n(.*?)```", page, re.S)
    assert found is not None
    file = tmp_path / "hyperferry.toml"
    file.write_text(found[1], "utf-8")
    settings = load_settings({}, config=file)
    assert (settings.time_column, settings.workers, settings.accept) == ("game_date", 2, ("widened-key",))
