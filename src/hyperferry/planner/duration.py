"""Durations: what the user wrote, as microseconds, and microseconds as people and SQL write them."""

from __future__ import annotations

import re

from ..errors import Usage

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

_UNITS = {
    **dict.fromkeys(("us", "usec", "usecs", "microsecond", "microseconds"), 1),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1_000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), SECOND),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), MINUTE),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), HOUR),
    **dict.fromkeys(("d", "day", "days"), DAY),
    **dict.fromkeys(("w", "week", "weeks"), WEEK),
}
_CALENDAR = frozenset(
    [
        "mon",
        "mons",
        "month",
        "months",
        "y",
        "yr",
        "yrs",
        "year",
        "years",
        "decade",
        "decades",
        "century",
        "centuries",
        "quarter",
        "quarters",
    ]
)
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*,?", re.IGNORECASE)
_ISO = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE
)
_CLOCK = re.compile(r"\s*(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?\s*")


def _unknown(text: str) -> Usage:
    return Usage(
        f"The chunk interval {text!r} is not understood.",
        facts={"given": text},
        remedy="write a number and a unit, such as '7 days', '12 hours', '1 week' or 'PT12H'; "
        "for an integer time column also a number in the column's own unit.",
    )


def _calendar(text: str) -> Usage:
    # TimescaleDB's interval_to_usec counts a month as 30 days without saying so.
    return Usage(
        f"The chunk interval {text!r} is in months or years, which have no fixed length.",
        facts={"given": text, "what TimescaleDB makes of it": "a month of 30 days, without saying so"},
        remedy="give it in days: '30 days' for about a month, '365 days' for about a year.",
    )


def parse_duration(text: str) -> int:
    """Microseconds of '7 days', '1 day 12 hours', '90min', '12:00:00', 'P1W', 'PT12H'. Raises Usage for
    anything else, months and years among it, and for what is not longer than zero."""
    width = _parse(text)
    if width <= 0:
        raise _unknown(text)
    return width


def _parse(text: str) -> int:
    iso = _ISO.fullmatch(text.strip())
    if iso and any(iso.groups()):
        years, months, *fixed = (int(group or 0) for group in iso.groups())
        if years or months:
            raise _calendar(text)
        return sum(n * unit for n, unit in zip(fixed, (WEEK, DAY, HOUR, MINUTE, SECOND), strict=True))
    total = 0
    position = 0
    while position < len(text.rstrip()):
        clock = _CLOCK.match(text, position)
        part = _PART.match(text, position)
        if clock:
            hours, minutes, seconds, fraction = clock.groups()
            total += int(hours) * HOUR + int(minutes) * MINUTE + int(seconds) * SECOND
            total += int((fraction or "").ljust(6, "0"))
            position = clock.end()
        elif part:
            unit = part[2].lower()
            if unit in _CALENDAR:
                raise _calendar(text)
            if unit not in _UNITS:
                raise _unknown(text)
            number, _, decimals = part[1].partition(".")
            total += int(number) * _UNITS[unit]
            total += int(decimals or 0) * _UNITS[unit] // 10 ** len(decimals)
            position = part.end()
        else:
            raise _unknown(text)
    return total


def duration_text(microseconds: int) -> str:
    """The duration in the largest unit that divides it: '7 days', '12 hours', '90 minutes'."""
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second")):
        if microseconds % unit == 0:
            count = microseconds // unit
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return f"{microseconds} microseconds"
