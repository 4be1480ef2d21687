"""From whatever phase a rollout is in to `synced`, proved."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from . import gates
from .db import is_transient
from .db.connection import Connection
from .errors import Refused
from .model.report import StatusReport, VerifyReport
from .model.rollout import Phase, Rollout
from .status import status_now
from .strategies import blue_green
from .strategies.monitor import Monitor
from .strategies.workers import Connect

Progress = Callable[[StatusReport], None]


class Ticker:
    """Reports progress about once a second, on the command's own connection (with which the claim would be lost as well). Where a
    lock is not to be had for that just now, as a part of the change log is being emptied, say, it says nothing that time."""

    def __init__(self, conn: Connection, rollout: Rollout, progress: Progress) -> None:
        self.conn, self.rollout, self.progress = conn, rollout, progress
        self._last = 0.0

    def __call__(self) -> None:
        if time.monotonic() - self._last < 1.0:
            return
        self._last = time.monotonic()
        try:
            report = status_now(self.conn, self.rollout)
        except psycopg.Error as error:
            if not is_transient(error):
                raise
            return
        self.progress(report)


def advance(
    conn: Connection, connect: Connect, rollout: Rollout, monitor: Monitor, progress: Progress
) -> Rollout:
    """From whatever phase the rollout is in to `synced`."""
    while True:
        monitor.should_stop()
        tick = Ticker(conn, rollout, progress)
        if rollout.phase is Phase.PLANNED:
            rollout = blue_green.prepare(conn, rollout, monitor)
        elif rollout.phase is Phase.PREPARED:
            rollout = blue_green.cut_batches(conn, rollout, monitor)
        elif rollout.phase is Phase.COPYING:
            tick()
            blue_green.copy(conn, connect, rollout, monitor, tick)
            blue_green.complete(conn, connect, rollout, monitor, tick)
            changes = blue_green.catch_up(conn, rollout, monitor)
            monitor.say(f"{changes} changes applied, the backlog was empty once")
            blue_green.compress_again(conn, rollout, monitor)
            prove(conn, connect, rollout, monitor)
            rollout = blue_green.synced(conn, rollout)
        else:
            blue_green.catch_up(conn, rollout, monitor)
            if rollout.phase is not Phase.CUT_OVER and gates.valid_verification(conn, rollout) is None:
                prove(conn, connect, rollout, monitor)
            tick()
            return rollout


def prove(conn: Connection, connect: Connect, rollout: Rollout, monitor: Monitor) -> VerifyReport:
    """A verification that must be clean. Raises Refused with the first differences."""
    monitor.say("verifying: every row on both sides, while writers run")
    report = blue_green.prove(conn, connect, rollout, monitor)
    if not report.match:
        facts: dict[str, object] = {
            "differences": report.difference_count,
            "rows that cannot be taken (quarantine)": report.quarantined,
        }
        for number, difference in enumerate(report.differences[:5], 1):
            facts[f"difference {number}"] = f"{difference.kind} {difference.pair}"
        raise Refused(
            f"The two sides of {rollout.table} are not the same.",
            facts=facts,
            remedy="see them all with `hyperferry verify TABLE`; `hyperferry verify TABLE --repair` mends differences, "
            "`hyperferry status TABLE` shows why rows are in quarantine.",
        )
    monitor.say(f"verified: {report.source_rows} rows are the same on both sides ({report.seconds:.1f} s)")
    return report
