"""A change of a chunk's rows may be applied in the chunk itself (apply/places.py): only where that cannot be told from the root (I3)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from job import Job, Make
from psycopg import sql
from swap_support import (
    SMALL,
    WEEKS,
    Ready,
    before_swap_message,
    is_swap,
    ready_fixture,  # noqa: F401
    templates_fixture,  # noqa: F401
)

from hyperferry.apply import Applier
from hyperferry.apply.places import places_of
from hyperferry.cutover import runner
from hyperferry.db import execute
from hyperferry.model.plan_options import PlanOptions
from kit.tables import described
from servers import Database

KINDS = {
    "timestamptz": ("timestamptz", "timestamptz '1969-11-01 23:59:59.999999+00' + i * interval '11 hours'", "7 days"),
    "timestamp": ("timestamp", "timestamp '1965-03-01 12:00' + i * interval '13 hours'", "7 days"),
    "date": ("date", "date '1969-12-01' + i", "7 days"),
    "long ago": ("timestamptz", "timestamptz '0044-03-15 00:00+00 BC' + i * interval '5 days'", "30 days"),
    "bigint": ("bigint", "i * 7 - 500", "100"),
    "integer": ("integer", "i * 7 - 500", "100"),
    "smallint": ("smallint", "(i * 7 - 500)::smallint", "100"),
}


def chunk_of(job: Job, low: str, high: str) -> sql.Composed:
    """The expression for two columns of the hypertable's row `s`."""
    places = places_of(job.conn, job.flow)
    assert places is not None
    return places.chunk_of(sql.Identifier("s", low), sql.Identifier("s", high))


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_lies_in_the_chunk_that_is_found_for_its_time(copied: Make, kind: str) -> None:
    type_, value, width = KINDS[kind]
    job = copied(
        f"CREATE TABLE t (id bigint PRIMARY KEY, at {type_} NOT NULL); "
        f"INSERT INTO t SELECT i, {value} FROM generate_series(1, 150) AS i; CREATE INDEX ON t (at)",
        options=PlanOptions(chunk_interval=width, workers=1),
    )
    rows = job.conn.execute(
        sql.SQL("SELECT s.tableoid::regclass::text, {} FROM {} AS s").format(chunk_of(job, "at", "at"), job.sql("{shadow}"))
    ).fetchall()
    assert len(rows) == 150
    assert len({stands for stands, _ in rows}) > 5
    assert [found for _, found in rows] == [stands for stands, _ in rows]


def test_times_of_two_chunks_and_times_without_one_have_no_place(copied: Make) -> None:
    job = copied(SMALL, options=WEEKS)
    both = "SELECT min(at) AS one, max(at) AS other FROM {shadow}"
    infinite = "SELECT '-infinity'::timestamptz AS one, 'infinity'::timestamptz AS other"
    later = "SELECT '2090-01-01'::timestamptz AS one, '2090-01-01'::timestamptz AS other"
    for times in (both, infinite, later):
        found = job.conn.execute(
            sql.SQL("SELECT {}, {}, {} FROM ({}) AS s").format(
                chunk_of(job, "one", "other"), chunk_of(job, "one", "one"), chunk_of(job, "other", "other"), job.sql(times)
            )
        ).fetchone()
        assert found is not None
        assert found[0] is None
        assert (found[1] is not None) == (found[2] is not None) == (times == both)


def test_a_hypertable_with_a_second_dimension_is_used_as_a_whole(copied: Make) -> None:
    job = copied(SMALL, options=WEEKS)
    assert places_of(job.conn, job.flow) is not None
    job.run("TRUNCATE {shadow}")
    job.run("SELECT add_dimension(%s, 'id', number_partitions => 2)", job.sql("{shadow}").as_string(None))
    assert places_of(job.conn, job.flow) is None


TWOFOLD = SMALL.replace("id bigserial PRIMARY KEY", "id bigserial").replace("note text", "note text, PRIMARY KEY (id, n)")
"""The same with a key by which a second dimension is possible."""


def test_a_dimension_that_is_added_later_is_seen_by_an_applier_that_goes_on(ready: Ready) -> None:
    """A slice of the time is of several chunks from then on, and none of them has all rows of a time."""
    job = ready(TWOFOLD)
    job.cutover()
    applier = job.applier()
    job.run("UPDATE t SET v = v + 1 WHERE id = 5")
    applier.drain(pending_batches=False)
    job.run("SELECT add_dimension('t', 'n', number_partitions => 4)")
    job.run("INSERT INTO t (at, n, v) SELECT timestamptz '2024-05-01' + i % 50 * interval '5 hours', i, i FROM generate_series(1, 200) AS i")
    assert job.value("SELECT count(DISTINCT tableoid) FROM t WHERE at > '2024-05-01'") > 4
    applier.drain(pending_batches=False)
    job.assert_equal()
    job.run("UPDATE t SET v = v + 1 WHERE at > '2024-05-01'; DELETE FROM t WHERE at > '2024-05-01' AND id % 5 = 0")
    applier.drain(pending_batches=False)
    job.assert_equal()
    for way in ("rollback", "cutover"):
        getattr(job, way)()
        job.run("UPDATE t SET v = v + 1 WHERE at > '2024-05-01'; DELETE FROM t WHERE at > '2024-05-01' AND id % 7 = 1")
        job.sync()
        job.assert_equal()


def test_a_dimension_that_is_added_before_the_locks_of_the_way_back(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the swap had looked already for what dimensions there are."""
    job = ready(TWOFOLD)
    job.cutover()
    again, added = runner.drain_again, threading.Event()

    def then_add(applier: Applier) -> None:
        again(applier)
        if not added.is_set():
            added.set()
            job.run("SELECT add_dimension('t', 'n', number_partitions => 4)")
            job.run(
                "INSERT INTO t (at, n, v) SELECT timestamptz '2024-05-01' + i % 50 * interval '5 hours', i, i FROM generate_series(1, 100) AS i"
            )

    monkeypatch.setattr(runner, "drain_again", then_add)
    assert job.rollback().changes_under_lock == 100
    job.sync()
    job.assert_equal()


def test_a_chunk_in_a_schema_that_we_may_not_use_is_read_through_the_root(db: Database, synced: Make) -> None:
    """Somebody may have moved it there, and who uses the root needs no rights on it."""
    job = synced(SMALL, options=WEEKS, role=db.make_role("owner"))
    job.cutover()
    chunk = job.value("SELECT tableoid::regclass::text FROM t WHERE id = 100")
    job.run(f"CREATE SCHEMA private; ALTER TABLE {chunk} SET SCHEMA private")
    job.run("UPDATE t SET v = v + 1 WHERE id BETWEEN 90 AND 200; DELETE FROM t WHERE id = 101")
    job.applier().drain(pending_batches=False)
    job.assert_equal()
    job.run("UPDATE t SET v = v + 1 WHERE id BETWEEN 90 AND 200; DELETE FROM t WHERE id = 102")
    job.rollback()
    job.run("UPDATE t SET v = v + 1 WHERE id BETWEEN 90 AND 200; DELETE FROM t WHERE id = 103")
    job.sync()
    job.assert_equal()


def locked_chunks(job: Job, pid: int) -> int:
    """How many chunks a session holds a lock on."""
    return int(
        job.db.execute(
            "SELECT count(DISTINCT l.relation) FROM pg_locks l JOIN pg_inherits i ON i.inhrelid = l.relation "
            "WHERE l.pid = %s AND i.inhparent = %s",
            pid,
            job.rollout.hypertable_oid,
        )[0][0]
    )


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_the_swap_locks_the_chunks_whose_rows_it_changes_and_no_others(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """On TimescaleDB 2.19 a DELETE on the root locks, and plans, every chunk."""
    job = ready()
    if way == "rollback":
        job.cutover()
    locked: list[int] = []

    def both(conn: Any, statement: Any, params: Any = None) -> Any:
        if is_swap(statement):
            job.run("UPDATE t SET v = 77 WHERE id IN (3, 4, 200) AND at > '2024-01-01'")
        done = execute(conn, statement, params)
        if is_swap(statement):
            locked.append(locked_chunks(job, conn.info.backend_pid))
        return done

    monkeypatch.setattr(runner, "execute", both)
    report = getattr(job, way)()
    assert report.changes_under_lock == 3
    assert locked == [2]
    job.sync()
    job.assert_equal()
    assert job.value("SELECT count(*) FROM {source} WHERE v = 77") == 3


def test_a_chunk_that_is_dropped_behind_the_look_is_no_error(copied: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slice is read anew, and what has no chunk any more is done on the root."""
    job = copied(SMALL, options=WEEKS)
    job.run("UPDATE {table} SET v = 1 WHERE id < 20")
    located, dropped = Applier._located, threading.Event()

    def then_drop(self: Applier, groups: Any) -> Any:
        found = located(self, groups)
        if not dropped.is_set():
            dropped.set()
            job.run("SELECT drop_chunks(%s, older_than => timestamptz '2024-01-04')", job.sql("{shadow}").as_string(None))
        return found

    monkeypatch.setattr(Applier, "_located", then_drop)
    job.apply()
    assert dropped.is_set()
    job.run("UPDATE {table} SET v = v WHERE at < '2024-01-11'")  # what the drop took, once more
    job.apply()
    job.assert_equal()


def test_chunks_narrower_than_the_plan_says_lose_nothing(ready: Ready) -> None:
    """After the cutover the user has chunks of a day made; a group of changes as wide as a week lies in several of them."""
    job = ready()
    job.cutover()
    job.run("SELECT set_chunk_time_interval('t', interval '1 day')")
    job.run("INSERT INTO t (at, n, v) SELECT timestamptz '2024-05-01' + i * interval '5 hours', 1, i FROM generate_series(1, 60) AS i")
    job.sync()
    job.assert_equal()
    job.run("UPDATE t SET v = v + 1 WHERE at > '2024-05-01'; DELETE FROM t WHERE at > '2024-05-01' AND id % 5 = 0")
    job.rollback()
    job.sync()
    job.assert_equal()
    job.run("UPDATE t SET v = v + 1 WHERE at > '2024-05-01'; DELETE FROM t WHERE at > '2024-05-01' AND id % 5 = 1")
    job.sync()
    job.assert_equal()


@pytest.fixture
def compressed(community_db: Database) -> Iterator[Job]:
    """Synced, and some of the shadow's chunks compressed: one whole, one in part."""
    community_db.execute(SMALL)
    with community_db.connect() as conn:
        job = Job(community_db, described(conn, "public", "t", "at", "id"), WEEKS)
    job.start()
    job.run("ALTER TABLE {shadow} SET (timescaledb.compress, timescaledb.compress_segmentby = 'n', timescaledb.compress_orderby = 'at')")
    name = job.sql("{shadow}").as_string(None)
    job.run("SELECT compress_chunk(c) FROM show_chunks(%s, older_than => timestamptz '2024-01-18') AS c", name)
    job.run("UPDATE {table} SET v = v + 1 WHERE id = 100")
    job.sync()
    yield job
    job.close()


def test_compressed_chunks_are_changed_through_the_root(compressed: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the applier, and under the swap's lock, there and back."""
    job = compressed
    rows = job.conn.execute(
        sql.SQL("SELECT DISTINCT {} IS NULL, s.at < '2024-01-18' FROM {} AS s WHERE s.at < '2024-01-17' OR s.at > '2024-01-20'").format(
            chunk_of(job, "at", "at"), job.sql("{shadow}")
        )
    ).fetchall()
    assert set(rows) == {(True, True), (False, False)}
    many = "UPDATE {table} SET v = v + 1 WHERE id % 7 = 0 AND at > '2024-01-01'; DELETE FROM {table} WHERE id % 11 = 0 AND at > '2024-01-01'"
    job.run(many)
    job.sync()
    job.assert_equal()
    for way in ("cutover", "rollback"):
        before_swap_message(monkeypatch, lambda conn: job.run(many.replace("% 7", "% 13").replace("% 11", "% 17")) and None)
        assert getattr(job, way)().changes_under_lock > 20
        monkeypatch.undo()
        job.sync()
        job.assert_equal()
    job.close()
