"""A revision that refers to an online rollout."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from .conftest import Place


def waits(op: Any) -> None:
    op.require_rollout(
        "player_stats",
        time="game_date",
        chunk_interval="7 days",
        primary_key=["id", "game_date"],
        max_rows=1_000,
    )


def ferry(place: Place, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hyperferry", *words, "--dsn", place.db.dsn], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_revision_waits_for_the_rollout(place: Place) -> None:
    with pytest.raises(CommandError, match="more than 1000 rows"):
        place.run(waits)
    ferry(place, "start", "player_stats", "--time", "game_date")
    for act in (waits, lambda op: op.require_rollout("player_stats")):
        with pytest.raises(
            CommandError, match="has to be cut_over before this revision; it is synced"
        ) as raised:
            place.run(act)
        assert "hyperferry status" in str(raised.value)
    place.run(lambda op: op.require_rollout("player_stats", phase="synced"))
    ferry(place, "cutover", "player_stats", "--accept", "all")
    before = place.state()
    place.run(waits)
    place.run(lambda op: op.require_rollout("player_stats"))
    assert place.state() == before
    with pytest.raises(CommandError, match="has to be finished"):
        place.run(lambda op: op.require_rollout("player_stats", phase="finished"))
    ferry(place, "rollback", "player_stats")
    with pytest.raises(CommandError, match="it is rolled_back"):
        place.run(waits)


def test_a_small_database_needs_none(place: Place) -> None:
    place.db.execute("DELETE FROM player_stats WHERE id > 500")
    place.run(waits)
    place.run(waits)
    assert place.state()[1][0][:3] == ("public", "player_stats", "game_date")
    assert place.db.execute("SELECT count(*) FROM player_stats") == [(500,)]


def test_a_role_that_may_not_see_the_rollout_is_told_so(place: Place) -> None:
    """The table's owner, where another role runs hyperferry. A hypertable is one for everybody; whether it is finished is not."""
    role = place.db.make_role()
    place.db.execute(f"ALTER TABLE player_stats OWNER TO {role}")
    engine = sqlalchemy.create_engine(
        place.db.dsn_as(role).replace("postgresql://", "postgresql+psycopg://", 1),
        poolclass=sqlalchemy.NullPool,
    )

    def run(**given: Any) -> None:
        with engine.begin() as connection:
            op: Any = Operations(MigrationContext.configure(connection))
            op.require_rollout("player_stats", **given)

    ferry(place, "start", "player_stats", "--time", "game_date")
    small = {"time": "game_date", "primary_key": ["id", "game_date"]}
    for given in ({}, small):
        with pytest.raises(CommandError, match="may not see how it stands") as raised:
            run(**given)
        assert "as the role that runs hyperferry" in str(raised.value)
    ferry(place, "cutover", "player_stats", "--accept", "all")
    run()
    run(**small)
    with pytest.raises(
        CommandError, match="has to be finished before this revision, and this role may not see"
    ):
        run(phase="finished")
