"""How much of the server a verification takes, asked for again and again while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import psycopg

from ..db import answered_within, is_transient
from ..db.connection import Connection
from .compare import Task

EVERY_SECONDS = 1.0
ANSWER_SECONDS = 60.0


class Share:
    """What `ask(conn)` said last: so many processes may be at work (None: no bound). Asked on the main thread's connection, read
    by all threads."""

    def __init__(
        self,
        conn: Connection,
        ask: Callable[[Connection], int | None],
        workers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conn, self._ask, self._workers, self._clock = conn, ask, workers, clock
        self._said = ask(conn)
        self._at = clock()

    def look(self) -> None:
        """Asks once a second. What was said last counts on where a lock is in the way. A server that says nothing has lost the
        connection, which is raised."""
        if self._clock() - self._at < EVERY_SECONDS:
            return
        try:
            with answered_within(self._conn, ANSWER_SECONDS):
                self._said = self._ask(self._conn)
        except psycopg.Error as error:
            if not is_transient(error):
                raise
        self._at = self._clock()

    def sessions(self) -> int:
        """How many sessions may be at work at once, at least one."""
        said = self._said
        return self._workers if said is None else max(1, min(self._workers, said))

    def of(self, task: Task) -> Task:
        """The task for one range begun now: with as many helpers for its session as are left to it."""
        said = self._said
        helpers = None if said is None else max(0, said // self.sessions() - 1)
        return replace(task, helpers=helpers)
