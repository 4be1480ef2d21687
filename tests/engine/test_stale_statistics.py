"""Many changes to rows of one moment, in a chunk whose statistics are older than they: each pair is found by its key. Counted,
not timed: how many index entries the statements read, against how many pairs there are."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from job import HOURS, Job, Make, eventually

from hyperferry.model.plan_options import PlanOptions

DAY = "2024-01-20 12:00+00"
PAIRS = 2_000
OPTIONS = PlanOptions(chunk_interval="7 days", workers=1)
READS = """
SELECT COALESCE(sum(idx_tup_read), 0) FROM pg_stat_user_indexes i
WHERE i.indexrelid IN (SELECT indexrelid FROM pg_index WHERE indrelid = ANY (%s::regclass[]::oid[]))
"""
OTHERS = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND backend_type = 'client backend' AND application_name NOT IN ('hyperferry test', 'hyperferry look')
"""
"""Sessions but the job's own, which stay: they read the ledger alone."""


def rows_of_one_day(job: Job) -> None:
    """The statistics know the day's chunk from a few rows, all at different times; now come many of one time."""
    job.run("ANALYZE {table}")
    job.run("ANALYZE {shadow}")
    job.run(
        f"INSERT INTO {{table}} SELECT 1000000 + i, '{DAY}', 'one day' FROM generate_series(1, {PAIRS}) AS i"
    )


def entries_read(job: Job, work: Callable[[], object]) -> int:
    """Index entries of both sides' tables that were read while `work` ran."""
    names, served = job.rollout.names, job.rollout.phase.hypertable_serves
    hypertable, plain = (names.table, names.old) if served else (names.shadow, names.table)
    tables = [plain.quoted]
    tables += [
        row[0] for row in job.run("SELECT c::text FROM show_chunks(%s::regclass) AS c", hypertable.quoted)
    ]

    def now() -> int:
        """Sessions report when they end, or about a second later."""
        eventually("the others have ended", lambda: not job.db.execute(OTHERS))
        seen, again = -1, int(job.db.execute(READS, tables)[0][0])
        while seen != again:
            time.sleep(1.2)
            seen, again = again, int(job.db.execute(READS, tables)[0][0])
        return again

    before = now()
    work()
    return now() - before


@pytest.mark.parametrize("served", [False, True], ids=["forward", "reverse"])
def test_changes_are_applied_by_the_key(synced: Make, served: bool) -> None:
    """On the chunk and on the plain table, whichever of them is read and whichever is written to."""
    job = synced(HOURS, options=OPTIONS)
    assert job.flow.pairs.key_alone
    if served:
        job.cutover()
    rows_of_one_day(job)
    read = entries_read(job, job.sync)
    assert PAIRS <= read <= 3 * PAIRS
    job.assert_equal()


@pytest.mark.parametrize("served", [False, True], ids=["forward", "reverse"])
def test_a_verification_looks_at_them_by_the_key(synced: Make, served: bool) -> None:
    """While they stand in the backlog: in the rows' sums, and in the looks at those that differ."""
    job = synced(HOURS, options=OPTIONS)
    if served:
        job.cutover()
    rows_of_one_day(job)
    read = entries_read(job, job.verify)
    assert PAIRS <= read <= 8 * PAIRS


def test_a_key_that_no_comparison_can_use_is_helped_by_the_time(synced: Make) -> None:
    """Its index has a collation of its own, so rows are found by the index on the time, as long as nothing hides that from it."""
    text = HOURS.replace("id bigint PRIMARY KEY", "id text NOT NULL") + 'CREATE UNIQUE INDEX ON t (id COLLATE "C");'
    job = synced(text, options=OPTIONS)
    assert not job.flow.pairs.by_image
    assert not job.flow.pairs.key_alone
    job.run("UPDATE {table} SET v = 'new' WHERE id::int % 3 = 0")
    read = entries_read(job, job.sync)
    assert 100 <= read <= 1_000
    job.assert_equal()
