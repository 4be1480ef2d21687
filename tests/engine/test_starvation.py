"""Two of the swap's locks are busy all the time: within few attempts it has both, and the application sees no error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from swap_support import CHILD, SMALL, VIEWED, Ready, ready_fixture, same_after_sync, templates_fixture  # noqa: F401

from hyperferry.db.connection import Connection


class Busy:
    """Sessions that do the same again and again without a pause, so that there is always one in a transaction."""

    def __init__(self, dsn: str, *works: tuple[int, Callable[[Connection], Any]]) -> None:
        self.dsn = dsn
        self.stopping = threading.Event()
        self.errors: list[str] = []
        self.done = 0
        self.threads = [
            threading.Thread(target=self._run, args=(work, number / many * 0.04), daemon=True)
            for many, work in works
            for number in range(many)
        ]

    def _run(self, work: Callable[[Connection], Any], after: float) -> None:
        time.sleep(after)
        with psycopg.connect(self.dsn, application_name="app") as conn:
            while not self.stopping.is_set():
                try:
                    work(conn)
                    conn.commit()
                    self.done += 1
                except psycopg.Error as error:
                    self.errors.append(f"{error.sqlstate} {error}")
                    conn.rollback()

    def __enter__(self) -> Busy:
        for thread in self.threads:
            thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(20)


def _writes(conn: Connection) -> None:
    conn.execute("INSERT INTO t (at, n, v) VALUES ('2024-02-02', 3, 1)")
    conn.execute("SELECT pg_sleep(0.04)")


def _reads_through_a_view(conn: Connection) -> None:
    conn.execute("SELECT count(*) FROM outer_latest")
    conn.execute("SELECT pg_sleep(0.04)")


def _reads_the_parent(conn: Connection) -> None:
    conn.execute("SELECT count(*) FROM parent")
    conn.execute("SELECT pg_sleep(0.04)")


def _draws_then_inserts(conn: Connection) -> None:
    new = conn.execute("SELECT nextval('t_id_seq')").fetchone()
    conn.execute("SELECT pg_sleep(0.02)")
    conn.execute("INSERT INTO t (id, at, n, v) VALUES (%s, '2024-02-02', 1, 1)", new)
    conn.execute("SELECT pg_sleep(0.02)")


WORKLOADS: dict[str, tuple[str, Sequence[tuple[int, Callable[[Connection], Any]]]]] = {
    "writers and readers through a view": (VIEWED, [(6, _writes), (6, _reads_through_a_view)]),
    "writers and readers of a parent": (CHILD, [(6, _writes), (6, _reads_the_parent)]),
    "nextval then INSERT": (SMALL, [(6, _draws_then_inserts)]),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workload", list(WORKLOADS))
def test_a_busy_application_does_not_starve_the_swap(ready: Ready, workload: str) -> None:
    """There and back again, under load all the time."""
    text, works = WORKLOADS[workload]
    job = ready(text)
    attempts = []
    with Busy(job.db.dsn, *works) as app:
        for way in (job.cutover, job.rollback) * 3:
            attempts.append(way(attempts=30).attempts)
    assert not app.errors
    assert app.done > 50
    print(f"{workload}: {attempts} attempts")
    assert max(attempts) <= 20
    same_after_sync(job)
