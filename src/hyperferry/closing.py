"""The commands that end a rollout: `finish` and `abort`, and what they say where it has ended in that way already."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg

from . import catalog, db
from .claim import open_rollout, orphan, working
from .cutover.validate import to_validate, validate_foreign_keys, validate_statement
from .db.connection import Connection
from .errors import LockUnavailable, Refused, Usage
from .ledger import store
from .ledger.flow import flow_of
from .ledger.halfway import unsettled
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
        _refuse_to_finish(rollout)
        with working(conn, rollout):
            rollout = store.get(conn, rollout.id)  # another may have worked on it until now
            _refuse_to_finish(rollout)
            ending.refuse_dependents(conn, rollout)  # before the wait
            _settle_keys(conn, rollout, monitor)
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
        _refuse_to_abort(rollout)
        with working(conn, rollout):
            rollout = store.get(conn, rollout.id)
            _refuse_to_abort(rollout)
            _settle_keys(conn, rollout, monitor)
            return status_of(conn, ending.abort(conn, rollout, monitor))


def _refuse_to_finish(rollout: Rollout) -> None:
    if rollout.phase is not Phase.CUT_OVER:
        raise Refused(
            f"The rollout of {rollout.table} is in phase {rollout.phase}, so it cannot be finished.",
            remedy="finish comes after `hyperferry cutover`.",
        )


def _refuse_to_abort(rollout: Rollout) -> None:
    if rollout.phase is Phase.CUT_OVER:
        raise Refused(
            f"{rollout.table} is cut over: its hypertable serves the application.",
            remedy="roll back first (`hyperferry rollback`), or keep it (`hyperferry finish`).",
        )
    if rollout.phase.ended:
        raise Refused(
            f"The rollout of {rollout.table} is {rollout.phase} by now.",
            facts={"rollout": rollout.id},
            remedy="see `hyperferry status`.",
        )


def _settle_keys(conn: Connection, rollout: Rollout, monitor: Monitor) -> None:
    """Validates what a swap that was interrupted behind its commit left NOT VALID: nobody comes back to it after the end. What
    the server refuses, and a statement that somebody cancels, is told, and ends nothing."""
    if not unsettled(conn, rollout):
        return
    monitor.say(
        "what comes after the last swap was interrupted: foreign keys that are not validated yet are validated first; whoever "
        "cancels that statement (pg_cancel_backend) leaves them as they are"
    )
    flow = flow_of(rollout)
    try:
        validate_foreign_keys(conn, flow, say=monitor.say, should_stop=monitor.should_stop)
    except (LockUnavailable, psycopg.Error) as error:
        if conn.closed:
            raise
        why = error.message if isinstance(error, LockUnavailable) else f"the server said: {str(error).splitlines()[0]}."
        for table, name in to_validate(conn, flow):
            monitor.say(
                f"foreign key {name} of {table} stays NOT VALID: {why} It holds for every new row; later: "
                f"{validate_statement(table, name).as_string(None)};"
            )


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
