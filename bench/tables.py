"""The tables that are converted: narrow or wide rows, one, three or six indexes."""

from __future__ import annotations

import psycopg
from psycopg import sql

from hyperferry.db import load_queries

from .place import Connection

SOURCE = "player_stats"
SHAPES = ("narrow", "wide")
INDEXES = (
    ("time", "(game_date)"),
    ("player", "(player_id, game_date DESC)"),
    ("game", "(game_id)"),
    ("type", "(stat_type, game_date)"),
    ("created", "(created_at)"),
)
"""Beside the primary key, in this order. One index is the key alone: there the runbook's hypertable has none on the time
either."""
COUNTS = (1, 3, 6)
CHUNK = "7 days"


def make_source(conn: Connection, *, shape: str, indexes: int, rows: int) -> None:
    """`public.player_stats`, filled, with its key and `indexes` - 1 others, vacuumed and analyzed."""
    queries = load_queries(__package__ or "bench", "tables.sql")
    conn.execute(f"DROP TABLE IF EXISTS public.{SOURCE}")
    conn.execute(queries[shape])
    with conn.cursor() as cursor:
        psycopg.ClientCursor(conn).execute(queries[f"fill_{shape}"], {"rows": rows})
        cursor.execute(f"ALTER TABLE public.{SOURCE} ADD PRIMARY KEY (id)")
    add_indexes(conn, SOURCE, indexes)
    conn.execute(f"VACUUM (ANALYZE) public.{SOURCE}")


def add_indexes(conn: Connection, table: str, indexes: int) -> None:
    """The indexes other than the key."""
    for name, columns in INDEXES[: indexes - 1]:
        conn.execute(
            sql.SQL("CREATE INDEX {} ON public.{} ").format(
                sql.Identifier(f"{table}_{name}"), sql.Identifier(table)
            )
            + sql.SQL(columns)
        )
