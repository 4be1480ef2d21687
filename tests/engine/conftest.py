"""Fixtures of the engine's tests: a table with a job on it, as far along as the test wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from job import Job, Make

from hyperferry.cutover import runner
from hyperferry.model.plan_options import PlanOptions
from kit.tables import Table
from servers import Database

Builder = Callable[..., Table | None]


@pytest.fixture
def full_time() -> Iterator[None]:
    """A swap may take as long at the first attempt as at the last: a second is short on a busy machine, and tests count them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "_Attempt", partial(runner._Attempt, timeout_ms=runner.STATEMENT_TIMEOUT_MS))
        yield


@pytest.fixture
def job(db: Database) -> Iterator[Make]:
    """`job(tables.player_stats, rows=2000)`: that table, planned, nothing started. `job("CREATE TABLE t ...", "at")`:
    a table `public.t` of the test's own, with its time column. `options`: the plan's. `role`: who owns the table and runs
    the job."""
    jobs: list[Job] = []

    def make(
        what: Builder | str,
        time: str = "at",
        *,
        options: PlanOptions | None = None,
        role: str | None = None,
        **more: Any,
    ) -> Job:
        if role is not None:
            db.execute(
                f'GRANT CREATE ON DATABASE "{db.name}" TO "{role}"; GRANT ALL ON SCHEMA public TO "{role}"'
            )
        with db.connect(role) as conn:
            if isinstance(what, str):
                conn.execute(what)  # type: ignore[call-overload]
                columns = conn.execute(
                    "SELECT attname::text FROM pg_attribute WHERE attrelid = 'public.t'::regclass "
                    "AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
                ).fetchall()
                table: Table | None = Table("public", "t", time, (), tuple(c[0] for c in columns), 0)
            else:
                table = what(conn, **more)
        if table is None:
            pytest.skip("this server cannot make that table")
        jobs.append(Job(db, table, options or PlanOptions(), role))
        return jobs[-1]

    yield make
    for one in jobs:
        one.close()


@pytest.fixture
def captured(job: Make) -> Make:
    """Like `job`, with capture in place and the batches cut: nothing is copied, nothing applied."""
    return lambda *args, **options: job(*args, **options).cut()


@pytest.fixture
def copied(captured: Make) -> Make:
    """Like `captured`, with every batch copied; the backlog is for the test to apply."""
    return lambda *args, **options: captured(*args, **options).copy_all()


@pytest.fixture
def synced(job: Make) -> Make:
    """Like `job`, with `start` run to its end: phase `synced`."""

    def make(*args: Any, **options: Any) -> Job:
        made = job(*args, **options)
        made.start()
        return made

    return make
