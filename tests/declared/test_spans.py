"""Lengths of time with months in them, against the calendar and against PostgreSQL's own arithmetic."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperferry.model.declared import Span, days_of
from servers import Database

from .made import DAY, days

MONTHS = [date(year, month, 1) for year in range(2000, 2400) for month in range(1, 13)]
"""One turn of the calendar."""


def back(day: date, span: Span) -> date:
    """So long before that day, as PostgreSQL counts: the months first, no further than the end of the month."""
    count = day.year * 12 + day.month - 1 - span.months
    year, month = divmod(count, 12)
    last = monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last)) - timedelta(days=span.microseconds // DAY)


spans = st.builds(lambda months, number: Span(months, number * DAY), st.integers(0, 40), st.integers(0, 800))


@given(spans, spans, st.dates(date(2000, 1, 1), date(2399, 12, 31)))
def test_what_reaches_further_on_any_day_may_exceed(one: Span, other: Span, day: date) -> None:
    if back(day, one) < back(day, other):
        assert one.may_exceed(other)
    least, most = one.days
    assert least <= (day - back(day, one)).days <= most


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(-3, 3))
def test_what_may_exceed_does_so_on_some_day(one: int, other: int, more: int) -> None:
    """Close calls: the second is as long as the first, but for the months and a few days."""
    first = Span(one)
    second = Span(other, max(0, (one - other) * 30 + more) * DAY)
    found = any(
        back(each.replace(day=day), first) < back(each.replace(day=day), second)
        for each in MONTHS
        for day in {1, monthrange(each.year, each.month)[1]}
    )
    assert first.may_exceed(second) is found


@pytest.mark.parametrize(
    ("months", "expected"),
    [(0, (0, 0)), (1, (28, 31)), (6, (181, 184)), (12, (365, 366)), (24, (730, 731)), (4800, (146_097, 146_097))],
)
def test_how_many_days_months_are(months: int, expected: tuple[int, int]) -> None:
    assert days_of(months) == expected


def test_numbers_of_a_column_are_compared_with_numbers_alone() -> None:
    assert Span(units=2).may_exceed(Span(units=1))
    assert not Span(units=1).may_exceed(Span(units=1))
    assert not Span(units=10**18).may_exceed(Span(1))
    assert not Span(1000).may_exceed(Span(units=1))


def test_postgresql_counts_the_same(db: Database) -> None:
    """Four years of days and more, at midnight, with the pairs where 30 days a month would be wrong and some beside them."""
    pairs = [
        (Span(6), days(180)),
        (Span(6), days(183)),
        (Span(6), days(184)),
        (Span(1), days(30)),
        (Span(1), days(31)),
        (Span(12), days(365)),
        (Span(12), days(366)),
        (days(28), Span(1)),
        (days(29), Span(1)),
        (days(365), Span(12)),
        (days(366), Span(12)),
        (Span(13), Span(12, 30 * DAY)),
        (Span(13), Span(12, 31 * DAY)),
        (Span(1, DAY // 2), Span(1, DAY)),
        (Span(1, DAY), Span(1, DAY // 2)),
    ]
    for one, other in pairs:
        [(further,)] = db.execute(
            "SELECT bool_or(d - %s::interval < d - %s::interval) "
            "FROM generate_series(timestamp '2023-01-01', timestamp '2029-01-01', interval '1 day') AS d",
            str(one),
            str(other),
        )
        assert one.may_exceed(other) is further, (one, other)
