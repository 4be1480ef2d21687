"""Statistics for the shadow: one ANALYZE of all chunks together, and one of each chunk, several at a time.

TimescaleDB adds all chunks to an ANALYZE of the hypertable, one after the other. With SKIP_LOCKED it passes over those that
another session has locked, and makes the statistics of the whole alone, from a sample of the chunks' rows: no such lock is
needed to read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psycopg
from psycopg import sql

from ..db import LockMode, execute, fetch_all, fetch_value, keep_autovacuum_off, load_queries
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.transaction import lock_statement
from ..model.names import TableName
from ..model.statement import analyze_statement

_FILE = "statistics.sql"
WAIT = "60s"
"""For locks of tables that nobody but our own workers uses; an autovacuum goes sooner."""
AT_ONCE = "1ms"


def chunks(conn: Connection, flow: Flow) -> list[TableName]:
    """The shadow's chunks, the largest first."""
    rows = fetch_all(conn, load_queries(__package__, _FILE)["chunks"], {"oid": flow.passive.oid})
    return [TableName(*row) for row in rows]


def analyze(conn: Connection, flow: Flow) -> None:
    """All of it in one statement and session. Autovacuum, which the load has called, does not do the same meanwhile: at each
    chunk one would wait for the other (a fifth of the time, for 5,000,000 wide rows)."""
    with conn.transaction():
        _set(conn, "lock_timeout", WAIT)
        with suppress(psycopg.errors.LockNotAvailable), conn.transaction():
            keep_autovacuum_off(conn, [flow.passive.name])
        execute(conn, analyze_statement(flow.passive.ident, conn.info.server_version))


def analyze_whole(conn: Connection, holder: Connection, flow: Flow, parts: Sequence[TableName]) -> bool:
    """The statistics of all chunks together, while `holder` has the chunks locked (SHARE UPDATE EXCLUSIVE, which stops no reader
    and no writer). False, and nothing done, where their locks are not to be had."""
    with conn.transaction(), holder.transaction():
        for each in (conn, holder):
            _set(each, "lock_timeout", WAIT)
            _set(each, "idle_in_transaction_session_timeout", "0")  # one is idle while the other is at work
        try:
            # The hypertable first, as everybody does who locks both; and locked it is not skipped.
            with conn.transaction():
                execute(conn, lock_statement(flow.passive, LockMode.SHARE_UPDATE_EXCLUSIVE))
            with holder.transaction():
                keep_autovacuum_off(holder, parts)
        except psycopg.errors.LockNotAvailable:
            return False
        _set(conn, "client_min_messages", "error")  # a warning for each chunk that is skipped
        with suppress(psycopg.errors.InsufficientPrivilege), conn.transaction():
            _set(conn, "log_min_messages", "error")
        execute(conn, analyze_statement(flow.passive.ident, conn.info.server_version, skip_locked=True))
    return True


def analyze_chunk(conn: Connection, chunk: TableName, *, wait: bool) -> bool:
    """The statistics of one chunk, unless an autovacuum has made them since it was filled; nothing for one that is gone. False
    where its lock is not to be had, at once or (`wait`) in WAIT."""
    if fetch_value(conn, load_queries(__package__, _FILE)["fresh"], {"chunk": chunk.quoted}):
        return True
    try:
        with conn.transaction():
            _set(conn, "lock_timeout", WAIT if wait else AT_ONCE)
            execute(conn, sql.SQL("ANALYZE {}").format(sql.Identifier(chunk.schema, chunk.name)))
    except psycopg.errors.UndefinedTable:
        return True
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        if wait:
            raise
        return False
    return True


def _set(conn: Connection, name: str, value: str) -> None:
    execute(conn, sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)))
