"""What a refresh must leave alone: a bucket that is kept, and whose rows were dropped since. Computed anew, it would be gone.

`drop_chunks` logs what it drops as changed, and that stays in the aggregate's log until a refresh comes there; so a time without
a chunk that the log does not have is one that never had rows, or that a refresh has been to since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from ..db import fetch_all, fetch_value
from ..db.connection import Connection
from ..model.names import TableName
from .aggregate_facts import LEAST, MOST, Aggregate, Clock, Span, counted, overlaps, query, time_from


@dataclass(frozen=True)
class Chunk:
    """The time of one or more chunks, from `first` up to and without `end`; `oid` of the oldest of them."""

    first: int
    end: int
    oid: int


@dataclass(frozen=True)
class Late:
    """Rows that came late into a time whose chunks were dropped: `free` are spans of buckets of which nothing is kept, `kept`
    the beginnings of those of which something is."""

    free: tuple[tuple[int, int], ...] = ()
    kept: tuple[int, ...] = ()


def chunks_of(conn: Connection, table: TableName) -> list[Chunk]:
    """The chunks of a hypertable that are there, in order."""
    rows = fetch_all(conn, query("chunks_made"), {"schema": table.schema, "name": table.name})
    return [Chunk(int(first), int(end), int(oid)) for first, end, oid in rows]


def gaps(chunks: Sequence[Chunk]) -> list[tuple[int, int]]:
    """The times without a chunk, in order: before the first, between two, behind the last."""
    found, at = [], LEAST
    for chunk in chunks:
        if chunk.first > at:
            found.append((at, chunk.first))
        at = max(at, chunk.end)
    return [*found, (at, MOST)]


def covered(spans: Iterable[Span], start: int, end: int) -> bool:
    """Whether the spans together have all of the time from `start` up to and without `end`."""
    at = start
    for span in sorted(spans, key=lambda each: each.first):
        if span.first > at:
            break
        at = max(at, span.last + 1)
    return at >= end


def anew(chunks: Sequence[Chunk], waits: Sequence[Span]) -> set[Chunk]:
    """The chunks that may have been dropped, and been made anew by a row that came late, though all other rows of the time are
    gone: made later than one behind them, and in the log as a whole."""
    found, oldest = set[Chunk](), None
    for chunk in reversed(chunks):
        if (oldest is None or oldest < chunk.oid) and covered(waits, chunk.first, chunk.end):
            found.add(chunk)
        oldest = chunk.oid if oldest is None else min(oldest, chunk.oid)
    return found


def beginning(chunks: Sequence[Chunk], waits: Sequence[Span], lost: int | None) -> int | None:
    """Where those chunks begin that were never dropped; None: nowhere. `lost` is the newest bucket that is kept and has no chunk
    (None: nothing was dropped): what lies before it was dropped as well, for that goes from the oldest on, and what is there was
    made anew; as may be what lies directly behind it."""
    doubtful = anew(chunks, waits)
    for chunk in chunks:
        if lost is None or (chunk.first >= lost and chunk not in doubtful):
            return chunk.first
    return None


def newest_lost(
    conn: Connection, aggregate: Aggregate, clock: Clock, chunks: Sequence[Chunk], waits: Sequence[Span]
) -> int | None:
    """The newest bucket that is kept and that no chunk touches; None: there is none."""
    time = sql.Identifier(aggregate.time)
    for first, end in reversed(gaps(chunks)):
        if not overlaps(waits, first, end):
            continue
        where: list[sql.Composable] = [sql.SQL("true")]
        if first != LEAST:
            where.append(sql.SQL("{} >= {}").format(time, time_from(clock.up(first), aggregate.kind)))
        if end != MOST:
            where.append(sql.SQL("{} < {}").format(time, time_from(clock.start(end), aggregate.kind)))
        found = fetch_value(
            conn,
            sql.SQL("SELECT {} FROM {} WHERE {}").format(
                counted(sql.SQL("max({})").format(time), aggregate.kind),
                sql.Identifier(aggregate.kept.schema, aggregate.kept.name),
                sql.SQL(" AND ").join(where),
            ),
        )
        if found is not None:
            return int(found)
    return None


def at_risk(
    conn: Connection,
    aggregate: Aggregate,
    clock: Clock,
    chunks: Sequence[Chunk],
    waits: Sequence[Span],
    start: int,
    end: int,
) -> list[tuple[int, int]]:
    """The buckets from `start` up to and without `end` that are kept, and of which a part has no chunk, or one made anew, and is
    in the log: rows of it may have been dropped."""
    time = sql.Identifier(aggregate.time)
    found: set[tuple[int, int]] = set()
    doubtful = anew(chunks, waits)
    for first, stop in gaps([chunk for chunk in chunks if chunk not in doubtful]):
        low, high = max(first, start), min(stop, end)
        if low >= high or not overlaps(waits, low, high):
            continue
        rows = fetch_all(
            conn,
            sql.SQL("SELECT DISTINCT {}, {} FROM {} WHERE {} >= {} AND {} < {}").format(
                counted(time, aggregate.kind),
                counted(clock.next(time), aggregate.kind),
                sql.Identifier(aggregate.kept.schema, aggregate.kept.name),
                time,
                time_from(clock.start(low), aggregate.kind),
                time,
                time_from(high, aggregate.kind),
            ),
        )
        found |= {
            (int(each), int(after))
            for each, after in rows
            if overlaps(waits, max(int(each), first), min(int(after), stop))
        }
    return sorted(found)


def late(conn: Connection, aggregate: Aggregate, clock: Clock, source_time: sql.Composable, before: int) -> Late:
    """The buckets before a time of which there are rows. `source_time` is the time of the source's rows, as SQL."""
    rows = fetch_all(
        conn,
        sql.SQL(
            "SELECT {bucket}, {next}, EXISTS (SELECT FROM {kept} k WHERE k.{time} = r.b) "
            "FROM (SELECT DISTINCT {of} AS b FROM {source} WHERE {at} < {before}) r ORDER BY 1"
        ).format(
            bucket=counted(sql.SQL("r.b"), aggregate.kind),
            next=counted(clock.next(sql.SQL("r.b")), aggregate.kind),
            kept=sql.Identifier(aggregate.kept.schema, aggregate.kept.name),
            time=sql.Identifier(aggregate.time),
            of=clock.bucket(source_time),
            source=sql.Identifier(aggregate.source.schema, aggregate.source.name),
            at=source_time,
            before=time_from(before, aggregate.kind),
        ),
    )
    free: list[tuple[int, int]] = []
    for start, end in ((int(row[0]), int(row[1])) for row in rows if not row[2]):
        if free and free[-1][1] == start:
            free[-1] = (free[-1][0], end)
        else:
            free.append((start, end))
    return Late(tuple(free), tuple(int(row[0]) for row in rows if row[2]))


def keeps(conn: Connection, aggregate: Aggregate, start: int, end: int) -> bool:
    """Whether anything is kept of the time from `start` up to and without `end`."""
    time = sql.Identifier(aggregate.time)
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} >= {} AND {} < {})").format(
        sql.Identifier(aggregate.kept.schema, aggregate.kept.name),
        time,
        time_from(start, aggregate.kind),
        time,
        time_from(end, aggregate.kind),
    )
    return bool(fetch_value(conn, statement))


def without(start: int, end: int, left: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of a window when these buckets, in order, are taken out of it."""
    found, at = [], start
    for first, after in left:
        if first > at:
            found.append((at, first))
        at = max(at, after)
    if at < end:
        found.append((at, end))
    return found
