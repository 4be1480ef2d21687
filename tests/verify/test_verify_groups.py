"""Which pairs are looked at by one statement is pure, and loses none of them."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hyperferry.verify.pairwise import (
    PROBES_OF_CHUNK,
    PROBES_OF_STATEMENT,
    Group,
    groups_of,
    together,
)


def group(chunk: int, pairs: int) -> Group:
    """Pairs of one chunk's width, whose bounds tell which it is."""
    return Group(f"{chunk}.1", f"{chunk}.9", pairs, Decimal(chunk), Decimal(chunk))


@given(st.dictionaries(st.integers(-500, 500), st.integers(1, 3000), max_size=60), st.booleans())
def test_each_group_lies_in_exactly_one_of_those_that_are_made_of_them(
    pairs: dict[int, int], backwards: bool
) -> None:
    without_time = Group(None, None, 7)
    groups = [group(chunk, pairs[chunk]) for chunk in sorted(pairs, reverse=backwards)]

    made = together([without_time, *groups])

    assert made[-1] == without_time
    assert sum(one.pairs for one in made) == sum(pairs.values()) + 7
    spans = [(int(one.first), int(one.last)) for one in made if one.first is not None and one.last is not None]
    assert all(low <= high for low, high in spans)
    assert all(high < low for (_, high), (low, _) in pairwise(spans))
    for chunk in pairs:
        assert [low <= chunk <= high for low, high in spans].count(True) == 1
    for one, (low, high) in zip(made, spans, strict=False):
        assert (one.low, one.high) == (f"{low}.1", f"{high}.9")
        assert low in pairs
        assert high in pairs
        assert one.pairs == sum(number for chunk, number in pairs.items() if low <= chunk <= high)


@given(st.dictionaries(st.integers(-500, 500), st.integers(1, 3000), max_size=60))
def test_a_group_of_several_costs_no_more_than_a_statement(pairs: dict[int, int]) -> None:
    for one in together(group(chunk, number) for chunk, number in pairs.items()):
        assert one.first is not None
        assert one.last is not None
        width = int(one.last - one.first) + 1
        chunks = sum(one.first <= chunk <= one.last for chunk in pairs)
        if chunks > 1:
            assert one.pairs * width + (width - chunks) * PROBES_OF_CHUNK <= PROBES_OF_STATEMENT


def test_neighbours_with_few_pairs_share_a_statement_and_those_far_away_or_with_many_do_not() -> None:
    every_week = together(group(week, 6) for week in range(166))
    assert len(every_week) <= 10
    assert [one.pairs for one in together([group(1, 2), group(2, 3), group(400, 1)])] == [5, 1]
    assert [one.pairs for one in together([group(1, 1500), group(2, 1500)])] == [1500, 1500]


def test_pairs_without_a_time_or_with_an_infinite_one_stay_apart() -> None:
    rows = [(None, None, 3, Decimal(0)), ("2020-01-01", "2020-01-02", 4, Decimal(0)), ("infinity", "infinity", 1, None)]
    assert [(one.low, one.pairs) for one in groups_of(rows)] == [("2020-01-01", 4), (None, 3), ("infinity", 1)]
