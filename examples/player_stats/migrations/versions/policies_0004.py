"""What hyperferry.toml declares: compression, retention, the continuous aggregate of days.

Only once the rollout is finished: a continuous aggregate would stand in the way of `hyperferry rollback`, and retention would
drop rows that the old table still has. Where the table has rows already, retention is left to `hyperferry apply`, which makes the
aggregate from them first. The Apache edition has none of these, and goes without: the application then reads the
hypertable itself, and old chunks are dropped by `hyperferry maintain --drop-older-than`, by cron.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

import hyperferry.alembic  # noqa: F401

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DECLARED = Path(__file__).parents[2] / "hyperferry.toml"


def upgrade() -> None:
    op.require_rollout("player_stats", phase="finished")
    op.apply_policies("player_stats", str(DECLARED), skip_on_apache=True)


def downgrade() -> None:
    op.drop_continuous_aggregate("player_stats_daily")
    op.remove_retention("player_stats")
    op.remove_compression("player_stats")
