"""I0: a further lock is waited for only where nobody's deadlock check can find us waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest
from job import aside, eventually
from psycopg import sql

from hyperferry.db import FurtherLock, connect, deadlock_timeouts_ms, execute, further_locks
from hyperferry.db.connection import Connection
from kit.standby import own_server
from servers import Database, Server, drop_database, make_database

FIRST = "LOCK TABLE first IN ACCESS EXCLUSIVE MODE; SET LOCAL lock_timeout = '1ms'"
SECOND = FurtherLock(
    sql.SQL("LOCK TABLE second IN ACCESS EXCLUSIVE MODE NOWAIT").format(),
    sql.SQL("LOCK TABLE ONLY second IN ACCESS EXCLUSIVE MODE").format(),
)


@pytest.fixture(name="quiet", scope="module")
def quiet_fixture(server: Server) -> Iterator[Server]:
    """A server where nobody else waits: whoever waits for anything there keeps us from waiting, other tests' sessions too."""
    with own_server(server.release) as own:
        yield own


@pytest.fixture(name="db")
def db_fixture(quiet: Server) -> Iterator[Database]:
    made = make_database(quiet)
    yield made
    drop_database(made)


@pytest.fixture(name="ours")
def ours_fixture(db: Database) -> Iterator[Connection]:
    """A session of ours beside two tables of the application's."""
    db.execute("CREATE TABLE first (x int); CREATE TABLE second (x int); CREATE TABLE third (x int); INSERT INTO third VALUES (1)")
    with connect(db.dsn, purpose="test") as conn:
        execute(conn, "SET search_path = public")
        yield conn


def take_both(conn: Connection) -> tuple[float, str]:
    """How long the second lock was waited for (ms), and the SQLSTATE."""
    with conn.transaction(force_rollback=True):
        execute(conn, FIRST)
        began = time.monotonic()
        try:
            execute(conn, further_locks([SECOND], deadlock_timeouts_ms(conn)))
        except psycopg.Error as error:
            return (time.monotonic() - began) * 1000, error.sqlstate or ""
    return (time.monotonic() - began) * 1000, ""


def waiting_since(db: Database, conn: Connection, seconds: float) -> None:
    """Returns when the session has waited for so long."""
    pid = conn.info.backend_pid
    eventually(
        f"pid {pid} has waited for {seconds} s",
        lambda: db.execute(
            "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted AND waitstart < clock_timestamp() - %s * interval '1 s'",
            pid,
            seconds,
        ),
    )


def waits_until_it_is_free(db: Database, conn: Connection) -> bool:
    """Whether `conn` waits for the second table, which the application lets go as soon as it is seen to, and gets it. So many
    times at most, as a machine may be too busy to see it within the moment that it waits."""
    for _ in range(20):
        with db.connect(autocommit=False) as app, db.connect() as look:
            app.execute("SELECT FROM second")
            over = threading.Event()

            def let_go(app: Any = app, look: Any = look, over: threading.Event = over) -> bool:
                waits = f"SELECT 1 FROM pg_locks WHERE pid = {conn.info.backend_pid} AND NOT granted"
                while not over.is_set():
                    if look.execute(waits).fetchone():
                        app.commit()
                        return True
                return False

            seen: Future[bool] = aside(let_go)
            try:
                state = take_both(conn)[1]
            finally:
                over.set()
            assert state in ("", "55P03")
            if seen.result(60) and state == "":
                return True
            assert state == "55P03", "nobody let it go"
    return False


def test_a_lock_that_becomes_free_soon_is_waited_for(db: Database, ours: Connection) -> None:
    assert waits_until_it_is_free(db, ours)


def test_not_longer_than_a_quarter_of_the_shortest_deadlock_timeout(db: Database, ours: Connection) -> None:
    with db.connect(autocommit=False) as app:
        app.execute("SELECT FROM second")
        took, state = take_both(ours)
        assert (state, took > 150) == ("55P03", True)
        role = db.make_role()
        db.execute(f"ALTER ROLE \"{role}\" SET deadlock_timeout = '80ms'")
        assert deadlock_timeouts_ms(ours) == (80, 1000)
        quick = [take_both(ours) for _ in range(3)]
        assert {state for _, state in quick} == {"55P03"}
        assert min(each for each, _ in quick) < took
        db.execute(f'ALTER ROLE "{role}" RESET deadlock_timeout')


def test_a_hidden_timeout_of_the_server_means_no_wait(db: Database) -> None:
    """Our own role has another one: what the others have cannot be seen."""
    db.execute(f"ALTER DATABASE \"{db.name}\" SET deadlock_timeout = '10s'")
    with connect(db.dsn) as conn:
        assert deadlock_timeouts_ms(conn) == ()


@pytest.mark.parametrize("on", ["relation", "row"])
@pytest.mark.parametrize("so_far", [0.7, 1.3])
def test_no_wait_while_somebodys_deadlock_check_is_near(db: Database, ours: Connection, so_far: float, on: str) -> None:
    """It holds what we want, and waits for something else, a table or a row, since long before we came."""
    with db.connect(autocommit=False) as app, db.connect(autocommit=False) as holder:
        app.execute("SELECT FROM second")
        holder.execute("LOCK TABLE third" if on == "relation" else "UPDATE third SET x = 2")
        waits: Future[Any] = aside(lambda: app.execute("UPDATE third SET x = 3"))
        waiting_since(db, app, so_far)
        tries = [take_both(ours) for _ in range(3)]  # one of them may be held up by the machine
        assert {state for _, state in tries} == {"55P03"}
        assert min(each for each, _ in tries) < 190, "gave way at once"
        waiting_since(db, app, 2.4)
        took, state = take_both(ours)
        assert state == "55P03"
        assert took > 150, "its check is long done: waited"
        holder.rollback()
        waits.result(60)
        app.rollback()


def test_whoever_waits_for_us_is_no_victim(db: Database, ours: Connection) -> None:
    """It holds the second table and asks for the first while we hold that and wait for the second: a deadlock. We give way."""
    for _ in range(5):
        with db.connect(autocommit=False) as app:
            app.execute("SELECT FROM second")
            with ours.transaction(force_rollback=True):
                execute(ours, FIRST)
                comes: Future[Any] = aside(lambda app=app: app.execute("SELECT FROM first"))  # type: ignore[misc]
                waiting_since(db, app, 0.0)
                with pytest.raises(psycopg.OperationalError) as caught:
                    execute(ours, further_locks([SECOND], deadlock_timeouts_ms(ours)))
                assert caught.value.sqlstate in ("40P01", "55P03")
            comes.result(60)


def test_a_role_that_may_not_hurry_its_own_check_waits_all_the_same(db: Database) -> None:
    role = db.make_role()
    db.execute(f'GRANT ALL ON SCHEMA public TO "{role}"')
    with db.connect(role) as owner:
        owner.execute("CREATE TABLE first (x int); CREATE TABLE second (x int)")
    with connect(db.dsn_as(role), purpose="test") as conn:
        execute(conn, "SET search_path = public")
        assert waits_until_it_is_free(db, conn)
