"""Chunks that are compressed, opened, merged or split while a transaction of one snapshot reads them.

That is not MVCC-safe, as TRUNCATE is not: the rows stand elsewhere, written by a transaction that the snapshot does not see,
and where they stood is nothing any more; and what TimescaleDB notes of a chunk (compressed, or in part) is read as it is now,
whatever the snapshot. An apply that reads nothing there deletes for good; two sides that both show nothing are taken for equal.
The lock on the hypertable does not keep it off, and locks on the chunks would be thousands. So it is looked for: before the
transaction, and at its end, when what was read is under the chunks' own locks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ..db import connect_beside, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from .flow import Flow, Side

_FILE = "look.sql"


@dataclass(frozen=True)
class Chunks:
    """The hypertable's chunks before a transaction."""

    conn: Connection
    side: Side
    compressed: bool
    notes: dict[str, Any]
    files: dict[str, Any]

    @classmethod
    def before(cls, conn: Connection, flow: Flow) -> Chunks | None:
        """Outside any transaction, just before it begins. None where nothing of the kind can happen."""
        side = flow.active if flow.active.hypertable else flow.passive
        if not fetch_value(conn, load_queries(__package__, _FILE)["may_rewrite"]):
            return None
        row = fetch_one(conn, _versions(side))
        return cls(conn, side, *row) if row is not None else None

    def refuse_changed(self) -> None:
        """At the end of the transaction, before its commit: raises psycopg's SerializationFailure, which is to say that it has to
        be run again, where one of the chunks changed since."""
        rewritten = load_queries(__package__, _FILE)["rewritten"].format(oid=sql.Literal(self.side.oid))
        if fetch_value(self.conn, rewritten):
            raise _changed(self.side)
        if not self.compressed:
            return
        # What is noted of a chunk may change and change back. This session's snapshot does not show it; another's does.
        with connect_beside(self.conn, purpose="chunks") as other:
            row = fetch_one(other, _versions(self.side))
        notes, files = (row[1], row[2]) if row is not None else ({}, {})
        if not (self.notes.items() <= notes.items() and self.files.items() <= files.items()):
            raise _changed(self.side)


def _versions(side: Side) -> sql.Composed:
    return load_queries(__package__, _FILE)["chunk_versions"].format(oid=sql.Literal(side.oid))


def _changed(side: Side) -> psycopg.Error:
    return psycopg.errors.SerializationFailure(
        f"a chunk of {side.name} was compressed, opened, merged or split meanwhile"
    )
