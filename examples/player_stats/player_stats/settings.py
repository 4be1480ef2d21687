"""What the application is told by its environment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings
from sqlalchemy import URL, make_url

ASYNC_DRIVERS = {"asyncpg": "postgresql+asyncpg", "psycopg": "postgresql+psycopg"}


class Settings(BaseSettings):
    """`DATABASE_URL` is the one address for the application, Alembic and hyperferry: `postgresql://...`, or `sqlite:///file`.

    `STATS_DRIVER` chooses how the application talks to PostgreSQL; Alembic and hyperferry use psycopg anyway.
    """

    database_url: str = "sqlite:///player_stats.db"
    stats_driver: Literal["asyncpg", "psycopg"] = "asyncpg"
    stats_pool_size: int = Field(default=10, gt=0)

    @property
    def on_postgresql(self) -> bool:
        """Whether the database is PostgreSQL; else it is SQLite, as in unit tests."""
        return make_url(self.database_url).get_backend_name() == "postgresql"

    @property
    def application_url(self) -> URL:
        """For the application's asynchronous engine."""
        if not self.on_postgresql:
            return make_url(self.database_url).set(drivername="sqlite+aiosqlite")
        url = make_url(self.database_url).set(drivername=ASYNC_DRIVERS[self.stats_driver])
        if self.stats_driver == "asyncpg":
            # It does not know libpq's words: of them it is told how to encrypt.
            encrypt = url.query.get("sslmode")
            url = url.set(query={} if encrypt is None else {"ssl": encrypt})
        return url

    @property
    def migrations_url(self) -> URL:
        """For Alembic, which is synchronous."""
        return make_url(self.database_url).set(
            drivername="postgresql+psycopg" if self.on_postgresql else "sqlite"
        )

    @property
    def libpq_url(self) -> str:
        """As libpq, psycopg and hyperferry read it."""
        return make_url(self.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
