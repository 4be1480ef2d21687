"""Never a blocked table: somebody else's lock is in the way in each phase; writers go on, we give way and name who it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from job import Job, Make, aside
from swap_support import (  # noqa: F401
    CHILD,
    SMALL,
    Ready,
    insert,
    outcome,
    ready_fixture,
    same_after_sync,
    templates_fixture,
)

from hyperferry import engine
from hyperferry.capture import install_forward
from hyperferry.db import locks
from hyperferry.errors import HyperferryError, LockUnavailable, NotSettled

STRONG = "'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'"


class Watch:
    """A writer that inserts all the time, and a look every few milliseconds at what our sessions hold and wait for."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stop = threading.Event()
        self.worst = 0.0
        self.inserted = 0
        self.errors: list[str] = []
        self.waits: set[str] = set()
        self.threads = [threading.Thread(target=each, daemon=True) for each in (self._write, self._look)]

    def _write(self) -> None:
        with self.job.db.connect() as conn:
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    conn.execute("INSERT INTO t (at) VALUES ('2024-02-02')")
                    self.inserted += 1
                except psycopg.Error as error:
                    self.errors.append(str(error))
                self.worst = max(self.worst, time.monotonic() - began)
                time.sleep(0.01)

    def _look(self) -> None:
        with self.job.db.connect() as conn:
            while not self.stop.is_set():
                self.waits |= {
                    str(row)
                    for row in conn.execute(
                        "SELECT w.relation::regclass::text, w.mode, h.relation::regclass::text, h.mode, a.query FROM pg_locks w "
                        "JOIN pg_locks h ON h.pid = w.pid AND h.granted AND h.locktype = 'relation' "
                        "JOIN pg_stat_activity a ON a.pid = w.pid JOIN pg_class c ON c.oid = h.relation "
                        "WHERE NOT w.granted AND w.waitstart < now() - interval '250 ms' "
                        f"AND a.application_name LIKE 'hyperferry%' AND a.datname = current_database() AND h.mode IN ({STRONG}) "
                        "AND c.relnamespace = 'public'::regnamespace"
                    ).fetchall()
                }
                time.sleep(0.02)

    def __enter__(self) -> Watch:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(20)

    def fine(self, seconds: float = 4.0) -> None:
        """No writer waited long, none saw an error, and nothing of ours waited while it stood in somebody's way."""
        assert not self.errors
        assert self.worst < seconds
        assert self.inserted > 10
        assert not self.waits


@pytest.fixture(autouse=True)
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait for the last attempt. A further lock is waited for half as long as else, so that on a busy
    machine too it is far from how long a first one is."""
    for patient in (locks.yield_and_retry, install_forward):
        monkeypatch.setitem(patient.__kwdefaults__ or {}, "attempts", 4)
    monkeypatch.setattr(locks, "READ_ATTEMPTS", 3)
    monkeypatch.setattr(locks, "PATIENCE_MS", 100)


def named(caught: pytest.ExceptionInfo[HyperferryError], pid: int) -> None:
    """The error is one for people, with exit code 1, and says who it was."""
    assert isinstance(caught.value, LockUnavailable | NotSettled)
    assert f"pid {pid} " in str(caught.value), str(caught.value)
    assert caught.value.exit_code == 1
    assert caught.value.remedy


# Somebody writes, and does not commit: what we ask for at full strength is not to be had.


def test_capture_is_not_begun_over_a_writer_who_does_not_end(job: Make) -> None:
    made: Job = job(SMALL)
    assert made.plan
    with made.application() as app, Watch(made) as watch:
        app.execute("INSERT INTO t (at) VALUES ('2024-02-02')")
        with pytest.raises(HyperferryError) as caught:
            made.start()
        named(caught, app.info.backend_pid)
    watch.fine()
    made.start()
    made.assert_equal()


@pytest.mark.parametrize("way", ["cutover", "rollback", "finish", "abort"])
def test_no_step_waits_long_over_a_writer_who_does_not_end(ready: Ready, way: str) -> None:
    job = ready(CHILD)
    if way in ("rollback", "finish"):
        job.cutover()
    options = {"attempts": 8} if way in ("cutover", "rollback") else {}
    with job.application() as app, Watch(job) as watch:
        app.execute("INSERT INTO t (at) VALUES ('2024-02-02')")
        with pytest.raises(HyperferryError) as caught:
            getattr(job, way)(**options)
        named(caught, app.info.backend_pid)
    watch.fine()
    getattr(job, way)()


def test_readers_of_old_are_named_when_finish_would_drop_it(ready: Ready) -> None:
    """Somebody still reads the old table: the hypertable's writers feel nothing of it."""
    job = ready()
    job.cutover()
    with job.application() as app, Watch(job) as watch:
        app.execute("SELECT count(*) FROM hyperferry_old_1.t")
        with pytest.raises(HyperferryError) as caught:
            job.finish()
        named(caught, app.info.backend_pid)
    watch.fine()
    job.finish()


# Somebody rewrites the table (VACUUM FULL, say): not even reading is to be had.


@contextmanager
def rewritten(job: Job) -> Any:
    """A session that holds ACCESS EXCLUSIVE on the table."""
    with job.application() as app:
        app.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        yield app.info.backend_pid


def test_reading_a_table_that_is_rewritten_names_who_does_it(job: Make) -> None:
    made: Job = job(SMALL)
    for work in (lambda: made.plan, lambda: engine.preflight(made.dsn, "t", "at", options=made.options)):
        with rewritten(made) as pid:
            with pytest.raises(HyperferryError) as caught:
                work()
            named(caught, pid)
    assert made.plan
    with rewritten(made) as pid:
        with pytest.raises(HyperferryError) as caught:
            made.start()
        named(caught, pid)
    made.capture()
    with rewritten(made) as pid:
        with pytest.raises(HyperferryError) as caught:
            made.cut()
        named(caught, pid)
    made.start()
    made.assert_equal()


@pytest.mark.parametrize("after", ["synced", "cut_over"])
def test_every_command_names_who_rewrites_the_table(ready: Ready, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperferry.apply import applier

    monkeypatch.setattr(applier, "ATTEMPTS", 2)
    job = ready()
    commands: list[Callable[[], Any]] = [lambda: job.cutover(attempts=2), job.abort, job.verify]
    if after == "cut_over":
        job.cutover()
        commands = [lambda: job.rollback(attempts=2), job.finish, job.verify]
    insert(job)
    commands.append(job.sync)
    for command in commands:
        with rewritten(job) as pid:
            with pytest.raises(HyperferryError) as caught:
                command()
            named(caught, pid)
    same_after_sync(job)


def test_a_dropped_chunk_is_not_waited_for_by_what_reads_the_hypertable(ready: Ready) -> None:
    """After the cutover the chunks are the application's: a reader of ours that meets a locked one gives way at once."""
    job = ready()
    job.cutover()
    insert(job)
    chunk = job.value("SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks ORDER BY range_start DESC LIMIT 1")
    with job.application() as app:
        app.execute(f"LOCK TABLE {chunk} IN ACCESS EXCLUSIVE MODE")
        syncing = aside(job.sync)
        with job.application() as other:
            began = time.monotonic()
            other.execute("LOCK TABLE ONLY t IN ACCESS EXCLUSIVE MODE")  # what a migration would ask for
            assert time.monotonic() - began < 10
        time.sleep(1)
    outcome(syncing)
    job.assert_equal()


# Validation of foreign keys, after the swap.


def test_a_parent_that_is_locked_does_not_have_the_validation_wait_over_the_table(ready: Ready) -> None:
    job = ready(CHILD)
    job.cutover()
    job.run("ALTER TABLE t DROP CONSTRAINT t_n_fkey")
    job.run("ALTER TABLE t ADD CONSTRAINT t_n_fkey FOREIGN KEY (n) REFERENCES parent ON DELETE CASCADE NOT VALID")
    job.run("DELETE FROM hyperferry.event WHERE kind = 'fingerprint'")
    with job.application() as app, Watch(job) as watch:
        app.execute("LOCK TABLE parent IN EXCLUSIVE MODE")
        with pytest.raises(HyperferryError) as caught:
            job.cutover()
        named(caught, app.info.backend_pid)
    assert not watch.waits  # the writer, too, waits for the parent
    job.cutover()
    assert job.value("SELECT bool_and(convalidated) FROM pg_constraint WHERE conname = 't_n_fkey'")
