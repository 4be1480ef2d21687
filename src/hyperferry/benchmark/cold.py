"""Runs with nothing of the table in the server's cache, where that can be had. The operating system's cache stays as it is."""

from __future__ import annotations

from psycopg import sql

from ..catalog.health import companions
from ..db import fetch_all, fetch_one
from ..db.connection import Connection
from .options import Side
from .sides import query

SINCE = 170000
NOT_ASKED = (
    "not measured: not asked for (--cold takes the tables' pages out of the server's cache, and so slows the application "
    "for a while)"
)
MEASURED = "measured with the tables' pages out of the server's own cache; the operating system's cannot be emptied from here"


class Evictor:
    """Empties the cache of one side's pages. `reason`: why it cannot, None where it can."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        row = fetch_one(conn, query("buffercache")) or (None, False)
        self._schema = row[0]
        self.reason: str | None = None
        if conn.info.server_version < SINCE:
            self.reason = "not measured: the cache can be emptied from PostgreSQL 17 on only"
        elif not row[1]:
            self.reason = "not measured: only a superuser may empty the cache"
        elif self._schema is None:
            self.reason = "not measured: the extension pg_buffercache is not in this database"

    def evict(self, side: Side) -> None:
        """Puts out what nobody is using at this moment: pages of table or chunks, compressed ones too, of their indexes and
        long values."""
        oids = [side.oid]
        if side.chunks is not None:
            place = {"schema": side.name.schema, "name": side.name.name}
            chunks = [int(row[0]) for row in fetch_all(self._conn, query("chunk_oids"), place)]
            oids += [*chunks, *companions(self._conn, chunks).values()]
        files = [row[0] for row in fetch_all(self._conn, query("files"), {"oids": oids})]
        statement = query("evict").format(
            function=sql.Identifier(self._schema, "pg_buffercache_evict"),
            view=sql.Identifier(self._schema, "pg_buffercache"),
        )
        fetch_all(self._conn, statement, {"files": files})
