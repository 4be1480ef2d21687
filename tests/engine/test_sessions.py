"""Our sessions behave as we set them, whatever somebody set for our role."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from job import HOURS, THIRDS, Job, Make

from hyperferry import engine
from hyperferry.db import connect, execute, fetch_value, is_lost_connection
from hyperferry.errors import HyperferryError
from hyperferry.flag.connected import connected
from kit.tables import Table
from servers import Database, Server, drop_database

LIMITS = ("statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")


@pytest.fixture
def limited(db: Database) -> str:
    """A role whose sessions may do nothing for longer than half a second, from their first moment on."""
    role = db.make_role()
    for name in known(db):
        db.execute(f'ALTER ROLE "{role}" IN DATABASE {db.name} SET {name} = \'500ms\'')
    return role


def known(db: Database) -> list[str]:
    """Those that the server has: transaction_timeout came with PostgreSQL 17."""
    return [name for (name,) in db.execute("SELECT name FROM pg_settings WHERE name = ANY(%s)", list(LIMITS))]


def test_time_limits_of_the_role_do_not_end_our_work(db: Database, limited: str) -> None:
    with connect(db.dsn_as(limited), purpose="test") as conn:
        time.sleep(0.7)
        execute(conn, "SELECT pg_sleep(0.7)")
        with conn.transaction():
            execute(conn, "SELECT pg_sleep(0.6)")
            time.sleep(0.6)
            assert fetch_value(conn, "SELECT 1") == 1
        time.sleep(0.7)
        assert fetch_value(conn, "SELECT 1") == 1


def test_a_session_that_a_time_limit_ended_is_a_lost_connection(db: Database, limited: str) -> None:
    # Free of the role's own limits from the beginning: a machine may be busy for so long between two statements.
    free = " ".join(f"-c {name}=0" for name in known(db))
    newer = "transaction_timeout" in known(db)
    with psycopg.connect(db.dsn_as(limited), autocommit=True, options=free) as conn:
        conn.execute("SET transaction_timeout = '500ms'" if newer else "SET idle_in_transaction_session_timeout = '500ms'")
        conn.execute("SELECT 1" if newer else "BEGIN")
        time.sleep(0 if newer else 2)
        with pytest.raises(psycopg.Error) as caught:
            conn.execute("SELECT pg_sleep(2)")
    assert caught.value.sqlstate == ("25P04" if newer else "25P03")
    assert is_lost_connection(caught.value)


SNOW = r"""
CREATE TABLE t (k text PRIMARY KEY, at timestamptz NOT NULL, v integer);
INSERT INTO t SELECT E'k\xe2\x98\x83' || i, timestamptz '2024-01-01' + i * interval '1 hour', i FROM generate_series(1, 300) AS i;
"""
"""A text key with a sign that LATIN1 lacks, by which the batches are cut; the statements themselves are ASCII."""


@pytest.fixture
def ascii_db(server: Server) -> Iterator[Database]:
    """A database in SQL_ASCII, in which nothing says what the bytes of a text mean."""
    made = Database(f"t_ascii_{uuid.uuid4().hex[:8]}", server)
    with server.connect() as conn:
        conn.execute(f"CREATE DATABASE {made.name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'".encode())
    made.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    yield made
    drop_database(made)


def test_in_a_database_without_an_encoding_texts_are_texts(ascii_db: Database) -> None:
    ascii_db.execute(SNOW)
    job = Job(ascii_db, Table("public", "t", "at", ("k",), ("k", "at", "v"), 300), THIRDS)
    with pytest.raises(HyperferryError, match="There is no table missing"):
        engine.status(job.dsn, "missing")
    with connected(job.dsn, "test", 5) as conn:  # as the flag and the reads of applications do
        assert conn.execute("SELECT 'text'::text").fetchone() == ("text",)
    assert job.start().phase == "synced"
    ascii_db.execute("UPDATE t SET v = -v WHERE v % 3 = 0")
    assert job.cutover()
    ascii_db.execute("UPDATE t SET v = v - 7 WHERE v % 5 = 0")
    job.sync()
    assert job.verify().match
    job.close()


@pytest.mark.parametrize("whose", ["environment", "dsn"])
def test_an_encoding_that_the_user_chose_is_not_ours(job: Make, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    made = job(SNOW, options=THIRDS)
    dsn = made.dsn
    if whose == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    else:
        dsn += "?client_encoding=LATIN1&options=-c%20client_encoding%3DLATIN1"
    plan = engine.make_plan(dsn, "t", "at", THIRDS)
    assert engine.start(dsn, None, plan, limits={"max_cores": "none"}).phase == "synced"
    made.assert_equal()


def test_a_backslash_is_itself_whatever_the_database_says(job: Make) -> None:
    made = job(HOURS, options=THIRDS)
    made.db.execute(f'ALTER DATABASE "{made.db.name}" SET standard_conforming_strings = off')
    assert made.start().phase == "synced"
    made.run("UPDATE {table} SET v = 'changed' WHERE id % 3 = 0")
    made.cutover()
    made.run("UPDATE {table} SET v = 'changed back' WHERE id % 5 = 0")
    made.rollback()
    made.assert_equal()
