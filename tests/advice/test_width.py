"""The width of a chunk: a quarter of the memory, at the density of the rows; the numbers are worked out here once more, by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hyperferry.advice import case_of
from hyperferry.advice.spreads import busiest, gaps, used
from hyperferry.model.axis import Axis
from hyperferry.model.distribution import ChunkFacts
from planner.made_inspections import GB, MB, column

from .made import DAY, START, advice_on, distribution, numbers, one, said, spread, table


def width_of(d: Any) -> str:
    width = case_of(d).width
    assert width is not None
    return width.words


def test_even_rows_that_fit_get_the_default() -> None:
    """100 MB of indexes in a year are 1.9 MB a week; a quarter of 128 MB is 32 MB."""
    assert width_of(distribution()) == "7 days"


def test_even_rows_that_do_not_fit_get_the_largest_step_that_does() -> None:
    """3,650 MB of indexes in 365 days are 10 MB a day: three days fit in 32 MB, seven do not."""
    made = distribution(table(index_bytes=3_650 * MB))
    assert width_of(made) == "3 days"
    reason = " ".join(one(advice_on(made), "chunk-interval").reason)
    assert "70.0 MB for each 7 days" in reason
    assert "a quarter of shared_buffers (128.0 MB) is 32.0 MB" in reason


def test_a_burst_gets_chunks_by_its_own_density() -> None:
    """On average 19 MB a week; but half of all rows came in four days, 125 MB a day, on days 2, 3, 4 of one interval of three days and
    on two of any of two: two days (250 MB) fit in 320 MB, three do not."""
    filled = dict.fromkeys(range(365), 500000 / 361)
    for day in range(201, 205):
        filled[day] = 125_000.0
    assert [(round(START / DAY) + day) % 3 for day in range(201, 205)] == [2, 0, 1, 2]
    made = distribution(table(index_bytes=1_000 * MB, shared_buffers=1_280 * MB), spread=spread(filled=filled))
    assert width_of(made) == "2 days"
    assert any("the rows do not come evenly" in line for line in one(advice_on(made), "chunk-interval").reason)


def test_a_burst_of_long_ago_does_not_count() -> None:
    """The chunks of three years ago are written no more."""
    filled = dict.fromkeys(range(1200), 300.0)
    for day in range(4):
        filled[day] = 160_000.0
    assert width_of(distribution(spread=spread(filled=filled), rows=1_000_000.0)) == "14 days"


def test_a_season_a_year_counts_the_time_that_holds_rows() -> None:
    """Four seasons of 28 days in three years and a bit: 16 weeks hold rows. 1,120 MB of indexes in them are 10 MB a day."""
    filled = {season * 364 + day: 1_000.0 for season in range(4) for day in range(4, 32)}
    made = distribution(table(index_bytes=1_120 * MB), spread=spread(filled=filled), rows=112_000.0)
    found = numbers(one(advice_on(made), "chunk-interval"))
    assert found["interval"] == "3 days"
    first = round(START / DAY)
    by_hand = {(first + day) // 3 for day in filled}
    assert found["chunks_now"] == len(by_hand)
    last = first + max(filled) + 1 - 365
    assert found["chunks_in_a_year"] == len(by_hand) + len({(first + day) // 3 for day in filled if first + day >= last - 1})


def test_a_given_number_of_chunks_now_and_in_a_year() -> None:
    """365 days by 7: 53 or 54 by where the weeks begin; a year later as many more."""
    found = numbers(one(advice_on(distribution()), "chunk-interval"))
    first, last = round(START / DAY), round(START / DAY) + 364
    assert found["chunks_now"] == last // 7 - first // 7 + 1
    assert found["chunks_in_a_year"] == 2 * found["chunks_now"]
    assert found["rows_per_chunk"] == pytest.approx(1_000_000 / found["chunks_now"], abs=1)


def test_locks_and_planning_follow_from_the_chunks() -> None:
    found = numbers(one(advice_on(distribution()), "chunk-interval"))
    chunks = found["chunks_in_a_year"]
    assert found["locks"] == 1 + 1 + chunks * 2  # the table and its one index, and so for each chunk
    assert found["lock_slots"] == 64 * 100
    assert found["planning_ms"] == pytest.approx(0.12 * chunks, abs=0.1)
    assert said(advice_on(distribution()), "max-locks") == []


def test_too_few_locks_are_said_with_the_number_that_is_enough() -> None:
    """Ten sessions that each lock every chunk and index."""
    made = distribution()
    server = replace(made.inspection.server, max_locks_per_transaction=10, max_connections=20)
    made = replace(made, inspection=replace(made.inspection, server=server))
    locks = numbers(one(advice_on(made), "chunk-interval"))["locks"]
    found = one(advice_on(made), "max-locks")
    wanted = numbers(found)["wanted"]
    assert wanted * 20 >= 10 * locks
    assert wanted % 64 == 0
    assert (wanted - 64) * 20 < 10 * locks
    assert f"max_locks_per_transaction = {wanted}" in found.action


@pytest.mark.parametrize(("unit", "per_second"), [("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6)])
def test_an_integer_gets_its_own_unit(unit: str, per_second: int) -> None:
    """3,650 MB in 365 days again: three days, in the column's unit."""
    made = distribution(
        table(index_bytes=3_650 * MB), axis=Axis(integer=True, per_second=float(per_second), unit=unit),
        spread=_scaled(per_second), now=None,
    )  # fmt: skip
    made = replace(made, inspection=_with_bigint(made.inspection))
    found = one(advice_on(made), "chunk-interval")
    assert found.toml == f"chunk_interval = {3 * 86_400 * per_second}"


def _scaled(per_second: int) -> Any:
    even = spread()
    return replace(
        even, width=DAY * per_second, low=even.low * per_second, high=even.high * per_second,
        first=even.first * per_second, last=even.last * per_second,
    )  # fmt: skip


def _with_bigint(made: Any) -> Any:
    columns = tuple(replace(column("ts"), number=2) if each.name == "ts" else each for each in made.columns)
    return replace(made, columns=columns)


def test_an_integer_of_no_known_unit_gets_no_width() -> None:
    made = distribution(axis=Axis(integer=True, per_second=None, unit="its own unit"), now=None)
    made = replace(made, inspection=_with_bigint(made.inspection))
    found = one(advice_on(made), "chunk-interval")
    assert (found.toml, bool(found.action)) == ("", True)


def test_without_a_row_the_default_stands() -> None:
    assert width_of(distribution(spread=None, rows=0.0)) == "7 days"


def hypertable(days: int, interval: float, index_bytes: int = 100 * MB) -> Any:
    """A hypertable of even days, its chunks as wide as its interval."""
    wide = round(interval / DAY)
    chunks = tuple(
        ChunkFacts(f"c{n}", START + n * interval, START + (n + 1) * interval, 1_000_000 / (days / wide), 10 * MB, index_bytes * wide // days, False, 0, 0)
        for n in range(days // wide)
    )
    return distribution(table(kind="hypertable", index_bytes=index_bytes), chunks=chunks, interval=interval, spread=spread(days))


def test_a_hypertable_keeps_an_interval_that_fits() -> None:
    made = hypertable(360, 10 * DAY)
    found = one(advice_on(made), "chunk-interval")
    assert numbers(found)["interval"] == "10 days"
    assert numbers(found)["chunks_now"] == 36
    assert any("kept" in line for line in found.reason)


def test_a_hypertable_is_told_of_an_interval_that_does_not_fit() -> None:
    """18 GB of indexes in 180 days are 102 MB a day; a quarter of 128 MB is 32 MB: six hours (26 MB) fit, and make 720 chunks."""
    made = hypertable(180, 30 * DAY, 18 * GB)
    assert numbers(one(advice_on(made), "chunk-interval"))["interval"] == "6 hours"


def sampled(days: int, pages: int, seed: int, *, filled: Any = None) -> Any:
    """A year of a row a second, of which so many pages were looked at, each within one day."""
    rng = random.Random(seed)
    by_day = filled if filled is not None else dict.fromkeys(range(days), 1_000.0)
    total = sum(by_day.values())
    hit = rng.choices(list(by_day), weights=list(by_day.values()), k=pages)
    seen = {day: hit.count(day) * total / pages for day in set(hit)}
    even = spread(filled=by_day)
    return replace(even, bars=spread(filled=seen).bars, exact=False, pages=pages, page_span=1_000.0)


@pytest.mark.parametrize("pages", [300, 1_000, 5_000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_intervals_that_a_sample_misses_are_counted(pages: int, seed: int) -> None:
    """365 days; 300 pages leave 160 of them without one."""
    assert used(sampled(365, pages, seed), DAY) == pytest.approx(365, rel=0.15)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_days_without_rows_are_not_made_up(seed: int) -> None:
    """A hundred days, then nothing for half a year, then a hundred more."""
    filled = dict.fromkeys([*range(100), *range(300, 400)], 1000.0)
    made = sampled(0, 1_000, seed, filled=filled)
    assert used(made, DAY) == pytest.approx(200, rel=0.05)
    ((start, end),) = gaps(made, DAY)
    assert (end - start) / DAY == pytest.approx(200, abs=3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_chance_favours_is_no_burst(seed: int) -> None:
    """Even days: three pages each on average, eight on some. A day with a fifth of all rows is one all the same."""
    even = sampled(365, 1_000, seed)
    assert busiest(even, DAY, 0.0) <= 2 * 1_000
    burst = sampled(0, 1_000, seed, filled={**dict.fromkeys(range(365), 1_000.0), 99: 90_000.0})
    assert busiest(burst, DAY, 0.0) == pytest.approx(90_000, rel=0.3)
