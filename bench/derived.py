"""What follows from a result's figures: made the same of results that were kept without it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from .result import Figure, Ratio, Result, ratios_of

WITH_ANALYZE = "with ANALYZE"
"""What such a ratio is of."""
TIME, BARE_TIME = "time", "time without ANALYZE"
"""Of growth's figures, in seconds per million rows: of all of `start`, and less its ANALYZE."""
AIM_FLAT = 1.10


def completed(result: Result) -> Result:
    """The result with what follows from it and is not in it."""
    figures: list[Figure] = []
    ratios: list[Ratio] = []
    if result.name == "conversion":
        ratios = with_analyze(result.figures, result.ratios)
    elif result.name == "growth":
        figures = further(result.figures)
        ratios = over_the_first(figures)
    rows: list[Figure | Ratio] = [*result.figures, *result.ratios]
    there = {(row.case, row.title) for row in rows}
    return replace(
        result,
        figures=(*result.figures, *(figure for figure in figures if (figure.case, figure.title) not in there)),
        ratios=(*result.ratios, *(ratio for ratio in ratios if (ratio.case, ratio.title) not in there)),
    )


def with_analyze(figures: Iterable[Figure], ratios: Iterable[Ratio]) -> list[Ratio]:
    """Beside each ratio of two whole conversions that of the same with each side's ANALYZE, without an aim."""
    seconds = {(f.case, f.who): f.values for f in figures if f.unit == "s" and not f.what}
    found = []
    for ratio in ratios:
        keys = [((ratio.case, who), (ratio.case, f"{who}: ANALYZE")) for who in (ratio.who, ratio.over)]
        sides = [(seconds.get(own), seconds.get(analyze)) for own, analyze in keys]
        sums = [tuple(map(sum, zip(own, analyze, strict=True))) for own, analyze in sides if own and analyze]
        if not ratio.what and len(sums) == len(sides):
            found.append(replace(ratio, values=_over(*sums), aim=None, what=WITH_ANALYZE))
    return found


def further(figures: Iterable[Figure]) -> list[Figure]:
    """What a further million rows takes from each size to the next: the part that is the same for every size is not in it.
    Without ANALYZE where that is known, else with it."""
    times: dict[str, dict[str, dict[int, Figure]]] = {}
    for figure in figures:
        if figure.what in (TIME, BARE_TIME):
            rows = int(figure.who.removesuffix(" rows").replace(",", ""))
            times.setdefault(figure.case, {}).setdefault(figure.what, {})[rows] = figure
    found = []
    for case, by_what in times.items():
        what = f"time of further rows, {'without ANALYZE' if BARE_TIME in by_what else WITH_ANALYZE}"
        by_size = by_what.get(BARE_TIME) or by_what[TIME]
        for low, high in pairwise(sorted(by_size)):
            pairs = zip(by_size[low].values, by_size[high].values, strict=True)
            values = tuple(round((high * more - low * less) / (high - low), 3) for less, more in pairs)
            found.append(Figure(case, f"{low:,} to {high:,} rows", by_size[high].unit, values, what, "less"))
    return found


def over_the_first(figures: Sequence[Figure]) -> list[Ratio]:
    """Of each case, in which the sizes rise, the later figures over the first."""
    first: dict[str, Figure] = {}
    for figure in figures:
        first.setdefault(figure.case, figure)
    return [
        ratio
        for figure in figures
        if figure is not first[figure.case] and min(first[figure.case].values) > 0
        for ratio in ratios_of([figure, first[figure.case]], figure.who, first[figure.case].who, AIM_FLAT)
    ]


def _over(values: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(values, others, strict=True))
