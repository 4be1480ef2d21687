"""The change log stays small, whoever keeps its dead rows from being cleaned, and no row of it is lost over that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from job import HOURS, Job, Make, aside, eventually

from hyperferry import advance
from hyperferry.apply import tidy_log
from hyperferry.apply.tidy import EMPTY_BYTES
from hyperferry.ledger.transaction import flow_transaction
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.report import StatusReport
from hyperferry.model.rollout import Phase
from hyperferry.strategies import blue_green
from hyperferry.strategies.monitor import Monitor

PART = 256 << 10


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperferry.apply.tidy.PART_BYTES", PART)


def in_step(job: Job) -> None:
    """One round of what `sync` does."""
    blue_green.KeepInStep(job.conn, Monitor(threading.Event()))(job.rollout)


def sizes(job: Job) -> tuple[int, int]:
    """Bytes of the log's two parts."""
    log, spare = job.flow.log.as_string(None), job.flow.spare_log.as_string(None)
    row = job.run(f"SELECT pg_total_relation_size('{log}'), pg_total_relation_size('{spare}')")[0]
    return int(row[0]), int(row[1])


def changes(job: Job, number: int) -> None:
    """More than a part has room for."""
    job.run(
        "INSERT INTO {table} SELECT i, '2024-06-01', 'new' FROM generate_series(%s::int, %s::int) AS i",
        1000 + number * 4000,
        4999 + number * 4000,
    )


@pytest.fixture
def held(copied: Make) -> Iterator[Job]:
    """A job under somebody else's long transaction, whose snapshot keeps every dead row."""
    job = copied(HOURS)
    with job.application() as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        conn.execute("SELECT count(*) FROM t")
        yield job


def test_under_a_long_transaction_the_log_stays_small(held: Job) -> None:
    """Twelve times what a part may hold goes through; at the end no more than two parts are there."""
    for number in range(12):
        changes(held, number)
        held.apply()
        in_step(held)
        in_step(held)
    assert sum(sizes(held)) < 4 * PART
    held.assert_equal()
    status = held.status()
    assert status.log_bytes == sum(sizes(held))
    assert status.backlog == 0
    holder = status.xmin_holder
    assert holder is not None
    assert holder.pid in [
        row[0]
        for row in held.run(
            "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()"
        )
    ]


def test_a_writer_that_is_still_open_is_not_waited_for_and_not_lost(copied: Make) -> None:
    """Its rows lie in the part that was left: that part is emptied only when they are applied."""
    job = copied(HOURS)
    with job.application() as writer:
        changes(job, 0)
        job.on(writer, "UPDATE {table} SET v = 'late' WHERE id = 5")
        job.apply()
        in_step(job)  # goes over
        job.run("UPDATE {table} SET v = 'elsewhere' WHERE id = 6")
        job.apply()
        big = sizes(job)
        assert not tidy_log(job.conn, job.flow)
        assert sizes(job)[0] == big[0] > PART
        # Nobody was kept waiting, and nothing is held.
        job.run("UPDATE {table} SET v = 'and on' WHERE id = 7")
        writer.commit()
    assert job.backlog() == 2
    assert not tidy_log(job.conn, job.flow), "the part still has a row"
    job.apply()
    assert tidy_log(job.conn, job.flow)
    assert sizes(job)[0] <= EMPTY_BYTES
    job.assert_equal()


def test_an_older_snapshot_keeps_the_part(copied: Make) -> None:
    """A verification that looks at a range must find in the log what its snapshot shows there."""
    job = copied(HOURS)
    changes(job, 0)
    with flow_transaction(job.session(), job.flow, snapshot=True):
        job.apply()
        in_step(job)
        assert not tidy_log(job.conn, job.flow)
        assert sizes(job)[0] > PART
    assert tidy_log(job.conn, job.flow)


def test_while_it_is_emptied_writers_write(copied: Make) -> None:
    """The lock on the part that was left is nobody's who writes now."""
    job = copied(HOURS)
    changes(job, 0)
    job.apply()
    in_step(job)
    emptier = job.session()
    with emptier.transaction():
        emptier.execute(job.sql("LOCK TABLE ONLY {log} IN ACCESS EXCLUSIVE MODE"))
        aside(lambda: changes(job, 1)).result(60)
        aside(lambda: job.run("UPDATE {table} SET v = 'x' WHERE id < 9")).result(60)
    job.apply()
    job.assert_equal()


def test_its_commit_waits_for_no_standby(copied: Make) -> None:
    """It holds the part's lock meanwhile; a synchronous standby may answer late."""
    job = copied(HOURS)
    changes(job, 0)
    job.apply()
    in_step(job)
    job.db.execute(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION USING MESSAGE = 'commits ' || current_setting('synchronous_commit'); END $$; "
        "CREATE TRIGGER tell BEFORE TRUNCATE ON hyperferry.forward_log_1 EXECUTE FUNCTION tell()"
    )
    with pytest.raises(psycopg.errors.RaiseException, match="commits off"):
        tidy_log(job.conn, job.flow)


@pytest.mark.parametrize("part", ["log", "spare_log"])
def test_while_a_part_is_locked_a_copy_goes_on_and_its_progress_is_not_told(
    job: Make, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    made = job(HOURS, options=PlanOptions(chunk_interval="365 days", batch_rows=20, workers=1)).cut()
    told, failed, told_now = [0], threading.Event(), advance.status_now

    def status_now(*args: Any) -> StatusReport:
        try:
            return told_now(*args)
        except psycopg.errors.LockNotAvailable:
            failed.set()
            raise

    def progress(report: StatusReport) -> None:
        told.append(report.batches_done)

    monkeypatch.setattr(advance, "status_now", status_now)
    with made.application() as holder:
        made.on(holder, f"LOCK TABLE ONLY hyperferry.forward_{part}_1 IN ACCESS EXCLUSIVE MODE")
        started = aside(lambda: made.start(progress=progress))
        eventually("a progress line failed", failed.is_set)
    assert started.result(60).phase == "synced"
    assert told[-1] == 15
    made.assert_equal()


def test_a_swap_in_between_leaves_capture_as_it_should_be(synced: Make) -> None:
    """Parts change hands in both directions, there and back and there again; no change is lost."""
    job = synced(HOURS)
    for phase, swap in (
        (Phase.SYNCED, job.cutover),
        (Phase.CUT_OVER, job.rollback),
        (Phase.ROLLED_BACK, job.cutover),
        (Phase.CUT_OVER, lambda: None),
    ):
        assert job.phase() == phase
        for number in range(3):
            job.run("DELETE FROM {table} WHERE id >= 1000")
            changes(job, number)
            job.run("UPDATE {table} SET v = v || '.' WHERE id < 50")
            in_step(job)
            in_step(job)
        eventually("applied", lambda: in_step(job) or job.backlog() == 0)
        job.assert_equal()
        swap()
    job.assert_equal()


def test_tidying_never_wakes_a_direction_that_sleeps(synced: Make) -> None:
    """Who still works by the flow of before a swap is told so, and replaces nothing."""
    job = synced(HOURS)
    changes(job, 0)
    before = job.flow
    job.apply()
    job.cutover()
    assert sizes(job) != (0, 0)
    bodies = (
        "SELECT proname, md5(prosrc) FROM pg_proc WHERE pronamespace = 'hyperferry'::regnamespace ORDER BY 1"
    )
    was = job.run(bodies)
    with pytest.raises(Exception, match=r"is not where|no longer the table"):
        tidy_log(job.conn, before)
    assert job.run(bodies) == was


def test_an_ended_rollout_leaves_no_part_behind(synced: Make) -> None:
    job = synced(HOURS)
    job.abort()
    assert job.db.execute("SELECT relname FROM pg_class WHERE relname ~ '_log_[0-9]+$'") == []


OPTIONS = (
    "SELECT c.relname, COALESCE(c.reloptions, '{{}}') || COALESCE(t.reloptions, '{{}}') FROM pg_class c "
    "LEFT JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.relnamespace = 'hyperferry'::regnamespace "
    "AND c.relname ~ '_log_[0-9]+$' AND c.relkind = 'r' ORDER BY 1"
)


def test_vacuum_gives_no_page_of_the_log_back_while_writers_write_to_it(copied: Make) -> None:
    """That takes ACCESS EXCLUSIVE on what every writer writes to, whenever the backlog was applied."""
    job = copied(HOURS)
    job.run("INSERT INTO {table} SELECT i, '2024-06-01', 'new' FROM generate_series(1000, 9000) AS i")
    log = job.flow.log.as_string(None)
    before = job.value(f"SELECT pg_relation_size('{log}')")
    assert before > 200_000
    job.apply()
    assert job.backlog() == 0
    for _ in range(2):
        job.run(f"VACUUM {log}")
    assert job.value(f"SELECT pg_relation_size('{log}')") == before


def test_no_part_of_a_log_may_be_truncated_by_vacuum(captured: Make) -> None:
    """Of neither direction; nor what of it is too long to stand in it (a key of text)."""
    options = captured("CREATE TABLE t (k text PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON t (at)").run(OPTIONS)
    assert len(options) == 4
    for name, set_ in options:
        assert set_.count("vacuum_truncate=false") == 2, f"{name}: {set_}"


def test_a_log_that_an_older_version_made_is_told_not_to_be_truncated(copied: Make) -> None:
    job = copied(HOURS)
    for part in (job.flow.log, job.flow.spare_log):
        job.run(f"ALTER TABLE {part.as_string(None)} RESET (vacuum_truncate)")
    with job.application() as writer:
        writer.execute("INSERT INTO t VALUES (2000, '2024-06-01', 'new')")
        in_step(job)  # nobody is waited for
        writer.commit()
    forward = [set_ for name, set_ in job.run(OPTIONS) if name.startswith("forward")]
    assert len(forward) == 2
    assert all("vacuum_truncate=false" in set_ for set_ in forward)
    assert not tidy_log(job.conn, job.flow), "it is done once"
