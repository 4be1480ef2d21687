"""The rows over the time by a bounded sample: a fixed number of pages, the same ones whenever the same seed is given.

A page is read whole, so the sample costs the same on a million rows and on a billion. On a hypertable the pages are spread over
some chunks: the newest ones, and some in between; what the others hold is known by their statistics.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from ..db import fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..model.axis import Axis, axis_of_integers
from ..model.distribution import ColumnSpread, PerInterval, Spread
from ..model.inspection import Column
from ..model.names import TableName
from .buckets import INTEGERS, moment_of, position_of
from .by_index import KINDS

PAGES = 2_000
"""Pages read of a table: 16 MB."""
SEED = 1
CHUNKS = 40
"""Chunks of a hypertable among which the pages are spread: the newest half of so many, the others evenly over the rest."""
MOST_BARS = 20_000
INTERVALS = 5
"""Intervals in which the distinct values of a column are counted: the fullest ones of the sample."""
YEAR = 365 * 86_400
_BAR_SECONDS = (1, 10, 60, 600, 3_600, 6 * 3_600, 86_400, 30 * 86_400, 3_650 * 86_400)


@dataclass(frozen=True)
class Part:
    """The table, or one chunk of it. `rows` by the statistics, None where they say nothing."""

    table: TableName
    pages: int
    rows: float | None = None


@dataclass(frozen=True)
class Sample:
    """Which rows are looked at. `scale` says for each part how many rows one that was looked at stands for."""

    parts: tuple[Part, ...]
    percent: tuple[float | None, ...]  # None: every page of the part
    column: Column
    axis: Axis
    seen: int = 0
    low: float = -math.inf
    high: float = math.inf
    all_parts: bool = True

    @property
    def whole(self) -> bool:
        """Every page of the table, or of every chunk."""
        return self.all_parts and all(each is None for each in self.percent)

    @property
    def words(self) -> str:
        """What was read, in words."""
        pages = sum(part.pages for part in self.parts)
        chunks = f" in {len(self.parts)} chunks" if len(self.parts) > 1 else ""
        if all(each is None for each in self.percent):
            return f"every row of {pages:,} pages{chunks} ({self.seen:,} rows)"
        read = sum(
            part.pages if percent is None else part.pages * percent / 100
            for part, percent in zip(self.parts, self.percent, strict=True)
        )
        share = 100 * read / max(pages, 1)
        return (
            f"a sample of about {read:,.0f} of {pages:,} pages{chunks} ({share:.2g} %, {self.seen:,} rows; always the same: seed "
            f"{SEED})"
        )


def sample_of(parts: Sequence[Part], column: Column, pages: int, exact: bool) -> Sample:
    """The pages spread over the parts."""
    each = max(1, pages // max(1, len(parts)))
    percent = tuple(None if exact or part.pages <= each else 100.0 * each / part.pages for part in parts)
    return Sample(tuple(parts), percent, column, Axis())


def some(parts: Sequence[Part]) -> list[Part]:
    """At most CHUNKS of the chunks, which come oldest first."""
    if len(parts) <= CHUNKS:
        return list(parts)
    newest, older = parts[-CHUNKS // 2 :], parts[: -CHUNKS // 2]
    step = len(older) / (CHUNKS - len(newest))
    return [*(older[int(n * step)] for n in range(CHUNKS - len(newest))), *newest]


def place_of(value: sql.Composable, column: Column) -> sql.Composed:
    """The place of a time; NULL for NULL, an infinity, and a uuid without a time."""
    kind = column.base_type
    if kind == "pg_catalog.uuid":
        return sql.SQL(
            "CASE WHEN substr({value}::text, 15, 1) = '7' THEN "
            "('x' || left(replace({value}::text, '-', ''), 12))::pg_catalog.bit(48)::pg_catalog.int8 / 1000.0::float8 END"
        ).format(value=value)
    if kind in INTEGERS:
        return position_of(value, kind)
    return sql.SQL("CASE WHEN isfinite({value}::{moment}) THEN {place} END").format(
        value=value, moment=moment_of(kind), place=position_of(value, kind)
    )


def rows_of(sample: Sample, more: Sequence[sql.Composable] = ()) -> sql.Composed:
    """The rows that are looked at, as a query: part, page, p, and `more` as c1, c2, ... (which may name t's columns)."""
    time = sql.SQL("t.{}").format(sql.Identifier(sample.column.name))
    extra = sql.SQL("").join(
        sql.SQL(", {} AS {}").format(each, sql.Identifier(f"c{n}")) for n, each in enumerate(more, 1)
    )
    queries = []
    for number, (part, percent) in enumerate(zip(sample.parts, sample.percent, strict=True)):
        sampling = (
            sql.SQL("")
            if percent is None
            else sql.SQL(" TABLESAMPLE system ({}) REPEATABLE ({})").format(
                sql.Literal(percent), sql.Literal(SEED)
            )
        )
        queries.append(
            _query("sampled").format(
                part=sql.Literal(number),
                place=place_of(time, sample.column),
                more=extra,
                table=sql.Identifier(part.table.schema, part.table.name),
                sampling=sampling,
            )
        )
    return sql.SQL("{}").format(sql.SQL("\nUNION ALL\n").join(queries))


@dataclass(frozen=True)
class Bounds:
    """What the first look at the sample found; None for a place where no row had one."""

    seen: int
    placed: int
    near: int
    low: float
    high: float
    first: float
    last: float
    far: tuple[float, ...]


def look(conn: Connection, sample: Sample) -> tuple[Sample, Bounds | None]:
    """The sample with its axis and the bounds of the bulk; None where no row with a time was seen."""
    if not sample.parts:
        return replace(sample, axis=Axis(whole_days=sample.column.base_type == "pg_catalog.date")), None
    axis = Axis(whole_days=sample.column.base_type == "pg_catalog.date")
    rows = rows_of(sample)
    if sample.column.base_type in INTEGERS:
        axis = axis_of_integers(fetch_value(conn, _query("median_place").format(rows=rows)))
        if sample.column.base_type == "pg_catalog.int2":
            axis = axis_of_integers(None)
    year = YEAR * axis.per_second if axis.per_second else 0.0
    row = fetch_one(conn, _query("bounds").format(rows=rows, year=sql.Literal(float(year))))
    assert row is not None
    if not row[2]:
        return replace(sample, axis=axis, seen=int(row[0])), None
    bounds = Bounds(int(row[0]), int(row[1]), int(row[2]), row[3], row[4], row[6], row[7], tuple(row[8]))
    return replace(sample, axis=axis, seen=bounds.seen, low=bounds.low, high=bounds.high), bounds


def bar_width(axis: Axis, low: float, high: float) -> float:
    """The width of the bars in which rows are counted: the smallest that makes MOST_BARS at most."""
    span = max(high - low, 0.0)
    if axis.per_second is None:
        return float(10 ** max(0, math.ceil(math.log10(max(span, 1.0) / MOST_BARS))))
    widths = [
        seconds * axis.per_second for seconds in _BAR_SECONDS if not axis.whole_days or seconds >= 86_400
    ]
    return next((width for width in widths if span / width <= MOST_BARS), widths[-1])


def bars(conn: Connection, sample: Sample) -> tuple[float, dict[int, float], float]:
    """The width of the bars, rows by bar, rows in all. A part whose number of rows is known stands for so many; another for as
    many as its share of pages says."""
    width = bar_width(sample.axis, sample.low, sample.high)
    found = fetch_all(
        conn, _query("bars").format(rows=rows_of(sample), width=sql.Literal(width), **bulk(sample))
    )
    counted: defaultdict[int, int] = defaultdict(int)
    for part, _, rows in found:
        counted[part] += rows
    made: defaultdict[int, float] = defaultdict(float)
    total = 0.0
    for part, bar, rows in found:
        stands_for = rows * _scale(sample, part, counted[part])
        total += stands_for
        if bar is not None:
            made[int(bar)] += stands_for
    return width, dict(made), total


def _scale(sample: Sample, part: int, counted: int) -> float:
    percent, known = sample.percent[part], sample.parts[part].rows
    if percent is None:
        return 1.0
    return known / counted if known is not None and counted else 100.0 / percent


def per_interval(
    conn: Connection, sample: Sample, columns: Sequence[Column], width: float, rows: float
) -> tuple[PerInterval, ...]:
    """For each column the median, over the fullest intervals, of rows and distinct values in one. `rows`: of the whole table."""
    found = []
    scale = max(1.0, rows / max(sample.seen, 1))
    for column in columns:
        seen = _values(conn, sample, column, width, INTERVALS)
        if seen:
            each = [(n * scale, distinct(n, d, once, n * scale)) for n, d, once, _ in seen]
            middle = sorted(each, key=lambda pair: pair[0] / max(pair[1], 1))[len(each) // 2]
            found.append(PerInterval(column.name, width, middle[0], middle[1], len(each)))
    return tuple(found)


def by_sample(conn: Connection, sample: Sample, column: Column, rows: float) -> ColumnSpread | None:
    """What the sample says of a column that ANALYZE has said nothing of."""
    seen = _values(conn, sample, column, 1e300, 2)
    if not seen:
        return None
    n, d, once, most = (sum(figures) for figures in zip(*seen, strict=True))
    share = max(0.0, 1 - n / max(sample.seen, 1))
    return ColumnSpread(column.name, distinct(n, d, once, max(rows, n)), share, most / n, 0, "sample")


def distinct(n: float, d: float, once: float, total: float) -> float:
    """Distinct values among `total` rows, by `n` that were seen with `d` distinct values, `once` of them seen once: the estimator
    of Haas and Stokes that ANALYZE uses (compute_distinct_stats in PostgreSQL's analyze.c)."""
    if n >= total or once == 0:
        return d
    if once >= n:
        return total
    return min(total, max(d, n * d / (n - once + once * n / total)))


def _values(
    conn: Connection, sample: Sample, column: Column, width: float, most: int
) -> list[tuple[float, float, float, float]]:
    rows = rows_of(sample, [sql.SQL("t.{}").format(sql.Identifier(column.name))])
    statement = _query("values_by_interval").format(
        rows=rows, width=sql.Literal(float(width)), most=sql.Literal(most), **bulk(sample)
    )
    return [(row[0], row[1], row[2], row[3]) for row in fetch_all(conn, statement)]


def bulk(sample: Sample) -> Mapping[str, sql.Literal]:
    """The places between which the bulk lies."""
    return {"low": sql.Literal(sample.low), "high": sql.Literal(sample.high)}


def places(conn: Connection, column: Column, texts: Sequence[str]) -> list[float]:
    """Places of times as text; of the types that an index is asked for."""
    assert column.base_type in KINDS
    kind = sql.Identifier(*column.base_type.split("."))
    statement = _query("places").format(place=position_of(sql.SQL("s.value"), column.base_type), type=kind)
    return [float(each) for each in fetch_value(conn, statement, {"texts": list(texts)})]


def spread(
    conn: Connection, bounds: Bounds, sample: Sample, width: float, made: Mapping[int, float], total: float
) -> Spread:
    """The rows over the time, as the sample has them; `total`: rows in all."""
    pages, span = None, 0.0
    if not sample.whole:
        pages, span = fetch_one(conn, _query("page_spans").format(rows=rows_of(sample), **bulk(sample))) or (
            1,
            0.0,
        )
    return Spread(
        width=width,
        bars=tuple(sorted(made.items())),
        low=bounds.low,
        high=bounds.high,
        first=bounds.first,
        last=bounds.last,
        far_rows=total * (bounds.placed - bounds.near) / max(bounds.seen, 1),
        far_places=bounds.far,
        exact=sample.whole,
        pages=pages,
        page_span=span,
    )


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "distribution.sql")[name]
