"""How the rows of a table lie over its time, and how they come and change: read cheaply, and said how.

Statistics and counters of the catalogs, probes of an index that leads with the time (`by_index`), and a sample of a fixed number
of pages (`distribution_rows`). No table is read whole unless it has no more pages than the sample, or that is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from ..db import execute, fetch_one, fetch_value, load_queries, patient_read
from ..db.connection import Connection
from ..model.axis import axis_of_integers
from ..model.distribution import ColumnSpread, Distribution, Memory, Spread
from ..model.inspection import Column, Inspection
from ..model.names import quoted_if_needed
from .buckets import INTEGERS
from .by_index import along_index, prospect, rows_by_statistics
from .distribution_asked import ARRIVED, TOUCHED, checked, named, no_right, time_column_of
from .distribution_lags import disorder, lag
from .distribution_life import Life, life, logged, writes
from .distribution_rows import (
    MOST_BARS,
    PAGES,
    Part,
    Sample,
    bar_width,
    bars,
    by_sample,
    look,
    per_interval,
    places,
    sample_of,
    some,
    spread,
)
from .inspect import inspect
from .records import records
from .resolve import resolve_table

DAY = 86_400.0


@dataclass(frozen=True)
class Reading:
    """What was read, with what a further look (at columns by interval) needs."""

    distribution: Distribution
    sample: Sample
    conn: Connection


def read_distribution(
    conn: Connection,
    table: str,
    time_column: str | None,
    *,
    pages: int = PAGES,
    exact: bool = False,
    arrived: str | None = None,
    touched: str | None = None,
) -> Reading:
    """Everything but the statements and the columns by interval. `arrived`, `touched`: the columns that say when a row came, and
    when it was last changed; without them columns of usual names are taken. Raises Usage, Refused."""
    inspection = inspect(conn, table, time_column_of(conn, table, time_column), scan=False)
    column = checked(inspection)
    _, name = resolve_table(conn, table)
    came, changed = (
        named(inspection, given, pattern, option)
        for given, pattern, option in ((arrived, ARRIVED, "--arrived"), (touched, TOUCHED, "--updated"))
    )

    def work() -> Reading:
        return _read(conn, inspection, column, pages, exact, came, changed)

    try:
        return patient_read(conn, f"read {name}", [name], work)
    except psycopg.errors.InsufficientPrivilege as error:
        raise no_right(inspection, error.diag.message_primary or str(error)) from None


def _read(
    conn: Connection,
    inspection: Inspection,
    column: Column,
    pages: int,
    exact: bool,
    came: Column | None,
    changed: Column | None,
) -> Reading:
    table = inspection.table
    alive = life(conn, table, inspection.server.timescaledb_schema)
    parts = _parts(conn, inspection, alive, exact)
    if len(parts) > 1:
        # While one chunk is locked, no other is waited for (I0).
        execute(conn, "SET lock_timeout = '1ms'")
    every = not table_is_cut(inspection) or len(parts) == len(alive.chunks)
    sample, bounds = look(conn, replace(sample_of(parts, column, pages, exact), all_parts=every))
    read = [sample.words] if parts else []
    memory = Memory(**records(conn, _query("memory"))[0])
    rows, nulls, lies = 0.0, 0.0, None
    if bounds is not None:
        width, made, rows = bars(conn, sample)
        nulls = rows * (bounds.seen - bounds.placed) / max(bounds.seen, 1)
        lies = spread(conn, bounds, sample, width, made, rows)
        if table_is_cut(inspection):
            # What each chunk holds is known, so that the sample misses none.
            lies, further = _unsampled(replace(lies, pages=None), alive, sample)
            rows += further
        else:
            lies, more = _by_index(conn, inspection, column, sample, lies)
            read += more
    elif alive.chunks:
        sample, lies, rows = _of_chunks(alive, sample)
    clock = float(fetch_value(conn, _query("now")))
    per_second = sample.axis.per_second
    columns, by = _columns(conn, inspection, sample, rows)
    read += by
    if alive.chunks:
        table = replace(
            table,
            total_bytes=table.total_bytes + sum(each.bytes for each in alive.chunks),
            index_bytes=table.index_bytes + sum(each.index_bytes for each in alive.chunks),
            heap_bytes=table.heap_bytes + sum(each.bytes - each.index_bytes for each in alive.chunks),
        )
        read.append(f"rows and bytes of {len(alive.chunks):,} chunks by the catalog")
    touched = None
    if changed is not None and bounds is not None:
        touched = lag(conn, sample, changed, f"the column {quoted_if_needed(changed.name)}", after=came)
    arrival = None
    if came is not None and bounds is not None:
        arrival = lag(conn, sample, came, f"the column {quoted_if_needed(came.name)}")
    order = "within each chunk, " if table_is_cut(inspection) else ""
    made_of = Distribution(
        inspection=replace(inspection, table=table),
        axis=sample.axis,
        now=None if per_second is None else clock * per_second,
        rows=rows,
        spread=lies,
        nulls=nulls,
        memory=memory,
        columns=columns,
        arrival=arrival,
        disorder=None
        if bounds is None
        else disorder(conn, sample, f"{order}the order in which the rows lie on disk"),
        touched=touched,
        logged=logged(conn, inspection.table, column, per_second),
        writes=writes(conn, table, alive),
        indexes=alive.indexes,
        chunks=alive.chunks,
        interval=alive.interval,
        integer_now=alive.integer_now,
        read=tuple(read),
    )
    return Reading(made_of, sample, conn)


def table_is_cut(inspection: Inspection) -> bool:
    """Whether it is a hypertable."""
    return inspection.table.kind == "hypertable"


def _parts(conn: Connection, inspection: Inspection, alive: Life, exact: bool) -> list[Part]:
    table = inspection.table
    if table_is_cut(inspection):
        return list(alive.parts) if exact else some(alive.parts)
    row = fetch_one(conn, _query("pages"), {"oid": table.oid})
    assert row is not None
    pages = int(row[2])
    known = rows_by_statistics(row[0], row[1], pages)
    return [Part(table.name, pages, None if known is None else float(known))]


def _unsampled(lies: Spread, alive: Life, sample: Sample) -> tuple[Spread, float]:
    """The spread with what the chunks hold that were not sampled, evenly over their time; and how many rows that is. One whose
    rows were never counted holds as many as the sampled ones do in as many bytes."""
    sampled = {part.table for part in sample.parts}
    made = defaultdict(float, lies.bars)
    held = sum(size for name, size in zip(alive.names, alive.sizes, strict=True) if name in sampled)
    for_each_byte = sum(made.values()) / held if held else 0.0
    low, high, further = lies.low, lies.high, 0.0
    for name, chunk, size in zip(alive.names, alive.chunks, alive.sizes, strict=True):
        rows = chunk.rows if chunk.rows >= 0 else size * for_each_byte
        if name in sampled or rows <= 0:
            continue
        first = int(chunk.start // lies.width)
        last = max(first, int(-(-chunk.end // lies.width)) - 1)
        for bar in range(first, min(last, first + MOST_BARS) + 1):
            made[bar] += rows / (last - first + 1)
        low, high, further = min(low, chunk.start), max(high, chunk.end), further + rows
    return replace(
        lies,
        bars=tuple(sorted(made.items())),
        low=low,
        high=high,
        first=min(lies.first, low),
        last=max(lies.last, high),
    ), further


def _of_chunks(alive: Life, sample: Sample) -> tuple[Sample, Spread | None, float]:
    """Where no chunk can be sampled, for all are compressed or empty: what the catalogs say of them."""
    filled = [chunk for chunk in alive.chunks if chunk.rows > 0]
    if not filled:
        return sample, None, 0.0
    low, high = filled[0].start, max(chunk.end for chunk in filled)
    axis = axis_of_integers(low) if sample.column.base_type in INTEGERS else sample.axis
    sample = replace(sample, axis=axis)
    width = bar_width(axis, low, high)
    lies, rows = _unsampled(Spread(width, (), low, low, low, low), alive, sample)
    return sample, lies, rows


def _by_index(
    conn: Connection, inspection: Inspection, column: Column, sample: Sample, lies: Spread
) -> tuple[Spread, list[str]]:
    """The spread with first, last, far rows and the intervals in use looked up in an index, where one serves."""
    found = prospect(conn, inspection.table, column)
    if found is None:
        return lies, [] if lies.exact else [
            "no index that leads with the time was asked: a few stray rows may be unseen"
        ]
    per_second = sample.axis.per_second
    width = max(1.0, (lies.high - lies.low) / 5_000) if per_second is None else DAY * per_second
    while (lies.high - lies.low) / width > 5_000:
        width *= 7
    facts = along_index(conn, inspection.table, column, width, f"{width:.0f}", found)
    if facts is None or facts.minimum is None or facts.maximum is None:
        return lies, []
    ends = places(conn, column, [facts.minimum, facts.maximum, *facts.far_examples])
    near = facts.far_rows == 0
    return replace(
        lies,
        first=ends[0],
        last=ends[1],
        low=ends[0] if near else lies.low,
        high=ends[1] if near else lies.high,
        far_rows=float(facts.far_rows),
        far_places=tuple(ends[2:]),
        intervals=(width, facts.buckets - facts.far_buckets),
    ), ["the first and last time, stray times and the intervals in use by probes of the index on the time"]


def _columns(
    conn: Connection, inspection: Inspection, sample: Sample, rows: float
) -> tuple[tuple[ColumnSpread, ...], list[str]]:
    name = inspection.table.name
    params = {"schema": name.schema, "name": name.name, "inherited": table_is_cut(inspection)}
    found = {}
    for row in records(conn, _query("column_statistics"), params):
        n = row["n_distinct"]
        found[row["name"]] = ColumnSpread(
            row["name"],
            None if n == 0 else n if n > 0 else -n * rows,
            row["null_frac"],
            # No most common value: each is about as common as any other.
            row["top_share"],
            row["avg_width"],
            "pg_stats",
            row["true_share"],
        )
    if found:
        return tuple(found.values()), ["the columns' values by the statistics that ANALYZE keeps"]
    return (), [
        "no statistics of the columns: ANALYZE has not seen the table, their values are judged by the sample alone"
    ]


def with_intervals(reading: Reading, names: Sequence[str], width: float) -> Distribution:
    """The distribution with the distinct values of these columns in intervals of a width, and of those without statistics."""
    made, sample, conn = reading.distribution, reading.sample, reading.conn
    if made.spread is None or not sample.parts:
        return made
    columns = [each for each in made.inspection.columns if each.name in names]
    table = made.inspection.table.name

    def work() -> Distribution:
        known = {each.name for each in made.columns}
        further = [by_sample(conn, sample, each, made.rows) for each in columns if each.name not in known]
        return replace(
            made,
            columns=(*made.columns, *(each for each in further if each is not None)),
            per_interval=per_interval(conn, sample, columns, width, made.rows),
        )

    return patient_read(conn, f"read {table}", [table], work)


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "distribution.sql")[name]
