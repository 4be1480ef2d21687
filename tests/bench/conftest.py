"""A place for benchmarks: a database of the run's servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.place import Place
from servers import Database


@pytest.fixture
def place(db: Database) -> Place:
    """A new database, as a benchmark sees a server of its own."""
    return place_in(db)


@pytest.fixture
def one_place(one_db: Database) -> Place:
    """The same on one release alone, for cases that take long and in which nothing goes by the version."""
    return place_in(one_db)


def place_in(db: Database) -> Place:
    [(postgres, timescaledb, folder)] = db.execute(
        "SELECT current_setting('server_version'), extversion, current_setting('data_directory') FROM pg_extension "
        "WHERE extname = 'timescaledb'"
    )
    return Place(db.dsn, db.release, postgres.split()[0], timescaledb, "apache", db.server.program("pgbench"), Path(folder))
