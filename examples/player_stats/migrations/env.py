"""How Alembic runs here: on the application's database, online or as a script (`--sql`)."""

from __future__ import annotations

from alembic import context
from sqlalchemy import NullPool, create_engine

import hyperferry.alembic  # noqa: F401  (from Alembic 1.18 on it is found without this line)
from player_stats.models import Base
from player_stats.settings import Settings

target_metadata = Base.metadata
url = Settings().migrations_url

if context.is_offline_mode():
    context.configure(
        url=url, target_metadata=target_metadata, literal_binds=True, dialect_opts={"paramstyle": "named"}
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    # Each revision commits by itself: what is done stays done where a later one waits for a rollout.
    with create_engine(url, poolclass=NullPool).connect() as connection:
        context.configure(
            connection=connection, target_metadata=target_metadata, transaction_per_migration=True
        )
        with context.begin_transaction():
            context.run_migrations()
