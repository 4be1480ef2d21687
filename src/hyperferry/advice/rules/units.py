"""Mistakes of unit: an interval that is right in another unit than the column's, or makes absurdly few or many chunks."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import Usage
from ...model.advice import Caution
from ...model.axis import INTEGER_UNITS, length_text
from ...planner.duration import SECOND, parse_duration
from ...planner.interval import TOO_MANY_CHUNKS
from ...words import count
from ..case import NICE_HOURS, Case
from ..spreads import used

FEW = 20
"""So many chunks by the rule, where an interval makes two at most, are absurdly few."""


def check(case: Case) -> Iterator[Caution]:
    """The hypertable's own interval, and the one in the settings."""
    given = _given(case)
    if isinstance(given, Caution):
        yield given
    elif given is not None and given != case.d.interval:
        yield from _judge(
            case, given, "the chunk interval in the settings", "correct chunk_interval (or --chunk-interval)"
        )
    if case.d.interval is not None:
        remedy = "correct it for new chunks with `SELECT set_chunk_time_interval(...)`; those there are keep their width"
        yield from _judge(case, case.d.interval, "the hypertable's chunk interval", remedy)


def _given(case: Case) -> float | Caution | None:
    """The settings' interval as a place; a caution where it cannot be one."""
    text = case.given
    if text is None:
        return None
    bare = text.strip().replace("_", "").isdigit()
    if bare and case.d.axis.integer:
        return float(text.strip().replace("_", ""))
    if bare:
        return Caution(
            "units",
            f"the chunk interval {text} in the settings has no unit, and {case.time_sql} is of type {case.time.type_sql}",
            "write '7 days' or '12 hours'; TimescaleDB would take a bare number for microseconds",
        )
    try:
        microseconds = parse_duration(text)
    except Usage as error:
        return Caution("units", error.message, error.remedy or "write '7 days'")
    if case.d.axis.per_second is None:
        return Caution(
            "units",
            f"the chunk interval {text!r} in the settings is a length of time, and the values of {case.time_sql} do not "
            "tell their unit",
            "give a number in the column's own unit",
        )
    return microseconds / SECOND * case.d.axis.per_second


def _judge(case: Case, place: float, what: str, remedy: str) -> Iterator[Caution]:
    d, spread = case.d, case.d.spread
    other = _other_unit(case, place)
    if other is not None:
        yield Caution(
            "units",
            f"{what} is {place:,.0f}: {other} in one chunk, for the values of {case.time_sql} are {d.axis.unit}",
            remedy,
        )
    elif spread is not None:
        span = (spread.high - spread.low) / place
        chunks = used(spread, place) if span < 10_000_000 else round(span)
        if chunks > TOO_MANY_CHUNKS:
            yield Caution(
                "chunk-count",
                f"{what} is {d.axis.width_words(place)} and makes about {count(chunks)} chunks; more than "
                f"{count(TOO_MANY_CHUNKS)} make "
                "planning slow",
                remedy,
            )
        elif (
            chunks <= 2
            and case.width is not None
            and not case.width.kept
            and used(spread, case.width.place) >= FEW
        ):
            yield Caution(
                "chunk-count",
                f"{what} is {d.axis.width_words(place)} and makes {count(chunks)} chunk{'s' if chunks > 1 else ''} of "
                "all rows: there "
                f"is nothing to leave out, compress or drop by (the rule makes {count(used(spread, case.width.place))})",
                remedy,
            )


def _other_unit(case: Case, place: float) -> str | None:
    """'7 days in microseconds would be 19 years' where the number is a usual length in another unit, and none in the column's."""
    per_second = case.d.axis.per_second
    if not case.d.axis.integer or per_second is None or _usual(place / per_second):
        return None
    for name, other in INTEGER_UNITS:
        if other != per_second and _usual(place / other):
            return f"that is {_length(place / other)} in {name}, and would be {_length(place / per_second)}"
    return None


def _length(seconds: float) -> str:
    if seconds >= 2 * 365 * 86_400:
        return f"{seconds / 365 / 86_400:,.0f} years"
    return length_text(seconds)


def _usual(seconds: float) -> bool:
    """Whether it is a width that a chunk may well have: whole hours or days up to ten years, as people write them."""
    usual = (*NICE_HOURS, *(24 * n for n in (4, 5, 10, 21, 28, 31, 364)))
    return any(abs(seconds - hours * 3_600) < 1e-6 * seconds for hours in usual)
