"""The hypertable's chunks with their ranges, and how far in the time they are compressed.

Rows of a compressed chunk are kept a thousand at a time. A DELETE opens all batches that its constants do not exclude, and a
join with the log's pairs excludes none; so changes older than that end are applied, and looked at, pair by pair, with the pair
itself as a literal.
"""

from __future__ import annotations

from psycopg import sql

from ..db import fetch_value, load_queries
from ..db.connection import Connection
from .flow import Flow
from .objects import counts

_FILE = "compressed.sql"
COMPRESSED, UNORDERED, PARTIAL = 1, 2, 8
"""Bits of a chunk's status (TimescaleDB: chunk.h); the last two mean that rows stand beside the compressed ones."""

_INTEGERS = {"pg_catalog.int2": 15, "pg_catalog.int4": 31, "pg_catalog.int8": 63}
_KINDS = {
    "pg_catalog.timestamptz": "as_timestamptz",
    "pg_catalog.timestamp": "as_timestamp",
    "pg_catalog.date": "as_date",
    "pg_catalog.uuid": "as_uuid",
}


def chunks(flow: Flow, *, status: bool) -> sql.Composed:
    """A FROM item: `oid`, `schema`, `name`, `starts` and `ends` (timestamptz or bigint), `low` and `high` in the time's own type,
    `compressed`, and, where asked for, `status`: that takes a look of its own at each chunk, which fails (undefined_object) where
    the chunk was dropped behind the statement's snapshot."""
    time = flow.rollout.plan.inspection.time
    assert time is not None
    queries = load_queries(__package__, _FILE)
    suffix = "_integer" if counts(flow) else ""
    bits = _INTEGERS.get(time.base_type, 63)

    def end(which: str) -> sql.Composed:
        return queries[_KINDS.get(time.base_type, "as_integer")].format(
            value=sql.Identifier("v", f"range_{which}{suffix}"),
            least=sql.Literal(-(2**bits)),
            most=sql.Literal(2**bits - 1),
        )

    return queries["chunks"].format(
        start=sql.Identifier(f"range_start{suffix}"),
        end=sql.Identifier(f"range_end{suffix}"),
        low=end("start"),
        high=end("end"),
        oid=sql.Literal(flow.rollout.hypertable_oid),
        status=queries["status"] if status else sql.SQL(""),
    )


def compressed_below(conn: Connection, flow: Flow) -> str | None:
    """The time, as text, below which chunks are compressed; None where none is, or where the plan compresses nothing."""
    if flow.rollout.plan.compression is None:
        return None
    found = fetch_value(conn, load_queries(__package__, _FILE)["below"].format(chunks=chunks(flow, status=False)))
    return None if found is None else str(found)
