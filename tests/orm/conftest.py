"""A table with a rollout, and an application of its own role that reads it by SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import BigInteger, DateTime, Engine, ForeignKey, Integer, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

from hyperferry import engine
from hyperferry.flag.reads import allow
from hyperferry.model.plan_options import PlanOptions
from hyperferry.sqlalchemy import Reads, by_psycopg, route_reads
from servers import Database

LATE = 9_001
"""The id of a row that only the table of record has, since nobody carries changes over."""


class Base(DeclarativeBase):
    pass


class Player(Base):
    __tablename__ = "player"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    stats: Mapped[list[PlayerStat]] = relationship(back_populates="player", order_by="PlayerStat.id")


class PlayerStat(Base):
    __tablename__ = "player_stats"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    game_date: Mapped[Any] = mapped_column(DateTime(timezone=True))
    player_id: Mapped[int] = mapped_column(ForeignKey("player.id"))
    value: Mapped[int] = mapped_column(Integer)
    player: Mapped[Player] = relationship(back_populates="stats")


MAKE = """
CREATE TABLE player (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE player_stats (id bigint PRIMARY KEY, game_date timestamptz NOT NULL, player_id int NOT NULL, value int NOT NULL);
INSERT INTO player SELECT i, 'player ' || i FROM generate_series(1, 9) AS i;
INSERT INTO player_stats SELECT i, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour', 1 + i % 9, i FROM generate_series(1, 900) AS i;
CREATE INDEX ON player_stats (game_date);
"""


@dataclass
class Place:
    """A database with the table; `app` is the application's role. What it makes is closed after the test."""

    db: Database
    app: str
    made: list[Any] = field(default_factory=list)

    def start(self) -> Place:
        """To the phase `synced`, with the role allowed."""
        plan = engine.make_plan(
            self.db.dsn, "player_stats", "game_date", PlanOptions(chunk_interval="7 days")
        )
        engine.start(self.db.dsn, None, plan, say=_quiet)
        return self.allow()

    def allow(self) -> Place:
        allow(self.db.dsn, "player_stats", self.app)
        return self

    def cutover(self) -> None:
        engine.cutover(self.db.dsn, "player_stats", accept=frozenset({"all"}), say=_quiet)

    def rollback(self) -> None:
        engine.rollback(self.db.dsn, "player_stats", say=_quiet)

    def finish(self) -> None:
        engine.finish(self.db.dsn, "player_stats", say=_quiet)

    def abort(self) -> None:
        engine.abort(self.db.dsn, "player_stats", say=_quiet)

    def sync(self) -> None:
        engine.sync(self.db.dsn, "player_stats", until_empty=True, say=_quiet)

    def late(self) -> Place:
        """The row LATE, of player 1."""
        self.db.execute(f"INSERT INTO player_stats VALUES ({LATE}, '2024-01-02', 1, 1)")
        return self

    def url(self, driver: str = "psycopg") -> str:
        return self.db.dsn_as(self.app).replace("postgresql:", f"postgresql+{driver}:")

    def engine(self, **options: Any) -> Engine:
        made = create_engine(self.url(), **options)
        self.made.append(made.dispose)
        return made

    def sessions(self, **options: Any) -> sessionmaker[Session]:
        return sessionmaker(self.engine(), **options)

    def route(self, sessions: Any, *tables: Any, **options: Any) -> Reads:
        """`flag` on unless said; any lag."""
        options = {"flag": lambda: True, "max_lag": None, "refresh_seconds": 0.1} | options
        made = route_reads(
            sessions, *(tables or (PlayerStat,)), source=by_psycopg(self.db.dsn_as(self.app)), **options
        )
        self.made.insert(0, made.close)
        made.refresh()
        return made


def _quiet(line: str) -> None:
    return None


ON_EACH_RELEASE = ("test_routing", "test_moving")
"""What depends on the server; the rest is the client's, and runs on one release, for the sake of CI's time."""


@pytest.fixture
def place(db: Database, request: pytest.FixtureRequest) -> Iterator[Place]:
    if db.release == "testing" and request.module.__name__.rpartition(".")[2] not in ON_EACH_RELEASE:
        pytest.skip("runs on the stable release alone")
    db.execute(MAKE)
    made = Place(db, db.make_role())
    db.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON player_stats, player TO "{made.app}"')
    yield made
    for close in made.made:
        close()
