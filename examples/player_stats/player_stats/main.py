"""The application: `uvicorn player_stats.main:app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from .api import router
from .database import Database
from .health import has_daily
from .settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application on the database of `settings`, else of the environment."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings or Settings())
        await database.open()
        app.state.database = database
        # Made by a migration, so by the next deployment at the latest it is seen.
        app.state.has_daily = await has_daily(database)
        try:
            yield
        finally:
            await database.close()

    made = FastAPI(title="player_stats", lifespan=lifespan)
    made.include_router(router)
    return made


app = create_app()
