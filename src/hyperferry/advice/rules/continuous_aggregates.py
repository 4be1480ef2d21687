"""Continuous aggregates worth having: queries that group the rows by stretches of the time again and again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ...benchmark.tokens import NAME_BYTES
from ...model.advice import Recommendation
from ...model.names import TableName, quoted_if_needed
from ...words import count
from .. import toml
from ..case import Case, nice
from ..editions import APACHE_AGGREGATES
from ..shapes import Bucket, Shape
from ..spreads import used

OFTEN = 10
"""A query that is called less often is not worth an aggregate."""
LESS = 10.0
"""The aggregate is to have so many times fewer rows than the table."""
MOST = 5
DAY = 86_400.0
_TRUNC = {
    "second": "1 second", "minute": "1 minute", "hour": "1 hour", "day": "1 day", "week": "7 days", "month": "1 month",
    "quarter": "3 months", "year": "1 year",
}  # fmt: skip
_LENGTH = re.compile(r"^\s*(\d+)\s*(second|minute|hour|day|week|month|year)s?\s*$", re.I)
_ZONE = re.compile(r"'[^']*'(::text)?$")
_SECONDS = {
    "second": 1.0,
    "minute": 60.0,
    "hour": 3_600.0,
    "day": DAY,
    "week": 7 * DAY,
    "month": 30 * DAY,
    "year": 365 * DAY,
}


@dataclass(frozen=True)
class _Grouping:
    """Queries that one aggregate answers, if they can be answered: the width of its buckets, what says where these begin, and the
    columns that tell its groups apart. The rest is as in `Bucket` and `Shape`."""

    width: str | None
    more: tuple[str, ...]
    columns: tuple[str, ...]
    plain: bool
    simple: bool
    finer: bool


def check(case: Case) -> Iterator[Recommendation]:
    """One aggregate for each kind of bucket and set of columns that queries group by."""
    groups: dict[_Grouping, list[Shape]] = {}
    for shape in case.shapes:
        often = shape.use.calls is None or shape.use.calls >= OFTEN
        if shape.kind == "select" and shape.bucket is not None and shape.aggregates and often:
            groups.setdefault(_grouping(case, shape, shape.bucket), []).append(shape)
    ranked = sorted(
        groups.items(), key=lambda pair: -sum(shape.use.total_ms or shape.weight for shape in pair[1])
    )
    taken: set[str] = set()
    for grouping, shapes in ranked[:MOST]:
        yield _for(case, grouping, shapes, taken)


def _grouping(case: Case, shape: Shape, bucket: Bucket) -> _Grouping:
    width, more = bucket.width, bucket.more
    if width is not None and bucket.function == "date_trunc":
        width = _TRUNC.get(width.lower(), width)
    if bucket.function == "date_bin":
        more = tuple(f"origin => {each}" for each in more)
    kept = tuple(sorted({*shape.asked} - {case.time.name}))
    return _Grouping(width, more, kept, bucket.plain, shape.simple, shape.finer)


def _by_session(bucket: Bucket) -> bool:
    """Whether the session's time zone has a say in where its buckets begin."""
    return bucket.cast or (bucket.function == "date_trunc" and not bucket.more)


def _seconds(case: Case, width: str) -> float | None:
    match = _LENGTH.match(width)
    if match is not None:
        return int(match[1]) * _SECONDS[match[2].lower()]
    if width.isdigit() and case.d.axis.integer:
        return case.d.axis.seconds(float(width))
    return None


def _for(case: Case, grouping: _Grouping, shapes: list[Shape], taken: set[str]) -> Recommendation:
    d, table = case.d, case.d.inspection.table.name
    columns = grouping.columns
    calls = [shape.use.calls for shape in shapes if shape.use.calls is not None]
    first = shapes[0]
    lines = [
        f"{first.use.source}{f', {count(sum(calls))} calls' if calls else ''}"
        f"{f', and {len(shapes) - 1} like it' if len(shapes) > 1 else ''}: {' '.join(first.use.text.split())[:200]}"
    ]
    day = str(round(DAY * (d.axis.per_second or 1.0))) if d.axis.integer else "1 day"
    width = grouping.width or day
    seconds = _seconds(case, width)
    aggregates = list(dict.fromkeys(a for shape in shapes for a in shape.aggregates))
    unusable = _unusable(case, grouping, aggregates)
    if unusable is not None or seconds is None or d.spread is None:
        why = (
            unusable
            or f"the width {width!r} of its groups is not understood, or the unit of the time is not known"
        )
        return Recommendation("continuous-aggregate", "Continuous aggregate: not recommended", (*lines, why))
    buckets = used(d.spread, seconds * (d.axis.per_second or 1.0))
    per_bucket = d.rows / buckets
    values = 1.0
    spreads = {each.name: each.distinct or 1.0 for each in d.columns}
    for name in columns:
        values *= max(spreads[name], 1.0)
    smaller = per_bucket / max(min(values, per_bucket), 1.0)
    lines.append(
        f"{count(round(d.rows))} rows become about {count(round(d.rows / smaller))}: {smaller:,.0f} times fewer "
        f"({count(buckets)} buckets of {width}, about {count(round(min(values, per_bucket)))} groups in each)"
    )
    numbers: list[tuple[str, object]] = [
        ("bucket", width),
        ("columns", list(columns)),
        ("times_fewer", round(smaller, 1)),
        ("calls", sum(calls) if calls else None),
    ]
    if smaller < LESS:
        lines.append(f"that is too little: an aggregate is worth having from {LESS:.0f} times fewer on")
        return Recommendation(
            "continuous-aggregate", "Continuous aggregate: not recommended", tuple(lines), tuple(numbers)
        )
    lines += _notes(case, grouping, shapes, aggregates, width)
    named = _name(table, width, columns, taken)
    body = [
        "[[continuous_aggregate]]",
        f"name = {toml.text(str(named))}",
        f"query = {toml.text(_query(case, width, grouping, aggregates))}",
        "materialized_only = true",
        _refresh(case, seconds),
    ]
    return Recommendation(
        "continuous-aggregate",
        f"Continuous aggregate worth having: {named}",
        tuple(lines),
        tuple(numbers),
        toml="\n".join(body),
        unavailable=None if case.community else APACHE_AGGREGATES,
    )


def _unusable(case: Case, grouping: _Grouping, aggregates: list[str]) -> str | None:
    """Why the aggregate would not answer the query, or why that is not known."""
    if not grouping.simple:
        return "it joins, nests, reads a view or has window functions: what of it can be kept ready is for you to cut out"
    if any("$" in each for each in aggregates):
        return "its aggregates have parameters in them"
    if not grouping.plain:
        return (
            f"its groups are stretches of something else than {case.time_sql} alone (a time zone, an origin or an offset can be "
            "further arguments of time_bucket)"
        )
    if any("$" in each for each in grouping.more):
        return (
            "where its groups begin (a time zone, an origin, an offset) is a parameter, which is not shown: give the query with "
            "its values in --queries"
        )
    if grouping.finer:
        return f"a condition on {case.time_sql}, or a group by it, is not understood: it may need more than whole buckets"
    known = {each.name for each in case.d.columns if each.distinct is not None}
    unknown = [quoted_if_needed(name) for name in grouping.columns if name not in known]
    if unknown:
        return f"how many values there are of {', '.join(unknown)} is not known: ANALYZE counts those that can be compared"
    return None


def _notes(
    case: Case, grouping: _Grouping, shapes: list[Shape], aggregates: list[str], width: str
) -> Iterator[str]:
    if grouping.width is None:
        yield f"how wide the groups are is a parameter, which is not shown: {width} is put for it; set what your queries ask for"
    buckets = [shape.bucket for shape in shapes if shape.bucket is not None]
    found = next((each for each in buckets if _by_session(each)), None)
    if found is not None:
        how = "date_trunc" if found.function == "date_trunc" else "a cast"
        yield (
            f"{how} cuts at the session's midnight, time_bucket at that of UTC: add the time zone as a third argument where "
            "they differ"
        )
    shifted = len(grouping.more) > 1 or any(_ZONE.match(each) is None for each in grouping.more)
    if shifted and not case.d.inspection.server.has_timescaledb(2, 15):
        yield "before TimescaleDB 2.15 an aggregate takes no origin and no offset"
    filtered = [name for name in grouping.columns if any(name not in shape.grouped for shape in shapes)]
    if filtered:
        yield (
            f"grouped by {', '.join(map(quoted_if_needed, filtered))} too, which the query has in a condition, or in an "
            "expression that it groups by"
        )
    if any(re.search(r"\bavg\s*\(", each) for each in aggregates):
        yield "averages cannot be averaged again: keep sum and count beside avg where longer stretches are asked for"


def _query(case: Case, width: str, grouping: _Grouping, aggregates: list[str]) -> str:
    columns = grouping.columns
    arguments = [width if width.isdigit() else f"'{width}'", case.time_sql, *grouping.more]
    named = [f"time_bucket({', '.join(arguments)}) AS bucket", *map(quoted_if_needed, columns)]
    names = {"bucket", *columns}
    for each in aggregates:
        base = "_".join(re.findall(r"\w+", each)[:3]).lower()[:50] or "value"
        name = next(
            f"{base}{n if n > 1 else ''}"
            for n in range(1, 1000)
            if f"{base}{n if n > 1 else ''}" not in names
        )
        names.add(name)
        named.append(f"{each} AS {quoted_if_needed(name)}")
    groups = ", ".join(str(n) for n in range(1, len(columns) + 2))
    return f"SELECT {', '.join(named)} FROM {case.d.inspection.table.name} GROUP BY {groups}"


def _refresh(case: Case, bucket: float) -> str:
    """From before the last changes to the last whole bucket: three buckets at least, of which two are refreshed."""
    longest = max([window.seconds for window in (case.late, case.updates) if window is not None], default=0.0)
    start = max(3 * bucket, (nice(longest) if longest else 0.0) + 2 * bucket)
    every = f'"{_span(min(max(bucket, 600.0), DAY))}"'
    return f"refresh = {{ start_offset = {_offset(case, start)}, end_offset = {_offset(case, bucket)}, schedule = {every} }}"


def _offset(case: Case, seconds: float) -> str:
    if case.d.axis.integer:
        return str(round(seconds * (case.d.axis.per_second or 1.0)))
    return f'"{_span(seconds)}"'


def _span(seconds: float) -> str:
    for size, name in ((DAY, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second")):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds / size)} {name}{'' if seconds == size else 's'}"
    return f"{round(seconds)} seconds"


def _name(table: TableName, width: str, columns: tuple[str, ...], taken: set[str]) -> TableName:
    word = width.replace(" ", "_") if not width.isdigit() else "by_time"
    stem = "_".join([table.name, *columns, word]).encode()[: NAME_BYTES - 3].decode(errors="ignore")
    made = next(
        f"{stem}{n if n > 1 else ''}" for n in range(1, 100) if f"{stem}{n if n > 1 else ''}" not in taken
    )
    taken.add(made)
    return TableName(table.schema, made)
