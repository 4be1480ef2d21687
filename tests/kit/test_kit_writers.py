"""The kit itself: writers whose journal agrees with the table, and a journal that sees what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from kit import tables
from kit.writers import MIX, Fleet
from servers import Database


def done(fleet: Fleet, kind: str) -> int:
    """How often the writers did it so far, while they write."""
    return sum(writer.done[kind] for writer in fleet.writers)


def run_until(fleet: Fleet, db: Database, enough: Callable[[], bool], seconds: float) -> None:
    """For so long, and on a busy machine until it is enough."""
    with db.connect() as owner, fleet.start(owner):
        time.sleep(seconds)
        end = time.monotonic() + 60
        while not enough() and time.monotonic() < end:
            time.sleep(0.05)


def test_what_was_committed_is_there(db: Database) -> None:
    role = db.make_role("app")
    with db.connect() as conn:
        table = tables.player_stats(conn, 3_000)
        conn.execute(
            f"GRANT ALL ON player_stats TO {role}; GRANT USAGE ON SEQUENCE player_stats_id_seq TO {role}"
        )
        fleet = Fleet(db.dsn_as(role), table, rate=400)
        run_until(fleet, db, lambda: all(done(fleet, kind) for kind in MIX) and fleet.statements > 200, 3.0)
        assert set(fleet.operations) == set(MIX)
        assert fleet.statements > 200
        assert fleet.worst_ms > 0
        fleet.check(conn)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE player_stats SET value = value + 0.01 WHERE id = {touched}", "lost or changed"),
        ("DELETE FROM player_stats WHERE id = {touched}", "lost or changed"),
        (
            "INSERT INTO player_stats SELECT {gone}, 1, 1, 'x', 1, now(), now()",
            "came back, doubled or changed",
        ),
        ("UPDATE player_stats SET value = -1 WHERE id = {untouched}", "nobody touched"),
        ("INSERT INTO player_stats SELECT -1, 1, 1, 'x', 1, now(), now()", "nobody touched, new"),
    ],
)
def test_what_is_not_as_committed_is_found(db: Database, damage: str, complaint: str) -> None:
    with db.connect() as conn:
        fleet = Fleet(db.dsn, tables.player_stats(conn, 2_000), rate=400, adopt=100)
        run_until(fleet, db, lambda: done(fleet, "update_value") > 20 and done(fleet, "delete") > 5, 1.5)
        states = {k: s[0] for w in fleet.writers for k, s in w.does.journal.states.items()}
        touched = next(k for k, state in states.items() if state is not None)
        gone = next(k for k, state in states.items() if state is None)
        untouched = next(k for k in range(1, 2_000) if k not in states)
        conn.execute(damage.format(touched=touched, gone=gone, untouched=untouched))
        assert any(complaint in fault for fault in fleet.faults(conn))


def test_a_truncate_between_writes(db: Database) -> None:
    with db.connect() as conn:
        fleet = Fleet(db.dsn, tables.player_stats(conn, 1_000), rate=400)
        with fleet.start(conn):
            time.sleep(0.7)
            fleet.truncate()
            time.sleep(0.7)
        fleet.check(conn)


def test_writers_outlive_their_connections(db: Database) -> None:
    with db.connect() as conn:
        fleet = Fleet(db.dsn, tables.player_stats(conn, 1_000), rate=400)
        with fleet.start(conn):
            for _ in range(5):
                time.sleep(0.3)
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name LIKE 'app writer%' AND datname = current_database()"
                )
        assert fleet.errors
        assert all(fault.sqlstate in ("", "57P01") for fault in fleet.errors)
        assert fleet.faults(conn) == []
