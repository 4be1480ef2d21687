"""The endpoints, on SQLite."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient


def stat(day: int, value: float, kind: str = "goals", **other: Any) -> dict[str, Any]:
    moment = f"2024-01-{day:02}T15:00:00+00:00"
    return {"player_id": 7, "game_id": day, "stat_type": kind, "value": value, "game_date": moment, **other}


def test_a_statistic_is_written_once_and_read(client: TestClient) -> None:
    made = client.post("/stats", json=stat(6, 2, game_date="2024-01-06T17:00:00+02:00"))
    assert made.status_code == 201, made.text
    assert made.json()["game_date"] == "2024-01-06T15:00:00Z"
    assert client.post("/stats", json=stat(6, 3)).status_code == 409
    assert client.post("/stats", json=stat(6, 3, player_id=8)).status_code == 409
    (read,) = client.get("/players/7/stats/latest").json()
    assert (read["id"], float(read["value"])) == (made.json()["id"], 2)


def test_many_are_written_and_corrected_at_once(client: TestClient) -> None:
    first = {"stats": [stat(day, day) for day in (3, 1, 2)]}
    assert client.post("/stats/bulk", json=first).json() == {"written": 3}
    again = {"stats": [stat(3, 30), stat(4, 4)]}
    assert client.post("/stats/bulk", json=again).json() == {"written": 2}
    read = client.get("/players/7/stats/latest", params={"limit": 3}).json()
    assert [(each["game_id"], float(each["value"])) for each in read] == [(4, 4), (3, 30), (2, 2)]


def test_averages_by_day_and_by_week_from_monday(client: TestClient) -> None:
    # 2024-01-07 is a Sunday.
    days = [stat(1, 1), stat(7, 4), stat(7, 6, game_id=70), stat(8, 9), stat(8, 1, "cards")]
    client.post("/stats/bulk", json={"stats": days})
    asked = {"since": "2024-01-01T12:00:00Z"}

    def averages(period: str) -> list[tuple[Any, ...]]:
        found = client.get("/players/7/averages", params={"period": period, **asked}).json()
        return [(each["start"], each["stat_type"], each["average"], each["count"]) for each in found]

    assert averages("day") == [
        ("2024-01-08", "cards", 1, 1),
        ("2024-01-08", "goals", 9, 1),
        ("2024-01-07", "goals", 5, 2),
        ("2024-01-01", "goals", 1, 1),
    ]
    assert averages("week") == [
        ("2024-01-08", "cards", 1, 1),
        ("2024-01-08", "goals", 9, 1),
        ("2024-01-01", "goals", 11 / 3, 3),
    ]


def test_on_sqlite_the_flag_changes_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client.post("/stats/bulk", json={"stats": [stat(1, 1), stat(2, 2)]})
    asked = {"since": "2024-01-01T00:00:00Z"}
    plain = client.get("/players/7/averages", params=asked).json()
    monkeypatch.setenv("USE_HYPERTABLES", "on")
    assert client.get("/players/7/averages", params=asked).json() == plain
    assert len(plain) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"stats": []},
        {"stats": [stat(1, 1), stat(1, 2)]},
        {"stats": [stat(1, 1, game_date="2024-01-01T15:00:00")]},
    ],
    ids=["nothing", "one twice", "no offset"],
)
def test_what_is_wrong_is_told(client: TestClient, wrong: dict[str, Any]) -> None:
    assert client.post("/stats/bulk", json=wrong).status_code == 422
