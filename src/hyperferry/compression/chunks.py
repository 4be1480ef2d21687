"""Which chunks are closed, and how the shadow stands: read from the ledger and the catalogs each time, never remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from ..db import fetch_all, fetch_one, load_queries, patient_read
from ..db.connection import Connection
from ..ledger.compressed import PARTIAL, UNORDERED, chunks
from ..ledger.flow import Flow, Side
from ..ledger.objects import counts, range_columns
from ..model.names import TableName
from ..model.report import CompressedChunk, CompressionReport
from ..verify.ranges import Range

T = TypeVar("T")

FILE = "compression.sql"
LOOKS = 10
"""So often chunks are looked at anew, because one was dropped meanwhile."""
BATCHES_OF_A_RANGE = 6
"""So many batches are compared in one transaction: about as many rows as a range of a verification has."""


@dataclass(frozen=True)
class Chunk:
    """A chunk and its range: `low` inclusive, `high` exclusive, as text of the time's type; None: it lies beyond the type."""

    side: Side
    low: str | None
    high: str | None

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.side.name} ({self.low or 'the beginning'} to {self.high or 'the end'})"


def _chunks(rows: list[tuple[object, ...]]) -> list[Chunk]:
    return [
        Chunk(
            Side(TableName(str(schema), str(name)), int(str(oid)), hypertable=False),
            None if low is None else str(low),
            None if high is None else str(high),
        )
        for oid, schema, name, low, high in rows
    ]


def _again_where_one_went(look: Callable[[], T]) -> T:
    """The look, made once more where a chunk was dropped in its middle: the applier passed a truncation, or somebody called
    drop_chunks. Outside a transaction."""
    for _ in range(LOOKS - 1):
        try:
            return look()
        except psycopg.errors.UndefinedObject:
            continue
    return look()


def closed_chunks(conn: Connection, flow: Flow) -> list[Chunk]:
    """The chunks to be compressed now, oldest first.

    A row lands in a chunk by a batch or by the applier. No batch that could is pending, and none is cut again; the applier brings
    changes to compressed chunks as to others.
    """
    wish = flow.rollout.plan.compression
    if wish is None:
        return []
    queries = load_queries(__package__, FILE)
    after = sql.Literal(wish.after)
    if counts(flow):
        old = queries["old_by_greatest"].format(
            time=sql.Identifier(flow.rollout.plan.time_column), source=flow.active.ident, after=after
        )
    else:
        old = queries["old_by_now"].format(after=after)
    by_time = [name for name, _ in range_columns(flow)] == ["t"]
    statement = queries["closed"].format(
        chunks=chunks(flow, status=True),
        old=old,
        batch=flow.of_ledger("batch"),
        covered=queries["covered_by_time"] if by_time else sql.SQL("true"),
    )

    def look() -> list[tuple[Any, ...]]:
        return _again_where_one_went(lambda: fetch_all(conn, statement))

    # It may look at the greatest time of the table, which somebody may hold for a moment.
    return _chunks(patient_read(conn, "the look at closed chunks", [flow.active.name, flow.passive.name], look))


def partial_chunks(conn: Connection, flow: Flow) -> list[Chunk]:
    """Compressed chunks to which changes were applied since, oldest first."""
    if flow.rollout.plan.compression is None:
        return []
    statement = load_queries(__package__, FILE)["partial"].format(
        chunks=chunks(flow, status=True), beside=sql.Literal(UNORDERED | PARTIAL)
    )
    return _chunks(_again_where_one_went(lambda: fetch_all(conn, statement)))


def ranges_of(conn: Connection, flow: Flow, chunk: Chunk) -> list[Range]:
    """The chunk in ranges to be compared one after the other, cut where batches begin."""
    statement = load_queries(__package__, FILE)["cuts"].format(
        batch=flow.of_ledger("batch"),
        low=sql.Literal(chunk.low),
        high=sql.Literal(chunk.high),
        kind=flow.pairs.time.type,
    )
    cuts = [row[0] for row in fetch_all(conn, statement)][BATCHES_OF_A_RANGE - 1 :: BATCHES_OF_A_RANGE]
    edges = [chunk.low, *cuts, chunk.high]
    return [
        Range(None if low is None else (low,), None if high is None else (high,)) for low, high in pairwise(edges)
    ]


def compression_of(conn: Connection, flow: Flow, *, each: bool = False) -> CompressionReport | None:
    """How far the shadow is compressed; with `each` every chunk by itself. None where the plan compresses nothing."""
    if flow.rollout.plan.compression is None:
        return None
    queries = load_queries(__package__, FILE)
    compressed = queries["compressed"].format(rollout=sql.Literal(flow.rollout.id))
    parts = {"chunks": chunks(flow, status=True), "compressed": compressed}
    totals = queries["totals"].format(**parts, beside=sql.Literal(UNORDERED | PARTIAL))
    row = _again_where_one_went(lambda: fetch_one(conn, totals))
    assert row is not None
    rows = _again_where_one_went(lambda: fetch_all(conn, queries["each"].format(**parts))) if each else []
    found = [CompressedChunk(*one) for one in rows]
    return CompressionReport(
        chunks=int(row[0]),
        compressed=int(row[1]),
        partial=int(row[2]),
        bytes_before=int(row[3]),
        bytes_after=int(row[4]),
        each=tuple(found),
    )
