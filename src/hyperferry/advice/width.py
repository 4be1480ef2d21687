"""The width of a chunk: the planner's (25 % of the memory, by the average), held against the busiest interval of a year."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ..errors import HyperferryError
from ..model.distribution import Distribution, Spread
from ..model.inspection import Inspection, ScanFacts
from ..planner.duration import DAY, SECOND, duration_text
from ..planner.interval import (
    DEFAULT_WIDTH,
    ENOUGH_CHUNKS,
    MANY_CHUNKS,
    MEMORY_SHARE,
    SMALL_CHUNK,
    STEPS,
    choose_interval,
)
from ..words import size
from . import toml
from .case import Width
from .spreads import busiest, bytes_per_row, index_bytes_per_row, last_year, used

LIKE = 4.0
"""A hypertable's own interval is kept where it fits, and is no more than so many times wider or narrower than the rule's."""
_EARLIEST, _LATEST = 631_152_000.0, 4_102_444_800.0


def memory_bytes(d: Distribution) -> float:
    """What the indexes of the chunks being written should fit in."""
    return d.inspection.server.shared_buffers_bytes * MEMORY_SHARE


def busiest_bytes(d: Distribution, spread: Spread, place: float) -> float:
    """Bytes of indexes of the fullest interval of the last year."""
    return busiest(spread, place, last_year(d, spread)) * index_bytes_per_row(d)


def choose(d: Distribution) -> Width | None:
    """The width; None where the unit of an integer column cannot be told."""
    spread, time = d.spread, d.inspection.time
    if time is None or (d.axis.integer and d.axis.per_second is None):
        return _own(d, ()) if d.interval is not None else None
    try:
        planned = choose_interval(_inspection(d, spread), time, None)
    except HyperferryError:
        return _own(d, ()) if d.interval is not None else None
    per_second = d.axis.per_second or 1.0
    microseconds = round(planned.width * SECOND / per_second) if planned.integer else planned.width
    lines = list(planned.reason)
    if spread is not None:
        narrower = _for_the_busiest(d, spread, microseconds)
        lines += narrower[1]
        microseconds = narrower[0]
    found = width_of(d, microseconds, tuple(lines))
    if d.interval is not None and spread is not None and _fits(d, spread, d.interval, found.place):
        return _own(d, found.reason, found.words)
    return found


def width_of(d: Distribution, microseconds: int, reason: tuple[str, ...]) -> Width:
    """A width in microseconds as the column counts."""
    per_second = d.axis.per_second or 1.0
    place = microseconds / SECOND * per_second
    words = duration_text(microseconds)
    return Width(
        place, microseconds, str(round(place)) if d.axis.integer else toml.text(words), words, reason
    )


def _for_the_busiest(d: Distribution, spread: Spread, microseconds: int) -> tuple[int, list[str]]:
    """Narrower, where the busiest interval's indexes would not fit, and chunks do not become too many or next to nothing."""
    memory = memory_bytes(d)
    place = microseconds / SECOND * (d.axis.per_second or 1.0)
    peak = busiest_bytes(d, spread, place)
    if peak <= memory or used(spread, place) <= 1:
        return microseconds, [
            f"the busiest {duration_text(microseconds)} of the last year of data holds {size(peak)} of indexes"
        ]
    steps = [step for step in STEPS if step < microseconds and not (d.axis.whole_days and step % DAY)]
    for step in reversed(steps):
        narrower = step / SECOND * (d.axis.per_second or 1.0)
        chunks = used(spread, narrower)
        if chunks > MANY_CHUNKS or (
            chunks > ENOUGH_CHUNKS and bytes_per_row(d) * d.rows / chunks < SMALL_CHUNK
        ):
            break
        fits = busiest_bytes(d, spread, narrower)
        if fits <= memory:
            return step, [
                f"but the rows do not come evenly: the busiest {duration_text(microseconds)} of the last year of data holds "
                f"{size(peak)} of indexes, the busiest {duration_text(step)} {size(fits)}; so {duration_text(step)}"
            ]
    return microseconds, [
        f"the busiest {duration_text(microseconds)} of the last year of data holds {size(peak)} of indexes, which do "
        "not fit; "
        "narrower chunks would be too many, or hold next to nothing"
    ]


def _fits(d: Distribution, spread: Spread, own: float, ruled: float) -> bool:
    return own <= LIKE * ruled and ruled <= LIKE * own and busiest_bytes(d, spread, own) <= memory_bytes(d)


def _own(d: Distribution, reason: tuple[str, ...], ruled: str | None = None) -> Width:
    assert d.interval is not None
    seconds = d.axis.seconds(d.interval)
    microseconds = None if seconds is None else round(seconds * SECOND)
    words = f"{d.interval:.0f}" if microseconds is None else duration_text(microseconds)
    written = f"{d.interval:.0f}" if d.axis.integer else toml.text(words)
    said = "the hypertable's own interval"
    if ruled is not None and ruled != words:
        said += (
            f", which fits as well: kept, for a change of it reaches new chunks only (the rule gives {ruled})"
        )
    return Width(d.interval, microseconds, written, words, (*reason, f"{words}: {said}"), kept=True)


def _inspection(d: Distribution, spread: Spread | None) -> Inspection:
    """What the planner takes its width from, with the bulk of the rows for the span."""
    made = d.inspection
    table = replace(
        made.table,
        index_bytes=round(index_bytes_per_row(d) * d.rows),
        total_bytes=round(bytes_per_row(d) * d.rows),
    )
    if spread is None:
        return replace(made, table=table, scan=None)
    per_second = d.axis.per_second or 1.0
    week = DEFAULT_WIDTH / SECOND * per_second
    low, high = spread.low, spread.high
    if d.axis.integer:
        low, high = max(low, _EARLIEST * per_second), min(high, _LATEST * per_second)
    scan = ScanFacts(
        rows=round(d.rows),
        nulls=round(d.nulls),
        infinite=0,
        minimum=_text(d, low),
        maximum=_text(d, high),
        buckets=used(spread, week),
        far_rows=0,
        far_examples=(),
        check_violations=(),
        seconds=0.0,
        interval=str(round(week)) if d.axis.integer else "7 days",
        rows_exact=False,
    )
    return replace(made, table=table, scan=scan)


def _text(d: Distribution, place: float) -> str | None:
    if d.axis.integer:
        return str(round(place))
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=place)).isoformat()
    except OverflowError:
        return None
