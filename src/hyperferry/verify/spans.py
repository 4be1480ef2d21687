"""The times between which a group's rows are looked for in a hypertable, as wide as whole chunks.

Literals on the time have TimescaleDB exclude the other chunks when it plans. But an index on the time serves them too, and where
the planner's statistics are older than the group's rows, it takes what lies between the group's own least and greatest time for
a row or none: each pair then read all rows of its day. Between the ends of whole chunks it knows that there is much.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

INTEGERS = {"pg_catalog.int2": 16, "pg_catalog.int4": 32, "pg_catalog.int8": 64}
POINTS = frozenset(("pg_catalog.timestamptz", "pg_catalog.timestamp", "pg_catalog.date"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def span(kind: str, width: int, first: Decimal, last: Decimal) -> tuple[str | None, str | None] | None:
    """The first time of the `first` chunk width since 1970 (or 0) and the first one after the `last`, as text of the type `kind`;
    an end beyond the type is None. `width` in microseconds, or in the integer's own unit. None where that cannot be told."""
    start, end = int(first) * width, (int(last) + 1) * width
    if kind in INTEGERS:
        most = 2 ** (INTEGERS[kind] - 1)
        return (str(start) if start >= -most else None, str(end) if end < most else None)
    if kind not in POINTS:
        return None
    try:
        low, high = (EPOCH + timedelta(microseconds=each) for each in (start, end))
        after = (high + timedelta(days=1) - timedelta.resolution).date()
    except OverflowError:  # a year that Python does not know
        return None
    if kind == "pg_catalog.date":
        return low.date().isoformat(), after.isoformat()
    return low.isoformat(), high.isoformat()
