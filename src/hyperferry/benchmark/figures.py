"""Medians and percentiles, and whether one set of runs is slower than another. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from .options import Measured, Run, Verdict

AGREED = 0.75
"""From which part of the pairs of runs on a difference is taken for one: chance alone gives 0.5."""


def p95(values: Sequence[float]) -> float:
    """The smallest value that at least 95 % of the values do not exceed (nearest rank). At least one value."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)]


def median(runs: Sequence[Run], of: Callable[[Run], float]) -> float:
    """The middle of a figure over the runs. At least one run."""
    return float(statistics.median(of(run) for run in runs))


def agreement(before: Sequence[Run], after: Sequence[Run]) -> float:
    """The part of all pairs of runs with the same values in which after took longer; a tie counts half. 0.5 without pairs."""
    pairs = [(b.total_ms, a.total_ms) for b in before for a in after if b.draw == a.draw]
    if not pairs:
        return 0.5
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for b, a in pairs) / len(pairs)


def judge(
    before: Measured | None, after: Measured, threshold: float, ignored: float
) -> tuple[Verdict, float | None, float | None]:
    """The verdict, after over before of the medians, and the agreement. `threshold` in percent, `ignored` in milliseconds.

    Slower means: the median of planning and execution together is more than the threshold above, by more than `ignored`, and
    most pairs of runs say so. Faster is the same seen from the other side.
    """
    if before is None:
        return (Verdict.MEASURED if after.runs and after.error is None else Verdict.NOT_MEASURED), None, None
    if before.error is not None:
        return Verdict.NOT_MEASURED, None, None
    if after.error is not None:
        return Verdict.FAILED, None, None
    if not before.runs or not after.runs:
        return Verdict.NOT_MEASURED, None, None
    old, new = (median(each.runs, lambda run: run.total_ms) for each in (before, after))
    ratio = new / old if old > 0 else math.inf if new > 0 else 1.0
    agreed = agreement(before.runs, after.runs)
    limit = 1 + threshold / 100
    if abs(new - old) <= ignored:
        return Verdict.SAME, ratio, agreed
    if ratio > limit:
        return (Verdict.SLOWER if agreed >= AGREED else Verdict.UNCLEAR), ratio, agreed
    if ratio < 1 / limit:
        return (Verdict.FASTER if agreed <= 1 - AGREED else Verdict.UNCLEAR), ratio, agreed
    return Verdict.SAME, ratio, agreed
