"""What an application does to `player_stats`: each operation works on the writer's own rows and notes what
the server returned."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from .journal import Journal, row_text
from .tables import Table

Connection = psycopg.Connection[tuple[Any, ...]]

MIX = {
    "insert": 30,
    "update_value": 30,
    "update_time_within_chunk": 8,
    "update_time_across_chunks": 5,
    "delete": 12,
    "bulk_insert": 2,
    "on_conflict": 5,
    "subtransaction": 5,
}
"""Weights of the operations. Times within a chunk change within their hour: every chunk is made of whole
hours."""

BULK = 40


@dataclass(frozen=True)
class Fault:
    """An error that a writer got: what it did, the SQLSTATE ('' where the client noticed), the text."""

    operation: str
    sqlstate: str
    text: str


@dataclass
class Options:
    """What may be switched while writers run."""

    across_chunks: bool = True
    conflict_key: tuple[str, ...] = ()  # () means ON CONFLICT DO NOTHING, which needs no key
    weights: dict[str, int] = field(default_factory=lambda: dict(MIX))
    first_day: datetime = datetime(2020, 8, 1, 15, tzinfo=UTC)
    days: int = 300


class Operations:
    """The operations by name, on the rows whose ids are `keys`. A method is one transaction without its
    commit."""

    def __init__(self, table: Table, options: Options, seed: str) -> None:
        self.table = table
        self.options = options
        self.random = random.Random(seed)
        self.journal = Journal()
        self.keys: list[int] = []
        self.statements = 0
        self.errors: list[Fault] = []
        self._row = row_text(table.columns)

    def _ask(self, conn: Connection, text: str, *params: Any) -> list[tuple[Any, ...]]:
        self.statements += 1
        query = sql.SQL(text).format(table=self.table.ident, row=self._row)
        return conn.execute(query, params).fetchall()

    def _changed(self, key: int, rows: list[tuple[Any, ...]]) -> None:
        """A row of ours must be there, once."""
        if len(rows) != 1:
            self.errors.append(Fault("own row", "", f"{len(rows)} rows with id {key}: {rows}"))
        self.journal.note(key, rows[0][0] if rows else None)

    def _moment(self) -> datetime:
        options = self.options
        return options.first_day + timedelta(minutes=self.random.randrange(options.days * 1440))

    def _values(self) -> tuple[Any, ...]:
        r = self.random
        return (
            20200000 + r.randrange(700),
            3000 + r.randrange(300),
            r.choice(["minutes", "bps", "saves"]),
            r.randrange(9000) / 100,
            self._moment(),
        )

    _INSERT = (
        "INSERT INTO {table} (player_id, game_id, stat_type, value, game_date) VALUES (%s, %s, %s, %s, %s) "
    )

    def _own(self) -> int:
        return self.random.choice(self.keys)

    def insert(self, conn: Connection) -> None:
        """One new row; its id comes from the sequence."""
        ((key, row),) = self._ask(conn, self._INSERT + "RETURNING id, {row}", *self._values())
        self.keys.append(key)
        self.journal.note(key, row)

    def bulk_insert(self, conn: Connection) -> None:
        """Many rows in one statement."""
        values = [self._values() for _ in range(BULK)]
        columns = [list(column) for column in zip(*values, strict=True)]
        rows = self._ask(
            conn,
            "INSERT INTO {table} (player_id, game_id, stat_type, value, game_date) SELECT * FROM "
            "unnest(%s::int[], %s::int[], %s::text[], %s::numeric[], %s::timestamptz[]) RETURNING id, {row}",
            *columns,
        )
        for key, row in rows:
            self.keys.append(key)
            self.journal.note(key, row)

    def update_value(self, conn: Connection) -> None:
        """A correction."""
        key, value = self._own(), self.random.randrange(9000) / 100
        self._changed(
            key, self._ask(conn, "UPDATE {table} SET value = %s WHERE id = %s RETURNING {row}", value, key)
        )

    def update_time_within_chunk(self, conn: Connection) -> None:
        """Another minute of the same hour."""
        key, minutes = self._own(), self.random.randrange(60)
        rows = self._ask(
            conn,
            "UPDATE {table} SET game_date = date_trunc('hour', game_date) + %s * interval '1 minute' "
            "WHERE id = %s RETURNING {row}",
            minutes,
            key,
        )
        self._changed(key, rows)

    def update_time_across_chunks(self, conn: Connection) -> None:
        """Weeks earlier or later: a hypertable refuses it."""
        key, moment = self._own(), self._moment()
        self._changed(
            key,
            self._ask(conn, "UPDATE {table} SET game_date = %s WHERE id = %s RETURNING {row}", moment, key),
        )

    def delete(self, conn: Connection) -> None:
        """One row of ours goes."""
        place = self.random.randrange(len(self.keys))
        self.keys[place], self.keys[-1] = self.keys[-1], self.keys[place]
        key = self.keys.pop()
        self._changed(key, self._ask(conn, "DELETE FROM {table} WHERE id = %s RETURNING {row}", key))
        self.journal.note(key, None)

    def on_conflict(self, conn: Connection) -> None:
        """Inserts a row that is there: with the key that the options name it updates it, else it does
        nothing."""
        key, target = self._own(), self.options.conflict_key
        found = self._ask(
            conn,
            "SELECT id, player_id, game_id, stat_type, value, game_date, {row} FROM {table} WHERE id = %s",
            key,
        )
        if len(found) != 1:
            self._changed(key, found)
            return
        action = "DO NOTHING"
        if target:
            action = f"({', '.join(target)}) DO UPDATE SET value = excluded.value + 1"
        rows = self._ask(
            conn,
            "INSERT INTO {table} (id, player_id, game_id, stat_type, value, game_date) VALUES (%s, %s, %s, %s, %s, %s) "
            f"ON CONFLICT {action} RETURNING {{row}}",
            *found[0][:6],
        )
        if target or rows:
            self._changed(key, rows)

    def subtransaction(self, conn: Connection) -> None:
        """A change that is taken back to a savepoint half of the time, and one that stays."""
        pending, keys = self.journal.pending(), list(self.keys)
        conn.execute("SAVEPOINT half")
        self.insert(conn)
        self.update_value(conn)
        if self.random.random() < 0.5:
            conn.execute("ROLLBACK TO SAVEPOINT half")
            self.journal.restore(pending)
            self.keys = keys
        conn.execute("RELEASE SAVEPOINT half")
        if self.keys:
            self.update_value(conn)
