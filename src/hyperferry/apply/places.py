"""The chunk in which pairs lie, where it may be read or deleted from directly.

A statement on the root is planned over every chunk: a DELETE costs 55 ms at 1,000 chunks with TimescaleDB 2.19, on the chunk
itself 0.2 ms whatever their number. That a row with such a time stands in that chunk and nowhere else is what TimescaleDB's
catalogue says of the one dimension's slices, which do not overlap, and what the chunk's CHECK enforces; and it holds of the
chunk's own table only while nothing of the chunk is compressed or kept elsewhere. Whatever is not of that plain kind gives no
place, and the root is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from ..db import fetch_one, load_queries
from ..db.connection import Connection
from ..ledger.flow import Flow, Side

INTEGERS = frozenset(("pg_catalog.int2", "pg_catalog.int4", "pg_catalog.int8"))
POINTS = frozenset(("pg_catalog.timestamptz", "pg_catalog.timestamp", "pg_catalog.date"))
_FILE = "places.sql"


@dataclass(frozen=True)
class Places:
    """How TimescaleDB's catalogue tells of a hypertable's chunks: its one dimension, and the shape that the catalogue has."""

    root: int
    dimension: int
    slice_names_chunk: bool
    chunk_has_oid: bool
    by_integer: bool

    def chunk_of(self, low: sql.Composable, high: sql.Composable) -> sql.Composed:
        """A scalar subquery: the quoted name of the plain chunk in which all times from `low` to `high` (expressions of the
        time's type) lie; NULL where there is none."""
        queries = load_queries(__package__, _FILE)
        point = "integer" if self.by_integer else "microseconds"
        return sql.SQL("({})").format(
            queries["chunk_of"].format(
                root=sql.Literal(self.root),
                dimension=sql.Literal(self.dimension),
                low=queries[point].format(value=low),
                high=queries[point].format(value=high),
                chunk=queries["chunk_by_slice" if self.slice_names_chunk else "chunk_by_constraint"],
                relation=queries["relation_by_oid" if self.chunk_has_oid else "relation_by_name"],
            )
        )


def places_of(conn: Connection, flow: Flow) -> Places | None:
    """Where the pairs of the flow's hypertable lie; None where chunks are not to be told apart by the time alone, or
    TimescaleDB's catalogue is none that we know."""
    column = flow.rollout.plan.inspection.time
    assert column is not None
    if column.base_type not in INTEGERS | POINTS:
        return None
    side = hypertable_of(flow)
    row = fetch_one(
        conn,
        load_queries(__package__, _FILE)["dimension"].format(oid=sql.Literal(side.oid)),
        {"column": flow.rollout.plan.time_column},
    )
    if row is None or row[0] is None:
        return None
    return Places(side.oid, int(row[0]), bool(row[1]), bool(row[2]), column.base_type in INTEGERS)


def hypertable_of(flow: Flow) -> Side:
    """The side that is the hypertable."""
    return flow.active if flow.active.hypertable else flow.passive
