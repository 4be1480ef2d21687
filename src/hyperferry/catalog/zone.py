"""The time zone in which TimescaleDB's jobs reckon. "30 days ago" is another moment in another zone: for a `timestamp` or a
`date` by the difference to UTC, for a `timestamptz` by an hour, where a clock was changed meanwhile. Our own sessions have
UTC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from ..db import execute, fetch_value, load_queries
from ..db.connection import SESSION_SETTINGS, Connection


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "zone.sql")[name]


def zone_of(conn: Connection, owner: str) -> str:
    """The time zone in which the server runs the jobs of this role in this database."""
    return str(fetch_value(conn, _query("zone_of"), {"owner": owner}))


@contextmanager
def in_zone(conn: Connection, zone: str) -> Iterator[None]:
    """One transaction (within one: a part of it) in which the session has that time zone."""
    with conn.transaction():
        execute(conn, "SELECT pg_catalog.set_config('timezone', %s, true)", [zone])
        yield
        execute(conn, "SELECT pg_catalog.set_config('timezone', %s, true)", [SESSION_SETTINGS["timezone"]])


def types_of(kind: str) -> dict[str, sql.SQL]:
    """What the statements about a time column of this type take in: its own type, and that of the moments it is reckoned by."""
    own = kind if kind in ("date", "timestamp without time zone") else "timestamp with time zone"
    moment = "timestamp without time zone" if own == "date" else own
    return {"kind": sql.SQL(own), "moment": sql.SQL(moment)}


def before_now(conn: Connection, zone: str, kind: str, after: str) -> int:
    """The present less an interval, as a job in that zone reckons it for a time column of this type: a place on the time's axis.
    Raises psycopg's DataError."""
    with in_zone(conn, zone):
        return int(fetch_value(conn, _query("before").format(**types_of(kind)), {"after": after}))
