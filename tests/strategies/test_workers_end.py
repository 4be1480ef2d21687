"""Who waits for workers hears of their end; nobody sleeps through it."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from hyperferry.strategies import workers
from hyperferry.strategies.monitor import Monitor
from hyperferry.strategies.workers import Worker, run_workers


class _Nowhere:
    """A connection that nothing is asked of."""

    closed = False

    def cancel_safe(self, timeout: float) -> None:
        """Nothing runs."""

    def close(self) -> None:
        self.closed = True


def _worker(monitor: Monitor, body: Any) -> Worker:
    nowhere: Any = lambda purpose: _Nowhere()  # noqa: E731
    return Worker("w", nowhere, monitor, body)


def test_a_worker_that_ends_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the copiers are done, and the applier is to be told."""
    monkeypatch.setattr(workers, "LOOK_SECONDS", 60.0)
    monitor, done, ticks = Monitor(threading.Event()), threading.Event(), 0
    copier = _worker(monitor, lambda conn: None)
    applier = _worker(monitor, lambda conn: done.wait(60))

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if copier.ended.is_set():
            done.set()

    begun = time.monotonic()
    run_workers([copier, applier], monitor, tick)
    assert time.monotonic() - begun < 30
    assert ticks >= 1
    assert applier.conn is not None
    assert applier.conn.closed


def test_the_error_of_a_worker_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LOOK_SECONDS", 60.0)
    monitor = Monitor(threading.Event())

    def fails(conn: object) -> None:
        raise KeyError("x")

    waits = _worker(monitor, lambda conn: monitor.failed.wait(60))
    with pytest.raises(KeyError):
        run_workers([waits, _worker(monitor, fails)], monitor, lambda: None)


def test_the_cause_is_raised_and_not_that_the_others_were_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is cancelled because another failed stands first here, and fails by that."""
    monkeypatch.setattr(workers, "LOOK_SECONDS", 60.0)
    monitor, cancelled = Monitor(threading.Event()), threading.Event()

    def waits(conn: object) -> None:
        cancelled.wait(30)
        raise psycopg.errors.QueryCanceled("canceling statement due to user request")

    def fails(conn: object) -> None:
        raise KeyError("x")

    waiting = _worker(monitor, waits)
    monkeypatch.setattr(waiting, "cancel", cancelled.set)
    with pytest.raises(KeyError):
        run_workers([waiting, _worker(monitor, fails)], monitor, lambda: None)


def test_a_statement_that_somebody_else_cancelled_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(conn: object) -> None:
        raise psycopg.errors.QueryCanceled("canceling statement due to user request")

    monitor = Monitor(threading.Event())
    with pytest.raises(psycopg.errors.QueryCanceled):
        run_workers([_worker(monitor, cancelled)], monitor, lambda: None)
