"""Declared, applied, `diff` empty; interrupted at every step, and applied again: the same. On the Community edition."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from hyperferry.errors import HyperferryError, Interrupted
from servers import Database

from .life import WHOLE, applied, catalog, difference, keys, owned

pytestmark = pytest.mark.community

ORDER = [
    "chunk_interval",
    "index:player_stats_player_idx",
    "index:player_stats_value_idx",
    "compression",
    "aggregate:public.player_daily",
    "index:public.player_daily:player_daily_total_idx",
    "refresh:public.player_daily",
    "compression:public.player_daily",
    "aggregate:public.player_weekly",
    "refresh:public.player_weekly",
    "refresh-policy:public.player_daily",
    "compression-policy:public.player_daily",
    "compression-policy",
    "reorder-policy",
    "retention-policy:public.player_daily",
    "retention-policy",
]
AGGREGATED = """
SELECT (SELECT count(*) FROM player_daily), (SELECT sum(total) FROM player_daily),
       (SELECT sum(value) FROM player_stats WHERE game_date < date_trunc('day', now(), 'UTC')),
       (SELECT count(*) > 0 FROM player_weekly)
"""


def test_declared_then_applied_is_no_difference(community_db: Database) -> None:
    dsn = owned(community_db)
    assert keys(difference(dsn, WHOLE)) == ORDER
    report = applied(dsn, WHOLE)
    assert [step.key for step in report.done] == ORDER
    found = difference(dsn, WHOLE)
    assert found.empty
    assert len(found.same) >= 13
    before = catalog(community_db)
    assert not applied(dsn, WHOLE).done
    assert catalog(community_db) == before
    rows, total, raw, weekly = community_db.execute(AGGREGATED)[0]
    assert rows > 40 * 7
    assert (total, weekly) == (raw, True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_interrupted_after_each_step_and_applied_again_is_the_same(community_db: Database) -> None:
    dsn = owned(community_db)
    applied(dsn, WHOLE)
    straight = catalog(community_db)
    _begin_anew(community_db)
    codes, left_at, line = set[int](), set[str](), 1
    for _ in range(100):
        stop = threading.Event()
        said: list[str] = []

        def stop_at_that_line(text: str, said: list[str] = said, stop: threading.Event = stop, line: int = line) -> None:
            said.append(text)
            if len(said) == line:
                stop.set()

        try:
            applied(dsn, WHOLE, say=stop_at_that_line, stop=stop)
            break
        except Interrupted as error:
            codes.add(error.exit_code)
        first = keys(difference(dsn, WHOLE))[0]
        # The same step still: stopped a line later next time, which lets it go on.
        line = line + 1 if first in left_at else 1
        left_at.add(first)
    # A stop that lets a step end may fall into the next one's end as well.
    assert len(left_at) > len(ORDER) * 2 // 3, left_at
    assert codes == {4}
    applied(dsn, WHOLE)
    assert difference(dsn, WHOLE).empty
    assert catalog(community_db) == straight


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("when", ["between two steps", "within a step"])
def test_killed_at_each_step_and_applied_again_is_the_same(community_db: Database, when: str) -> None:
    dsn = owned(community_db)
    began = time.monotonic()
    applied(dsn, WHOLE)
    step_seconds = (time.monotonic() - began) / len(ORDER)
    straight = catalog(community_db)
    _begin_anew(community_db)
    kills = 0
    for attempt in range(60):
        timers: list[threading.Timer] = []
        try:
            applied(dsn, WHOLE, say=_killer(community_db, when, attempt, step_seconds, timers))
            break
        except (HyperferryError, psycopg.Error):
            kills += 1
        finally:
            for timer in timers:  # one that fires late must not end the next session
                timer.join()
    assert kills >= (len(ORDER) - 1 if when == "between two steps" else 10)
    assert difference(dsn, WHOLE).empty
    assert catalog(community_db) == straight


def _killer(
    db: Database, when: str, attempt: int, step_seconds: float, timers: list[threading.Timer]
) -> Callable[[str], None]:
    """Ends the session of `apply`: when it announces its second step, or some way into its first one."""
    announced: list[str] = []

    def say(text: str) -> None:
        if not text.startswith(("add: ", "change: ", "remove: ")):
            return
        announced.append(text)
        if when == "between two steps" and len(announced) == 2:
            _kill(db)
        if when == "within a step" and len(announced) == 1 and attempt < 40:
            timers.append(threading.Timer((attempt % 8) / 8 * step_seconds, _kill, [db]))
            timers[-1].start()

    return say


def _kill(db: Database) -> None:
    with db.server.connect() as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'hyperferry%%'",
            [db.name],
        )


def _begin_anew(db: Database) -> None:
    """Takes everything off the hypertable that the file puts on it."""
    statements: list[Any] = [
        "DROP MATERIALIZED VIEW player_weekly",
        "DROP MATERIALIZED VIEW player_daily",
        "SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE hypertable_name = 'player_stats'",
        "SELECT decompress_chunk(c, true) FROM show_chunks('player_stats') c",
        "ALTER TABLE player_stats SET (timescaledb.compress = false)",
        "DROP INDEX player_stats_player_idx",
        "DROP INDEX player_stats_value_idx",
        "SELECT set_chunk_time_interval('player_stats', interval '7 days')",
    ]
    for statement in statements:
        _at_last(db, statement)


def _at_last(db: Database, statement: str) -> None:
    """The scheduler starts the jobs meanwhile: what they are in the way of is tried again."""
    for _ in range(20):
        try:
            db.execute(statement)
            return
        except psycopg.errors.DeadlockDetected:
            time.sleep(0.2)
    raise AssertionError(f"a deadlock each time: {statement}")
