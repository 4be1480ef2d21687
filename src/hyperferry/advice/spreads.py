"""Arithmetic on how rows lie over the time. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise

from ..model.distribution import Distribution, Spread

YEAR_SECONDS = 365 * 86_400.0


def by_interval(spread: Spread, width: float) -> dict[int, float]:
    """Rows by interval of a width, counted from place 0 as TimescaleDB aligns its chunks. A bar that lies across a border, or is
    wider than the interval, is shared out by length."""
    made: defaultdict[int, float] = defaultdict(float)
    for bar, rows in spread.bars:
        start, end = bar * spread.width, (bar + 1) * spread.width
        first, last = math.floor(start / width), math.ceil(end / width) - 1
        if first >= last:
            made[first] += rows
            continue
        # What is outside of the data holds nothing: a bar wider than the rows must not make intervals before the first.
        start, end = max(start, spread.low), max(min(end, spread.high), spread.low)
        first, last = math.floor(start / width), max(math.floor(start / width), math.ceil(end / width) - 1)
        if last - first > 100_000 or end <= start:
            made[first] += rows
            continue
        for each in range(first, last + 1):
            share = (min((each + 1) * width, end) - max(each * width, start)) / (end - start)
            made[each] += rows * share
    return dict(made)


def used(spread: Spread, width: float) -> int:
    """How many intervals of a width hold rows, those among them that the sample has missed.

    Pages fall on intervals at random: of U that hold rows, H looks see about U (1 - exp(-H / U)), which is solved for U. A page
    that covers several intervals looks at each. What an index counted bounds it on both sides.
    """
    seen = len(by_interval(spread, width))
    most = max(seen, math.floor(spread.high / width) - math.floor(spread.low / width) + 1)
    least = seen
    if spread.intervals is not None and spread.intervals[0] <= width:
        least = max(least, math.ceil(spread.intervals[1] * spread.intervals[0] / width))
        most = max(least, min(most, spread.intervals[1]))
    return max(1, min(most, max(least, _behind(seen, looks(spread, width), most))))


def looks(spread: Spread, width: float) -> float:
    """How often the sample looked into some interval; without end where all was read."""
    return math.inf if spread.pages is None else spread.pages * (1 + spread.page_span / width)


def _behind(seen: int, hits: float, most: int) -> int:
    """The number of intervals of which so many looks see so many."""
    if math.isinf(hits):
        return seen
    low, high = float(seen), float(max(most, seen))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle * -math.expm1(-hits / middle) < seen else (low, middle)
    return round(low)


def correction(spread: Spread, width: float) -> float:
    """Intervals that hold rows for each that was seen: 1 where all was read."""
    return used(spread, width) / max(len(by_interval(spread, width)), 1)


def last_year(d: Distribution, spread: Spread) -> float:
    """Where the last year of the data begins (the data's own first place where it is younger, or the unit is not known)."""
    if d.axis.per_second is None:
        return spread.low
    return max(spread.low, spread.high - YEAR_SECONDS * d.axis.per_second)


def busiest(spread: Spread, width: float, since: float) -> float:
    """Rows of the fullest interval that ends behind a place. Of a sample the fullest is one that chance has favoured: two
    standard deviations of its number of pages are taken off, down to the average."""
    filled = by_interval(spread, width)
    most = max((rows for n, rows in filled.items() if (n + 1) * width > since), default=0.0)
    if spread.pages is None or not most:
        return most
    total = sum(filled.values())
    each = total / looks(spread, width)
    pages = most / each
    return max(total / used(spread, width), (pages - 2 * math.sqrt(pages)) * each)


def per_year(d: Distribution, spread: Spread, width: float) -> float | None:
    """Intervals with rows that a year adds, at the pace of the last one; None where the unit is not known."""
    if d.axis.per_second is None:
        return None
    year = YEAR_SECONDS * d.axis.per_second
    since = last_year(d, spread)
    length = max(spread.high - since, width)
    count = sum((n + 1) * width > since for n in by_interval(spread, width)) * correction(spread, width)
    return count if length >= 0.99 * year else min(count * year / length, year / width)


def rows_per_year(d: Distribution, spread: Spread) -> float | None:
    """Rows that a year adds, at the pace of the last one; None where the unit is not known."""
    if d.axis.per_second is None:
        return None
    since = last_year(d, spread)
    rows = sum(rows for bar, rows in spread.bars if (bar + 1) * spread.width > since)
    year, length = YEAR_SECONDS * d.axis.per_second, max(spread.high - since, spread.width)
    return rows * max(1.0, year / length) if length < 0.99 * year else rows


def gaps(spread: Spread, width: float) -> list[tuple[float, float]]:
    """Runs of intervals without rows between such with rows, as (from, to), the longest first. Of a sample those alone that
    chance leaves once in a thousand times at most."""
    filled = sorted(by_interval(spread, width))
    hits = looks(spread, width)
    least = 0.0 if math.isinf(hits) else math.log(1_000) * used(spread, width) * width / hits
    found = [
        ((a + 1) * width, b * width) for a, b in pairwise(filled) if b > a + 1 and (b - a - 1) * width > least
    ]
    return sorted(found, key=lambda gap: gap[0] - gap[1])


def index_bytes_per_row(d: Distribution) -> float:
    """Bytes of all indexes for a row, of chunks that are not compressed."""
    plain = [chunk for chunk in d.chunks if not chunk.compressed and chunk.rows > 0]
    if plain:
        return sum(chunk.index_bytes for chunk in plain) / sum(chunk.rows for chunk in plain)
    return d.inspection.table.index_bytes / max(d.rows, 1.0)


def bytes_per_row(d: Distribution) -> float:
    """Bytes for a row, indexes included."""
    return d.inspection.table.total_bytes / max(d.rows, 1.0)
