"""The example application on a real server."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from servers import Database

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "player_stats"

TABLE = """
CREATE TABLE player_stats (
    id bigserial PRIMARY KEY,
    player_id integer NOT NULL,
    game_id integer NOT NULL,
    stat_type text NOT NULL,
    value numeric NOT NULL,
    game_date timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT player_stats_natural_key UNIQUE (player_id, game_id, stat_type, game_date)
);
INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date)
SELECT i % 30, i, 'goals', i, timestamptz '2024-01-06' + i * interval '20 minutes' FROM generate_series(1, 2000) AS i;
"""


def ferry(db: Database, *words: str) -> Any:
    """What hyperferry's command said."""
    done = subprocess.run(
        [sys.executable, "-m", "hyperferry", *words, "--dsn", db.dsn, "--json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def alembic(db: Database, *words: str) -> str:
    """Alembic in the example's folder; what it printed. Raises CommandError."""
    said = io.StringIO()
    given = Config(EXAMPLE / "alembic.ini", stdout=said)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", db.dsn)
        getattr(command, words[0])(given, *words[1:])
    return said.getvalue()
