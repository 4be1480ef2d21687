"""One chunk: compared with the table, compressed, and compared with itself.

Some columns do not come back from compression byte by byte: of values that are equal it may keep one (an interval of '1 month'
and one of '30 days', jsonb, numbers in arrays). Parity means byte by byte, so a chunk whose rows would change stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

import psycopg
from psycopg import sql

from ..db import (
    LockMode,
    cancel_autovacuum,
    execute,
    fetch_one,
    fetch_value,
    is_lost_connection,
    is_transient,
    load_queries,
)
from ..db.connection import Connection
from ..db.sqlstate import CANCELLED
from ..errors import SchemaChanged
from ..ledger import store
from ..ledger.compressed import COMPRESSED, PARTIAL, UNORDERED
from ..ledger.flow import Flow
from ..ledger.image import exact_hash
from ..ledger.transaction import lock_statement
from ..verify import Task, compare_range
from .chunks import FILE, Chunk, ranges_of

TRIES = 20
"""Attempts at the locks of one comparison."""


class Done(StrEnum):
    """What became of a chunk."""

    COMPRESSED = "compressed"
    NOT_NOW = "not now"  # a truncation waits in the backlog, or a lock was not to be had: again later
    DIFFERS = "differs"  # from the table: the verification of everything will say how
    REFUSED = "refused"  # the server cannot compress it
    INEXACT = "inexact"  # its rows would come back changed: it stays as it is
    NOTHING = "nothing"  # it is compressed already, or gone


class _Inexact(Exception):
    """Rolls the compression back: the rows' images are not what they were."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


def prove(
    conn: Connection, flow: Flow, chunk: Chunk, stop: Callable[[], None], helpers: int | None = None
) -> Done:
    """Whether both sides have the same rows in the chunk's range but for those whose changes wait in the backlog, range by range,
    each at one snapshot (I8): COMPRESSED if it may be compressed. `helpers`: parallel workers at most
    (None: as the server has it). Raises LockUnavailable, SchemaChanged, CaptureBroken."""
    queries = load_queries(__package__, FILE)
    started = fetch_value(conn, "SELECT clock_timestamp()")
    task = Task(flow, started, TRIES, chunk=chunk.side, helpers=helpers)
    cancel_autovacuum(conn, chunk.side.name, chunks=False)
    try:
        for within in ranges_of(conn, flow, chunk):
            stop()
            found = compare_range(conn, task, within, stop)
            if found.truncated:
                return Done.NOT_NOW
            if found.difference_count:
                return Done.DIFFERS
    except SchemaChanged:
        if _there(conn, chunk):
            raise
        return Done.NOTHING  # a truncation was applied, which drops chunks
    finally:
        if not conn.closed:
            forget = queries["forget_excused"].format(excused=flow.of_ledger("excused"))
            execute(conn, forget, {"started": started})
    return Done.COMPRESSED


def compress(conn: Connection, flow: Flow, chunk: Chunk) -> Done:
    """One transaction: lock, look, compress, look whether every row is still what it was, note it.

    Only the shadow and its chunk are locked, so nobody of the application's waits, however long it takes.
    """
    cancel_autovacuum(conn, chunk.side.name, chunks=False)
    begun = time.monotonic()
    try:
        with conn.transaction():
            execute(conn, lock_statement(flow.passive, LockMode.ACCESS_SHARE))
            # At once as strong as compressing needs it at its end: a wait there would be for nothing.
            execute(conn, lock_statement(chunk.side, LockMode.ACCESS_EXCLUSIVE))
            if not _to_do(conn, flow, chunk):
                return Done.NOTHING
            return _compress(conn, flow, chunk, begun)
    except _Inexact as error:
        detail = {"chunk": _name(chunk), "from": chunk.low, "to": chunk.high, "rows": error.rows}
        store.event(conn, flow.rollout.id, "not compressed", {**detail, "reason": "its rows would not come back as they are"})
        return Done.INEXACT
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return Done.NOTHING
    except psycopg.Error as error:
        if is_transient(error):
            return Done.NOT_NOW
        if is_lost_connection(error) or error.sqlstate in CANCELLED:
            raise
        # A disk that is full, a row that is too wide: nothing rests on this chunk's being compressed.
        detail = {"chunk": _name(chunk), "from": chunk.low, "to": chunk.high, "reason": str(error).splitlines()[0]}
        store.event(conn, flow.rollout.id, "not compressed", detail)
        return Done.REFUSED


def _name(chunk: Chunk) -> str:
    return f"{chunk.side.name.schema}.{chunk.side.name.name}"


def _there(conn: Connection, chunk: Chunk) -> bool:
    return bool(fetch_value(conn, "SELECT to_regclass(%s)::oid::bigint = %s", [chunk.side.name.quoted, chunk.side.oid]))


def _to_do(conn: Connection, flow: Flow, chunk: Chunk) -> bool:
    """Under the locks: the shadow is still ours, and the chunk still to be compressed."""
    now = fetch_value(conn, "SELECT to_regclass(%s)::oid::bigint", [flow.passive.name.quoted])
    if now != flow.passive.oid:
        raise SchemaChanged(
            f"{flow.passive.name} is no longer the table that this rollout works on.",
            facts={"expected OID": flow.passive.oid, "OID now": now or "no such table", "rollout": flow.rollout.id},
            remedy="somebody replaced, renamed or dropped it; see `hyperferry status`.",
        )
    status = fetch_value(
        conn,
        load_queries(__package__, FILE)["status"].format(
            name=sql.Literal(chunk.side.name.quoted), oid=sql.Literal(chunk.side.oid)
        ),
    )
    return status is not None and (not status & COMPRESSED or bool(status & (PARTIAL | UNORDERED)))


def _compress(conn: Connection, flow: Flow, chunk: Chunk, begun: float) -> Done:
    queries, oid = load_queries(__package__, FILE), sql.Literal(chunk.side.oid)
    sums = queries["sums"].format(
        hash=exact_hash("t", flow.rollout.plan.inspection.columns), chunk=chunk.side.ident
    )
    bytes_ = queries["bytes"].format(oid=oid)
    execute(conn, "SET LOCAL jit = off")
    before, before_bytes = fetch_one(conn, sums), fetch_value(conn, bytes_)
    schema = sql.Identifier(flow.rollout.plan.inspection.server.timescaledb_schema or "public")
    execute(conn, queries["compress"].format(schema=schema, oid=oid))
    after, after_bytes = fetch_one(conn, sums), fetch_value(conn, bytes_)
    assert before is not None
    assert after is not None
    if before != after:
        raise _Inexact(int(before[0]))
    store.event(
        conn,
        flow.rollout.id,
        "compressed",
        {
            "chunk": _name(chunk),
            "from": chunk.low,
            "to": chunk.high,
            "rows": int(before[0]),
            "before": int(before_bytes),
            "after": int(after_bytes),
            "seconds": round(time.monotonic() - begun, 3),
        },
    )
    return Done.COMPRESSED
