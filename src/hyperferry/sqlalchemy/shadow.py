"""Shadow reads: what the application read is read again from both sides, in the background, and compared."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine, Table, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from ..flag.connected import connected
from .compare import Difference, Outcome, arrived, comparable, difference, tellable
from .dialects import Marks, quoted, whole_name
from .hold import OPTION, Offer
from .metrics import Counted, Stats, export
from .other import Other
from .source import ROLLOUT, log

RECORD, OTHER = "record", "other"
_GONE = frozenset({"42P01", "3F000"})


@dataclass(frozen=True)
class _Job:
    statement: Any
    parameters: dict[str, Any]
    others: Mapping[Table, Other]
    found: Difference | None = None
    newest: tuple[tuple[Table, int | None], ...] = ()
    tries: int = 0


@dataclass(frozen=True)
class _Side:
    """The execution option of a statement of ours: which side it reads."""

    marks: Marks
    others: Mapping[Table, Other]


@dataclass(frozen=True)
class _Run:
    difference: Difference
    seconds: dict[str, float]
    positions: dict[Table, tuple[int | None, int | None]] = field(default_factory=dict)


class ShadowReads:
    """Compares a share of the reads with the other side, in `workers` threads, over connections of its own.

    `dsn` connects as the application's role (psycopg 3). `percent` of the reads of the table of record are taken. At most
    `waiting` are kept, what comes beyond is dropped and counted. A difference is looked at again every `recheck_after` seconds,
    at most `rechecks` times, until the changes of that moment have arrived on the other side. `timeout`: seconds that a statement
    may take. `max_rows`: a longer result is not compared. `registry`: of prometheus_client; where that is installed, its own.

    Whatever goes wrong here is counted and never raised to the application.
    """

    def __init__(
        self,
        dsn: str,
        *,
        percent: float = 1.0,
        workers: int = 1,
        waiting: int = 100,
        recheck_after: float = 5.0,
        rechecks: int = 6,
        timeout: float = 5.0,
        max_rows: int = 10_000,
        registry: Any = None,
    ) -> None:
        self._dsn, self._percent, self._workers = dsn, percent, workers
        self._waiting, self._recheck_after, self._rechecks = waiting, recheck_after, rechecks
        self._timeout, self._max_rows = timeout, max_rows
        self._counted = Counted()
        self._marks: Marks | None = None
        self._engine: Engine | None = None
        self._jobs: list[tuple[float, int, _Job]] = []
        self._order = itertools.count()
        self._ready = threading.Condition()
        self._beginning = threading.Lock()
        self._begun_in: int | None = None
        self._closed = False
        self._busy = 0
        self._told: set[str] = set()
        export(self._counted, registry)
        _every.add(self)

    def stats(self) -> Stats:
        """What came of the shadow reads so far, and how long either side took."""
        return self._counted.stats()

    def watch(self, marks: Marks) -> None:
        """Which tables: `route_reads` says it. Raises ValueError where these shadow reads have tables already."""
        if self._marks is not None:
            raise ValueError("these shadow reads belong to another route_reads: make new ones")
        self._marks = marks
        self._counted.tables = tuple(table.fullname for table in marks.tables)

    def drawn(self) -> bool:
        """Whether this read is among those that are taken."""
        return not self._closed and random.random() * 100 < self._percent

    def offer_for(self, others: Mapping[Table, Other], statement: Any, given: dict[str, Any]) -> Offer:
        """What takes the statement with its parameters, once they are evaluated (`given`: what the caller gave; a list's elements
        have been taken apart by then); never waits, never fails."""

        def offer(parameters: dict[str, Any]) -> None:
            with contextlib.suppress(Exception):
                self._put(_Job(statement, {**parameters, **given}, others), 0.0)

        return offer

    def wait(self, seconds: float) -> bool:
        """Whether nothing is waiting or being done any more, within that time. For tests."""
        end = time.monotonic() + seconds
        with self._ready:
            while self._jobs or self._busy:
                if (
                    not self._ready.wait(min(0.05, max(0.0, end - time.monotonic())))
                    and time.monotonic() >= end
                ):
                    return False
        return True

    def close(self) -> None:
        """Ends the threads; what waits is dropped and counted."""
        with self._ready:
            self._closed = True
            dropped, self._jobs = len(self._jobs), []
            self._ready.notify_all()
        for _ in range(dropped):
            self._counted.add(Outcome.DROPPED)

    def _put(self, job: _Job, after: float) -> None:
        if self._begun_in != os.getpid():
            self._begin()
        with self._ready:
            if self._closed or len(self._jobs) >= self._waiting:
                self._counted.add(Outcome.DROPPED)
                return
            heapq.heappush(self._jobs, (time.monotonic() + after, next(self._order), job))
            self._ready.notify()

    def _begin(self) -> None:
        with self._beginning:
            if self._begun_in == os.getpid():
                return
            if self._begun_in is not None:
                self._nothing_begun()
            for _ in range(self._workers):
                threading.Thread(target=self._work, name="hyperferry shadow reads", daemon=True).start()
            self._begun_in = os.getpid()  # where no thread can be had, the next read tries again

    def forked(self) -> None:
        """Threads and connections do not come along into a forked process, nor does whoever would give a lock free."""
        self._ready, self._beginning = threading.Condition(), threading.Lock()
        self._counted.forked()
        self._begun_in = None
        self._nothing_begun()

    def _nothing_begun(self) -> None:
        self._engine, self._jobs, self._busy = None, [], 0

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._closed and not (self._jobs and self._jobs[0][0] <= time.monotonic()):
                    self._ready.wait(self._jobs[0][0] - time.monotonic() if self._jobs else None)
                if self._closed:
                    break
                job = heapq.heappop(self._jobs)[2]
                self._busy += 1
            try:
                self._counted.add(self._done(job))
            except Exception as error:
                self._counted.add(Outcome.FAILED)
                self._tell("a shadow read failed: %s", str(error).partition("\n")[0])
            finally:
                with self._ready:
                    self._busy -= 1
                    self._ready.notify_all()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _done(self, job: _Job) -> Outcome | None:
        """None: it is to be looked at again."""
        try:
            run = self._run(job)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) in _GONE:
                return Outcome.GONE
            raise
        if run is None:
            return Outcome.SKIPPED
        if set(run.positions) != set(job.others):
            return Outcome.GONE
        if job.found is None:
            self._counted.took(run.seconds)
        found = run.difference if job.found is None else job.found.still(run.difference)
        if not found:
            return Outcome.SAME if job.found is None else Outcome.LAG
        at_first = dict(job.newest) or {table: newest for table, (newest, _) in run.positions.items()}
        settled = all(arrived(at_first[table], oldest) for table, (_, oldest) in run.positions.items())
        if settled:
            self._tell("both sides differ for: %s", str(job.statement))
            return Outcome.DIFFERENT
        if job.tries >= self._rechecks:
            return Outcome.UNSETTLED
        again = replace(job, found=found, newest=tuple(at_first.items()), tries=job.tries + 1)
        self._put(again, self._recheck_after)
        return None

    def _run(self, job: _Job) -> _Run | None:
        """Both sides, and where their rollouts stand, at one snapshot. None: not comparable."""
        assert self._marks is not None
        rows: dict[str, list[Any]] = {}
        seconds: dict[str, float] = {}
        with self._connect() as conn:
            # Here, and not as the session's: behind a pooler the session serves others after us.
            conn.exec_driver_sql(f"SET LOCAL statement_timeout = {int(self._timeout * 1000)}")
            conn.exec_driver_sql("SET TRANSACTION READ ONLY")
            conn.exec_driver_sql("SET LOCAL cursor_tuple_fraction = 1")  # planned as the application's is
            for table, other in job.others.items():  # before the snapshot, and in the order of a swap
                conn.exec_driver_sql(_lock(table, other))
            for side in random.sample((RECORD, OTHER), 2):  # whoever comes second finds the pages read
                began = time.perf_counter()
                options = {
                    **self._marks.of(conn.dialect).options,
                    # By a cursor of the server's: psycopg would fetch the whole of it otherwise, however many rows.
                    "stream_results": True,
                    "max_row_buffer": 1000,
                    OPTION: _Side(self._marks, job.others if side == OTHER else {}),
                }
                result = conn.execute(job.statement, job.parameters, execution_options=options)
                rows[side] = [tuple(row) for row in result.fetchmany(self._max_rows + 1)]
                seconds[side] = time.perf_counter() - began
                result.close()
                if (
                    len(rows[side]) > self._max_rows
                    or not comparable(conn.info["hyperferry_sent"])
                    or not tellable(rows[side])
                ):
                    return None
            positions = {}
            for table, other in job.others.items():
                row = conn.exec_driver_sql(ROLLOUT, (whole_name(table),)).fetchone()
                if row is not None and (row[0], row[1]) == (other.number, other.phase):
                    positions[table] = (row[4], row[3])
        return _Run(difference(rows[RECORD], rows[OTHER]), seconds, positions)

    def _connect(self) -> Connection:
        with self._ready:
            if self._engine is None:
                self._engine = _engine(self._dsn, self._workers)
            engine = self._engine
        # Without the lock, which requests take too.
        return engine.connect()

    def _tell(self, words: str, about: str) -> None:
        """In the log, once for each statement; without parameters or rows."""
        if about not in self._told and len(self._told) < 1000:
            self._told.add(about)
            log.warning(words, about)


def _lock(table: Table, other: Other) -> str:
    names = (whole_name(table), quoted(other.schema, other.name))
    return f"LOCK TABLE ONLY {', ONLY '.join(names)} IN ACCESS SHARE MODE".replace("%", "%%")


_every: weakref.WeakSet[ShadowReads] = weakref.WeakSet()


def _forked() -> None:
    for each in list(_every):
        each.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _engine(dsn: str, workers: int) -> Engine:
    def connect() -> Any:
        return connected(dsn, "hyperferry shadow reads", 5)

    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        isolation_level="REPEATABLE READ",
        pool_size=workers,
        max_overflow=0,
        pool_pre_ping=True,
    )
    event.listen(engine, "before_cursor_execute", _one_side, retval=True)
    return engine


def _one_side(
    conn: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> tuple[str, Any]:
    side: _Side | None = context.execution_options.get(OPTION) if context is not None else None
    if side is None:
        return statement, parameters
    written = side.marks.of(conn.dialect)
    sides = written.sides(statement)
    where = {
        place: written.name_of(side.others[written.places[place]])
        for place in sides.reads
        if written.places[place] in side.others
    }
    conn.info["hyperferry_sent"] = sides.record
    return sides.other(where) if where else sides.record, parameters
