"""Builds the shadow's other indexes after the load: loading first and indexing after is two to three times faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import psycopg

from ..db import LockMode, at_most, execute, fetch_value, yield_and_retry
from ..db.connection import Connection
from ..ledger.flow import Flow, Side
from ..ledger.transaction import lock_statement
from ..model.statement import Statement
from .chunk_indexes import statements_of_root

TRIES = 10
"""So often an index is tried of which a name is taken."""


def run_missing(
    conn: Connection,
    name: str,
    group: Sequence[Statement],
    shadow: Side,
    should_stop: Callable[[], None],
    helpers: int | None = None,
    flow: Flow | None = None,
) -> int:
    """Builds the index `name` with its comments and marks, where the shadow's schema lacks it; returns 1 if it did.

    One transaction, so an interrupted run goes on where it was. Only the shadow is locked; an index without marks can be built
    beside others. Two starters at once build each index once: the later finds the name taken before it reads a row. `helpers`:
    parallel workers of the build at most (None: as the server has it). `flow`: of the rollout whose chunks may have it already.
    """
    mode = LockMode.SHARE if len(group) == 1 else LockMode.SHARE_ROW_EXCLUSIVE
    for attempt in range(1, TRIES + 1):
        should_stop()
        if exists(conn, name, shadow):
            return 0
        try:
            build = partial(_build, conn, name, group, shadow, mode, helpers, flow)
            what = f"build the index {name}"
            yield_and_retry(conn, what, [shadow.name], build, attempts=TRIES, chunks=True, should_stop=should_stop)
        except (psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation):
            # Somebody built it meanwhile; or another of our indexes has, cut to 63 bytes, the same name on a chunk, which is seen
            # when that one is there.
            if attempt == TRIES and not exists(conn, name, shadow):
                raise
        else:
            return 1
    return 0


def _build(
    conn: Connection,
    name: str,
    group: Sequence[Statement],
    shadow: Side,
    mode: LockMode,
    helpers: int | None,
    flow: Flow | None,
) -> None:
    with conn.transaction():
        execute(conn, "SET LOCAL lock_timeout = '60s'")  # nobody but our own workers uses the shadow
        execute(conn, lock_statement(shadow, mode))
        if helpers is not None:
            at_most(conn, "max_parallel_maintenance_workers", helpers)
        for statement in group if flow is None else statements_of_root(conn, flow, name, group):
            execute(conn, statement.sql)


def exists(conn: Connection, name: str, shadow: Side) -> bool:
    """Whether the shadow's schema has something of that name."""
    return bool(
        fetch_value(
            conn,
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s)",
            [shadow.name.schema, name],
        )
    )
