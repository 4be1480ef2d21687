"""The width of a chunk: given, or computed with its arithmetic shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_inspections import GB, MB, PRIMARY, column, inspection, scan

from hyperferry.errors import Refused, Usage
from hyperferry.model.inspection import Inspection
from hyperferry.model.plan import ChunkInterval
from hyperferry.model.plan_options import PlanOptions
from hyperferry.planner import plan
from hyperferry.planner.duration import DAY, HOUR, MINUTE, duration_text, parse_duration

YEAR = ("2024-01-01 00:00:00+00", "2024-12-30 00:00:00+00")


def chosen(found: Inspection, given: str | None = None) -> ChunkInterval:
    return plan(found, (), PlanOptions(chunk_interval=given)).interval


def table(
    span: tuple[str, str] | None,
    index_bytes: int,
    *,
    type_sql: str = "timestamp with time zone",
    buffers: int = 128 * MB,
) -> Inspection:
    return inspection(
        column("id"),
        column("ts", type_sql),
        keys=(PRIMARY,),
        index_bytes=index_bytes,
        shared_buffers=buffers,
        scan=scan(*span) if span else None,
    )


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("7 days", 7 * DAY),
        ("1 week", 7 * DAY),
        ("12 hours", 12 * HOUR),
        ("90min", 90 * MINUTE),
        ("1 day 12:00:00", 36 * HOUR),
        ("1.5 hours", 90 * MINUTE),
        ("00:30:00", 30 * MINUTE),
        ("PT12H", 12 * HOUR),
        ("P1W", 7 * DAY),
        ("P1DT6H", 30 * HOUR),
        ("1 day, 2 hours", 26 * HOUR),
    ],
)
def test_durations_are_read(text: str, width: int) -> None:
    assert parse_duration(text) == width


@pytest.mark.parametrize(
    "text",
    ["", "7", "days", "-1 day", "0 days", "7 dayz", "7 days x", "PT", "P", "1 day -- x", "'; DROP TABLE t"],
)
def test_what_is_no_duration_is_wrong_usage(text: str) -> None:
    with pytest.raises(Usage) as wrong:
        parse_duration(text)
    assert "7 days" in (wrong.value.remedy or "")


@pytest.mark.parametrize("text", ["1 month", "3 mons", "P1M", "P1Y", "1 year", "2 years 1 day"])
def test_months_are_refused_with_the_reason(text: str) -> None:
    with pytest.raises(Usage, match="no fixed length") as wrong:
        chosen(table(YEAR, MB), text)
    assert "30 days" in (wrong.value.remedy or "")


@given(st.integers(min_value=1, max_value=10**16))
def test_a_duration_is_read_back(width: int) -> None:
    assert parse_duration(duration_text(width)) == width


def test_seven_days_where_the_indexes_fit() -> None:
    made = chosen(table(YEAR, 100 * MB))
    assert (made.literal, made.width, made.integer) == ("INTERVAL '7 days'", 7 * DAY, False)
    assert "364.0 days" in made.reason[0]
    assert "1.9 MB for each 7 days" in made.reason[0]
    assert "32.0 MB" in made.reason[0]


def test_smaller_where_they_do_not() -> None:
    # 364 GB over 364 days: 1 GB a day; a quarter of 2 GB is 512 MB, so half a day.
    made = chosen(table(YEAR, 364 * GB, buffers=2 * GB))
    assert made.literal == "INTERVAL '12 hours'"
    assert "the largest step whose indexes (512.0 MB) fit" in made.reason[1]
    assert made.reason[2] == "that makes about 729 chunks"


def test_wider_where_there_would_be_too_many() -> None:
    made = chosen(table(("1970-01-01 00:00:00+00", "2020-01-01 00:00:00+00"), MB))
    # 2,610 chunks of 7 days; 610 of 30 days would be few enough, but would hold next to nothing.
    assert made.literal == "INTERVAL '365 days'"
    assert "7 days would make 2,609 chunks" in made.reason[-1]


def test_wider_where_chunks_would_hold_next_to_nothing() -> None:
    # 300 MB over 2,000 days are 286 chunks of 1 MB; 60 days make 34 of 9 MB.
    made = chosen(table(("2016-01-01 00:00:00+00", "2021-06-23 00:00:00+00"), 100 * MB))
    assert made.literal in ("INTERVAL '30 days'", "INTERVAL '60 days'")
    assert "widened" in made.reason[-1]


def test_a_hundred_small_chunks_are_left_alone() -> None:
    made = chosen(table(("2020-01-01 00:00:00+00", "2021-11-01 00:00:00+00"), MB))
    assert made.literal == "INTERVAL '7 days'"


def test_a_stray_row_does_not_stretch_the_span() -> None:
    found = inspection(
        keys=(PRIMARY,),
        index_bytes=52 * GB,
        shared_buffers=2 * GB,
        scan=scan("0001-01-01 00:00:00+00", YEAR[1], buckets=53),
    )
    made = chosen(found)
    assert "371.0 days" in made.reason[0]
    assert made.literal == "INTERVAL '3 days'"


@given(
    days=st.integers(min_value=0, max_value=3_000_000),
    index_bytes=st.integers(min_value=0, max_value=10**14),
    buffers=st.integers(min_value=MB, max_value=10**12),
)
def test_there_are_never_too_many_chunks(days: int, index_bytes: int, buffers: int) -> None:
    from datetime import date, timedelta

    first = date(1, 1, 1)
    last = first + timedelta(days=days)
    made = chosen(table((str(first), str(last)), index_bytes, buffers=buffers))
    assert days * DAY // made.width + 1 <= 1_000
    assert made.width >= HOUR


def test_without_a_scan_the_default() -> None:
    made = chosen(table(None, MB))
    assert made.width == 7 * DAY
    assert "not known" in made.reason[0]


def test_an_empty_table_has_the_default() -> None:
    empty = inspection(keys=(PRIMARY,), scan=scan(None, None, rows=0))
    assert chosen(empty).width == 7 * DAY


def test_what_is_given_is_taken_and_its_consequence_shown() -> None:
    made = chosen(table(YEAR, 364 * MB), "1 day")
    assert made.literal == "INTERVAL '1 day'"
    assert made.reason[0] == "1 day: given"
    assert "365 chunks with 1.0 MB" in made.reason[1]
    assert "planning slow" in chosen(table(YEAR, MB), "1 minute").reason[1]


def test_dates_take_whole_days() -> None:
    found = table(("2024-01-01", "2024-12-30"), 364 * GB, type_sql="date", buffers=128 * MB)
    assert chosen(found).width == DAY
    with pytest.raises(Usage, match="whole number of days"):
        chosen(found, "12 hours")
    assert chosen(found, "2 days").width == 2 * DAY


def test_a_bare_number_is_for_integers() -> None:
    with pytest.raises(Usage, match="no unit"):
        chosen(table(YEAR, MB), "604800000000")


@pytest.mark.parametrize(
    ("unit", "per_second"),
    [("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)],
)
@pytest.mark.peer(number=22)
def test_the_unit_of_an_integer_is_told_from_its_values(unit: str, per_second: int) -> None:
    span = (str(1_700_000_000 * per_second), str(1_731_000_000 * per_second))
    made = chosen(table(span, MB, type_sql="bigint"))
    assert (made.integer, made.width) == (True, 7 * 86400 * per_second)
    assert made.literal == str(made.width)
    assert unit in made.reason[0]
    assert "2023-11-14" in made.reason[0]
    assert f"7 days = {made.width} {unit}" in made.reason[-1]
    assert chosen(table(span, MB, type_sql="bigint"), "12 hours").width == 43200 * per_second


@pytest.mark.parametrize(
    "span", [None, ("1", "5000000"), ("19000", "20000"), ("1700000000", "1700000000000")]
)
def test_an_integer_of_unknown_unit_needs_an_interval(span: tuple[str, str] | None) -> None:
    found = table(span, MB, type_sql="bigint")
    with pytest.raises(Refused, match="unit of the integer column"):
        chosen(found)
    made = chosen(found, "100_000")
    assert (made.literal, made.width) == ("100000", 100_000)


def test_an_interval_must_fit_the_column() -> None:
    with pytest.raises(Usage, match="does not fit"):
        chosen(table(("1", "2"), MB, type_sql="smallint"), "40000")
    with pytest.raises(Usage, match="does not fit"):
        chosen(table(("1700000000", "1731000000"), MB, type_sql="integer"), "100 ms")


@pytest.mark.parametrize("given", ["_5", "5_", "5__0", "²", "٥"])
def test_what_only_looks_like_a_number_is_no_interval(given: str) -> None:
    with pytest.raises(Usage):
        chosen(table(("1700000000", "1731000000"), MB, type_sql="bigint"), given)
