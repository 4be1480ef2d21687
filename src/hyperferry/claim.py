"""Which rollout a command is about, and that no other command works on it at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import catalog, db
from .db.connection import Connection
from .errors import Conflict, Refused
from .ledger import store
from .model.rollout import Phase, Rollout

WORK_LOCK = 71509172
"""The class of the advisory locks that tell which rollout is being worked on."""


@contextmanager
def working(conn: Connection, rollout: Rollout) -> Iterator[None]:
    """Only one command works on a rollout at a time. A matter of manners: safety does not rest on it."""
    if not db.fetch_value(conn, "SELECT pg_try_advisory_lock(%s, %s)", [WORK_LOCK, rollout.id]):
        raise Conflict(
            f"Another hyperferry works on the rollout of {rollout.table}.",
            facts={"by": worker_of(conn, rollout) or "a session that just ended"},
            remedy="wait for it, stop it (Ctrl-C keeps its work), or watch it with `hyperferry status`.",
        )
    try:
        yield
    finally:
        if not conn.closed:
            db.execute(conn, "SELECT pg_advisory_unlock(%s, %s)", [WORK_LOCK, rollout.id])


def worker_of(conn: Connection, rollout: Rollout) -> str | None:
    """Who works on the rollout now."""
    row = db.fetch_one(
        conn,
        "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
        "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = %s AND l.objid = %s "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [WORK_LOCK, rollout.id],
    )
    return f"pid {row[0]} ({row[1]})" if row else None


def open_rollout(conn: Connection, table: str) -> Rollout:
    """The unfinished rollout of the table. Raises Refused where there is none."""
    _, name = catalog.resolve_table(conn, table)
    rollout = store.open_rollout(conn, name)
    if rollout is None:
        ended = store.latest(conn, name)
        raise Refused(
            f"There is no rollout of {name} under way.",
            facts={"last rollout": f"{ended[0].phase}, {ended[0].updated_at:%Y-%m-%d %H:%M}"}
            if ended
            else None,
            remedy=f"begin one with `hyperferry start {name} --time COLUMN`.",
        )
    return rollout


def orphan(conn: Connection, table: str, ended: Phase) -> Rollout | None:
    """The rollout of a table that somebody dropped: unfinished, or at its end in that phase."""
    for rollout in store.latest(conn, None):
        name = rollout.table
        known = not rollout.phase.ended or rollout.phase is ended
        if known and table in (str(name), name.quoted, name.name):
            return rollout
    return None
