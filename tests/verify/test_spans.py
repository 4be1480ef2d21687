"""Between which times a group's rows are looked for: all of them, whatever the type."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from hyperferry.verify.pairwise import whole_widths
from hyperferry.verify.spans import span
from servers import Database

WIDTHS = st.integers(1, 10**14)
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1))
EPOCH = datetime(1970, 1, 1)


def number(value: int, width: int) -> Decimal:
    """In which width since the origin it lies."""
    return Decimal(value // width)


@given(MOMENTS, MOMENTS, WIDTHS)
def test_every_moment_of_the_group_lies_between_the_ends(a: datetime, b: datetime, width: int) -> None:
    """And the ends are no further away than a width."""
    low, high = sorted((a, b))
    micros = [(each - EPOCH) // timedelta.resolution for each in (low, high)]
    ends = span("pg_catalog.timestamptz", width, *(number(each, width) for each in micros))
    if ends is None:
        assert low.year < 10 or high.year > 9990
        return
    first, behind = (datetime.fromisoformat(str(end)) for end in ends)
    low, high = low.replace(tzinfo=UTC), high.replace(tzinfo=UTC)
    step = timedelta(microseconds=width)
    assert low - step < first <= low
    assert high < behind <= high + step


@given(st.dates(date(100, 1, 1), date(9000, 1, 1)), WIDTHS)
def test_every_day_lies_between_the_ends(day: date, width: int) -> None:
    """A width need not be of whole days."""
    micros = (datetime(day.year, day.month, day.day) - EPOCH) // timedelta.resolution
    ends = span("pg_catalog.date", width, number(micros, width), number(micros, width))
    assert ends is not None
    first, behind = (date.fromisoformat(str(end)) for end in ends)
    assert first <= day < behind


@given(st.integers(-(2**63), 2**63 - 1), WIDTHS)
def test_every_integer_lies_between_the_ends(value: int, width: int) -> None:
    """An end that the type cannot hold is left open."""
    ends = span("pg_catalog.int8", width, number(value, width), number(value, width))
    assert ends is not None
    assert ends[0] is None or value - width < int(ends[0]) <= value
    assert ends[1] is None or value < int(ends[1]) <= value + width
    assert all(end is None or -(2**63) <= int(end) < 2**63 for end in ends)


@pytest.mark.parametrize("kind", ["pg_catalog.uuid", "pg_catalog.text"])
def test_other_types_have_no_span(kind: str) -> None:
    """Their groups are looked for by their own times."""
    assert span(kind, 1, Decimal(0), Decimal(0)) is None


def test_the_last_days_that_there_are() -> None:
    """Beyond what Python knows nothing is said; no error."""
    day = 86_400_000_000
    last = (date.max - date(1970, 1, 1)).days
    assert span("pg_catalog.date", day, Decimal(last - 1), Decimal(last - 1)) is None
    assert span("pg_catalog.date", day, Decimal(last - 2), Decimal(last - 2)) is not None


def test_the_server_counts_whole_widths(db: Database) -> None:
    """As integers do: a quotient of numerics has about 16 digits, and the last nanoseconds of a day are the next day's by it."""
    day = 86_400_000_000_000
    widths = (1, 7, 3_600_000_000_000, day, 7 * day, 30 * day, 365 * day, 10**15 + 1)
    values = [
        sign * (times * width + beside)
        for width in widths
        for times in (0, 1, 19_675, 1_000_003)
        for beside in (-43, -1, 0, 1, 43)
        for sign in (1, -1)
        if abs(times * width + beside) < 2**63
    ]
    units = sql.SQL("v::numeric")
    for width in widths:
        statement = sql.SQL("SELECT v, floor({}) FROM unnest(%s::bigint[]) AS v").format(whole_widths(units, sql.Literal(width)))
        with db.connect() as conn:
            rows = conn.execute(statement, [values]).fetchall()
        assert [int(found) for _, found in rows] == [value // width for value, _ in rows], width
