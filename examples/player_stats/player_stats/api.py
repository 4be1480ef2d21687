"""The endpoints."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from . import statements
from .database import Database
from .health import db_health
from .models import Player, PlayerStat
from .schemas import AverageOut, BulkIn, BulkOut, Period, PlayerIn, StatIn, StatOut

router = APIRouter()
log = logging.getLogger("player_stats")


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


Db = Annotated[Database, Depends(_database)]


@router.post("/players", status_code=201)
async def add_player(player: PlayerIn, database: Db) -> PlayerIn:
    """A new player."""
    await _add(database, Player(**player.model_dump()))
    return player


@router.post("/stats", status_code=201, response_model=StatOut)
async def add_stat(stat: StatIn, database: Db) -> PlayerStat:
    """A new statistic; 409 where it is there already, or its player is not."""
    made = PlayerStat(**stat.model_dump())
    await _add(database, made)
    return made


@router.post("/stats/bulk", status_code=201)
async def put_stats(bulk: BulkIn, database: Db) -> BulkOut:
    """Many at once, new and corrected. All or none; can be sent again."""

    async def work(session: AsyncSession) -> int:
        return len((await session.scalars(statements.upsert(bulk.stats, database.dialect))).all())

    try:
        return BulkOut(written=await database.run(work))
    except IntegrityError as error:
        raise _conflict() from error


@router.get("/players/{player_id}/stats/latest", response_model=list[StatOut])
async def latest(
    player_id: int, database: Db, limit: Annotated[int, Query(ge=1, le=200)] = 20
) -> Sequence[PlayerStat]:
    """A player's latest statistics, the newest first."""

    async def work(session: AsyncSession) -> Sequence[PlayerStat]:
        found: Sequence[PlayerStat] = (await session.scalars(statements.latest(player_id, limit))).all()
        return found

    return await database.run(work)


@router.get("/players/{player_id}/averages")
async def averages(
    request: Request,
    player_id: int,
    database: Db,
    period: Period = Period.DAY,
    since: AwareDatetime | None = None,
) -> list[AverageOut]:
    """Averages of each day or week, from the day of `since` on (30 days ago), the newest first."""
    begin = (since or datetime.now(UTC) - timedelta(days=30)).astimezone(UTC)
    statement = statements.averages(
        player_id,
        period,
        begin,
        database.dialect,
        hypertables=database.use_hypertables(player_id),
        daily=request.app.state.has_daily,
    )

    async def work(session: AsyncSession) -> Sequence[Any]:
        found: Sequence[Any] = (await session.execute(statement)).all()
        return found

    rows = await database.run(work)
    return [AverageOut.model_validate(row._asdict()) for row in rows]


@router.get("/health")
async def health(database: Db) -> JSONResponse:
    """Whether the application can do its work, and on what."""
    try:
        found = await db_health(database)
    except Exception as error:  # drivers raise many kinds, and each means the same here
        log.warning("the database is away", exc_info=error)
        return JSONResponse({"status": "unavailable", "error": type(error).__name__}, 503)
    return JSONResponse({"status": "ok", "db": found})


async def _add(database: Database, row: Player | PlayerStat) -> None:
    async def work(session: AsyncSession) -> None:
        session.add(row)

    try:
        await database.run(work)
    except IntegrityError as error:
        raise _conflict() from error


def _conflict() -> HTTPException:
    return HTTPException(409, "it is there already, or its player is not")
