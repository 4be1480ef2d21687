"""What befell others (docs/peers.md), where no other test tells it: rows lost, cutovers stuck, copies without an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg
import pytest
from job import HOURS, THIRDS, Make, aside, eventually
from swap_support import (
    ALL,
    SMALL,
    WEEKS,
    Ready,
    assert_no_locks,
    before_swap_message,
    insert,
    ready_fixture,  # noqa: F401
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry.apply import Applier, applier
from hyperferry.apply.window import Slice
from hyperferry.db.sqlstate import is_lost_connection
from hyperferry.errors import Refused
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase

pytestmark = pytest.mark.usefixtures("full_time")


@pytest.mark.peer(number=1)
def test_a_change_leaves_the_log_only_with_its_effect(copied: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend dies when a slice is applied and taken from the log, and not committed: neither happened, and the next goes on."""
    job = copied(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET v = 'changed' WHERE id <= 40; DELETE FROM {table} WHERE id > 280")
    apply = Applier._apply

    def die(self: Applier, part: Slice) -> None:
        apply(self, part)
        job.run("SELECT pg_terminate_backend(%s, 10000)", self.conn.info.backend_pid)

    with monkeypatch.context() as patch:
        patch.setattr(Applier, "_apply", die)
        with pytest.raises(psycopg.Error) as caught:
            job.applier(job.session()).drain(pending_batches=True)
    assert is_lost_connection(caught.value)
    assert job.backlog() == 60
    assert job.value("SELECT count(*) FROM {shadow} WHERE v = 'changed' OR id > 280") == 20
    job.apply()
    assert job.backlog() == 0
    job.assert_equal()


@pytest.mark.peer(number=10)
@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_more_than_one_slice_is_applied_under_the_lock(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Between the last drain and the lock come many times as many changes as one slice takes: all of them are applied."""
    job = ready()
    if way == "rollback":
        job.cutover()
    monkeypatch.setattr(applier, "SLICE_ROWS", 20)

    def write(conn: Any) -> None:
        job.run("UPDATE t SET v = v + 1 WHERE id <= 150")
        job.run("DELETE FROM t WHERE id > 350")
        job.run("INSERT INTO t (at, note) SELECT timestamptz '2024-01-02' + i * interval '7 hours', 'late' FROM generate_series(1, 100) AS i")

    before_swap_message(monkeypatch, write)
    report = getattr(job, way)()
    assert (report.attempts, report.changes_under_lock) == (1, 300)
    assert job.value("SELECT count(*) FROM {table}") == 450
    assert job.value("SELECT count(*) FROM {table} WHERE note = 'late'") == 100
    same_after_sync(job)


@pytest.mark.peer(number=17)
def test_a_long_transaction_elsewhere_is_not_waited_for(job: Make) -> None:
    """Somebody reports from another table, or forgot to commit there: start, cutover, rollback and abort do not wait for him."""
    made = job(SMALL + "CREATE TABLE elsewhere AS SELECT 1 AS n;", options=WEEKS)
    _ = made.plan
    with made.db.connect(autocommit=False) as long:
        long.execute("UPDATE elsewhere SET n = 2")  # an old transaction id, and locks that are none of ours
        assert aside(made.start).result(60).phase is Phase.SYNCED
        insert(made)
        for way in (made.cutover, made.rollback):
            assert aside(lambda way=way: way(attempts=3)).result(60).attempts == 1  # type: ignore[misc]
            insert(made)
        made.sync()
        made.assert_equal()
        assert aside(made.abort).result(60).phase is Phase.ABORTED
        long.commit()


@pytest.mark.peer(number=18)
def test_ctrl_c_while_the_swap_waits_leaves_nobody_waiting(ready: Ready) -> None:
    """A session holds the table, we wait for it and another waits behind us: at Ctrl-C everybody but us goes on, without an error."""
    job = ready()
    with job.application() as holder:
        holder.execute("SELECT count(*) FROM t")
        program = subprocess.Popen(
            [sys.executable, "-m", "hyperferry", "cutover", "t", "--accept", "all"],
            env={**os.environ, "DATABASE_URL": job.db.dsn},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        here = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'hyperferry swap' AND datname = current_database()"
        eventually("it is about to swap", lambda: program.poll() is not None or job.db.execute(here), seconds=120)
        job.until_we_wait("{table}")
        writing = aside(lambda: insert(job))
        program.send_signal(signal.SIGINT)
        said = program.communicate(timeout=60)[1]
        assert program.returncode == 4, said
        new = writing.result(60)
        holder.execute("UPDATE t SET v = 5 WHERE id = 5")
        holder.commit()
    assert job.phase() == "synced"
    assert_no_locks(job.db)
    same_after_sync(job)
    assert job.value("SELECT count(*) FROM {shadow} WHERE id = %s", new) == 1


@pytest.mark.peer(number=19)
def test_a_copy_ends_while_rows_are_inserted_all_the_time(job: Make) -> None:
    """The batches are cut once and the last is open: what is inserted meanwhile comes by the log, and makes no new work for the copy."""
    made = job(SMALL, options=PlanOptions(chunk_interval="7 days", batch_rows=20, workers=2))
    made.cut()
    batches = made.value("SELECT count(*) FROM {batch}")
    stop, written = threading.Event(), [0]

    def write() -> None:
        with made.db.connect() as conn:
            while not stop.is_set():
                conn.execute(
                    "INSERT INTO t (at, n) SELECT now() + i * interval '1 hour', 1 FROM generate_series(-10, 10) AS i"
                )
                written[0] += 21
                time.sleep(0.005)  # 4,000 rows a second at most: not more than any machine can apply

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually("rows are coming", lambda: written[0])
        assert aside(made.start).result(120).phase is Phase.SYNCED
        before = written[0]
        eventually("they still come", lambda: written[0] > before)
    finally:
        stop.set()
        writer.join(20)
    assert made.run("SELECT count(*), count(*) FILTER (WHERE state = 'done') FROM {batch}") == [(batches, batches)]
    made.sync()
    assert made.value("SELECT count(*) FROM {shadow}") == 400 + written[0]
    made.assert_equal()


@pytest.mark.peer(number=20)
def test_an_update_across_chunks(ready: Ready) -> None:
    """Before the cutover it is carried over as DELETE and INSERT; the server refuses it afterwards, of which the cutover tells
    beforehand; and after a rollback it works again."""
    job = ready()
    across = "UPDATE t SET at = at + interval '20 days' WHERE id = 3"
    job.run(across)
    same_after_sync(job)
    with pytest.raises(Refused) as caught:
        job.cutover(accept=frozenset({"widened-key"}))
    assert set(caught.value.facts) == {"cross-chunk-updates"}
    job.cutover(accept=ALL)
    with pytest.raises(psycopg.errors.CheckViolation):
        job.run(across)
    job.run("WITH gone AS (DELETE FROM t WHERE id = 4 RETURNING *) "
            "INSERT INTO t SELECT id, at + interval '20 days', n, v, note FROM gone")  # fmt: skip
    same_after_sync(job)
    job.rollback()
    job.run(across)
    same_after_sync(job)


@pytest.mark.peer(number=21)
def test_a_foreign_key_that_points_at_the_table_is_never_broken_in_silence(job: Make) -> None:
    """A hypertable has no key of `id` alone that it could point at: refused before anything starts, and it holds as before."""
    made = job(SMALL + "CREATE TABLE child (t_id bigint REFERENCES t); INSERT INTO child VALUES (7);", options=WEEKS)
    with pytest.raises(Refused) as caught:
        made.start()
    assert "inbound-foreign-keys" in caught.value.facts
    assert "child" in str(caught.value)
    assert not made.db.execute("SELECT FROM pg_namespace WHERE nspname LIKE 'hyperferry%'")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        made.db.execute("DELETE FROM t WHERE id = 7")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        made.db.execute("INSERT INTO child VALUES (70000)")


@pytest.mark.peer(number=21)
def test_a_foreign_key_that_comes_to_point_at_the_table_later_stops_the_cutover(ready: Ready) -> None:
    job = ready()
    job.db.execute("CREATE TABLE child (t_id bigint REFERENCES t); INSERT INTO child VALUES (7)")
    with pytest.raises(Refused):
        job.cutover()
    assert job.phase() == "synced"
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        job.db.execute("DELETE FROM t WHERE id = 7")


@pytest.mark.peer(number=24)
def test_the_hypertable_has_the_tables_own_indexes_and_no_other(ready: Ready) -> None:
    """Alembic's autogenerate drops an index that TimescaleDB made and no model names. We have it make none: after the cutover the
    names are those of before, so there is nothing to drop. (That autogenerate itself leaves the table alone belongs to issue 6.)"""
    job = ready(SMALL.replace("CREATE INDEX t_at ON t (at);", ""))
    names = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 't'::regclass ORDER BY 1"
    before = job.run(names)
    assert before == [("t_pkey",)]
    for way in (job.cutover, job.rollback):
        way()
        assert job.run(names) == before
