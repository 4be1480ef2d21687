"""How late rows come and are changed, by the rows of the sample."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from ..db import fetch_one, load_queries
from ..db.connection import Connection
from ..model.distribution import Lag
from ..model.inspection import Column
from .distribution_rows import Sample, bulk, place_of, rows_of

LEAST = 30
"""Rows that it takes to say how late rows come."""


def lag(
    conn: Connection, sample: Sample, column: Column, source: str, *, after: Column | None = None
) -> Lag | None:
    """How long after its time a column's moment lies, of rows that were not loaded afterwards; with `after`, which says when a
    row came, of rows alone in which it lies later than that. None where there are fewer than LEAST such rows."""
    if sample.axis.per_second is None:
        return None
    moment = _moment(column)
    more = [moment, *([_moment(after)] if after is not None else [])]
    condition = sql.SQL("" if after is None else " AND c1 > c2 + 1")
    came = sql.SQL("c1" if after is None else "c2")
    statement = _query("lag").format(
        rows=rows_of(sample, more),
        came=came,
        per_second=sql.Literal(sample.axis.per_second),
        condition=condition,
        **bulk(sample),
    )
    found = lag_of(fetch_one(conn, statement), source)
    return found if found is not None and found.rows >= LEAST else None


def disorder(conn: Connection, sample: Sample, source: str) -> Lag | None:
    """How far rows lie behind those before them, in the order of the pages."""
    if sample.axis.per_second is None:
        return None
    statement = _query("disorder").format(
        rows=rows_of(sample), per_second=sql.Literal(sample.axis.per_second), **bulk(sample)
    )
    return lag_of(fetch_one(conn, statement), source)


def lag_of(row: Sequence[object] | None, source: str) -> Lag | None:
    """A row of count, share and shares as a Lag."""
    if row is None or not row[0] or row[2] is None:
        return None
    shares = [float(each) for each in row[2]]  # type: ignore[attr-defined]
    return Lag(source, int(str(row[0])), float(str(row[1])), *shares)


def _moment(column: Column) -> sql.Composed:
    return place_of(sql.SQL("t.{}").format(sql.Identifier(column.name)), column)


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "distribution.sql")[name]
