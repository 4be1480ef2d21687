"""A cutover that waits in sync for its time or for a word, and one that gives up in time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from job import Job, aside, eventually
from swap_support import (  # noqa: F401
    Ready,
    insert,
    outcome,
    ready_fixture,
    refused,
    same_after_sync,
    templates_fixture,
)

from hyperferry import engine, waiting
from hyperferry.db.connection import Connection
from hyperferry.errors import Conflict, ConnectionFailed, Interrupted, NotInTime, OutOfTime, Refused
from hyperferry.ledger import store
from hyperferry.model.rollout import Control, Phase
from hyperferry.waiting import Appointment, Presence

POSTPONED = Appointment(None)


def waits(job: Job, **options: Any) -> Future[Any]:
    """A postponed cutover in another thread, waiting by the time this returns."""
    options.setdefault("appointment", POSTPONED)
    future = aside(lambda: job.cutover(**options))
    eventually("it waits", lambda: job.status().waiting_for or (future.done() and future.result()))
    return future


def test_a_postponed_cutover_keeps_in_sync_until_it_is_told(ready: Ready) -> None:
    job = ready()
    with pytest.raises(Refused, match="No cutover of"):
        engine.cutover_now(job.dsn, "t")
    future = waits(job)
    assert job.status().waiting_for == "`hyperferry cutover public.t --now`"
    for _ in range(3):
        insert(job)
        eventually("the write is applied", lambda: job.backlog() == 0)
    with pytest.raises(Conflict):
        job.cutover()
    assert job.phase() == "synced"
    engine.cutover_now(job.dsn, "t")
    assert outcome(future).phase is Phase.CUT_OVER
    assert job.status().waiting_for is None
    with pytest.raises(Refused, match="is waiting"):
        engine.cutover_now(job.dsn, "t")
    same_after_sync(job)


def test_a_cutover_at_a_time_is_not_before_it(ready: Ready) -> None:
    job = ready()
    at = datetime.now(UTC) + timedelta(seconds=6)
    future = aside(lambda: job.cutover(appointment=Appointment(at)))
    said = eventually("it waits, and says for what", lambda: job.status().waiting_for or future.done())
    assert str(at.year) in str(said)
    assert outcome(future).phase is Phase.CUT_OVER
    assert datetime.now(UTC) >= at


def test_a_word_lets_one_go_that_waits_for_a_time(ready: Ready) -> None:
    job = ready()
    future = waits(job, appointment=Appointment(datetime.now(UTC) + timedelta(hours=5)))
    engine.cutover_now(job.dsn, "t")
    assert outcome(future).phase is Phase.CUT_OVER


def test_a_pause_holds_it_back_and_ctrl_c_ends_it(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ready()
    stop = threading.Event()
    looks: list[Control] = []
    control = store.control

    def looked(conn: Connection, rollout: int) -> Control:
        found = control(conn, rollout)
        if conn.info.parameter_status("application_name") == "hyperferry cutover":
            looks.append(found)
        return found

    monkeypatch.setattr(store, "control", looked)
    future = waits(job, stop=stop)
    engine.pause(job.dsn, "t")
    eventually("it knows of the pause", lambda: looks[-1:] == [Control.PAUSE] or future.done())
    insert(job)
    engine.cutover_now(job.dsn, "t")
    before = len(looks)
    eventually("it looked again, and again", lambda: len(looks) > before + 2 or future.done())
    assert not future.done()
    assert job.backlog() > 0
    assert job.phase() == "synced"
    stop.set()
    with pytest.raises(Interrupted) as caught:
        outcome(future)
    assert caught.value.exit_code == 4
    assert job.status().waiting_for is None
    engine.resume(job.dsn, "t")
    future = waits(job)
    engine.pause(job.dsn, "t")
    engine.cutover_now(job.dsn, "t")
    engine.resume(job.dsn, "t")
    assert outcome(future).phase is Phase.CUT_OVER


def test_what_is_repaired_while_it_waits_is_verified_again(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """I5: a repair makes the verification count no more, and the swap does not come without another."""
    monkeypatch.setattr(waiting, "PROOF_SECONDS", 1000.0)
    job = ready()
    future = waits(job)
    before = job.value("SELECT count(*) FROM hyperferry.verification")
    job.run("UPDATE {shadow} SET v = v + 1 WHERE id = 7")
    assert job.verify(repair=True).repaired
    verified = job.value("SELECT count(*) FROM hyperferry.verification")
    job.run("UPDATE hyperferry.rollout SET epoch = epoch + 1")
    monkeypatch.setattr(waiting, "PROOF_SECONDS", 0.2)
    eventually("verified anew", lambda: job.value("SELECT count(*) FROM hyperferry.verification") > verified > before)
    engine.cutover_now(job.dsn, "t")
    assert outcome(future).phase is Phase.CUT_OVER
    same_after_sync(job)


def test_a_table_that_changes_meanwhile_is_said_before_the_time_comes(ready: Ready) -> None:
    job = ready()
    future = waits(job)
    job.run("ALTER TABLE t ADD COLUMN more int")
    with pytest.raises(Refused, match="columns"):
        outcome(future)
    assert job.phase() == "synced"


def test_a_lost_connection_does_not_end_the_wait(ready: Ready) -> None:
    job = ready()
    future = waits(job)
    # Waits for the session's end: until then it would be taken for the one that waits again.
    ended = job.run(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'hyperferry cutover' "
        "AND datname = current_database()"
    )
    assert ended == [(True,)]
    eventually("it waits again", lambda: job.status().waiting_for or future.done())
    assert not future.done()
    engine.cutover_now(job.dsn, "t")
    assert outcome(future).phase is Phase.CUT_OVER


def told_and_lost(job: Job, monkeypatch: pytest.MonkeyPatch, *, paused: bool = False) -> Future[Any]:
    """A postponed cutover whose connection is lost after `cutover --now` was told that it goes: the server had not noticed yet."""
    lost = job.session("lost")
    keep = waiting.keep

    def dies(*args: Any, again: bool, presence: Presence, **options: Any) -> None:
        if not again:
            store.event(lost, job.rollout.id, "waiting", {"for": "a word", "pid": lost.info.backend_pid})
            store.event(lost, job.rollout.id, "go")
            if paused:
                engine.pause(job.dsn, "t")
            presence.until = time.time()
            raise psycopg.OperationalError("the connection was lost")
        keep(*args, again=again, presence=presence, **options)

    monkeypatch.setattr("hyperferry.engine.keep", dies)
    return aside(lambda: job.cutover(appointment=POSTPONED))


def test_a_word_that_came_while_its_connection_was_lost_counts(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(told_and_lost(ready(), monkeypatch)).phase is Phase.CUT_OVER


def test_a_pause_holds_it_back_after_a_lost_connection_too(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ready()
    future = told_and_lost(job, monkeypatch, paused=True)
    time.sleep(3)
    assert not future.done()
    assert job.phase() == "synced"
    engine.resume(job.dsn, "t")
    assert outcome(future).phase is Phase.CUT_OVER


def test_what_stands_in_the_way_for_a_moment_does_not_end_the_wait(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's temporary view, hours before the moment; one that stays does end it."""
    monkeypatch.setattr(waiting, "PROOF_SECONDS", 2.0)
    job = ready()
    future = waits(job)
    eventually("it looked once", lambda: job.value("SELECT count(*) FROM hyperferry.verification") or future.done())
    time.sleep(2.5)
    with job.application() as session:
        session.execute("CREATE TEMP VIEW near AS SELECT id FROM t")
        session.commit()
        eventually("it saw the view", lambda: any("at the next look" in line for line in job.said) or future.done())
        session.execute("DROP VIEW near")
        session.commit()
        time.sleep(5)
        assert not future.done()
        assert job.status().waiting_for
        session.execute("CREATE TEMP VIEW near AS SELECT id FROM t")
        session.commit()
        with pytest.raises(Refused, match=r"pg_temp_\d+\.near"):
            outcome(future)
    assert job.phase() == "synced"


def test_a_word_for_one_that_died_is_not_for_the_next(ready: Ready) -> None:
    job = ready()
    store.event(job.conn, job.rollout.id, "waiting", {"for": "a word", "pid": 1})
    store.event(job.conn, job.rollout.id, "go")
    future = waits(job)
    time.sleep(1)
    assert not future.done()
    engine.cutover_now(job.dsn, "t")
    assert outcome(future).phase is Phase.CUT_OVER


def test_somebody_who_rewrites_the_table_does_not_end_the_wait(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperferry.db.locks.READ_ATTEMPTS", 1)
    monkeypatch.setattr(waiting, "PROOF_SECONDS", 0.2)
    job = ready()
    future = waits(job)
    with job.application() as rewrites:
        rewrites.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        eventually("it gave way", lambda: any("tried again" in line for line in job.said) or future.done())
        assert not future.done()
    engine.cutover_now(job.dsn, "t")
    assert outcome(future).phase is Phase.CUT_OVER


@pytest.mark.parametrize("how", ["paused", "connection lost"])
def test_a_moment_that_came_while_nobody_was_there_is_over_some_time(ready: Ready, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Whoever chose the night did not choose the morning."""
    monkeypatch.setattr(waiting, "LATE_SECONDS", 1.0)
    job = ready()
    at = datetime.now(UTC) + timedelta(seconds=8)
    future = waits(job, appointment=Appointment(at))
    if how == "paused":
        engine.pause(job.dsn, "t")
        time.sleep(11)
        assert not future.done()
        engine.resume(job.dsn, "t")
    else:
        monkeypatch.setattr(engine.db, "connect", no_way(engine.db.connect, until=at.timestamp() + 3))
        ended = (
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'hyperferry cutover' "
            "AND datname = current_database()"
        )
        job.db.execute(ended)
    with pytest.raises(Refused, match="was over while it was paused or its connection was lost"):
        outcome(future)
    assert job.phase() == "synced"
    assert job.value("SELECT detail ->> 'why' FROM hyperferry.event WHERE kind = 'waited' ORDER BY id DESC LIMIT 1") == "missed"


def no_way(connect: Any, until: float) -> Any:
    """Connections are refused until then."""

    def refused(*args: Any, **options: Any) -> Any:
        if time.time() < until:
            raise ConnectionFailed("Cannot connect.")
        return connect(*args, **options)

    return refused


def test_a_verification_that_runs_over_the_moment_misses_nothing(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LATE_SECONDS", 0.5)
    job = ready()
    job.run("UPDATE hyperferry.rollout SET epoch = epoch + 1")
    at = datetime.now(UTC) + timedelta(seconds=5)
    real = engine.prove

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(max(0.0, at.timestamp() + 3 - time.time()))
        return real(*args, **options)

    monkeypatch.setattr(engine, "prove", slowly)
    assert outcome(aside(lambda: job.cutover(appointment=Appointment(at)))).phase is Phase.CUT_OVER
    assert datetime.now(UTC) > at + timedelta(seconds=2)


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_max_wait_gives_up_and_names_who_was_in_the_way(ready: Ready, way: str) -> None:
    job = ready()
    if way == "rollback":
        job.cutover()
    with job.application() as app:
        app.execute("SELECT FROM t LIMIT 1")
        began = time.monotonic()
        with refused(job, NotInTime, "until --max-wait was over"):
            getattr(job, way)(max_wait=2.0)
        assert time.monotonic() - began < 30
        with pytest.raises(NotInTime) as caught:
            getattr(job, way)(max_wait=2.0)
        assert caught.value.exit_code == 1, "as where --attempts were exhausted"
        assert f"pid {app.info.backend_pid} " in str(caught.value)
        insert(job)
    getattr(job, way)(max_wait=60.0)
    same_after_sync(job)


def test_a_time_that_is_over_before_the_first_attempt(ready: Ready) -> None:
    job = ready()
    with pytest.raises(OutOfTime) as caught:
        job.cutover(max_wait=0.0)
    assert caught.value.exit_code == 4
    assert job.phase() == "synced"
