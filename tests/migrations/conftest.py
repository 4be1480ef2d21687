"""Alembic on a database of the test's own: operations one by one, and whole projects."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

import hyperferry.alembic  # noqa: F401
from servers import Database

TABLE = """
CREATE TABLE player_stats (
    id bigserial NOT NULL,
    player_id integer NOT NULL,
    stat_type text NOT NULL,
    value numeric,
    game_date timestamptz NOT NULL,
    CONSTRAINT player_stats_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE player_stats IS 'what players did';
CREATE INDEX player_stats_player_idx ON player_stats (player_id, game_date DESC);
INSERT INTO player_stats (player_id, stat_type, value, game_date)
SELECT i % 30, 'stat ' || i % 5, i, timestamptz '2024-01-06' + i * interval '20 minutes' FROM generate_series(1, 2000) AS i;
"""
Act = Callable[[Any], object]
NEEDED = "" if importlib.util.find_spec("alembic.runtime.plugins") else "import hyperferry.alembic\n"
"""What env.py needs before Alembic 1.18, by docs/alembic.md."""


@dataclass(frozen=True)
class Place:
    """A database, with Alembic's operations on it."""

    db: Database

    @property
    def url(self) -> str:
        """As SQLAlchemy wants it."""
        return self.db.dsn.replace("postgresql://", "postgresql+psycopg://", 1)

    def run(self, act: Act, **environ: str) -> None:
        """The operations, in one transaction."""
        engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool)
        before = dict(os.environ)
        os.environ.update(environ)
        try:
            with engine.connect() as connection:
                context = MigrationContext.configure(connection)
                with context.begin_transaction():
                    act(Operations(context))
        finally:
            os.environ.clear()
            os.environ.update(before)
            engine.dispose()

    def script(self, act: Act, **environ: str) -> str:
        """The same as a script."""
        buffer = io.StringIO()
        context = MigrationContext.configure(
            url=self.url, dialect_opts={"paramstyle": "named"}, opts={"as_sql": True, "output_buffer": buffer}
        )
        before = dict(os.environ)
        os.environ.update(environ)
        try:
            act(Operations(context))
        finally:
            os.environ.clear()
            os.environ.update(before)
        return buffer.getvalue()

    def psql(self, script: str, *before: str) -> subprocess.CompletedProcess[str]:
        """Runs a script as a DBA would, in one transaction."""
        return subprocess.run(
            [
                str(self.db.server.program("psql")),
                "-X",
                "-q",
                "-1",
                "-v",
                "ON_ERROR_STOP=1",
                "-f",
                "-",
                self.db.dsn,
            ],
            input="\n".join([*before, script]),
            capture_output=True,
            text=True,
        )

    def dump(self) -> str:
        """The schema, without the lines that differ from run to run."""
        done = subprocess.run(
            [
                str(self.db.server.program("pg_dump")),
                "--schema-only",
                "--exclude-schema=_timescaledb*",
                self.db.dsn,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = (line for line in done.stdout.splitlines() if not line.startswith(("\\", "-- Dumped")))
        # Of an aggregate: the numbers that TimescaleDB gives to hypertables.
        return re.sub(r"(_hypertable_|watermark\(|trigger\(')\d+", r"\1N", "\n".join(lines))

    def state(self) -> tuple[Any, ...]:
        """The schema, the hypertables with their intervals, the policies, the rows."""
        return (
            self.dump(),
            self.db.execute(
                "SELECT hypertable_schema, hypertable_name, column_name, time_interval, integer_interval "
                "FROM timescaledb_information.dimensions WHERE hypertable_schema NOT LIKE '\\_timescale%' ORDER BY 1, 2"
            ),
            self.db.execute(
                "SELECT proc_name, schedule_interval, config - 'hypertable_id' - 'mat_hypertable_id' FROM timescaledb_information.jobs "
                "WHERE job_id >= 1000 ORDER BY 1, config::text"
            ),
        )


@pytest.fixture
def place(db: Database) -> Place:
    """A database with a plain player_stats of 2,000 rows."""
    db.execute(TABLE)
    return Place(db)


@pytest.fixture
def community(community_db: Database) -> Place:
    """The same on a Community server."""
    community_db.execute(TABLE)
    return Place(community_db)


MODEL = """
from __future__ import annotations
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

class Base(DeclarativeBase):
    pass

class PlayerStats(Base):
    __tablename__ = "player_stats"
    __table_args__ = {args}
    id = sa.Column(sa.BigInteger, primary_key=True, autoincrement=True)
    player_id = sa.Column(sa.Integer, nullable=False)
    game_date = sa.Column(sa.DateTime(timezone=True), primary_key={wide})
    value = sa.Column(sa.Numeric)
"""


class Project:
    """What `alembic init` makes, with a model; its commands run as a user runs them."""

    def __init__(self, folder: Path, url: str, template: str = "generic") -> None:
        self.folder = folder
        self("init", "-t", template, "migrations")
        ini = folder / "alembic.ini"
        ini.write_text(
            "\n".join(
                f"sqlalchemy.url = {url}" if line.startswith("sqlalchemy.url") else line
                for line in ini.read_text("utf-8").splitlines()
            ),
            "utf-8",
        )
        env = folder / "migrations" / "env.py"
        env.write_text(
            env.read_text("utf-8").replace(
                "target_metadata = None", f"{NEEDED}from models import Base\ntarget_metadata = Base.metadata"
            ),
            "utf-8",
        )

    def model(self, args: str, *, wide: bool = True) -> None:
        """The model's table with these __table_args__."""
        text = MODEL.replace("{args}", args).replace("{wide}", str(wide))
        (self.folder / "models.py").write_text(text, "utf-8")

    def __call__(self, *words: str, check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *words],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")]),
                **environ,
            },
            capture_output=True,
            text=True,
        )
        if check:
            assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done

    @property
    def versions(self) -> Path:
        """Where its revisions are."""
        return self.folder / "migrations" / "versions"

    def newest(self) -> str:
        """The text of the newest revision."""
        files = sorted(self.versions.glob("*.py"), key=lambda path: path.stat().st_mtime_ns)
        return files[-1].read_text("utf-8")


@pytest.fixture
def project(db: Database, tmp_path: Path) -> Project:
    """A project from nothing, on an empty database with the extension."""
    made = Project(tmp_path, Place(db).url)
    made.model("{}")
    return made
