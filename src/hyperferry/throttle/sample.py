"""Looks at the server: one look is a handful of short statements in autocommit, none of which locks anything of anybody's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import psycopg
from psycopg import sql

from ..db import execute, fetch_all, fetch_value, is_lock_failure, is_lost_connection, load_queries
from ..db.connection import Connection
from ..model.throttle import LockWait, Replica, Samples, Slot
from .decision import WINDOW, latency_baseline, latency_of

PROBES_BYTES = 1 << 20
"""The probes' table is emptied at this size."""
PROBE_TIMEOUT_MS = 5_000
HISTORY_SECONDS = 3600.0


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "sample.sql")[name]


def probe_ms(conn: Connection) -> float:
    """Milliseconds that a small write and its commit take, as its client feels them."""
    begun = time.perf_counter()
    try:
        execute(conn, _query("probe"))
    except psycopg.errors.QueryCanceled:  # a flush or a synchronous standby that does not answer
        return float(PROBE_TIMEOUT_MS)
    return (time.perf_counter() - begun) * 1000


class History:
    """Where the WAL was when: tells how old is what a replica has replayed, where its own report is missing or stale."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def note(self, now: float, written: int) -> None:
        """The WAL stands at `written` now."""
        self._points.append((now, written))
        while self._points and now - self._points[0][0] > HISTORY_SECONDS:
            self._points.popleft()

    def behind(self, now: float, replayed: int) -> float:
        """Seconds since the WAL first was further than `replayed`, as far as is known; 0 where it never was."""
        for when, written in self._points:
            if written > replayed:
                return now - when
        return 0.0


class Sampler:
    """Looks again and again on one connection at what the copy of one table does to others.

    Without `copying` it looks at what applying does, which is held to the lag of replicas and slots alone.
    """

    def __init__(
        self, table_oid: int, *, copying: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._oid = table_oid
        self._copying = copying
        self._clock = clock
        self._history = History()
        self._probes: deque[float] = deque(maxlen=WINDOW)
        self._baseline: float | None = None

    def begin(self, conn: Connection) -> None:
        """Measures what a commit takes while nothing is copied, if that is not known yet."""
        execute(conn, f"SET statement_timeout = {PROBE_TIMEOUT_MS}")
        if self._baseline is None and self._copying:
            self._baseline = latency_of([probe_ms(conn) for _ in range(WINDOW)])

    def look(self, conn: Connection, stopped_seconds: float = 0.0) -> Samples:
        """One look. What cannot be seen is named in `blind`; a lost connection is raised."""
        blind: list[str] = []

        def seen(what: str, work: Callable[[], None]) -> None:
            try:
                work()
            except psycopg.Error as error:
                if is_lost_connection(error) or conn.closed:
                    raise
                blind.append(f"{what}: {(error.diag.message_primary or str(error)).strip()}")

        replicas: list[Replica] = []
        slots: list[Slot] = []
        waits: list[LockWait] = []
        seen("replica lag", lambda: self._replicas(conn, replicas, blind))
        seen("slot lag", lambda: self._slots(conn, slots))
        if self._copying:
            seen("lock waits", lambda: self._waits(conn, waits))
            seen("latency", lambda: self._probe(conn))
        self._baseline = latency_baseline(self._baseline, list(self._probes), stopped_seconds)
        return Samples(
            tuple(replicas),
            tuple(slots),
            latency_of(list(self._probes)),
            self._baseline,
            tuple(waits),
            tuple(blind),
        )

    def _replicas(self, conn: Connection, found: list[Replica], blind: list[str]) -> None:
        now = self._clock()
        self._history.note(now, int(fetch_value(conn, _query("written"))))
        hidden = 0
        for name, state, replayed, reported in fetch_all(conn, _query("replicas")):
            if state is None or replayed is None:
                hidden += 1
                continue
            found.append(Replica(name, max(float(reported or 0), self._history.behind(now, int(replayed)))))
        if hidden:
            blind.append(
                f"replica lag: {hidden} stream from here, but their lag is hidden from this role; grant it pg_monitor"
            )

    def _slots(self, conn: Connection, found: list[Slot]) -> None:
        for name, kept, active, safe, bound in fetch_all(conn, _query("slots")):
            found.append(
                Slot(name, max(int(kept), 0), bool(active), None if safe is None else int(safe), bound)
            )

    def _waits(self, conn: Connection, found: list[LockWait]) -> None:
        for pid, user, application, seconds, behind in fetch_all(
            conn, _query("lock_waits"), {"table": self._oid}
        ):
            who = f"pid {pid} (user {user or '?'}, application {application or '?'})"
            found.append(LockWait(who, float(seconds), behind or ""))

    def _probe(self, conn: Connection) -> None:
        self._probes.append(probe_ms(conn))
        if fetch_value(conn, _query("probe_size")) > PROBES_BYTES:
            try:
                with conn.transaction():
                    execute(conn, _query("clear_probes"))
            except psycopg.Error as error:
                if not is_lock_failure(error):
                    raise
