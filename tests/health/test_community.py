"""What only the Community edition has: jobs, compression, continuous aggregates. Each thing provoked, found, mended, gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from hyperferry.errors import Refused
from hyperferry.maintenance import DropOptions, drop_chunks
from hyperferry.maintenance.drop import Dropped
from servers import Database

from .conftest import SENSORS, chunks, examine, fill, keep_well, of, rules, settle

STOP = "SELECT _timescaledb_functions.stop_background_workers()"
START = "SELECT _timescaledb_functions.start_background_workers()"
COMPRESS = "ALTER TABLE sensors SET (timescaledb.compress, timescaledb.compress_segmentby = 'sensor', timescaledb.compress_orderby = 'at DESC')"


@pytest.fixture
def old(community_db: Database) -> Database:
    """Sensors with rows of sixty to fifty-seven days ago and of the last three days, and no scheduler that would do something."""
    community_db.execute(STOP)
    community_db.execute(SENSORS)
    community_db.execute("ALTER TABLE sensors SET (autovacuum_enabled = false)")
    fill(community_db, 6_000)
    community_db.execute(
        "INSERT INTO sensors (at, sensor, place, value) SELECT now() - interval '60 days' + i * interval '43 s', i % 50, 'old', i FROM generate_series(1, 6000) i"
    )
    community_db.execute("ANALYZE sensors")
    return community_db


def within(seconds: float, what: Callable[[], bool]) -> None:
    """Waits until it is so."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.5)


def test_a_policy_of_retention_that_did_not_come(old: Database) -> None:
    [(job,)] = old.execute("SELECT add_retention_policy('sensors', interval '30 days', schedule_interval => interval '1 hour')")
    [found] = of(examine(old), "not-dropped")
    assert f"job {job}" in found.message
    assert "never succeeded" in found.message
    old.execute(f"CALL run_job({job})")
    assert "not-dropped" not in rules(old)
    assert old.execute("SELECT min(at) > now() - interval '31 days' FROM sensors") == [(True,)]


def test_a_policy_of_compression_that_did_not_come(old: Database) -> None:
    old.execute(COMPRESS)
    assert [f.level for f in of(examine(old), "compression-ratio")] == ["note"]  # nothing does it
    [(job,)] = old.execute("SELECT add_compression_policy('sensors', interval '30 days', schedule_interval => interval '1 hour')")
    report = examine(old)
    [found] = of(report, "not-compressed")
    assert f"job {job}" in found.message
    assert of(report, "compression-ratio") == []
    rows = old.execute("SELECT count(*), sum(hashtextextended(s::text, 0)) FROM sensors AS s")
    old.execute(f"CALL run_job({job})")
    figures = examine(old).figures
    assert "not-compressed" not in rules(old)
    assert figures["chunks_compressed"] >= 3
    assert figures["compression_ratio"] > 1
    assert figures["bytes_before_compression"] > figures["bytes_after_compression"]
    done = keep_well(old, everything=True)
    assert {outcome.state for outcome in done.outcomes} == {"done"}
    assert old.execute("SELECT count(*), sum(hashtextextended(s::text, 0)) FROM sensors AS s") == rows


def test_rows_that_come_after_compression(old: Database) -> None:
    old.execute(COMPRESS)
    first = chunks(old)[0]
    old.execute(f"SELECT compress_chunk('{first}')")
    assert "rows-beside-compression" not in rules(old)
    old.execute(
        "INSERT INTO sensors (at, sensor, place) SELECT (SELECT range_start FROM timescaledb_information.chunks ORDER BY 1 LIMIT 1) + interval '20 hours' "
        "+ i * interval '1 s', 7, 'late' FROM generate_series(1, 1500) i"
    )
    settle(old)
    [found] = of(examine(old), "rows-beside-compression")
    assert first.split(".")[1] in found.message
    old.execute(found.remedy.partition("by hand, chunk by chunk: ")[2].partition(";")[0])
    assert "rows-beside-compression" not in rules(old)


def test_dead_rows_of_a_compressed_chunk_are_vacuumed_where_they_are(old: Database) -> None:
    old.execute(COMPRESS)
    old.execute("ALTER TABLE sensors SET (timescaledb.compress_segmentby = 'id')")
    first = chunks(old)[1]
    old.execute(f"SELECT compress_chunk('{first}')")
    old.execute(f"DELETE FROM sensors WHERE tableoid = '{first}'::regclass AND sensor < 40")
    settle(old)
    [found] = of(examine(old), "dead-rows")
    assert "compress_hyper" in found.message or "_chunk" in found.message
    done = keep_well(old, "sensors", "vacuum")
    assert {outcome.state for outcome in done.outcomes} == {"done"}
    assert "dead-rows" not in rules(old)


@pytest.mark.slow
def test_a_late_job_a_paused_one_and_an_owner_who_cannot_log_in(old: Database) -> None:
    role = old.make_role()
    old.execute(f'ALTER TABLE sensors OWNER TO "{role}"')
    [(job,)] = old.execute("SELECT add_retention_policy('sensors', interval '300 days')")
    old.execute(f"SELECT alter_job({job}, next_start => now() - interval '5 hours')")
    within(60, lambda: "scheduler does not run" in str(of(examine(old), "late-jobs")))
    old.execute(f'ALTER ROLE "{role}" NOLOGIN')
    assert [f.level for f in of(examine(old), "job-owners")] == ["critical"]
    old.execute(f'ALTER ROLE "{role}" LOGIN')
    old.execute(f"SELECT alter_job({job}, scheduled => false)")
    report = examine(old)
    assert [f.level for f in of(report, "paused-jobs")] == ["note"]
    assert of(report, "late-jobs") == of(report, "job-owners") == []
    old.execute(f"SELECT alter_job({job}, scheduled => true)")
    old.execute(START)
    within(90, lambda: not {"late-jobs", "paused-jobs"} & rules(old))


@pytest.mark.slow
def test_a_job_that_fails(old: Database) -> None:
    old.execute("CREATE PROCEDURE broken(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk of % is missing', 'Zoë'; END $$")
    [(number,)] = old.execute("SELECT id FROM _timescaledb_catalog.hypertable WHERE table_name = 'sensors'")
    [(job,)] = old.execute(f"""SELECT add_job('broken', '1 hour', config => '{{"hypertable_id": {number}}}', initial_start => now())""")
    old.execute(START)
    within(90, lambda: "failed-jobs" in rules(old))
    [found] = of(examine(old), "failed-jobs")
    assert "the disk of Zoë is missing" in found.message
    old.execute("CREATE OR REPLACE PROCEDURE broken(job_id int, config jsonb) LANGUAGE plpgsql AS 'BEGIN END'")
    old.execute(STOP)
    old.execute(f"SELECT alter_job({job}, next_start => now())")
    old.execute(START)
    # 2.19.3 on PostgreSQL 17.12 fails every job with a message of its own; run by hand they work.
    within(120, lambda: "failed-jobs" not in rules(old) or "cannot drop portal" in str(of(examine(old), "failed-jobs")))


def test_an_aggregate_that_is_behind(old: Database) -> None:
    old.execute(
        "CREATE MATERIALIZED VIEW daily WITH (timescaledb.continuous) AS SELECT time_bucket('1 day', at) AS day, sensor, sum(value) FROM sensors GROUP BY 1, 2 WITH NO DATA"
    )
    assert [f.level for f in of(examine(old), "aggregates-behind")] == ["note"]
    old.execute("SELECT add_continuous_aggregate_policy('daily', NULL, interval '1 hour', interval '1 hour')")
    [found] = of(examine(old), "aggregates-behind")
    assert found.level == "critical"
    assert "materialized up to nowhere" in found.message
    old.execute("CALL refresh_continuous_aggregate('daily', NULL, now() - interval '1 hour')")
    assert "aggregates-behind" not in rules(old)
    assert list(examine(old).figures["aggregates"]) == ["public.daily"]


DAILY = (
    "CREATE MATERIALIZED VIEW daily WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS "
    "SELECT time_bucket('1 day', at) AS day, sensor, count(*) AS n FROM sensors GROUP BY 1, 2 WITH NO DATA"
)
KEPT = "SELECT count(*), sum(n) FROM daily WHERE day < now() - interval '40 days'"


def drop(db: Database, *accept: str, confirm: str | None = "sensors") -> Dropped:
    """The chunks of sixty days ago, dropped as the command does it."""
    options = DropOptions(db.dsn, "sensors", "30 days", confirm, accept=frozenset(accept))
    return drop_chunks(options, lambda text: None, threading.Event())


def test_what_an_aggregate_keeps_of_chunks_is_not_lost_unasked(old: Database) -> None:
    old.execute(DAILY)
    old.execute("CALL refresh_continuous_aggregate('daily', NULL, NULL)")
    [(job,)] = old.execute("SELECT add_continuous_aggregate_policy('daily', NULL, interval '1 hour', interval '1 hour')")
    before, kept = chunks(old), old.execute(KEPT)
    assert kept[0][1] == 6_000
    with pytest.raises(Refused, match="would lose rows") as refused:
        drop(old)
    assert set(refused.value.facts) == {"public.daily (aggregate-rows)"}
    assert f"job {job} refreshes it from the first row on" in str(refused.value)
    with pytest.raises(Refused):
        drop(old, "waiting-rows")
    assert [each.rule for each in drop(old, confirm=None).losses] == ["aggregate-rows"]
    assert chunks(old) == before
    # What the remedy says: with a start behind what is dropped, the buckets stay.
    old.execute(f"SELECT alter_job(job_id, config => config || '{{\"start_offset\": \"20 days\"}}') FROM timescaledb_information.jobs WHERE job_id = {job}")
    found = drop(old)
    assert len(found.dropped) == len(found.listed) >= 3
    old.execute(f"CALL run_job({job})")
    assert old.execute(KEPT) == kept


def test_what_was_accepted_is_what_happens(old: Database) -> None:
    old.execute(DAILY)
    old.execute("CALL refresh_continuous_aggregate('daily', NULL, NULL)")
    [(job,)] = old.execute("SELECT add_continuous_aggregate_policy('daily', interval '2 years', interval '1 hour', interval '1 hour')")
    with pytest.raises(Refused, match="from 2 years before the present on"):
        drop(old)
    assert drop(old, "aggregate-rows").losses == ()
    old.execute(f"CALL run_job({job})")
    assert old.execute(KEPT) == [(0, None)]


def test_rows_that_no_aggregate_has_seen_are_not_dropped_unasked(old: Database) -> None:
    old.execute(DAILY)
    with pytest.raises(Refused, match="wait for a refresh") as refused:
        drop(old)  # never refreshed
    assert set(refused.value.facts) == {"public.daily (waiting-rows)"}
    old.execute("CALL refresh_continuous_aggregate('daily', NULL, NULL)")
    first = chunks(old)[0]
    old.execute(f"INSERT INTO sensors (at, sensor, place) SELECT max(at), 1, 'late' FROM {first}")
    with pytest.raises(Refused) as refused:
        drop(old)
    assert "1 chunk with rows that wait" in str(refused.value)
    assert first.split(".")[1] in str(refused.value)
    old.execute("CALL refresh_continuous_aggregate('daily', now() - interval '70 days', now() - interval '40 days')")
    kept = old.execute(KEPT)
    assert kept[0][1] == 6_001
    assert len(drop(old).dropped) >= 3
    assert old.execute(KEPT) == kept


def test_an_aggregate_over_another_loses_nothing_of_its_own(old: Database) -> None:
    old.execute(DAILY)
    old.execute(
        "CREATE MATERIALIZED VIEW weekly WITH (timescaledb.continuous) AS SELECT time_bucket('7 days', day) AS week, sum(n) AS n FROM daily GROUP BY 1 WITH NO DATA"
    )
    old.execute("SELECT add_continuous_aggregate_policy('weekly', NULL, interval '1 hour', interval '1 hour')")
    old.execute("CALL refresh_continuous_aggregate('daily', NULL, NULL)")
    assert drop(old, confirm=None).losses == ()


def test_jobs_that_nothing_runs_are_told(old: Database) -> None:
    assert "no-scheduler" not in rules(old)  # no job of this table
    [(job,)] = old.execute("SELECT add_retention_policy('sensors', interval '300 days')")
    within(60, lambda: "no-scheduler" in rules(old))
    report = examine(old)
    [late] = of(report, "late-jobs")
    assert f"Job {job}" in late.message
    assert "has never begun" in late.message
    [stopped] = of(report, "no-scheduler")
    assert (stopped.level, "scheduler does not run" in stopped.message) == ("critical", True)
    old.execute("SELECT timescaledb_pre_restore()")
    [restoring] = of(examine(old), "no-scheduler")
    assert "timescaledb.restoring is on" in restoring.message
    old.execute(restoring.remedy.partition(";")[0])
    old.execute(START)
    within(90, lambda: not {"no-scheduler", "late-jobs"} & rules(old))


def test_a_restored_dump_whose_jobs_never_ran(old: Database) -> None:
    """What pg_dump takes along: the jobs, and none of their statistics."""
    [(job,)] = old.execute("SELECT add_retention_policy('sensors', interval '300 days', initial_start => now() - interval '5 days')")
    old.execute(f"DELETE FROM _timescaledb_internal.bgw_job_stat WHERE job_id = {job}")
    [late] = of(examine(old), "late-jobs")
    assert (late.level, "was due 5 days ago" in late.message) == ("critical", True)
    old.execute(f"SELECT alter_job({job}, scheduled => false)")
    assert "late-jobs" not in rules(old)


def test_the_policies_of_an_aggregate_are_about_its_own_chunks(old: Database) -> None:
    old.execute(DAILY)
    old.execute("CALL refresh_continuous_aggregate('daily', NULL, NULL)")
    old.execute("SELECT add_retention_policy('daily', interval '30 days', schedule_interval => interval '1 hour')")
    old.execute("ALTER MATERIALIZED VIEW daily SET (timescaledb.compress = true)")
    old.execute("SELECT add_continuous_aggregate_policy('daily', interval '20 days', interval '1 hour', interval '1 hour')")
    old.execute("SELECT add_compression_policy('daily', interval '25 days', schedule_interval => interval '1 hour')")
    assert not {"not-dropped", "not-compressed"} & rules(old)
    old.execute(COMPRESS)
    assert [found.level for found in of(examine(old), "compression-ratio")] == ["note"]
