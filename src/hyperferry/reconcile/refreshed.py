"""Whether a continuous aggregate's first refresh has been through: asked of TimescaleDB's own log of what waits.

A new aggregate has one stretch there, from the beginning of time to its end. Refreshed newest first, what is left is the stretch
before; oldest first, the stretch after. The stretch after is always there, since time goes on: it is the policy's, unless it
begins before the policy's window.
"""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from ..db import fetch_value
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..model.declared import Refresh, Span
from ..model.lifecycle import AggregateReading, AggregateState, HypertableState, JobKind
from ..model.statement import Fragment
from ..model.upkeep import Window
from ..upkeep.aggregate_facts import LEAST, MOST, Aggregate, Clock, find, pending
from ..upkeep.aggregates import bounds
from ..upkeep.remains import at_risk, chunks_of, without


def with_refreshed(conn: Connection, reading: AggregateReading, state: HypertableState) -> AggregateReading:
    """The reading, with what is known of the first refresh of an aggregate that is there."""
    there = next((each for each in state.aggregates if each.name == reading.name), None)
    if there is None:
        return reading
    try:
        return replace(reading, unrefreshed=_unrefreshed(conn, there, _start_offset(reading, there)))
    except (Refused, Usage):
        return reading  # its query is none that is understood: it is left alone


def _start_offset(reading: AggregateReading, there: AggregateState) -> Span | None:
    """How far back its policy will look; None: as far as there are rows, or there is no policy."""
    wish = reading.aggregate.refresh
    if isinstance(wish, Refresh):
        return wish.start_offset
    job = next((job for job in there.jobs if job.kind is JobKind.REFRESH), None) if wish is None else None
    return job.start_offset if job is not None else None


def _unrefreshed(conn: Connection, there: AggregateState, start_offset: Span | None) -> bool:
    aggregate = find(conn, there.name)
    clock = Clock(conn, aggregate)
    found = bounds(conn, aggregate, clock, Window(), lambda text: None)
    if found is None:
        return False
    spans = pending(conn, aggregate, {})

    def waits(first: int, end: int) -> bool:
        """Whether a refresh would do anything there."""
        if any(low < end and high > first for low, high in found.late):
            return True
        first, end = max(first, found.first), min(end, found.end)
        if first >= end:
            return False
        left = at_risk(conn, aggregate, clock, chunks_of(conn, aggregate.source), spans, first, end)
        return bool(without(first, end, left))

    if any(span.first == LEAST and waits(LEAST, min(span.last, MOST - 1) + 1) for span in spans):
        return True
    if start_offset is None:
        return False
    reach = _ago(conn, aggregate, start_offset)
    if reach is None:
        return False
    limit = min(clock.start(reach), found.end)
    return any(span.last == MOST and span.first < limit and waits(span.first, limit) for span in spans)


def _ago(conn: Connection, aggregate: Aggregate, span: Span) -> int | None:
    """So long before the present, in TimescaleDB's count; None where the present is not known."""
    if aggregate.integer:
        if aggregate.now is None or not span.integer:
            return None
        now = fetch_value(conn, sql.SQL("SELECT {}()::bigint").format(Fragment(aggregate.now)))
        return int(now) - (span.units or 0)
    if span.integer:
        return None
    statement = sql.SQL("SELECT (extract(epoch FROM now() - INTERVAL {}) * 1000000)::bigint")
    return int(fetch_value(conn, statement.format(sql.Literal(str(span)))))
