"""player_stats is a hypertable.

Where it is large this revision waits for the online rollout (`hyperferry start`, `hyperferry cutover`); a small one, a
developer's or CI's, is made a hypertable in place. On SQLite nothing is done.
"""

from __future__ import annotations

from alembic import op

import hyperferry.alembic  # noqa: F401

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.require_rollout(
        "player_stats",
        time="game_date",
        chunk_interval="7 days",
        primary_key=["id", "game_date"],
        max_rows=10_000,
    )


def downgrade() -> None:
    pass  # The way back is `hyperferry rollback player_stats`.
