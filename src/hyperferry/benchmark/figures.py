"""Medians and percentiles, and whether one set of runs is slower than another. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, groupby

from ..words import milliseconds
from .options import Measured, Run, Verdict

AGREED = 0.75
"""From which part of the pairs of runs on a difference is taken for one: chance alone gives 0.5."""
CHANCE = 0.05
"""How often, at most, the mere order of runs is to make a loss of some sets of values where there is none."""


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


@dataclass(frozen=True)
class Lost:
    """A set of values (`draw`) whose median is beyond the threshold: after over before, and the milliseconds between them.
    `runs`: how many there are on the side that has fewer. `certain`: its own runs leave no doubt."""

    draw: int
    ratio: float
    ms: float
    runs: int
    certain: bool


def lost(before: Sequence[Run], after: Sequence[Run], threshold: float, ignored: float) -> list[Lost]:
    """The sets of values that lose by more than threshold and `ignored`, and by most of their own pairs of runs.

    Their number makes chance likely: with two runs on each side, equal ones agree as far in every third set. So a set is
    certain only where two runs or more on each side leave a gap (the fastest after against the slowest before) that is beyond
    the threshold by itself, and wider than the runs of any set on one side differ: of more sets the widest is wider; or
    where chance orders the runs of any of the sets so in one benchmark of twenty at most (`_by_chance` times the sets). Runs
    of a set that differ by no more than `ignored` say nothing of how far those of others do.
    """
    old, new = _by_draw(before), _by_draw(after)
    common = sorted(old.keys() & new.keys())
    telling = [each for draw in common for each in (old[draw], new[draw]) if max(each) - min(each) > ignored]
    spread = max((_ratio(min(each), max(each)) for each in telling), default=1.0)
    found = []
    for draw in common:
        b, a = old[draw], new[draw]
        ratio, ms = _ratio(statistics.median(b), statistics.median(a)), statistics.median(a) - statistics.median(b)
        if not _beyond(ratio, ms, threshold, ignored) or _agreed(b, a) < AGREED:
            continue
        runs = min(len(b), len(a))
        gap = _ratio(max(b), min(a))
        apart = gap > spread and _beyond(gap, min(a) - max(b), threshold, ignored)
        certain = runs > 1 and (apart or _by_chance(b, a) * len(common) <= CHANCE)
        found.append(Lost(draw, ratio, ms, runs, certain))
    return found


def lost_for_certain(before: Sequence[Run], after: Sequence[Run], threshold: float, ignored: float) -> list[Lost]:
    """Those of `lost` that count: the certain ones. Where each set ran once, none is."""
    return [each for each in lost(before, after, threshold, ignored) if each.certain]


def _outstanding(found: Sequence[Lost], before: Sequence[Run], after: Sequence[Run], ignored: float) -> list[Lost]:
    """Those that lose more than any set gains by the square of its ratio: chance goes both ways."""
    gained = max((each.ratio for each in lost(after, before, 0, ignored)), default=1.0)
    return [each for each in found if each.ratio > gained**2]


def telling_runs(sets: int) -> int:
    """The smallest number of runs in all with which a set of values that loses in all of its runs is told from chance."""
    each = next(runs for runs in count(2) if sets / math.comb(2 * runs, runs) <= CHANCE)
    return each * sets


def losing_sets(before: Measured, after: Measured, threshold: float, ignored: float) -> str:
    """How many sets of values lose and how much, where a part of them does; '' otherwise."""
    found = lost_for_certain(before.runs, after.runs, threshold, ignored)
    sets = len({run.draw for run in before.runs} & {run.draw for run in after.runs})
    if not found or len(found) == sets:
        return ""
    ratio, ms = (statistics.median(each) for each in zip(*((one.ratio, one.ms) for one in found), strict=True))
    return f"{len(found)} of {sets} sets of values are slower, by {milliseconds(ms)} in the middle (ratio {ratio:.2f})"


def slowest_allowed(usual: float, threshold: float, ignored: float) -> float:
    """The milliseconds that a query may take whose median before is `usual`."""
    return max(usual * (1 + threshold / 100), usual + ignored)


def _by_draw(runs: Sequence[Run]) -> dict[int, list[float]]:
    ordered = sorted(runs, key=lambda run: run.draw)
    return {draw: [run.total_ms for run in each] for draw, each in groupby(ordered, key=lambda run: run.draw)}


def _ratio(old: float, new: float) -> float:
    return new / old if old > 0 else math.inf if new > 0 else 1.0


def _beyond(ratio: float, ms: float, threshold: float, ignored: float) -> bool:
    return ratio > 1 + threshold / 100 and ms > ignored


def _agreed(before: Sequence[float], after: Sequence[float]) -> float:
    pairs = [(b, a) for b in before for a in after]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for b, a in pairs) / len(pairs)


def _by_chance(before: Sequence[float], after: Sequence[float]) -> float:
    """About how likely equal sides would be to agree so far or farther (Mann and Whitney; exact where no run is out of place)."""
    n, m = len(before), len(after)
    agreed = _agreed(before, after)
    if agreed == 1:
        return 1 / math.comb(n + m, n)
    score = ((agreed - 0.5) * n * m - 0.5) / math.sqrt(n * m * (n + m + 1) / 12)
    return max(1 / math.comb(n + m, n), 0.5 * math.erfc(score / math.sqrt(2)))


def judge(
    before: Measured | None, after: Measured, threshold: float, ignored: float
) -> tuple[Verdict, float | None, float | None]:
    """The verdict, after over before of the medians of all runs, and the agreement. `threshold` in percent, `ignored` in ms.

    Slower means: the median of planning and execution together is more than the threshold above, by more than `ignored`, and
    most pairs of runs with the same values say so; of all runs, or of some sets of values beyond what chance explains
    (`lost_for_certain`), whatever the others gain. Faster is the first of it from the other side, and no set that loses stands
    out (`_outstanding`). Unclear: figures say slower or faster, or a set of values that stands out does, and too few runs agree
    on it.
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
    ratio, agreed = _ratio(old, new), agreement(before.runs, after.runs)
    return _verdict(before.runs, after.runs, (old, new, agreed), threshold, ignored), ratio, agreed


def _verdict(
    before: Sequence[Run], after: Sequence[Run], whole: tuple[float, float, float], threshold: float, ignored: float
) -> Verdict:
    old, new, agreed = whole
    slower = _beyond(_ratio(old, new), new - old, threshold, ignored)
    faster = _beyond(_ratio(new, old), old - new, threshold, ignored)
    if (slower and agreed >= AGREED) or lost_for_certain(before, after, threshold, ignored):
        return Verdict.SLOWER
    losing = lost(before, after, threshold, ignored)
    if _outstanding(losing, before, after, ignored):
        return Verdict.UNCLEAR
    if faster and (agreed <= 1 - AGREED or (not losing and lost_for_certain(after, before, threshold, ignored))):
        return Verdict.FASTER
    return Verdict.UNCLEAR if slower or faster else Verdict.SAME
