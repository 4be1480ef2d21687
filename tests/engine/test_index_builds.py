"""Indexes are built side by side after the load; each once, whoever else builds."""

from __future__ import annotations

import time

import pytest
from job import HOURS, Job, Make, aside, eventually

from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase

TWO_INDEXES = HOURS + "CREATE INDEX t_v ON t (v);"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'hyperferry index%%' AND wait_event_type = 'Lock' "
    "AND datname = current_database()"
)
BUILT = "SELECT array_agg(indexdef ORDER BY indexname) FROM pg_indexes WHERE schemaname = %s AND tablename = 't' AND indexname <> 't_pkey'"


@pytest.fixture
def loaded(job: Make) -> Job:
    """Everything is copied; two indexes are to be built."""
    return job(TWO_INDEXES, options=PlanOptions(chunk_interval="7 days", workers=2)).cut().copy_all()


def built(job: Job) -> list[str]:
    return job.value(BUILT, job.rollout.names.shadow.schema) or []


def test_one_is_built_while_another_has_to_wait(loaded: Job) -> None:
    with loaded.application() as other:
        loaded.on(other, f'CREATE TABLE "{loaded.rollout.names.shadow.schema}".t_at ()')
        started = aside(loaded.start)
        eventually("the other one is there", lambda: len(built(loaded)) == 1)
        eventually("the first one waits", lambda: loaded.value(WAITING))
        assert not started.done()
    assert started.result(60).phase is Phase.SYNCED
    assert [definition.rpartition(" ")[2] for definition in built(loaded)] == ["(at)", "(v)"]
    assert "2 indexes built" in loaded.said


def test_an_index_that_somebody_else_builds_meanwhile_is_built_once(loaded: Job) -> None:
    with loaded.application() as other:
        loaded.on(other, "CREATE INDEX t_at ON {shadow} (at)")
        started = aside(loaded.start)
        eventually("it waits for the builder", lambda: loaded.value(WAITING))
        other.commit()
    assert started.result(60).phase is Phase.SYNCED
    assert len(built(loaded)) == 2
    assert "1 indexes built" in loaded.said


def test_a_builder_that_loses_its_connection_builds_its_index_all_the_same(loaded: Job) -> None:
    with loaded.application() as other:
        loaded.on(other, f'CREATE TABLE "{loaded.rollout.names.shadow.schema}".t_at ()')
        started = aside(loaded.start)
        eventually("it waits", lambda: loaded.value(WAITING))
        # Waits for its end: until then it would be taken for the new one.
        assert loaded.value(
            "SELECT pg_terminate_backend(pid, 60000) " + WAITING.partition("SELECT count(*) ")[2]
        )
        eventually("it waits on a new connection", lambda: loaded.value(WAITING))
    assert started.result(60).phase is Phase.SYNCED
    assert len(built(loaded)) == 2
    assert any("index" in line and "the connection was lost" in line for line in loaded.said)


def test_each_chunk_is_analyzed_once(loaded: Job) -> None:
    """TimescaleDB adds the chunks to an ANALYZE, and so does PostgreSQL from 18 on: both, and each is read twice."""
    loaded.start()
    counted = (
        "SELECT count(*), min(s.analyze_count), max(s.analyze_count) FROM pg_inherits i "
        "JOIN pg_stat_all_tables s ON s.relid = i.inhrelid WHERE i.inhparent = %s"
    )
    shadow = loaded.rollout.hypertable_oid
    [(chunks, _, _)] = eventually(
        "statistics are told", lambda: (r := loaded.db.execute(counted, shadow))[0][1] and r
    )
    time.sleep(0.5)
    assert loaded.db.execute(counted, shadow) == [(chunks, 1, 1)]
    assert chunks >= 2
    whole = (
        "SELECT count(DISTINCT attname) FROM pg_stats WHERE schemaname = %s AND tablename = 't' AND inherited"
    )
    assert loaded.value(whole, loaded.rollout.names.shadow.schema) == 3, (
        "statistics of the hypertable as a whole"
    )
