"""Autovacuum is always at work, slowly: whatever we do comes to its end all the same, and nobody waits for long."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from job import Job, aside, eventually
from swap_support import Sessions

import servers
from hyperferry import sandbox
from hyperferry.db import autovacuum, yield_and_retry
from hyperferry.errors import LockUnavailable
from hyperferry.model.plan_options import PlanOptions
from hyperferry.strategies import ending
from kit import tables
from servers import Database, Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def vacuuming() -> Iterator[Server]:
    """A sandbox of our own: autovacuum looks every second."""
    if os.environ.get("HYPERFERRY_TEST_RUN") is None:
        pytest.skip("no run")
    name = f"test-{os.environ['HYPERFERRY_TEST_RUN']}-vacuum{os.getpid()}"
    made = sandbox.up(name, release="stable", fast=True)
    with psycopg.connect(made.dsn, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        conn.execute("ALTER SYSTEM SET autovacuum = on")
        conn.execute("SELECT pg_reload_conf()")
    yield Server("stable", made.dsn, made.bin_dir)
    sandbox.down(name)


@pytest.fixture
def db(vacuuming: Server) -> Iterator[Database]:
    """A database there."""
    made = servers.make_database(vacuuming)
    yield made
    servers.drop_database(made)


SLOWLY = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"
ALWAYS = f"ALTER TABLE {{}} SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, {SLOWLY})"


def slow_job(db: Database, rows: int = 20_000) -> Job:
    """A table whose dead rows are vacuumed at once, and for a minute or more."""
    with db.connect() as conn:
        table = tables.player_stats(conn, rows=rows)
        conn.execute(ALWAYS.format("player_stats"))
    return Job(db, table, PlanOptions(chunk_interval="30 days"))


def vacuumed(db: Database, like: str) -> Any:
    """The relations of that name on which an autovacuum is at work."""
    return db.execute(
        "SELECT l.relation::regclass FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation "
        "WHERE a.backend_type = 'autovacuum worker' AND a.datname = current_database() "
        f"AND l.mode = 'ShareUpdateExclusiveLock' AND c.relname LIKE '{like}'"
    )


def test_an_autovacuum_in_the_way_is_cancelled(db: Database) -> None:
    job = slow_job(db)
    _ = job.plan

    for step in (job.start, job.cutover):
        db.execute("UPDATE player_stats SET value = 0 WHERE id % 3 = 0")
        eventually("an autovacuum is at work", lambda: vacuumed(db, "player_stats"), seconds=90)
        began = time.monotonic()
        aside(step).result(90)
        assert time.monotonic() - began < 60
    assert job.phase() == "cut_over"
    job.close()


def test_abort_ends_while_autovacuum_is_at_work_on_the_source_and_the_shadow(db: Database) -> None:
    job = slow_job(db)
    job.start()
    for chunk in db.execute("SELECT show_chunks('hyperferry_new_1.player_stats')::text"):
        db.execute(ALWAYS.format(chunk[0]))
    db.execute("UPDATE player_stats SET value = 0 WHERE id % 3 = 0")
    job.sync()
    eventually("it is at work on the source", lambda: vacuumed(db, "player_stats"), seconds=90)
    eventually("it is at work on chunks", lambda: vacuumed(db, r"\_hyper%chunk"), seconds=90)
    assert aside(job.abort).result(150).phase == "aborted"
    job.close()


def test_finish_ends_while_autovacuum_is_at_work_on_the_chunks_and_on_old(db: Database) -> None:
    """A worker that is cancelled goes on with the next chunk at once: all of them together are never free."""
    job = slow_job(db)
    job.start()
    job.cutover()
    for chunk in db.execute("SELECT show_chunks('player_stats')::text"):
        db.execute(ALWAYS.format(chunk[0]))
    db.execute("UPDATE player_stats SET value = 0 WHERE id % 3 = 0")
    job.sync()
    eventually("it is at work on chunks", lambda: len(vacuumed(db, r"\_hyper%chunk")) >= 2, seconds=90)
    eventually("it is at work on old", lambda: vacuumed(db, "player_stats"), seconds=120)
    insert = (
        "INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date) SELECT 1, 1, 'x', 1, d "
        "FROM generate_series(timestamptz '2020-08-02', '2021-05-01', '30 days') AS d"
    )
    with Sessions(db.dsn, lambda conn: conn.execute(insert)) as writers:
        assert aside(job.finish).result(150).phase == "finished"
    assert not writers.errors
    assert writers.done
    assert writers.worst < 5.0, "one deadlock_timeout after the other: somebody waited behind us"
    assert not db.execute("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'hyperferry%'")
    job.close()


CHUNKS_CHANGE = {
    "foreign key": "CREATE TABLE stat (type text PRIMARY KEY); INSERT INTO stat SELECT DISTINCT stat_type FROM player_stats; "
    "ALTER TABLE player_stats ADD FOREIGN KEY (stat_type) REFERENCES stat",
    "row trigger": "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'; "
    "CREATE TRIGGER touch BEFORE UPDATE ON player_stats FOR EACH ROW EXECUTE FUNCTION touch()",
}


@pytest.mark.parametrize(
    ("what", "quick"), [("foreign key", True), ("row trigger", False)], ids=["foreign key", "row trigger"]
)
def test_the_swap_ends_while_autovacuum_is_at_work_on_chunks_that_it_changes(
    db: Database, monkeypatch: pytest.MonkeyPatch, what: str, quick: bool
) -> None:
    """Each is changed, so all have to be free at one moment; on the way back the application uses them. A role that may not
    set deadlock_timeout sends each worker off after a second only."""
    if not quick:
        monkeypatch.setattr(autovacuum, "_quick_check", lambda: "BEGIN END")
    with db.connect() as conn:
        table = tables.player_stats(conn, rows=20_000)
    db.execute(CHUNKS_CHANGE[what])
    job = Job(db, table, PlanOptions(chunk_interval="30 days"))
    job.start()
    for chunk in db.execute("SELECT show_chunks('hyperferry_new_1.player_stats')::text"):
        db.execute(ALWAYS.format(chunk[0]))
    writes = "UPDATE player_stats SET value = value + 1 WHERE id = 5"
    for number, step in enumerate((job.cutover, job.rollback)):
        db.execute(f"UPDATE player_stats SET value = {number} WHERE id % 3 = 0")
        job.sync()
        eventually("it is at work on chunks", lambda: len(vacuumed(db, r"\_hyper%chunk")) >= 2, seconds=90)
        with Sessions(db.dsn, lambda conn: conn.execute(writes)) as writers:
            report = aside(lambda step=step: step(attempts=10)).result(90)
        assert report.attempts <= 10
        assert not writers.errors
        assert writers.worst < 2.0
    assert job.phase() == "rolled_back"
    job.close()


def against_wraparound(db: Database) -> Any:
    """The worker that is on player_stats against wraparound. An ordinary one is sent away: it may have looked before the
    limit was set, and would be at work for minutes."""
    found = db.execute(
        "SELECT pid, query FROM pg_stat_activity WHERE query LIKE 'autovacuum:%player_stats%' AND datname = current_database()"
    )
    for pid, query in found:
        if "to prevent wraparound" not in query:
            db.execute(f"SELECT pg_cancel_backend({pid})")
    return [pid for pid, query in found if "to prevent wraparound" in query]


def test_one_against_wraparound_is_named_and_not_waited_for_without_end(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = slow_job(db, rows=80_000)  # it must last, however busy the machine
    job.start()
    db.execute("CREATE TABLE burnt (i integer)")
    db.execute(
        "DO $$ BEGIN FOR i IN 1..110000 LOOP BEGIN INSERT INTO burnt VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; "
        "END; END LOOP; END $$"
    )
    db.execute("ALTER TABLE player_stats SET (autovacuum_freeze_max_age = 100000)")
    eventually("one against wraparound is at work", lambda: against_wraparound(db), seconds=120)
    monkeypatch.setattr(
        ending, "yield_and_retry", lambda *args, **options: yield_and_retry(*args, **options, attempts=3)
    )
    with pytest.raises(LockUnavailable, match="to prevent wraparound") as caught:
        aside(job.abort).result(60)
    assert "gives way to nobody" in str(caught.value.remedy)
    assert job.phase() == "synced"
    job.close()
