"""The copy of every batch, by workers side by side, with the backlog applied meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from psycopg import sql

from ..db import fetch_value
from ..db.connection import Connection
from ..errors import Failed
from ..ledger import store
from ..ledger.flow import Flow, flow_of
from ..model.rollout import Direction, Rollout
from .compressing import Compressing, unfinished
from .monitor import Monitor
from .warming import Warming
from .workers import Connect, Worker, applier, copier, run_workers

ORPHAN_ROUNDS = 24
ORPHAN_SECONDS = 5.0
"""How often and how long a batch is waited for that a session without a client still holds."""


def pending(conn: Connection, flow: Flow) -> bool:
    """Whether a batch is not copied yet."""
    return bool(
        fetch_value(
            conn,
            sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE state = 'pending')").format(flow.of_ledger("batch")),
        )
    )


def _copy_round(connect: Connect, flow: Flow, monitor: Monitor, tick: Callable[[], None]) -> None:
    """Copiers and the applier, until no copier finds a batch that nobody works on."""
    done = threading.Event()
    compressing = Compressing(flow, monitor)
    warming = Warming(flow, monitor, compressing.turns)
    copiers = [
        Worker(f"copy {n}", connect, monitor, copier(flow, monitor, compressing, warming))
        for n in range(1, flow.rollout.plan.workers + 1)
    ]
    apply_worker = Worker("apply", connect, monitor, applier(flow, monitor, compressing, done.is_set))

    def ticking() -> None:
        if all(worker.ended.is_set() for worker in copiers):
            done.set()
        tick()

    run_workers([*copiers, apply_worker], monitor, ticking)


def copy(
    conn: Connection, connect: Connect, rollout: Rollout, monitor: Monitor, tick: Callable[[], None]
) -> None:
    """Copies every pending batch, with the backlog applied and closed chunks compressed meanwhile."""
    flow = flow_of(rollout, Direction.FORWARD)
    if not pending(conn, flow) and not unfinished(conn, flow):
        return
    for _ in range(ORPHAN_ROUNDS):
        _copy_round(connect, flow, monitor, tick)
        if not pending(conn, flow):
            break
        # No worker of ours found one to take: it is claimed by a session whose client is gone, until the server notices.
        monitor.say("a batch is still held by a session that lost its client; waiting for it to end")
        for _ in range(int(ORPHAN_SECONDS / 0.2)):
            monitor.should_stop()
            time.sleep(0.2)
    else:
        raise Failed(
            "The copy ended although batches are pending.",
            facts={"rollout": rollout.id, "waited": f"{ORPHAN_ROUNDS * ORPHAN_SECONDS:.0f} s"},
            remedy="end the sessions named hyperferry in pg_stat_activity that do not belong to a running command, then run the "
            "same command again.",
        )
    store.bump_epoch(conn, rollout.id)
