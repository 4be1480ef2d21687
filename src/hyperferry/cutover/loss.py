"""What became of a swap whose connection was lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from ..db import fetch_one, fetch_value
from ..db.connection import Connection
from ..errors import ConnectionFailed
from ..ledger import store
from ..ledger.flow import Flow
from .swap import target_phase


def changes_recorded(conn: Connection, flow: Flow) -> int:
    """What the committed swap recorded."""
    events = store.last_events(conn, flow.rollout.id, ["swap"])
    return int(events[0][2]["changes_under_lock"]) if events else 0


def after_loss(
    connect: Callable[[], Connection], flow: Flow, xid: str | None, *, seconds: float
) -> int | None:
    """Whether the swap happened although the connection was lost: asks the server, which knows its transactions.

    Waits `seconds` at most for the transaction to end, which statement_timeout sees to. Returns the number of changes applied
    under the lock; None: it did not happen. Raises ConnectionFailed where the server does not answer in time.
    """
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            with connect() as conn:
                if xid is None or _ended(conn, xid):
                    phase = fetch_one(
                        conn, "SELECT phase FROM hyperferry.rollout WHERE id = %s", [flow.rollout.id]
                    )
                    assert phase is not None
                    return changes_recorded(conn, flow) if phase[0] == target_phase(flow).value else None
        except (ConnectionFailed, psycopg.Error) as error:
            last = error
        time.sleep(0.5)
    raise ConnectionFailed(
        "The connection was lost during the swap, and the server cannot be asked whether it happened.",
        facts={"transaction": xid, "last error": str(last)[:300]},
        remedy="when the server is back, `hyperferry status` says which phase it is: the swap happened as a whole or not at all.",
    )


def _ended(conn: Connection, xid: str) -> bool:
    """Whether the transaction is no longer under way. How it ended is for the ledger to tell: after a crash the server may not
    know its id, or have given it to another transaction."""
    try:
        return bool(fetch_value(conn, "SELECT pg_xact_status(%s::xid8) IS DISTINCT FROM 'in progress'", [xid]))
    except psycopg.errors.InvalidParameterValue:  # in the future
        return True
