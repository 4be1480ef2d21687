"""Batches: ranges of the time, else of the key, open at both ends, so that together they cover every row that there is.

The boundaries are hints about size, no more: rows that come, go or move while they are looked for are covered all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from psycopg import sql

from ..db import execute, fetch_one, fetch_value
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.objects import range_columns
from ..model.plan import BatchBy, Plan

Bound = tuple[str, ...]
"""A boundary: the values of the range columns as text."""


def _next_chunk(plan: Plan) -> sql.Composed | None:
    """The end of the chunk in which the time %(cur)s lies, if chunks are aligned as TimescaleDB does by
    default: to multiples of their
    width since 1970 (or since 0). None for types without such arithmetic. It does not matter for correctness."""
    column = plan.inspection.time
    assert column is not None
    width = sql.Literal(plan.interval.width)
    kind = column.base_type
    if kind in ("pg_catalog.int2", "pg_catalog.int4", "pg_catalog.int8"):
        return sql.SQL("(pg_catalog.floor(%(cur)s::numeric / {w}) + 1) * {w}").format(w=width)
    seconds = sql.SQL(
        "((pg_catalog.floor(EXTRACT(epoch FROM %(cur)s::{kind})::numeric * 1000000 / {w}) + 1) * {w} / 1000000)::float8"
    )
    if kind == "pg_catalog.timestamptz":
        return sql.SQL("pg_catalog.to_timestamp({})").format(
            seconds.format(kind=sql.SQL("timestamptz"), w=width)
        )
    if kind in ("pg_catalog.timestamp", "pg_catalog.date"):
        return sql.SQL("(pg_catalog.to_timestamp({}) AT TIME ZONE 'UTC')").format(
            seconds.format(kind=sql.SQL("timestamp"), w=width)
        )
    return None


def _time_boundaries(conn: Connection, flow: Flow) -> Iterator[Bound]:
    """Boundaries along the index on the time: at most `batch_rows` rows, never across the end of a chunk."""
    plan = flow.rollout.plan
    # Qualified, as ORDER BY would otherwise mean the output column: the time as text.
    parts = {
        "table": flow.active.ident,
        "t": sql.Identifier("s", plan.time_column),
        "kind": flow.pairs.time.type,
    }
    # ORDER BY and LIMIT instead of min(): uuid has no min() before PostgreSQL 18.
    first = sql.SQL("SELECT {t}::text FROM {table} AS s WHERE {t} IS NOT NULL ORDER BY {t} LIMIT 1").format(
        **parts
    )
    in_chunk = sql.SQL(
        "SELECT {t}::text FROM {table} AS s WHERE {t} >= %(cur)s::{kind} AND {t} < %(end)s::{kind} "
        "ORDER BY {t} OFFSET %(n)s LIMIT 1"
    ).format(**parts)
    anywhere = sql.SQL(
        "SELECT {t}::text FROM {table} AS s WHERE {t} >= %(cur)s::{kind} ORDER BY {t} OFFSET %(n)s LIMIT 1"
    ).format(**parts)
    after = sql.SQL(
        "SELECT {t}::text FROM {table} AS s WHERE {t} > %(cur)s::{kind} "
        "AND (%(end)s::text IS NULL OR {t} < %(end)s::{kind}) ORDER BY {t} LIMIT 1"
    ).format(**parts)
    beyond = sql.SQL(
        "SELECT {t}::text FROM {table} AS s WHERE {t} >= %(end)s::{kind} ORDER BY {t} LIMIT 1"
    ).format(**parts)
    align = _next_chunk(plan)
    cur = fetch_value(conn, first)
    while cur is not None:
        end = None
        if align is not None and "infinity" not in cur:
            end = fetch_value(
                conn, sql.SQL("SELECT ({})::{}::text").format(align, flow.pairs.time.type), {"cur": cur}
            )
        params = {"cur": cur, "end": end, "n": plan.batch_rows}
        found = fetch_value(conn, in_chunk if end is not None else anywhere, params)
        if found == cur:  # more rows of one time than a batch should have
            found = fetch_value(conn, after, params)
        if found is None and end is not None:
            found = fetch_value(conn, beyond, params)
        if found is not None:
            yield (found,)
        cur = found


def _key_boundaries(conn: Connection, flow: Flow) -> Iterator[Bound]:
    """Boundaries along the unique index of the identity, `batch_rows` rows apart."""
    plan = flow.rollout.plan
    own = [sql.Identifier("s", column.name) for column in plan.identity.columns]
    columns = sql.SQL(", ").join(own)
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(column) for column in own)
    placeholders = sql.SQL(", ").join(sql.SQL("%s::{}").format(kind) for _, kind in range_columns(flow))
    order = sql.SQL("ORDER BY {} OFFSET {} LIMIT 1").format(columns, sql.Literal(plan.batch_rows))
    first = sql.SQL("SELECT {} FROM {} AS s {}").format(texts, flow.active.ident, order)
    further = sql.SQL("SELECT {} FROM {} AS s WHERE ROW({}) OPERATOR(pg_catalog.>=) ROW({}) {}").format(
        texts, flow.active.ident, columns, placeholders, order
    )
    row = fetch_one(conn, first)
    while row is not None:
        yield tuple(row)
        row = fetch_one(conn, further, list(row))


def boundaries(conn: Connection, flow: Flow) -> list[Bound]:
    """Where the source is cut, in order. Reads its index once, in short statements of their own."""
    by = flow.rollout.plan.batch_by
    if by is BatchBy.TIME:
        return list(_time_boundaries(conn, flow))
    if by is BatchBy.KEY:
        return list(_key_boundaries(conn, flow))
    return []


def record_batches(conn: Connection, flow: Flow, cuts: list[Bound]) -> int:
    """Writes the batches between the cuts into the ledger, in the caller's transaction; returns their number."""
    columns = range_columns(flow)
    batch = flow.of_ledger("batch")
    execute(conn, sql.SQL("DELETE FROM {} WHERE state = 'pending'").format(batch))
    if not columns:
        execute(conn, sql.SQL("INSERT INTO {} DEFAULT VALUES").format(batch))
        return 1
    nothing: tuple[None, ...] = (None,) * len(columns)
    edges: list[tuple[str | None, ...]] = [nothing, *cuts, nothing]
    names = [sql.Identifier(f"{end}_{name}") for end in ("lo", "hi") for name, _ in columns]
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        batch,
        sql.SQL(", ").join(names),
        sql.SQL(", ").join(sql.SQL("%s::{}").format(kind) for _ in ("lo", "hi") for _, kind in columns),
    )
    with conn.cursor() as cursor:
        cursor.executemany(statement, [(*low, *high) for low, high in pairwise(edges)])
    return len(edges) - 1
