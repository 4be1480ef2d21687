"""I0: lock, then look; and we yield."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from job import HOURS, THIRDS, Job, Make, aside, eventually

from hyperferry.copy.copier import Outcome, copy_next
from hyperferry.db import connect
from hyperferry.errors import CaptureBroken, Refused, SchemaChanged
from hyperferry.model.plan_options import PlanOptions


@contextmanager
def sampled(job: Job) -> Iterator[Callable[[], tuple[float, float]]]:
    """Watches our sessions: the answer is the longest wait for a lock, and the age of the oldest transaction, in seconds. Each as
    of the beginning of a look (now() is that): a look that is held up itself must not make them longer."""
    worst = [0.0, 0.0]
    over = threading.Event()

    def watch() -> None:
        with job.db.connect() as conn:
            while not over.is_set():
                row = conn.execute(
                    "SELECT (SELECT EXTRACT(epoch FROM now() - min(l.waitstart)) FROM pg_locks l JOIN pg_stat_activity a "
                    "USING (pid) WHERE NOT l.granted AND a.application_name LIKE 'hyperferry%' AND a.datname = current_database()), "
                    "(SELECT EXTRACT(epoch FROM now() - min(xact_start)) FROM pg_stat_activity "
                    "WHERE application_name LIKE 'hyperferry%' AND datname = current_database())"
                ).fetchone()
                assert row is not None
                worst[:] = [max(old, float(new or 0)) for old, new in zip(worst, row, strict=True)]
                time.sleep(0.01)

    watcher = aside(watch)
    try:
        yield lambda: (worst[0], worst[1])
    finally:
        over.set()
        watcher.result(60)


def held_by_our_waiting_session(job: Job) -> list[str]:
    """What the session of ours that waits for the application's table holds meanwhile, beside our own things and the catalogs."""
    rows = job.db.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_locks w JOIN pg_stat_activity a USING (pid) JOIN pg_locks h ON h.pid = w.pid "
        "JOIN pg_class c ON c.oid = h.relation JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE NOT w.granted AND a.application_name LIKE 'hyperferry%' AND a.datname = current_database() AND h.granted "
        "AND n.nspname NOT LIKE 'hyperferry%' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT LIKE '\\_timescaledb\\_%'"
    )
    return [row[0] for row in rows]


# The snapshot comes after the locks.


@pytest.mark.parametrize(
    "rewrite", ["ALTER TABLE t SET UNLOGGED", "TRUNCATE t; INSERT INTO t VALUES (1, '2024-01-03', 'new')"]
)
def test_apply_that_waits_for_a_new_file_sees_it_whole(copied: Make, rewrite: str) -> None:
    """A snapshot from before the wait would see an empty table; apply would delete its rows from the shadow for good."""
    job = copied(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET v = 'changed' WHERE id <= 50")
    with job.db.connect(autocommit=False) as application:
        application.execute(rewrite)  # type: ignore[call-overload]
        applying = aside(lambda: job.applier().drain(pending_batches=True))
        job.until_we_wait()
        assert not held_by_our_waiting_session(job)
        application.commit()
    applying.result(60)
    assert job.backlog() == 0
    job.assert_equal()


def test_apply_that_waits_behind_vacuum_full(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET v = 'changed' WHERE id <= 50")
    with job.db.connect(autocommit=False) as reader:
        reader.execute("SELECT count(*) FROM t")
        vacuum = aside(lambda: job.db.execute("VACUUM FULL t"))
        eventually(
            "VACUUM FULL waits",
            lambda: job.db.execute(
                "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation = 't'::regclass "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            ),
        )
        applying = aside(lambda: job.applier().drain(pending_batches=True))
        job.until_we_wait()
        reader.rollback()
    vacuum.result(60)
    applying.result(60)
    job.assert_equal()


def test_a_new_file_is_noted_not_refused(captured: Make) -> None:
    job = captured(HOURS, options=THIRDS)
    job.copy_next()
    job.db.execute("VACUUM FULL t")
    job.copy_next()
    job.run(
        "ALTER TABLE {table} SET UNLOGGED; ALTER TABLE {table} SET LOGGED; UPDATE {table} SET v = 'x' WHERE id < 250"
    )
    job.copy_all().apply()
    job.assert_equal()
    job.start()
    assert job.phase() == "synced"


def test_a_batch_that_waits_for_a_new_file_copies_it_whole(captured: Make) -> None:
    job = captured(HOURS, options=THIRDS)
    with job.db.connect(autocommit=False) as application:
        application.execute("ALTER TABLE t SET UNLOGGED")
        conn, flow = job.session(), job.flow
        conn.execute("SET lock_timeout = '5s'")  # long enough to be seen on a machine that is busy
        first = aside(lambda: copy_next(conn, flow))
        job.until_we_wait()
        assert not held_by_our_waiting_session(job)
        assert first.result(60).outcome is Outcome.BUSY
        application.commit()
    job.copy_all()
    job.assert_equal()


def test_a_verification_that_waits_for_a_new_file_compares_it_whole(synced: Make) -> None:
    job = synced(HOURS, options=THIRDS)
    with job.db.connect(autocommit=False) as application:
        application.execute("ALTER TABLE t SET UNLOGGED")
        verifying = aside(job.verify)
        job.until_we_wait()
        application.commit()
    report = verifying.result(60)
    assert (report.match, report.source_rows, report.target_rows) == (True, 300, 300)


# Then we look.

TAMPERINGS = {
    "dropped": "DROP TRIGGER hyperferry_forward_delete ON t",
    "disabled": "ALTER TABLE t DISABLE TRIGGER hyperferry_forward_update",
    "disabled and enabled again": "ALTER TABLE t DISABLE TRIGGER ALL; ALTER TABLE t ENABLE TRIGGER ALL",
    "disabled and enabled as it was": "ALTER TABLE t DISABLE TRIGGER hyperferry_forward_insert;"
    "ALTER TABLE t ENABLE ALWAYS TRIGGER hyperferry_forward_insert",
    "no longer always": "ALTER TABLE t ENABLE TRIGGER hyperferry_forward_truncate",
    "made anew": "DROP TRIGGER hyperferry_forward_truncate ON t; CREATE TRIGGER hyperferry_forward_truncate AFTER TRUNCATE ON t "
    "EXECUTE FUNCTION hyperferry.forward_truncate_1(); ALTER TABLE t ENABLE ALWAYS TRIGGER hyperferry_forward_truncate",
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_triggers_that_somebody_touched_are_noticed_by_every_step(captured: Make, tampering: str) -> None:
    job = captured(HOURS, options=THIRDS)
    job.copy_next()
    job.run("UPDATE {table} SET v = 'x' WHERE id = 1")
    job.db.execute(TAMPERINGS[tampering])
    before = job.run("SELECT count(*), sum(hashtext(t::text)) FROM {shadow} AS t")
    for step in (job.copy_next, job.apply, job.verify, job.start):
        with pytest.raises(CaptureBroken):
            step()
    assert job.run("SELECT count(*), sum(hashtext(t::text)) FROM {shadow} AS t") == before
    assert job.phase() == "copying"


CHANGES = {
    "a column more": "ALTER TABLE t ADD extra integer",
    "a column less": "ALTER TABLE t DROP v",
    "another type": "ALTER TABLE t ALTER v TYPE varchar(40)",
    "another name of a column": "ALTER TABLE t RENAME v TO w",
    "nullable": "ALTER TABLE t ALTER at DROP NOT NULL",
    "another table of the name": "ALTER TABLE t RENAME TO gone; CREATE TABLE t (LIKE gone INCLUDING ALL)",
    "no table of the name": "ALTER TABLE t RENAME TO gone",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_is_not_what_the_plan_saw_is_left_alone(captured: Make, change: str) -> None:
    job = captured(HOURS, options=THIRDS)
    job.copy_next()
    job.run("UPDATE {table} SET v = 'x' WHERE id = 1")
    job.db.execute(CHANGES[change])
    for step in (job.copy_next, job.apply):
        with pytest.raises((SchemaChanged, psycopg.errors.UndefinedTable)):
            step()
    assert job.value("SELECT count(*) FROM {shadow}") == 100
    assert job.value("SELECT count(*) FROM {shadow} WHERE v = 'x'") == 0


def test_a_shadow_that_somebody_changed_is_noticed(captured: Make) -> None:
    job = captured(HOURS, options=THIRDS)
    job.run("ALTER TABLE {shadow} ADD extra integer")
    with pytest.raises(SchemaChanged):
        job.copy_next()


# An owner sees the whole table, or an error.


def test_an_owner_under_forced_row_security_copies_no_half_table(captured: Make, db: Any) -> None:
    owner = db.make_role("owner")
    job = captured(HOURS, options=THIRDS, role=owner)
    job.copy_next()
    job.run("UPDATE {table} SET v = v || '!'")
    job.run("CREATE POLICY half ON {table} USING (id % 2 = 0)")
    job.run("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    assert job.run("SELECT count(*) FROM {table}", role=owner) == [(150,)]

    for step in (job.copy_next, job.apply, job.verify):
        with pytest.raises(Exception, match="row-level security"):
            step()
    assert job.value("SELECT count(*) FROM {shadow}") == 100, "nothing was deleted, nothing copied by half"
    assert job.backlog() == 300

    job.run("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    job.copy_all().apply()
    job.assert_equal()


# We yield.


def test_no_lock_is_waited_for_as_long_as_deadlock_timeout(job: Make) -> None:
    """A writer that does not end: capture asks again and again, and other writers get through in between."""
    made = job(HOURS, options=THIRDS)
    _ = made.plan
    with made.db.connect(autocommit=False) as parked, sampled(made) as worst:
        parked.execute("UPDATE t SET v = 'parked' WHERE id = 1")
        capturing = aside(made.capture)
        for number in range(2, 7):
            made.until_a_rollout_waits()
            made.db.execute(f"UPDATE t SET v = 'got through' WHERE id = {number}")
        assert not capturing.done()
        parked.commit()
        capturing.result(60)
        longest_wait, oldest = worst()
    assert 0 < longest_wait < 1.0, "deadlock_timeout is 1 s"
    assert oldest < 3.0
    made.cut().copy_all().apply()
    made.assert_equal()


def test_the_limit_follows_a_smaller_deadlock_timeout(job: Make) -> None:
    made = job(HOURS, options=THIRDS)
    made.db.execute(f'ALTER DATABASE "{made.db.name}" SET deadlock_timeout = 100')
    with connect(made.db.dsn) as conn:
        assert conn.execute("SHOW lock_timeout").fetchone() == ("50ms",)


def test_in_a_deadlock_with_the_application_it_is_we_who_give_way(job: Make) -> None:
    """Two writers wait in a ring through our request; neither gets an error."""
    made = job(HOURS + "CREATE TABLE other (n integer); INSERT INTO other VALUES (0)", options=THIRDS)
    _ = made.plan
    with made.db.connect(autocommit=False) as one, made.db.connect(autocommit=False) as two:
        one.execute("UPDATE t SET v = 'one' WHERE id = 1")
        two.execute("UPDATE other SET n = 2")
        waiting = aside(lambda: one.execute("UPDATE other SET n = n + 1"))  # one waits for two
        capturing = aside(made.capture)  # we wait for one
        made.until_a_rollout_waits()
        two.execute("UPDATE t SET v = 'two' WHERE id = 2")  # two waits for us
        two.commit()
        waiting.result(60)
        one.commit()
    capturing.result(60)
    assert made.db.execute("SELECT v FROM t WHERE id < 3 ORDER BY id") == [("one",), ("two",)]


@pytest.mark.parametrize("step", ["copy", "apply", "verify"])
def test_a_step_that_waits_for_the_shadow_holds_nothing_of_the_applications(copied: Make, step: str) -> None:
    """An ACCESS EXCLUSIVE of the application's would else queue up behind us for as long."""
    job = copied(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET v = 'x' WHERE id < 50")
    flow, conn = job.flow, job.session()
    steps = {
        "copy": lambda: copy_next(conn, flow),
        "apply": lambda: job.applier(conn).drain(pending_batches=True),
        "verify": job.verify,
    }
    with job.db.connect(autocommit=False) as parked:
        job.on(parked, "LOCK TABLE {shadow} IN ACCESS EXCLUSIVE MODE")
        running = aside(steps[step])
        job.until_we_wait("{shadow}")
        assert not held_by_our_waiting_session(job)
        job.db.execute("SET lock_timeout = 100; ALTER TABLE t SET (fillfactor = 90)")
        parked.rollback()
    running.result(60)


def test_abort_holds_nothing_of_the_applications_while_it_waits(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    with job.db.connect(autocommit=False) as reader, sampled(job) as worst:
        reader.execute("SELECT count(*) FROM t")
        aborting = aside(job.abort)
        job.until_a_rollout_waits()
        assert not held_by_our_waiting_session(job)
        job.db.execute("UPDATE t SET v = 'got through' WHERE id = 5")
        reader.rollback()
        aborting.result(60)
        assert worst()[0] < 1.0
    assert job.phase() == "aborted"


def test_no_transaction_of_ours_outlives_a_batch(job: Make) -> None:
    """While the rollout is paused, none is open; the planner of a long job must not hold back vacuum."""
    made = job(HOURS, options=PlanOptions(chunk_interval="365 days", batch_rows=10))
    made.cut()
    from hyperferry import engine

    engine.pause(made.dsn, made.table.quoted)
    stop = threading.Event()
    running = aside(lambda: made.start(stop=stop))
    eventually("three sessions of ours are idle", lambda: made.value(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^hyperferry (copy|apply|start)' AND datname = current_database() "
        "AND state = 'idle' AND xact_start IS NULL AND clock_timestamp() - state_change > '0.1 s'") >= 3)  # fmt: skip
    engine.resume(made.dsn, made.table.quoted)
    with sampled(made) as worst:
        assert running.result(60).phase == "synced"
        assert worst()[1] < 5.0


def test_refusals_are_exit_code_three() -> None:
    assert {error.exit_code for error in (SchemaChanged, CaptureBroken, Refused)} == {3}
