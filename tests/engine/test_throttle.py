"""The throttle on real servers: a lagging replica, a stale slot, slow commits, waiting writers, a rate given by hand."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from job import HOURS, Job, Make, aside, eventually

from hyperferry import engine
from hyperferry.apply import Applier
from hyperferry.db import connect
from hyperferry.db.connection import Connection
from hyperferry.errors import Failed
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.report import StatusReport
from hyperferry.model.rollout import Phase
from hyperferry.model.throttle import Samples
from hyperferry.strategies import blue_green, throttling
from hyperferry.strategies.monitor import Monitor
from hyperferry.throttle import Sampler
from kit.standby import Standby, consumer_of, own_server, receiver_of, standby_of
from kit.tables import Table
from servers import Database, Server, drop_database, make_database

SMALL_BATCHES = PlanOptions(chunk_interval="365 days", batch_rows=10, workers=2)
"""Cuts HOURS into thirty batches."""

QUIET = dict.fromkeys(
    ("max_latency", "max_lock_wait", "max_replica_lag", "max_slot_lag", "max_cores"), "none"
)
"""What a test does not look at must not disturb it on a loaded machine."""


@pytest.fixture(scope="module")
def primary(server: Server) -> Iterator[Server]:
    """A server that no other test feels."""
    with own_server(server.release) as own:
        yield own


@pytest.fixture(scope="module")
def standby(primary: Server) -> Iterator[Standby]:
    with standby_of(primary) as made:
        yield made


@pytest.fixture
def own(primary: Server) -> Iterator[Job]:
    """A job on HOURS in a database of the server of its own."""
    db = make_database(primary)
    db.execute(HOURS)
    yield Job(db, Table("public", "t", "at", ("id",), ("id", "at", "v"), 300), SMALL_BATCHES)
    drop_database(db)


def begun(job: Job, **limits: str) -> Future[StatusReport]:
    """`start` on a thread of its own, held to these limits alone."""
    held: dict[str, str | None] = {**QUIET, **limits}
    return aside(lambda: job.start(set_limits=held))


def stopped(job: Job) -> StatusReport | None:
    """The status once the throttle stops the copy and nothing is in flight."""
    report = status(job)
    return report if report is not None and report.throttle.state == "stopped" else None


def status(job: Job) -> StatusReport | None:
    reports = engine.status(job.dsn, job.table.quoted)
    return reports[0] if reports else None


def assert_stands_still(job: Job, batches: int) -> None:
    time.sleep(2.5)
    now = job.status()
    assert (now.batches_done, now.phase) == (batches, Phase.COPYING)
    assert now.eta_seconds is None


def finished(job: Job, start: Future[StatusReport]) -> None:
    assert start.result(90).phase is Phase.SYNCED
    job.assert_equal()


def lag_seconds(server: Server) -> float:
    with server.connect() as conn:
        row = conn.execute(
            "SELECT EXTRACT(epoch FROM max(replay_lag)) FROM pg_stat_replication WHERE application_name = 'standby'"
        ).fetchone()
    return float(row[0] or 0) if row else 0.0


def test_a_replica_that_falls_behind_stops_the_copy(own: Job, standby: Standby, primary: Server) -> None:
    """Stopped before the first batch, with the replica's name and the numbers; on again when it has caught up."""
    standby.run("SELECT pg_wal_replay_pause()")

    def far_behind() -> bool:
        own.db.execute("CREATE TABLE IF NOT EXISTS noise (i int); INSERT INTO noise VALUES (1)")
        return lag_seconds(primary) > 3

    try:
        eventually("the standby is behind", far_behind, seconds=60)
        start = begun(own, max_replica_lag="3s")
        report = eventually("the copy waits", lambda: stopped(own), seconds=60)
        assert report.throttled_by.startswith("replica standby is ")
        assert report.throttled_by.endswith("behind (limit 3.0 s)")
        assert report.throttle.seen["replica_lag_seconds"] > 3
        assert report.throttle.limits["max_replica_lag"] == "3s"
        assert report.batches_done == 0
        assert_stands_still(own, 0)
    finally:
        standby.run("SELECT pg_wal_replay_resume()")
    finished(own, start)
    assert any(line.startswith("copying waits: replica standby") for line in own.said)
    assert job_after(own).throttle.state == "unwatched"


def job_after(job: Job) -> StatusReport:
    """The status when nobody works on it any more."""
    report = job.status()
    assert report.throttled_by is None
    return report


def test_a_slot_that_nobody_reads_stops_the_copy_and_slows_the_applier(own: Job, primary: Server) -> None:
    with primary.connect() as conn:
        conn.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        own.db.execute("CREATE TABLE noise AS SELECT repeat('x', 100) AS x FROM generate_series(1, 40000)")
        kept = conn.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots WHERE slot_name = 'forgotten'"
        ).fetchone()
        assert kept is not None
        assert kept[0] > 3 << 20
        start = begun(own, max_slot_lag="3MB")
        try:
            report = eventually("the copy waits", lambda: stopped(own), seconds=60)
            assert report.throttled_by.startswith("slot forgotten, which nobody reads, keeps ")
            assert report.throttle.seen["slot_lag_bytes"] >= kept[0]
            assert_stands_still(own, 0)
            # Applying goes on: what no pending batch covers is carried over.
            own.run("UPDATE {table} SET v = 'new', at = '1999-01-01' WHERE id = 7")
            own.run("UPDATE {batch} SET state = 'done', rows = 0 WHERE lo_t IS NULL")
            eventually(
                "the change is applied", lambda: own.run("SELECT 1 FROM {shadow} WHERE v = 'new'"), seconds=60
            )
            assert own.status().throttle.state == "stopped"
            # Its rows were never copied: what the test took away is given back.
            own.run("UPDATE {batch} SET state = 'pending', rows = NULL WHERE lo_t IS NULL")
            own.run("DELETE FROM {shadow}")
            own.run("INSERT INTO {log} (op, k1, t) SELECT 'R', id, at FROM {table} WHERE id = 7")
        finally:
            conn.execute("SELECT pg_drop_replication_slot('forgotten')")
    finished(own, start)


def test_slow_commits_stop_the_copy(own: Job, standby: Standby, primary: Server) -> None:
    """Writers that wait for a standby to apply feel it at each commit, and so does the probe."""
    own.db.execute(f'ALTER DATABASE "{own.db.name}" SET synchronous_commit = remote_apply')
    slow(primary, standby, "500ms", "*")
    try:
        start = begun(own, max_latency="200ms")
        report = eventually("the copy waits", lambda: stopped(own), seconds=60)
        assert report.throttled_by.startswith("a commit takes ")
        assert report.throttled_by.endswith("(limit 200 ms)")
        assert report.throttle.seen["latency_ms"] > 400
    finally:
        slow(primary, standby, "0", "")
    finished(own, start)


def slow(primary: Server, standby: Standby, delay: str, synchronous: str) -> None:
    with standby.connect() as conn:
        conn.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'")  # type: ignore[call-overload]
        conn.execute("SELECT pg_reload_conf()")
    with primary.connect() as conn:
        conn.execute("SET synchronous_commit = off")
        conn.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{synchronous}'")  # type: ignore[call-overload]
        conn.execute("SELECT pg_reload_conf()")


def test_slow_commits_that_are_not_our_doing_do_not_stop_it_for_ever(
    own: Job, standby: Standby, primary: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the baseline: when they stay slow although copying has stood still, they are the baseline."""
    monkeypatch.setattr("hyperferry.throttle.decision.SETTLE_SECONDS", 2.0)
    monkeypatch.setattr("hyperferry.model.throttle.FACTOR_FLOOR_MS", 1.0)
    own.db.execute(f'ALTER DATABASE "{own.db.name}" SET synchronous_commit = remote_apply')
    start = begun(own, max_rate="5", max_latency="8x")
    eventually("batches are copied", lambda: (r := status(own)) and r.batches_done > 1, seconds=60)
    slow(primary, standby, "700ms", "*")
    try:

        def goes_on() -> bool:
            """A commit without the delay takes some milliseconds: enough to stop it too, on a busy machine, and not this long."""
            report = own.status()
            return report.throttle.state != "stopped" and (report.throttle.seen.get("baseline_ms") or 0) > 100

        eventually("it goes on", goes_on, seconds=60)
        assert any(line.startswith("copying waits: a commit takes ") for line in own.said)
    finally:
        slow(primary, standby, "0", "")
    engine.throttle(own.dsn, "t", {"max_rate": "none"})
    finished(own, start)


ROW = ("UPDATE t SET v = 'first' WHERE id = 5", "UPDATE t SET v = 'second' WHERE id = 5")
TABLE = ("LOCK TABLE t IN SHARE MODE", "UPDATE t SET v = 'second' WHERE id = 5")


@pytest.mark.parametrize(("first", "second"), [ROW, TABLE], ids=["row", "table"])
def test_a_writer_that_waits_for_a_lock_stops_the_copy(job: Make, first: str, second: str) -> None:
    """Whether we are in its way or not: the table has enough to bear."""
    own = job(HOURS, options=SMALL_BATCHES).capture()
    with own.application() as waiter, own.application() as holder:
        own.on(holder, first)
        waiting = aside(lambda: own.on(waiter, second))
        pid = waiter.info.backend_pid
        # Its own lock: sessions of other tests wait on this server too.
        long = f"SELECT 1 FROM pg_locks WHERE pid = {pid} AND waitstart < clock_timestamp() - interval '700 ms'"
        eventually("it has waited for long", lambda: own.db.execute(long))
        start = begun(own, max_lock_wait="500ms")
        report = eventually("the copy waits", lambda: stopped(own), seconds=60)
        assert report.throttled_by.startswith(f"pid {pid} (user ")
        assert f"behind pid {holder.info.backend_pid}" in report.throttled_by
        assert report.throttled_by.endswith("(limit 0.50 s)")
        assert_stands_still(own, 0)
        holder.rollback()
        waiting.result(60)
        waiter.rollback()
    finished(own, start)


def test_locks_that_others_wait_for_elsewhere_are_none_of_ours(job: Make) -> None:
    own = job(HOURS, options=SMALL_BATCHES).capture()
    own.run("CREATE TABLE other AS SELECT 1 AS i")
    with own.application() as waiter, own.application() as holder:
        own.on(holder, "LOCK TABLE other IN SHARE MODE")
        waiting = aside(lambda: own.on(waiter, "UPDATE other SET i = 2"))
        waits = f"SELECT 1 FROM pg_locks WHERE pid = {waiter.info.backend_pid} AND NOT granted"
        eventually("it waits", lambda: own.db.execute(waits))
        assert look(own, lambda samples: True).lock_waits == ()
        holder.rollback()
        waiting.result(60)


def look(job: Job, good: Callable[[Samples], bool]) -> Samples:
    """What a sampler sees on the job's table, as soon as it is good."""
    sampler = Sampler(job.rollout.source_oid)
    with connect(job.dsn, purpose="throttle") as conn:
        sampler.begin(conn)
        return eventually("it is seen", lambda: s if good(s := sampler.look(conn)) else None)  # type: ignore[no-any-return]


def test_a_rate_by_hand_and_its_change_while_it_runs(job: Make) -> None:
    """20 rows a second to begin with, as measured by the ledger's own times; then none, from another session."""
    own = job(HOURS, options=SMALL_BATCHES)
    start = begun(own, max_rate="20")
    eventually("some batches are copied", lambda: (r := status(own)) and r.batches_done >= 5, seconds=90)
    report = own.status()
    assert report.throttled_by == "at most 20 rows/s by hand"
    assert (report.throttle.state, report.throttle.rate) == ("slowed", 20)
    rows, seconds = own.run(
        "SELECT sum(rows), EXTRACT(epoch FROM max(done_at) - min(done_at)) FROM {batch} WHERE state = 'done'"
    )[0]
    # What both workers may have begun at once comes on top.
    assert rows <= 20 * float(seconds) + 2 * 20
    left = 31 - report.batches_done
    changed = time.monotonic()
    said = engine.throttle(own.dsn, "t", {"max_rate": "none"})
    assert said.phase is Phase.COPYING
    eventually("all is copied", lambda: own.status().batches_done == own.status().batches_total, seconds=90)
    took = time.monotonic() - changed
    assert took < left * 10 / 20 * 0.9, "no faster than before"
    finished(own, start)


def test_beside_others_at_work_one_worker_copies_at_once(own: Job) -> None:
    """Two workers, told to keep to one core beside others: never two batches at once, and said so; alone on the server both work."""
    busy = threading.Event()
    seen: list[int] = []

    def work() -> None:
        with own.db.connect() as one, own.db.connect() as other:
            while not busy.is_set():
                one.execute("SELECT 1")
                other.execute("SELECT 1")
                time.sleep(0.02)

    def look() -> None:
        with own.db.connect(application_name="hyperferry spy") as conn:
            while not busy.is_set():
                seen.append(
                    conn.execute(
                        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'hyperferry copy%' AND state <> 'idle'"
                    ).fetchone()[0]  # type: ignore[index]
                )
                time.sleep(0.002)

    with ThreadPoolExecutor() as pool:
        try:
            jobs = [pool.submit(work), pool.submit(look)]
            start = begun(own, max_rate="50", max_cores="1")
            report = eventually(
                "company is seen",
                lambda: (r := status(own)) and r.throttle.seen.get("others_at_work") and r,
                seconds=60,
            )
            assert "sessions of others are at work: 1 of 2 workers at once (limit 1)" in report.throttled_by
            assert report.throttle.limits["max_cores"] == "1"
            copied = own.status().batches_done
            eventually("those in flight are done", lambda: own.status().batches_done >= copied + 2, seconds=90)
            first = len(seen)
            eventually("some batches are copied", lambda: own.status().batches_done >= copied + 8, seconds=90)
            assert max(seen[first:]) == 1
        finally:
            busy.set()
        for done in jobs:
            done.result(60)
    engine.throttle(own.dsn, "t", {"max_rate": "none"})
    finished(own, start)


def test_limits_that_were_set_outlive_the_one_who_works(job: Make) -> None:
    """The ledger's word holds for the next start, over its configuration; `None` gives the configuration its word back."""
    own = job(HOURS, options=SMALL_BATCHES).cut()
    engine.throttle(own.dsn, "t", {**QUIET, "max_rate": "7", "max_lock_wait": "9s"})
    limits = own.status().throttle.limits
    assert (limits["max_rate"], limits["max_lock_wait"], limits["max_latency"]) == ("7", "9s", "none")
    engine.throttle(own.dsn, "t", {"max_lock_wait": None})
    start = aside(lambda: own.start(limits={"max_rate": "1000", "max_lock_wait": "77s"}))
    report = eventually("it works", lambda: (r := own.status()).throttle.state == "slowed" and r, seconds=60)
    assert (report.throttle.rate, report.throttle.limits["max_lock_wait"]) == (7, "77s")
    engine.throttle(own.dsn, "t", {"max_rate": None})
    eventually("its own rate", lambda: own.status().throttle.rate != 7, seconds=30)
    finished(own, start)


def test_a_verification_has_the_plans_workers(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    verify = blue_green.verify

    def noted(*args: Any, workers: int, **options: Any) -> Any:
        asked.append(workers)
        return verify(*args, workers=workers, **options)

    monkeypatch.setattr(blue_green, "verify", noted)
    own = job(HOURS, options=replace(SMALL_BATCHES, workers=3))
    own.start()
    own.verify()
    assert asked == [3, 3]


def test_catching_up_that_takes_long_is_said(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the throttle slows it, or writers are as quick."""
    monkeypatch.setattr(blue_green, "CATCHING_UP_SECONDS", 0.0)
    own = job(HOURS, options=SMALL_BATCHES)
    own.start()
    for number in range(5000, 5200):
        own.run(f"INSERT INTO t VALUES ({number}, '2024-01-02', 'x')")
    drain = Applier.drain
    calls: list[int] = []

    def slowly(self: Applier, **options: Any) -> Any:
        calls.append(1)
        return replace(drain(self, **options), empty=len(calls) > 2)

    monkeypatch.setattr(Applier, "drain", slowly)
    said: list[str] = []
    monitor = Monitor(threading.Event(), said.append)
    assert blue_green.catch_up(own.conn, own.rollout, monitor) == 200
    assert [line for line in said if line.startswith("catching up: 200 changes applied")]


def test_a_limit_that_is_not_understood_changes_nothing(job: Make) -> None:
    own = job(HOURS, options=SMALL_BATCHES).cut()
    with pytest.raises(engine.Usage, match="limit is not understood"):
        engine.throttle(own.dsn, "t", {"max_rate": "fast", "max_lock_wait": "9s"})
    assert own.run("SELECT count(*) FROM hyperferry.throttle") == [(0,)]


def test_who_archives_wal_is_not_a_replica_that_lags(own: Job, primary: Server) -> None:
    """pg_receivewal replays nothing, and flushes at a segment's end: it is as far as WAL was sent to it."""
    with receiver_of(primary), connect(own.capture().dsn, purpose="throttle") as conn:
        sampler = Sampler(own.rollout.source_oid)
        sampler.begin(conn)

        def lag() -> list[float]:
            return [replica.seconds for replica in sampler.look(conn).replicas if replica.name == "receiver"]

        eventually("it streams", lag)
        seen: list[float] = []
        for number in range(1000, 1024):
            own.run(f"INSERT INTO t VALUES ({number}, '2024-01-02', repeat('x', 500))")
            seen += lag()
            time.sleep(0.25)
        assert len(seen) == 24
        assert max(seen) < 2


def test_a_logical_consumer_that_confirms_nothing_lags(own: Job, primary: Server) -> None:
    """What was sent to it is in its socket: what it confirmed counts."""
    with consumer_of(primary, own.db.name) as process, connect(own.capture().dsn, purpose="throttle") as conn:
        sampler = Sampler(own.rollout.source_oid)
        sampler.begin(conn)

        def lag() -> list[float]:
            return [replica.seconds for replica in sampler.look(conn).replicas if replica.name == "consumer"]

        eventually("it streams", lag)
        process.send_signal(signal.SIGSTOP)
        number = iter(range(1000, 10_000))

        def writes_on() -> bool:
            own.run(f"INSERT INTO t VALUES ({next(number)}, '2024-01-02', 'x')")
            time.sleep(0.25)
            return max(lag(), default=0.0) > 3

        eventually("it lags", writes_on, seconds=30)
        process.send_signal(signal.SIGCONT)


def test_what_a_role_may_not_see_is_said(own: Job, standby: Standby) -> None:
    """Without pg_monitor there is a replica and no telling how far it is."""
    role = own.db.make_role()
    own.db.execute(f'GRANT CREATE ON DATABASE "{own.db.name}" TO "{role}"; ALTER TABLE t OWNER TO "{role}"')
    own.role = role
    engine_sees = own.capture()
    samples = look(engine_sees, lambda samples: bool(samples.blind))
    assert samples.replicas == ()
    assert [text for text in samples.blind if "pg_monitor" in text and text.startswith("replica lag: 1 ")]
    own.db.execute(f'GRANT pg_monitor TO "{role}"')
    assert look(engine_sees, lambda samples: bool(samples.replicas)).blind == ()


def test_a_probe_is_harmless_and_leaves_little(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes to a table of the ledger's alone, which is emptied when it has grown, unless somebody reads it."""
    own = job(HOURS, options=SMALL_BATCHES).cut()
    monkeypatch.setattr("hyperferry.throttle.sample.PROBES_BYTES", 0)
    look(own, lambda samples: samples.latency_ms is not None)
    assert own.value("SELECT pg_relation_size('hyperferry.probe')") == 0
    with own.application() as reader:
        own.on(reader, "SELECT count(*) FROM hyperferry.probe")
        samples = look(own, lambda samples: samples.latency_ms is not None)
        assert samples.blind == ()
        assert own.value("SELECT count(*) FROM hyperferry.probe") > 0


def test_a_ledger_made_by_the_version_before_is_brought_up_to_date(job: Make) -> None:
    own = job(HOURS, options=SMALL_BATCHES).cut()
    own.run("DROP TABLE hyperferry.throttle, hyperferry.probe")
    own.run("COMMENT ON SCHEMA hyperferry IS 'hyperferry, ledger version 1: old'")
    assert own.status().throttle.state == "unwatched"
    assert begun(own).result(60).phase is Phase.SYNCED
    assert own.value("SELECT count(*) FROM hyperferry.throttle") == 1
    assert "version 3" in own.value("SELECT obj_description('hyperferry'::regnamespace, 'pg_namespace')")


def test_a_ledger_made_by_a_newer_version_is_left_alone(job: Make) -> None:
    """What stands on the tables then is not what this program knows."""
    own = job(HOURS, options=SMALL_BATCHES).cut()
    own.run("COMMENT ON SCHEMA hyperferry IS 'hyperferry, ledger version 99: of tomorrow'")
    for command in (own.start, own.sync, own.cutover, own.rollback, own.finish, own.abort):
        with pytest.raises(Failed, match="another version of hyperferry"):
            command()
    assert own.phase() == "copying"


def test_limits_that_were_set_a_moment_ago_are_shown(job: Make) -> None:
    own = job(HOURS, options=SMALL_BATCHES)
    start = begun(own, max_rate="10", max_lock_wait="7s")
    eventually("it decides", lambda: (r := status(own)) and r.throttle.rate == 10, seconds=60)
    shown = engine.throttle(own.dsn, "t", {"max_rate": "none", "max_lock_wait": "9s"}).throttle.limits
    assert (shown["max_rate"], shown["max_lock_wait"]) == ("none", "9s")
    finished(own, start)


def test_a_server_that_is_slow_to_answer_does_not_free_the_throttle(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never answers in time does, after a while, and that is said."""
    own = job(HOURS, options=SMALL_BATCHES).cut()
    let_go: list[int] = []
    tries: list[int] = []
    monitor = Monitor(threading.Event(), own.said.append)
    monkeypatch.setattr(monitor.valve, "let_go", lambda: let_go.append(len(tries)))
    monkeypatch.setattr(throttling, "pause_seconds", lambda losses: 0.01)

    def slow(self: object, conn: Connection) -> None:
        tries.append(1)
        conn.execute("SET statement_timeout = 1; SELECT pg_sleep(1)")

    monkeypatch.setattr(throttling.Watcher, "_watch", slow)
    watcher = throttling.Watcher(own.session, own.rollout, monitor, {}, copying=True)
    watcher.start()
    eventually("it gave up", lambda: let_go)
    watcher.ending.set()
    watcher.join(30)
    assert let_go[0] == throttling.TOO_SLOW
    assert any("statement timeout" in line for line in own.said)


def test_a_pause_holds_a_start_that_has_nothing_but_changes_to_apply(job: Make) -> None:
    own = job(HOURS, options=SMALL_BATCHES)
    finished(own, begun(own))
    engine.pause(own.dsn, "t")
    own.run("UPDATE t SET v = v || '!' WHERE id < 100")
    again = begun(own)
    eventually("it says so", lambda: any("paused" in line for line in own.said) or again.done(), seconds=60)
    time.sleep(1.5)
    assert not again.done()
    assert own.backlog() == 99
    engine.resume(own.dsn, "t")
    finished(own, again)
    assert own.backlog() == 0


def test_a_watcher_that_loses_its_connection_looks_again(job: Make) -> None:
    own = job(HOURS, options=SMALL_BATCHES)
    start = begun(own, max_rate="10")
    eventually("it copies", lambda: (r := status(own)) and r.batches_done >= 1, seconds=60)
    first = watcher(own)
    own.db.execute("SELECT pg_terminate_backend(%s)", first)
    eventually("another looks", lambda: (pid := watcher(own)) and pid != first and pid, seconds=30)
    eventually("it decides", lambda: own.status().throttle.rate == 10, seconds=30)
    engine.throttle(own.dsn, "t", {"max_rate": "none"})
    finished(own, start)


def watcher(job: Job) -> Any:
    rows = job.db.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hyperferry throttle'"
    )
    return rows[0][0] if rows else None


def test_a_pause_is_said_before_anything_else(job: Make) -> None:
    own = job(HOURS, options=SMALL_BATCHES)
    start = begun(own, max_rate="10")
    eventually("it copies", lambda: (r := status(own)) and r.batches_done >= 1, seconds=60)
    assert engine.pause(own.dsn, "t").throttled_by == "paused"
    eventually("it says so", lambda: any("paused" in line for line in own.said), seconds=30)
    assert own.status().eta_seconds is None
    engine.throttle(own.dsn, "t", {"max_rate": "none"})
    engine.resume(own.dsn, "t")
    finished(own, start)


def test_the_server_of_a_test_is_its_own(primary: Server, db: Database) -> None:
    """What the tests above do to their server must not slow the others."""
    assert primary.dsn != db.server.dsn
