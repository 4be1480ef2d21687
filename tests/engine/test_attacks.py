"""What a hostile review broke, each as it was broken; the judge is SQL of our own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, suppress

import psycopg
import pytest
from job import Job, Make, aside

from hyperferry import swapping
from hyperferry.cutover import runner
from hyperferry.errors import HyperferryError, Refused, SchemaChanged
from hyperferry.model.plan_options import PlanOptions
from kit.oracle import differences
from kit.standby import own_server
from kit.tables import Table
from servers import Server, make_database

pytestmark = pytest.mark.usefixtures("full_time")

PLAIN = (
    "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL, v int); CREATE INDEX ON t (at);"
    "INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '1 hour', i FROM generate_series(1, 500) AS i"
)
IDENTITY = PLAIN.replace("id int PRIMARY KEY", "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY").replace(
    "INTO t SELECT i,", "INTO t (at, v) SELECT"
)


def _before_the_locks(monkeypatch: pytest.MonkeyPatch, act: object) -> None:
    """Has `act` called once, between the last drain and the swap's locks."""
    drain, acts = runner.drain_again, [act]

    def drained(*args: object) -> None:
        drain(*args)  # type: ignore[arg-type]
        if acts:
            acts.pop()()  # type: ignore[operator]

    monkeypatch.setattr(runner, "drain_again", drained)


def test_a_slice_is_widened_by_a_partial_index_with_a_percent_sign_in_its_predicate(synced: Make) -> None:
    """`LIKE 'a%'` in an index's predicate was taken for a placeholder: the applier died at each unique violation."""
    job = synced(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL, slug text, tag text); CREATE INDEX ON t (at);"
        "CREATE UNIQUE INDEX ON t (slug, at) WHERE tag LIKE 'a%'; CREATE UNIQUE INDEX ON t ((slug || '%s'), at);"
        "INSERT INTO t SELECT i, '2024-01-01', 's' || i, 'ab' FROM generate_series(1, 100) AS i"
    )
    job.run("UPDATE t SET slug = 'tmp' WHERE id = 1")
    job.run("UPDATE t SET slug = 's1' WHERE id = 2")
    job.run("UPDATE t SET slug = 's2' WHERE id = 1")
    job.apply(slice_rows=1)
    assert job.status().quarantined == ()
    job.assert_equal()


def test_an_owner_who_is_not_us_gets_new_chunks_after_the_cutover(job: Make) -> None:
    """TimescaleDB puts triggers on a chunk in the owner's name, who had no rights on the ledger: `start` failed."""
    made: Job = job(IDENTITY)
    owner, app = made.db.make_role("owner"), made.db.make_role()
    made.db.execute(f'GRANT CREATE ON SCHEMA public TO "{owner}"; ALTER TABLE t OWNER TO "{owner}"')
    made.db.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON t TO "{app}"')
    made.start()
    made.cutover()
    made.run("INSERT INTO t (at, v) VALUES ('2031-01-01', 1)", role=app)
    made.run("INSERT INTO t (at, v) VALUES ('2032-01-01', 1)", role=owner)
    made.run("DELETE FROM t WHERE v = 7", role=app)
    made.sync()
    made.assert_equal()
    made.rollback()
    made.abort()
    assert made.db.execute(f"SELECT has_schema_privilege('{owner}', 'hyperferry', 'USAGE')") == [(False,)]


def test_a_number_drawn_while_the_swap_has_the_lock_is_not_drawn_again(synced: Make) -> None:
    """nextval('t_id_seq') that waited for the swap drew from the outgoing sequence what the incoming one gave once more."""
    job = synced(IDENTITY)
    drawn: list[int] = []
    stop = False

    def draw() -> None:
        with job.db.connect() as conn:
            while not stop:
                drawn.append(conn.execute("SELECT nextval('t_id_seq')").fetchall()[0][0])

    sessions = [aside(draw) for _ in range(4)]
    for _ in range(2):
        job.cutover()
        job.rollback()
    stop = True
    for session in sessions:
        session.result(60)
    assert len(drawn) == len(set(drawn))


def test_foreign_keys_are_validated_although_we_died_behind_the_swap(
    synced: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command, run again, said that all was done, and left the key NOT VALID for ever."""
    job = synced(
        "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);"
        + PLAIN.replace("v int", "v int, parent int DEFAULT 1 REFERENCES parent").replace(
            "INTO t SELECT", "INTO t (id, at, v) SELECT"
        )
    )
    validated = (
        "SELECT bool_and(convalidated) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'f'"
    )

    def died(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(swapping, "validate_foreign_keys", died)
        with pytest.raises(KeyboardInterrupt):
            job.cutover()
    assert job.value(validated) is False
    job.cutover()
    assert job.value(validated) is True
    job.rollback()
    assert job.value(validated) is True


def test_a_null_time_of_the_last_moment_does_not_end_the_cutover(
    synced: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block met a pair without a time and failed ('query string argument of EXECUTE is null')."""
    job = synced(PLAIN.replace("at timestamptz NOT NULL", "at timestamptz"))
    _before_the_locks(
        monkeypatch,
        lambda: (job.run("INSERT INTO t VALUES (9000, NULL, 1)"), job.run("DELETE FROM t WHERE id = 9000")),
    )
    assert job.cutover().attempts == 2
    job.sync()
    job.assert_equal()


def test_a_null_time_that_stays_is_named_as_quarantined(
    synced: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = synced(PLAIN.replace("at timestamptz NOT NULL", "at timestamptz"))
    _before_the_locks(monkeypatch, lambda: job.run("INSERT INTO t VALUES (9000, NULL, 1)"))
    with pytest.raises(Refused):
        job.cutover()
    assert len(job.status().quarantined) == 1


@pytest.fixture
def alone(server: Server) -> Iterator[Job]:
    """The plain table, synced, on a server of its own: how old a snapshot is is told by the oldest transaction of the server, and
    another test's that began before it would hide its age."""
    with own_server(server.release) as own:
        db = make_database(own)
        db.execute(PLAIN)
        job = Job(db, Table("public", "t", "at", ("id",), ("id", "at", "v"), 500), PlanOptions())
        job.start()
        yield job
        job.close()


def test_who_waits_under_a_snapshot_older_than_the_swap_is_waited_for(
    alone: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A REPEATABLE READ transaction that is active, waiting for the table, read it without the last changes: only idle ones
    were looked for."""
    job = alone
    job.run("CREATE TABLE other (x int)")
    holder, reader = job.db.connect(autocommit=False), job.db.connect(autocommit=False)
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    read: list[object] = []

    def wait_for_the_table() -> None:
        job.until_we_wait()
        read.extend(reader.execute("SELECT v FROM t WHERE id = 1").fetchall())
        reader.rollback()

    def release() -> None:
        job.until_we_wait()
        time.sleep(0.1)
        holder.rollback()

    acting: list[Future[object]] = []

    def act() -> None:
        job.run("UPDATE t SET v = -777 WHERE id = 1")
        reader.execute("SELECT FROM other")  # its snapshot is behind the update, which stands in the backlog
        holder.execute("SELECT FROM t LIMIT 1")
        acting.extend([aside(wait_for_the_table), aside(release)])

    _before_the_locks(monkeypatch, act)
    with closing(holder), closing(reader):
        job.cutover(accept=frozenset({"widened-key"}))
        for one in acting:
            one.result(60)
    assert read == [(-777,)]


def test_of_two_starters_the_slower_is_refused(job: Make) -> None:
    """It met the unique index of the ledger, with the server's own words."""
    made: Job = job(PLAIN)
    assert made.plan
    starters = [aside(made.start) for _ in range(3)]
    errors = [error for starter in starters if (error := starter.exception(120))]
    assert all(isinstance(error, HyperferryError) for error in errors)
    assert len(errors) < 3
    made.assert_equal()


def test_an_applier_that_meets_a_swap_says_that_the_table_was_moved(synced: Make) -> None:
    """`sync` beside a swap died of the server's own 'relation does not exist'."""
    job = synced(PLAIN)
    before = job.applier()
    job.cutover()
    with pytest.raises(SchemaChanged):
        before.apply_slice(pending_batches=False)
    after = job.applier()
    job.rollback()
    with pytest.raises(SchemaChanged):
        after.apply_slice(pending_batches=False)


def test_truncations_of_every_kind_while_copying(captured: Make) -> None:
    """It held: TRUNCATE alone, with a reload, rolled back, rolled back to a savepoint, between and behind batches."""
    job = captured(PLAIN)
    reload = "INSERT INTO t SELECT i, timestamptz '2024-03-01' + i * interval '1 hour', -i FROM generate_series(1, 300) AS i"
    for round_ in range(4):
        with job.application() as app:
            app.execute("TRUNCATE t")
            if round_ == 1:
                app.rollback()
            app.execute("SAVEPOINT s")
            app.execute("TRUNCATE t")
            app.execute("ROLLBACK TO s")
            if round_ != 1:
                app.execute(reload)  # type: ignore[call-overload]
            app.commit()
        if round_ == 2:
            with suppress(psycopg.Error):
                job.copy_all()
        job.apply()
        job.run("UPDATE t SET at = at + interval '40 days' WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0")
    job.copy_all()
    job.apply()
    job.assert_equal()


def test_truncate_and_reload_through_the_hypertable_come_back_with_the_rollback(synced: Make) -> None:
    """It held."""
    job = synced(PLAIN)
    job.cutover()
    with job.application() as app:
        app.execute("UPDATE t SET v = 0 WHERE id < 100")
        app.execute("TRUNCATE t")
        app.execute("INSERT INTO t SELECT i, timestamptz '2024-05-01', i FROM generate_series(1, 50) AS i")
        app.commit()
    job.run("CREATE TABLE expected AS TABLE t")
    job.rollback()
    with job.db.connect() as conn:
        expected = job.table.__class__("public", "expected", "at", (), job.table.columns, 0).ident
        assert differences(conn, job.table.ident, expected, job.table.columns) == []
