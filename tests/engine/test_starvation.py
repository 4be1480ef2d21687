"""Two of the swap's locks are busy all the time: within few attempts it has both, and the application sees no error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from swap_support import (  # noqa: F401
    CHILD,
    SMALL,
    VIEWED,
    Ready,
    Sessions,
    ready_fixture,
    same_after_sync,
    templates_fixture,
)

from hyperferry.db.connection import Connection


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
    # Without a pause and not in step, so that there is always one in a transaction.
    busy = [work for many, work in works for _ in range(many)]
    with Sessions(job.db.dsn, *busy, pause=0, apart=0.007) as app:
        time.sleep(0.3)
        for way in (job.cutover, job.rollback) * 3:
            attempts.append(way(attempts=30).attempts)
    assert not app.errors
    assert app.done > 50
    print(f"{workload}: {attempts} attempts")
    assert max(attempts) <= 20
    same_after_sync(job)
