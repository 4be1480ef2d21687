"""Who keeps dead rows from being cleaned: the oldest snapshot of anybody else's, and the oldest transaction of ours."""

from __future__ import annotations

from ..db import fetch_all, fetch_one, load_queries
from ..db.connection import Connection
from ..model.report import Holder

_FILE = "horizon.sql"


def oldest_holder(conn: Connection) -> Holder | None:
    """Whoever else holds cleaning back the furthest; None where nobody does."""
    for pid, user, what, state, seconds, transactions, ours in fetch_all(
        conn, load_queries(__package__, _FILE)["holders"]
    ):
        if not ours:
            return Holder(pid, user, what, state, seconds, int(transactions or 0))
    return None


def our_oldest(conn: Connection) -> tuple[str, float] | None:
    """The oldest open transaction of a hyperferry in this database, this session's apart: whose, and its age in seconds."""
    row = fetch_one(conn, load_queries(__package__, _FILE)["our_oldest"])
    return None if row is None else (f"pid {row[0]} ({row[1]})", float(row[2]))
