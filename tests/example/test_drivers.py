"""What drivers keep of statements survives a cutover, a rollback and the end of the old table (docs/applications.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from servers import Database

from .conftest import TABLE, ferry

NAMED = "SELECT count(value) AS n, max(player_id) AS last FROM player_stats WHERE player_id >= 900"
EVERYTHING = "SELECT * FROM player_stats WHERE player_id = 1 ORDER BY id LIMIT 1"
INSERT = (
    "INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date) "
    "VALUES (900, nextval('games'), 'goals', 1, '2024-02-01T00:00:00Z') RETURNING id"
)
UPSERT = (
    "INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date) "
    "VALUES (901, 1, 'goals', 1, '2024-02-01T00:00:00Z') "
    "ON CONFLICT (player_id, game_id, stat_type, game_date) DO UPDATE SET value = player_stats.value + 1 RETURNING value"
)
KEPT = "SELECT count(*), coalesce(sum(generic_plans), 0) FROM pg_prepared_statements WHERE statement LIKE '%player_stats%'"
STATEMENTS = (NAMED, EVERYTHING, INSERT, UPSERT)


@dataclass
class Application:
    """One connection, kept through everything, as a pool would."""

    name: str
    ask: Callable[[str], Awaitable[Any]]
    close: Callable[[], Awaitable[None]]


def by_engine(name: str, url: str, **options: Any) -> Application:
    """SQLAlchemy's pool with one connection; each statement in a transaction of its own."""
    engine: AsyncEngine = create_async_engine(url, pool_size=1, max_overflow=0, connect_args=options)

    async def ask(statement: str) -> Any:
        async with engine.begin() as connection:
            return (await connection.execute(text(statement.replace(":", "\\:")))).first()

    return Application(name, ask, engine.dispose)


async def by_asyncpg(dsn: str) -> Application:
    """asyncpg by itself, with statements that the application prepared and holds, within transactions."""
    connection = await asyncpg.connect(dsn)
    held: dict[str, Any] = {}

    async def ask(statement: str) -> Any:
        async with connection.transaction():
            if statement not in held:
                held[statement] = await connection.prepare(statement)
            row = await held[statement].fetchrow()
            return tuple(row)

    return Application("asyncpg, statements held", ask, connection.close)


async def by_psycopg(dsn: str) -> Application:
    """psycopg by itself, which prepares each statement the first time."""
    connection = await psycopg.AsyncConnection.connect(dsn, prepare_threshold=0, autocommit=True)

    async def ask(statement: str) -> Any:
        async with connection.transaction():
            return await (await connection.execute(statement)).fetchone()

    return Application("psycopg, prepare_threshold=0", ask, connection.close)


async def story(db: Database) -> None:
    plain = db.dsn.partition("?")[0]
    _, _, address = plain.partition("://")
    applications = [
        by_engine("SQLAlchemy, asyncpg", f"postgresql+asyncpg://{address}"),
        by_engine("SQLAlchemy, psycopg", f"postgresql+psycopg://{address}", prepare_threshold=0),
        by_engine(
            "SQLAlchemy, asyncpg without a cache",
            f"postgresql+asyncpg://{address}",
            prepared_statement_cache_size=0,
        ),
        await by_asyncpg(plain),
        await by_psycopg(plain),
    ]
    try:
        total = 0
        for application in applications:
            for _ in range(7):  # from the sixth time on the server may keep one plan for all values
                for statement in STATEMENTS:
                    await application.ask(statement)
            total += 7
            kept, generic = await application.ask(KEPT)
            if "without" not in application.name:
                assert kept >= 4, application.name
                assert generic > 0, application.name
        await asyncio.to_thread(
            ferry, db, "start", "player_stats", "--time", "game_date", "--chunk-interval", "7 days"
        )
        for words in (
            ["cutover", "--accept", "all"],
            ["rollback"],
            ["cutover", "--accept", "all"],
            ["finish", "--confirm", "player_stats"],
        ):
            await asyncio.to_thread(ferry, db, words[0], "player_stats", *words[1:])
            for application in applications:
                total += 1
                assert (await application.ask(UPSERT))[0] == total, (words, application.name)
                assert await application.ask(INSERT)
                assert await application.ask(NAMED) == (total + 1, 901), (words, application.name)
                assert (await application.ask(EVERYTHING))[1] == 1
        # What does break a statement that is kept: a change of what it gives. Whoever names the columns does not notice.
        db.execute("ALTER TABLE player_stats ADD COLUMN note text")
        for application in applications:
            if "without" in application.name:
                assert len(await application.ask(EVERYTHING)) == 8
            else:
                with pytest.raises(
                    (DBAPIError, asyncpg.PostgresError, psycopg.Error),
                    match=r"must not change result type|cached statement plan is invalid",
                ):
                    await application.ask(EVERYTHING)
            assert await application.ask(NAMED) == (total + 1, 901)
    finally:
        for application in applications:
            await application.close()


def test_kept_statements_survive(one_db: Database) -> None:
    one_db.execute(TABLE)
    one_db.execute("CREATE SEQUENCE games START 100")
    asyncio.run(story(one_db))
