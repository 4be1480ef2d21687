"""The rows that are there before anybody writes: generated, always the same for a seed, or real ones from CSV files."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import psycopg

PLAYERS = 500
DAYS = 90
KINDS = ("goals", "assists", "minutes", "passes", "saves")
LOAD_GAMES = 1_000_000_000
"""Games from this number on are those of the load."""

GENERATED = """
INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date)
SELECT 1 + abs(hashint8extended(i, %(seed)s)) %% %(players)s, i / 20, (%(kinds)s::text[])[1 + i %% %(kind_count)s],
    round((abs(hashint8extended(i, %(seed)s + 1)) %% 900)::numeric / 10, 1),
    date_trunc('hour', now()) - interval '1 day' * %(days)s * (1 - (i / 20) * 20 / %(rows)s::numeric)
FROM generate_series(1, %(rows)s) AS i
ON CONFLICT DO NOTHING
"""
KEPT = """
SELECT count(*), sum(hashtextextended(ROW(id, player_id, game_id, stat_type, value, game_date, created_at)::text, 0)::numeric)
FROM player_stats WHERE game_id < %s
"""


def fill(conn: psycopg.Connection[Any], *, rows: int, seed: int, files: Sequence[Path] = ()) -> list[int]:
    """Players and their statistics, the newest of now, or those of the files (columns player_id, game_id, stat_type, value,
    game_date); players that the load may read and write."""
    if files:
        for file in files:
            _load(conn, file)
        conn.execute("INSERT INTO players SELECT DISTINCT player_id, 'Player ' || player_id FROM stats_in")
        conn.execute(
            "INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date) SELECT * FROM stats_in "
            "ON CONFLICT DO NOTHING"
        )
        conn.execute("DROP TABLE stats_in")
    else:
        conn.execute(
            "INSERT INTO players SELECT i, 'Player ' || i FROM generate_series(1, %s) AS i", [PLAYERS]
        )
        kinds = {"kinds": list(KINDS), "kind_count": len(KINDS)}
        conn.execute(GENERATED, {"rows": rows, "seed": seed, "players": PLAYERS, "days": DAYS, **kinds})
    conn.execute("ANALYZE players, player_stats")
    return [row[0] for row in conn.execute("SELECT id FROM players ORDER BY id LIMIT %s", [PLAYERS])]


def kept(conn: psycopg.Connection[Any]) -> tuple[int, Any]:
    """Of the rows that the load does not touch: how many, and a sum of their hashes."""
    row = conn.execute(KEPT, [LOAD_GAMES]).fetchone()
    assert row is not None
    return row[0], row[1]


def _load(conn: psycopg.Connection[Any], path: Path) -> None:
    conn.execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS stats_in "
        "(player_id int, game_id int, stat_type text, value numeric, game_date timestamptz)"
    )
    with _opened(path) as lines, conn.cursor() as cursor:
        into = "COPY stats_in (player_id, game_id, stat_type, value, game_date) FROM STDIN"
        with cursor.copy(into) as sink:
            for row in csv.DictReader(lines):
                sink.write_row(
                    [row[name] for name in ("player_id", "game_id", "stat_type", "value", "game_date")]
                )


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), "utf-8")
    return path.open(encoding="utf-8")
