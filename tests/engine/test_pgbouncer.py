"""Clients behind PgBouncer in transaction pooling: at a cutover and a rollback they wait a moment, and see no error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from job import Job, aside, eventually
from swap_support import Ready, outcome, ready_fixture, same_after_sync, templates_fixture  # noqa: F401

from hyperferry import engine
from hyperferry.db import pgbouncer as pools
from hyperferry.db.pgbouncer import PoolBusy, Pools
from hyperferry.errors import ConnectionFailed, LockUnavailable, Refused
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from kit.bouncer import Bouncer, pgbouncer


class Clients:
    """Writers through the pool: single statements and transactions of several."""

    def __init__(self, dsn: str, many: int = 4) -> None:
        self.dsn, self.stop = dsn, threading.Event()
        self.errors: list[str] = []
        self.worst, self.done = 0.0, 0
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(many)]

    def _run(self, number: int) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    if number % 2:
                        conn.execute("INSERT INTO t (at, n) VALUES ('2024-02-02', 1)")
                    else:
                        with conn.transaction():
                            conn.execute("INSERT INTO t (at, n) VALUES ('2024-01-09', 1)")
                            conn.execute("UPDATE t SET v = v + 1 WHERE id = 10")
                    self.done += 1
                except psycopg.Error as error:
                    self.errors.append(str(error))
                self.worst = max(self.worst, time.monotonic() - began)
                time.sleep(0.01)

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(20)


@pytest.fixture(name="pooled")
def pooled_fixture(ready: Ready) -> Iterator[tuple[Job, Bouncer]]:
    job = ready()
    with pgbouncer(job.db.dsn) as bouncer:
        yield job, bouncer


def goes_on(bouncer: Bouncer) -> None:
    """The pool is not paused, and a client's write comes through."""
    assert not bouncer.paused()
    with psycopg.connect(bouncer.dsn, autocommit=True) as conn:
        conn.execute("SET LOCAL statement_timeout = '5s'")
        conn.execute("INSERT INTO t (at, n) VALUES ('2024-02-02', 1)")


def test_clients_wait_a_moment_and_see_no_error(pooled: tuple[Job, Bouncer]) -> None:
    job, bouncer = pooled
    with Clients(bouncer.dsn) as clients:
        for way in (job.cutover, job.rollback) * 2:
            report = way(pgbouncer=[bouncer.admin])
            print(f"{report.phase}: {report.attempts} attempts, {report.stall_ms} ms reported")
            time.sleep(0.3)
    print(f"{clients.done} transactions, the longest waited {clients.worst * 1000:.0f} ms")
    assert not clients.errors
    assert clients.done > 20
    assert clients.worst < 10
    goes_on(bouncer)
    same_after_sync(job)


def test_several_behind_one_address_are_not_paused(ready: Ready) -> None:
    """PAUSE would reach one of them, and RESUME another."""
    job = ready()
    with pgbouncer(job.db.dsn, several=True) as one:
        pools.refuse_several(one.admin)
        with pgbouncer(job.db.dsn, several=True, beside=one) as other:
            with pytest.raises(Refused, match="Several PgBouncers"):  # noqa: PT012
                for _ in range(5):  # all sessions may have met the same
                    pools.refuse_several(one.admin)
            for bouncer in (one, other):
                goes_on(bouncer)


def test_one_that_adds_its_clients_addresses_to_their_names_is_one(ready: Ready) -> None:
    job = ready()
    with pgbouncer(job.db.dsn, add_host=True) as bouncer:
        assert any(" - 127.0.0.1" in str(value) for row in bouncer.console("SHOW CLIENTS") for value in row), "so it is set"
        assert job.cutover(pgbouncer=[bouncer.admin]).phase is Phase.CUT_OVER


def test_pgoptions_are_not_for_the_console(pooled: tuple[Job, Bouncer], monkeypatch: pytest.MonkeyPatch) -> None:
    job, bouncer = pooled
    monkeypatch.setenv("PGOPTIONS", "-c role=postgres")
    assert job.cutover(pgbouncer=[bouncer.admin]).phase is Phase.CUT_OVER


def test_a_long_transaction_in_the_pool_is_not_waited_for_long(
    pooled: tuple[Job, Bouncer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PAUSE would wait for it for ever, and everybody else behind it: the pool goes on, and we try again."""
    job, bouncer = pooled
    monkeypatch.setattr(pools, "PAUSE_SECONDS", 0.5)
    with psycopg.connect(bouncer.dsn) as busy, Clients(bouncer.dsn, 2) as clients:
        busy.execute("SELECT 1")
        with pytest.raises(LockUnavailable, match="did not end"):
            job.cutover(attempts=2, pgbouncer=[bouncer.admin])
        goes_on(bouncer)
        cutover = aside(lambda: job.cutover(pgbouncer=[bouncer.admin]))
        time.sleep(1)
        busy.rollback()
        assert outcome(cutover).phase is Phase.CUT_OVER
    assert not clients.errors
    assert clients.worst < 8
    goes_on(bouncer)
    same_after_sync(job)


def test_a_console_that_is_wrong_is_said_before_anything_is_touched(pooled: tuple[Job, Bouncer]) -> None:
    job, bouncer = pooled
    with pytest.raises(ConnectionFailed, match="admin console") as caught:
        job.cutover(pgbouncer=["host=127.0.0.1 port=1 user=admin password=s3cret"])
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConnectionFailed, match="admin console"):
        job.cutover(pgbouncer=[bouncer.admin.replace("user=admin", "user=postgres")])
    with pgbouncer(job.db.server.dsn) as other, pytest.raises(Refused, match="no pool for this database"):
        job.cutover(pgbouncer=[bouncer.admin, other.admin])
    assert job.phase() == "synced"
    goes_on(bouncer)


def test_kill_9_between_pause_and_resume(pooled: tuple[Job, Bouncer]) -> None:
    """The program is gone without a word: its guard resumes the pool, the server ends the swap, clients go on."""
    job, bouncer = pooled
    job.db.execute(
        "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT FROM "
        "pg_event_trigger_ddl_commands() WHERE command_tag = 'ALTER TABLE' AND schema_name LIKE 'hyperferry_old%') "
        "THEN PERFORM pg_sleep(3); END IF; END $$; "
        "CREATE EVENT TRIGGER slow ON ddl_command_end EXECUTE FUNCTION slow()"
    )
    with Clients(bouncer.dsn, 2) as clients:
        process = subprocess.Popen(
            [sys.executable, "-m", "hyperferry", "cutover", "t", "--accept", "all", "--pgbouncer", bouncer.admin],
            env={**os.environ, "DATABASE_URL": job.db.dsn},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # In one attempt, which the server ends after a second: the next one holds it too.
        eventually(
            "the swap holds the table, and the pool is paused",
            lambda: (
                job.value(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = %s AND mode = 'AccessExclusiveLock' AND granted "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
                    job.rollout.source_oid,
                )
                and bouncer.paused()
            ),
        )
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        began = time.monotonic()
        eventually("the pool goes on", lambda: not bouncer.paused())
        done = clients.done
        eventually("clients go on", lambda: clients.done > done + 5)
        print(f"clients went on {time.monotonic() - began:.1f} s after the kill")
    assert not clients.errors
    job.db.execute("DROP EVENT TRIGGER slow")
    assert job.cutover(pgbouncer=[bouncer.admin]).phase is Phase.CUT_OVER
    goes_on(bouncer)
    same_after_sync(job)


def test_the_guard_resumes_when_the_bound_is_over(
    pooled: tuple[Job, Bouncer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever paused hangs: nobody is told, and the pool goes on all the same."""
    job, bouncer = pooled
    monkeypatch.setattr(pools, "GUARD_SECONDS", 3.0)  # long enough for a look at the pool before it is over
    database = job.db.name
    port = int(job.value("SELECT setting FROM pg_settings WHERE name = 'port'"))
    with Pools([bouncer.admin], database, port) as both:
        with both.paused():
            assert bouncer.paused()
            eventually("the guard resumes", lambda: not bouncer.paused())
        with both.paused():
            assert bouncer.paused()
        assert not bouncer.paused()
        with psycopg.connect(bouncer.dsn) as busy:
            busy.execute("SELECT 1")
            monkeypatch.setattr(pools, "PAUSE_SECONDS", 0.3)
            with pytest.raises(PoolBusy), both.paused():
                raise AssertionError("never reached")
        assert both._guard is not None
        both._guard.kill()
        with pytest.raises(Exception, match="no pool is paused without it"), both.paused():
            raise AssertionError("never reached")
        goes_on(bouncer)


def test_transaction_pooling_is_refused_for_our_own_sessions(pooled: tuple[Job, Bouncer]) -> None:
    """What needs a session is recognized and refused, with the way out."""
    _, bouncer = pooled
    found = engine.preflight(bouncer.dsn, "t", "at", options=PlanOptions())[1]
    assert [f.level for f in found if f.rule == "transaction-pooling"] == ["blocker"]
