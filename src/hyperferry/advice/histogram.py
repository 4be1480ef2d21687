"""The bars of the histogram: at most as many as fit on a screen, gaps among them."""

from __future__ import annotations

import math

from ..model.advice import Bar
from ..model.distribution import Distribution
from .spreads import by_interval, bytes_per_row

MOST = 40
_SECONDS = (
    *(1, 10, 60, 600, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600),
    *(n * 86_400 for n in (1, 2, 7, 14, 30, 91, 182, 365, 730, 1_825, 3_650)),
)


def bars_of(d: Distribution) -> tuple[float, list[Bar]]:
    """The width of the bars, and the bars from the first to the last row of the bulk; none where no row was seen."""
    spread = d.spread
    if spread is None:
        return 0.0, []
    width = _width(d, max(spread.high - spread.low, spread.width))
    rows = by_interval(spread, width)
    each = bytes_per_row(d)
    first, last = min(rows), max(rows)
    return width, [Bar(n * width, rows.get(n, 0.0), rows.get(n, 0.0) * each) for n in range(first, last + 1)]


def _width(d: Distribution, span: float) -> float:
    if d.axis.per_second is None:
        step = 10.0 ** max(0, math.ceil(math.log10(max(span / MOST, 1.0))))
        return next(
            (step / part for part in (5, 2) if span / (step / part) <= MOST and step / part >= 1), step
        )
    widths = [n * d.axis.per_second for n in _SECONDS if not d.axis.whole_days or n >= 86_400]
    return next(
        (width for width in widths if span / width <= MOST), widths[-1] * math.ceil(span / widths[-1] / MOST)
    )
