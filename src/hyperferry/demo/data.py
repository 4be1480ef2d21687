"""The demo's table: made, filled with generated or with real rows, and put to use."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import IO, cast

import psycopg
from psycopg import sql

from hyperferry.db import execute, fetch_one, load_queries
from hyperferry.db.connection import Connection
from hyperferry.errors import Usage

COLUMNS = ("player_id", "game_id", "stat_type", "value", "game_date")
"""What a line of a --csv file says."""

BLOCK = 1 << 20


def make_table(conn: Connection, *, rows: int, seed: int, files: tuple[Path, ...]) -> None:
    """The table `public.player_stats` with its rows, key, indexes, view and comment. Raises Usage for a wrong
    file."""
    queries = load_queries(__package__, "data.sql")
    execute(conn, queries["create_table"])
    if files:
        for file in files:
            load_file(conn, file)
    else:
        execute(conn, queries["generate"], {"rows": rows, "seed": seed})
    for name in ("sequence", "primary_key", "index_time", "index_player", "view", "comment", "analyze"):
        execute(conn, queries[name])


def make_role(conn: Connection, role: str, password: str) -> None:
    """The application's role: it may use the table and the view, and nothing else."""
    name = sql.Identifier(role)
    # Hashed here: the statement may stand in the server's log.
    hashed = conn.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    execute(conn, sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(hashed)))
    execute(conn, sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON public.player_stats TO {}").format(name))
    execute(conn, sql.SQL("GRANT USAGE ON SEQUENCE public.player_stats_id_seq TO {}").format(name))
    execute(conn, sql.SQL("GRANT SELECT ON public.player_totals TO {}").format(name))


def facts(conn: Connection) -> tuple[int, int, str, str]:
    """Rows, bytes with indexes, day of the first and of the last row."""
    found = fetch_one(conn, load_queries(__package__, "data.sql")["facts"])
    return cast("tuple[int, int, str, str]", found)


def load_file(conn: Connection, path: Path) -> None:
    """Loads a .csv or .csv.gz with the columns of `COLUMNS` in any order. Raises Usage."""
    try:
        with _opened(path) as file:
            columns = _header(path, file.readline())
            copy = sql.SQL("COPY public.player_stats ({}) FROM STDIN (FORMAT csv)").format(
                sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            with conn.cursor() as cursor, cursor.copy(copy) as sink:
                while block := file.read(BLOCK):
                    sink.write(block)
    except (OSError, EOFError, zlib.error) as error:
        raise Usage(
            f"The file {path} cannot be read to its end.",
            facts={"reason": getattr(error, "strerror", None) or error},
            remedy="give a .csv, or a .csv.gz that is complete.",
        ) from None
    except psycopg.DataError as error:
        raise Usage(
            f"The file {path} holds a line that is no statistic.",
            facts={"server said": error.diag.message_primary, "where": error.diag.context},
            remedy=f"each line holds: {', '.join(COLUMNS)}.",
        ) from None


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _header(path: Path, line: bytes) -> list[str]:
    names = next(csv.reader(io.StringIO(line.decode("utf-8-sig", "replace"))), [])
    columns = [name.strip().lower() for name in names]
    if sorted(columns) != sorted(COLUMNS):
        raise Usage(
            f"The first line of {path} does not name the columns that the demo's table has.",
            facts={"found": ", ".join(columns)[:200], "expected": ", ".join(COLUMNS)},
            remedy="give a file whose first line names these columns, in any order.",
        )
    return columns
