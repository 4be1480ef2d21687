"""I2: a copy is a committed state."""

from __future__ import annotations

import itertools
from typing import Any

import psycopg
import pytest
from job import HOURS, THIRDS, Job, Make, aside

from hyperferry.copy import copier, whole_index
from hyperferry.copy.copier import Outcome
from hyperferry.db import is_lost_connection
from hyperferry.errors import Refused
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from hyperferry.strategies import workers
from kit import tables


@pytest.fixture
def cut(captured: Make) -> Job:
    """300 rows in three batches; none is copied."""
    return captured(HOURS, options=THIRDS)


def states(job: Job) -> list[str]:
    """The batches' states in order."""
    return [row[0] for row in job.run("SELECT state FROM {batch} ORDER BY id")]


# Batches cover everything.


def test_batches_are_open_at_both_ends_and_leave_no_gap(cut: Job) -> None:
    found = cut.run("SELECT lo_t, hi_t FROM {batch} ORDER BY id")
    assert len(found) == 3
    assert found[0][0] is None
    assert found[-1][1] is None
    assert all(one[1] == other[0] is not None for one, other in itertools.pairwise(found))


LACKING = """
DROP INDEX t_at; CREATE INDEX t_at ON t (at) WHERE id <= 200;
UPDATE pg_index SET indpred = NULL WHERE indexrelid = 't_at'::regclass;
"""
"""An index that says that it has every row, and has not."""


def test_a_broken_index_is_found_before_anything_is_copied_by_it(job: Make) -> None:
    """Neither the copy nor the verification, which read by it, would miss what it does not give."""
    one = job(HOURS + LACKING, options=THIRDS)
    with pytest.raises(Refused, match=r"100 rows .* are not found by its index on at"):
        one.start()
    assert one.phase() == "prepared"
    one.run("REINDEX TABLE t")
    one.run("ANALYZE t")
    assert one.start().phase is Phase.SYNCED
    one.assert_equal()
    assert one.value("SELECT count(*) FROM {shadow}") == 300


LARGE = HOURS.replace("generate_series(1, 300)", "generate_series(1, 20000)").replace("'row ' || i", "repeat('wide', 200)")


@pytest.mark.parametrize("seen", [True, False], ids=["all visible", "just written"])
def test_a_broken_index_is_found_on_a_table_whose_pages_do_not_fit_into_work_mem(job: Make, seen: bool) -> None:
    """There a bitmap gives whole pages, with the rows on them that the index lacks."""
    one = job(LARGE + LACKING.replace("id <= 200", "id % 7 <> 0"), options=THIRDS)
    if seen:
        one.db.execute("VACUUM t")
    one.db.execute(f"ALTER DATABASE {one.db.name} SET work_mem = '64kB'")
    with pytest.raises(Refused, match=r"2,857 rows .* are not found by its index on at"):
        one.start()
    one.run("REINDEX TABLE t")
    assert one.start().phase is Phase.SYNCED
    assert not any("was not looked at" in line for line in one.said)


def test_an_index_that_takes_too_long_is_not_looked_at_and_that_is_said(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_index, "SECONDS", 0.001)
    one = job(HOURS, options=THIRDS)
    one.db.execute("INSERT INTO t SELECT i, '2024-02-01', 'more' FROM generate_series(1000, 200000) AS i")
    assert one.start().phase is Phase.SYNCED
    assert any("whether the index by at gives every row" in line for line in one.said)


def test_the_table_is_not_read_whole_for_a_batch(cut: Job) -> None:
    """Even where the planner takes that for cheaper: it does not know that the rows of a time lie together."""
    cut.run("VACUUM ANALYZE {source}")
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 't'::regclass"
    cut.on(cut.conn, "SELECT pg_stat_force_next_flush()")
    before = cut.value(scans)
    cut.copy_all()
    cut.on(cut.conn, "SELECT pg_stat_force_next_flush()")
    assert cut.value(scans) == before
    cut.on(cut.conn, "SELECT count(v) FROM {source} WHERE at < '2024-01-06'")
    cut.on(cut.conn, "SELECT pg_stat_force_next_flush()")
    assert cut.value(scans) == before + 1


@pytest.mark.parametrize("builder", sorted(tables.BUILDERS))
def test_every_row_of_every_kind_of_table_is_copied_once(captured: Make, builder: str) -> None:
    width = "300" if builder == "integer_time" else "20 days"
    job = captured(
        tables.BUILDERS[builder], options=PlanOptions(chunk_interval=width, batch_rows=150)
    ).copy_all()
    assert job.value("SELECT sum(rows) FROM {batch}") == job.table.rows
    job.assert_equal()


def test_more_rows_of_one_time_than_a_batch_should_have(captured: Make) -> None:
    job = captured(
        "CREATE TABLE t (id integer PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON t (at);"
        "INSERT INTO t SELECT i, timestamptz '2024-01-01' + (i / 50) * interval '1 day' FROM generate_series(1, 200) AS i",
        options=PlanOptions(chunk_interval="1 day", batch_rows=10),
    )
    job.copy_all()
    assert job.value("SELECT max(rows) FROM {batch}") == 50
    job.assert_equal()


def test_an_empty_table_is_one_batch(captured: Make) -> None:
    job = captured(
        "CREATE TABLE t (id integer PRIMARY KEY, at timestamptz NOT NULL)",
        options=PlanOptions(chunk_interval="1 day"),
    )
    job.copy_all()
    assert states(job) == ["done"]


# Recorded with its rows.


@pytest.mark.peer(number=1)
def test_a_batch_is_recorded_in_the_transaction_that_wrote_it(
    cut: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backend dies when the rows are written and the batch is about to be recorded: neither is there."""
    record = copier._done

    def die(conn: Any, *rest: Any) -> None:
        cut.run("SELECT pg_terminate_backend(%s, 10000)", conn.info.backend_pid)
        record(conn, *rest)

    monkeypatch.setattr(copier, "_done", die)
    with pytest.raises(psycopg.Error) as caught:
        copier.copy_next(cut.session(), cut.flow)
    assert is_lost_connection(caught.value)
    assert cut.value("SELECT count(*) FROM {shadow}") == 0
    assert states(cut) == ["pending"] * 3

    monkeypatch.undo()
    cut.copy_all()
    cut.assert_equal()


@pytest.mark.peer(number=1)
def test_a_batch_that_is_recorded_and_not_committed_is_not_done(
    cut: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = copier._done

    def die(conn: Any, *rest: Any) -> None:
        record(conn, *rest)
        cut.run("SELECT pg_terminate_backend(%s, 10000)", conn.info.backend_pid)

    monkeypatch.setattr(copier, "_done", die)
    with pytest.raises(psycopg.Error):
        copier.copy_next(cut.session(), cut.flow)
    assert (cut.value("SELECT count(*) FROM {shadow}"), states(cut)) == (0, ["pending"] * 3)


def test_a_batch_that_another_copier_has_is_left_to_it(cut: Job) -> None:
    with cut.db.connect(autocommit=False) as other:
        cut.on(other, "SELECT id FROM {batch} ORDER BY id LIMIT 1 FOR UPDATE")
        assert cut.copy_next().batch == 2
        assert cut.copy_next().batch == 3
        assert cut.copy_next().outcome is Outcome.NONE_LEFT
        assert states(cut) == ["pending", "done", "done"]
        other.rollback()
    assert cut.copy_next().batch == 1
    cut.assert_equal()


def test_a_batch_that_was_done_meanwhile_is_not_copied_again(cut: Job) -> None:
    with cut.db.connect(autocommit=False) as other:
        cut.on(other, "UPDATE {batch} SET state = 'done' WHERE id = 1")
        assert cut.copy_next(only=1).outcome is Outcome.NONE_LEFT
        other.commit()
    assert cut.copy_next(only=1).outcome is Outcome.NONE_LEFT
    assert cut.value("SELECT count(*) FROM {shadow}") == 0


def test_a_batch_that_was_taken_away_while_it_was_copied_is_rolled_back(
    cut: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gets past the claim still records on condition that the batch is pending: else two copies would land."""
    claim = copier._claim

    def unlocked(conn: Any, flow: Any, only: int | None) -> Any:
        with conn.transaction(force_rollback=True):
            found = claim(conn, flow, only)
        cut.run("UPDATE {batch} SET state = 'done' WHERE id = 1")
        return found

    monkeypatch.setattr(copier, "_claim", unlocked)
    assert cut.copy_next(only=1).outcome is Outcome.BUSY
    assert cut.value("SELECT count(*) FROM {shadow}") == 0


@pytest.mark.peer(number=13)
def test_an_interrupted_copy_goes_on_without_emptying_what_is_there(cut: Job) -> None:
    cut.copy_next()
    before = cut.value("SELECT min(xmin::text::bigint) FROM {shadow}")
    cut.start()
    assert cut.value("SELECT min(xmin::text::bigint) FROM {shadow}") == before
    cut.assert_equal()


# What is in the way, and what is refused.


def test_a_stale_row_in_a_batchs_way_goes_when_the_backlog_is_applied(captured: Make) -> None:
    """Cut by key: row 250 takes over, in a batch that is pending, the unique value of row 1 that was copied and is gone."""
    job = captured(
        "CREATE TABLE t (id integer PRIMARY KEY, at timestamptz NOT NULL, u text UNIQUE);"
        "INSERT INTO t SELECT i, '2024-01-01', 'u' || i FROM generate_series(1, 300) AS i",
        options=THIRDS,
    )
    assert job.copy_next().rows == 100
    job.run("DELETE FROM {table} WHERE id = 1; UPDATE {table} SET u = 'u1' WHERE id = 250")
    assert job.copy_next().rows == 100
    refused = job.copy_next()
    assert (refused.outcome, refused.batch) == (Outcome.UNIQUE, 3)
    job.start()
    assert job.phase() == "synced"
    assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'quarantined'") == 0
    assert job.value("SELECT rows FROM {batch} WHERE id = 3") == 100, (
        "it was copied, not left to the applier row by row"
    )
    job.assert_equal()


@pytest.mark.peer(number=8)
def test_a_row_that_the_shadow_refuses_is_named_and_the_rest_of_its_batch_arrives(captured: Make) -> None:
    job = captured(HOURS.replace("at timestamptz NOT NULL", "at timestamptz"), options=THIRDS)
    job.run("UPDATE {table} SET at = NULL WHERE id IN (50, 250)")
    with pytest.raises(Refused, match="not the same"):
        job.start()
    assert job.phase() == "copying"
    assert sorted(q.pair["id"] or "" for q in job.status().quarantined) == ["250", "50"]
    assert job.value("SELECT count(*) FROM {shadow}") == 298

    job.run("UPDATE {table} SET at = '2024-01-02' WHERE id IN (50, 250)")
    job.start()
    assert job.phase() == "synced"
    assert job.status().quarantined_count == 0
    job.assert_equal()


def test_an_infinite_time_in_a_batch_is_named_and_the_rest_arrives(captured: Make) -> None:
    job = captured(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET at = '-infinity' WHERE id = 7")
    with pytest.raises(Refused):
        job.start()
    assert [q.pair["id"] for q in job.status().quarantined] == ["7"]
    assert job.value("SELECT count(*) FROM {shadow}") == 299
    job.run("DELETE FROM {table} WHERE id = 7")
    job.start()
    job.assert_equal()


def test_a_batch_goes_to_the_applier_as_soon_as_its_lock_is_to_be_had(
    captured: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody holds the table in the moment in which a batch that the shadow refuses is left to the applier."""
    job, leave = captured(HOURS, options=THIRDS), workers.leave_to_applier
    job.run("UPDATE {table} SET at = '-infinity' WHERE id = 7")
    kept: list[str | None] = []

    def leaving(*args: Any) -> str | None:
        if kept:
            return leave(*args)
        with job.application() as conn:
            job.on(conn, "LOCK TABLE {source} IN ACCESS EXCLUSIVE MODE")
            kept.append(leave(*args))
        return kept[0]

    monkeypatch.setattr(workers, "leave_to_applier", leaving)
    with pytest.raises(Refused, match="not the same"):
        job.start()
    assert kept == ["canceling statement due to lock timeout"]
    assert [q.pair["id"] for q in job.status().quarantined] == ["7"]
    assert job.value("SELECT count(*) FROM {shadow}") == 299


def test_a_row_without_a_time_that_slips_in_before_capture_is_named(job: Make) -> None:
    """Written before capture and committed after the last look for such rows, it is in no log: its batch must meet it."""
    made = job(HOURS.replace("at timestamptz NOT NULL", "at timestamptz"), options=THIRDS)
    _ = made.plan
    with made.db.connect(autocommit=False) as writer:
        writer.execute("INSERT INTO t VALUES (400, NULL, 'slipped in')")
        capturing = aside(made.cut)
        made.until_a_rollout_waits()
        writer.commit()
    capturing.result(60)
    assert made.backlog() == 0
    with pytest.raises(Refused, match="not the same"):
        made.start()
    assert [q.pair["id"] for q in made.status().quarantined] == ["400"]


def test_rows_without_a_time_when_it_begins_are_refused_before_anything_is_promised(job: Make) -> None:
    made = job(HOURS.replace("at timestamptz NOT NULL", "at timestamptz"), options=THIRDS)
    _ = made.plan
    made.db.execute("UPDATE t SET at = NULL WHERE id = 3")
    with pytest.raises(Refused, match="NULL"):
        made.start()
    assert made.db.execute(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal"
    ) == [(0,)]
    made.run("DELETE FROM t WHERE id = 3")
    made.start()
    made.assert_equal()


# The shadow is bare until the swap.


def test_the_shadow_has_no_foreign_keys_and_no_triggers_of_the_user(synced: Make) -> None:
    """A CASCADE there would deadlock the application, a NO ACTION would fail its deletes."""
    job = synced(
        "CREATE TABLE p (id integer PRIMARY KEY); INSERT INTO p SELECT generate_series(1, 5);"
        "CREATE TABLE audit (n integer);"
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, p integer REFERENCES p);"
        "INSERT INTO t SELECT i, '2024-01-01', 1 + i % 5 FROM generate_series(1, 50) AS i; CREATE INDEX ON t (at);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (1); RETURN NULL; END $$;"
        "CREATE TRIGGER noted AFTER INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()",
        options=THIRDS,
    )
    shadow = job.sql("{shadow}").as_string(None)
    assert (
        job.value(
            "SELECT count(*) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'", shadow
        )
        == 0
    )
    names = job.run("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", shadow)
    assert all(name.startswith(("hyperferry_", "ts_")) for (name,) in names), names
    with job.application() as conn:
        conn.execute("DELETE FROM t WHERE p = 2")
        conn.execute("DELETE FROM p WHERE id = 2")
        conn.commit()
    assert job.value("SELECT count(*) FROM audit") == 10
    job.sync()
    assert job.value("SELECT count(*) FROM audit") == 10, (
        "applying a change fires no trigger of the application's"
    )
    job.assert_equal()
