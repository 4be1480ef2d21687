"""How the rows of a table are about to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Reading"]


@dataclass(frozen=True)
class Reading:
    """By an index on the time, or by a pass over all rows; and how many seconds that takes, roughly."""

    by_index: bool
    seconds: float
