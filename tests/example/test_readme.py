"""The example's README: its commands run, its tables say what there is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.conftest import blocks
from player_stats.main import app
from servers import Database
from under_load.__main__ import options

from .conftest import EXAMPLE

PAGE = EXAMPLE / "README.md"
TEXT = PAGE.read_text("utf-8")


@pytest.mark.skipif(os.name != "posix", reason="the page speaks to a POSIX shell")
def test_its_commands_run(one_db: Database, tmp_path: Path) -> None:
    """The first block as it stands, on SQLite; the others on a real server."""
    folder = tmp_path / "player_stats"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
    programs = Path(sys.executable).parent
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "HYPERFERRY_TEST"))
    }
    env |= {"DATABASE_URL": one_db.dsn, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    run = [block.body for block in blocks(PAGE) if block.mark == "run"]
    assert len(run) == 2
    for body in run:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", body], cwd=folder, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{body}\n{done.stdout}\n{done.stderr}"
        assert "No new upgrade operations detected" in done.stdout
    assert one_db.execute(
        "SELECT hypertable_name FROM timescaledb_information.hypertables WHERE hypertable_name = 'player_stats'"
    )


def test_its_endpoints_are_those_there_are() -> None:
    documented = set(re.findall(r"^\| `(GET|POST) (/[^`]*)` \|", TEXT, re.M))
    there = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    assert documented == there


def test_its_files_are_there() -> None:
    table = TEXT.partition("| | |")[2].partition("\n\n")[0]
    files = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    assert len(files) == 8
    assert [file for file in files if not (EXAMPLE / file).exists()] == []


def test_the_commands_of_the_load_are_understood() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("python -m under_load")]
    assert len(lines) == 3
    for line in lines:
        assert options().parse_args(shlex.split(line.partition(" > ")[0])[3:])
