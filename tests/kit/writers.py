"""An application: threads that write to `player_stats` through its public name, as a given role.

Each writer owns its rows (`id % writers = number` of those that were there, and what it inserted itself), so
what it was told is committed is what must be there. Everything is drawn from the seed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from .journal import faults, forget, remember
from .operations import MIX, Fault, Operations, Options
from .oracle import FIXED
from .tables import Table

__all__ = ["MIX", "READ_COMMITTED", "REPEATABLE_READ", "Fault", "Fleet", "Options", "Writer"]

Connection = psycopg.Connection[tuple[Any, ...]]

READ_COMMITTED = psycopg.IsolationLevel.READ_COMMITTED
REPEATABLE_READ = psycopg.IsolationLevel.REPEATABLE_READ

_LOST = ("08", "57P")


class Writer:
    """One session of the application, with its journal, its counts and its errors."""

    def __init__(self, number: int, fleet: Fleet, isolation: psycopg.IsolationLevel) -> None:
        self.number = number
        self.fleet = fleet
        self.isolation = isolation
        self.thread = threading.Thread(target=self.run, name=f"writer {number}", daemon=True)
        self.does = Operations(fleet.table, fleet.options, f"{fleet.seed} {number}")
        self.done: Counter[str] = Counter()
        self.retries = 0
        self.worst_ms = 0.0
        self.at_work = threading.Lock()
        self._conn: Connection | None = None

    def connect(self) -> Connection:
        """The writer's session, a new one where the last was lost."""
        if self._conn is None or self._conn.closed:
            self._conn = psycopg.connect(self.fleet.dsn, application_name=f"app writer {self.number}")
            for name, value in FIXED.items():
                if name not in ("search_path", "row_security"):
                    self._conn.execute("SELECT pg_catalog.set_config(%s, %s, false)", [name, value])
            self._conn.commit()
            self._conn.isolation_level = self.isolation
        return self._conn

    def adopt(self) -> None:
        """Takes over rows that are there already."""
        rows = self.connect().execute(
            sql.SQL("SELECT id FROM {} WHERE id %% %s = %s ORDER BY hashint8(id) LIMIT %s").format(
                self.fleet.table.ident
            ),
            [self.fleet.count, self.number, self.fleet.adopt],
        )
        self.does.keys = [row[0] for row in rows]
        self.connect().commit()

    def run(self) -> None:
        """Works until the fleet stops."""
        due = time.monotonic()
        while not self.fleet.stopping.is_set():
            with self.at_work:
                self._once()
            due = max(due + self.fleet.pause, time.monotonic() - 1.0)
            self.fleet.stopping.wait(max(0.0, due - time.monotonic()))
        if self._conn is not None:
            self._conn.close()

    def _once(self) -> None:
        does = self.does
        weights = dict(self.fleet.options.weights)
        if not self.fleet.options.across_chunks:
            weights.pop("update_time_across_chunks", None)
        operation = does.random.choices(list(weights), list(weights.values()))[0]
        if not does.keys and operation != "bulk_insert":
            operation = "insert"
        drawn = does.random.getstate()
        started = time.monotonic()
        while self._attempt(operation):
            does.random.setstate(drawn)
        self.worst_ms = max(self.worst_ms, (time.monotonic() - started) * 1000)

    def _attempt(self, operation: str) -> bool:
        """One transaction; True when it is to be run again, as an application in REPEATABLE READ must."""
        does, keys, committing = self.does, list(self.does.keys), False
        does.journal.restore({})
        try:
            conn = self.connect()
            getattr(does, operation)(conn)
            committing = True
            conn.commit()
        except psycopg.Error as error:
            does.keys = keys
            return self._failed(operation, error, committing)
        does.journal.commit()
        self.done[operation] += 1
        return False

    def _failed(self, operation: str, error: psycopg.Error, committing: bool) -> bool:
        state, journal = error.sqlstate or "", self.does.journal
        if self._conn is not None and not self._conn.closed:
            self._conn.rollback()
        if state == "40001" and self.isolation is REPEATABLE_READ:
            self.retries += 1
            return not self.fleet.stopping.is_set()
        if committing and (not state or state.startswith(_LOST)):
            unsure = journal.pending().keys()
            self.does.keys = [key for key in self.does.keys if key not in unsure]
            journal.unknown()
        self.does.errors.append(Fault(operation, state, str(error).strip()))
        return False


class Fleet:
    """Several writers. Use as a context manager; stop before `check`."""

    def __init__(
        self,
        dsn: str,
        table: Table,
        *,
        writers: int = 4,
        rate: float = 200.0,
        seed: int = 1,
        adopt: int = 2_000,
        options: Options | None = None,
        isolations: tuple[psycopg.IsolationLevel, ...] = (READ_COMMITTED, REPEATABLE_READ),
    ) -> None:
        """`rate`: transactions a second, all writers together. `adopt`: rows that were there, for each
        writer."""
        self.dsn, self.table, self.seed, self.count, self.adopt = dsn, table, seed, writers, adopt
        self.pause = writers / rate
        self.options = options or Options()
        self.stopping = threading.Event()
        self.truncated = False
        self.writers = [Writer(n, self, isolations[n % len(isolations)]) for n in range(writers)]

    def start(self, owner: Connection) -> Fleet:
        """Remembers the table's rows (as `owner`, in schema kit_before), then starts the writers."""
        remember(owner, self.table)
        for writer in self.writers:
            writer.adopt()
        for writer in self.writers:
            writer.thread.start()
        return self

    def stop(self) -> None:
        """Ends the writers, each after its transaction."""
        self.stopping.set()
        for writer in self.writers:
            if writer.thread.is_alive():
                writer.thread.join()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def between(self, action: Callable[[], None]) -> None:
        """Runs `action` while no writer is in a transaction."""
        for writer in self.writers:
            writer.at_work.acquire()
        try:
            action()
        finally:
            for writer in self.writers:
                writer.at_work.release()

    def forbid_across_chunks(self) -> None:
        """No update across chunks after this returns: before the cutover."""

        def forbid() -> None:
            self.options.across_chunks = False

        self.between(forbid)

    def truncate(self) -> None:
        """TRUNCATE as the application's role, between the others' transactions."""

        def empty() -> None:
            with psycopg.connect(self.dsn, autocommit=True) as conn:
                conn.execute(sql.SQL("TRUNCATE {}").format(self.table.ident))
            self.truncated = True
            for writer in self.writers:
                writer.does.keys.clear()
                writer.does.journal.states.clear()

        self.between(empty)

    @property
    def operations(self) -> Counter[str]:
        """Committed transactions by kind."""
        return sum((writer.done for writer in self.writers), Counter[str]())

    @property
    def errors(self) -> list[Fault]:
        """All errors that the application saw."""
        return [fault for writer in self.writers for fault in writer.does.errors]

    @property
    def retries(self) -> int:
        """Transactions in REPEATABLE READ that were run again after 40001."""
        return sum(writer.retries for writer in self.writers)

    @property
    def statements(self) -> int:
        """Statements sent so far, transaction control apart."""
        return sum(writer.does.statements for writer in self.writers)

    @property
    def worst_ms(self) -> float:
        """The longest transaction, waiting included."""
        return max(writer.worst_ms for writer in self.writers)

    def faults(self, owner: Connection) -> list[str]:
        """Where the table is not what the writers were told is committed. Stop first."""
        assert self.stopping.is_set(), "writers still write"
        return faults(owner, self.table, [w.does.journal for w in self.writers], truncated=self.truncated)

    def check(self, owner: Connection) -> None:
        """Fails when a writer saw an error or the table is not as committed; then drops what `start` kept."""
        assert not self.errors, self.errors[:5]
        found = self.faults(owner)
        assert not found, "\n".join(found)
        forget(owner)
