"""Several slices are read of the log at once (apply/window.py), and what happens between two of them is seen none the less (I3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from job import HOURS, Job, Make

from hyperferry.apply import Applier, slices
from hyperferry.model.plan_options import PlanOptions

FOUR_CHUNKS = PlanOptions(chunk_interval="4 days", batch_rows=100, workers=1)
EVERY_FIFTH = "UPDATE {table} SET v = v || '!' WHERE id % 5 = 0"


@pytest.fixture(params=["with a key", "without"])
def changed(request: pytest.FixtureRequest, copied: Make) -> Job:
    """A copied table of 300 rows over four chunks, of which every fifth is changed."""
    table = HOURS if request.param == "with a key" else HOURS.replace(" PRIMARY KEY", "")
    made = copied(table, options=FOUR_CHUNKS)
    made.run(EVERY_FIFTH)
    return made


def begun(job: Job) -> Applier:
    """An applier that has read five slices of the log, and applied the first of them."""
    applier = job.applier(job.session(), slice_rows=5)
    first = applier.apply_slice(pending_batches=False)
    assert (first.changes, first.quarantined, first.empty) == (5, 0, False)
    return applier


def all_applied(job: Job) -> None:
    """The log and the quarantine are empty, and both sides are equal."""
    assert job.backlog() == 0
    assert job.value("SELECT count(*) FROM {quarantine}") == 0
    job.assert_equal()


def test_rows_that_change_again_between_two_slices_arrive_as_they_are_now(changed: Job) -> None:
    job, applier = changed, begun(changed)
    job.run("UPDATE {table} SET v = 'twice' WHERE id % 20 = 0; DELETE FROM {table} WHERE id % 15 = 0")
    job.run("UPDATE {table} SET at = at + interval '5 days' WHERE id % 35 = 0")
    job.run("INSERT INTO {table} VALUES (1000, '2024-01-02', 'new')")
    applier.drain(pending_batches=False)
    all_applied(job)


def test_what_another_applier_took_meanwhile_is_left_alone(changed: Job) -> None:
    job, applier = changed, begun(changed)
    job.run("DELETE FROM {table} WHERE id % 25 = 0")
    job.apply()
    job.run("UPDATE {table} SET v = 'later' WHERE id % 50 = 10")
    of_now = job.backlog()
    assert applier.drain(pending_batches=False).changes == of_now, "what is counted is what was taken from the log"
    all_applied(job)


def test_truncate_between_two_slices(changed: Job) -> None:
    job, applier = changed, begun(changed)
    job.run("TRUNCATE {table}")
    job.run("INSERT INTO {table} SELECT i, timestamptz '2024-01-01' + i * interval '1 hour', 'anew' FROM generate_series(150, 200) AS i")
    applier.drain(pending_batches=False)
    all_applied(job)


def test_batches_that_are_pending_hold_back_their_pairs_in_each_slice(captured: Make) -> None:
    """What was read when nothing was pending is not applied when something is."""
    job = captured(HOURS, options=FOUR_CHUNKS)
    job.copy_next()
    job.run(EVERY_FIFTH)
    applier = job.applier(slice_rows=5)
    taken = applier.drain(pending_batches=True).changes
    assert taken == 60 - job.backlog()
    assert 0 < taken < 60
    assert job.value("SELECT count(*) FROM {log} l JOIN {batch} b ON b.state = 'done' WHERE l.t < b.hi_t") == 0
    job.copy_all()
    applier.drain(pending_batches=True)
    all_applied(job)


def test_a_backlog_that_lies_anywhere_costs_a_statement_for_each_chunk_and_not_for_each_slice(
    copied: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = copied(HOURS, options=FOUR_CHUNKS)
    for rest in range(4):  # so that the ids of each chunk's pairs lie all over the log
        job.run(f"UPDATE {{table}} SET v = 'x' WHERE id % 24 = {rest} AND id <= 288")
    bounds: list[Any] = []
    delete: Callable[..., Any] = slices.delete
    monkeypatch.setattr(slices, "delete", lambda flow, *args, **more: bounds.append(args[0]) or delete(flow, *args, **more))
    assert job.apply_all(slice_rows=10) == 48
    assert len(bounds) <= 4 + 4, "four chunks, and one more where each of the further four slices begins"
    all_applied(job)


def test_without_a_key_no_statement_reads_more_of_either_table_than_the_time_of_its_pairs(
    copied: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash or a merge join over the whole table would take as long as the table is large, for each slice."""
    job = copied(HOURS.replace(" PRIMARY KEY", ""), options=FOUR_CHUNKS)
    bounds: dict[str, list[Any]] = {"insert": [], "delete": []}
    for name, seen in bounds.items():
        made: Callable[..., Any] = getattr(slices, name)
        monkeypatch.setattr(
            slices, name, lambda flow, *args, made=made, seen=seen, **more: seen.append(args[0]) or made(flow, *args, **more)
        )
    job.run("UPDATE {table} SET v = 'x' WHERE id IN (1, 2, 299, 300)")
    job.apply_all(slice_rows=1000)
    first, last = ("2024-01-01 01:00:00+00", "2024-01-01 02:00:00+00"), ("2024-01-13 11:00:00+00", "2024-01-13 12:00:00+00")
    assert bounds == {"insert": [first, last], "delete": [first, last]}
    all_applied(job)


def test_an_update_across_chunks_is_seen_although_its_pairs_are_in_two_slices(copied: Make) -> None:
    job = copied(HOURS, options=FOUR_CHUNKS)
    job.run("UPDATE {table} SET at = at + interval '1 second' WHERE id % 30 = 1")
    job.apply(slice_rows=1)
    assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'found'") == 0
    job.run("UPDATE {table} SET at = at + interval '6 days' WHERE id IN (3, 4)")
    job.apply_all(slice_rows=1)
    job.run("UPDATE {table} SET at = at - interval '6 days' WHERE id IN (3, 4)")
    job.apply_all(slice_rows=1)
    assert job.run("SELECT detail FROM hyperferry.event WHERE kind = 'found'") == [({"accept": ["cross-chunk-updates"]},)]
    all_applied(job)


def test_an_update_across_chunks_is_seen_although_its_slice_is_refused(copied: Make) -> None:
    job = copied(HOURS.replace("at timestamptz NOT NULL", "at timestamptz"), options=FOUR_CHUNKS)
    with job.application() as conn:
        job.on(conn, "UPDATE {table} SET at = at + interval '6 days' WHERE id = 3")
        job.on(conn, "UPDATE {table} SET at = NULL WHERE id = 200")
        conn.commit()
    job.apply_all(slice_rows=1000)
    assert job.value("SELECT count(*) FROM {quarantine}") == 1
    assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'found'") == 1


def test_a_slice_that_is_refused_in_the_midst_of_a_window_stops_nothing(copied: Make) -> None:
    job = copied(HOURS, options=FOUR_CHUNKS)
    job.run(EVERY_FIFTH + "; INSERT INTO {table} VALUES (401, '-infinity', 'x'); UPDATE {table} SET v = 'y' WHERE id < 5")
    job.apply_all(slice_rows=20)
    assert [pair for (pair,) in job.run("SELECT k1 FROM {quarantine}")] == [401]
    assert job.backlog() == 0
    job.run("DELETE FROM {table} WHERE id = 401")
    job.apply()
    all_applied(job)
