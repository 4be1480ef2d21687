"""Whether nothing was lost, asked without any of the tool's own code.

Two questions, both at one snapshot: are the two tables the same multiset of rows, as text, by EXCEPT ALL in
both directions; and does the application's table show what the server acknowledged to each writer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from psycopg import sql

from hyperferry.db import connect, execute, fetch_all, fetch_value, load_queries
from hyperferry.db.connection import Connection
from hyperferry.errors import Failed

from .fleet import Expectation

TABLE = sql.Identifier("public", "player_stats")


@dataclass(frozen=True)
class Verdict:
    """`missing` rows stand in the application's table alone, `extra` in the other alone; `wrong` of `minded` rows
    are not what a writer was told that they are, for `example` this one."""

    rows: int
    missing: int
    extra: int
    minded: int
    wrong: int
    example: str
    seconds: float

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing made up."""
        return not (self.missing or self.extra or self.wrong)


class Oracle:
    """One comparison. Made while the writers are held, it takes the snapshot; `judge` may run when they write
    again."""

    def __init__(self, dsn: str) -> None:
        self._first = connect(dsn, purpose="demo's oracle")
        self._second = connect(dsn, purpose="demo's oracle")
        execute(self._first, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        snapshot = fetch_value(self._first, "SELECT pg_export_snapshot()")
        execute(self._second, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        execute(self._second, sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        for conn in (self._first, self._second):
            execute(conn, "SET LOCAL work_mem = '256MB'")
            execute(conn, "SET LOCAL idle_in_transaction_session_timeout = '10min'")

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *_: object) -> None:
        for conn in (self._first, self._second):
            conn.close()

    def judge(self, expected: Sequence[Expectation]) -> Verdict:
        """Compares, in two sessions side by side."""
        began = time.monotonic()
        other = self._other()
        with ThreadPoolExecutor(2) as pool:
            missing = pool.submit(_except, self._first, TABLE, other)
            extra = pool.submit(_except, self._second, other, TABLE)
            counted = (missing.result(), extra.result())
        rows = int(fetch_value(self._second, sql.SQL("SELECT count(*) FROM {}").format(TABLE)))
        wrong = _wrong(self._first, expected)
        return Verdict(
            rows,
            *counted,
            minded=len(expected),
            wrong=len(wrong),
            example=wrong[0] if wrong else "",
            seconds=time.monotonic() - began,
        )

    def _other(self) -> sql.Identifier:
        schema = fetch_value(self._first, load_queries(__package__, "oracle.sql")["other_table"])
        if schema is None:
            raise Failed(
                "There is no second table to compare with.", remedy="this is a fault of the demo: report it."
            )
        return sql.Identifier(schema, "player_stats")


def _except(conn: Connection, one: sql.Identifier, other: sql.Identifier) -> int:
    return int(
        fetch_value(conn, load_queries(__package__, "oracle.sql")["except_all"].format(one=one, other=other))
    )


def _wrong(conn: Connection, expected: Sequence[Expectation]) -> list[str]:
    queries = load_queries(__package__, "oracle.sql")
    execute(conn, queries["expected"])
    with (
        conn.cursor() as cursor,
        cursor.copy("COPY pg_temp.expected (id, value, game_date) FROM STDIN") as sink,
    ):
        for row in expected:
            sink.write_row(row)
    return [str(row[0]) for row in fetch_all(conn, queries["wrong"])]
