"""A second session that looks while a statement of ours runs: whether somebody waits for us, or we for somebody for too long,
whether to stop. It has the statement cancelled then; VACUUM, ANALYZE and REINDEX CONCURRENTLY lose nothing by it but their
work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from ..db import fetch_one, is_lost_connection, load_queries
from ..db.connection import Connection

EVERY_SECONDS = 0.2


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "maintenance.sql")[name]


@dataclass
class Watch:
    """`reason` is set where the statement was cancelled. `should_stop` gives why all is to end, None while it is not."""

    work: Connection
    eyes: Connection
    should_stop: Callable[[], str | None]
    max_lock_wait: float | None = 1.0
    longest_wait: float = 60.0
    reason: str | None = None
    ended: str | None = None
    _done: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def over(self) -> Iterator[None]:
        """Watches for the length of the block, in which the work's session runs one statement."""
        self.reason = self.ended = None
        self._done.clear()
        thread = threading.Thread(target=self._look_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _look_on(self) -> None:
        waiting_since: float | None = None
        while not self._done.wait(EVERY_SECONDS):
            self.ended = self.should_stop()
            if self.ended is not None:
                self._cancel(self.ended)
                return
            try:
                who = self._waits_for_us()
                in_the_way = self._we_wait_for()
            except psycopg.Error as error:
                if is_lost_connection(error) or self.eyes.closed:
                    self._cancel("the watching session was lost")
                    return
                continue
            waiting_since = (waiting_since or time.monotonic()) if in_the_way else None
            if who is not None:
                self._cancel(who)
                return
            if in_the_way is not None and time.monotonic() - (waiting_since or 0.0) > self.longest_wait:
                self._cancel(f"it would have to wait for {in_the_way} to end its transaction")
                return

    def _waits_for_us(self) -> str | None:
        if self.max_lock_wait is None:
            return None
        row = fetch_one(self.eyes, _query("in_our_way"), {"pid": self.work.info.backend_pid})
        if row is None or float(row[2]) < self.max_lock_wait:
            return None
        return f"pid {row[0]} ({row[1] or '?'}) has waited {float(row[2]):.1f} s for the table"

    def _we_wait_for(self) -> str | None:
        row = fetch_one(self.eyes, _query("we_wait_for"), {"pid": self.work.info.backend_pid})
        if row is None:
            return None
        return f"pid {row[0]} (user {row[1]}, application {row[2]}, {row[3]})"

    def _cancel(self, reason: str) -> None:
        self.reason = reason
        while not self._done.is_set():
            with suppress(psycopg.Error):
                self.work.cancel_safe(timeout=5)
            self._done.wait(0.5)
