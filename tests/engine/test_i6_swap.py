"""I6: the cutover is one transaction, and short: nothing that committed is lost, and it happens as a whole or not at all."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from job import Job, aside, eventually
from swap_support import (
    ALL,
    SMALL,
    VIEWED,
    Ready,
    assert_no_locks,
    before_swap_message,
    insert,
    outcome,
    ready_fixture,  # noqa: F401
    refused,
    relation_oid,
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry import engine
from hyperferry.cutover import before, block, runner
from hyperferry.errors import LockUnavailable, Refused, SchemaChanged
from hyperferry.model.rollout import Phase

pytestmark = pytest.mark.usefixtures("full_time")

REPEATABLE_READ = psycopg.IsolationLevel.REPEATABLE_READ


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
    for _ in range(10):  # a wait that is too long gives way, and then nothing is applied under the lock
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


def test_a_backlog_that_is_spread_over_too_many_chunks_gives_way(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each chunk takes its time under the lock; after a few attempts more are borne."""
    job = ready()
    chunks = job.value(
        "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_schema LIKE 'hyperferry_new_%'"
    )
    assert chunks >= 2
    monkeypatch.setattr(block, "CHUNKS_UNDER_LOCK", 1)
    monkeypatch.setattr(block, "ATTEMPTS_ALIKE", 2)
    for way in ("cutover", "rollback"):
        before_swap_message(monkeypatch, lambda conn: job.run("UPDATE t SET v = v + 1") and None, times=99)
        report = getattr(job, way)()
        assert report.attempts >= 3
        assert any("too many chunks" in line for line in job.said)
        monkeypatch.undo()
        monkeypatch.setattr(block, "CHUNKS_UNDER_LOCK", 1)
        monkeypatch.setattr(block, "ATTEMPTS_ALIKE", 2)
        job.said.clear()
        same_after_sync(job)


@pytest.mark.parametrize(
    ("attempt", "chunks"), [(1, 60), (10, 60), (11, 120), (21, 240), (61, 2_000), (10_000, 2_000)]
)
def test_how_many_chunks_are_borne(attempt: int, chunks: int) -> None:
    assert block.most_chunks(attempt) == chunks


@pytest.mark.parametrize(
    ("chunks", "cost"), [(0, 1), (31, 1), (32, 2), (640, 21), (1_000, 30), (100_000, 30)]
)
def test_what_a_statement_on_the_root_counts_for(chunks: int, cost: int) -> None:
    assert block.root_cost(chunks) == cost


def test_changes_that_no_chunk_takes_yet_count_too(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go to the root, where each statement is planned over every chunk."""
    job = ready()
    monkeypatch.setattr(block, "CHUNKS_UNDER_LOCK", 2)
    far = "INSERT INTO t (at, note) SELECT timestamptz '2030-01-01' + i * interval '30 days', 'far' FROM generate_series(1, 5) AS i"
    before_swap_message(monkeypatch, lambda conn: job.run(far) and None)
    report = job.cutover()
    assert report.attempts == 2
    assert [line for line in job.said if line.startswith("attempt 1 gave way") and "too many chunks" in line]
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


def test_nobody_waits_behind_an_attempt_that_an_older_snapshot_forbids(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is seen before the locks; and once it is gone the swap happens in the same attempt."""
    job = ready()
    tried: list[int] = []
    try_once = runner._try_once

    def counted(*given: Any) -> int | None:
        tried.append(1)
        return try_once(*given)

    monkeypatch.setattr(runner, "_try_once", counted)
    with job.application() as app:
        app.isolation_level = REPEATABLE_READ
        app.execute("SELECT count(*) FROM pg_class")
        with pytest.raises(LockUnavailable, match="older than the swap"):
            job.cutover(accept=frozenset({"widened-key"}), attempts=2)
        assert not tried
        monkeypatch.setattr(before, "LOOK_SECONDS", 60.0)
        swap = aside(lambda: job.cutover(accept=frozenset({"widened-key"}), attempts=1))
        eventually("it looks", lambda: looks_for_snapshots(job) or swap.done())
        app.commit()
        assert outcome(swap).phase is Phase.CUT_OVER
    assert len(tried) == 1
    same_after_sync(job)


def looks_for_snapshots(job: Job) -> bool:
    """Whether the swap's last statement was to ask who holds one."""
    return bool(
        job.db.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND query LIKE '%that are idle in a transaction and hold a snapshot%'"
        )
    )


def test_one_that_takes_its_snapshot_after_the_look_is_seen_by_the_swap(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look before the locks and the last act before the commit."""
    job = ready()
    drain = runner.drain_again
    with job.application() as app:
        app.isolation_level = REPEATABLE_READ

        def drained(applier: Any) -> None:
            drain(applier)
            app.execute("SELECT count(*) FROM pg_class")

        monkeypatch.setattr(runner, "drain_again", drained)
        with pytest.raises(LockUnavailable, match="older than the swap") as caught:
            job.cutover(accept=frozenset({"widened-key"}), attempts=1)
        assert f"pid {app.info.backend_pid} " in str(caught.value)
    assert job.phase() == "synced"


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


def test_a_dry_run_says_that_the_table_was_changed(ready: Ready) -> None:
    """As the cutover would, which ends with exit code 3."""
    job = ready()
    job.db.execute("CREATE INDEX t_note ON t (note)")
    (refusal,) = engine.cutover_dry_run(job.db.dsn, "t", accept=ALL).refusals
    assert "index t_note is new" in refusal
    assert "What to do: " in refusal
    with refused(job, SchemaChanged, "was changed since"):
        job.cutover()
    job.db.execute("DROP INDEX t_note")
    assert engine.cutover_dry_run(job.db.dsn, "t", accept=ALL).refusals == ()


def test_a_dry_run_says_that_the_plan_drops_no_such_key_or_publication(ready: Ready) -> None:
    job = ready()
    with pytest.raises(Refused, match=r"nothing of dropping public\.nobodys"):
        job.cutover(drop_inbound_fks=("public.nobodys.key",))
    wrong = {"drop_inbound_fks": ("public.nobodys.key",), "drop_from_publications": ("nobodys",)}
    (refusal,) = engine.cutover_dry_run(job.db.dsn, "t", accept=ALL, **wrong).refusals  # type: ignore[arg-type]
    assert "nobodys.key" in refusal
    assert refusal.count("nobodys") >= 2
    assert engine.cutover_dry_run(job.db.dsn, "t", accept=ALL).refusals == ()


def test_a_dry_run_says_that_rows_are_in_quarantine(ready: Ready) -> None:
    job = ready(SMALL.replace("at timestamptz NOT NULL", "at timestamptz"))
    assert engine.cutover_dry_run(job.db.dsn, "t", accept=ALL).refusals == ()
    job.run("INSERT INTO t (at, n) VALUES (NULL, 1)")
    job.sync()
    (refusal,) = engine.cutover_dry_run(job.db.dsn, "t", accept=ALL).refusals
    assert "1 pair in quarantine" in refusal
    with pytest.raises(Refused):
        job.cutover()
    job.run("DELETE FROM t WHERE at IS NULL")
    job.sync()
    assert engine.cutover_dry_run(job.db.dsn, "t", accept=ALL).refusals == ()


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
    left = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hyperferry swap'"
    eventually("the server's side has ended too", lambda: not job.db.execute(left), seconds=10)
