"""I6: a client that vanishes, a connection that is lost: nobody keeps the lock, and what happened is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import Any

import pytest
from job import aside, eventually
from psycopg import sql
from swap_support import (
    CHILD,
    Proxy,
    Ready,
    after_swap_message,
    cutover_of,
    insert,
    outcome,
    ready_fixture,  # noqa: F401
    refused,
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry import engine
from hyperferry.cutover import block, runner
from hyperferry.db.connection import Connection
from hyperferry.errors import ConnectionFailed, Failed, LockUnavailable
from hyperferry.model.rollout import Phase
from hyperferry.model.statement import Statement

pytestmark = pytest.mark.usefixtures("full_time")

# A client that vanishes, a connection that is lost.


def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeouts of the swap, so that a test need not wait for them."""
    monkeypatch.setattr(runner, "IDLE_TIMEOUT_MS", 700)
    monkeypatch.setattr(runner, "STATEMENT_TIMEOUT_MS", 2_000)


@pytest.mark.peer(number=16)
def test_a_client_that_hangs_while_it_holds_the_lock_cannot_keep_it(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the swap and its COMMIT nothing comes from the client: the server ends it, writers go on, we try again."""
    job = ready()
    shorter(monkeypatch)
    writes: list[Any] = []

    def hang(conn: Connection) -> None:
        writes.append(aside(lambda: insert(job)))
        outcome(writes[0], 20)  # the writer goes on before we wake up

    after_swap_message(monkeypatch, hang)
    report = job.cutover()
    assert report.attempts == 2
    assert job.value("SELECT count(*) FROM {table} WHERE id = %s", outcome(writes[0])) == 1
    same_after_sync(job)


@pytest.mark.peer(number=16)
def test_a_swap_that_takes_too_long_is_ended_by_the_server(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """statement_timeout bounds the DO block as a whole, and the views' and sequences' locks with it."""
    job = ready()
    monkeypatch.setattr(runner, "STATEMENT_TIMEOUT_MS", 700)
    made = block.swap_statements
    slow = block.swap_statements

    def swap_statements(flow: Any) -> Any:
        return (
            *made(flow),
            Statement("slow", "slow", sql.SQL("SELECT pg_sleep(0.4) FROM generate_series(1, 10)")),
        )

    monkeypatch.setattr(block, "swap_statements", swap_statements)
    cutover = aside(lambda: job.cutover(attempts=1))
    time.sleep(0.3)
    insert(job)
    with pytest.raises(LockUnavailable, match="statement timeout"):
        outcome(cutover)
    assert job.phase() == "synced"
    monkeypatch.setattr(block, "swap_statements", slow)
    job.cutover()
    same_after_sync(job)


def test_the_first_attempt_is_given_a_second_and_the_next_twice_as_long(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes longer than it should keeps writers waiting for a second at first; what needs longer gets it in the end."""
    job = ready()
    monkeypatch.setattr(runner, "_Attempt", partial(runner._Attempt, timeout_ms=runner.FIRST_TIMEOUT_MS))
    made = block.swap_statements

    def swap_statements(flow: Any) -> Any:
        return (*made(flow), Statement("slow", "slow", sql.SQL("SELECT pg_sleep(1.2)")))

    monkeypatch.setattr(block, "swap_statements", swap_statements)
    report = job.cutover()
    assert (report.phase, report.attempts >= 2) == (Phase.CUT_OVER, True)
    assert report.stall_ms > 1_000
    same_after_sync(job)


def test_a_swap_that_can_never_be_quick_enough_is_given_up_after_the_longest_time_twice(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every attempt would keep writers waiting as long as the longest time allows. Times that were shorter do not count."""
    job = ready(CHILD)
    monkeypatch.setattr(runner, "STATEMENT_TIMEOUT_MS", 800)
    monkeypatch.setattr(runner, "_Attempt", partial(runner._Attempt, timeout_ms=400))
    made = block.swap_statements
    monkeypatch.setattr(
        block,
        "swap_statements",
        lambda flow: (*made(flow), Statement("slow", "slow", sql.SQL("SELECT pg_sleep(5)"))),
    )
    with refused(job, Failed, "takes longer than it may keep others waiting"):
        job.cutover(attempts=20)
    gave_way = [line for line in job.said if line.startswith("attempt") and "statement timeout" in line]
    assert len(gave_way) == 2, "0.4 s and 0.8 s; the second 0.8 s ends it"
    with pytest.raises(Failed) as caught:
        job.cutover(attempts=20)
    text = str(caught.value)
    chunks = job.value("SELECT count(*) FROM show_chunks('hyperferry_new_1.t')")
    assert f"chunks: {chunks}\n" in text
    assert "off every chunk, the longer the more there are): 1\n" in text
    assert "given: 0.8 s under the locks, 2 times" in text
    assert "--chunk-interval" in text
    assert "drop them before `start`" in text
    monkeypatch.setattr(block, "swap_statements", made)
    job.cutover()
    same_after_sync(job)


@pytest.mark.peer(number=16)
def test_a_backend_that_is_terminated_while_it_holds_the_lock(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ready()
    seen = after_swap_message(
        monkeypatch, lambda conn: job.run("SELECT pg_terminate_backend(%s)", conn.info.backend_pid) and None
    )
    report = job.cutover()
    assert (report.attempts, len(set(seen))) == (2, 2)
    assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'swap'") == 1
    same_after_sync(job)


@pytest.mark.peer(number=15)
def test_kill_9_while_it_holds_the_lock_leaves_writers_going_on(ready: Ready) -> None:
    """The process is gone without a word: the server notices within the timeouts, and the same command does it again."""
    job = ready()
    # In the middle of the swap: an event trigger that is slow while the table moves.
    job.db.execute(
        "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT FROM "
        "pg_event_trigger_ddl_commands() WHERE command_tag = 'ALTER TABLE' AND schema_name LIKE 'hyperferry_old%') "
        "THEN PERFORM pg_sleep(3); END IF; END $$; "
        "CREATE EVENT TRIGGER slow ON ddl_command_end EXECUTE FUNCTION slow()"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hyperferry", "cutover", "t", "--accept", "all"],
        env={**os.environ, "DATABASE_URL": job.db.dsn},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(
        "the swap holds the table",
        lambda: job.value(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = %s AND mode = 'AccessExclusiveLock' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            job.rollout.source_oid,
        ),
    )
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    insert(job)
    assert time.monotonic() - began < 20
    assert job.phase() == "synced"
    job.db.execute("DROP EVENT TRIGGER slow")
    assert job.cutover().phase is Phase.CUT_OVER
    same_after_sync(job)


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.peer(number=16)
def test_a_connection_that_is_lost_at_the_commit(ready: Ready, where: str) -> None:
    """`after`: the server committed, and its answer never came; `before`: it never heard of it. Both are told apart, and the
    swap happens once."""
    job = ready()
    with Proxy(job.db) as proxy:
        proxy.cut_at = where
        report = cutover_of(proxy.dsn, say=job.said.append)
        assert proxy.cuts == 1
        assert report.attempts == (1 if where == "after" else 2)
        assert job.phase() == "cut_over"
        assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'swap'") == 1
        insert(job)
        proxy.cut_at = where
        assert engine.rollback(proxy.dsn, "public.t").phase is Phase.ROLLED_BACK
        assert proxy.cuts == 2
    same_after_sync(job)


def test_a_server_that_cannot_be_asked_is_said_so(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is lost and no other is to be had: we do not guess."""
    job = ready()
    monkeypatch.setattr(runner, "ANSWER_SECONDS", 5.0)  # twice as long the server is asked
    with Proxy(job.db) as proxy:
        proxy.cut_at = "after"
        after_swap_message(monkeypatch, lambda conn: proxy.close())
        with pytest.raises(ConnectionFailed, match="cannot be asked"):
            cutover_of(proxy.dsn)
    assert job.status().phase is Phase.CUT_OVER
