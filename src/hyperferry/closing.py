"""The commands that end a rollout: `finish` and `abort`, and what they say where it has ended in that way already."""

from __future__ import annotations

import threading
from collections.abc import Callable

from . import catalog, db
from .claim import open_rollout, orphan, working
from .db.connection import Connection
from .errors import Refused, Usage
from .ledger import store
from .model.report import StatusReport
from .model.rollout import Phase, Rollout
from .status import status_of
from .strategies import ending
from .strategies.monitor import Monitor

Say = Callable[[str], None]


def finish(dsn: str, table: str, *, say: Say = lambda text: None) -> StatusReport:
    """Drops old and the capture, keeps the record. Only from `cut_over`; does nothing where it was done before."""
    monitor = Monitor(threading.Event(), say)
    with db.connect(dsn, purpose="finish") as conn:
        rollout = _ended(conn, table, Phase.FINISHED) or open_rollout(conn, table)
        if rollout.phase is Phase.FINISHED:
            return _done_before(conn, rollout, say)
        if rollout.phase is not Phase.CUT_OVER:
            raise Refused(
                f"The rollout of {rollout.table} is in phase {rollout.phase}, so it cannot be finished.",
                remedy="finish comes after `hyperferry cutover`.",
            )
        with working(conn, rollout):
            return status_of(conn, ending.finish(conn, rollout, monitor))


def abort(dsn: str, table: str, *, say: Say = lambda text: None) -> StatusReport:
    """Before the cutover, or after a rollback: leaves nothing behind but the record. Does nothing where it was done before."""
    monitor = Monitor(threading.Event(), say)
    with db.connect(dsn, purpose="abort") as conn:
        try:
            rollout = _ended(conn, table, Phase.ABORTED) or open_rollout(conn, table)
        except Usage as missing:
            rollout = orphan(conn, table, Phase.ABORTED, missing)
        if rollout.phase is Phase.ABORTED:
            return _done_before(conn, rollout, say)
        if rollout.phase is Phase.CUT_OVER:
            raise Refused(
                f"{rollout.table} is cut over: its hypertable serves the application.",
                remedy="roll back first (`hyperferry rollback`), or keep it (`hyperferry finish`).",
            )
        with working(conn, rollout):
            return status_of(conn, ending.abort(conn, rollout, monitor))


def _ended(conn: Connection, table: str, phase: Phase) -> Rollout | None:
    """The newest rollout of the table, where it ended in that phase and the table is still the one that it left.

    An answer may have been lost: who asks again is told that it is done. Raises Usage for a table that is not there.
    """
    oid, name = catalog.resolve_table(conn, table)
    for rollout in store.latest(conn, name):
        if rollout.phase is phase and oid in (rollout.source_oid, rollout.hypertable_oid):
            return rollout
    return None


def _done_before(conn: Connection, rollout: Rollout, say: Say) -> StatusReport:
    say(
        f"The rollout of {rollout.table} was {rollout.phase} already, at {rollout.updated_at:%Y-%m-%d %H:%M:%S %z}; "
        "there is nothing left to do."
    )
    return status_of(conn, rollout)
