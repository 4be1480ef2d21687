"""What the server makes of declared indexes, and what a declared retention would drop now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from ..catalog.zone import in_zone, zone_of
from ..db import execute, fetch_all, fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..model.declared import DeclaredIndex, Span
from ..model.lifecycle import Drops, HypertableState, IndexReading, JobKind, ServerState
from ..model.names import TableName
from ..model.statement import Fragment
from ..model.upkeep import IndexMethod, IndexPlan, Loss
from ..upkeep import index_state, indexes
from ..upkeep.aggregate_facts import Span as Waiting
from ..upkeep.aggregate_facts import query as aggregate_query
from ..upkeep.aggregate_facts import time_from, waiting
from ..upkeep.losses import unseen

COUNTING_SECONDS = 5.0
"""Rows that retention would drop are counted for so long; those of further chunks are estimated."""


def query(name: str) -> sql.SQL:
    """A statement of reconcile.sql."""
    return load_queries(__package__, "reconcile.sql")[name]


def read_indexes(
    conn: Connection, relation: TableName, wanted: Iterable[DeclaredIndex]
) -> tuple[IndexReading, ...]:
    """The declared indexes of a hypertable or of a continuous aggregate that is there."""
    found = tuple(wanted)
    if not found:
        return ()
    where = index_state.target(conn, relation)
    return tuple(_read_index(conn, relation, where, index) for index in found)


def _read_index(
    conn: Connection, relation: TableName, where: index_state.Target, index: DeclaredIndex
) -> IndexReading:
    try:
        want = index_state.wanted(conn, where, index)
    except Usage as error:
        return IndexReading(
            index, index.name, None, problem=str(error.facts.get("server said", error.message))
        )
    try:
        plan = indexes.plan(conn, relation, index)
    except Refused as error:
        facts = "; ".join(f"{name}: {value}" for name, value in error.facts.items())
        return IndexReading(
            index,
            want.name,
            want.tail,
            refused=f"{error.message}{f' ({facts})' if facts else ''}",
            remedy=error.remedy,
        )
    return IndexReading(index, plan.name.name, want.tail, plan, blocks=_blocks(plan))


def _blocks(plan: IndexPlan) -> bool:
    """Whether building it has to be allowed: as `upkeep.indexes.build` decides."""
    if plan.there or not plan.bytes or plan.method is IndexMethod.CONCURRENT:
        return False
    return plan.method is IndexMethod.AT_ONCE or plan.longest_wait > indexes.UNASKED_SECONDS


def read_drops(
    conn: Connection, relation: TableName, after: Span, state: HypertableState, server: ServerState
) -> Drops | None:
    """What a retention policy of `after` on the relation would drop now; None where that cannot be asked (an integer time without
    a function for its present, a length in the wrong unit). Asked in the time zone of the policy's sessions: TimescaleDB reckons
    with it, for a time without a zone by hours."""
    if after.integer != state.integer_time or (state.integer_time and state.now_function is None):
        return None
    older = (
        sql.SQL("{}() - {}").format(Fragment(state.now_function or ""), sql.Literal(after.units))
        if state.integer_time
        else sql.SQL("INTERVAL {}").format(sql.Literal(str(after)))
    )
    statement = query("older").format(
        show_chunks=sql.Identifier(server.functions, "show_chunks"),
        relation=sql.Literal(relation.quoted),
        older_than=older,
    )
    with in_zone(conn, zone_of(conn, _owner_of_policy(state, relation))):
        older_ones = [row[0] for row in fetch_all(conn, statement)]
    rows = fetch_all(conn, query("drops"), {"chunks": older_ones})
    chunks = tuple(TableName(row[0], row[1]) for row in rows)
    count, exact = _rows(conn, chunks)
    losses = _losses(conn, relation, rows, state) if rows else ()
    table = next((each.materialization for each in state.aggregates if each.name == relation), relation)
    tiered = bool(fetch_value(conn, query("tiered"), {"table": table.quoted}))
    return Drops(chunks, count, exact, rows[-1][3] if rows else None, losses, tiered)


def _losses(
    conn: Connection, relation: TableName, chunks: Sequence[Sequence[Any]], state: HypertableState
) -> tuple[Loss, ...]:
    """What the aggregates that read the relation itself would never see: rows of these chunks that wait for a refresh."""
    reading = {each.name for each in state.aggregates if each.reads == relation}
    column = next((each.time_column for each in state.aggregates if each.name == relation), state.time_column)
    found = []
    for number, source, schema, name in (row[:4] for row in fetch_all(conn, aggregate_query("aggregates")) if reading):
        aggregate = TableName(schema, name)
        if aggregate not in reading:
            continue
        waits = waiting(conn, int(number), int(source))
        kind = state.time_type
        late = [chunk for chunk in chunks if any(_has_rows(conn, chunk, column, kind, span) for span in waits)]
        if late:
            names = [TableName(chunk[0], chunk[1]) for chunk in late]
            found.append(unseen(aggregate, names, late[0][2], late[-1][3]))
    return tuple(found)


def _has_rows(conn: Connection, chunk: Sequence[Any], column: str, kind: str, span: Waiting) -> bool:
    """Whether a chunk has rows within a span of time. A time of another kind, or without an end, is not looked for: it may."""
    schema, name, _, _, start, end = chunk
    if (end is not None and span.first >= end) or (start is not None and span.last < start):
        return False
    where = [sql.SQL("true")] if kind == "uuid" else [
        sql.SQL("{} {} {}").format(sql.Identifier(column), sql.SQL(sign), time_from(place, kind))
        for sign, place, limit in ((">=", span.first, start), ("<=", span.last, end))
        if limit is not None and (place > limit if sign == ">=" else place < limit - 1)
    ]  # fmt: skip
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(
        sql.Identifier(schema, name), sql.SQL(" AND ").join(where or [sql.SQL("true")])
    )
    return bool(fetch_value(conn, statement))


def _owner_of_policy(state: HypertableState, relation: TableName) -> str:
    """The role that the relation's retention policy runs as, or will."""
    of = next((each for each in state.aggregates if each.name == relation), state)
    return next((job.owner for job in of.jobs if job.kind is JobKind.RETENTION), of.owner)


def _rows(conn: Connection, chunks: tuple[TableName, ...]) -> tuple[int, bool]:
    """How many rows they hold: counted while that is quick, then by the statistics."""
    total, exact, begun = 0, True, time.monotonic()
    for chunk in chunks:
        left = COUNTING_SECONDS - (time.monotonic() - begun)
        if left > 0:
            try:
                with conn.transaction():
                    execute(
                        conn,
                        sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(int(left * 1000) + 1)),
                    )
                    total += int(
                        fetch_value(conn, sql.SQL("SELECT count(*) FROM {}").format(Fragment(chunk.quoted)))
                    )
                continue
            except (
                psycopg.errors.QueryCanceled,
                psycopg.errors.LockNotAvailable,
                psycopg.errors.UndefinedTable,
            ):
                pass
        exact = False
        total += int(fetch_value(conn, query("estimate"), {"chunk": chunk.quoted}) or 0)
    return total, exact
