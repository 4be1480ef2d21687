"""The harness itself: a seed says everything, the judge and the witnesses find what is planted, shrinking ends at the cause."""

from __future__ import annotations

import random
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from servers import Database

from . import judge
from .draw import ASIDE, AT_ONCE, OPERATIONS, schedule_of
from .program import Programs, Run
from .proxy import Link, Proxy, Trigger
from .schedule import RELEASES, Schedule
from .shrink import shrink, smaller
from .tables import APPLICATION, OWNER, Connection, Shape, ident, statements
from .values import KINDS, PLAIN
from .writers import Working, pids_in

SEEDS = range(80)


# A seed says everything.


@pytest.mark.parametrize("release", RELEASES)
def test_a_seed_gives_the_same_schedule_each_time(release: str) -> None:
    for seed in SEEDS:
        random.seed(seed)  # whatever else draws
        assert schedule_of(seed, release) == schedule_of(seed, release)
    assert len({schedule_of(seed, release) for seed in SEEDS}) == len(SEEDS)


def test_a_schedule_goes_through_json_unchanged() -> None:
    for seed in SEEDS:
        schedule = schedule_of(seed, "testing")
        assert Schedule.from_json(schedule.to_json()) == schedule
        assert "\n" not in schedule.to_json()


def test_everything_is_drawn_sooner_or_later() -> None:
    drawn = [schedule_of(seed, "testing") for seed in range(600)]
    faults = {fault.kind for s in drawn for step in s.steps for fault in step.faults}
    assert faults >= {*AT_ONCE, *ASIDE, "alter"}
    assert {operation for s in drawn for writer in s.writers for operation in writer.mix} == set(OPERATIONS)
    assert {writer.isolation for s in drawn for writer in s.writers} == {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"}
    assert {column.kind for s in drawn for column in s.table.columns} == set(KINDS)
    assert {column.generated for s in drawn for column in s.table.columns} == {"", "stored", "virtual"}
    assert "virtual" not in {c.generated for seed in SEEDS for c in schedule_of(seed, "stable").table.columns}
    assert {s.table.key_form for s in drawn} >= {"always", "by default", "serial", "plain", "deferrable", "deferred", "unique", "with time", ""}
    assert min(len(s.writers) for s in drawn) == 2
    faulty = {(step.command, fault.kind) for s in drawn for step in s.steps for fault in step.faults}
    for command in ("start", "sync", "verify", "cutover", "rollback", "finish", "abort"):
        assert (command, "kill") in faulty


# The table and what writers do to it.


@pytest.fixture
def app(db: Database) -> Database:
    """An empty database on a server that knows the harness's roles."""
    for role in (OWNER, APPLICATION):
        db.execute(f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$")
    return db  # no DROP OWNED at the end: it takes their rights on other tests' databases too, and this one goes as a whole


class Alone:
    """A stage without a program."""

    def __init__(self, db: Database, schedule: Schedule) -> None:
        self.db, self.shape = db, Shape(schedule.table)
        self.served = self.swapping = False
        self.stopping = threading.Event()
        self.finds: list[str] = []
        with db.connect() as conn:
            for statement in statements(self.shape, 2, schedule.seed):
                conn.execute(statement.replace("{database}", db.name))  # type: ignore[call-overload]

    def connect_writer(self, tag: int) -> Connection:
        return psycopg.connect(self.db.dsn_as(APPLICATION), autocommit=True)

    def found(self, text: str) -> None:
        self.finds.append(text)

    def pace(self) -> float:
        return 1.0

    def excused(self, since: float, until: float) -> float:
        return 0.0

    def may_fail(self, error: psycopg.Error, when: float, *, snapshot: bool) -> bool:
        return False


@pytest.mark.parametrize("seed", range(8))
def test_every_operation_is_sound_where_nothing_is_moved(app: Database, seed: int) -> None:
    schedule = schedule_of(seed, app.release)
    schedule = replace(schedule, table=replace(schedule.table, small_disk=False, rows=min(schedule.table.rows, 200)))
    stage = Alone(app, schedule)
    writer = Working(1, replace(schedule.writers[0], mix=OPERATIONS, long_ms=0, rollbacks=0.0, two_phase=0.0), stage, "sound")
    for _ in range(3):
        for operation in OPERATIONS:
            writer.spec = replace(writer.spec, mix=(operation,))
            writer.transaction()
            assert not stage.finds
    assert set(writer.done) == set(OPERATIONS)


PLANTED = {
    "lost": "DELETE FROM {t} WHERE ctid IN (SELECT ctid FROM {t} WHERE {tag} = 1 LIMIT 1)",
    "doubled": "INSERT INTO {t} ({columns}) SELECT {columns} FROM {t} WHERE {tag} = 1 LIMIT 1",
    "stale": "UPDATE {t} SET {value} = '1.00' WHERE ctid IN (SELECT ctid FROM {t} WHERE {tag} = 1 AND {value} = 1 LIMIT 1)",
}


def planted(what: str, shape: Shape, table: str) -> str:
    names = ", ".join(ident(name) for name in shape.columns)
    return PLANTED[what].format(t=table, tag=ident(shape.table.tag), columns=names, value=ident("v"))


@pytest.fixture
def keyless(app: Database) -> Alone:
    """A table without a key, in which rows are equal."""
    seed = next(s for s in SEEDS if not schedule_of(s, "stable").table.key_form and schedule_of(s, "stable").table.rows > 0)
    schedule = schedule_of(seed, "stable")
    column = replace(schedule.table.columns[0], name="v", kind="numeric", nullable=True, generated="", of="", storage="")
    table = replace(schedule.table, columns=(column,), uniques=(), parent=False, view=False, doubled=True, small_disk=False)
    stage = Alone(app, replace(schedule, table=table))
    app.execute(f"UPDATE {stage.shape.name} SET v = '1.0'")
    return stage


@pytest.mark.parametrize("what", PLANTED)
def test_a_writer_notices_what_is_done_to_its_rows(keyless: Alone, app: Database, what: str) -> None:
    spec = replace(schedule_of(1, "stable").writers[0], mix=("insert",), rollbacks=0.0, two_phase=0.0, long_ms=0)
    writer = Working(1, spec, keyless, "witness")
    for _ in range(3):
        writer.transaction()
    assert not keyless.finds
    app.execute(planted(what, keyless.shape, keyless.shape.name))
    writer.transaction()
    assert len(keyless.finds) == 1
    assert "its rows came to" in keyless.finds[0]


def test_a_writer_that_lost_its_connection_asks_what_became_of_its_transaction(keyless: Alone, app: Database) -> None:
    spec = replace(schedule_of(1, "stable").writers[0], mix=("insert",), rollbacks=0.0, two_phase=0.0, long_ms=0)
    writer = Working(1, spec, keyless, "witness")
    writer.transaction()
    assert writer._outcome("") is True
    writer.number += 1
    assert writer._outcome("") is False, "it never began, or a crash took it"
    with app.connect(autocommit=False) as other, ThreadPoolExecutor(1) as pool:
        other.execute(f"UPDATE torture.mark SET n = {writer.number} WHERE tag = 1")
        asked = pool.submit(writer._outcome, "")
        time.sleep(0.3)
        assert not asked.done(), "it is under way"
        other.commit()
        assert asked.result(60) is True
    writer._run("BEGIN")
    writer._run(f"DELETE FROM {keyless.shape.name}")
    writer._run("PREPARE TRANSACTION 'torture left'")
    assert writer._outcome("torture left") is True
    assert app.execute(f"SELECT count(*) FROM {keyless.shape.name}") == [(0,)]


# The judge.


@pytest.mark.parametrize("what", PLANTED)
def test_the_judge_finds_one_row(keyless: Alone, app: Database, what: str) -> None:
    shape = keyless.shape
    other = ident("hyperferry_new_7", shape.table.name)
    app.execute(f"CREATE SCHEMA hyperferry_new_7; CREATE TABLE {other} AS TABLE {shape.name}")
    with app.connect() as conn:
        assert judge.sides(conn, shape) == [shape.name, other]
        assert judge.differences(conn, shape, shape.name, other) == []
        app.execute(planted(what, shape, other))
        assert len(judge.differences(conn, shape, shape.name, other)) == {"lost": 1, "doubled": 1, "stale": 2}[what]


def test_the_judge_finds_what_is_left_behind(keyless: Alone, app: Database) -> None:
    app.execute("CREATE SCHEMA hyperferry; CREATE TABLE hyperferry.expectation (rollout_id int); CREATE TABLE hyperferry.event ()")
    with app.connect() as conn:
        assert judge.leftovers(conn) == []
        app.execute("CREATE TABLE hyperferry.log_forward_3 (); CREATE SCHEMA hyperferry_old_3")
        app.execute("CREATE FUNCTION hyperferry.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
        app.execute(f"CREATE TRIGGER hyperferry_insert AFTER INSERT ON {keyless.shape.name} EXECUTE FUNCTION hyperferry.f()")
        app.execute("INSERT INTO hyperferry.expectation VALUES (3)")
        assert len(judge.leftovers(conn)) == 5


def test_bad_manners_are_noticed(tmp_path: Path) -> None:
    def ran(code: int, err: str = "", out: str = "{}") -> Run:
        run = Run(("start", "t", "--json"), tmp_path / "out", tmp_path / "err", code=code)
        run.out.write_text(out)
        run.err.write_text(err)
        return run

    for fine in (ran(0), ran(1, "Error: no."), ran(3)):
        assert judge.manners(fine) == []
    assert judge.manners(ran(2))
    assert judge.manners(ran(4))
    assert judge.manners(ran(-11))
    assert judge.manners(ran(0, out="done"))
    assert judge.manners(ran(1, "Traceback (most recent call last):"))
    assert judge.manners(ran(1, "hyperferry met something that it did not expect; this is a fault of its own."))


def test_the_processes_of_a_deadlock_are_read() -> None:
    detail = "Process 12 waits for ShareLock on transaction 5; blocked by process 345.\nProcess 345 waits for X; blocked by process 12."
    assert pids_in(detail) == {12, 345}


# Shrinking.


def test_shrinking_ends_at_what_fails() -> None:
    seed = next(s for s in SEEDS if _has(schedule_of(s, "stable"), "kill") and "json" in {c.kind for c in schedule_of(s, "stable").table.columns})

    def fails(schedule: Schedule) -> bool:
        return _has(schedule, "kill") and "json" in {c.kind for c in schedule.table.columns}

    least = shrink(schedule_of(seed, "stable"), fails, runs=2_000)
    assert fails(least)
    assert [c.kind for c in least.table.columns] == ["json"]
    assert sum(len(step.faults) for step in least.steps) == 1
    assert (len(least.writers), least.table.rows, least.table.uniques) == (1, 0, ())
    assert not any(fails(candidate) for candidate in smaller(least))


def test_shrinking_stays_within_its_runs() -> None:
    tried: list[Schedule] = []

    def fails(schedule: Schedule) -> bool:
        tried.append(schedule)
        return True

    shrink(schedule_of(5, "stable"), fails, runs=7)
    assert len(tried) == 7


def _has(schedule: Schedule, kind: str) -> bool:
    return any(fault.kind == kind for step in schedule.steps for fault in step.faults)


def test_every_smaller_schedule_ends_where_a_rollout_may_end() -> None:
    for seed in SEEDS:
        for candidate in smaller(schedule_of(seed, "stable")):
            commands = [step.command for step in candidate.steps]
            assert commands[0] == "start"
            assert commands[-1] in ("finish", "abort")
            swaps = [command for command in commands if command in ("cutover", "rollback")]
            assert swaps == ["cutover", "rollback", "cutover", "rollback"][: len(swaps)]
            assert (commands[-1] == "finish") == (swaps[-1:] == ["cutover"])


# The proxy and the processes.


def test_a_fault_strikes_at_its_message(db: Database) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(db.dsn)
    proxy = Proxy(str(parts["host"]), lambda: int(parts["port"] or 0))
    struck: list[tuple[str, int | None]] = []

    def noting(name: str, nth: int, text: bytes, after: bool) -> Trigger:
        def strike(link: Link) -> None:
            rows = db.execute("SELECT count(*) FROM noted") if db.execute("SELECT to_regclass('noted')") != [(None,)] else []
            struck.append((f"{name} {rows}", link.pid))
            if name == "drop":
                link.close()

        return Trigger(nth, text, after, strike)

    db.execute("CREATE TABLE noted (n int)")
    with psycopg.connect(f"{db.dsn}?sslmode=disable", port=proxy.own_port, autocommit=True) as conn:
        proxy.arm([noting("before", 2, b"INSERT", False), noting("after", 2, b"INSERT", True), noting("drop", 1, b"DELETE", True)])
        for _ in range(3):
            conn.execute("INSERT INTO noted VALUES (1)")
        assert struck == [("before [(1,)]", conn.info.backend_pid), ("after [(2,)]", conn.info.backend_pid)]
        with pytest.raises(psycopg.OperationalError):
            conn.execute("DELETE FROM noted")
    assert db.execute("SELECT count(*) FROM noted") == [(0,)]  # it happened, though nobody was told
    proxy.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", proxy.own_port), timeout=5)


def test_a_command_is_a_process_of_its_own(db: Database, tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    try:
        run = programs.start(["status", "--json"], db.dsn)
        assert run.wait(60)
        assert run.code == 0
        assert '"rollouts"' in run.stdout
        wrong = programs.start(["status", "no_such_table"], db.dsn)
        assert wrong.wait(60)
        assert wrong.code in (2, 3)
        assert "no_such_table" in wrong.stderr
        with db.connect(autocommit=False) as holder:
            db.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL)")
            holder.execute("LOCK TABLE t")
            held = programs.start(["start", "t", "--time", "at"], db.dsn)
            held.signal(signal.SIGKILL)
            assert held.wait(60)
        assert (held.code, held.killed) == (-9, True)
    finally:
        programs.close()


def test_what_is_drawn_for_values_is_accepted(app: Database) -> None:
    r = random.Random(1)
    app.execute(statements(Shape(schedule_of(1, "stable").table), 2, 1)[0] + "; CREATE EXTENSION citext SCHEMA torture")
    for name, kind in KINDS.items():
        base = kind.sql.partition(" COLLATE ")[0]
        drawn = ", ".join("('" + kind.draw(r).replace("'", "''") + f"'::{base})" for _ in range(40))
        assert app.execute(f"SELECT count(*) FROM (VALUES {drawn}) AS v (x)") == [(40,)], name
        if kind.key is not None:
            keys = [kind.key(r, tag, n) for tag in (1, 2, 4) for n in (0, 1, 99_999, 100_001, 250_000)]
            quoted = ", ".join("('" + key.replace("'", "''") + f"'::{base})" for key in keys)
            collate = " COLLATE torture.blind" if "blind" in kind.sql else ""
            assert app.execute(f"SELECT count(DISTINCT x{collate}) FROM (VALUES {quoted}) AS v (x)") == [(len(keys),)], name
    assert set(PLAIN) < set(KINDS)
