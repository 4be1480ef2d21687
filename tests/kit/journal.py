"""What a client was told is committed, against what the table holds.

`EXCEPT ALL` of two tables cannot see a write that both lost; the client that made it can. A journal holds the
state of each row that its writer touched, as the text of the row (None: deleted). Where the connection was
lost during a commit both states are possible.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from .oracle import FIXED, LISTED
from .tables import Table

Connection = psycopg.Connection[tuple[Any, ...]]
State = str | None

AS_BEFORE = "as before"
"""The state of a row that no writer had touched: what `remember` kept, or no row."""

_BEFORE = sql.Identifier("kit_before", "rows")


class Journal:
    """The rows of one writer, by key. Changes of a transaction that is under way count only after `commit`."""

    def __init__(self) -> None:
        self.states: dict[int, tuple[State, ...]] = {}
        self._pending: dict[int, State] = {}

    def note(self, key: int, state: State) -> None:
        """The transaction under way leaves the row so."""
        self._pending[key] = state

    def pending(self) -> dict[int, State]:
        """What the transaction under way has done so far."""
        return dict(self._pending)

    def commit(self) -> None:
        """The transaction was committed."""
        for key, state in self._pending.items():
            self.states[key] = (state,)
        self._pending.clear()

    def restore(self, pending: dict[int, State]) -> None:
        """The transaction went back to a savepoint, or (with nothing) was rolled back."""
        self._pending = dict(pending)

    def unknown(self) -> None:
        """The connection was lost during the commit: what was before, or what was noted."""
        for key, state in self._pending.items():
            self.states[key] = (*self.states.get(key, (AS_BEFORE,)), state)
        self._pending.clear()


def row_text(columns: Iterable[str], alias: str | None = None) -> sql.Composed:
    """A row as text, to be read in a session with the oracle's fixed settings."""
    return sql.SQL("ROW({})::text").format(
        sql.SQL(", ").join(sql.Identifier(alias, c) if alias else sql.Identifier(c) for c in columns)
    )


def remember(conn: Connection, table: Table) -> None:
    """Keeps the table's rows as they are before any writer starts, in schema kit_before."""
    with conn.transaction():
        _fix(conn)
        conn.execute("DROP SCHEMA IF EXISTS kit_before CASCADE; CREATE SCHEMA kit_before")
        conn.execute(
            sql.SQL("CREATE TABLE {} AS SELECT {} AS key, {} AS state FROM {}").format(
                _BEFORE, sql.Identifier(table.key[0]), row_text(table.columns), table.ident
            )
        )


def forget(conn: Connection) -> None:
    """Drops what `remember` kept, so that nothing of the kit is in the database."""
    conn.execute("DROP SCHEMA IF EXISTS kit_before CASCADE")


def _fix(conn: Connection) -> None:
    for name, value in FIXED.items():
        conn.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])


def faults(
    conn: Connection, table: Table, journals: Iterable[Journal], *, truncated: bool = False
) -> list[str]:
    """Where the table is not what the writers and `remember` say, ten of each kind; empty when it is.

    Writers must have stopped. `truncated`: the rows that were there before are gone. The journals' keys are
    disjoint.
    """
    states = {key: value for journal in journals for key, value in journal.states.items()}
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        _fix(conn)
        conn.execute(
            "CREATE TEMPORARY TABLE kit_journal (key bigint, state text, sure boolean) ON COMMIT DROP"
        )
        with conn.cursor() as cursor, cursor.copy("COPY pg_temp.kit_journal FROM STDIN") as sink:
            for key, possible in states.items():
                sink.write_row((key, possible[-1], len(possible) == 1))
        conn.execute("CREATE INDEX ON pg_temp.kit_journal (key); ANALYZE pg_temp.kit_journal")
        parts = {
            "table": table.ident,
            "key": sql.Identifier(table.key[0]),
            "state": row_text(table.columns, "r"),
            "before": _BEFORE,
        }
        found = _listed(
            conn,
            "lost or changed",
            "SELECT state FROM pg_temp.kit_journal WHERE sure AND state IS NOT NULL EXCEPT ALL "
            "SELECT {state} FROM {table} r JOIN pg_temp.kit_journal j ON j.key = r.{key} WHERE j.sure",
            parts,
        )
        found += _listed(
            conn,
            "came back, doubled or changed",
            "SELECT {state} FROM {table} r JOIN pg_temp.kit_journal j ON j.key = r.{key} WHERE j.sure EXCEPT ALL "
            "SELECT state FROM pg_temp.kit_journal WHERE sure AND state IS NOT NULL",
            parts,
        )
        untouched = "SELECT {state} FROM {table} r WHERE NOT EXISTS (SELECT FROM pg_temp.kit_journal j WHERE j.key = r.{key})"
        before = "SELECT state FROM {before} b WHERE NOT EXISTS (SELECT FROM pg_temp.kit_journal j WHERE j.key = b.key)"
        if truncated:
            found += _listed(conn, "outlived TRUNCATE", untouched, parts)
        else:
            found += _listed(conn, "nobody touched, lost", f"{before} EXCEPT ALL {untouched}", parts)
            found += _listed(conn, "nobody touched, new", f"{untouched} EXCEPT ALL {before}", parts)
        rows = conn.execute(
            sql.SQL(
                "SELECT j.key, array_agg({state}) FILTER (WHERE r.{key} IS NOT NULL), min(b.state) "
                "FROM pg_temp.kit_journal j LEFT JOIN {table} r ON r.{key} = j.key "
                "LEFT JOIN {before} b ON b.key = j.key WHERE NOT j.sure GROUP BY 1"
            ).format(**parts)
        ).fetchall()
    for key, there, before_state in rows:
        held = tuple(there or (None,))
        allowed = {before_state if state == AS_BEFORE else state for state in states[key]}
        if len(held) != 1 or held[0] not in allowed:
            found.append(f"neither before nor after the lost commit: {held}, expected one of {allowed}")
    return found


def _listed(conn: Connection, what: str, query: str, parts: dict[str, sql.Composable]) -> list[str]:
    limited = sql.SQL(f"SELECT q.* FROM ({query}) AS q LIMIT {LISTED}").format(**parts)
    return [f"{what}: {row[0]}" for row in conn.execute(limited).fetchall()]
