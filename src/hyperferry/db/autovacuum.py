"""Autovacuum in the way of our locks: it goes when somebody has waited for deadlock_timeout, which our lock_timeout is below.

So it is asked to go by SHARE UPDATE EXCLUSIVE, which stops no writer and no reader, for longer than that. One against wraparound
goes for nobody: the caller's own attempts then name it as the blocker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from ..model.names import TableName
from .connection import Connection, execute, fetch_all, fetch_value
from .queries import load_queries

MORE_MS = 1000
"""How much longer than deadlock_timeout is waited."""
LITTLE_MORE_MS = 250
"""How much longer than that is waited for a chunk that the application may use."""
SEND_ROUNDS = 5
"""How often the chunks that were free a moment ago are asked for again."""


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


def autovacuum_at_work(conn: Connection, table: TableName) -> bool:
    """Whether one (not against wraparound) is at work on the table or its chunks."""
    query = load_queries(__package__, "autovacuum.sql")["autovacuums_on"]
    return bool(fetch_all(conn, query, {"tables": [table.quoted], "chunks": True}))


@contextmanager
def autovacuum_sent_off(conn: Connection, oid: int) -> Iterator[bool]:
    """While the block runs SHARE UPDATE EXCLUSIVE is held on all chunks of the table, so that workers pass them over, by `conn`,
    which has nothing else to do. Whether that could be had; where not, nothing is held.

    The application may use the chunks. The free ones are taken at once: a worker that is cancelled then finds all of them taken.
    Where a worker is, it is waited for, no longer than it takes it to go; not where somebody else waits for a chunk already, who
    could come to wait for us and be the victim of a deadlock."""
    held = False
    for _ in range(SEND_ROUNDS):
        try:
            execute(conn, "BEGIN")
            execute(conn, "SET LOCAL idle_in_transaction_session_timeout = '30s'")
            held = _take(conn, oid)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.UndefinedTable):
            execute(conn, "ROLLBACK")
            continue
        break
    if not held and conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        execute(conn, "ROLLBACK")
    try:
        yield held
    finally:
        if held and not conn.closed:
            with suppress(psycopg.OperationalError):
                execute(conn, "ROLLBACK")


def hold_chunks(conn: Connection, oid: int) -> None:
    """Within the caller's transaction, whose first act it is: takes SHARE UPDATE EXCLUSIVE on all chunks of the table, as
    autovacuum_sent_off does, where the caller's own statement needs them all. lock_timeout is another afterwards. Raises
    psycopg's LockNotAvailable, also where somebody else waits for a chunk already, or one was dropped meanwhile."""
    try:
        taken = _take(conn, oid)
    except psycopg.errors.UndefinedTable as error:
        raise psycopg.errors.LockNotAvailable(str(error)) from None
    if not taken:
        raise psycopg.errors.LockNotAvailable("somebody waits for a chunk")


def _take(conn: Connection, oid: int) -> bool:
    execute(conn, sql.SQL("DO {}").format(sql.Literal(_quick_check())))
    in_use = load_queries(__package__, "autovacuum.sql")["chunks_in_use"]
    rows = fetch_all(conn, in_use, {"oid": oid})
    if any(awaited for *_, awaited in rows):
        return False
    _lock(conn, [sql.Identifier(schema, name) for schema, name, busy, _ in rows if not busy], nowait=True)
    wait = deadlock_timeout_ms(conn) + LITTLE_MORE_MS
    execute(conn, sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{wait}ms")))
    for schema, name, busy, _ in rows:
        if busy:
            if any(awaited for *_, awaited in fetch_all(conn, in_use, {"oid": oid})):
                return False
            _lock(conn, [sql.Identifier(schema, name)])
    return True


def _quick_check() -> str:
    text = load_queries(__package__, "locks.sql")["quick_check"].as_string(None)
    return f"BEGIN\n{text};\nEND"


def keep_off_at_once(conn: Connection, oid: int) -> None:
    """Within the caller's transaction: no autovacuum is at work on the table's chunks, and none begins until its end. Raises
    psycopg's LockNotAvailable where somebody is, without having waited."""
    body = load_queries(__package__, "autovacuum.sql")["lock_chunks_at_once"].format(oid=sql.Literal(oid))
    execute(conn, sql.SQL("DO {}").format(sql.Literal(body.as_string(None))))


def outlast_toast_vacuum(conn: Connection, *tables: TableName) -> None:
    """Within the caller's transaction: if an autovacuum is at work on a TOAST table of the tables or their chunks, which cannot
    be locked by name, further locks are waited for long enough to have it cancelled."""
    query = load_queries(__package__, "autovacuum.sql")["autovacuum_on_toast"]
    if fetch_value(conn, query, {"tables": [table.quoted for table in tables]}):
        _wait_long(conn)


def _wait_long(conn: Connection) -> None:
    milliseconds = deadlock_timeout_ms(conn) + MORE_MS
    execute(conn, sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{milliseconds}ms")))


def _lock(conn: Connection, tables: Sequence[sql.Identifier], *, nowait: bool = False) -> None:
    if tables:
        each = sql.SQL(", ").join(sql.SQL("ONLY {}").format(table) for table in tables)
        how = sql.SQL(" NOWAIT" if nowait else "")
        execute(conn, sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE{}").format(each, how))
