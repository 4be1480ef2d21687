"""Nothing grows without bound: the tool's memory, the age of our transactions; and status tells the truth about it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from job import HOURS, Job, Make, aside, eventually

from hyperferry import engine
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from servers import Database

QUIET = dict.fromkeys(("max_latency", "max_lock_wait", "max_replica_lag", "max_slot_lag", "max_cores"), "none")
"""A loaded machine must not stretch these tests."""


MEASURED = """
import atexit, re, sys
from pathlib import Path
from hyperferry.cli import main
peak = lambda: re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]
told = sys.argv.pop()
atexit.register(lambda: Path(told).write_text(peak()))
main()
"""
"""The program, which at its end writes down its own peak. (The peak that wait4 gives is never less than what the parent had.)"""


def peak_mb(folder: Path, dsn: str, *arguments: str) -> float:
    """The largest resident size of one command, in MB."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HYPERFERRY_M")}
    told = folder / "peak"
    told.unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments, "--json", "--dsn", dsn, str(told)],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return int(told.read_text()) / 1024


def table_of(db: Database, name: str, rows: int) -> None:
    db.execute(
        f"CREATE TABLE {name} (id bigint PRIMARY KEY, at timestamptz NOT NULL, v text); "
        f"INSERT INTO {name} SELECT i, timestamptz '2024-01-01' + i * interval '1 minute', repeat('x', 50) "
        f"FROM generate_series(1, {rows}) AS i; CREATE INDEX ON {name} (at); ANALYZE {name}"
    )


def test_memory_does_not_grow_with_the_table(
    db: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job ten times as large, and a backlog ten times as large, in the same memory."""
    peaks: dict[str, float] = {}
    for name, rows in (("small", 15_000), ("large", 150_000)):
        table_of(db, name, rows)
        more = ["--batch-rows", "5000", "--chunk-interval", "30 days", "--max-latency", "none"]
        peaks[f"start {name}"] = peak_mb(tmp_path, db.dsn, "start", name, "--time", "at", *more)
        db.execute(f"UPDATE {name} SET v = v || 'y'")
        peaks[f"sync {name}"] = peak_mb(tmp_path, db.dsn, "sync", name, "--until-empty")
    with capsys.disabled():
        print("\npeak resident size:", ", ".join(f"{what} {mb:.0f} MB" for what, mb in peaks.items()))
    assert peaks["start large"] - peaks["start small"] < 10
    assert peaks["sync large"] - peaks["sync small"] < 10
    assert max(peaks.values()) < 100


EXEMPT = ("CREATE INDEX", "CREATE UNIQUE INDEX", "ANALYZE", "ALTER TABLE")
"""Index builds (ADD CONSTRAINT for keys) and ANALYZE may take longer than a batch (I0)."""

OURS = (
    "SELECT pid, application_name, EXTRACT(epoch FROM now() - xact_start)::float8, query, state, backend_xmin IS NOT NULL, "
    "state_change FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'hyperferry%'"
)


def test_no_transaction_of_ours_outlives_a_batch(job: Make) -> None:
    """A whole job, stretched to half a minute, under writers: what we hold open is never older than a few seconds, and
    a session of ours that waits holds no snapshot."""
    own = job(HOURS, options=PlanOptions(chunk_interval="365 days", batch_rows=10, workers=2))
    own.db.execute("ALTER TABLE t ADD UNIQUE (at, v); CREATE INDEX ON t (v)")
    ending, oldest, looks = threading.Event(), Counter[str](), Counter[str]()
    idle_with_snapshot: list[tuple[Any, ...]] = []

    def watch() -> None:
        # In two looks: state and snapshot are not read at the same moment, and a statement may begin in between.
        before: set[tuple[Any, ...]] = set()
        with own.db.connect() as conn:
            while not ending.wait(0.05):
                rows = conn.execute(OURS).fetchall()
                idle = {(row[0], row[6]) for row in rows if row[4] == "idle" and row[5]}
                idle_with_snapshot.extend(row for row in rows if (row[0], row[6]) in idle & before)
                before = idle
                for row in rows:
                    looks[row[1]] += 1
                    if row[2] is not None and not row[3].lstrip().startswith(EXEMPT):
                        oldest[row[1]] = max(oldest[row[1]], row[2])  # type: ignore[assignment]

    def write() -> None:
        with own.db.connect() as conn:
            number = 10_000
            while not ending.wait(0.05):
                number += 1
                conn.execute("INSERT INTO t VALUES (%s, now(), 'w')", [number])
                conn.execute("UPDATE t SET v = v || '.' WHERE id = %s", [number % 300 + 1])
                conn.execute("DELETE FROM t WHERE id = %s", [number - 20])

    threads = [aside(watch), aside(write)]
    begun = time.monotonic()
    try:
        assert own.start(set_limits={**QUIET, "max_rate": "15"}).phase is Phase.SYNCED
        own.verify()
        own.cutover()
        stop = threading.Event()
        syncing = aside(lambda: engine.sync(own.dsn, "t", stop=stop))
        time.sleep(8)
        stop.set()
        syncing.result(60)
        own.rollback()
    finally:
        ending.set()
    for thread in threads:
        thread.result(60)
    took = time.monotonic() - begun
    assert took > 20, "too short to tell"
    assert {
        "hyperferry copy 1",
        "hyperferry apply",
        "hyperferry throttle",
        "hyperferry start",
    } <= looks.keys()
    assert idle_with_snapshot == []
    assert max(oldest.values()) < min(6.0, took / 3), oldest
    own.sync()
    own.assert_equal()


def test_what_status_says_is_true(job: Make) -> None:
    """Each figure against SQL of the test's own: at the copy, at the backlog, and of the way back."""
    own = job(HOURS, options=PlanOptions(chunk_interval="365 days", batch_rows=100, workers=1)).cut()
    own.copy_next()
    own.run("UPDATE {table} SET v = 'x' WHERE id <= 7")
    now = own.status()
    assert (now.phase, now.batches_done, now.batches_total) == (Phase.COPYING, 1, 3)
    assert now.rows_copied == own.value("SELECT count(*) FROM {shadow}") == 100
    assert now.rows_estimated == own.value("SELECT count(*) FROM {table}") == 300
    assert now.backlog == own.value("SELECT count(*) FROM {log}") == 7
    assert now.throttled_by is None
    assert now.eta_seconds == pytest.approx(200 / now.rows_per_second)
    assert now.log_bytes >= own.value("SELECT pg_relation_size(%s)", own.flow.log.as_string(None))
    own.start(set_limits=QUIET)
    own.cutover()
    own.run("UPDATE {table} SET v = 'y' WHERE id <= 5; DELETE FROM {table} WHERE id = 300")
    back = own.status()
    assert (back.phase, back.backlog) == (Phase.CUT_OVER, 6)
    assert back.backlog == own.value("SELECT count(*) FROM {log}")
    assert back.eta_seconds == 0
    assert own.sync().backlog == own.value("SELECT count(*) FROM {log}") == 0


def test_status_names_our_oldest_transaction_and_who_holds_cleaning_back(job: Make) -> None:
    own = job(HOURS).cut()
    ours = own.session("copy 1")
    with own.application() as theirs, ours.transaction():
        theirs.execute("SELECT txid_current()")
        ours.execute("SELECT 1")
        own_pid, their_pid = ours.info.backend_pid, theirs.info.backend_pid
        now = eventually("an age", lambda: (s := own.status()).our_oldest_seconds and s)
        assert now.our_oldest_transaction == f"pid {own_pid} (hyperferry copy 1)"
        age = own.value(
            "SELECT EXTRACT(epoch FROM clock_timestamp() - xact_start) FROM pg_stat_activity WHERE pid = %s",
            own_pid,
        )
        assert 0 < now.our_oldest_seconds <= float(age)
        assert now.xmin_holder is not None
        assert (now.xmin_holder.pid, now.xmin_holder.state) == (their_pid, "idle in transaction")
        theirs.rollback()
    own.db.execute("BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'left behind'")
    held = own.status().xmin_holder
    assert held is not None
    assert (held.pid, held.what) == (None, "prepared transaction left behind")
    own.db.execute("ROLLBACK PREPARED 'left behind'")


def test_the_holder_of_the_horizon_is_seen_without_pg_monitor(job: Make, db: Database) -> None:
    """Its time is hidden from other roles, that it holds cleaning back is not."""
    role = db.make_role("tool")
    own: Job = job(HOURS, role=role)
    own.cut()
    with own.application() as theirs:
        theirs.execute("SELECT txid_current()")
        held = own.status().xmin_holder
        assert held is not None
        assert (held.pid, held.age_seconds) == (theirs.info.backend_pid, None)


def test_a_writers_session_keeps_one_plan_for_each_chunk(synced: Make) -> None:
    """Triggers of a hypertable are each chunk's own, and so are the plans of the function's expressions, as often as there are
    chunks that the session writes to. It walks through all of them for each change of the catalog: with three for each of 4,000
    chunks writers stood still for seconds when autovacuum came to them."""
    job = synced(HOURS, options=PlanOptions(chunk_interval="1 day", workers=1))
    job.cutover()
    plans = "SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource'"
    with job.application() as app:

        def kept() -> int:
            row = app.execute(plans).fetchone()
            assert row is not None
            return int(row[0])

        before = kept()
        days = range(2, 12)
        for statement in (
            "INSERT INTO t SELECT 1000 + d, timestamptz '2024-01-01' + d * interval '1 day', 'new' FROM unnest(%s::int[]) AS d",
            "UPDATE t SET v = 'newer' WHERE id = ANY (SELECT 1000 + d FROM unnest(%s::int[]) AS d)",
            "DELETE FROM t WHERE id = ANY (SELECT 1000 + d FROM unnest(%s::int[]) AS d)",
        ):
            app.execute(statement, [list(days)])
        assert kept() - before == len(days)
    job.sync()
    job.assert_equal()
