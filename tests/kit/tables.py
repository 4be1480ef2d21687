"""Test tables: every builder takes an autocommit connection of the future owner and returns a `Table`."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Real data beside the repository; tests that need it are skipped where it is absent."""

SEASONS = ("player_stats_2020_21.csv.gz", "player_stats_2021_22.csv.gz")

LONG = "ö" * 31 + "z"
"""63 bytes, the longest name there is."""


@dataclass(frozen=True)
class Table:
    """A table as tests speak of it. `key` is empty for a table without one; `columns` are all of them."""

    schema: str
    name: str
    time: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: int

    @property
    def ident(self) -> sql.Identifier:
        """The qualified name for SQL."""
        return sql.Identifier(self.schema, self.name)

    @property
    def quoted(self) -> str:
        """The qualified name as a user would type it."""
        return self.ident.as_string(None)

    def elsewhere(self, schema: str) -> Table:
        """The same table in another schema."""
        return replace(self, schema=schema)


@cache
def _statements() -> dict[str, str]:
    parts = re.split(
        r"^-- name: (\w+)$", Path(__file__).with_name("tables.sql").read_text("utf-8"), flags=re.M
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _run(conn: Connection, name: str, **parts: sql.Composable) -> None:
    conn.execute(sql.SQL(_statements()[name]).format(**parts))


def described(conn: Connection, schema: str, name: str, time: str, *key: str) -> Table:
    """The table that stands there, with its columns and the number of its rows."""
    columns = conn.execute(
        "SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass(%s) "
        "AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        [sql.Identifier(schema, name).as_string(conn)],
    ).fetchall()
    counted = conn.execute(
        sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(sql.Identifier(schema, name))
    ).fetchone()
    assert counted is not None
    return Table(schema, name, time, key, tuple(row[0] for row in columns), counted[0])


def player_stats(
    conn: Connection,
    rows: int = 20_000,
    *,
    seed: int = 1,
    days: int = 300,
    schema: str = "public",
    name: str = "player_stats",
    indexes: bool = True,
    nullable_time: bool = False,
) -> Table:
    """The mission's table with `rows` generated rows over `days` days from 2020-08-01; primary key (id).

    `indexes`: one on the time, one on (player_id, stat_type). `nullable_time`: the time is not NOT NULL.
    """
    table = sql.Identifier(schema, name)
    _run(conn, "player_stats", table=table)
    _run(
        conn,
        "player_stats_rows",
        table=table,
        rows=sql.Literal(rows),
        seed=sql.Literal(seed),
        days=sql.Literal(days),
    )
    if indexes:
        _run(conn, "player_stats_indexes", table=table)
    if nullable_time:
        conn.execute(sql.SQL("ALTER TABLE {} ALTER game_date DROP NOT NULL").format(table))
    return described(conn, schema, name, "game_date", "id")


def real_player_stats(
    conn: Connection,
    *,
    seasons: tuple[str, ...] = SEASONS,
    last_digit: str | None = None,
    schema: str = "public",
    name: str = "player_stats",
) -> Table | None:
    """The mission's table with the real rows of these seasons; None where the data is not on this machine.

    `last_digit`: only players whose number ends with it, a tenth of the rows.
    """
    files = [DATA / season for season in seasons]
    if not all(file.exists() for file in files):
        return None
    table = sql.Identifier(schema, name)
    _run(conn, "player_stats", table=table)
    copy = sql.SQL(
        "COPY {} (player_id, game_id, stat_type, value, game_date) FROM STDIN (FORMAT csv, HEADER)"
    ).format(table)
    for file in files:
        with gzip.open(file, "rb") as source, conn.cursor() as cursor, cursor.copy(copy) as sink:
            if last_digit is not None:
                sink.write(source.readline())
                end = last_digit.encode()
                for line in source:
                    if line.partition(b",")[0].endswith(end):
                        sink.write(line)
            while part := source.read(1 << 20):
                sink.write(part)
    _run(conn, "player_stats_indexes", table=table)
    return described(conn, schema, name, "game_date", "id")


def rich(conn: Connection, rows: int = 400, *, schema: str = "rich") -> Table:
    """Every kind of type, values that are equal without being the same, NULLs; primary key (id)."""
    _run(conn, "rich", schema=sql.Identifier(schema))
    _run(conn, "rich_rows", schema=sql.Identifier(schema), rows=sql.Literal(rows))
    return described(conn, schema, "samples", "at", "id")


def keyless(conn: Connection, rows: int = 3_000, *, schema: str = "public", name: str = "readings") -> Table:
    """No key; many rows stand twice, some have NULL in every column but the time; an index on the time."""
    _run(conn, "keyless", table=sql.Identifier(schema, name), rows=sql.Literal(rows))
    return described(conn, schema, name, "at")


def composite(conn: Connection, rows: int = 5_000, *, schema: str = "public", name: str = "ticks") -> Table:
    """Primary key (venue, symbol, seq): text, numeric and bigint; no index on the time."""
    _run(conn, "composite", table=sql.Identifier(schema, name), rows=sql.Literal(rows))
    return described(conn, schema, name, "at", "venue", "symbol", "seq")


def awkward(conn: Connection, rows: int = 500) -> Table:
    """Names with quotes, dots, spaces, percent signs and braces, and one of 63 bytes."""
    schema, name, key, time = "my.schema", 'Weird "Näme"', '%s "id" {0}', "when (UTC)"
    _run(
        conn,
        "awkward",
        schema=sql.Identifier(schema),
        table=sql.Identifier(schema, name),
        key=sql.Identifier(key),
        time=sql.Identifier(time),
        long=sql.Identifier(LONG),
        index=sql.Identifier('the index, "on" the time % {}'),
        rows=sql.Literal(rows),
    )
    return described(conn, schema, name, time, key)


def text_keys(conn: Connection, *, schema: str = "public", name: str = "labels") -> Table:
    """Primary key (label): text under a nondeterministic ICU collation, blind to case."""
    _run(
        conn,
        "text_keys",
        table=sql.Identifier(schema, name),
        collation=sql.Identifier(schema, "case_blind"),
    )
    return described(conn, schema, name, "at", "label")


def citext_keys(conn: Connection, *, schema: str = "public", name: str = "handles") -> Table | None:
    """Primary key (handle) of type citext; None where the server does not have that extension."""
    found = conn.execute("SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'citext'").fetchone()
    if found is None:
        return None
    _run(conn, "citext_keys", table=sql.Identifier(schema, name))
    return described(conn, schema, name, "at", "handle")


def integer_time(
    conn: Connection, rows: int = 2_000, *, schema: str = "public", name: str = "blocks"
) -> Table:
    """Time as a bigint; primary key (height, chain), in which the time comes first."""
    _run(conn, "integer_time", table=sql.Identifier(schema, name), rows=sql.Literal(rows))
    return described(conn, schema, name, "height", "height", "chain")


BUILDERS: dict[str, Callable[[Connection], Table | None]] = {
    "player_stats": player_stats,
    "rich": rich,
    "keyless": keyless,
    "composite": composite,
    "awkward": awkward,
    "text_keys": text_keys,
    "citext_keys": citext_keys,
    "integer_time": integer_time,
}
"""All generated tables by name, for tests that take each; None from a builder means: skip."""
