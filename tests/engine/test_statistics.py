"""The shadow's statistics: of the whole by a sample of all chunks, of each chunk once, by several sessions at a time."""

from __future__ import annotations

import time

import pytest
from job import HOURS, Job, Make, aside, eventually
from psycopg import sql

from hyperferry.copy import statistics
from hyperferry.db import connection
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase

CHUNKS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{shadow}'::regclass ORDER BY 1"
COUNTED = (
    "SELECT count(*), min(s.analyze_count), max(s.analyze_count) FROM pg_inherits i JOIN pg_stat_all_tables s ON s.relid = i.inhrelid WHERE i.inhparent = '{shadow}'::regclass"
)
WHOLE = (
    "SELECT attname, n_distinct FROM pg_stats WHERE inherited AND (schemaname, tablename) = "
    "(SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = '{shadow}'::regclass) ORDER BY 1"
)


@pytest.fixture
def loaded(job: Make) -> Job:
    """Everything is copied into seven chunks or so, of which each has its index."""
    return job(HOURS, options=PlanOptions(chunk_interval="2 days", workers=2)).cut().copy_all()


def counted(job: Job) -> tuple[int, int, int]:
    """How many chunks, and how often each was analyzed, once that is told."""
    eventually("it is told", lambda: job.run(COUNTED)[0][1])
    time.sleep(0.5)
    return job.run(COUNTED)[0]


def at_work(job: Job) -> int:
    return job.value(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'hyperferry%statistics%' AND datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )


def test_every_chunk_is_analyzed_once_and_all_of_them_together(loaded: Job) -> None:
    assert loaded.start().phase is Phase.SYNCED
    chunks, least, most = counted(loaded)
    assert chunks >= 6
    assert (least, most) == (1, 1)
    assert loaded.run(WHOLE) == [("at", -1.0), ("id", -1.0), ("v", -1.0)]


def test_one_worker_does_it_in_one_statement(job: Make) -> None:
    one = job(HOURS, options=PlanOptions(chunk_interval="2 days", workers=1)).cut().copy_all()
    one.start()
    assert counted(one)[1:] == (1, 1)
    assert len(one.run(WHOLE)) == 3


def test_a_chunk_that_somebody_has_comes_last_and_is_waited_for(loaded: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    first = loaded.run(CHUNKS)[0][0]
    whole = statistics.analyze_whole
    with loaded.application() as other:

        def then_locked(*given: object) -> bool:
            done = whole(*given)  # type: ignore[arg-type]
            other.execute(f"LOCK TABLE ONLY {first} IN SHARE UPDATE EXCLUSIVE MODE")
            return done

        monkeypatch.setattr(statistics, "analyze_whole", then_locked)
        started = aside(loaded.start)
        eventually("it waits for the chunk", lambda: at_work(loaded) or started.done())
        assert not started.done()
        other.rollback()
    assert started.result(60).phase is Phase.SYNCED
    assert counted(loaded)[1:] == (1, 1)


def test_locks_that_are_not_to_be_had_leave_it_to_one_statement(loaded: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    first = loaded.run(CHUNKS)[0][0]
    whole, one_statement, said = statistics.analyze_whole, statistics.analyze, []
    with loaded.application() as other:

        def locked_before(*given: object) -> bool:
            other.execute(f"LOCK TABLE ONLY {first} IN SHARE UPDATE EXCLUSIVE MODE")
            said.append(whole(*given))  # type: ignore[arg-type]
            other.rollback()
            return said[0]

        monkeypatch.setattr(statistics, "analyze_whole", locked_before)
        monkeypatch.setattr(statistics, "analyze", lambda *given: said.append("one") or one_statement(*given))
        assert loaded.start().phase is Phase.SYNCED
    assert said == [False, "one"]
    assert counted(loaded)[1:] == (1, 1)
    assert len(loaded.run(WHOLE)) == 3


def test_what_autovacuum_has_done_is_not_done_again(loaded: Job) -> None:
    """Only what it did after the chunk was filled counts, and no index on an expression is left without statistics."""
    chunks = [row[0] for row in loaded.run(CHUNKS)]
    loaded.db.execute(f"ANALYZE {chunks[0]}; ANALYZE {chunks[1]}")
    loaded.db.execute(f"INSERT INTO {chunks[1]} SELECT id + 10000, at, v FROM {chunks[1]}")
    loaded.db.execute(f"ANALYZE {chunks[2]}; CREATE INDEX ON {chunks[2]} (lower(v))")
    with loaded.application() as conn:
        query = statistics.load_queries("hyperferry.copy", "statistics.sql")["fresh"]
        fresh = [conn.execute(query, {"chunk": each}).fetchone() for each in chunks]
    assert fresh == [(True,), (False,), (False,), *[(False,)] * (len(chunks) - 3)]


def test_the_session_that_holds_the_chunks_is_not_ended_while_the_whole_is_analyzed(
    loaded: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is idle meanwhile, for minutes where the disk is slow; the limit that our sessions have is for the application's locks."""
    monkeypatch.setitem(connection.SESSION_SETTINGS, "idle_in_transaction_session_timeout", "500ms")
    made = statistics.analyze_statement
    monkeypatch.setattr(
        statistics, "analyze_statement", lambda *given, **more: sql.SQL("SELECT pg_sleep(1.5); {}").format(made(*given, **more))
    )
    assert loaded.start().phase is Phase.SYNCED
    assert counted(loaded)[1:] == (1, 1)
    assert len(loaded.run(WHOLE)) == 3
