"""Who makes the shadow's statistics: half of a rollout of wide rows, where one session does it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ..copy import statistics
from ..db import again_after_deadlock
from ..db.connection import Connection
from ..ledger.flow import flow_of
from ..model.names import TableName
from ..model.rollout import Direction, Rollout
from .monitor import Monitor
from .workers import Connect, Worker, run_workers


def analyze(
    conn: Connection, connect: Connect, rollout: Rollout, monitor: Monitor, tick: Callable[[], None]
) -> None:
    """Statistics of all chunks together, then of each chunk, as many at once as there are copying workers and the throttle
    lets, calling `tick` meanwhile. In one statement where there is one worker, or chunks may be compressed: what is kept of a
    compressed one's rows must not be replaced by what is left in it."""
    flow = flow_of(rollout, Direction.FORWARD)
    parts = statistics.chunks(conn, flow)
    number = min(rollout.plan.workers, len(parts))
    if number < 2 or rollout.plan.compression is not None:
        again_after_deadlock(lambda: statistics.analyze(conn, flow))
        return
    with connect("statistics") as holder:
        done = again_after_deadlock(lambda: statistics.analyze_whole(conn, holder, flow, parts))
    if not done:
        again_after_deadlock(lambda: statistics.analyze(conn, flow))
        return
    shared = _Parts(parts, monitor)
    run_workers(
        [Worker(f"statistics {n}", connect, monitor, shared.work) for n in range(1, number + 1)], monitor, tick
    )


class _Parts:
    """Chunks that workers share; one that somebody has (an autovacuum, say, which may be doing the same) comes last, and is
    waited for."""

    def __init__(self, parts: list[TableName], monitor: Monitor) -> None:
        self._todo = deque((part, False) for part in parts)
        self._monitor = monitor
        self._lock = threading.Lock()

    def work(self, conn: Connection) -> None:
        """The body of one worker."""
        worked = 0.0
        while True:
            with self._monitor.turn(worked):
                begun = time.monotonic()
                with self._lock:
                    if not self._todo:
                        return
                    part, wait = self._todo.popleft()
                try:
                    done = statistics.analyze_chunk(conn, part, wait=wait)
                except BaseException:
                    with self._lock:
                        self._todo.append((part, True))
                    raise
                if not done:
                    with self._lock:
                        self._todo.append((part, True))
            worked = time.monotonic() - begun
