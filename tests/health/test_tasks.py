"""What is to be done to which chunk, when, and how large things should be: decisions without a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.errors import Usage
from hyperferry.health import index_bloat, table_bloat
from hyperferry.health.bloat import heap_tuple_bytes
from hyperferry.maintenance import Kind, parse_window
from hyperferry.maintenance.tasks import tasks
from hyperferry.model.health import Column, Width

from .test_rules import COLUMNS, NOW, WIDTHS, chunk, facts, index, relation


def words(made: object, *kinds: Kind, **more: object) -> list[str]:
    """The tasks in words."""
    return [task.words for task in tasks(made, frozenset(kinds), **more)]  # type: ignore[arg-type]


def test_a_healthy_hypertable_needs_nothing() -> None:
    assert words(facts()) == []


def test_each_chunk_gets_what_it_needs_in_the_order_of_time() -> None:
    made = facts(
        columns=COLUMNS,
        chunks=(
            chunk(1, days_ago=3, dead=5_000),
            chunk(2, days_ago=2, modified=9_000, xid_age=300_000_000),
            chunk(3, days_ago=1, widths=WIDTHS),
        ),
        chunk_indexes=(index(8, "3_a", 3, pages=400), index(9, "1_a_ccnew", 1, valid=False), index(7, "1_b", 1, valid=False)),
    )
    assert words(made) == [
        "drop index 1_a_ccnew",
        "reindex 1_b",
        "vacuum _hyper_1_1_chunk",
        "vacuum (freeze) _hyper_1_2_chunk",
        "analyze _hyper_1_2_chunk",
        "reindex 3_a",
    ]
    assert words(made, Kind.ANALYZE) == ["analyze _hyper_1_2_chunk"]
    assert words(made, older=made.chunks[0].end) == ["drop index 1_a_ccnew", "reindex 1_b", "vacuum _hyper_1_1_chunk"]
    assert words(made, newer=made.chunks[2].start) == ["reindex 3_a"]


def test_a_compressed_chunk_is_vacuumed_where_its_rows_are_and_never_analyzed() -> None:
    made = facts(chunks=(chunk(1, compressed=True, companion=relation(7, dead=5_000), modified=9_000),))
    assert words(made) == ["vacuum _hyper_1_7_chunk"]
    assert "analyze _hyper_1_1_chunk" not in words(made, everything=True)


def test_everything_begins_with_what_was_not_done_for_longest() -> None:
    made = facts(chunks=(chunk(1, vacuumed=NOW - 10), chunk(2, vacuumed=None), chunk(3, vacuumed=NOW - 900)))
    order = words(made, Kind.VACUUM, everything=True)
    assert order == ["vacuum _hyper_1_2_chunk", "vacuum _hyper_1_3_chunk", "vacuum _hyper_1_1_chunk"]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("02:00-05:00 UTC", ["02:00", "04:59"], ["05:00", "01:59", "12:00"]),
        ("22:30-04:00 UTC", ["22:30", "23:59", "00:00", "03:59"], ["04:00", "22:29"]),
        ("02:00-05:00 Etc/GMT-1", ["01:00", "03:59"], ["04:00", "00:59"]),
    ],
)
def test_a_window_is_a_time_of_day(text: str, inside: list[str], outside: list[str]) -> None:
    window = parse_window(text)

    def at(clock: str) -> datetime:
        return datetime.combine(datetime(2026, 3, 1), time.fromisoformat(clock), UTC)

    assert all(window.open(at(clock)) for clock in inside)
    assert not any(window.open(at(clock)) for clock in outside)
    assert window.open(window.opens(at("12:00")))
    assert window.opens(at("12:00")) > at("12:00")


@pytest.mark.parametrize("text", ["", "02:00", "25:00-26:00", "02:00-02:00", "02:00-05:00 Nowhere/Else", "2-5"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        parse_window(text)


def test_a_row_takes_what_the_documentation_says() -> None:
    # Line pointer 4, header 23 -> 24, timestamptz 8, int4 4 (padded to 8), float8 8.
    assert heap_tuple_bytes(COLUMNS, WIDTHS) == 4 + 24 + 8 + 8 + 8
    # A short text has no alignment: 8 + 3 -> 16. With NULLs the bitmap of one byte still fits into 24.
    columns = (Column("time", 8, 8), Column("note", -1, 4))
    assert heap_tuple_bytes(columns, (Width("time", 8), Width("note", 3))) == 4 + 24 + 16
    assert heap_tuple_bytes(columns, (Width("time", 8), Width("note", 3, nulls=1.0))) == 4 + 24 + 8
    assert heap_tuple_bytes(columns, (Width("time", 8),)) is None


@given(st.integers(1, 10**6), st.integers(1, 10**5), st.integers(1, 200), st.floats(0, 1))
def test_an_estimate_is_never_negative_and_grows_with_the_pages(rows: int, pages: int, width: int, nulls: float) -> None:
    columns = (Column("time", 8, 8), Column("note", -1, 4))
    widths = (Width("time", 8), Width("note", width, nulls))
    one = table_bloat(relation(1, rows=float(rows), pages=pages, widths=widths), columns, 8192)
    more = table_bloat(relation(1, rows=float(rows), pages=pages + 10, widths=widths), columns, 8192)
    assert one is not None
    assert more is not None
    assert 0 <= one.share <= 1
    assert one.wasted <= more.wasted <= one.wasted + 10 * 8192
    entry = index_bloat(index(1, "a", 1, columns=("note",), rows=float(rows), pages=pages), columns, widths, 8192)
    assert entry is not None
    assert 0 <= entry.share <= 1


def test_what_cannot_be_estimated_is_not() -> None:
    assert table_bloat(relation(1, rows=-1.0), COLUMNS, 8192) is None
    assert table_bloat(relation(1), COLUMNS, 8192) is None  # nothing is known of its columns
    plain = index(1, "a", 1)
    for odd in (replace(plain, method="gin"), replace(plain, partial=True), replace(plain, columns=(None,)), replace(plain, rows=-1.0)):
        assert index_bloat(odd, COLUMNS, WIDTHS, 8192) is None


def test_equal_keys_share_an_entry() -> None:
    # 10,000 rows of 50 sensors: 6 to 7 bytes each, and not 16 + 4.
    few = index_bloat(index(1, "a", 1, pages=100), COLUMNS, WIDTHS, 8192)
    unique = index_bloat(index(1, "a", 1, pages=100, unique=True), COLUMNS, WIDTHS, 8192)
    assert few is not None
    assert unique is not None
    assert few.wasted > unique.wasted
