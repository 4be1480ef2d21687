"""What the flag may say: on, off, or a share of the calls."""

from __future__ import annotations

import zlib

_ON = frozenset({"1", "on", "true", "yes", "t", "y", "all"})
_OFF = frozenset({"0", "off", "false", "no", "f", "n", "none", ""})
_PARTS = 10_000
"""A key falls into one of so many parts: hundredths of a percent."""


def parse(text: str) -> float:
    """The share, 0 to 100, of `on`, `off` (with their like: true, yes, 1, ...) or a percentage such as `12.5%`.

    Raises ValueError, which says what is understood, for anything else: a misspelt flag must not count as either.
    """
    word = text.strip().lower()
    if word in _ON:
        return 100.0
    if word in _OFF:
        return 0.0
    if word.endswith("%"):
        try:
            share = float(word[:-1])
        except ValueError:
            share = -1.0
        if 0 <= share <= 100:
            return share
    raise ValueError(f"{text!r} is none of: on, off, a percentage from 0% to 100%")


def described(share: float) -> str:
    """The share in words that `parse` understands."""
    return {100.0: "on", 0.0: "off"}.get(share, f"{share:g}%")


def part_of(key: object) -> float:
    """Where a key stands, 0 to just under 100: the same in every process, so that who is among the first 5 % is among the first
    10 % too. By the key's text."""
    return zlib.crc32(str(key).encode("utf-8", "surrogatepass")) % _PARTS * 100 / _PARTS
