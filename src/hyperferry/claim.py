"""Which rollout a command is about, and that no other command works on it at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from . import catalog, db
from .db.connection import Connection
from .errors import Conflict, Refused, Usage
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
        # With its session the claim is gone anyway; whatever ended the work is what is to be told.
        with suppress(psycopg.Error):
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


def orphan(conn: Connection, table: str, ended: Phase, missing: Usage) -> Rollout:
    """The rollout of a table that is not there under its name any more: unfinished, or at its end in that phase. For a name that
    means no table, as `missing` says, which is raised where there is no such rollout.

    With its schema the name is enough, wherever the table is by now. Without one it could mean a table in use: it counts where
    the one rollout of that name is of a table that was dropped. Raises Usage for several, and names them.
    """
    *schema, name = catalog.parse_name(conn, table)
    known = [
        each
        for each in store.latest(conn, None)
        if each.table.name == name
        and schema in ([], [each.table.schema])
        and (not each.phase.ended or each.phase is ended)
    ]
    known = [each for each in known if not each.phase.ended] or known
    gone = [each for each in known if not catalog.is_there(conn, each.table)]
    if schema and gone:
        return gone[0]
    dropped = [each for each in gone if catalog.name_of(conn, each.source_oid) is None]
    if len(known) == len(dropped) == 1:
        return dropped[0]
    if known:
        missing.facts |= {f"rollout of {each.table}": f"{each.phase}, {_where(conn, each)}" for each in known}
        first = (gone or known)[0].table
        missing.remedy = f"name the table of the rollout with its schema: {first if len(known) == 1 else 'schema.name'}."
    raise missing


def _where(conn: Connection, rollout: Rollout) -> str:
    """Whether the table of the rollout is there, and under which name."""
    if catalog.is_there(conn, rollout.table):
        return "its table is there"
    name = catalog.name_of(conn, rollout.source_oid)
    return "its table is gone" if name is None else f"its table is {name} now"
