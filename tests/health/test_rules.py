"""Each rule on facts that were made for it: what it says nothing of, and what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hyperferry.health import RULES, run
from hyperferry.model.health import (
    Aggregate,
    Chunk,
    Column,
    HealthFacts,
    HealthFinding,
    IndexFacts,
    Job,
    Relation,
    RolloutFacts,
    Width,
)
from hyperferry.model.names import TableName

NOW = 1_800_000_000.0
HOUR, DAY, YEAR = 3600.0, 86_400.0, 365 * 86_400.0
US = 1_000_000
NEVER = float("-inf")
TABLE = TableName("public", "metrics")
PLACE = "_timescaledb_internal"


def relation(number: int, **more: Any) -> Relation:
    """A table in good order."""
    good: dict[str, Any] = {
        "pages": 100, "rows": 10_000.0, "heap_bytes": 819_200, "index_bytes": 409_600, "live": 10_000, "vacuumed": NOW - HOUR,
        "autovacuumed": NOW - HOUR, "analyzed": NOW - HOUR, "xid_age": 1000, "mxid_age": 10,
    }  # fmt: skip
    return Relation(number, TableName(PLACE, f"_hyper_1_{number}_chunk"), **{**good, **more})


def chunk(number: int, *, days_ago: float = 0.0, compressed: bool = False, **more: Any) -> Chunk:
    """A chunk of a day that began so many days ago."""
    start = int((NOW - (days_ago + 0.5) * DAY) * US)
    own = {key: more.pop(key) for key in ("companion", "before_bytes", "after_bytes") if key in more}
    return Chunk(relation(number, **more), start, start + int(DAY * US), f"start {number}", f"end {number}", compressed, **own)


def index(number: int, name: str, table: int = 0, *, key: str | None = None, **more: Any) -> IndexFacts:
    """An index of the hypertable (table 0), or of a chunk."""
    good: dict[str, Any] = {"columns": ("sensor",), "pages": 50, "rows": 10_000.0, "scans": 5, "definition": f"CREATE INDEX {name} USING btree (sensor)"}
    return IndexFacts(number, TableName("public" if not table else PLACE, name), table, key or name, **{**good, **more})


def job(**more: Any) -> Job:
    """A job that runs every hour and succeeded."""
    good: dict[str, Any] = {
        "schedule": HOUR, "status": "Success", "state": "Scheduled", "last_start": NOW - 100, "last_success": NOW - 90,
        "next_start": NOW + 3000, "runs": 7, "table": "public.metrics",
    }  # fmt: skip
    return Job(1001, more.pop("procedure", "policy_retention"), more.pop("owner", "ops"), **{**good, **more})


def facts(**more: Any) -> HealthFacts:
    """A healthy hypertable of three days."""
    good: dict[str, Any] = {
        "table": TABLE, "owner": "ops", "now": NOW, "timescaledb": "2.31.0", "edition": "community", "postgresql": 180000, "time_column": "time",
        "integer_time": False, "number": 1, "interval": int(DAY * US), "chunks": tuple(chunk(n, days_ago=3 - n) for n in (1, 2, 3)), "scheduler_runs": True,
        "autovacuum_workers": 0, "root_analyzed": NOW, "statistics_since": NOW - YEAR, "oldest_chunk": NOW - YEAR,
        "settings": {"autovacuum": "on", "track_counts": "on", "max_locks_per_transaction": "64", "max_connections": "100", "max_worker_processes": "40"},
    }  # fmt: skip
    return HealthFacts(**{**good, **more})


def said(given: HealthFacts, rule: str) -> list[HealthFinding]:
    """What the rule says."""
    return [finding for finding in run(given) if finding.rule == rule]


def levels(given: HealthFacts, rule: str) -> list[str]:
    """How bad the rule calls it."""
    return [finding.level.value for finding in said(given, rule)]


def test_a_healthy_hypertable_has_no_finding() -> None:
    assert run(facts()) == ()


def test_every_rule_says_what_it_is_for() -> None:
    assert len(RULES) == 28
    for rule in RULES.values():
        assert rule.summary.endswith(".")


@pytest.mark.parametrize(
    ("number", "expected"), [(3, []), (9_000, ["warning"]), (10_000, ["critical"]), (12_000, ["critical"])]
)
def test_chunk_count(number: int, expected: list[str]) -> None:
    many = tuple(chunk(n, days_ago=number - n) for n in range(1, number + 1))
    assert levels(facts(chunks=many), "chunk-count") == expected


def test_chunk_count_sees_what_comes_and_what_retention_takes() -> None:
    hourly = tuple(replace(chunk(n), start=int((NOW - (60 - n) * HOUR) * US), end=int((NOW - (59 - n) * HOUR) * US)) for n in range(60))
    fast = facts(interval=int(HOUR * US), chunks=hourly)
    [found] = said(fast, "chunk-count")
    assert "8,760 by the interval" in found.message
    kept = job(after="30 days", boundary=int((NOW - 30 * DAY) * US), config={"hypertable_id": 1})
    assert levels(replace(fast, jobs=(kept,)), "chunk-count") == []


@pytest.mark.parametrize(("number", "expected"), [(10, []), (3_300, ["warning"]), (6_500, ["critical"])])
def test_lock_table_has_room_for_6400(number: int, expected: list[str]) -> None:
    assert levels(facts(chunks=tuple(chunk(n, days_ago=number - n) for n in range(number))), "lock-table") == expected


def test_future_chunks_are_those_with_rows_beyond_a_year() -> None:
    far, soon, made_ahead = chunk(9, days_ago=-400), chunk(8, days_ago=-300), chunk(7, days_ago=-500, live=0, rows=0.0, heap_bytes=0)
    assert levels(facts(chunks=(far,)), "future-chunks") == ["warning"]
    assert levels(facts(chunks=(soon, made_ahead)), "future-chunks") == []
    not_measured = chunk(6, days_ago=-500, live=0, rows=-1.0, heap_bytes=0, index_bytes=0, analyzed=None)
    assert levels(facts(chunks=(not_measured,)), "future-chunks") == []
    assert levels(facts(chunks=(replace(not_measured, relation=relation(6, rows=-1.0, live=0, measured=True)),)), "future-chunks") == ["warning"]


def test_integer_times_without_a_present_are_not_judged() -> None:
    given = facts(integer_time=True, interval=1000, chunks=(replace(chunk(1), start=10**15, end=10**15 + 1000),))
    assert levels(given, "future-chunks") == levels(given, "empty-chunks") == []
    assert levels(replace(given, integer_now=5_000), "future-chunks") == ["warning"]


def test_empty_chunks_are_in_the_past_and_have_nothing() -> None:
    nothing = {"live": 0, "rows": 0.0, "heap_bytes": 0}
    assert levels(facts(chunks=(chunk(1, days_ago=9, **nothing), chunk(2))), "empty-chunks") == ["note"]
    assert levels(facts(chunks=(chunk(1, days_ago=-9, **nothing), chunk(2, days_ago=9, compressed=True, **nothing))), "empty-chunks") == []
    unknown = chunk(3, days_ago=9, live=0, rows=-1.0, heap_bytes=8192)
    assert levels(facts(chunks=(unknown,)), "empty-chunks") == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"rows": -1.0}, []),  # never counted, not measured
        ({"rows": -1.0, "measured": True}, ["note"]),
        ({"rows": -1.0, "measured": True, "heap_bytes": 8192}, []),
        ({"rows": 0.0}, []),  # counted at some time; nobody knows what came since
        ({"rows": 0.0, "measured": True}, ["note"]),
        ({"rows": 0.0, "heap_bytes": 8192, "analyzed": NOW - DAY}, ["note"]),
        ({"rows": 0.0, "heap_bytes": 8192, "analyzed": NOW - DAY, "modified": 1}, []),
        ({"rows": 0.0, "heap_bytes": 8192, "analyzed": NOW - DAY, "inserted": 1}, []),
        ({"rows": 0.0, "measured": True, "live": 1}, []),
    ],
)
def test_a_chunk_is_empty_where_somebody_looked(more: dict[str, Any], expected: list[str]) -> None:
    counted = {"live": 0, "heap_bytes": 0, "analyzed": None, **more}
    assert levels(facts(chunks=(chunk(1, days_ago=9, **counted),)), "empty-chunks") == expected


def policy(kind: str, days: float, **more: Any) -> Job:
    """A policy that should have dealt with what is older than so many days."""
    return job(procedure=f"policy_{kind}", after=f"{days} days", boundary=int((NOW - days * DAY) * US), config={"hypertable_id": 1}, **more)


def test_chunks_that_a_policy_left_are_told_once_it_should_have_come_twice() -> None:
    old, fresh = chunk(1, days_ago=40), chunk(2, days_ago=31)
    for kind, rule in (("compression", "not-compressed"), ("retention", "not-dropped")):
        assert levels(facts(chunks=(old, fresh), jobs=(policy(kind, 30),)), rule) == ["warning"]
        assert levels(facts(chunks=(old, fresh), jobs=(policy(kind, 45),)), rule) == []
        assert levels(facts(chunks=(fresh,), jobs=(policy(kind, 30, schedule=3 * DAY),)), rule) == []
    done = chunk(1, days_ago=40, compressed=True)
    assert levels(facts(chunks=(done,), jobs=(policy("compression", 30),)), "not-compressed") == []


def test_the_policies_of_an_aggregate_are_not_the_hypertables() -> None:
    other = {"hypertable_id": 2}
    old = facts(chunks=(chunk(1, days_ago=40),), compression_enabled=True)
    assert levels(replace(old, jobs=(replace(policy("retention", 30), config=other),)), "not-dropped") == []
    of_aggregate = replace(old, jobs=(replace(policy("compression", 30), config=other),))
    assert levels(of_aggregate, "not-compressed") == []
    assert levels(of_aggregate, "compression-ratio") == ["note"]  # nothing compresses the hypertable itself
    hourly = tuple(replace(chunk(n), start=int((NOW - (60 - n) * HOUR) * US), end=int((NOW - (59 - n) * HOUR) * US)) for n in range(60))
    fast = facts(interval=int(HOUR * US), chunks=hourly)
    kept = job(after="30 days", boundary=int((NOW - 30 * DAY) * US), config=other)
    assert levels(replace(fast, jobs=(kept,)), "chunk-count") == levels(fast, "chunk-count") != []


@pytest.mark.parametrize(("before", "after", "expected"), [(90_000_000, 9_000_000, []), (90_000_000, 60_000_000, ["warning"]), (9_000, 8_000, [])])
def test_compression_ratio(before: int, after: int, expected: list[str]) -> None:
    one = chunk(1, days_ago=40, compressed=True, companion=relation(7), before_bytes=before, after_bytes=after)
    assert levels(facts(chunks=(one,)), "compression-ratio") == expected


def test_compression_that_nothing_does() -> None:
    given = facts(chunks=(chunk(1, days_ago=40), chunk(2)), compression_enabled=True)
    assert levels(given, "compression-ratio") == ["note"]
    assert levels(replace(given, jobs=(policy("compression", 60),)), "compression-ratio") == []
    assert levels(replace(given, compression_enabled=False), "compression-ratio") == []


def test_rows_beside_compression() -> None:
    beside = replace(chunk(1, days_ago=40, compressed=True, companion=relation(7)), partial=True)
    alone = chunk(2, days_ago=41, compressed=True, companion=relation(8))
    assert levels(facts(chunks=(beside,)), "rows-beside-compression") == ["note"]
    assert levels(facts(chunks=(alone, chunk(3, live=50_000))), "rows-beside-compression") == []
    many = tuple(replace(beside, relation=relation(n)) for n in range(11))
    assert levels(facts(chunks=many), "rows-beside-compression") == ["warning"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, []),
        ({"status": "Failed", "failures_in_a_row": 1, "last_error": "no such column"}, ["warning"]),
        ({"status": "Failed", "failures_in_a_row": 3}, ["critical"]),
        ({"status": "Failed", "failures_in_a_row": 2, "max_retries": 1}, ["critical"]),
    ],
)
def test_failed_jobs(more: dict[str, Any], expected: list[str]) -> None:
    given = facts(jobs=(job(**more),))
    assert levels(given, "failed-jobs") == expected
    assert all(more.get("last_error", "") in finding.message for finding in said(given, "failed-jobs"))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"next_start": NOW - 200}, []),
        ({"next_start": NOW - 400}, ["warning"]),
        ({"next_start": NOW - 400, "state": "Running"}, []),
        ({"next_start": NOW - 400, "scheduled": False}, []),
        ({"next_start": NOW - 400, "schedule": 3 * DAY}, []),
        ({"next_start": NOW - 2 * DAY}, ["critical"]),
        ({"next_start": None}, []),
        ({"next_start": NEVER, "last_start": None, "runs": 0}, ["warning"]),
        ({"next_start": NEVER, "last_start": None, "runs": 0, "scheduled": False}, []),
        ({"next_start": NEVER, "last_start": NOW - 200}, []),
        ({"next_start": NEVER, "last_start": NOW - 400}, ["warning"]),
        ({"next_start": NEVER, "last_start": NOW - 2 * DAY}, ["critical"]),
        ({"next_start": NEVER, "last_start": NOW - 2 * DAY, "state": "Running"}, []),
    ],
)
def test_late_jobs(more: dict[str, Any], expected: list[str]) -> None:
    assert levels(facts(jobs=(job(**more),)), "late-jobs") == expected


def test_late_jobs_say_why_where_it_can_be_seen() -> None:
    late = facts(jobs=(job(next_start=NOW - 400),))
    assert "scheduler does not run" in said(replace(late, scheduler_runs=False), "late-jobs")[0].message
    restoring = replace(late, settings={"timescaledb.restoring": "on"})
    assert "timescaledb_post_restore" in said(restoring, "late-jobs")[0].remedy


def test_no_scheduler() -> None:
    waits = (job(next_start=NEVER, last_start=None, runs=0),)
    assert levels(facts(jobs=waits), "no-scheduler") == []
    assert levels(facts(jobs=waits, scheduler_runs=None), "no-scheduler") == []  # a standby
    assert levels(facts(jobs=waits, scheduler_runs=False), "no-scheduler") == ["critical"]
    assert levels(facts(scheduler_runs=False), "no-scheduler") == []
    assert levels(facts(jobs=(job(scheduled=False),), scheduler_runs=False), "no-scheduler") == []
    [restoring] = said(facts(jobs=waits, settings={"timescaledb.restoring": "on"}), "no-scheduler")
    assert (restoring.level, "timescaledb_post_restore" in restoring.remedy) == ("critical", True)


def test_paused_jobs_and_owners_who_cannot_log_in() -> None:
    assert levels(facts(jobs=(job(scheduled=False),)), "paused-jobs") == ["note"]
    assert levels(facts(jobs=(job(owner_can_login=False),)), "job-owners") == ["critical"]
    [gone] = said(facts(jobs=(job(owner_exists=False),)), "job-owners")
    assert "is not a role any more" in gone.message


@pytest.mark.parametrize(("workers", "databases", "jobs", "expected"), [(16, 2, 5, []), (4, 2, 5, ["note"]), (2, 3, 5, ["warning"])])
def test_background_workers(workers: int, databases: int, jobs: int, expected: list[str]) -> None:
    given = facts(databases=databases, scheduled_jobs=jobs, settings={"timescaledb.max_background_workers": str(workers), "max_worker_processes": "40"})
    assert levels(given, "background-workers") == []
    assert levels(replace(given, jobs=(job(),)), "background-workers") == expected


REFRESH = job(procedure="policy_refresh_continuous_aggregate")
DAILY = Aggregate(TableName("public", "daily"), "metrics", bucket=int(DAY * US), job=REFRESH)


@pytest.mark.parametrize(
    ("behind_days", "newest_days_ago", "due_days_ago", "expected"),
    [
        (1.0, 0.0, 0.0, []),  # a bucket, and two runs
        (1.5, 0.0, 0.0, ["warning"]),
        (1.5, 0.0, 1.0, []),  # its end_offset leaves a day out
        (9.0, 8.5, 0.0, []),  # nothing came since
        (9.0, 0.0, 0.0, ["critical"]),
    ],
)
def test_aggregates_behind(behind_days: float, newest_days_ago: float, due_days_ago: float, expected: list[str]) -> None:
    def ago(days: float) -> int:
        return int((NOW - days * DAY) * US)

    each = replace(DAILY, watermark=ago(behind_days), newest=ago(newest_days_ago), due=ago(due_days_ago))
    given = facts(aggregates=(each,), chunks=tuple(chunk(n, days_ago=12 - n) for n in range(12)))
    assert levels(given, "aggregates-behind") == expected


def test_an_aggregate_that_was_never_refreshed_is_behind_and_one_without_a_policy_is_noted() -> None:
    long = tuple(chunk(n, days_ago=12 - n) for n in range(12))
    assert levels(facts(chunks=long, aggregates=(replace(DAILY, newest=int(NOW * US), due=int(NOW * US)),)), "aggregates-behind") == ["critical"]
    assert levels(facts(aggregates=(replace(DAILY, job=None),)), "aggregates-behind") == ["note"]
    [never] = said(facts(chunks=long, aggregates=(replace(DAILY, newest=int(NOW * US), due=int(NOW * US)),)), "aggregates-behind")
    assert "refresh_continuous_aggregate('\"public\".\"daily\"', NULL, NULL)" in never.remedy


COLUMNS = (Column("time", 8, 8), Column("sensor", 4, 4), Column("value", 8, 8))
WIDTHS = (Width("time", 8), Width("sensor", 4, distinct=50), Width("value", 8))


def test_table_bloat_by_estimate_and_by_measure() -> None:
    # 10,000 rows of 52 bytes on 157 a page need 64 pages.
    tight = facts(columns=COLUMNS, chunks=(chunk(1, pages=70, widths=WIDTHS),))
    loose = facts(columns=COLUMNS, chunks=(chunk(1, pages=30_000, widths=WIDTHS, heap_bytes=30_000 * 8192),))
    little = facts(columns=COLUMNS, chunks=(chunk(1, pages=300, widths=WIDTHS, heap_bytes=300 * 8192),))
    assert levels(tight, "table-bloat") == []
    assert levels(loose, "table-bloat") == ["warning"]
    assert levels(little, "table-bloat") == ["note"]
    assert levels(replace(loose, exact=()), "table-bloat") == []


def test_index_bloat_offers_to_rebuild() -> None:
    given = facts(
        columns=COLUMNS,
        chunks=(chunk(1, widths=WIDTHS),),
        chunk_indexes=(index(8, "tight", 1, pages=40), index(9, "loose", 1, pages=400), index(10, "partial", 1, pages=400, partial=True)),
    )
    [found] = said(given, "index-bloat")
    assert found.command == "hyperferry maintain public.metrics --only reindex"
    assert "1 index" in found.message
    assert "loose" in found.message


@pytest.mark.parametrize(("live", "dead", "expected"), [(10_000, 900, []), (10_000, 3_000, ["note"]), (10_000, 2_000, []), (100_000, 200_000, ["warning"])])
def test_dead_rows(live: int, dead: int, expected: list[str]) -> None:
    assert levels(facts(chunks=(chunk(1, live=live, rows=float(live), dead=dead),)), "dead-rows") == expected


def test_dead_rows_name_who_holds_them() -> None:
    given = facts(chunks=(chunk(1, dead=30_000),), holder="a session (pid 7)")
    assert "a session (pid 7)" in said(given, "dead-rows")[0].message


def test_autovacuum_off() -> None:
    assert levels(facts(settings={"autovacuum": "off"}), "autovacuum-off") == ["critical"]
    assert levels(facts(chunks=(chunk(1, options=(("autovacuum_enabled", "false"),)),)), "autovacuum-off") == ["warning"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"dead": 4_000}, []),  # threshold 2,050
        ({"dead": 4_200}, []),  # it came an hour ago, but that is within what `vacuumed` says below
        ({"dead": 4_200, "vacuumed": None, "autovacuumed": None}, ["warning"]),
        ({"dead": 4_200, "vacuumed": NOW - 7 * HOUR, "autovacuumed": None}, ["warning"]),
        ({"dead": 4_200, "vacuumed": None, "options": (("autovacuum_vacuum_scale_factor", "0.5"),)}, []),
        ({"dead": 4_200, "vacuumed": None, "options": (("autovacuum_enabled", "off"),)}, []),
    ],
)
def test_autovacuum_behind(more: dict[str, Any], expected: list[str]) -> None:
    given = facts(chunks=(chunk(1, **{"vacuumed": NOW - 60, **more}),))
    assert levels(given, "autovacuum-behind") == expected


def test_autovacuum_behind_reads_the_settings() -> None:
    behind = facts(chunks=(chunk(1, dead=4_200, vacuumed=None),), autovacuum_workers=3, settings={"autovacuum_max_workers": "3"})
    assert "all workers are busy" in said(behind, "autovacuum-behind")[0].remedy
    capped = replace(behind, chunks=(chunk(1, dead=4_200, rows=1e9, vacuumed=None),), settings={"autovacuum_vacuum_max_threshold": "1000"})
    assert levels(capped, "autovacuum-behind") == ["warning"]
    assert levels(replace(capped, settings={}), "autovacuum-behind") == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"xid_age": 210_000_000}, []),
        ({"xid_age": 250_000_000}, ["warning"]),
        ({"xid_age": 1_700_000_000}, ["critical"]),
        ({"mxid_age": 500_000_000}, ["warning"]),
        ({"xid_age": 200_000, "options": (("autovacuum_freeze_max_age", "100000"),)}, ["warning"]),
    ],
)
def test_wraparound(more: dict[str, Any], expected: list[str]) -> None:
    assert levels(facts(chunks=(chunk(1, **more),)), "wraparound") == expected
    compressed = chunk(1, compressed=True, companion=relation(7, **more))
    assert levels(facts(chunks=(compressed,)), "wraparound") == expected


def two(**more: Any) -> dict[str, Any]:
    """An index of the hypertable on three chunks, and another that is used."""
    own = [index(10 + n, f"{n}_a", n, key="a", scans=more.get("scans", 0), pages=50) for n in (1, 2, 3)]
    used = [index(20 + n, f"{n}_b", n, key="b", scans=9) for n in (1, 2, 3)]
    root = index(1, "a_idx", key="a", scans=0, unique=more.get("unique", False))
    return {"indexes": (root, index(2, "b_idx", key="b", columns=("place",))), "chunk_indexes": (*own, *used)}


def test_unused_indexes() -> None:
    assert levels(facts(**two()), "unused-indexes") == ["note"]
    assert "a_idx" in said(facts(**two()), "unused-indexes")[0].message
    assert levels(facts(**two(scans=1)), "unused-indexes") == []
    assert levels(facts(**two(unique=True)), "unused-indexes") == []
    assert levels(facts(**two(), statistics_since=NOW - DAY), "unused-indexes") == []
    assert levels(facts(**two(), statistics_since=NOW - 8 * DAY), "unused-indexes") == ["note"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"oldest_chunk": NOW - DAY}, []),
        ({"oldest_chunk": NOW - 8 * DAY}, ["note"]),
        ({"oldest_chunk": None}, ["note"]),  # before TimescaleDB 2.13
        ({"statistics_since": None}, ["note"]),
        ({"statistics_since": None, "oldest_chunk": NOW - DAY}, []),
        ({"statistics_since": None, "oldest_chunk": None}, []),
        ({"serves_since": NOW - HOUR, "rollout": RolloutFacts("cut_over", HOUR)}, []),
        ({"serves_since": NOW - HOUR}, []),  # finished an hour ago
        ({"serves_since": NOW - 8 * DAY, "rollout": RolloutFacts("cut_over", 8 * DAY)}, ["note"]),
        ({"rollout": RolloutFacts("synced", 30 * DAY)}, []),
        ({"rollout": RolloutFacts("rolled_back", 30 * DAY)}, []),
    ],
)
def test_indexes_that_nobody_could_have_used_are_not_called_unused(more: dict[str, Any], expected: list[str]) -> None:
    assert levels(facts(**two(), **more), "unused-indexes") == expected


def test_duplicate_indexes() -> None:
    a, same, key = index(1, "a", key="k"), index(2, "same", key="k"), index(3, "key", key="k", unique=True)
    assert levels(facts(indexes=(a, same)), "duplicate-indexes") == ["warning"]
    assert [f.message for f in said(facts(indexes=(a, key)), "duplicate-indexes")] == ["The index public.a is the same as public.key."]
    begins = index(4, "short", key="btree/1/0/0/f/1/'sensor'")
    longer = index(5, "long", key="btree/1 2/0 0/0 0/f/2/'sensor'/'time'", columns=("sensor", "time"), key_columns=2)
    downward = index(5, "down", key="btree/1 2/0 0/3 0/f/2/'sensor'/'time'", columns=("sensor", "time"), key_columns=2)
    assert levels(facts(indexes=(begins, longer)), "duplicate-indexes") == ["note"]
    assert levels(facts(indexes=(begins, downward)), "duplicate-indexes") == []


def test_invalid_and_missing_indexes() -> None:
    broken = index(9, "1_a_ccnew", 1, key="a", valid=False)
    [found] = said(facts(chunk_indexes=(broken,)), "invalid-indexes")
    assert found.command is not None
    lacking = two()
    lacking["chunk_indexes"] = tuple(each for each in lacking["chunk_indexes"] if each.name.name != "2_a")
    [found] = said(facts(**lacking), "missing-indexes")
    assert "_hyper_1_2_chunk" in found.message
    assert levels(facts(**two()), "missing-indexes") == []


def test_stale_statistics() -> None:
    never = chunk(1, analyzed=None, rows=-1.0)
    changed = chunk(2, modified=2_200)
    assert levels(facts(chunks=(never, chunk(2))), "stale-statistics") == ["warning"]
    assert levels(facts(chunks=(changed, chunk(3))), "stale-statistics") == ["warning"]
    assert levels(facts(chunks=(chunk(2, modified=2_000),)), "stale-statistics") == []
    assert levels(facts(chunks=(never, *(chunk(n) for n in range(2, 30)))), "stale-statistics") == ["note"]
    assert levels(facts(chunks=(chunk(1, analyzed=None, rows=-1.0, live=10),)), "stale-statistics") == []
    assert levels(facts(chunks=(replace(never, compressed=True),)), "stale-statistics") == []
    whole = facts(chunks=(chunk(1, live=200_000, rows=200_000.0),), root_analyzed=None)
    assert levels(whole, "stale-statistics") == ["note"]


def test_not_seen() -> None:
    assert levels(facts(hidden=("this", "that")), "not-seen") == ["note", "note"]


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        (RolloutFacts("cut_over", DAY), []),
        (RolloutFacts("cut_over", 8 * DAY), ["note"]),
        (RolloutFacts("cut_over", 40 * DAY), ["warning"]),
        (RolloutFacts("cut_over", DAY, backlog=5), ["warning"]),
        (RolloutFacts("cut_over", DAY, backlog=5, worker="pid 7 (hyperferry sync)"), []),
        (RolloutFacts("synced", DAY), ["note"]),
        (RolloutFacts("finished", DAY), []),
    ],
)
def test_open_rollout(rollout: RolloutFacts, expected: list[str]) -> None:
    assert levels(facts(rollout=rollout), "open-rollout") == expected
