"""The two ends: `finish` drops the old table and the capture for good, `abort` leaves the table as it was found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest
from job import Job, aside, eventually
from psycopg.conninfo import make_conninfo
from swap_support import (
    VIEWED,
    WEEKS,
    Ready,
    insert,
    ready_fixture,  # noqa: F401
    refused,
    relation_oid,
    same_after_sync,
    state,
    templates_fixture,  # noqa: F401
)
from test_hanging import EVERYTHING

from hyperferry import engine
from hyperferry.copy.copier import Outcome
from hyperferry.errors import CaptureBroken, Conflict, HyperferryError, LockUnavailable, Refused, Usage
from hyperferry.ledger import store
from hyperferry.model.rollout import Phase
from hyperferry.strategies import blue_green, ending
from hyperferry.strategies.monitor import Monitor
from kit.oracle import schema_dump
from servers import Database

LEFT = """
SELECT 'schema', nspname::text FROM pg_namespace WHERE nspname LIKE 'hyperferry\\_%'
UNION ALL SELECT 'table', relname FROM pg_class WHERE relnamespace = 'hyperferry'::regnamespace AND relname ~ '_[0-9]+$'
UNION ALL SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'hyperferry'::regnamespace
UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE tgname LIKE 'hyperferry%'
UNION ALL SELECT 'expectation', table_oid::text FROM hyperferry.expectation
"""
"""Whatever a rollout makes besides its record."""


class Crash(Exception):
    """The process is gone."""


def crash(*_: object) -> Any:
    """Instead of a step."""
    raise Crash


def dump(db: Database) -> str:
    """The schema, the ledger apart."""
    return schema_dump(db.dsn, db.server.program("pg_dump"))


# finish.


def test_finish_comes_after_the_cutover_alone(ready: Ready) -> None:
    job = ready(VIEWED)
    with refused(job, Refused, "cannot be finished"):
        job.finish()
    job.cutover()
    job.rollback()
    with refused(job, Refused, "cannot be finished"):
        job.finish()


def test_after_finish_everything_works_and_only_the_record_is_left(ready: Ready) -> None:
    """View, sequence and hypertable; no schema, table, function or trigger of ours; the events and verifications stay."""
    job = ready(VIEWED)
    job.cutover()
    last = insert(job)
    hypertable = relation_oid(job)
    assert job.finish().phase is Phase.FINISHED
    assert job.db.execute(LEFT) == []
    assert relation_oid(job) == hypertable
    assert insert(job) == last + 1
    assert job.run("SELECT count(*) FROM t") == [(402,)]
    assert job.run("SELECT sum(total) FROM sums") == job.run("SELECT sum(v) FROM t")
    assert job.value("SELECT count(*) FROM outer_latest") > 0
    assert job.status().phase is Phase.FINISHED
    assert job.db.execute("SELECT count(*) > 0 FROM hyperferry.event") == [(True,)]
    assert job.db.execute("SELECT count(*) FROM hyperferry.verification WHERE match") == [(1,)]
    for command in (job.rollback, job.cutover, job.abort, job.sync, job.verify):
        with pytest.raises(Refused, match="no rollout"):
            command()
    with pytest.raises(HyperferryError) as caught:
        engine.start(job.db.dsn, None, engine.make_plan(job.db.dsn, "t", "at", WEEKS))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("step", ["_bare_chunks", "_remove_own", "set_phase"])
def test_a_finish_that_ends_in_the_middle_is_finished_by_the_next(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The capture is gone and old is there, or nothing is recorded yet: writers go on, the way back is refused, finish ends it."""
    job = ready(VIEWED)
    job.cutover()
    with monkeypatch.context() as patch:
        patch.setattr(store if step == "set_phase" else ending, step, crash)
        with pytest.raises(Crash):
            job.finish()
    assert job.phase() == "cut_over"
    assert job.value("SELECT to_regclass('hyperferry_old_1.t') IS NOT NULL")
    new = insert(job)
    before = state(job)
    for way in (job.rollback, job.verify, job.sync):
        with pytest.raises(Refused, match="was interrupted"):
            way()
    assert state(job) == before
    assert job.finish().phase is Phase.FINISHED
    assert job.db.execute(LEFT) == []
    assert job.run("SELECT note FROM t WHERE id = %s", new) == [("new",)]


@pytest.mark.parametrize(
    ("hang", "named"),
    [
        ("CREATE VIEW on_old AS SELECT id FROM hyperferry_old_1.t", "view public.on_old"),
        ("CREATE TABLE child (id bigint REFERENCES hyperferry_old_1.t (id))", "child"),
        ("CREATE FUNCTION f(hyperferry_old_1.t) RETURNS integer LANGUAGE sql AS 'SELECT 1'", "function public.f("),
    ],
    ids=["view", "foreign key", "row type"],
)
def test_what_somebody_hung_on_old_is_not_dropped_with_it(ready: Ready, hang: str, named: str) -> None:
    """Refused, and named; nothing is dropped, the way back is still there."""
    job = ready(VIEWED)
    job.cutover()
    job.db.execute(hang)
    with pytest.raises(Refused) as caught:
        job.finish()
    assert named in str(caught.value)
    assert job.phase() == "cut_over"
    insert(job)
    same_after_sync(job)
    job.db.execute({"v": "DROP VIEW on_old", "T": "DROP TABLE child", "F": "DROP FUNCTION f"}[
        "v" if "VIEW" in hang else "T" if "TABLE" in hang else "F"])  # fmt: skip
    job.finish()


def test_finish_gives_way_to_the_application(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session is idle in a transaction on the table: it is named, others are not kept waiting, nothing is dropped."""
    from hyperferry.db import yield_and_retry

    job = ready()
    job.cutover()
    monkeypatch.setattr(
        ending, "yield_and_retry", lambda *args, **options: yield_and_retry(*args, **options, attempts=2)
    )
    with job.application() as app:
        app.execute("SELECT count(*) FROM t")
        with refused(job, LockUnavailable):
            job.finish()
        with pytest.raises(LockUnavailable, match=f"pid {app.info.backend_pid} "):
            job.finish()
        insert(job)
    same_after_sync(job)
    job.finish()


@pytest.mark.parametrize("end", ["finish", "abort"])
def test_what_is_done_already_is_done_when_asked_again(ready: Ready, end: str) -> None:
    """The answer to the COMMIT was lost, and whoever asked asks again: it is done, nothing is changed, and it says so."""
    job = ready(VIEWED)
    if end == "finish":
        job.cutover()
    first = job.finish() if end == "finish" else job.abort()
    before = state(job)
    again = job.finish() if end == "finish" else job.abort()
    assert (again.phase, again.rollout, again.rows_copied) == (first.phase, first.rollout, 400)
    assert f"was {again.phase} already" in job.said[-1]
    assert state(job) == before
    other = job.abort if end == "finish" else job.finish
    with refused(job, Refused, "no rollout"):
        other()


def test_an_end_of_another_table_of_that_name_is_not_taken_for_this_ones(ready: Ready) -> None:
    """The table was dropped and made anew since: nothing was ever done with this one."""
    job = ready()
    job.abort()
    job.db.execute("ALTER TABLE t RENAME TO t_before; CREATE TABLE t (LIKE t_before)")
    with refused(job, Refused, "no rollout"):
        job.abort()


# abort.


def to(job: Job, phase: str) -> None:
    """A new rollout of the table, as far as that phase."""
    if phase in ("synced", "rolled_back"):
        job.start()
        if phase == "rolled_back":
            job.cutover()
            insert(job)
            job.rollback()
        return
    store.install(job.conn)
    store.create(job.conn, job.plan)
    monitor = Monitor(threading.Event())
    if phase != "planned":
        blue_green.prepare(job.conn, job.rollout, monitor)
    if phase in ("copying", "copied"):
        blue_green.cut_batches(job.conn, job.rollout, monitor)
    if phase == "copied":
        while job.copy_next().outcome is not Outcome.NONE_LEFT:
            pass


PHASES = ("planned", "prepared", "copying", "copied", "synced", "rolled_back")


def test_abort_in_every_phase_leaves_the_schema_as_it_was(job: Callable[..., Job]) -> None:
    """`pg_dump --schema-only` prints exactly what it printed before, with all that can hang on a table; writes are kept."""
    made = job(EVERYTHING, options=WEEKS)
    before = dump(made.db)
    rows, oid = 200, relation_oid(made)
    for phase in PHASES:
        to(made, phase)
        assert made.phase() == phase.replace("copied", "copying")
        made.db.execute("INSERT INTO t (at, n) VALUES ('2024-02-09', 3)")
        rows += 1 if phase != "rolled_back" else 2
        assert made.abort().phase is Phase.ABORTED
        assert dump(made.db) == before, phase
        assert made.db.execute(LEFT) == [], phase
        assert made.db.execute("SELECT count(*) FROM t") == [(rows,)], phase
        assert relation_oid(made) == oid
    assert made.db.execute("SELECT count(*), count(DISTINCT id) FROM hyperferry.rollout") == [
        (len(PHASES), len(PHASES))
    ]
    with pytest.raises(Refused, match="no rollout"):
        made.finish()


def test_abort_is_refused_while_the_hypertable_serves(ready: Ready) -> None:
    job = ready(VIEWED)
    job.cutover()
    with refused(job, Refused, "is cut over"):
        job.abort()


@pytest.mark.parametrize("phase", ["synced", "rolled_back"])
def test_an_abort_that_ends_in_the_middle_is_ended_by_the_next(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """After the triggers, and at the very end: the application goes on, no command works on a rollout without its capture."""
    job = ready(VIEWED)
    if phase == "rolled_back":
        job.cutover()
        job.rollback()
    for module, step in ((ending, "_remove_own"), (store, "set_phase")):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, crash)
            with pytest.raises(Crash):
                job.abort()
        assert job.phase() == phase
        insert(job)
        with pytest.raises(CaptureBroken):
            job.cutover()
        with pytest.raises(CaptureBroken):
            job.verify()
    assert job.abort().phase is Phase.ABORTED
    assert job.db.execute(LEFT) == []
    assert job.value("SELECT count(*) FROM t") == 402


def test_abort_where_the_table_is_gone(ready: Ready) -> None:
    """Somebody dropped the source: what we made goes all the same."""
    job = ready()
    job.db.execute("DROP TABLE t CASCADE")
    with pytest.raises(psycopg.errors.UndefinedTable):
        job.db.execute("SELECT FROM t")
    try:
        job.abort()
    except HyperferryError as error:
        pytest.fail(str(error))
    assert job.db.execute(LEFT) == []
    assert job.abort().phase is Phase.ABORTED, "asked again"


ELSEWHERE = {
    "renamed": ("ALTER TABLE t RENAME TO renamed", "public.renamed"),
    "moved": ("CREATE SCHEMA other; ALTER TABLE t SET SCHEMA other", "other.t"),
    "schema renamed": ("ALTER SCHEMA public RENAME TO other", "other.t"),
    "replaced": ("ALTER TABLE t RENAME TO renamed; CREATE TABLE t (id int)", "public.renamed"),
}


@pytest.mark.parametrize("when", ["before", "in the moment"])
@pytest.mark.parametrize("how", ELSEWHERE)
def test_abort_where_the_table_is_called_otherwise(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, how: str, when: str
) -> None:
    """Capture goes off the table that it is on, also where that is renamed between the look at its name and the lock."""
    job = ready()
    statement, name = ELSEWHERE[how]
    if when == "before":
        job.db.execute(statement)
    else:
        cancel, renamed = ending.cancel_autovacuum, threading.Event()

        def cancel_autovacuum(*args: Any, **options: Any) -> Any:
            if not renamed.is_set():
                renamed.set()
                job.db.execute(statement)
            return cancel(*args, **options)

        monkeypatch.setattr(ending, "cancel_autovacuum", cancel_autovacuum)
    assert job.abort().phase is Phase.ABORTED
    assert job.db.execute(LEFT) == []
    job.db.execute(f"UPDATE {name} SET note = 'on' WHERE id < 9; DELETE FROM {name} WHERE id = 9")
    assert job.db.execute(f"SELECT count(*) FROM {name}") == [(399,)]


def test_a_bare_name_does_not_abort_what_is_in_use_in_another_schema(ready: Ready) -> None:
    """The table is there, and its schema is not in the search path."""
    job = ready()
    dsn = make_conninfo(job.dsn, options="-c search_path=elsewhere")
    with refused(job, Usage, "There is no table t"):
        engine.abort(dsn, "t")
    with pytest.raises(Usage, match=r"rollout of public\.t: synced, its table is there(.|\n)*with its schema: public\.t"):
        engine.abort(dsn, "t")
    assert engine.abort(dsn, "public.t").phase is Phase.ABORTED


def test_a_bare_name_does_not_abort_what_was_moved(ready: Ready) -> None:
    job = ready()
    job.db.execute("CREATE SCHEMA other; ALTER TABLE t SET SCHEMA other")
    with pytest.raises(Usage, match=r"synced, its table is other\.t now(.|\n)*with its schema: public\.t"):
        engine.abort(job.dsn, "t")
    assert job.phase() == "synced"
    assert engine.abort(job.dsn, "public.t").phase is Phase.ABORTED
    assert job.db.execute(LEFT) == []


def test_a_bare_name_of_two_tables_that_are_gone_is_not_enough(ready: Ready) -> None:
    job = ready()
    job.db.execute("CREATE SCHEMA other; CREATE TABLE other.t (id bigint PRIMARY KEY, at timestamptz NOT NULL)")
    store.create(job.conn, engine.make_plan(job.dsn, "other.t", "at", WEEKS))
    job.db.execute("DROP TABLE other.t; DROP TABLE t CASCADE")
    with pytest.raises(Usage) as caught:
        engine.abort(job.dsn, "t")
    assert {"rollout of other.t", "rollout of public.t"} <= set(caught.value.facts)
    assert job.phase() == "synced"
    assert engine.abort(job.dsn, "other.t").phase is Phase.ABORTED
    assert engine.abort(job.dsn, "t").phase is Phase.ABORTED
    assert job.phase() == "aborted"
    assert job.db.execute(LEFT) == []


def test_abort_where_our_triggers_were_tampered_with(ready: Ready) -> None:
    job = ready()
    job.db.execute(
        "DROP TRIGGER hyperferry_forward_insert ON t; ALTER TABLE t DISABLE TRIGGER hyperferry_forward_update"
    )
    job.abort()
    assert job.db.execute(LEFT) == []


def syncing(job: Job, **options: Any) -> Future[Any]:
    """`hyperferry sync` in another thread, at work by the time this returns."""
    sync = aside(lambda: engine.sync(job.dsn, "t", say=job.said.append, **options))
    eventually(
        "it is at work",
        lambda: sync.done() or job.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hyperferry sync' "
                                         "AND datname = current_database()"),
    )  # fmt: skip
    return sync


@pytest.mark.parametrize("end", ["finish", "abort"])
def test_a_sync_beside_the_end_ends_with_it(ready: Ready, end: str) -> None:
    """Capture goes first, the rest when nobody reads it: no reason for an alarm that writes were missed."""
    job = ready()
    if end == "finish":
        job.cutover()
    sync = syncing(job)
    with job.application() as reader:
        job.on(reader, "SELECT count(*) FROM {source}" if end == "finish" else "SELECT count(*) FROM {shadow}")
        ended = aside(getattr(job, end))
        eventually("capture is off", lambda: not job.db.execute(
            "SELECT 1 FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgname LIKE 'hyperferry%'"))  # fmt: skip
        time.sleep(1.5)
        assert not ended.done()
        assert not sync.done()
    assert ended.result(60).phase.ended
    assert sync.result(60).phase.ended


@pytest.mark.parametrize("told", ["to stop", "nothing"])
def test_a_sync_beside_a_finish_that_takes_long_says_what_is_so(ready: Ready, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """Not that it was interrupted, nor that writes may have been missed."""
    monkeypatch.setattr(engine, "ENDING_SECONDS", 60.0 if told == "to stop" else 1.0)
    job = ready()
    job.cutover()
    stop = threading.Event()
    sync = syncing(job, stop=stop)
    with job.application() as reader:
        job.on(reader, "SELECT count(*) FROM {source}")
        ended = aside(job.finish)
        eventually("capture is off", lambda: not job.db.execute(
            "SELECT 1 FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgname LIKE 'hyperferry%'"))  # fmt: skip
        if told == "to stop":
            time.sleep(1)
            stop.set()
            assert sync.result(30).phase is Phase.CUT_OVER
        else:
            with pytest.raises(Conflict, match="is being finished"):
                sync.result(30)
        assert not ended.done()
    assert ended.result(60).phase.ended


def test_a_second_rollout_after_an_abort(ready: Ready) -> None:
    """Under a number of its own, from a new plan; the first one's record stays."""
    job = ready(VIEWED)
    job.abort()
    again = Job(job.db, job.table, WEEKS)
    assert again.start().phase is Phase.SYNCED
    again.cutover()
    insert(again)
    same_after_sync(again)
    assert again.rollout.id == 2
    again.finish()
    again.close()
