"""The tables."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    Text,
    TypeDecorator,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Moment(TypeDecorator[datetime]):
    """A timestamptz, which is always given out in UTC: psycopg gives it in the session's time zone, and SQLite has none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What goes in."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What comes out."""
        if value is None or value.tzinfo is None:
            return None if value is None else value.replace(tzinfo=UTC)
        return value.astimezone(UTC)


class Base(DeclarativeBase):
    """What Alembic compares the database with."""


class Player(Base):
    """A player."""

    __tablename__ = "players"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class PlayerStat(Base):
    """What a player did in a game: one row for each kind of statistic.

    The primary key is what a hypertable can keep: it contains the time. Until the cutover the table's own is `id` alone, and a
    sequence keeps `id` unique before and after. The natural key has the time in it from the first day on, so that
    ON CONFLICT names the same key on the table and on the hypertable.
    """

    __tablename__ = "player_stats"
    __table_args__ = (
        UniqueConstraint("player_id", "game_id", "stat_type", "game_date", name="player_stats_natural_key"),
        Index("player_stats_latest_idx", "player_id", "game_date"),
        {"info": {"hyperferry": {"time": "game_date", "chunk_interval": "7 days"}}},
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    player_id: Mapped[int] = mapped_column(ForeignKey("players.id", name="player_stats_player_fkey"))
    game_id: Mapped[int] = mapped_column(Integer)
    stat_type: Mapped[str] = mapped_column(Text)
    value: Mapped[Decimal] = mapped_column(Numeric)
    game_date: Mapped[datetime] = mapped_column(Moment, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


NATURAL_KEY = ("player_id", "game_id", "stat_type", "game_date")
"""What makes a statistic one: a client may send the same again."""
