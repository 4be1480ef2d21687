"""The tables, as plain as they were before anybody thought of hypertables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "players",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
    )
    op.create_table(
        "player_stats",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column(
            "player_id",
            sa.Integer,
            sa.ForeignKey("players.id", name="player_stats_player_fkey"),
            nullable=False,
        ),
        sa.Column("game_id", sa.Integer, nullable=False),
        sa.Column("stat_type", sa.Text, nullable=False),
        sa.Column("value", sa.Numeric, nullable=False),
        sa.Column("game_date", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.UniqueConstraint(
            "player_id", "game_id", "stat_type", "game_date", name="player_stats_natural_key"
        ),
    )
    op.create_index("player_stats_latest_idx", "player_stats", ["player_id", "game_date"])


def downgrade() -> None:
    op.drop_table("player_stats")
    op.drop_table("players")
