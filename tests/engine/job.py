"""One rollout as tests speak of it: the application's side, ours, and the independent judge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, LiteralString, cast
from weakref import WeakSet

from psycopg import sql

from hyperferry import engine
from hyperferry.apply import Applier
from hyperferry.copy.copier import Copied, Outcome, copy_next
from hyperferry.db import connect
from hyperferry.db.connection import Connection
from hyperferry.ledger import store
from hyperferry.ledger.flow import Flow, flow_of
from hyperferry.model.plan import Plan
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.report import StatusReport
from hyperferry.model.rollout import Direction, Phase, Rollout
from hyperferry.strategies import blue_green
from hyperferry.strategies.monitor import Monitor
from kit.oracle import differences
from kit.tables import Table
from servers import Database

Rows = list[tuple[Any, ...]]

WAIT_SECONDS = 60.0

HOURS = """
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, v text);
INSERT INTO t SELECT i, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour', 'row ' || i FROM generate_series(1, 300) AS i;
CREATE INDEX t_at ON t (at);
"""
"""Rows 1 to 300, an hour apart."""

THIRDS = PlanOptions(chunk_interval="365 days", batch_rows=100, workers=1)
"""Cuts HOURS into batches that begin with rows 1, 101 and 201."""


def eventually(what: str, true: Callable[[], Any], *, seconds: float = WAIT_SECONDS) -> Any:
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < end, f"never came true: {what}; failed meanwhile: {_failed()}"
        time.sleep(0.01)
    return answer


_asides: WeakSet[Future[Any]] = WeakSet()


def _failed() -> list[BaseException]:
    """The errors of works that run aside: what is waited for may never come for that reason."""
    return [error for future in _asides if future.done() and (error := future.exception())]


def aside(work: Callable[[], Any]) -> Future[Any]:
    """Runs `work` in a thread of its own; `.result(seconds)` gives its answer or raises its error."""
    future: Future[Any] = Future()
    _asides.add(future)

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@dataclass
class Job:
    """A table with its rollout. `run` speaks as the application, `conn` is a session of ours, as `role` (None: the superuser)."""

    db: Database
    table: Table
    options: PlanOptions
    role: str | None = None
    said: list[str] = field(default_factory=list)
    _open: list[Connection] = field(default_factory=list)

    # The whole commands.

    @property
    def dsn(self) -> str:
        """Where we connect to."""
        return self.db.dsn_as(self.role)

    @cached_property
    def plan(self) -> Plan:
        """The plan, made once."""
        return engine.make_plan(self.dsn, self.table.quoted, self.table.time, self.options)

    def start(self, **options: Any) -> StatusReport:
        """`hyperferry start`, whoever else is at work on the server: tests ask it things all the time."""
        options.setdefault("say", self.said.append)
        options.setdefault("limits", {"max_cores": "none"})
        return engine.start(self.dsn, None, self.plan, **options)

    def cutover(self, **options: Any) -> Any:
        """`hyperferry cutover --accept all`."""
        options.setdefault("accept", frozenset({"all"}))
        options.setdefault("say", self.said.append)
        return engine.cutover(self.dsn, self.table.quoted, **options)

    def rollback(self, **options: Any) -> Any:
        """`hyperferry rollback`."""
        options.setdefault("say", self.said.append)
        return engine.rollback(self.dsn, self.table.quoted, **options)

    def sync(self) -> StatusReport:
        """`hyperferry sync --until-empty`."""
        return engine.sync(self.dsn, self.table.quoted, until_empty=True, say=self.said.append)

    def verify(self, **options: Any) -> Any:
        """`hyperferry verify`."""
        return engine.verify(self.dsn, self.table.quoted, **options)

    def abort(self) -> StatusReport:
        """`hyperferry abort`."""
        return engine.abort(self.dsn, self.table.quoted, say=self.said.append)

    def finish(self) -> StatusReport:
        """`hyperferry finish`."""
        return engine.finish(self.dsn, self.table.quoted, say=self.said.append)

    def status(self) -> StatusReport:
        """`hyperferry status`."""
        return engine.status(self.dsn, self.table.quoted)[0]

    # Step by step.

    def session(self, purpose: str = "test") -> Connection:
        """One more session of ours; closed after the test."""
        self._open.append(connect(self.dsn, purpose=purpose))
        return self._open[-1]

    @cached_property
    def conn(self) -> Connection:
        """Our session for single steps."""
        return self.session()

    @cached_property
    def _look(self) -> Connection:
        """For looking at the ledger while `conn` is at work."""
        return self.session("look")

    @property
    def rollout(self) -> Rollout:
        """The newest rollout of the table, as the ledger has it now."""
        found = store.latest(self._look, self.plan.table)
        assert found, "there is no rollout yet"
        return found[0]

    @property
    def flow(self) -> Flow:
        """The flow of the present phase."""
        return flow_of(self.rollout)

    def capture(self, should_stop: Callable[[], None] = lambda: None) -> Job:
        """From nothing to `prepared`: the shadow, the ledger's tables, the triggers."""
        if not store.latest(self.conn, self.plan.table):
            store.install(self.conn)
            store.create(self.conn, self.plan)
        monitor = Monitor(threading.Event(), self.said.append)
        if self.rollout.phase is Phase.PLANNED:
            blue_green.prepare(self.conn, self.rollout, monitor)
        return self

    def cut(self) -> Job:
        """From nothing to `copying`: the batches are cut, none is copied."""
        self.capture()
        blue_green.cut_batches(self.conn, self.rollout, Monitor(threading.Event()))
        return self

    def copy_next(self, **options: Any) -> Copied:
        """One attempt at the next batch."""
        return copy_next(self.conn, self.flow, **options)

    def copy_all(self) -> Job:
        """Copies batch after batch; each must succeed."""
        while (copied := self.copy_next()).outcome is not Outcome.NONE_LEFT:
            assert copied.outcome is Outcome.COPIED, copied
        return self

    def applier(self, conn: Connection | None = None, *, slice_rows: int = 20_000) -> Applier:
        """An applier of the present direction."""
        return Applier(conn or self.conn, self.flow, slice_rows=slice_rows)

    def apply(self, *, slice_rows: int = 20_000) -> Job:
        """Applies whatever may be applied now."""
        self.applier(slice_rows=slice_rows).drain(pending_batches=True)
        return self

    def apply_all(self, *, slice_rows: int) -> int:
        """Applies everything, as it is done when no batch is pending; returns how many log rows that were."""
        return self.applier(slice_rows=slice_rows).drain(pending_batches=False).changes

    # The database.

    def sql(self, text: str) -> sql.Composed:
        """`{source}` and `{shadow}` are the plain table and the hypertable wherever they are now, `{table}` the
        application's name; `{log}`, `{batch}`, `{quarantine}`, `{lock}` are the ledger's."""
        forward = flow_of(self.rollout, Direction.FORWARD)
        names, served = self.rollout.names, self.rollout.phase.hypertable_serves
        source, shadow = (names.old, names.table) if served else (names.table, names.shadow)
        return sql.SQL(cast("LiteralString", text)).format(
            table=self.table.ident,
            source=sql.Identifier(source.schema, source.name),
            shadow=sql.Identifier(shadow.schema, shadow.name),
            log=self.flow.log,
            lock=self.flow.lock,
            batch=forward.of_ledger("batch"),
            quarantine=forward.of_ledger("quarantine"),
        )

    def run(self, text: str, *params: Any, role: str | None = None) -> Rows:
        """One statement (or several without parameters) in a transaction of its own."""
        with self.db.connect(role) as conn:
            return self.on(conn, text, *params)

    def on(self, conn: Connection, text: str, *params: Any) -> Rows:
        """The same on a session that is there."""
        done = conn.execute(self.sql(text), params or None)
        return done.fetchall() if done.description else []

    @contextmanager
    def application(self, role: str | None = None, **options: Any) -> Iterator[Connection]:
        """A session of the application in a transaction; what is open at the end is rolled back."""
        with self.db.connect(role, autocommit=False, **options) as conn:
            yield conn
            conn.rollback()

    def value(self, text: str, *params: Any) -> Any:
        """The first column of the first row."""
        return self.run(text, *params)[0][0]

    def logged(self) -> Rows:
        """The log: op and pair of each row, in order of the ids."""
        return self.run(
            "SELECT (pg_catalog.to_jsonb(l) - 'id' ->> 'op')::text, l.* FROM {log} AS l ORDER BY id"
        )

    def ops(self) -> str:
        """The log's operations, in order of the ids: 'IIUD'."""
        return self.value("SELECT COALESCE(string_agg(op::text, '' ORDER BY id), '') FROM {log}")

    def backlog(self) -> int:
        """Log rows of the present direction."""
        return int(self.value("SELECT count(*) FROM {log}"))

    def phase(self) -> str:
        """The phase as the ledger has it."""
        return str(self.rollout.phase)

    def differences(self) -> list[str]:
        """What the judge finds between the plain table and the hypertable."""
        flow = self.flow
        with self.db.connect() as conn:
            return differences(conn, flow.active.ident, flow.passive.ident, self.table.columns)

    def assert_equal(self) -> None:
        """Fails unless both sides hold the same multiset of rows."""
        found = self.differences()
        assert not found, "\n".join(found)

    def until_we_wait(self, relation: str = "{source}") -> None:
        """Returns when one of our sessions waits for a lock on the relation."""
        eventually(
            f"a session of ours waits for {relation}",
            lambda: self.value(
                "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted "
                "AND a.application_name LIKE 'hyperferry%' AND a.datname = current_database() AND l.relation = '"
                + relation
                + "'::regclass)"
            ),
        )

    def until_a_rollout_waits(self) -> None:
        """The same for the application's table where the ledger may not be there yet."""
        name = self.table.quoted.replace("'", "''")
        eventually(
            f"a session of ours waits for {self.table.quoted}",
            lambda: self.db.execute(
                "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted "
                f"AND a.application_name LIKE 'hyperferry%' AND a.datname = current_database() AND l.relation = to_regclass('{name}')"
            ),
        )

    def until_we_wait_for_a_row(self) -> None:
        """Returns when one of our sessions waits for another's transaction to end."""
        eventually(
            "a session of ours waits for a row",
            lambda: self.value(
                "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted "
                "AND a.application_name LIKE 'hyperferry%' AND a.datname = current_database() AND l.locktype = 'transactionid')"
            ),
        )

    def close(self) -> None:
        """Closes our sessions."""
        for conn in self._open:
            conn.close()


Make = Callable[..., Job]
"""What the fixtures of conftest.py give: they make a job, as far along as their name says."""
