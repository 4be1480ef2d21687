"""How much of the server a verification takes while others are at work there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from hyperferry.db import connect, fetch_value
from hyperferry.db.connection import Connection
from hyperferry.verify import compare, verification
from hyperferry.verify.parallel import in_parallel
from kit import tables
from servers import Database

Make = Callable[..., Any]


class Count:
    """How many are inside at once, and the most that ever were."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            yield
        finally:
            with self._lock:
                self.now -= 1

    def wait_for(self, number: int) -> None:
        """Stays inside until so many ever were at once; not for ever, as there may be no others to come."""
        end = time.monotonic() + 10
        while self.most < number and time.monotonic() < end:
            time.sleep(0.005)


@pytest.mark.parametrize(
    ("said", "sessions", "helpers"), [(1, 1, 0), (2, 2, 0), (4, 2, 1), (9, 2, 3), (None, 2, None)]
)
def test_it_keeps_to_what_it_is_told(
    lab: Make, monkeypatch: pytest.MonkeyPatch, said: int | None, sessions: int, helpers: int | None
) -> None:
    one = lab(tables.player_stats, rows=5_000)
    one.apply()
    count, settings = Count(), set()
    real = compare._compare

    def slowly(conn: Connection, task: compare.Task, within: Any) -> compare.RangeResult:
        settings.add(task.helpers)
        with count.inside():
            time.sleep(0.02)
            count.wait_for(sessions)
            return real(conn, task, within)

    def looking(conn: Connection, *given: Any) -> Any:
        gathered.add(fetch_value(conn, "SHOW max_parallel_workers_per_gather"))
        return really(conn, *given)

    gathered: set[str] = set()
    really = compare.fetch_one
    monkeypatch.setattr(compare, "fetch_one", looking)

    monkeypatch.setattr(compare, "_compare", slowly)
    report = one.verify(range_rows=400, share=lambda conn: said)
    assert report.match
    assert len(report.ranges) > 5
    assert count.most == sessions
    assert settings == {helpers}
    # Never more than the server gives: its own value, of the two.
    assert gathered == {str(min(2, helpers if helpers is not None else 2))}


def test_what_it_is_told_later_counts_for_the_ranges_to_come(
    lab: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = lab(tables.player_stats, rows=5_000)
    one.apply()
    monkeypatch.setattr("hyperferry.verify.share.EVERY_SECONDS", 0.0)
    real, alone, before, after = verification.compare_range, threading.Event(), Count(), Count()

    def slowly(
        conn: Connection, task: compare.Task, within: Any, go_on: Callable[[], None]
    ) -> compare.RangeResult:
        count, number = (after, 2) if alone.is_set() else (before, 1)
        with count.inside():
            time.sleep(0.05)
            count.wait_for(number)
            return real(conn, task, within, go_on)

    def share(conn: Connection) -> int | None:
        """Asked on a session that may be asked: in no transaction."""
        assert conn.info.transaction_status.name == "IDLE"
        return None if alone.is_set() else 1

    def done(text: str) -> None:
        if text.startswith("5 of "):
            alone.set()

    monkeypatch.setattr(verification, "compare_range", slowly)
    assert one.verify(range_rows=300, share=share, say=done).match
    assert (before.most, after.most) == (1, 2)


def test_whoever_waits_for_a_turn_ends_with_the_others(db: Database) -> None:
    """An error of the one at work, and an end of the list, let those go that were held back."""

    def opened() -> Connection:
        return connect(db.dsn, purpose="verify")

    def fail(conn: Connection, item: int, go_on: Callable[[], None]) -> int:
        time.sleep(0.2)
        if item == 3:
            raise ValueError("item 3")
        return item

    with closing(opened()):
        got: list[int] = []
        in_parallel(opened, 4, [1, 2, 4], fail, stop=lambda: None, done=got.append, allowed=lambda: 1)
        assert got == [1, 2, 4]
        with pytest.raises(ValueError, match="item 3"):
            in_parallel(
                opened, 4, [1, 2, 3, 5, 6], fail, stop=lambda: None, done=got.append, allowed=lambda: 1
            )
        assert 6 not in got
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("verify ")]
