"""Autovacuum in the way of our locks: it goes when somebody has waited for deadlock_timeout, which our lock_timeout is below.

So it is asked to go by SHARE UPDATE EXCLUSIVE, which stops no writer and no reader, for longer than that. One against wraparound
goes for nobody: the caller's own attempts then name it as the blocker.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from ..model.names import TableName
from .connection import Connection, execute, fetch_all, fetch_value
from .queries import load_queries

MORE_MS = 1000
"""How much longer than deadlock_timeout is waited."""


def deadlock_timeout_ms(conn: Connection) -> int:
    """The server's deadlock_timeout in milliseconds."""
    return int(
        fetch_value(conn, "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'")
    )


def cancel_autovacuum(conn: Connection, *tables: TableName, chunks: bool = True) -> None:
    """Has an autovacuum on any of the tables (or their `chunks`) cancelled, by asking for SHARE UPDATE EXCLUSIVE alone, there.

    Does nothing where none runs.
    """
    running = fetch_all(
        conn,
        load_queries(__package__, "autovacuum.sql")["autovacuums_on"],
        {"tables": [table.quoted for table in tables], "chunks": chunks},
    )
    for schema, name in running:
        try:
            with conn.transaction():
                _wait_long(conn)
                _lock(conn, [sql.Identifier(schema, name)])
        except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
            continue


def keep_autovacuum_off(conn: Connection, tables: Sequence[TableName]) -> None:
    """Within the caller's transaction: no autovacuum is at work on the tables and their chunks, and none begins until its end.

    Only for tables that nobody but us uses, since further locks are waited for: one that is cancelled goes on with the next
    table at once, and would never be out of the way of a transaction that needs all of them. lock_timeout is as it was
    afterwards. Raises psycopg's LockNotAvailable.
    """
    rows = fetch_all(
        conn,
        load_queries(__package__, "autovacuum.sql")["busy_last"],
        {"tables": [table.quoted for table in tables]},
    )
    before = fetch_value(conn, "SELECT current_setting('lock_timeout')")
    _wait_long(conn)
    _lock(conn, [sql.Identifier(schema, name) for schema, name in rows])
    execute(conn, sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(before)))


def outlast_toast_vacuum(conn: Connection, *tables: TableName) -> None:
    """Within the caller's transaction: if an autovacuum is at work on a TOAST table of the tables or their chunks, which cannot
    be locked by name, further locks are waited for long enough to have it cancelled."""
    query = load_queries(__package__, "autovacuum.sql")["autovacuum_on_toast"]
    if fetch_value(conn, query, {"tables": [table.quoted for table in tables]}):
        _wait_long(conn)


def _wait_long(conn: Connection) -> None:
    milliseconds = deadlock_timeout_ms(conn) + MORE_MS
    execute(conn, sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{milliseconds}ms")))


def _lock(conn: Connection, tables: Sequence[sql.Identifier]) -> None:
    if tables:
        each = sql.SQL(", ").join(sql.SQL("ONLY {}").format(table) for table in tables)
        execute(conn, sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(each))
