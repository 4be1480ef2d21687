"""Two seasons of real player statistics: moved, declared, applied, `diff` empty; interrupted at each step in three ways, and applied
again: the same, with every row and every aggregate as it was. On each Community server, and on the Apache edition what it has."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hyperferry import engine
from hyperferry.errors import HyperferryError, Interrupted, Refused
from hyperferry.model.difference import Work
from hyperferry.model.plan_options import PlanOptions
from kit import oracle
from kit.tables import real_player_stats
from servers import Database

from .life import applied, catalog, difference, keys, rules, run_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PLAIN = """
chunk_interval = "30 days"
[[index]]
name = "player_stats_goals_idx"
columns = ["player_id", "game_date DESC"]
include = ["value"]
where = "stat_type = 'goals_scored' AND value > 0"
[[index]]
name = "player_stats_game_idx"
columns = ["game_id", "lower(stat_type)"]
"""
"""What every edition has."""

WHOLE = f"""
updates_within = "3 days"
{PLAIN}
[compression]
segment_by = ["player_id"]
order_by = ["game_date DESC", "id"]
after = "60 days"
schedule = "12 hours"
[retention]
after = "30 years"
[[continuous_aggregate]]
name = "player_monthly"
query = "SELECT time_bucket('1 month', day) AS month, player_id, sum(total) AS total, sum(n) AS n FROM player_daily GROUP BY 1, 2"
refresh = {{ start_offset = "1 year", end_offset = "1 day", schedule = "1 day" }}
[[continuous_aggregate]]
name = "player_daily"
query = "SELECT time_bucket('1 day', game_date) AS day, player_id, stat_type, sum(value) AS total, count(*) AS n FROM player_stats GROUP BY 1, 2, 3"
materialized_only = true
refresh = {{ start_offset = "30 days", end_offset = "1 hour", schedule = "1 hour" }}
index = [ {{ columns = ["stat_type", "total"], name = "player_daily_total_idx" }} ]
compression = {{ after = "60 days" }}
retention = {{ after = "40 years" }}
"""

PLAIN_ORDER = ["chunk_interval", "index:player_stats_goals_idx", "index:player_stats_game_idx"]
WHOLE_ORDER = [
    *PLAIN_ORDER,
    "compression",
    "aggregate:public.player_daily",
    "index:public.player_daily:player_daily_total_idx",
    "refresh:public.player_daily",
    "compression:public.player_daily",
    "aggregate:public.player_monthly",
    "refresh:public.player_monthly",
    "refresh-policy:public.player_daily",
    "compression-policy:public.player_daily",
    "refresh-policy:public.player_monthly",
    "compression-policy",
    "retention-policy:public.player_daily",
    "retention-policy",
]

RAW = {
    "player_daily": "SELECT date_trunc('day', game_date, 'UTC'), player_id, stat_type, sum(value), count(*) FROM plain GROUP BY 1, 2, 3",
    "player_monthly": "SELECT date_trunc('month', game_date, 'UTC'), player_id, sum(value), count(*) FROM plain GROUP BY 1, 2",
}
"""What the aggregates must be, by PostgreSQL alone and from the rows before the move."""

ANEW = [
    "SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL",
    "DROP MATERIALIZED VIEW player_monthly",
    "DROP MATERIALIZED VIEW player_daily",
    "SELECT decompress_chunk(c, true) FROM show_chunks('player_stats') c",
    "ALTER TABLE player_stats SET (timescaledb.compress = false)",
]
PLAIN_ANEW = [
    "DROP INDEX player_stats_goals_idx",
    "DROP INDEX player_stats_game_idx",
    "SELECT set_chunk_time_interval('player_stats', interval '14 days')",
]

Interrupt = Callable[[Database, str, str, "Path"], set[str]]


def _moved(db: Database) -> str:
    """A tenth of the players' real rows, made a hypertable by hyperferry as their owner, who is no superuser; `plain` keeps the rows as
    they were. The owner's connection string."""
    owner = db.make_role("owner")
    db.execute(f'GRANT ALL ON SCHEMA public TO "{owner}"; GRANT CREATE ON DATABASE {db.name} TO "{owner}"')
    with db.connect(owner) as conn:
        if real_player_stats(conn, last_digit="1") is None:
            pytest.skip("the folder with real player statistics is not beside this repository")
        conn.execute("CREATE TABLE plain AS TABLE player_stats")
        conn.execute("ANALYZE plain")
    dsn = db.dsn_as(owner)
    plan = engine.make_plan(dsn, "player_stats", "game_date", PlanOptions(chunk_interval="14 days"))
    engine.start(dsn, None, plan)
    engine.cutover(dsn, "player_stats", accept=frozenset({"all"}))
    engine.finish(dsn, "player_stats")
    return dsn


def _assert_rows(db: Database, since: str = "-infinity") -> None:
    """The hypertable has the rows that the table had, from a time on: as many, with the same sum of the hashes of their text."""
    fold = "SELECT count(*), sum(hashtextextended(ROW(id, player_id, game_id, stat_type, value, game_date, created_at)::text, 0)) FROM"
    before = db.execute(f"{fold} plain WHERE game_date >= %s", since)
    assert before[0][0] > 100_000
    assert db.execute(f"{fold} player_stats") == before


def _assert_aggregates(db: Database) -> None:
    """Every bucket is what a plain query makes of the rows as they were."""
    for name, raw in RAW.items():
        [(lacking, wrong, rows)] = db.execute(
            f"SELECT (SELECT count(*) FROM ({raw} EXCEPT ALL TABLE {name}) AS l), "
            f"(SELECT count(*) FROM (TABLE {name} EXCEPT ALL {raw}) AS w), (SELECT count(*) FROM {name})"
        )
        assert (name, lacking, wrong) == (name, 0, 0)
        assert rows > 500


def _begin_anew(db: Database, statements: list[str]) -> None:
    """Takes everything off that the file puts on. The scheduler starts the jobs meanwhile: what they are in the way of is tried again."""
    for statement in statements:
        for _ in range(20):
            try:
                db.execute(statement)
                break
            except psycopg.errors.DeadlockDetected:
                time.sleep(0.2)
        else:
            raise AssertionError(f"a deadlock each time: {statement}")


def _stopped(db: Database, dsn: str, text: str, folder: Path) -> set[str]:
    """Stopped as by Ctrl-C at each thing that `apply` says, first at the first of a step, then at its next ones. The steps it was stopped
    before or in."""
    at, codes, line = set[str](), set[int](), 1
    steps = difference(dsn, text).steps
    named, left = {f"{step.kind}: {step.what}": step.key for step in steps}, [step.key for step in steps]
    for _ in range(200):
        stop = threading.Event()
        said: list[str] = []

        def say(words: str, said: list[str] = said, stop: threading.Event = stop, line: int = line) -> None:
            said.append(words)
            if len(said) == line:
                at.update([named[each] for each in said if each in named][-1:])
                stop.set()

        try:
            applied(dsn, text, say=say, stop=stop)
        except Interrupted as error:
            codes.add(error.exit_code)
        now = keys(difference(dsn, text))
        assert now == left[len(left) - len(now) :], "steps are done from the first on, and stay done"
        if not now:
            assert codes == {4}
            return at
        line = line + 1 if now == left else 1
        left = now
    raise AssertionError(f"it does not end: {left}")


def _cut_off(db: Database, dsn: str, text: str, folder: Path) -> set[str]:
    """The server ends the session in each step: in its transaction, with the lock held, or while an index or an aggregate is made. The
    steps that were cut."""
    cut: set[str] = set()
    late: set[str] = set()
    timers: list[threading.Timer] = []
    applying = import_module("hyperferry.reconcile.apply")
    do, lock = applying._do, applying._lock

    def doing(conn: Any, world: Any, step: Any, *rest: Any) -> None:
        many = step.work in (Work.INDEX, Work.REFRESH)
        if many and step.key not in late:
            # Once at the very beginning, once later.
            tries = [each for each in cut if each.startswith(f"{step.key} ")]
            cut.add(f"{step.key} {len(tries)}")
            timers.append(threading.Timer(0.02 + 0.1 * len(tries), _end_sessions, [db]))
            timers[-1].start()
            if len(tries) == 1:
                late.add(step.key)
        do(conn, world, step, *rest)

    def locking(conn: Any, world: Any, step: Any) -> None:
        lock(conn, world, step)
        if step.key not in cut:
            cut.add(step.key)
            _end_sessions(db)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applying, "_do", doing)
        patch.setattr(applying, "_lock", locking)
        for _ in range(200):
            try:
                applied(dsn, text)
                return {each.split(" ")[0] for each in cut}
            except (HyperferryError, psycopg.Error):
                continue
            finally:
                for timer in timers:  # one that fires late must not end the next session
                    timer.join()
    raise AssertionError("it does not end")


def _end_sessions(db: Database) -> None:
    with db.server.connect() as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'hyperferry apply%%'",
            [db.name],
        )


def _killed(db: Database, dsn: str, text: str, folder: Path) -> set[str]:
    """`kill -9` of the process when it begins with a step, or a moment later; once for each step, twice for one that takes long. What the
    server does for the dead it may still be doing when the next one comes. The steps it was killed in."""
    named = {f"{step.kind}: {step.what}": step.key for step in difference(dsn, text).steps}
    wanted = {words: 2 if key.startswith(("index:", "refresh:")) else 1 for words, key in named.items()}
    file, at = folder / "said", set[str]()
    processes = multiprocessing.get_context("spawn")
    for attempt in range(100):
        process = processes.Process(target=_die, args=(dsn, text, file, wanted, attempt % 4 * 0.01))
        process.start()
        process.join()
        if process.exitcode == 0:
            return at
        said = file.read_text("utf-8")
        if process.exitcode == -signal.SIGKILL:
            wanted[said] -= 1
            at.add(named[said])
        else:
            assert "Another `hyperferry apply` works on" in said
            time.sleep(0.2)
    raise AssertionError(f"it does not end: {at}")


def _die(dsn: str, text: str, file: Path, wanted: dict[str, int], delay: float) -> None:
    """Applies, and kills itself in the first step in which it still is to be killed."""
    ends: list[str] = []

    def say(words: str) -> None:
        if wanted.get(words) and not ends:
            ends.append(words)
            file.write_text(words, encoding="utf-8")
            if not delay:
                os.kill(os.getpid(), signal.SIGKILL)
            threading.Timer(delay, os.kill, [os.getpid(), signal.SIGKILL]).start()

    try:
        applied(dsn, text, say=say)
    except HyperferryError as error:
        file.write_text(str(error), encoding="utf-8")
        raise SystemExit(1) from None


WAYS: list[Interrupt] = [_stopped, _cut_off, _killed]


def test_a_declared_life(community_db: Database) -> None:
    dsn = _moved(community_db)
    _assert_rows(community_db)
    assert keys(difference(dsn, WHOLE)) == WHOLE_ORDER
    assert [step.key for step in applied(dsn, WHOLE).done] == WHOLE_ORDER
    found = difference(dsn, WHOLE)
    assert found.empty
    assert not found.refusals
    straight = catalog(community_db)
    assert not applied(dsn, WHOLE).done
    assert catalog(community_db) == straight
    _assert_rows(community_db)
    _assert_aggregates(community_db)

    for kind in ("policy_compression", "policy_refresh_continuous_aggregate", "policy_retention"):
        jobs = community_db.execute("SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = %s ORDER BY 1", kind)
        assert jobs
        for (job,) in jobs:
            run_job(community_db, job)
    chunks = "SELECT count(*), count(*) FILTER (WHERE is_compressed) FROM timescaledb_information.chunks WHERE hypertable_name = 'player_stats'"
    [(whole, compressed)] = community_db.execute(chunks)
    assert whole == compressed > 30
    _assert_rows(community_db)
    _assert_aggregates(community_db)
    assert difference(dsn, WHOLE).empty

    # A retention that drops the two oldest chunks, compressed ones, and nothing else; the aggregates keep what was in them.
    [(since, days)] = community_db.execute(
        "SELECT range_end::text, floor(extract(epoch FROM now() - range_end) / 86400)::int FROM timescaledb_information.chunks "
        "WHERE hypertable_name = 'player_stats' ORDER BY range_end LIMIT 1 OFFSET 1"
    )
    shorter = WHOLE.replace('"30 years"', f'"{days} days"')
    with pytest.raises(Refused, match="not confirmed"):
        applied(dsn, shorter)
    applied(dsn, shorter, confirm=2)
    [(job,)] = community_db.execute(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' AND hypertable_name = 'player_stats'"
    )
    run_job(community_db, job)
    assert community_db.execute(chunks) == [(whole - 2, whole - 2)]
    _assert_rows(community_db, since)
    _assert_aggregates(community_db)
    assert difference(dsn, shorter).empty


@pytest.mark.parametrize("way", [_stopped, _killed])
def test_interrupted_at_each_step_and_applied_again(community_db: Database, way: Interrupt, tmp_path: Path) -> None:
    dsn = _moved(community_db)
    applied(dsn, WHOLE)
    straight = catalog(community_db)
    _begin_anew(community_db, ANEW + PLAIN_ANEW)
    assert keys(difference(dsn, WHOLE)) == WHOLE_ORDER
    at = way(community_db, dsn, WHOLE, tmp_path)
    assert at >= set(WHOLE_ORDER[1:])
    assert not applied(dsn, WHOLE).done
    assert difference(dsn, WHOLE).empty
    assert catalog(community_db) == straight
    _assert_rows(community_db)
    _assert_aggregates(community_db)


def test_apache_refuses_with_reasons_and_does_the_rest(db: Database) -> None:
    dsn = _moved(db)
    before = catalog(db), oracle.schema_dump(db.dsn, db.server.program("pg_dump"))
    found = difference(dsn, WHOLE)
    assert rules(found) == {"apache-edition"}
    assert [each.key for each in found.refusals] == [
        "compression",
        "retention-policy",
        "aggregate:player_monthly",
        "aggregate:player_daily",
    ]
    assert all(each.remedy for each in found.refusals)
    with pytest.raises(Refused, match="4 refusals"):
        applied(dsn, WHOLE)
    assert (catalog(db), oracle.schema_dump(db.dsn, db.server.program("pg_dump"))) == before
    _assert_rows(db)
    assert [step.key for step in applied(dsn, PLAIN).done] == PLAIN_ORDER
    assert difference(dsn, PLAIN).empty
    _assert_rows(db)


@pytest.mark.parametrize("way", WAYS)
def test_on_apache_interrupted_at_each_step_and_applied_again(db: Database, way: Interrupt, tmp_path: Path) -> None:
    dsn = _moved(db)
    applied(dsn, PLAIN)
    straight = catalog(db)
    _begin_anew(db, PLAIN_ANEW)
    assert keys(difference(dsn, PLAIN)) == PLAIN_ORDER
    at = way(db, dsn, PLAIN, tmp_path)
    assert at >= set(PLAIN_ORDER[1:])
    assert not applied(dsn, PLAIN).done
    assert difference(dsn, PLAIN).empty
    assert catalog(db) == straight
    _assert_rows(db)
    [(chunks,)] = db.execute("SELECT count(*) FROM show_chunks('player_stats')")
    for name in ("goals", "game"):
        assert db.execute(
            "SELECT count(*), bool_and(indisvalid) FROM pg_index WHERE indexrelid::regclass::text LIKE %s", f"%player_stats_{name}_idx%"
        ) == [(chunks + 1, True)]
