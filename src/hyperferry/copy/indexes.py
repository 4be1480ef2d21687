"""Builds the shadow's other indexes after the load: loading first and indexing after is two to three times faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg import sql

from ..db import LockMode, execute, fetch_value
from ..db.connection import Connection
from ..ledger.flow import Flow, Side
from ..ledger.transaction import lock_statement
from ..model.statement import Statement


def run_missing(
    conn: Connection, name: str, group: Sequence[Statement], shadow: Side, should_stop: Callable[[], None]
) -> int:
    """Builds the index `name` with its comments and marks, where the shadow's schema lacks it; returns 1 if it did.

    One transaction, so an interrupted run goes on where it was. Only the shadow is locked, and that against another
    builder too: two starters at once build each index once.
    """
    should_stop()
    if _exists(conn, name, shadow):
        return 0
    with conn.transaction():
        execute(conn, "SET LOCAL lock_timeout = '60s'")  # nobody but our own workers uses the shadow
        execute(conn, lock_statement(shadow, LockMode.SHARE_ROW_EXCLUSIVE))
        if _exists(conn, name, shadow):
            return 0
        for statement in group:
            execute(conn, statement.sql)
    return 1


def _exists(conn: Connection, name: str, shadow: Side) -> bool:
    return bool(
        fetch_value(
            conn,
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s)",
            [shadow.name.schema, name],
        )
    )


def analyze(conn: Connection, flow: Flow) -> None:
    """Statistics for the shadow, once, after the load."""
    with conn.transaction():
        execute(conn, "SET LOCAL lock_timeout = '60s'")
        execute(conn, sql.SQL("ANALYZE {}").format(flow.passive.ident))
