"""All breaks, by invariant; those of compression by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from . import compression, i0, i1, i2, i3, i4, i5, i6, i7, i8, i9
from .model import Break

CATALOGUE: dict[str, tuple[Break, ...]] = {
    "I0": i0.BREAKS,
    "I1": i1.BREAKS,
    "I2": i2.BREAKS,
    "I3": i3.BREAKS,
    "I4": i4.BREAKS,
    "I5": i5.BREAKS,
    "I6": i6.BREAKS,
    "I7": i7.BREAKS,
    "I8": i8.BREAKS,
    "I9": i9.BREAKS,
    "C": compression.BREAKS,
}

BREAKS = tuple(one for breaks in CATALOGUE.values() for one in breaks)

_INVARIANTS = {one.name: invariant for invariant, breaks in CATALOGUE.items() for one in breaks}


def invariant_of(one: Break) -> str:
    """`I3`, or `C` for compression."""
    return _INVARIANTS[one.name]


def chosen(words: Sequence[str]) -> tuple[Break, ...]:
    """The breaks of these names or invariants; all where nothing is named. Raises SystemExit for an unknown one."""
    if unknown := [word for word in words if word not in _INVARIANTS and word not in CATALOGUE]:
        raise SystemExit(f"There is no break or invariant called {', '.join(unknown)}.")
    return tuple(one for one in BREAKS if not words or one.name in words or invariant_of(one) in words)
