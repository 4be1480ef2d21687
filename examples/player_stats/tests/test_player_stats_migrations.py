"""The migrations on SQLite: the plain tables come of them, and what is TimescaleDB's is left out."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect

from player_stats.settings import Settings


def tables() -> dict[str, list[str]]:
    engine = create_engine(Settings().migrations_url)
    try:
        found = inspect(engine)
        return {
            name: sorted(str(index["name"]) for index in found.get_indexes(name))
            for name in found.get_table_names()
        }
    finally:
        engine.dispose()


def test_there_and_back(alembic: Config) -> None:
    command.upgrade(alembic, "0001")
    plain = tables()
    assert plain == {"alembic_version": [], "player_stats": ["player_stats_latest_idx"], "players": []}
    command.upgrade(alembic, "head")
    assert tables() == plain
    command.downgrade(alembic, "base")
    assert tables() == {"alembic_version": []}
    command.upgrade(alembic, "head")


def test_autogenerate_proposes_nothing(alembic: Config) -> None:
    """What the model wants of a hypertable is nothing to SQLite. `check` raises where there is something to do."""
    command.upgrade(alembic, "head")
    command.check(alembic)
