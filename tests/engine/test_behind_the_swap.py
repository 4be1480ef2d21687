"""What goes wrong behind a swap's commit does not make the swap a failure: it is told as done, and what is missing is done by the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from swap_support import (
    CHILD,
    Ready,
    ready_fixture,  # noqa: F401
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry import swapping
from hyperferry.cutover import validate
from hyperferry.db import yield_and_retry
from hyperferry.errors import Failed, Interrupted, NotSettled
from hyperferry.model.rollout import Phase

pytestmark = pytest.mark.usefixtures("full_time")

VALIDATED = "SELECT bool_and(convalidated) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'f'"


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_a_lock_behind_the_swap_is_no_failure_of_the_swap(ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Somebody takes the parent as soon as the swap is committed: its key cannot be validated yet."""
    job = ready(CHILD)
    if way == "rollback":
        job.cutover()
    done = Phase.CUT_OVER if way == "cutover" else Phase.ROLLED_BACK
    with job.application() as app:

        def locked(*args: Any, **options: Any) -> Any:
            app.execute("LOCK TABLE parent IN ACCESS EXCLUSIVE MODE")
            return yield_and_retry(*args, **{**options, "attempts": 2})

        with monkeypatch.context() as patch:
            patch.setattr(validate, "yield_and_retry", locked)
            for attempts in (1, 0):  # the swap itself, and the same command again
                with pytest.raises(NotSettled, match=f"public.t is {done.replace('_', ' ')[:3]}") as caught:
                    getattr(job, way)()
                assert (caught.value.exit_code, job.phase()) == (1, done)
                report = caught.value.report
                assert (report.phase, report.attempts, report.table) == (done, attempts, "public.t")
                text = str(caught.value)
                assert f"pid {app.info.backend_pid} " in text
                assert "changed nothing" not in text
                assert "run the same command again" in text
        assert job.value(VALIDATED) is False
    assert getattr(job, way)().attempts == 0
    assert job.value(VALIDATED) is True
    same_after_sync(job)


@pytest.mark.parametrize(
    ("error", "code"),
    [(Interrupted("Interrupted."), 4), (psycopg.OperationalError("the connection was lost"), 1), (Failed("no."), 1)],
    ids=["interrupted", "connection lost", "failed"],
)
def test_whatever_ends_it_behind_the_swap(ready: Ready, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int) -> None:
    job = ready(CHILD)

    def ended(*args: object, **options: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(swapping, "validate_foreign_keys", ended)
        with pytest.raises(NotSettled, match=r"public\.t is cut over") as caught:
            job.cutover()
    assert (caught.value.exit_code, caught.value.report.phase) == (code, Phase.CUT_OVER)
    assert job.cutover().attempts == 0
    assert job.value(VALIDATED) is True


def test_pools_whose_guard_is_gone_behind_the_commit(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """The RESUME fails once the swap is committed: that is said, and the swap is not."""

    class Pools:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> Pools:
            return self

        def __exit__(self, *_: object) -> None: ...

        @contextmanager
        def paused(self) -> Iterator[None]:
            yield
            raise Failed("The guard is gone.")

    job = ready()
    monkeypatch.setattr(swapping, "Pools", Pools)
    report = job.cutover()
    assert (report.phase, report.attempts, job.phase()) == (Phase.CUT_OVER, 1, "cut_over")
    (said,) = [line for line in job.said if "The guard is gone." in line]
    assert "public.t is swapped" in said
    assert "RESUME" in said
