"""The command line as a user runs it, and the database as it was before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from servers import Database

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
CREATE INDEX player_stats_game_date_idx ON player_stats (game_date DESC);
CREATE INDEX player_stats_player_idx ON player_stats (player_id, stat_type) INCLUDE (value);
CREATE VIEW player_totals AS
SELECT player_id, stat_type, sum(value) AS total FROM player_stats GROUP BY player_id, stat_type;
COMMENT ON TABLE player_stats IS 'One row for each player, match and statistic';
ANALYZE player_stats;
"""


@dataclass(frozen=True)
class Ran:
    """What one command left: its exit code, and what it printed where."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        value = json.loads(self.stdout)
        assert isinstance(value, dict)
        return value


class Hyperferry:
    """Runs `hyperferry` in a process and a folder of its own, with nothing of the developer's settings around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PG", "HYPERFERRY_T", "DATABASE_URL")) and name != "NO_COLOR"
        }

    def __call__(self, *arguments: str, dsn: str | None = None, **environment: str) -> Ran:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.env(dsn, **environment),
            capture_output=True,
            text=True,
            timeout=240,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def command(self, *arguments: str) -> list[str]:
        """The command line of a process."""
        return [sys.executable, "-m", "hyperferry", *arguments]

    def env(self, dsn: str | None, **environment: str) -> dict[str, str]:
        """The environment of a process."""
        return {**self.environment, **({} if dsn is None else {"DATABASE_URL": dsn}), **environment}


@pytest.fixture
def hyperferry(tmp_path: Path) -> Hyperferry:
    """`hyperferry("status", dsn=...)`."""
    return Hyperferry(tmp_path)


def dump(db: Database, *options: str) -> str:
    """The schema as pg_dump prints it, without the lines that differ from run to run."""
    done = subprocess.run(
        [str(db.server.program("pg_dump")), "--schema-only", *options, db.dsn],
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("\\", "-- Dumped")))


def rows(db: Database) -> list[tuple[Any, ...]]:
    """What all rows of all ordinary tables of the application come to."""
    tables = db.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND n.nspname = 'public' ORDER BY 1"
    )
    return [
        (name, *db.execute(f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {name} AS t")[0])
        for (name,) in tables
    ]


@pytest.fixture
def unchanged(stats: Database) -> Iterator[Database]:
    """`stats`, and a check at the end that the database is as it was: its schema, and its rows."""
    before = dump(stats), rows(stats)
    yield stats
    assert (dump(stats), rows(stats)) == before


@pytest.fixture
def stats(db: Database) -> Database:
    """A database with a small player_stats."""
    db.execute(TABLE)
    return db


@pytest.fixture
def synced(stats: Database, hyperferry: Callable[..., Ran]) -> Database:
    """`stats` with a rollout of player_stats that is ready for the cutover."""
    ran = hyperferry("start", "player_stats", "--time", "game_date", dsn=stats.dsn)
    assert ran.code == 0, ran.stderr
    return stats
