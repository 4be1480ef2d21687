"""Copiers and the applier side by side, each on its own connection; a lost connection is made anew, never taken for an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg

from ..apply import Applier, tidy_log
from ..copy.copier import Copied, Outcome, copy_next, leave_to_applier
from ..db import blocker_facts, blockers_of, is_lost_connection, pause_seconds
from ..db.connection import Connection
from ..errors import ConnectionFailed, Failed, Interrupted
from ..ledger.flow import Flow
from .compressing import Compressing
from .monitor import Monitor
from .warming import Warming

Connect = Callable[[str], Connection]
RECONNECTS = 20
UNIQUE_RETRIES = 5
BUSY_RETRIES = 200
APPLY_PAUSE_SECONDS = 1.0
LOOK_SECONDS = 0.5
"""How often whoever waits for workers looks about, where none of them ends."""


def keep_connected(
    connect: Callable[[], Connection],
    body: Callable[[Connection], None],
    monitor: Monitor,
    *,
    also: type[Exception] = ConnectionFailed,
    most: int = RECONNECTS,
) -> None:
    """Runs `body(conn)` to its end, on a new connection after each loss; `also` is tried again like one, once something was lost:
    the server may not have noticed yet. At most `most` losses; an hour without one makes up for all before it."""
    losses, once = 0, False
    while True:
        began = time.monotonic()
        try:
            with connect() as conn:
                once = True
                body(conn)
            return
        except (psycopg.Error, ConnectionFailed, also) as error:
            monitor.should_stop()
            if time.monotonic() - began > 3600:
                losses = 0
            lost = isinstance(error, ConnectionFailed) or is_lost_connection(error)
            again = once and (lost or (losses > 0 and isinstance(error, also)))
            if not again or losses >= most:
                raise
            losses += 1
            monitor.say(f"the connection was lost ({str(error).splitlines()[0]}); trying again")
            monitor.stop.wait(pause_seconds(losses))


class Worker(threading.Thread):
    """A thread that runs `body(conn)` to its end, on a new connection after each loss; keeps what went wrong."""

    def __init__(
        self, name: str, connect: Connect, monitor: Monitor, body: Callable[[Connection], None]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._connect, self._monitor, self._body = connect, monitor, body
        self.error: BaseException | None = None
        self.conn: Connection | None = None
        self.ended = threading.Event()
        self.tell_end: Callable[[], None] = lambda: None

    def run(self) -> None:
        """The thread's life."""
        try:
            self._live()
        except BaseException as error:  # kept for the main thread, which raises it
            # Whoever failed first has the cause; the others were told to stop, or cancelled.
            told = isinstance(error, Interrupted | psycopg.errors.QueryCanceled) and self._monitor.failed.is_set()
            if not told:
                self.error = error
            self._monitor.failed.set()
        finally:
            try:
                if self.conn is not None:
                    self.conn.close()
            finally:
                self.ended.set()
                self.tell_end()

    def _live(self) -> None:
        losses = 0
        while True:
            self._monitor.should_stop()
            try:
                self.conn = self._connect(self.name)
                self._body(self.conn)
                return
            except (psycopg.Error, ConnectionFailed) as error:
                if self._monitor.stop.is_set():
                    self._monitor.should_stop()
                lost = isinstance(error, ConnectionFailed) or is_lost_connection(error)
                losses += 1
                if not lost or losses > RECONNECTS:
                    raise
                self._monitor.say(
                    f"{self.name}: the connection was lost ({str(error).splitlines()[0]}); trying again"
                )
                time.sleep(pause_seconds(losses))

    def cancel(self) -> None:
        """Has the server end what this worker is waiting for."""
        conn = self.conn
        if conn is not None and not conn.closed:
            try:
                conn.cancel_safe(timeout=2)
            except psycopg.Error:
                return


def copier(
    flow: Flow, monitor: Monitor, compressing: Compressing, warming: Warming
) -> Callable[[Connection], None]:
    """The body of a copying worker: batch after batch until none is pending, and whatever closed chunk is to be compressed, or to
    have its indexes, before the next."""

    def body(conn: Connection) -> None:
        tries: dict[int, int] = {}
        busy = 0
        worked = 0.0
        while True:
            with monitor.turn(worked):
                if compressing.between_batches(conn) or warming.between_batches(conn):
                    worked = 0.0
                    continue
                begun = time.monotonic()
                copied = copy_next(conn, flow)
            worked = time.monotonic() - begun
            monitor.valve.copied(copied.rows)
            if copied.outcome is Outcome.NONE_LEFT:
                compressing.rest(conn)
                return
            in_the_way = copied.reason if copied.outcome is Outcome.BUSY else None
            if copied.batch is not None and copied.outcome in (Outcome.UNIQUE, Outcome.REFUSED):
                tries[copied.batch] = tries.get(copied.batch, 0) + 1
                in_the_way = _deal_with(conn, flow, monitor, compressing, copied, tries[copied.batch])
            if in_the_way is not None:
                busy += 1
                if busy > BUSY_RETRIES:
                    raise Failed(
                        "The copy does not get on: its locks are not to be had.",
                        facts={
                            "attempts": busy,
                            "server said": in_the_way,
                            **blocker_facts(blockers_of(conn, [flow.active.name])),
                        },
                        remedy="wait for the sessions named or end them, then run the same command again.",
                    )
                time.sleep(pause_seconds(min(busy, 10)))
                continue
            busy = 0

    return body


def _deal_with(
    conn: Connection, flow: Flow, monitor: Monitor, compressing: Compressing, copied: Copied, tries: int
) -> str | None:
    """A batch that the shadow does not take: a stale row in its way goes when the backlog is applied; else
    the applier gets it. Where a lock was not to be had for that, gives what the server said."""
    assert copied.batch is not None
    if copied.outcome is Outcome.UNIQUE and tries <= UNIQUE_RETRIES:
        with compressing.applying():
            Applier(conn, flow, should_stop=monitor.should_stop, say=monitor.say).drain(pending_batches=True)
        return None
    in_the_way = leave_to_applier(conn, flow, copied.batch)
    if in_the_way is None:
        monitor.say(f"batch {copied.batch} goes row by row: {copied.reason}")
    return in_the_way


def applier(
    flow: Flow, monitor: Monitor, compressing: Compressing, until: Callable[[], bool]
) -> Callable[[Connection], None]:
    """The body of the applying worker: applies what may be applied (I4), until told that the copy is done."""

    def body(conn: Connection) -> None:
        work = Applier(conn, flow, should_stop=monitor.should_stop, say=monitor.say)
        while not until():
            monitor.wait_while_paused()
            begun = time.monotonic()
            with compressing.applying():
                work.drain(pending_batches=True, at_most_seconds=5)
            tidy_log(conn, flow)
            monitor.rest_from_applying(time.monotonic() - begun, until)
            _sleep(APPLY_PAUSE_SECONDS, until, monitor)

    return body


def _sleep(seconds: float, until: Callable[[], bool], monitor: Monitor) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        monitor.should_stop()
        time.sleep(0.05)


def run_workers(workers: list[Worker], monitor: Monitor, tick: Callable[[], None]) -> None:
    """Runs the workers to their end, calling `tick` about twice a second and when one ends. Raises the first worker's error.

    On stop, whatever a worker waits for on the server is cancelled, so that the command ends promptly.
    """
    one_ended = threading.Event()
    for worker in workers:
        worker.tell_end = one_ended.set
        worker.start()
    try:
        while not all(worker.ended.is_set() for worker in workers):
            one_ended.wait(LOOK_SECONDS)
            one_ended.clear()
            if not monitor.stop.is_set():
                tick()
            if monitor.stop.is_set() or monitor.failed.is_set():
                for worker in workers:
                    worker.cancel()
    except BaseException:
        monitor.failed.set()
        for worker in workers:
            worker.cancel()
            worker.join(timeout=10)
        raise
    if monitor.stop.is_set():
        monitor.should_stop()
    for worker in workers:
        if worker.error is not None:
            raise worker.error
