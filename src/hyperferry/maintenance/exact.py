"""Bloat as it is, by pgstattuple: of tables the pages that are not all visible are read, of B-trees all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
from psycopg import sql

from ..db import fetch_one, is_lock_failure, load_queries
from ..db.connection import Connection
from ..errors import Interrupted, Refused
from ..health.bloated import WORTH
from ..model.health import ExactBloat, HealthFacts
from ..model.names import TableName

EVERY_SECONDS = 10.0
GONE = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedObject)


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "maintenance.sql")[name]


def exact_bloat(
    conn: Connection, facts: HealthFacts, say: Callable[[str], None], stop: threading.Event
) -> tuple[ExactBloat, ...]:
    """What is wasted in every chunk and B-tree that is large enough to be worth a word; one after the other, each for as long as
    reading it takes. Raises Refused where pgstattuple is not there or not for this role, Interrupted."""
    schema = _schema(conn)
    wanted: list[tuple[int, TableName, int | None]] = [
        (chunk.relation.oid, chunk.relation.name, None)
        for chunk in facts.chunks
        if chunk.relation.heap_bytes >= WORTH
    ]
    wanted += [
        (index.oid, index.name, index.fillfactor)
        for index in facts.chunk_indexes
        if index.valid and index.method == "btree" and index.pages * facts.block_size >= WORTH
    ]
    found: list[ExactBloat] = []
    said = time.monotonic()
    for number, (oid, name, fillfactor) in enumerate(wanted):
        if stop.is_set():
            raise Interrupted("Interrupted while measuring.", remedy="nothing was changed; without --exact it is quick.")
        if time.monotonic() - said > EVERY_SECONDS:
            said = time.monotonic()
            say(f"measured {number:,} of {len(wanted):,} tables and indexes")
        try:
            row = _one(conn, schema, name, fillfactor, facts.block_size)
        except GONE:
            continue
        except psycopg.Error as error:
            if not is_lock_failure(error):
                raise
            say(f"{name} is held exclusively by somebody: not measured")
            continue
        if row is not None:
            found.append(ExactBloat(oid, int(row[0]), int(row[1])))
    return tuple(found)


def _one(conn: Connection, schema: str, name: TableName, fillfactor: int | None, block: int) -> tuple[int, int] | None:
    function = sql.Identifier(schema, "pgstattuple_approx" if fillfactor is None else "pgstatindex")
    literal = sql.Literal(name.quoted)
    if fillfactor is None:
        return fetch_one(conn, _query("table_exact").format(function=function, table=literal))
    statement = _query("index_exact").format(
        function=function, index=literal, fillfactor=sql.Literal(fillfactor), block=sql.Literal(block)
    )
    return fetch_one(conn, statement)


def _schema(conn: Connection) -> str:
    row = fetch_one(conn, _query("extension"))
    if row is None:
        raise Refused(
            "Bloat is measured by pgstattuple, which is not in this database.",
            remedy="CREATE EXTENSION pgstattuple; (as a superuser, or the database's owner), and GRANT pg_stat_scan_tables TO "
            "the role that runs hyperferry; or leave --exact out: then it is estimated.",
        )
    if not row[1]:
        raise Refused(
            "Bloat is measured by pgstattuple, which this role may not call.",
            remedy="GRANT pg_stat_scan_tables TO the role that runs hyperferry; or leave --exact out: then it is estimated.",
        )
    return str(row[0])
