"""The example's endpoints and its health on PostgreSQL, as a table and as a hypertable."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from player_stats.main import create_app
from player_stats.settings import Settings
from servers import Database

from .conftest import alembic, ferry

ASKED = {"since": "2024-01-03T12:00:00Z"}
DAILY = "player_stats_daily"


@contextmanager
def application(dsn: str, driver: str = "asyncpg") -> Iterator[TestClient]:
    # As DATABASE_URL and STATS_DRIVER give it.
    app = create_app(Settings.model_validate({"database_url": dsn, "stats_driver": driver}))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def fill(client: TestClient) -> None:
    assert client.post("/players", json={"id": 7, "name": "Ada"}).status_code == 201
    stats = [
        {
            "player_id": 7,
            "game_id": i,
            "stat_type": kind,
            "value": str((i * 37 % 100) / 10),
            "game_date": f"2024-01-{1 + i % 28:02}T{i % 24:02}:30:00Z",
        }
        for i in range(1, 200)
        for kind in ("goals", "cards")
    ]
    assert client.post("/stats/bulk", json={"stats": stats}).json() == {"written": 398}


def averages(client: TestClient, period: str) -> list[dict[str, Any]]:
    answer = client.get("/players/7/averages", params={"period": period, **ASKED})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_writes_and_reads(one_db: Database, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after, with the flag and without: the same answers."""
    alembic(one_db, "upgrade", "0002")
    one_db.execute(f"ALTER DATABASE {one_db.name} SET timezone = 'America/New_York'")
    with application(one_db.dsn, driver) as client:
        fill(client)
        plain = {period: averages(client, period) for period in ("day", "week")}
        assert (plain["day"][0]["start"], plain["day"][-1]["start"]) == ("2024-01-28", "2024-01-03")
        assert [row["start"] for row in plain["week"][::2]] == [
            "2024-01-22",
            "2024-01-15",
            "2024-01-08",
            "2024-01-01",
        ]
        stat = {
            "player_id": 7,
            "game_id": 1,
            "stat_type": "saves",
            "value": "2.50",
            "game_date": "2024-01-29T23:00:00-05:00",
        }
        assert client.post("/stats", json={**stat, "player_id": 8}).status_code == 409
        made = client.post("/stats", json=stat)
        assert made.status_code == 201, made.text
        assert client.post("/stats", json=stat).status_code == 409
        (read,) = client.get("/players/7/stats/latest", params={"limit": 1}).json()
        assert read == made.json()
        assert (read["value"], read["game_date"]) == ("2.50", "2024-01-30T04:00:00Z")
        for at in ("0002", "0003"):
            alembic(one_db, "upgrade", at)
            for flag in ("off", "on"):
                monkeypatch.setenv("USE_HYPERTABLES", flag)
                for period, expected in plain.items():
                    assert averages(client, period)[1:][-len(expected) :] == expected, (at, flag, period)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_a_lock_that_is_not_to_be_had_at_once_is_asked_for_again(one_db: Database, driver: str) -> None:
    """As at a cutover, for an application whose lock_timeout is short."""
    alembic(one_db, "upgrade", "head")
    one_db.execute("INSERT INTO players VALUES (7, 'Ada')")
    one_db.execute(f"ALTER DATABASE {one_db.name} SET lock_timeout = '600ms'")
    stat = {
        "player_id": 7,
        "game_id": 1,
        "stat_type": "saves",
        "value": "1",
        "game_date": "2024-01-29T23:00:00Z",
    }
    with application(one_db.dsn, driver) as client:
        holder = one_db.connect(autocommit=False)
        holder.execute("LOCK TABLE player_stats")
        given_back = threading.Event()
        release = threading.Timer(0.8, lambda: (given_back.set(), holder.close()))
        release.start()
        assert client.post("/stats", json=stat).status_code == 201
        assert given_back.is_set(), "it was written after the lock was given back"
        assert client.get("/players/7/stats/latest").json()[0]["game_id"] == 1


@pytest.mark.community
def test_the_continuous_aggregate_says_the_same(
    community_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    alembic(community_db, "upgrade", "head")
    assert "No new upgrade operations" in alembic(community_db, "check")
    with application(community_db.dsn) as client:
        fill(client)
        plain = {period: averages(client, period) for period in ("day", "week")}
        monkeypatch.setenv("USE_HYPERTABLES", "on")
        for refreshed in (False, True):
            if refreshed:
                community_db.execute(f"CALL refresh_continuous_aggregate('{DAILY}', NULL, '2024-01-20')")
            assert {period: averages(client, period) for period in ("day", "week")} == plain
        community_db.execute(f"DROP MATERIALIZED VIEW {DAILY}")
        assert client.get("/players/8/averages").status_code >= 500, "so it was the aggregate that was read"


def test_health(db: Database) -> None:
    """Of the owner and of a role that may use the table alone; without the extension, the ledger, the server."""
    alembic(db, "upgrade", "0002")
    role = db.make_role()
    db.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    versions = db.execute(
        "SELECT split_part(current_setting('server_version'), ' ', 1), extversion FROM pg_extension WHERE extname = 'timescaledb'"
    )[0]
    common = {
        "database": "postgresql",
        "version": versions[0],
        "timescaledb": versions[1],
        "edition": "apache",
        "reads_of_other_side": 0,
        "revision": "0002",
    }
    with application(db.dsn) as owner, application(db.dsn_as(role), "psycopg") as other:

        def health(client: TestClient) -> Any:
            answer = client.get("/health")
            assert answer.status_code == 200, answer.text
            return answer.json()["db"]

        off = {"player_stats": "table", "rollout": None, "use_hypertables": "off"}
        assert health(owner) == health(other) == {**common, **off}
        ferry(db, "start", "player_stats", "--time", "game_date", "--chunk-interval", "7 days")
        assert health(owner)["rollout"] == "synced"
        assert health(other) == {**common, **off}
        ferry(db, "cutover", "player_stats", "--accept", "all")
        ferry(db, "flag", "25%")
        owner.app.state.database.use_hypertables.refresh()  # type: ignore[attr-defined]
        assert health(owner) == {
            **common,
            "player_stats": "hypertable",
            "rollout": "cut_over",
            "use_hypertables": "25%",
        }
        assert health(other)["player_stats"] == "hypertable"
        with db.server.connect() as conn:
            conn.execute(f"ALTER DATABASE {db.name} ALLOW_CONNECTIONS false")
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [db.name]
            )
        away = owner.get("/health")
        assert (away.status_code, away.json()["status"]) == (503, "unavailable")
