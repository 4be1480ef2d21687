"""I6: the cutover is one transaction, and short; it gives way, names who is in its way, and the application sees none of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

import psycopg
import pytest
from job import aside, eventually
from swap_support import (
    ALL,
    CHILD,
    VIEWED,
    Proxy,
    Ready,
    Sessions,
    after_swap_message,
    assert_no_locks,
    before_swap_message,
    cutover_of,
    insert,
    outcome,
    ready_fixture,  # noqa: F401
    refused,
    relation_oid,
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry import engine
from hyperferry.cutover import block, order, runner
from hyperferry.db.connection import Connection
from hyperferry.errors import ConnectionFailed, LockUnavailable
from hyperferry.model.rollout import Phase

READ_COMMITTED = psycopg.IsolationLevel.READ_COMMITTED
REPEATABLE_READ = psycopg.IsolationLevel.REPEATABLE_READ


@pytest.fixture(params=["at once", "patiently"])
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether further locks may wait a little from the first attempt on, or not for long."""
    if request.param == "patiently":
        monkeypatch.setattr(order, "PATIENT_FROM", 1)
        monkeypatch.setattr(runner, "PATIENT_FROM", 1)


# The application sees no error.


@pytest.mark.usefixtures("patience")
def test_readers_through_views_are_never_victims(ready: Ready) -> None:
    """Views before their table, in one transaction and one after the other, and the sequence: nobody sees an error."""
    job = ready(VIEWED)

    def through_views(conn: Connection) -> None:
        conn.execute("SELECT count(*) FROM outer_latest")
        conn.execute("SELECT sum(total) FROM sums")
        conn.execute("SELECT max(id) FROM t")

    def table_first(conn: Connection) -> None:
        conn.execute("SELECT count(*) FROM t")
        conn.execute("SELECT count(*) FROM latest JOIN sums ON sums.n = latest.id % 7")

    def sequence_first(conn: Connection) -> None:
        new = conn.execute("SELECT nextval('t_id_seq')").fetchone()
        conn.execute("INSERT INTO t (id, at, n, v) VALUES (%s, now(), 1, 1)", new)

    def update(conn: Connection) -> None:
        conn.execute("UPDATE t SET v = v + 1 WHERE id = (SELECT min(id) FROM latest)")

    with Sessions(job.db.dsn, through_views, table_first, sequence_first, update) as app:
        for way in (job.cutover, job.rollback):
            way(attempts=200)
    assert not app.errors
    assert app.done > 20
    same_after_sync(job)


@pytest.mark.usefixtures("patience")
def test_two_views_in_the_readers_own_order_are_no_deadlock(ready: Ready) -> None:
    """A reader holds one view (and the table) and comes for the next, which we hold by then: we give way, at once."""
    job = ready(VIEWED)
    for first, second in (("sums", "latest"), ("latest", "sums")):
        with job.application() as app:
            app.execute(f"SELECT * FROM {first} LIMIT 1")
            cutover = aside(lambda: job.cutover(attempts=200))
            for _ in range(5):
                time.sleep(0.1)
                app.execute(f"SELECT * FROM {second} LIMIT 1")
            app.commit()
            assert outcome(cutover).phase is Phase.CUT_OVER
        job.rollback()


@pytest.mark.usefixtures("patience")
def test_writers_of_parents_are_never_victims(ready: Ready) -> None:
    """parent then child, child then parent, and the parent's key itself, during swaps both ways and the validations after."""
    job = ready(CHILD)

    def parent_first(conn: Connection) -> None:
        conn.execute("UPDATE parent SET name = name || '.' WHERE n = 3")
        conn.execute("INSERT INTO t (at, n, v) VALUES ('2024-02-02', 3, 1)")

    def child_first(conn: Connection) -> None:
        conn.execute("INSERT INTO t (at, n, v) VALUES ('2024-02-03', 4, 1)")
        conn.execute("UPDATE parent SET name = name || '.' WHERE n = 4")

    def remove_parent(conn: Connection) -> None:
        conn.execute("INSERT INTO parent VALUES (50, 'new')")
        conn.execute("INSERT INTO t (at, n, v) VALUES ('2024-02-04', 50, 1)")
        conn.execute("DELETE FROM parent WHERE n = 50")

    with Sessions(job.db.dsn, parent_first, child_first, remove_parent) as app:
        for way in (job.cutover, job.rollback, job.cutover):
            way(attempts=200)
    assert not app.errors
    same_after_sync(job)


@pytest.mark.parametrize(
    ("holds", "then"),
    [
        ("SELECT nextval('t_id_seq')", "INSERT INTO t (at, n, v) VALUES ('2024-02-02', 1, 1)"),
        ("UPDATE parent SET name = 'x' WHERE n = 1", "INSERT INTO t (at, n, v) VALUES ('2024-02-02', 1, 1)"),
        ("SELECT * FROM t LIMIT 1", "UPDATE t SET v = 5 WHERE id = 5"),
    ],
    ids=["sequence", "parent", "table"],
)
@pytest.mark.peer(number=14)
def test_attempts_are_bounded_and_name_who_is_in_the_way(ready: Ready, holds: str, then: str) -> None:
    """A session that is idle in its transaction: it goes on without an error, nothing is changed, and it is named."""
    job = ready(CHILD)
    with job.application() as app:
        app.execute(holds)
        with refused(job, LockUnavailable, "gave way every time") as _:
            job.cutover(attempts=2)
        with pytest.raises(LockUnavailable) as caught:
            job.cutover(attempts=2)
        assert caught.value.facts["attempts"] == 2
        assert f"pid {app.info.backend_pid} " in str(caught.value)
        assert "idle in transaction" in str(caught.value)
        insert(job)  # others were not kept waiting
        app.execute(then)
        app.commit()
    job.cutover()
    same_after_sync(job)


@pytest.mark.usefixtures("patience")
def test_a_session_that_waited_before_we_came_is_no_victim(ready: Ready) -> None:
    """It holds the parent and waits for the table behind a third session when we come, and has waited for long."""
    job = ready(CHILD)
    with job.application() as holder, job.application() as waiter:
        waiter.execute("UPDATE parent SET name = 'x' WHERE n = 1")
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        waiting = aside(lambda: waiter.execute("INSERT INTO t (at, n, v) VALUES ('2024-02-02', 1, 1)"))
        time.sleep(0.8)  # nearly the server's deadlock_timeout
        cutover = aside(lambda: job.cutover(attempts=200))
        job.until_we_wait("{table}")
        holder.rollback()
        outcome(waiting)
        time.sleep(0.3)
        waiter.execute("DELETE FROM parent WHERE n = 2")
        waiter.commit()
        assert outcome(cutover).phase is Phase.CUT_OVER
    same_after_sync(job)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    ("text", "first", "lock_first", "holds", "then"),
    [
        (
            VIEWED,
            "latest",
            "ALTER VIEW latest OWNER TO CURRENT_USER",
            "SELECT FROM sums",
            "SELECT FROM latest",
        ),
        (
            CHILD,
            "t",
            "LOCK TABLE t",
            "SELECT nextval('t_id_seq')",
            "INSERT INTO t (at) VALUES ('2024-02-02')",
        ),
        (
            CHILD,
            "t",
            "LOCK TABLE t",
            "UPDATE parent SET name = ''",
            "INSERT INTO t (at) VALUES ('2024-02-02')",
        ),
    ],
    ids=["views", "sequence", "parent"],
)
def test_a_session_that_waits_behind_us_is_no_victim_of_our_next_lock(
    ready: Ready,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    first: str,
    lock_first: str,
    holds: str,
    then: str,
) -> None:
    """It holds what we come for next, and began to wait before we do: were we to wait for it, its deadlock_timeout would be
    over first. We ask with no more than a moment's patience, and give way."""
    job = ready(text)
    with job.application() as third, job.application() as app:
        app.execute(holds)
        done: list[Any] = []

        def waiting(pid: int) -> bool:
            return bool(
                job.db.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)", pid)[0][
                    0
                ]
            )

        def arrange(conn: Connection) -> None:
            third.execute(lock_first)

            def meanwhile() -> None:
                eventually("we wait for the first lock", lambda: waiting(conn.info.backend_pid))
                done.append(aside(lambda: app.execute(then)))
                eventually("so does the session", lambda: waiting(app.info.backend_pid))
                third.rollback()

            done.append(aside(meanwhile))

        before_swap_message(monkeypatch, arrange)
        cutover = aside(lambda: job.cutover(attempts=200))
        eventually("all are at it", lambda: len(done) == 2)
        outcome(done[0])
        outcome(done[1], 10)  # a deadlock would come out here
        app.commit()
        assert outcome(cutover).phase is Phase.CUT_OVER
    same_after_sync(job)


# What committed while we waited is not lost (peers, 4).


@pytest.mark.parametrize("way", ["cutover", "rollback"])
@pytest.mark.peer(number=4)
def test_the_last_rows_written_before_the_lock_are_not_lost(ready: Ready, way: str) -> None:
    job = ready()
    if way == "rollback":
        job.cutover()
    last = (
        "INSERT INTO t (at, note) VALUES ('2024-01-05', 'last'), ('2024-02-15', 'two')",
        "UPDATE t SET v = 99 WHERE id = 3",
        "DELETE FROM t WHERE id = 4",
    )
    for _ in range(3):  # a wait that is too long gives way, and then nothing is applied under the lock
        with job.application() as app:
            changes = sum(app.execute(statement).rowcount for statement in last)
            swap = aside(lambda: getattr(job, way)(attempts=200))
            job.until_we_wait("{table}")
            app.commit()
        report = outcome(swap)
        rows = job.run(
            "SELECT count(*) FILTER (WHERE note IN ('last', 'two')) % 2, count(*) FILTER (WHERE id = 4) FROM {table}"
        )
        assert rows == [(0, 0)]
        assert job.value("SELECT v FROM {table} WHERE id = 3") == 99
        same_after_sync(job)
        if report.changes_under_lock:
            break
        (job.rollback if way == "cutover" else job.cutover)()
    assert report.changes_under_lock >= changes >= 3


def test_a_backlog_that_is_too_large_gives_way(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the bound is never applied under the lock."""
    job = ready()
    monkeypatch.setattr(block, "MAX_UNDER_LOCK", 50)
    seen = before_swap_message(
        monkeypatch, lambda conn: job.run("UPDATE t SET v = v + 1 WHERE id <= 60") and None
    )
    report = job.cutover()
    assert (report.attempts, len(seen)) == (2, 2)
    assert any("too large" in line for line in job.said)
    assert report.changes_under_lock <= 50
    same_after_sync(job)


def test_a_truncation_that_came_last_is_applied_before_the_swap(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ready()
    before_swap_message(
        monkeypatch, lambda conn: job.run("TRUNCATE t; INSERT INTO t (at) VALUES ('2024-01-09')") and None
    )
    job.cutover()
    assert job.value("SELECT count(*) FROM {table}") == 1
    same_after_sync(job)


# Older snapshots.


def test_a_session_with_an_older_snapshot_is_waited_for_and_named(ready: Ready) -> None:
    """REPEATABLE READ, idle, holding no lock at all: its snapshot is what is in the way."""
    job = ready()
    with job.application() as app:
        app.isolation_level = REPEATABLE_READ
        app.execute("SELECT count(*) FROM pg_class")
        with refused(job, LockUnavailable):
            job.cutover(accept=frozenset({"widened-key"}), attempts=2)
        with pytest.raises(LockUnavailable, match="older than the swap") as caught:
            job.cutover(accept=frozenset({"widened-key"}), attempts=2)
        assert f"pid {app.info.backend_pid} " in str(caught.value)
    with job.application() as app:
        app.execute("SELECT count(*) FROM pg_class")  # READ COMMITTED: holds nothing between statements
        job.cutover(accept=frozenset({"widened-key"}), attempts=1)


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_writes_of_a_session_older_than_the_swap_are_captured(ready: Ready, way: str) -> None:
    """Its snapshot would show any flag as it was; a replaced function is seen at once. Prepared statements follow the name."""
    job = ready()
    if way == "rollback":
        job.cutover()
    with job.application() as app:
        app.isolation_level = REPEATABLE_READ
        app.execute(
            "PREPARE add AS INSERT INTO t (at, note) VALUES ('2024-02-08', $1) RETURNING tableoid::bigint"
        )
        app.commit()  # or the statement's analysis would hold the table
        app.execute("SELECT count(*) FROM pg_class")
        getattr(job, way)(attempts=5)
        row = app.execute("EXECUTE add ('old snapshot')").fetchone()
        app.execute("UPDATE t SET note = 'old snapshot' WHERE id = 10")
        app.commit()
    assert row is not None
    assert row[0] != job.rollout.source_oid if way == "cutover" else row[0] == job.rollout.source_oid
    assert job.value("SELECT count(*) FROM {log}") >= 2
    same_after_sync(job)
    assert job.value("SELECT count(*) FROM {table} WHERE note = 'old snapshot'") == 2
    assert job.value("SELECT count(*) FROM {source} WHERE note = 'old snapshot'") == 2


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
        time.sleep(1.5)
        assert writes[0].done(), "the writer went on before we woke up"

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
        from psycopg import sql

        from hyperferry.model.statement import Statement

        return (
            *made(flow),
            Statement("slow", "slow", sql.SQL("SELECT pg_sleep(0.4) FROM generate_series(1, 10)")),
        )

    monkeypatch.setattr(block, "swap_statements", swap_statements)
    cutover = aside(lambda: job.cutover(attempts=1))
    time.sleep(0.3)
    began = time.monotonic()
    insert(job)
    assert time.monotonic() - began < 5
    with pytest.raises(LockUnavailable, match="statement timeout"):
        outcome(cutover)
    assert job.phase() == "synced"
    monkeypatch.setattr(block, "swap_statements", slow)
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
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = %s AND mode = 'AccessExclusiveLock' AND granted)",
            job.rollout.source_oid,
        ),
    )
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    insert(job)
    assert time.monotonic() - began < 9
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
    shorter(monkeypatch)
    monkeypatch.setattr(runner, "IDLE_TIMEOUT_MS", 100)
    monkeypatch.setattr(runner, "STATEMENT_TIMEOUT_MS", 300)
    with Proxy(job.db) as proxy:
        proxy.cut_at = "after"
        after_swap_message(monkeypatch, lambda conn: proxy.close())
        with pytest.raises(ConnectionFailed, match="cannot be asked"):
            cutover_of(proxy.dsn)
    assert job.status().phase is Phase.CUT_OVER


# All or nothing, and what it leaves.


@pytest.mark.peer(number=15)
def test_what_the_server_refuses_in_the_swap_leaves_everything_as_it_was(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last statement of the swap fails: not a view, schema, trigger or function is different."""
    from psycopg import sql

    from hyperferry.errors import Failed
    from hyperferry.model.statement import Statement

    job = ready(VIEWED)
    made = block.swap_statements
    functions = "SELECT string_agg(md5(prosrc), ',' ORDER BY oid) FROM pg_proc WHERE pronamespace = 'hyperferry'::regnamespace"
    before = job.value(functions)
    with monkeypatch.context() as patch:
        patch.setattr(
            block,
            "swap_statements",
            lambda flow: (*made(flow), Statement("x", "x", sql.SQL("SELECT 1 / 0 AS never"))),
        )
        with refused(job, Failed, "division by zero"):
            job.cutover()
    assert job.value(functions) == before
    insert(job)
    job.cutover()
    same_after_sync(job)


def test_views_keep_their_oids_and_tables_theirs(ready: Ready) -> None:
    """Replaced, never dropped; moved, never rewritten."""
    job = ready(VIEWED)
    views = [relation_oid(job, name) for name in ("sums", "latest", "outer_latest")]
    source = relation_oid(job)
    job.cutover()
    assert [relation_oid(job, name) for name in ("sums", "latest", "outer_latest")] == views
    assert (relation_oid(job), relation_oid(job, "hyperferry_old_1.t")) == (
        job.rollout.hypertable_oid,
        source,
    )
    job.rollback()
    assert [relation_oid(job, name) for name in ("sums", "latest", "outer_latest")] == views
    assert (relation_oid(job), relation_oid(job, "hyperferry_new_1.t")) == (
        source,
        job.rollout.hypertable_oid,
    )


def test_capture_of_the_passive_side_is_off(ready: Ready) -> None:
    """What is carried over leaves nothing in the log of the other direction, nor does the swap itself."""
    job = ready()
    for way, asleep in ((job.cutover, "forward"), (job.rollback, "reverse"), (job.cutover, "forward")):
        way()
        insert(job)
        job.run("UPDATE t SET v = 3 WHERE id < 9; DELETE FROM t WHERE id = (SELECT min(id) FROM t)")
        same_after_sync(job)
        assert job.value(f"SELECT count(*) FROM hyperferry.{asleep}_log_1") == 0


def test_a_dry_run_changes_nothing_and_says_who_is_in_the_way(ready: Ready) -> None:
    job = ready(VIEWED)
    with job.application() as app:
        app.execute("SELECT count(*) FROM t")
        preview = engine.cutover_dry_run(job.db.dsn, "t", accept=ALL)
        assert app.info.backend_pid in [blocker.pid for blocker in preview.blockers]
        assert not preview.refusals
        assert any("SET SCHEMA" in statement.text for statement in preview.statements)
    assert job.phase() == "synced"


def test_the_swap_asked_for_twice_is_done_once(ready: Ready) -> None:
    job = ready()
    job.cutover()
    again = job.cutover()
    assert (again.phase, again.attempts) == (Phase.CUT_OVER, 0)
    job.rollback()
    assert job.rollback().attempts == 0
    assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'swap'") == 2


def test_nothing_is_held_afterwards(ready: Ready) -> None:
    """No lock, no setting: sessions of ours are gone."""
    job = ready()
    job.cutover()
    assert_no_locks(job.db)
    with closing(job.db.connect()) as conn:
        left = conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hyperferry swap'"
        ).fetchall()
    assert not left
