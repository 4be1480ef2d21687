"""A client that dies between two steps of a swap, a claim or an ending: the next command goes on, and nothing is done twice or by two."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
import pytest
from job import Job, aside, eventually
from swap_support import (
    CHILD,
    SMALL,
    Proxy,
    Ready,
    cutover_of,
    insert,
    outcome,
    ready_fixture,  # noqa: F401
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry import claim, closing, engine, gates, swapping
from hyperferry.cli.render.status import status_lines
from hyperferry.cutover import runner, validate
from hyperferry.db import execute, yield_and_retry
from hyperferry.db.connection import Connection
from hyperferry.errors import ConnectionFailed, Failed, NotSettled, Refused, SchemaChanged
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase, Rollout
from hyperferry.strategies import ending
from hyperferry.waiting import Appointment

pytestmark = pytest.mark.usefixtures("full_time")

VALIDATED = "SELECT bool_and(convalidated) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'f'"
KILL = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
)


def slow_validation(monkeypatch: pytest.MonkeyPatch, seconds: int) -> list[Connection]:
    """The VALIDATE takes so long; the list has the connection that does it once it does."""
    at_it: list[Connection] = []

    def slowly(conn: Connection, statement: Any, params: Any = None) -> Any:
        if not isinstance(statement, str) and "VALIDATE" in statement.as_string(None):
            at_it.append(conn)
            execute(conn, f"SELECT pg_sleep({seconds})")
        return execute(conn, statement, params)

    monkeypatch.setattr(validate, "execute", slowly)
    return at_it


def died_behind(job: Job, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The swap is committed, and its client dies before the keys are validated."""

    def died(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(swapping, "validate_foreign_keys", died)
        with pytest.raises(KeyboardInterrupt):
            getattr(job, way)()


def sleeps(job: Job) -> bool:
    return bool(
        job.value("SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep' AND datname = current_database()")
    )


# The claim of a client that is gone.


def test_a_client_that_is_gone_while_keys_are_validated_keeps_no_claim(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ready(CHILD)
    with monkeypatch.context() as patch:
        at_it = slow_validation(patch, 60)
        cutover = aside(job.cutover)
        eventually("it validates", lambda: sleeps(job) or cutover.done())
        with socket.socket(fileno=os.dup(at_it[0].fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
        with pytest.raises(NotSettled):
            outcome(cutover)
    eventually("its session is gone", lambda: not sleeps(job), seconds=8)
    assert job.rollback().phase is Phase.ROLLED_BACK
    same_after_sync(job)


def test_kill_9_while_a_key_is_validated_keeps_no_claim(ready: Ready) -> None:
    """On the server it would go on for as long as VALIDATE takes, which reads every row."""
    job = ready(CHILD)
    program = (
        "import sys; from hyperferry import engine; from hyperferry.cutover import validate; from hyperferry.db import execute\n"
        "def slowly(conn, statement, params=None):\n"
        "    if not isinstance(statement, str) and 'VALIDATE' in statement.as_string(None):\n"
        "        execute(conn, 'SELECT pg_sleep(60)')\n"
        "    return execute(conn, statement, params)\n"
        "validate.execute = slowly\n"
        "engine.cutover(sys.argv[1], 't', accept=frozenset({'all'}))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, job.db.dsn]) as process:
        eventually("it validates", lambda: sleeps(job) or process.poll() is not None)
        os.kill(process.pid, signal.SIGKILL)
    eventually("its session is gone", lambda: not sleeps(job), seconds=8)
    assert job.rollback().phase is Phase.ROLLED_BACK


def test_ctrl_c_ends_a_validation(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads every row: to ask between two keys whether to stop is not enough."""
    job = ready(CHILD)
    stop = threading.Event()
    with monkeypatch.context() as patch:
        slow_validation(patch, 30)
        cutover = aside(lambda: job.cutover(stop=stop))
        eventually("it validates", lambda: sleeps(job) or cutover.done())
        began = time.monotonic()
        stop.set()
        with pytest.raises(NotSettled) as caught:
            outcome(cutover)
        assert time.monotonic() - began < 15
    assert caught.value.exit_code == 4
    assert not sleeps(job)
    assert job.cutover().attempts == 0
    assert job.value(VALIDATED) is True


def test_a_claim_that_went_with_its_session_hides_no_error(ready: Ready) -> None:
    job = ready()

    def work() -> None:
        with claim.working(job.conn, job.rollout):
            job.db.execute("SELECT pg_terminate_backend(%s, 10000)", job.conn.info.backend_pid)
            raise Refused("the real one")

    with pytest.raises(Refused, match="the real one"):
        work()


# What comes after the commit.


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_a_swap_does_not_wait_for_keys_that_it_drops(ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Somebody who needs the other table back does not wait until every row was looked at."""
    job = ready(CHILD)
    if way == "cutover":
        job.cutover()
    died_behind(job, monkeypatch, "rollback" if way == "cutover" else "cutover")
    phases = []

    def noted(*args: Any, **options: Any) -> None:
        phases.append(job.phase())
        validate.validate_foreign_keys(*args, **options)

    monkeypatch.setattr(swapping, "validate_foreign_keys", noted)
    getattr(job, way)()
    assert phases == ["cut_over" if way == "cutover" else "rolled_back"]
    assert job.value(VALIDATED) is True
    assert not job.status().unsettled


def test_max_wait_is_for_the_swap_and_not_for_what_comes_after(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ready(CHILD)
    job.cutover()
    died_behind(job, monkeypatch, "rollback")
    assert job.rollback(max_wait=0.0).attempts == 0
    assert job.value(VALIDATED) is True


def test_status_tells_that_the_last_step_is_missing(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ready(CHILD)
    for way in ("cutover", "rollback"):
        died_behind(job, monkeypatch, way)
        assert job.status().unsettled
        (line,) = [line for line in status_lines(job.status()) if line.mark == "not done"]
        assert f"hyperferry {way} public.t" in line.text
        getattr(job, way)()
        assert not job.status().unsettled
        assert "not done" not in [line.mark for line in status_lines(job.status())]


def test_what_others_add_while_keys_are_validated_is_no_step_that_is_missing(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next swap tells it; the same command again could do nothing about it."""
    job = ready(CHILD)
    real = validate.validate_foreign_keys

    def meanwhile(*args: Any, **options: Any) -> None:
        real(*args, **options)
        job.db.execute("CREATE VIEW w AS SELECT count(*) AS n FROM t")

    with monkeypatch.context() as patch:
        patch.setattr(swapping, "validate_foreign_keys", meanwhile)
        job.cutover()
    assert not job.status().unsettled
    with pytest.raises(SchemaChanged, match=r"dependent public\.w is new"):
        job.rollback()
    job.db.execute("DROP VIEW w")
    assert job.rollback().phase is Phase.ROLLED_BACK


VARCHAR = SMALL.replace("note text", "note varchar(20)") + "CREATE VIEW few AS SELECT id FROM t WHERE note IN ('a', 'b');"


def test_after_a_rollback_that_was_killed_a_cutover_may_wait(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL writes such a view a little otherwise each time: nobody changed it."""
    job = ready(VARCHAR)
    job.cutover()
    job.rollback()
    job.run("DELETE FROM hyperferry.event WHERE kind = 'fingerprint' AND id > (SELECT max(id) FROM hyperferry.event WHERE kind = 'swap')")
    assert job.status().unsettled
    preview = engine.cutover_dry_run(job.dsn, "t", accept=frozenset({"all"}))
    assert preview.refusals == ()
    job.db.execute("CREATE VIEW w AS SELECT count(*) AS n FROM t")
    assert "dependent public.w is new" in str(engine.cutover_dry_run(job.dsn, "t", accept=frozenset({"all"})).refusals)
    job.db.execute("DROP VIEW w")
    future = aside(lambda: job.cutover(appointment=Appointment(None)))
    eventually("it waits", lambda: job.status().waiting_for or (future.done() and future.result()))
    engine.cutover_now(job.dsn, "t")
    assert outcome(future).phase is Phase.CUT_OVER
    same_after_sync(job)


# Endings beside a swap.


@contextmanager
def without_claims() -> Iterator[None]:
    """As where the session that claimed the rollout is gone, and its command is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_working", lambda *_: nullcontext())
        yield


def goes_on(job: Job) -> None:
    """Nothing was taken away that the way back, or another cutover, needs."""
    insert(job)
    assert job.rollback().phase is Phase.ROLLED_BACK
    insert(job)
    assert job.cutover().phase is Phase.CUT_OVER
    insert(job)
    same_after_sync(job)


def test_an_abort_does_not_begin_when_a_cutover_has_swapped(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may wait for the table's lock when a swap that lost its claim commits."""
    job = ready()
    release = ending._release

    def meanwhile(*args: Any) -> None:
        with without_claims():
            job.cutover()
        release(*args)

    with monkeypatch.context() as patch:
        patch.setattr(ending, "_release", meanwhile)
        with pytest.raises(Refused, match="in another phase by now"):
            job.abort()
    goes_on(job)


@pytest.mark.parametrize(("end", "match"), [("abort", "is cut over"), ("finish", "cannot be finished")])
def test_an_ending_looks_again_once_the_rollout_is_its_own(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, end: str, match: str
) -> None:
    """Whoever claimed it until then may have swapped."""
    job = ready()
    if end == "finish":
        job.cutover()
    working = closing.working

    def later(conn: Connection, rollout: Rollout) -> Any:
        (job.cutover if end == "abort" else job.rollback)()
        return working(conn, rollout)

    with monkeypatch.context() as patch:
        patch.setattr(closing, "working", later)
        with pytest.raises(Refused, match=match):
            getattr(job, end)()
    if end == "finish":
        job.cutover()
    goes_on(job)


def test_a_swap_whose_claim_is_lost_is_not_tried_again(ready: Ready) -> None:
    job = ready()
    with job.application() as app:
        app.execute("SELECT FROM t LIMIT 1")
        cutover = aside(job.cutover)
        eventually("it gave way", lambda: any("gave way" in line for line in job.said) or cutover.done())
        job.db.execute(KILL, "hyperferry cutover")
        with pytest.raises(ConnectionFailed, match="claims the rollout"):
            outcome(cutover)
    assert job.phase() == "synced"
    assert job.cutover().phase is Phase.CUT_OVER


def test_what_is_found_under_the_locks_voids_the_proof_without_the_claims_session(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ready()
    once = runner._try_once

    def meanwhile(*args: Any) -> Any:
        job.db.execute(KILL, "hyperferry cutover")
        job.db.execute("CREATE TABLE t_child () INHERITS (t); INSERT INTO t_child (at, n) VALUES ('2024-01-15', 1)")
        return once(*args)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "_try_once", meanwhile)
        with pytest.raises(SchemaChanged):
            job.cutover()
    job.db.execute("DROP TABLE t_child")
    assert gates.valid_verification(job.conn, job.rollout) is None
    assert job.cutover().phase is Phase.CUT_OVER


def test_a_commit_whose_answer_was_lost_is_asked_for_although_the_pools_guard_is_gone(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pools:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> Pools:
            return self

        def __exit__(self, *_: object) -> None: ...

        @contextmanager
        def paused(self) -> Iterator[None]:
            try:
                yield
            finally:
                raise Failed("The guard is gone.")

    job = ready()
    monkeypatch.setattr(swapping, "Pools", Pools)
    with Proxy(job.db) as proxy:
        proxy.cut_at = "after"
        report = cutover_of(proxy.dsn, say=job.said.append)
        assert (proxy.cuts, report.phase, report.attempts) == (1, Phase.CUT_OVER, 1)
    assert [line for line in job.said if "The guard is gone." in line]
    same_after_sync(job)


# The end of a rollout whose last swap was interrupted.


def ends(job: Job, monkeypatch: pytest.MonkeyPatch, end: str) -> Callable[[], Any]:
    """The command that ends it, after a swap that died behind its commit."""
    if end == "abort":
        job.cutover()
    died_behind(job, monkeypatch, "cutover" if end == "finish" else "rollback")
    assert job.value(VALIDATED) is False
    return getattr(job, end)  # type: ignore[no-any-return]


@pytest.mark.parametrize("end", ["finish", "abort"])
def test_an_ending_validates_what_a_swap_left(ready: Ready, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Nobody comes back to it after the end."""
    job = ready(CHILD)
    assert ends(job, monkeypatch, end)().phase.ended
    assert job.value(VALIDATED) is True


@pytest.mark.parametrize("end", ["finish", "abort"])
def test_a_lock_that_is_not_to_be_had_ends_no_ending(ready: Ready, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    job = ready(CHILD)
    command = ends(job, monkeypatch, end)
    monkeypatch.setattr(validate, "yield_and_retry", lambda *args, **options: yield_and_retry(*args, **{**options, "attempts": 2}))
    with job.application() as app:
        app.execute("LOCK TABLE parent IN ACCESS EXCLUSIVE MODE")
        assert command().phase.ended
    (said,) = [line for line in job.said if "stays NOT VALID" in line]
    job.db.execute(said[said.index("ALTER TABLE") :])
    assert job.value(VALIDATED) is True


# What was given up and is gone.

GIVEN_UP = {
    "table": (SMALL + "CREATE TABLE child (id bigint REFERENCES t);", "DROP TABLE child", "public.child is gone"),
    "publication": (SMALL + "CREATE PUBLICATION feed FOR TABLE t;", "DROP PUBLICATION feed", "publication feed is gone"),
}


@pytest.mark.parametrize("what", GIVEN_UP)
def test_what_was_given_up_and_is_gone_is_in_no_swaps_way(ready: Ready, what: str) -> None:
    """There is nothing to put back; without a word it would fail under the locks."""
    text, drop, said = GIVEN_UP[what]
    options = PlanOptions(
        chunk_interval="7 days",
        workers=1,
        drop_inbound_fks=("child_id_fkey",) if what == "table" else (),
        drop_from_publications=("feed",) if what == "publication" else (),
    )
    job = ready(text, options)
    job.cutover()
    job.db.execute(drop)
    assert job.rollback().phase is Phase.ROLLED_BACK
    assert len([line for line in job.said if said in line]) == 1
    assert not [line for line in job.said if "publishes" in line]
    assert job.cutover().phase is Phase.CUT_OVER
    insert(job)
    assert job.rollback().phase is Phase.ROLLED_BACK
    assert job.abort().phase is Phase.ABORTED


def test_a_key_that_was_given_up_is_not_left_off_where_its_table_has_another_name(ready: Ready) -> None:
    """In silence it would be gone for good; and the end, to which it does not matter, is not in its way."""
    text, _, _ = GIVEN_UP["table"]
    job = ready(text, PlanOptions(chunk_interval="7 days", workers=1, drop_inbound_fks=("child_id_fkey",)))
    job.cutover()
    job.db.execute("ALTER TABLE child RENAME TO child2")
    with pytest.raises(Refused, match="has another name now") as caught:
        job.rollback()
    assert "child2" in str(caught.value)
    assert job.phase() == "cut_over"
    job.db.execute("ALTER TABLE child2 RENAME TO child")
    assert job.rollback().phase is Phase.ROLLED_BACK
    assert job.db.execute("SELECT conname FROM pg_constraint WHERE conrelid = 'child'::regclass AND contype = 'f'") == [("child_id_fkey",)]
    job.db.execute("ALTER TABLE child RENAME TO child2")
    assert job.abort().phase is Phase.ABORTED
    assert job.db.execute("SELECT count(*) FROM pg_constraint WHERE conrelid = 'child2'::regclass AND contype = 'f'") == [(1,)]


@pytest.mark.parametrize("end", ["finish", "abort"])
def test_a_validation_that_somebody_cancels_ends_no_ending(ready: Ready, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    job = ready(CHILD)
    command = ends(job, monkeypatch, end)

    def cancelled(*given: Any, **options: Any) -> None:
        raise psycopg.errors.QueryCanceled("canceling statement due to user request")

    monkeypatch.setattr(closing, "validate_foreign_keys", cancelled)
    assert command().phase.ended
    (said,) = [line for line in job.said if "stays NOT VALID" in line]
    assert "canceling statement" in said
    assert "VALIDATE CONSTRAINT" in said
