"""db_health on SQLite: harmless, and it says what there is to say."""

from __future__ import annotations

import sqlite3

import pytest
from fastapi.testclient import TestClient


def test_on_sqlite(client: TestClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "db": {
            "database": "sqlite",
            "version": sqlite3.sqlite_version,
            "timescaledb": None,
            "edition": None,
            "player_stats": "table",
            "rollout": None,
            "use_hypertables": "off",
            "reads_of_other_side": 0,
            "revision": "0004",
        },
    }


def test_the_flag_is_shown(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_HYPERTABLES", "25%")
    assert client.get("/health").json()["db"]["use_hypertables"] == "25%"
