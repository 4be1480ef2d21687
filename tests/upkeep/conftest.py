"""A hypertable in use: its owner, its chunks, and an application that writes to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import sql

from hyperferry.db import connect
from hyperferry.db.connection import Connection
from hyperferry.model.names import TableName
from servers import Database

WEIRD = TableName("my.schema", 'Weird "Näme" of a table that has its sixty-three bytes, all ü')


@dataclass
class Hypertable:
    """A hypertable of four chunks of a day each, owned by `owner`, a role without further rights."""

    db: Database
    name: TableName
    owner: str
    _open: list[Connection] = field(default_factory=list)

    def connect(self, role: str | None = None) -> Connection:
        """Our own kind of session, as the owner, or as `superuser`."""
        conn = connect(self.db.dsn if role == "superuser" else self.db.dsn_as(self.owner))
        self._open.append(conn)
        return conn

    @property
    def ident(self) -> str:
        return self.name.quoted

    def chunks(self) -> list[str]:
        """The chunks, quoted, in the order in which TimescaleDB builds."""
        return [
            row[0]
            for row in self.db.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY inhrelid",
                self.ident,
            )
        ]

    def indexes(self, like: str) -> list[tuple[Any, ...]]:
        """Every index of such a name, on the root and the chunks: definition, valid, ready."""
        return self.db.execute(
            "SELECT pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid "
            "WHERE (i.indrelid = %s::regclass OR i.indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %s::regclass)) "
            "AND x.relname LIKE %s ORDER BY 1",
            self.ident,
            self.ident,
            like,
        )

    def without(self, like: str) -> list[str]:
        """The chunks that have no valid index of such a name."""
        return [
            row[0]
            for row in self.db.execute(
                "SELECT h.inhrelid::regclass::text FROM pg_inherits h WHERE h.inhparent = %s::regclass AND NOT EXISTS ("
                "SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = h.inhrelid AND i.indisvalid "
                "AND i.indisready AND x.relname LIKE %s)",
                self.ident,
                like,
            )
        ]

    def insert(self, moment: str, number: int = 1) -> None:
        """A row of the owner's."""
        with self.db.connect(self.owner) as conn:
            conn.execute(
                f"INSERT INTO {self.ident} (id, player_id, game_date, value, stat) VALUES (%s, 7, %s, 1, 'goals')", [number, moment]
            )

    def close(self) -> None:
        for conn in self._open:
            conn.close()


def make(db: Database, name: TableName, rows: int = 4000) -> Hypertable:
    owner = db.make_role("owner")
    with db.connect() as conn:
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(sql.Identifier(name.schema), sql.Identifier(owner)))
    with db.connect(owner) as conn:
        conn.execute(
            f"CREATE TABLE {name.quoted} (id bigint, player_id integer NOT NULL, game_date timestamptz NOT NULL, value integer, "
            "stat text, tags text[])"
        )
        conn.execute("SELECT create_hypertable(%s, 'game_date', chunk_time_interval => interval '1 day')", [name.quoted])
        conn.execute(
            f"INSERT INTO {name.quoted} SELECT n, n %% 50, timestamptz '2024-01-01' + n * interval '4 days' / %s, n %% 90 - 5, 'Stat ' || n %% 7, "
            "ARRAY['a' || n %% 3] FROM generate_series(0, %s - 1) n",
            [rows, rows],
        )
    return Hypertable(db, name, owner)


@pytest.fixture
def table(db: Database) -> Iterator[Hypertable]:
    made = make(db, TableName("stats", "player_stats"))
    yield made
    made.close()


@pytest.fixture
def weird(db: Database) -> Iterator[Hypertable]:
    made = make(db, WEIRD)
    # Another team's, which the owner may not look at.
    db.execute("CREATE SCHEMA hidden; CREATE TABLE hidden.t (at timestamptz NOT NULL); SELECT create_hypertable('hidden.t', 'at')")
    yield made
    made.close()


@contextmanager
def writers(table: Hypertable, moments: list[str], count: int = 2) -> Iterator[dict[str, Any]]:
    """An application that inserts and updates on each of the days, without a pause, and is at it when the block begins; gives its
    longest wait, its statements and its errors."""
    seen: dict[str, Any] = {"longest": 0.0, "statements": 0, "errors": []}
    stop = threading.Event()

    def work(number: int) -> None:
        with table.db.connect(table.owner) as conn:
            turn = 0
            while not stop.is_set():
                moment = moments[turn % len(moments)]
                turn += 1
                begun = time.monotonic()
                try:
                    conn.execute(
                        f"INSERT INTO {table.ident} (id, player_id, game_date, value, stat) VALUES (%s, %s, %s, 3, 'Stat 1')",
                        [10**6 + number * 10**6 + turn, number, moment],
                    )
                    conn.execute(
                        f"UPDATE {table.ident} SET value = value + 1 WHERE id = %s AND game_date = %s",
                        [10**6 + number * 10**6 + turn, moment],
                    )
                except psycopg.Error as error:
                    seen["errors"].append(error)
                seen["longest"] = max(seen["longest"], time.monotonic() - begun)
                seen["statements"] += 2
                time.sleep(0.01)

    threads = [threading.Thread(target=work, args=[n]) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: seen["statements"] > 10)
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def holding(table: Hypertable, chunk: str) -> Iterator[None]:
    """A writer whose transaction on one chunk stays open for the length of the block."""
    with table.db.connect(autocommit=False) as conn:
        conn.execute(f"LOCK TABLE {chunk} IN ROW EXCLUSIVE MODE")
        yield
        conn.rollback()


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
