"""What docs/runbook.md says of columns that are renamed or dropped while a rollout is open: writes fail until the name is back."""

from __future__ import annotations

import psycopg
import pytest
from job import Job
from swap_support import Ready, insert, ready_fixture, same_after_sync, templates_fixture  # noqa: F401

UNKEYED = """
CREATE TABLE t (id bigserial, at timestamptz NOT NULL, n integer, v numeric, note text);
INSERT INTO t (at, n, v, note) SELECT timestamptz '2024-01-01' + i * interval '3 hours', i, i, 'row' FROM generate_series(1, 200) AS i;
CREATE INDEX ON t (at);
"""


def fails_until_renamed_back(job: Job, column: str) -> None:
    job.db.execute(f"ALTER TABLE t RENAME {column} TO renamed")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        job.db.execute("UPDATE t SET n = n + 1")
    job.db.execute(f"ALTER TABLE t RENAME renamed TO {column}")


@pytest.mark.parametrize("cut_over", [False, True])
def test_a_renamed_column_of_the_key_stops_writes_until_it_has_its_name_back(ready: Ready, cut_over: bool) -> None:
    job = ready()
    if cut_over:
        job.cutover()
    fails_until_renamed_back(job, "id")
    fails_until_renamed_back(job, "at")
    insert(job)
    if cut_over:
        same_after_sync(job)


def test_of_a_table_without_a_key_every_column_counts(ready: Ready) -> None:
    job = ready(UNKEYED)
    fails_until_renamed_back(job, "note")
    job.cutover()
    fails_until_renamed_back(job, "note")
    insert(job)
    same_after_sync(job)


@pytest.mark.parametrize("cut_over", [False, True])
def test_a_column_that_is_dropped_stops_the_writes_of_a_table_without_a_key_until_the_end(ready: Ready, cut_over: bool) -> None:
    job = ready(UNKEYED)
    if cut_over:
        job.cutover()
    job.db.execute("ALTER TABLE t DROP COLUMN note")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        job.db.execute("UPDATE t SET n = n + 1")
    assert (job.finish() if cut_over else job.abort()).phase.ended
    job.db.execute("UPDATE t SET n = n + 1")
