"""TimescaleDB, long before it is used: nothing changes for the application. Who may create extensions runs it."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")


def downgrade() -> None:
    pass  # It may have been there before, and it does no harm.
