"""Interrupted at any moment, the work is kept, and the same call goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from job import HOURS, Job, Make, aside, eventually

from hyperferry import engine
from hyperferry.copy import statistics
from hyperferry.db.connection import Connection
from hyperferry.errors import Conflict, HyperferryError, Interrupted
from hyperferry.ledger.flow import Flow
from hyperferry.model.plan_options import PlanOptions

TENS = PlanOptions(chunk_interval="365 days", batch_rows=10, workers=2)
"""Cuts HOURS into thirty batches."""


@pytest.fixture
def halfway(captured: Make) -> Job:
    """Ten of thirty batches are copied; changes wait in the log."""
    job = captured(HOURS, options=TENS)
    for _ in range(10):
        job.copy_next()
    job.run("UPDATE {table} SET v = 'changed' WHERE id % 9 = 0")
    job.run("DELETE FROM {table} WHERE id % 10 = 5")
    return job


@contextmanager
def parked_in_an_insert(job: Job) -> Iterator[Callable[[], None]]:
    """Whoever copies row 151 waits in the middle of its INSERT, again and again, until the block ends or lets it go."""
    with job.db.connect(autocommit=False) as parker:
        job.on(parker, "INSERT INTO {shadow} SELECT * FROM {table} WHERE id = 151")
        yield parker.rollback
        parker.rollback()


def done(job: Job) -> int:
    """Batches that are copied."""
    return int(job.value("SELECT count(*) FROM {batch} WHERE state = 'done'"))


def ours(job: Job, purpose: str) -> list[int]:
    """The backends of our sessions of this purpose."""
    return [
        row[0]
        for row in job.db.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s AND datname = current_database()",
            f"hyperferry {purpose}",
        )
    ]


def finishes(job: Job) -> None:
    """The same command goes on to its end."""
    assert job.start().phase == "synced"
    job.sync()
    assert job.value("SELECT count(*) FROM {batch} WHERE state <> 'done'") == 0
    job.assert_equal()


def test_stop_ends_a_start_in_the_middle_of_an_insert_and_keeps_the_work(halfway: Job) -> None:
    stop = threading.Event()
    with parked_in_an_insert(halfway):
        running = aside(lambda: halfway.start(stop=stop))
        halfway.until_we_wait_for_a_row()
        stop.set()
        with pytest.raises(Interrupted) as caught:
            running.result(60)
    assert caught.value.exit_code == 4
    assert halfway.phase() == "copying"
    assert 10 <= done(halfway) < 30
    eventually("our workers are gone", lambda: not ours(halfway, "copy%") and not ours(halfway, "apply%"))
    finishes(halfway)


def test_stop_ends_a_statement_that_takes_long(captured: Make) -> None:
    """A check makes the copiers' INSERT take a minute: the server is told to end it."""
    job = captured(
        "CREATE FUNCTION slow() RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
        "IF pg_catalog.current_setting('application_name') LIKE 'hyperferry copy%' THEN PERFORM pg_catalog.pg_sleep(60); END IF; "
        "RETURN true; END $$;" + HOURS + "ALTER TABLE t ADD CHECK (slow() AND id > 0)",
        options=TENS,
    )
    stop = threading.Event()
    running = aside(lambda: job.start(stop=stop))
    asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    eventually("a copier is in its INSERT", lambda: job.db.execute(asleep))
    stop.set()
    with pytest.raises(Interrupted):
        running.result(60)
    eventually("the statement has ended", lambda: not job.db.execute(asleep))
    assert done(job) == 0
    job.db.execute(
        "CREATE OR REPLACE FUNCTION slow() RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true'"
    )
    finishes(job)


@pytest.mark.parametrize("after", range(6))
def test_stop_at_each_message_of_a_start(job: Make, after: int) -> None:
    """Wherever the stop comes, the next call ends with the table synced."""
    made, stop, heard = job(HOURS, options=TENS), threading.Event(), 0

    def say(text: str) -> None:
        nonlocal heard
        heard += 1
        if heard > after:
            stop.set()

    try:
        made.start(stop=stop, say=say)
    except Interrupted:
        made.run("UPDATE {table} SET at = at + interval '3 days', v = 'between' WHERE id % 4 = 1")
    finishes(made)


def test_a_stop_that_was_set_before_it_began_does_nothing(job: Make) -> None:
    made, stop = job(HOURS, options=TENS), threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        made.start(stop=stop)
    assert made.phase() == "planned"
    finishes(made)


class Program:
    """`python -m hyperferry` in a process of its own."""

    def __init__(self, job: Job, folder: Path, *arguments: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "DATABASE_URL"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hyperferry", *arguments, job.table.quoted],
            env={**environment, "DATABASE_URL": job.dsn},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said."""
        said = self.process.communicate(timeout=120)
        return self.process.returncode, said[1]


def test_kill_9_in_the_middle_of_copying(halfway: Job, tmp_path: Path) -> None:
    with parked_in_an_insert(halfway):
        program = Program(halfway, tmp_path, "start")
        halfway.until_we_wait_for_a_row()
        program.process.send_signal(signal.SIGKILL)
        program.end()
        halfway.run("UPDATE {table} SET v = 'while it was dead' WHERE id BETWEEN 140 AND 160")
        halfway.run("DELETE FROM {table} WHERE id = 151")
    assert done(halfway) < 30
    eventually("the server noticed", lambda: not ours(halfway, "start"))
    code, said = Program(halfway, tmp_path, "start").end()
    assert code == 0, said
    assert halfway.phase() == "synced"
    halfway.sync()
    halfway.assert_equal()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.peer(number=18)
def test_ctrl_c_ends_with_exit_code_4(halfway: Job, tmp_path: Path, sign: signal.Signals) -> None:
    with parked_in_an_insert(halfway):
        program = Program(halfway, tmp_path, "start")
        halfway.until_we_wait_for_a_row()
        program.process.send_signal(sign)
        code, said = program.end()
    assert code == 4, said
    assert "Traceback" not in said
    assert halfway.phase() == "copying"
    finishes(halfway)


@pytest.mark.peer(number=3)
def test_workers_whose_backends_are_ended_connect_again(halfway: Job) -> None:
    """A broken connection is never taken for the end of the copy (peers: gh-ost#444)."""
    with parked_in_an_insert(halfway) as let_go:
        running = aside(halfway.start)
        halfway.until_we_wait_for_a_row()
        before: list[int] = eventually(
            "the others are there too",
            lambda: len(p := ours(halfway, "copy%") + ours(halfway, "apply")) >= 2 and p,
        )
        for pid in before:
            halfway.db.execute("SELECT pg_terminate_backend(%s, 60000)", pid)
        halfway.until_we_wait_for_a_row()
        assert not set(before) & {*ours(halfway, "copy%"), *ours(halfway, "apply")}
        assert halfway.phase() == "copying"
        let_go()
        assert running.result(60).phase == "synced"
    assert any("connection was lost" in text for text in halfway.said)
    halfway.assert_equal()


def test_a_start_whose_own_session_is_ended_fails_and_can_be_run_again(halfway: Job) -> None:
    with parked_in_an_insert(halfway):
        running = aside(halfway.start)
        halfway.until_we_wait_for_a_row()
        for pid in ours(halfway, "start"):
            halfway.db.execute("SELECT pg_terminate_backend(%s, 60000)", pid)
        with pytest.raises(Exception, match=r"(?i)terminat|connection|lost"):
            running.result(60)
    assert halfway.phase() == "copying"
    eventually("its workers are gone", lambda: not ours(halfway, "copy%"))
    finishes(halfway)


def test_pause_and_resume_from_elsewhere(halfway: Job) -> None:
    report = engine.pause(halfway.dsn, halfway.table.quoted)
    assert report.throttled_by == "paused"
    running = aside(halfway.start)
    eventually("it says so", lambda: any("paused" in text for text in halfway.said))
    copied = done(halfway)
    report = eventually("its worker shows", lambda: (found := halfway.status()).worker and found)
    assert (report.phase, report.throttled_by) == ("copying", "paused")
    assert "hyperferry start" in report.worker
    halfway.run("UPDATE {table} SET v = 'while paused' WHERE id < 30")
    eventually("all our sessions are idle", lambda: halfway.value(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^hyperferry (copy|apply)' AND datname = current_database() "
        "AND (state <> 'idle' OR clock_timestamp() - state_change < '0.3 s')") == 0)  # fmt: skip
    assert done(halfway) - copied <= 2, "at most the batches in hand"
    assert not running.done()

    assert engine.resume(halfway.dsn, halfway.table.quoted).throttled_by is None
    assert running.result(60).phase == "synced"
    halfway.sync()
    halfway.assert_equal()


def test_a_second_start_is_refused_and_names_the_first(halfway: Job) -> None:
    with parked_in_an_insert(halfway) as let_go:
        running = aside(halfway.start)
        halfway.until_we_wait_for_a_row()
        (pid,) = ours(halfway, "start")
        for command in (halfway.start, halfway.abort):
            with pytest.raises(Conflict) as caught:
                command()
            assert f"pid {pid}" in str(caught.value)
            assert caught.value.exit_code == 1
        assert halfway.phase() == "copying"
        let_go()
        assert running.result(60).phase == "synced"
    halfway.assert_equal()


def test_a_second_start_whose_manners_fail_does_no_harm(
    halfway: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Safety does not rest on the advisory lock: two starts at once leave both sides equal."""
    monkeypatch.setattr(engine, "_working", lambda conn, rollout: _nothing())
    both = [aside(halfway.start), aside(halfway.start)]
    halfway.run("UPDATE {table} SET at = at + interval '2 days' WHERE id % 6 = 0")
    for one in both:
        with suppress(HyperferryError):
            one.result(120)
    monkeypatch.undo()
    finishes(halfway)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def test_statistics_are_gathered_again_where_they_lose_a_deadlock(
    halfway: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another that takes the shadow's locks the other way round: a second starter, a person who looks after the shadow."""
    before, held, calls = threading.Event(), threading.Event(), []
    gather = statistics.analyze

    def analyze(conn: Connection, flow: Flow) -> None:
        calls.append(1)
        before.set()
        assert held.wait(60)
        # So long after it began to wait it looks for a deadlock, once: by then the other one has to wait for it.
        conn.execute("SET deadlock_timeout = '5s'")
        gather(conn, flow)

    monkeypatch.setattr(statistics, "analyze_whole", lambda *_: False)  # which leaves it to one statement
    monkeypatch.setattr(statistics, "analyze", analyze)
    with halfway.db.connect(autocommit=False) as other:
        running = aside(halfway.start)
        assert before.wait(60)
        chunk = halfway.value("SELECT tableoid::regclass::text FROM {shadow} LIMIT 1")
        other.execute("SET deadlock_timeout = '60s'")
        halfway.on(other, "LOCK TABLE ONLY {shadow} IN SHARE UPDATE EXCLUSIVE MODE")
        held.set()
        eventually("the statistics wait", lambda: waits(halfway, "ANALYZE %"))
        other.execute(f"LOCK TABLE ONLY {chunk} IN SHARE UPDATE EXCLUSIVE MODE")
        other.commit()
    assert running.result(60).phase == "synced"
    assert len(calls) == 2
    halfway.assert_equal()


def waits(job: Job, statement: str) -> bool:
    """Whether a session waits for a lock in a statement like this."""
    return bool(
        job.db.execute(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE %s",
            statement,
        )
    )
