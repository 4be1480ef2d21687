"""I4: a pair is applied only when no batch can still land it."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from job import HOURS, THIRDS, Job, Make, aside, eventually
from psycopg import sql

from hyperferry.apply import slices
from hyperferry.copy import copier
from hyperferry.model.plan_options import PlanOptions
from kit import tables


@pytest.fixture
def third(captured: Make) -> Job:
    """Rows 1 to 100 are copied, 101 to 300 are not."""
    job = captured(HOURS, options=THIRDS)
    assert job.copy_next().rows == 100
    return job


def test_a_change_of_a_row_that_is_not_copied_yet_waits_for_its_batch(third: Job) -> None:
    third.run("UPDATE {table} SET v = 'new' WHERE id IN (7, 207)")
    third.run(
        "INSERT INTO {table} VALUES (1007, '2024-01-01 07:30+00', 'early'), (1207, '2024-01-09 15:30+00', 'late')"
    )
    third.run("DELETE FROM {table} WHERE id IN (8, 208)")

    third.apply()

    assert third.run("SELECT id FROM {shadow} WHERE id > 100 OR v IN ('new', 'early') ORDER BY id") == [
        (7,),
        (1007,),
    ]
    assert third.value("SELECT count(*) FROM {shadow} WHERE id = 8") == 0
    assert sorted(third.run("SELECT k1 FROM {log}")) == [(207,), (208,), (1207,)]

    third.copy_all().apply()
    assert third.backlog() == 0
    third.assert_equal()


def test_a_row_that_moves_from_a_copied_range_into_one_that_is_pending_arrives_once(third: Job) -> None:
    third.run("UPDATE {table} SET at = at + interval '200 hours' WHERE id = 5")
    third.apply()
    assert third.value("SELECT count(*) FROM {shadow} WHERE id = 5") == 0
    assert third.backlog() == 1, "the pair with the new time waits"
    third.copy_all()
    assert third.value("SELECT count(*) FROM {shadow} WHERE id = 5") == 1
    third.apply()
    third.assert_equal()


def test_a_row_that_moves_out_of_a_pending_range_into_a_copied_one_arrives_once(third: Job) -> None:
    third.run("UPDATE {table} SET at = at - interval '200 hours' WHERE id = 205")
    third.apply()
    assert third.value("SELECT count(*) FROM {shadow} WHERE id = 205") == 1
    assert third.backlog() == 1
    third.copy_all().apply()
    third.assert_equal()


@pytest.mark.peer(number=2)
def test_a_batch_in_flight_still_counts_as_pending(third: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    written, go_on = threading.Event(), threading.Event()
    record = copier._done

    def late(*args: Any) -> None:
        written.set()
        assert go_on.wait(60)
        record(*args)

    monkeypatch.setattr(copier, "_done", late)
    other = third.session()
    copying = aside(lambda: copier.copy_next(other, third.flow))
    assert written.wait(60), "the batch with rows 101 to 200 is written and not committed"

    third.run("DELETE FROM {table} WHERE id = 150")
    third.run("UPDATE {table} SET v = 'new' WHERE id = 151")
    third.apply()
    assert third.backlog() == 2, "neither pair was taken from the log"

    go_on.set()
    assert copying.result(60).rows == 100
    assert third.value("SELECT count(*) FROM {shadow} WHERE id = 150") == 1, (
        "the batch landed what is gone by now"
    )
    third.apply()
    assert third.value("SELECT count(*) FROM {shadow} WHERE id = 150") == 0
    third.copy_all().apply()
    third.assert_equal()


def test_a_time_before_or_after_everything_belongs_to_the_outermost_batches(captured: Make) -> None:
    job = captured(HOURS, options=THIRDS)
    job.run("INSERT INTO {table} VALUES (0, '1999-01-01', 'first'), (999, '2044-01-01', 'last')")
    job.apply()
    assert job.backlog() == 2
    assert job.copy_next().rows == 101
    job.apply()
    assert job.run("SELECT k1 FROM {log}") == [(999,)]
    job.copy_all().apply()
    job.assert_equal()


def test_pending_batches_with_a_copied_one_between_them_hold_back_their_own_pairs(captured: Make) -> None:
    """Batches that adjoin are asked for as one range, those that do not are not."""
    job = captured(HOURS, options=PlanOptions(chunk_interval="365 days", batch_rows=50, workers=1))
    number = [batch for (batch,) in job.run("SELECT id FROM {batch} ORDER BY id")]
    assert len(number) == 6
    for batch in (number[2], number[5]):
        assert job.copy_next(only=batch).rows == 50
    job.run("UPDATE {table} SET v = 'new' WHERE id % 50 IN (0, 1, 49)")
    job.apply()
    copied = [id for id in range(1, 301) if id % 50 in (0, 1, 49) and (101 <= id <= 150 or id >= 251)]
    assert [id for (id,) in job.run("SELECT id FROM {shadow} WHERE v = 'new' ORDER BY id")] == copied
    assert job.backlog() == 18 - len(copied)
    job.copy_all().apply()
    assert job.backlog() == 0
    job.assert_equal()


def test_batches_by_a_key_that_is_an_array_hold_back_the_pairs_of_their_range(captured: Make) -> None:
    job = captured(
        "CREATE TABLE t (k int[] PRIMARY KEY, at timestamptz NOT NULL); INSERT INTO t "
        "SELECT CASE WHEN i % 3 = 0 THEN ARRAY[i] ELSE ARRAY[i, i + 1] END, '2024-01-01' FROM generate_series(1, 300) AS i",
        options=PlanOptions(chunk_interval="365 days", batch_rows=50),
    )
    assert job.copy_next().rows == 50
    job.run("UPDATE {table} SET at = at + interval '1 hour' WHERE k[1] IN (3, 4, 200)")
    job.apply()
    assert job.run("SELECT DISTINCT k1 FROM {log}") == [([200, 201],)]
    job.copy_all().apply()
    assert job.backlog() == 0
    job.assert_equal()


@pytest.mark.parametrize("cut_anew", [False, True], ids=["as cut", "cut anew"])
def test_whatever_batches_are_pending_exactly_their_pairs_are_held_back(captured: Make, cut_anew: bool) -> None:
    """Ranges that adjoin are asked for as one: the answer is that of each batch by itself. Keys of two columns."""
    job = captured(
        'CREATE TABLE t (a text COLLATE "C", b int, at timestamptz NOT NULL, PRIMARY KEY (a, b));'
        "INSERT INTO t SELECT chr(97 + i / 60), i % 60, '2024-01-01' FROM generate_series(0, 299) AS i",
        options=PlanOptions(chunk_interval="365 days", batch_rows=30),
    )
    if cut_anew:  # the ids are in no order of the ranges
        columns = "lo_k1, lo_k2, hi_k1, hi_k2"
        job.run(
            f"WITH gone AS (DELETE FROM {{batch}} WHERE id % 2 = 0 RETURNING *) INSERT INTO {{batch}} ({columns}) "
            f"SELECT {columns} FROM gone ORDER BY lo_k1 DESC"
        )
    job.run(
        "INSERT INTO {log} (op, k1, k2, t) SELECT 'W', a, b, '2024-01-01' "
        "FROM unnest(ARRAY['A', 'a', 'b', 'bb', 'c', 'd', 'e', 'f']) AS a, generate_series(-2, 62) AS b"
    )
    numbers = [batch for (batch,) in job.run("SELECT id FROM {batch} ORDER BY id")]
    flow = job.flow
    alone = sql.SQL(
        "SELECT l.id FROM {log} l WHERE NOT EXISTS (SELECT FROM {batch} b WHERE b.state = 'pending' AND {covers}) ORDER BY l.id"
    ).format(log=flow.log, batch=flow.of_ledger("batch"), covers=slices.covers(flow, "b", "l"))
    lot = random.Random(4)
    for _ in range(40):
        some = lot.sample(numbers, lot.randint(0, len(numbers)))
        job.run("UPDATE {batch} SET state = CASE WHEN id = ANY(%s) THEN 'pending' ELSE 'done' END", some)
        window = job.conn.execute(slices.read_window(flow, pending_batches=True), {"limit": 10_000}).fetchall()
        found = sorted(int(id) for _, _, ids, *_ in window for id in ids.strip("{}").split(","))
        assert found == [id for (id,) in job.conn.execute(alone)], some


def test_batches_by_a_composite_key_hold_back_the_pairs_of_their_range(captured: Make) -> None:
    job = captured(tables.composite, rows=300, options=PlanOptions(chunk_interval="7 days", batch_rows=100))
    assert job.copy_next().rows == 100
    first, last = (
        "ORDER BY venue, symbol, seq LIMIT 1",
        "ORDER BY venue DESC, symbol DESC, seq DESC LIMIT 1",
    )
    for order in (first, last):
        job.run("UPDATE {table} SET price = -1 WHERE seq = (SELECT seq FROM {table} " + order + ")")
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow} WHERE price = -1") == 1
    assert job.backlog() == 1
    job.copy_all().apply()
    job.assert_equal()


def test_a_table_in_one_batch_applies_nothing_until_it_is_copied(captured: Make) -> None:
    job = captured("CREATE TABLE t (id text COLLATE \"C\", at timestamptz NOT NULL, CONSTRAINT k PRIMARY KEY (id));"
                   "INSERT INTO t SELECT i, '2024-01-01' FROM generate_series(1, 10) AS i")  # fmt: skip
    job.run("DELETE FROM {table} WHERE id = '3'; INSERT INTO {table} VALUES ('11', '2024-01-02')")
    job.apply()
    assert job.backlog() == 2
    job.copy_all().apply()
    assert job.backlog() == 0
    job.assert_equal()


def test_the_chunk_made_ahead_leaves_no_row_that_a_change_could_miss(captured: Make) -> None:
    job = captured(HOURS, options=THIRDS)  # its batches are cut, and so the chunks are made
    assert job.value("SELECT count(*) FROM {shadow}") == 0
    assert job.value("SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 't'") == 1
    job.run("DELETE FROM {table} WHERE id = 1")
    job.copy_all().apply()
    job.assert_equal()


def test_no_batch_is_missed_by_the_applier_of_a_running_start(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(HOURS, options=PlanOptions(chunk_interval="365 days", batch_rows=20))
    done: list[int] = []

    def note(report: Any) -> None:
        done.append(report.batches_done)
        made.run(
            "UPDATE {table} SET at = at + interval '40 hours', v = v || '!' WHERE id %% 7 = %s", len(done) % 7
        )

    made.start(progress=note)
    made.sync()
    assert done
    eventually("the backlog is empty", lambda: made.backlog() == 0)
    made.assert_equal()
