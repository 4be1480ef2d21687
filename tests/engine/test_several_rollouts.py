"""Several tables of one database, each with a rollout, at the same time: they share the ledger, its schema's rights, the owner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from job import Job, aside, eventually
from swap_support import SMALL, WEEKS

from hyperferry.model.rollout import Phase
from kit.tables import described
from servers import Database

pytestmark = pytest.mark.usefixtures("full_time")

TABLES = 4
RIGHTS = "SELECT has_schema_privilege(%s, 'hyperferry', 'USAGE')"
WAITS = """
SELECT 1 FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE NOT l.granted AND l.locktype = 'advisory' AND a.datname = current_database() AND a.application_name LIKE 'hyperferry%'
"""


@pytest.fixture
def several(db: Database) -> Iterator[tuple[list[Job], str]]:
    """The small table four times, all of one owner who is not the role of the rollouts, and that owner."""
    owner = db.make_role("owner")
    jobs = []
    with db.connect() as conn:
        for number in range(TABLES):
            conn.execute(SMALL.replace(" t ", f" t{number} ").replace("t_at", f"t{number}_at"))  # type: ignore[arg-type]
            conn.execute(f'ALTER TABLE t{number} OWNER TO "{owner}"'.encode())
            jobs.append(Job(db, described(conn, "public", f"t{number}", "at", "id"), WEEKS))
    yield jobs, owner
    for job in jobs:
        job.close()


def at_once(jobs: list[Job], step: Callable[[Job], Any]) -> list[Any]:
    """The step of every job, begun in the same moment; each must succeed."""
    together = threading.Barrier(len(jobs))

    def one(job: Job) -> Any:
        together.wait(60)
        return step(job)

    futures = [aside(lambda job=job: one(job)) for job in jobs]  # type: ignore[misc]
    return [future.result(240) for future in futures]


def test_rollouts_of_several_tables_go_all_the_way_at_once(several: tuple[list[Job], str]) -> None:
    """There and back and there again, beside writers of each; nobody's error, no row lost, and nothing left in the end."""
    jobs, owner = several
    stop, errors = threading.Event(), []

    def write(job: Job, number: int) -> int:
        done = 0
        with job.db.connect(owner) as conn:
            while not stop.is_set():
                done += 1
                try:
                    conn.execute(f"INSERT INTO t{number} (at, n) VALUES (timestamptz '2024-01-01' + {done} * interval '1 hour', {done})".encode())
                    conn.execute(f"UPDATE t{number} SET v = {done} WHERE id = {done % 400}".encode())
                except Exception as error:
                    errors.append(error)
                stop.wait(0.005)
        return done

    writers = [aside(lambda job=job, number=number: write(job, number)) for number, job in enumerate(jobs)]  # type: ignore[misc]
    try:
        at_once(jobs, lambda job: job.start())
        for way in ("cutover", "rollback", "cutover"):
            at_once(jobs, lambda job, way=way: getattr(job, way)())  # type: ignore[misc]
    finally:
        stop.set()
        written = [writer.result(60) for writer in writers]
    assert errors == []
    assert min(written) > 10
    for job in jobs:
        job.sync()
        job.assert_equal()
    last, *others = jobs
    at_once(others, lambda job: job.finish())
    db = last.db
    assert db.execute(RIGHTS, owner) == [(True,)]  # the last one's chunks still get their triggers in the owner's name
    assert last.finish().phase is Phase.FINISHED
    assert db.execute(RIGHTS, owner) == [(False,)]


@pytest.mark.parametrize("step", ["start", "finish"])
def test_rights_on_the_ledgers_schema_are_changed_one_after_the_other(several: tuple[list[Job], str], step: str) -> None:
    """PostgreSQL refuses the second of two GRANTs or REVOKEs on one object as concurrent, when the first is committed."""
    (job, *_), owner = several
    if step == "start":
        job.capture()
    else:
        job.start()
        job.cutover()
    other = job.db.make_role("other")
    with job.application() as conn:
        conn.execute("SELECT pg_advisory_xact_lock(7150917265)")
        conn.execute(f'GRANT USAGE ON SCHEMA hyperferry TO "{other}"'.encode())
        going = aside(getattr(job, step))
        eventually("it waits for its turn", lambda: going.done() or job.db.execute(WAITS))
        assert not going.done()
        conn.commit()
    going.result(120)
    assert job.db.execute(RIGHTS, owner) == [(step == "start",)]
    job.db.execute(f'REVOKE USAGE ON SCHEMA hyperferry FROM "{other}"')
