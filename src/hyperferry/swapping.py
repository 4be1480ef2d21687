"""What belongs around a swap, in either direction: the gates before it, the proof, the pools; and what comes after its commit."""

from __future__ import annotations

from collections.abc import Sequence

from . import catalog, db, gates
from .advance import prove
from .apply import quarantine_size
from .cutover import Gate, dropped, run_swap, validate_foreign_keys
from .db.connection import Connection
from .db.pgbouncer import Pools
from .ledger import store
from .ledger.codec import dump_inspection
from .ledger.flow import flow_of
from .model.report import SwapReport
from .model.rollout import Direction, Rollout
from .strategies import blue_green
from .strategies.monitor import Monitor
from .strategies.workers import Connect


def swap(
    conn: Connection,
    connect: Connect,
    rollout: Rollout,
    monitor: Monitor,
    attempts: int,
    snapshots_accepted: bool,
    *,
    unverified: bool = False,
    dropped_accepted: bool = False,
    pgbouncer: Sequence[str] = (),
) -> SwapReport:
    settle(conn, rollout, monitor)
    gates.refuse_changed(conn, rollout)
    gates.refuse_missing_rights(conn, rollout)
    flow = flow_of(rollout)
    if quarantine_size(conn, flow):
        blue_green.catch_up(conn, rollout, monitor)  # what stood in the way of those rows may be gone by now
    verification = gates.valid_verification(conn, rollout)
    if verification is None and not unverified:
        blue_green.catch_up(conn, rollout, monitor)
        prove(conn, connect, rollout, monitor)
        verification = gates.valid_verification(conn, rollout)
    if flow.direction is Direction.FORWARD:
        dropped.begin(conn, flow)
    elif not dropped_accepted:
        gates.refuse_dropped(conn, flow)
    gate = Gate(
        verification=verification.id if verification else None,
        fingerprint=catalog.fingerprint(conn, flow.active.oid),
        excused=verification is not None,
        snapshots_accepted=snapshots_accepted,
        dropped_accepted=dropped_accepted,
    )
    port = int(db.fetch_value(conn, "SELECT setting FROM pg_settings WHERE name = 'port'"))
    with Pools(pgbouncer, conn.info.dbname, port) as pools:
        report = run_swap(
            lambda: connect("swap"),
            flow,
            gate,
            attempts=attempts,
            pools=pools,
            should_stop=monitor.should_stop,
            say=monitor.say,
        )
    monitor.give_up_after(None)  # it is done: what comes after may take its time
    settle(conn, store.get(conn, rollout.id), monitor)
    return report


def settle(conn: Connection, rollout: Rollout, monitor: Monitor) -> None:
    """What comes after a swap's commit: foreign keys validated, the fingerprint noted. Does nothing where it was done."""
    events = store.last_events(conn, rollout.id, ["swap", "fingerprint"])
    if not events or events[0][1] == "fingerprint":
        return
    now = flow_of(rollout)
    validate_foreign_keys(conn, now, say=monitor.say, should_stop=monitor.should_stop)
    inspection = catalog.inspect(conn, rollout.table.quoted, rollout.plan.time_column, scan=False)
    store.event(
        conn,
        rollout.id,
        "fingerprint",
        {"fingerprint": inspection.fingerprint, "inspection": dump_inspection(inspection)},
    )
