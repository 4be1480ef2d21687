"""The statements. Pure: what they read is the same on the plain table and on the hypertable."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Date, Float, Select, cast, column, func, literal, select, table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.elements import ColumnElement

from .models import NATURAL_KEY, PlayerStat
from .schemas import Period, StatIn

DAILY = table(
    "player_stats_daily",
    column("day"),
    column("player_id"),
    column("stat_type"),
    column("total"),
    column("n"),
)
"""The continuous aggregate that hyperferry.toml declares, on the Community edition."""


def upsert(stats: Sequence[StatIn], dialect: str) -> ReturningInsert[Any]:
    """All of them; what is there gets the new value.

    In the order of their keys: two requests that write the same rows then wait for each other, and are no deadlock. The key
    contains the time, without which there is none on a hypertable.
    """
    rows = [
        stat.model_dump() for stat in sorted(stats, key=lambda s: [getattr(s, name) for name in NATURAL_KEY])
    ]
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    made = insert(PlayerStat).values(rows)
    updated = made.on_conflict_do_update(index_elements=NATURAL_KEY, set_={"value": made.excluded.value})
    returning: ReturningInsert[Any] = updated.returning(PlayerStat.id)
    return returning


def latest(player_id: int, limit: int) -> Select[Any]:
    """A player's latest statistics, the newest first."""
    return (
        select(PlayerStat)
        .where(PlayerStat.player_id == player_id)
        .order_by(PlayerStat.game_date.desc(), PlayerStat.id.desc())
        .limit(limit)
    )


def averages(
    player_id: int, period: Period, since: datetime, dialect: str, *, hypertables: bool, daily: bool = False
) -> Select[Any]:
    """Averages by day or week and kind: (start, stat_type, average, count), the newest first.

    `hypertables`: by what serves a hypertable, time_bucket, or with `daily` the continuous aggregate, whose rows hold sums and
    counts, since averages of averages would be wrong. `since` is cut to its day, so that all three say the same.
    """
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
    if hypertables and daily:
        start = _day(func.time_bucket(_width(period), DAILY.c.day))
        total, count = func.sum(DAILY.c.total), func.sum(DAILY.c.n)
        of = select(
            start.label("start"),
            DAILY.c.stat_type,
            cast(total / count, Float).label("average"),
            count.label("count"),
        )
        chosen = of.where(DAILY.c.player_id == player_id, DAILY.c.day >= midnight)
    else:
        start = _start(period, dialect, hypertables)
        average = cast(func.avg(PlayerStat.value), Float)
        of = select(
            start.label("start"), PlayerStat.stat_type, average.label("average"), func.count().label("count")
        )
        chosen = of.where(PlayerStat.player_id == player_id, PlayerStat.game_date >= midnight)
    return chosen.group_by("start", "stat_type").order_by(column("start").desc(), column("stat_type"))


def _width(period: Period) -> ColumnElement[Any]:
    return cast(literal(f"1 {period.value}"), postgresql.INTERVAL)


def _start(period: Period, dialect: str, hypertables: bool) -> ColumnElement[Any]:
    """The day on which the period begins, in UTC whatever the session's time zone; weeks begin on Monday in all three."""
    if dialect == "sqlite":
        to_monday = ("-6 days", "weekday 1") if period is Period.WEEK else ()
        return func.date(PlayerStat.game_date, *to_monday)
    if hypertables:
        bucket = func.time_bucket(_width(period), PlayerStat.game_date)
    else:
        bucket = func.date_trunc(period.value, PlayerStat.game_date, "UTC")
    return _day(bucket)


def _day(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.timezone("UTC", moment), Date)
