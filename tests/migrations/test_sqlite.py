"""The same revisions on SQLite, where teams run their unit tests: harmless."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext


def test_the_operations_are_harmless_there() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        op: Any = Operations(context)
        op.create_table(
            "player_stats",
            sqlalchemy.Column("id", sqlalchemy.Integer),
            sqlalchemy.Column("game_date", sqlalchemy.DateTime),
        )
        op.create_hypertable(
            "player_stats", "game_date", chunk_interval="7 days", primary_key=["id", "game_date"]
        )
        op.set_chunk_interval("player_stats", "1 day")
        op.create_hypertable_index("by_date", "player_stats", ["id", "game_date DESC"])
        op.add_compression("player_stats", segment_by=["id"], after="30 days")
        op.add_retention("player_stats", "2 years")
        op.create_continuous_aggregate("daily", "SELECT 1", schedule="1 hour")
        op.require_rollout("player_stats")
        op.apply_policies("player_stats", "not there.toml")
        found = sqlalchemy.inspect(connection)
        assert [index["name"] for index in found.get_indexes("player_stats")] == ["by_date"]
        op.drop_hypertable_index("by_date", "player_stats")
        op.drop_continuous_aggregate("daily")
        op.remove_retention("player_stats")
        op.remove_compression("player_stats")
        op.revert_hypertable("player_stats")
        found = sqlalchemy.inspect(connection)
        assert (found.get_table_names(), found.get_indexes("player_stats")) == (["player_stats"], [])
