"""Whether two results are the same rows, and whether a difference is only that one side is behind. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MOST_KEPT = 1000


class Outcome(StrEnum):
    """What came of a shadow read."""

    SAME = "same"
    LAG = "lag"
    """Differed while changes were under way, and no more when they had arrived."""
    DIFFERENT = "different"
    UNSETTLED = "unsettled"
    """Differed, and the changes of that moment did not arrive for as long as was waited."""
    SKIPPED = "skipped"
    """Not comparable: LIMIT without ORDER BY, or more rows than are compared."""
    DROPPED = "dropped"
    """Not run: too many were waiting."""
    GONE = "gone"
    """The other side went away meanwhile: a cutover, rollback, finish or abort."""
    FAILED = "failed"


@dataclass(frozen=True)
class Difference:
    """Rows of one side alone, as text."""

    record: frozenset[str]
    other: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.record or self.other)

    def still(self, later: Difference) -> Difference:
        """What is in both: a row that was on its way is so no more."""
        return Difference(self.record & later.record, self.other & later.other)


def difference(record: Iterable[Sequence[Any]], other: Iterable[Sequence[Any]]) -> Difference:
    """The rows that one side has, or has more often; of very many, some. In any order; floats to 12 digits, since a sum's last
    ones depend on the order of its parts."""
    ours, theirs = Counter(map(_text, record)), Counter(map(_text, other))
    return Difference(_some(ours - theirs), _some(theirs - ours))


def tellable(rows: Iterable[Sequence[Any]]) -> bool:
    """Whether the values' texts say what they are: an object that shows where it lies in memory differs each time."""
    return not any(
        not isinstance(value, str | bytes | int | float) and value is not None and " at 0x" in repr(_plain(value))
        for row in rows
        for value in row
    )


def _some(rows: Counter[str]) -> frozenset[str]:
    return frozenset(sorted(f"{text} x{count}" for text, count in rows.items())[:MOST_KEPT])


def _text(row: Sequence[Any]) -> str:
    return repr(tuple(_plain(value) for value in row))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return format(value, ".12g")
    return bytes(value) if isinstance(value, memoryview) else value


def arrived(newest: int | None, oldest: int | None) -> bool:
    """Whether every change up to `newest` has been applied, where `oldest` is the oldest that has not."""
    return oldest is None or newest is None or newest < oldest


_LIMIT = re.compile(r"\b(LIMIT|FETCH FIRST|OFFSET)\b")
_ORDER = re.compile(r"\bORDER BY\b")


def comparable(statement: str) -> bool:
    """Whether the statement has to give the same rows each time: a part of rows in no order need not."""
    return _LIMIT.search(statement) is None or _ORDER.search(statement) is not None
