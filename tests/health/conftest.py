"""A hypertable, and its health."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from hyperferry.maintenance import Kind, LookOptions, MaintainOptions, MaintainReport, look, maintain
from hyperferry.model.health import HealthFinding, HealthReport
from servers import Database

SENSORS = """
CREATE TABLE sensors (
    id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, sensor int NOT NULL, place text NOT NULL, value float8,
    PRIMARY KEY (id, at)
);
SELECT create_hypertable('sensors', 'at', chunk_time_interval => interval '1 day');
CREATE INDEX sensors_sensor_idx ON sensors (sensor, at);
"""
FILL = """
INSERT INTO sensors (at, sensor, place, value)
SELECT now() - interval '3 days' + i * interval '3 days' / %(rows)s, i %% 50, 'place ' || i %% 20, i FROM generate_series(0, %(rows)s - 1) AS i
"""
"""Rows of the last three days."""

Look = Callable[..., HealthReport]


def fill(db: Database, rows: int) -> None:
    """So many rows, evenly over three days, analyzed."""
    with db.connect() as conn:
        conn.execute(FILL % {"rows": rows})
        conn.execute("SELECT pg_stat_force_next_flush()")  # not after ANALYZE, as changes since
        conn.execute("ANALYZE sensors")


def settle(db: Database) -> None:
    """Waits until the sessions that wrote have ended: it is then that the server's statistics get what they counted."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend' AND state IS DISTINCT FROM 'idle in transaction'"
    )
    until = time.monotonic() + 60
    while db.execute(others) != [(0,)]:
        assert time.monotonic() < until
        time.sleep(0.02)


def of(report: HealthReport, rule: str) -> list[HealthFinding]:
    """The findings of a rule."""
    return [finding for finding in report.findings if finding.rule == rule]


def examine(db: Database, table: str = "sensors", *, role: str | None = None, exact: bool = False) -> HealthReport:
    """The table's health, as the superuser or as a role."""
    return look(LookOptions(db.dsn_as(role), table, exact=exact), lambda text: None, threading.Event())


def rules(db: Database, table: str = "sensors", **more: Any) -> set[str]:
    """The names of the rules that find something."""
    return {finding.rule for finding in examine(db, table, **more).findings}


def keep_well(
    db: Database,
    table: str = "sensors",
    *only: str,
    stop: threading.Event | None = None,
    say: Callable[[str], None] = lambda text: None,
    role: str | None = None,
    **more: Any,
) -> MaintainReport:
    """Maintenance as the command does it, without pauses."""
    options = MaintainOptions(db.dsn_as(role), table, kinds=frozenset(map(Kind, only)), **{"pause": 0.0, "full_speed": True, **more})
    return maintain(options, say, stop or threading.Event())


def chunks(db: Database, table: str = "sensors") -> list[str]:
    """The chunks in the order of time, quoted, with their schema."""
    return [
        row[0]
        for row in db.execute(
            "SELECT format('%%I.%%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks WHERE hypertable_name = %s "
            "ORDER BY range_start, range_start_integer",
            table,
        )
    ]


@pytest.fixture
def sensors(db: Database) -> Database:
    """A database with an empty hypertable of sensors, a day to a chunk, that autovacuum leaves alone."""
    db.execute(SENSORS)
    db.execute("ALTER TABLE sensors SET (autovacuum_enabled = false)")
    return db
