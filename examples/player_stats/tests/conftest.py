"""The application on SQLite, made by its own migrations: what a unit test needs, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient

from player_stats.main import create_app
from player_stats.settings import Settings

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture
def alembic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Alembic, on a database of the test's own."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'stats.db'}")
    monkeypatch.delenv("USE_HYPERTABLES", raising=False)
    return Config(HERE / "alembic.ini")


@pytest.fixture
def client(alembic: Config) -> Iterator[TestClient]:
    """A client of the application, whose database has all migrations."""
    command.upgrade(alembic, "head")
    with TestClient(create_app(Settings())) as client:
        assert client.post("/players", json={"id": 7, "name": "Ada"}).status_code == 201
        yield client
