"""I6: in every deadlock it is the swap that gives way, and it names who is in its way; the application sees no error."""

from __future__ import annotations

import time
from typing import Any

import pytest
from job import aside, eventually
from swap_support import (
    CHILD,
    VIEWED,
    Ready,
    Sessions,
    before_swap_message,
    insert,
    outcome,
    ready_fixture,  # noqa: F401
    refused,
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry.cutover import order, runner
from hyperferry.db.connection import Connection
from hyperferry.errors import LockUnavailable
from hyperferry.model.rollout import Phase


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


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_whoever_is_at_work_on_a_chunk_that_the_swap_changes_is_named_and_nobody_waits(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A foreign key is put on every chunk, or taken off it: a VACUUM, say, of a single one is in the way. It is met before the
    locks for which writers would wait."""
    job = ready(CHILD)
    if way == "rollback":
        job.cutover()
    chunk = job.value("SELECT show_chunks('{shadow}')::text ORDER BY 1 LIMIT 1")
    seen = before_swap_message(monkeypatch, lambda conn: None)
    with job.application() as app:
        app.execute(f"LOCK TABLE ONLY {chunk} IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(LockUnavailable, match=f"pid {app.info.backend_pid} ") as caught:
            getattr(job, way)(attempts=2)
        assert chunk.rpartition(".")[2] in str(caught.value.facts["last reason"])
    assert not seen
    getattr(job, way)()
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
        outcome(done[1])  # a deadlock would come out here
        app.commit()
        assert outcome(cutover).phase is Phase.CUT_OVER
    same_after_sync(job)
