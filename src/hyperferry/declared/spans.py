"""Lengths of time as users write them in the file: also in months and years, which a policy may have and a chunk may not."""

from __future__ import annotations

import re

from ..errors import Usage
from ..model.declared import Span
from ..planner.duration import parse_duration

_MONTHS = {
    **dict.fromkeys(("mon", "mons", "month", "months"), 1),
    **dict.fromkeys(("quarter", "quarters"), 3),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), 12),
    **dict.fromkeys(("decade", "decades"), 120),
    **dict.fromkeys(("century", "centuries"), 1200),
}
_PART = re.compile(
    r"(?<![\w.])(\d+)\s*(" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")(?![a-z])\s*,?",
    re.IGNORECASE,
)
_ISO = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?((?:\d+W)?(?:\d+D)?(?:T[\dHMS]+)?)", re.IGNORECASE)
_ZERO = re.compile(r"0+\s*[a-z]+", re.IGNORECASE)
_MOST_MONTHS = 12 * 10_000


def parse_span(value: object, *, zero: bool = False) -> Span:
    """'30 days', '2 years', '1 month 12 hours', 'P1Y', or an integer in a time column's own unit; `zero`: nothing at all is
    a length too. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0 or (value == 0 and not zero):
            raise ValueError(f"{value} is not longer than zero")
        if value > 2**63 - 1:
            raise ValueError(f"{value} is more than a bigint holds")
        return Span(units=value)
    if not isinstance(value, str):
        raise ValueError(
            "a length of time is expected, such as '30 days' (or a number, for an integer time column)"
        )
    text = value.strip()
    if text.replace("_", "").isdecimal() and text.isascii():
        return parse_span(int(text), zero=zero)
    if zero and _ZERO.fullmatch(text):
        return Span()
    months, rest = _calendar(text)
    if months > _MOST_MONTHS:
        raise ValueError(f"{value!r} is longer than 10,000 years")
    if not rest and months:
        return Span(months)
    try:
        return Span(months, parse_duration(rest))
    except Usage:
        raise ValueError(
            f"{value!r} is no length of time; write a number and a unit, such as '30 days', '12 hours', '2 years'"
        ) from None


def _calendar(text: str) -> tuple[int, str]:
    """The months in it, and what is left."""
    iso = _ISO.fullmatch(text)
    if iso and (iso[1] or iso[2]):
        return int(iso[1] or 0) * 12 + int(iso[2] or 0), f"P{iso[3]}" if iso[3] else ""
    months = sum(int(part[1]) * _MONTHS[part[2].lower()] for part in _PART.finditer(text))
    return months, _PART.sub(" ", text).strip()
