"""Our sessions behave as we set them, whatever somebody set for our role."""

from __future__ import annotations

import time

import psycopg
import pytest

from hyperferry.db import connect, execute, fetch_value, is_lost_connection
from servers import Database

LIMITS = ("statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")


@pytest.fixture
def limited(db: Database) -> str:
    """A role whose sessions may do nothing for longer than half a second, from their first moment on."""
    role = db.make_role()
    for name in LIMITS:
        db.execute(f'ALTER ROLE "{role}" IN DATABASE {db.name} SET {name} = \'500ms\'')
    return role


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
    free = " ".join(f"-c {name}=0" for name in LIMITS)
    with psycopg.connect(db.dsn_as(limited), autocommit=True, options=free) as conn:
        conn.execute("SET transaction_timeout = '500ms'")
        with pytest.raises(psycopg.Error) as caught:
            conn.execute("SELECT pg_sleep(2)")
    assert caught.value.sqlstate == "25P04"
    assert is_lost_connection(caught.value)
