"""What a client was told is written, against what the table holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg

from .data import LOAD_GAMES

Key = tuple[int, int, str, str]
"""player_id, game_id, stat_type, game_date."""

TEMPORARY = """
CREATE TEMPORARY TABLE told (player_id int, game_id int, stat_type text, game_date timestamptz, value numeric) ON COMMIT DROP;
CREATE TEMPORARY TABLE unsure (player_id int, game_id int, stat_type text, game_date timestamptz) ON COMMIT DROP
"""
THERE = """
SELECT player_id, game_id, stat_type, game_date, value FROM player_stats AS s WHERE game_id >= %(from)s
AND NOT EXISTS (SELECT FROM unsure AS u WHERE (u.player_id, u.game_id, u.stat_type, u.game_date)
    = (s.player_id, s.game_id, s.stat_type, s.game_date))
"""
TOLD = "SELECT * FROM told"


class Journal:
    """Of one client, the only one that writes its rows: what each of them was last told to be."""

    def __init__(self) -> None:
        self.told: dict[Key, str] = {}
        self.unsure: set[Key] = set()

    def written(self, rows: Iterable[dict[str, Any]]) -> None:
        """The application said that they are written."""
        for row in rows:
            self.told[key_of(row)] = row["value"]

    def failed(self, rows: Iterable[dict[str, Any]]) -> None:
        """It did not: they may be there or not."""
        self.unsure.update(key_of(row) for row in rows)


def key_of(row: dict[str, Any]) -> Key:
    """By what a statistic is known."""
    return row["player_id"], row["game_id"], row["stat_type"], row["game_date"]


def faults(conn: psycopg.Connection[Any], journals: Iterable[Journal]) -> list[str]:
    """Where the table is not what the clients were told, five of each kind; none where each row that was acknowledged is there
    once, with the value that was acknowledged last, and nothing else is. The clients have to have stopped."""
    journals = list(journals)
    unsure = {key for journal in journals for key in journal.unsure}
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute(TEMPORARY)
        with cursor.copy("COPY told FROM STDIN") as sink:
            for key, value in _told(journals, unsure):
                sink.write_row((*key, value))
        with cursor.copy("COPY unsure FROM STDIN") as sink:
            for key in unsure:
                sink.write_row(key)
        found = []
        for what, rows, without in (
            ("acknowledged, and not there (so)", TOLD, THERE),
            ("there, and not acknowledged (so)", THERE, TOLD),
        ):
            cursor.execute(f"({rows}) EXCEPT ALL ({without}) LIMIT 5", {"from": LOAD_GAMES})
            found += [f"{what}: {', '.join(map(str, row))}" for row in cursor.fetchall()]
        cursor.execute("SELECT id FROM player_stats GROUP BY id HAVING count(*) > 1 LIMIT 5")
        found += [f"an id that is there twice: {row[0]}" for row in cursor.fetchall()]
    return found


def _told(journals: Iterable[Journal], unsure: set[Key]) -> Iterator[tuple[Key, str]]:
    for journal in journals:
        for key, value in journal.told.items():
            if key not in unsure:
                yield key, value
