"""TRUNCATE is a barrier.

The writer that truncates holds ACCESS EXCLUSIVE until it commits, so in the log every pair of an earlier
writer has a lower id, and
every row that is there afterwards has a pair with a higher one. The barrier empties the target and removes the truncation
and what came before it, in one transaction under the applier's lock; the pairs behind it then bring every row
that is there now. As truncations are always looked for before pairs, none of those pairs can have been
applied already. A batch that is
still pending needs no cutting anew: what it will find in its range are rows whose pairs stand in the log as well.
"""

from __future__ import annotations

from psycopg import sql

from ..db import LockMode, execute, fetch_value
from ..db.connection import Connection
from ..ledger import store
from ..ledger.flow import Flow
from ..ledger.transaction import flow_transaction
from ..model.rollout import Direction


def pending_truncation(flow: Flow) -> sql.Composed:
    """The id of the newest truncation in the log, NULL where there is none."""
    return sql.SQL("SELECT pg_catalog.max(id) FROM {} WHERE op = 'T'").format(flow.log)


def pass_barrier(conn: Connection, flow: Flow) -> None:
    """Empties the target and removes the truncation from the log, with everything before it.

    Raises psycopg lock errors when the target is in use by our own copier: try again.
    """
    with flow_transaction(conn, flow, snapshot=True, applier=True, passive_mode=LockMode.ACCESS_EXCLUSIVE):
        newest = fetch_value(conn, pending_truncation(flow))
        if newest is None:
            return
        execute(conn, sql.SQL("TRUNCATE {}").format(flow.passive.ident))
        execute(conn, sql.SQL("DELETE FROM {} WHERE id <= {}").format(flow.log, sql.Literal(newest)))
        execute(
            conn,
            sql.SQL("DELETE FROM {} WHERE direction = {}").format(
                flow.of_ledger("quarantine"), sql.Literal(flow.direction.value)
            ),
        )
        if flow.direction is Direction.REVERSE:
            # TRUNCATE dropped the hypertable's chunks, and old is empty now: no row of a chunk dropped before can come back.
            execute(
                conn,
                sql.SQL("DELETE FROM {} WHERE dropped_at IS NOT NULL OR pg_catalog.to_regclass(chunk) IS NULL").format(
                    flow.of_ledger("chunk")
                ),
            )
        store.bump_epoch(conn, flow.rollout.id)
        store.event(conn, flow.rollout.id, "truncated", {"direction": flow.direction.value})
