"""The engine, its sessions, the flag: everything about connections that a rollout could touch stands here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from hyperferry.flag import Flag
from hyperferry.flag import by_psycopg as flag_by_psycopg
from hyperferry.sqlalchemy import Reads, by_psycopg, route_reads

from .models import PlayerStat
from .settings import Settings

Result = TypeVar("Result")

RETRIED = frozenset({"40P01", "40001", "55P03", "0A000"})
"""What the server rolled back and may well do the next time: a deadlock, a conflict, a lock that was not to be had in time, a
prepared statement whose result changed its type (not by a cutover: by ADD COLUMN, say)."""

ATTEMPTS = 4
TIMEOUT = "10s"
"""Longer than any stall of a cutover (milliseconds), shorter than a client's patience."""


class Database:
    """One for each process. `use_hypertables` is the flag, `reads` what sends reads to a rollout's other side."""

    def __init__(self, settings: Settings) -> None:
        self.dialect = "postgresql" if settings.on_postgresql else "sqlite"
        self.engine = create_async_engine(settings.application_url, **_options(settings))
        if self.dialect == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _check_foreign_keys)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self.use_hypertables = Flag(flag_by_psycopg(settings.libpq_url) if settings.on_postgresql else None)
        self.reads: Reads | None = None
        if settings.on_postgresql:
            # While a rollout runs, reads of player_stats go where the flag says: to the hypertable before the cutover, to the old
            # table after it. A user who has just written may miss it there for a moment; leave this out where that matters.
            self.reads = route_reads(
                self.sessions,
                PlayerStat,
                flag=self.use_hypertables,
                source=by_psycopg(settings.libpq_url),
            )

    async def open(self) -> None:
        """The flag's first answer waits for the database, which must not hold the event loop up."""
        await asyncio.to_thread(self.use_hypertables)

    async def run(self, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """`work` in one transaction; again where the server rolled it back for a reason that passes.

        READ COMMITTED, PostgreSQL's default: a transaction in REPEATABLE READ that began before a cutover, and
        reads after it, could miss the last changes.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self.sessions.begin() as session:
                    return await work(session)
            except DBAPIError as error:
                if attempt == ATTEMPTS or getattr(error.orig, "sqlstate", None) not in RETRIED:
                    raise
                await asyncio.sleep(0.05 * attempt)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Ends the threads and all connections."""
        if self.reads is not None:
            self.reads.close()
        self.use_hypertables.close()
        await self.engine.dispose()


def _options(settings: Settings) -> dict[str, Any]:
    """Prepared statements stay on (asyncpg prepares all, psycopg what comes back): they survive a cutover. While one is on, all
    requests wait for a moment: `pool_timeout` and the statement's timeout have to be longer than that."""
    if not settings.on_postgresql:
        return {}
    connect: dict[str, Any]
    if settings.stats_driver == "asyncpg":
        connect = {"server_settings": {"application_name": "player_stats", "statement_timeout": TIMEOUT}}
    else:
        connect = {"application_name": "player_stats", "options": f"-c statement_timeout={TIMEOUT}"}
    return {
        "pool_size": settings.stats_pool_size,
        "max_overflow": 0,
        "pool_timeout": 30,
        "connect_args": connect,
    }


def _check_foreign_keys(connection: Any, record: object) -> None:
    """SQLite does so only when it is told."""
    connection.execute("PRAGMA foreign_keys = ON")
