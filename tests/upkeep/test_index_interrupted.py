"""A build is ended at each chunk: what is left is seen, cleaned up, and built again; the table's rows are written
meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from hyperferry.errors import Interrupted
from hyperferry.model.declared import DeclaredIndex
from hyperferry.model.upkeep import IndexMethod
from hyperferry.upkeep import index_methods
from hyperferry.upkeep.indexes import build, plan

from .conftest import Hypertable, holding, wait_for

INDEX = DeclaredIndex("by_stat", ("lower(stat)", "value DESC"), where="value > 0")


def nothing() -> None:
    """Never stops."""


def begin(table: Hypertable, role: str, caught: list[BaseException], stop: Any = nothing) -> tuple[threading.Thread, int]:
    """A build on a thread; the thread, and the server's process of it."""
    conn = table.connect(role)

    def work() -> None:
        try:
            build(conn, table.name, INDEX, say=lambda message: None, should_stop=stop)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, conn.info.backend_pid


def waits(table: Hypertable, pid: int) -> bool:
    """Whether that process waits for somebody's lock or transaction."""
    return bool(table.db.execute("SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted AND clock_timestamp() - waitstart > interval '300 ms'", pid))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer that holds a chunk in these tests would be waited for before anything is begun."""
    monkeypatch.setattr(index_methods, "_outwait_long_writers", lambda run, side: None)
    monkeypatch.setattr(index_methods, "deadlock_timeout_ms", lambda conn: 60_000)


@pytest.mark.parametrize("role", ["owner", "superuser"])
@pytest.mark.parametrize("chunk", range(4))
@pytest.mark.usefixtures("impatient")
def test_killed_at_any_chunk_it_is_finished_by_the_next_run(table: Hypertable, chunk: int, role: str) -> None:
    caught: list[BaseException] = []
    with holding(table, table.chunks()[chunk]):
        thread, pid = begin(table, role, caught)
        wait_for(lambda: waits(table, pid))
        table.insert("2024-02-01")  # a chunk that is made while it is built
        table.db.execute("SELECT pg_terminate_backend(%s)", pid)
        thread.join()
    assert isinstance(caught[0], psycopg.OperationalError)
    assert table.without("%by_stat%")
    conn = table.connect(role)
    if plan(conn, table.name, INDEX).method is IndexMethod.CONCURRENT:
        # Built ones are kept: those of the chunks that come before it, newest first.
        assert plan(conn, table.name, INDEX).missing == chunk + 2
    report = build(conn, table.name, INDEX, say=lambda message: None, should_stop=nothing)
    assert report.cleaned
    made = table.indexes("%by_stat%")
    assert len(made) == 6
    assert all(valid and ready for _, valid, ready in made)
    table.db.execute("DROP INDEX stats.by_stat")
    assert table.indexes("%by_stat%") == []
    table.db.execute("CREATE INDEX by_stat ON stats.player_stats (lower(stat), value DESC) WHERE value > 0")
    assert table.indexes("%by_stat%") == made


@pytest.mark.parametrize("role", ["owner", "superuser"])
@pytest.mark.usefixtures("impatient")
def test_stopped_by_its_user_no_invalid_index_slows_the_table(table: Hypertable, role: str) -> None:
    """By TimescaleDB's own way nothing is left at all; concurrently, what is built already."""
    caught: list[BaseException] = []
    stopping = threading.Event()

    def stop() -> None:
        if stopping.is_set():
            raise Interrupted("stopped")

    with holding(table, table.chunks()[1]):
        thread, pid = begin(table, role, caught, stop)
        wait_for(lambda: waits(table, pid))
        stopping.set()
        wait_for(lambda: not waits(table, pid) or not thread.is_alive())
    thread.join()
    assert isinstance(caught[0], Interrupted)
    conn = table.connect(role)
    if plan(conn, table.name, INDEX).method is IndexMethod.PER_CHUNK:
        assert table.indexes("%by_stat%") == []
    build(conn, table.name, INDEX, say=lambda message: None, should_stop=nothing)
    assert not table.without("%by_stat%")


@pytest.mark.usefixtures("impatient")
def test_a_concurrent_build_stops_no_writer_of_the_chunk_that_it_waits_for(table: Hypertable) -> None:
    if table.db.release != "testing":
        pytest.skip("indexes of chunks are adopted from TimescaleDB 2.22 on")
    caught: list[BaseException] = []
    with holding(table, table.chunks()[3]):
        thread, pid = begin(table, "superuser", caught)
        wait_for(lambda: waits(table, pid))
        with table.db.connect(table.owner) as app:
            app.execute("SET lock_timeout = '10s'")  # whoever holds the chunk does not end before
            for day in range(1, 5):
                app.execute(f"INSERT INTO {table.ident} (id, player_id, game_date) VALUES (1, 1, '2024-01-0{day} 01:00+00')")
        assert thread.is_alive()
    thread.join()
    assert caught == []
    assert not table.without("%by_stat%")


@pytest.mark.usefixtures("impatient")
def test_a_concurrent_build_gives_way_to_whoever_waits_behind_it(table: Hypertable) -> None:
    """A TRUNCATE of a chunk would keep its readers waiting for as long as an old transaction keeps the build."""
    if table.db.release != "testing":
        pytest.skip("indexes of chunks are adopted from TimescaleDB 2.22 on")
    caught: list[BaseException] = []
    chunk = table.chunks()[3]
    with table.db.connect(autocommit=False) as old:
        # An old snapshot alone: it holds no lock on the chunk, so only the build is in the way of DDL there.
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1 FROM pg_class LIMIT 1")
        thread, pid = begin(table, "superuser", caught)
        wait_for(lambda: waits(table, pid))
        with table.db.connect() as ddl:
            ddl.execute("SET lock_timeout = '60s'")
            ddl.execute(f"ALTER TABLE {chunk} SET (fillfactor = 90)")
        old.rollback()
    thread.join()
    assert caught == []
    assert not table.without("%by_stat%")
