"""How places on a table's time are counted, and said in words.

A *place* is seconds since 1970-01-01 UTC for dates and timestamps, and the number itself for an integer column. A *width* is a
length in the same unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["INTEGER_UNITS", "Axis", "axis_of_integers", "length_text"]

# Seconds since 1970 of 1990-01-01 and 2100-01-01: a number between them is taken for a time, as the planner does it.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
INTEGER_UNITS = (
    ("seconds", 1),
    ("milliseconds", 1_000),
    ("microseconds", 1_000_000),
    ("nanoseconds", 1_000_000_000),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTHS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True)
class Axis:
    """The unit of the places. `per_second`: how many make a second, None for an integer column whose values do not tell."""

    integer: bool = False
    whole_days: bool = False
    per_second: float | None = 1.0
    unit: str = "seconds"

    def seconds(self, width: float) -> float | None:
        """A width in seconds; None where the unit is not known."""
        return None if self.per_second is None else width / self.per_second

    def place_words(self, place: float) -> str:
        """A place as people read it: a date, with the hour where the column has one; a number where the unit is not known."""
        if self.per_second is None:
            return f"{place:,.0f}"
        try:
            at = _EPOCH + timedelta(seconds=place / self.per_second)
        except OverflowError:
            return f"{place:,.0f}" if self.integer else f"{place / 31_556_952 + 1970:,.0f}"
        if self.whole_days or (at.hour, at.minute, at.second) == (0, 0, 0):
            return f"{at:%Y-%m-%d}"
        return f"{at:%Y-%m-%d %H:%M}"

    def width_words(self, width: float) -> str:
        """A width as people say it: '7 days', '36 hours'; a number where the unit is not known."""
        return f"{width:,.0f}" if self.per_second is None else length_text(width / self.per_second)


def length_text(seconds: float) -> str:
    """A length of time with one unit and at most one decimal: '7 days', '1.5 hours', '36 hours'."""
    for name, size in _LENGTHS:
        number = seconds / size
        if number >= 100:
            return f"{number:,.0f} {name}s"
        if number >= 2 or (number >= 1 and number == int(number)):
            text = f"{number:.1f}".removesuffix(".0")
            return f"{text} {name}{'' if text == '1' else 's'}"
    return f"{seconds:.2g} seconds" if seconds else "0 seconds"


def axis_of_integers(typical: float | None) -> Axis:
    """The axis of an integer column by a typical value (the median): seconds, milli-, micro- or nanoseconds since 1970, where it
    lies between 1990 and 2100 in one of them; else of no known unit."""
    for name, per_second in INTEGER_UNITS:
        if typical is not None and _EARLIEST * per_second <= typical <= _LATEST * per_second:
            return Axis(integer=True, per_second=float(per_second), unit=name)
    return Axis(integer=True, per_second=None, unit="its own unit")
