"""Clauses of the invariants that no other test takes apart: each of these was written because a break was found by nothing."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from job import HOURS, THIRDS, Job, Make, eventually

from hyperferry.apply import Applier
from hyperferry.apply.applier import Applied
from hyperferry.copy import copier
from hyperferry.ledger import store
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from hyperferry.strategies import workers


def test_a_batch_whose_rows_never_came_is_still_pending(captured: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """I2: the backend dies when the batch is claimed and its rows are about to be written."""
    job = captured(HOURS, options=THIRDS)
    insert = copier._insert

    def die(*args: Any, **options: Any) -> Any:
        pid = conn.info.backend_pid
        job.run("SELECT pg_terminate_backend(%s, 10000)", pid)
        return insert(*args, **options)

    conn = job.session()
    with monkeypatch.context() as patch:
        patch.setattr(copier, "_insert", die)
        with pytest.raises(psycopg.Error):
            copier.copy_next(conn, job.flow)
    assert job.run("SELECT state FROM {batch}") == [("pending",)] * 3
    job.copy_all()
    job.assert_equal()


def test_the_applier_beside_the_copy_leaves_a_batch_in_flight_alone(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: a batch has read its rows and is not committed; one of them is deleted; the applier of the same command comes by, twice."""
    made = job(HOURS, options=PlanOptions(chunk_interval="365 days", batch_rows=1000, workers=1))
    rounds: list[Applied] = []
    left: list[int] = []
    record = copier._done

    class Counted(Applier):
        def drain(self, **options: Any) -> Applied:
            rounds.append(super().drain(**options))
            return rounds[-1]

    def late(*args: Any) -> None:
        if not left:
            made.run("DELETE FROM {table} WHERE id = 150")
            before = len(rounds)
            eventually("the applier has come by twice", lambda: len(rounds) >= before + 2)
            left.append(made.backlog())
        record(*args)

    monkeypatch.setattr(workers, "Applier", Counted)
    monkeypatch.setattr(copier, "_done", late)
    assert made.start().phase is Phase.SYNCED
    assert left == [1]
    assert made.value("SELECT count(*) FROM {shadow}") == 299
    made.assert_equal()


def test_a_copy_ends_the_verifications_before_it(captured: Make) -> None:
    """I5: nothing that was compared before the last batch landed counts."""
    job: Job = captured(HOURS, options=THIRDS)
    before = store.epoch(job.conn, job.rollout.id)
    job.start()
    assert store.epoch(job.conn, job.rollout.id) > before
    recorded = job.run("SELECT DISTINCT epoch FROM hyperferry.verification")
    assert recorded == [(store.epoch(job.conn, job.rollout.id),)]


def test_two_equal_rows_that_became_two_others_are_found(synced: Make) -> None:
    """I8: {a, a, b, b} and {b, b, b, b}: as many rows, and the same exclusive or of their hashes."""
    job: Job = synced(
        "CREATE TABLE t (id integer, at timestamptz NOT NULL, v numeric); CREATE INDEX ON t (at);"
        "INSERT INTO t SELECT i % 2, timestamptz '2024-01-01' + (i / 4) * interval '1 day', 1 FROM generate_series(0, 99) AS i",
        options=THIRDS,
    )
    job.run("UPDATE {shadow} SET id = 1 WHERE at = '2024-01-01'")
    report = job.verify()
    assert (report.match, report.difference_count) == (False, 2)
    assert report.source_rows == report.target_rows == 100
