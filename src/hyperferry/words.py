"""Numbers and names in words, for people. Pure; used by the command line and the demo."""

from __future__ import annotations

import math
import re

__all__ = ["SAID_BEFORE", "about_to_read", "count", "duration", "milliseconds", "one_line", "plural", "size", "visible"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text with control characters written out: a table's name must not steer a terminal."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """The text in one line, for a comment: a name with a line feed in it would go on as a statement. Control characters are
    written out."""
    return visible(" ".join(text.split()))


SAID_BEFORE = 2.0
"""What is expected to take longer than so many seconds is announced."""


def about_to_read(table: object, by_index: bool, seconds: float) -> str | None:
    """That the rows of the table, or (`by_index`) their times in an index, are about to be read; None where that is quick."""
    if seconds <= SAID_BEFORE:
        return None
    what = f"Looking up the times of {table} in an index" if by_index else f"Reading every row of {table} once"
    return f"{what}; this takes about {duration(seconds)}."


def count(number: int) -> str:
    """1234567 -> '1,234,567'."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """3, 'row' -> '3 rows'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: '0.04 s', '12 s', '3 min 20 s', '2 h 5 min', '3 d 4 h'."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def size(number: float) -> str:
    """Bytes as a person says them: '376 MB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1024:
            return f"{number:,.0f} {unit}"
        number /= 1024
    return f"{number:,.1f} TB"


def milliseconds(number: float) -> str:
    """Milliseconds with as many digits as mean something."""
    return f"{number:.1f} ms" if number < 100 else f"{number:,.0f} ms"
