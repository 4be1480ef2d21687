"""What `hyperferry.toml` wants of a hypertable: chunk interval, indexes, compression, policies, continuous aggregates.

In every wish, None means that the file says nothing of it: what the database has is left alone. False means that it is to go.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Literal

__all__ = [
    "Compression",
    "ContinuousAggregate",
    "Declared",
    "DeclaredIndex",
    "OrderBy",
    "Refresh",
    "Reorder",
    "Retention",
    "Span",
]

_DAY = 86_400_000_000
_UNITS = ((_DAY, "day"), (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second"))
_CYCLE = 400 * 12
"""After so many months the calendar is the same again, leap years and all."""


@dataclass(frozen=True)
class Span:
    """A length of time: months (which have no fixed length) and microseconds, a day being 24 hours; or, for an integer
    time column, `units` of that column."""

    months: int = 0
    microseconds: int = 0
    units: int | None = None

    @property
    def about(self) -> int:
        """Microseconds, a month being 30 days as PostgreSQL compares intervals; or the units. What is right on every day of
        the calendar is `may_exceed`."""
        return self.units if self.units is not None else self.months * 30 * _DAY + self.microseconds

    @property
    def integer(self) -> bool:
        """Whether it is in the units of an integer column."""
        return self.units is not None

    @property
    def days(self) -> tuple[int, int]:
        """How many whole days it is at least and at most, by the day that it is counted from."""
        least, most = days_of(self.months)
        whole = self.microseconds // _DAY
        return least + whole, most + whole

    def may_exceed(self, other: Span) -> bool:
        """Whether, counted back from some day, it reaches further than the other. '6 months' are 181 to 184 days, and '1 year'
        is never more than '12 months'. Lengths of different kinds do not compare."""
        if self.units is not None or other.units is not None:
            return self.units is not None and other.units is not None and self.units > other.units
        more = self.months - other.months
        # Both are counted back from the same day, so that only the months which one has more are of no fixed length.
        reach = days_of(more)[1] if more >= 0 else -days_of(-more)[0]
        return reach * _DAY + self.microseconds > other.microseconds

    def __str__(self) -> str:
        """As people and PostgreSQL read it: '2 years', '1 month 12 hours', '86400'."""
        if self.units is not None:
            return str(self.units)
        parts = []
        if self.months:
            parts.append(
                _plural(*((self.months // 12, "year") if self.months % 12 == 0 else (self.months, "month")))
            )
        if self.microseconds or not self.months:
            parts.append(_fixed(self.microseconds))
        return " ".join(parts)


@lru_cache(maxsize=256)
def days_of(months: int) -> tuple[int, int]:
    """How many days so many months in a row have at least and at most. 31 March less a month is 28 or 29 February: what is
    cut off there is a month in a row as well."""
    cycles, rest = divmod(months, _CYCLE)
    if not rest:
        whole = cycles * sum(_lengths())
        return whole, whole
    ends = (0, *accumulate(_lengths() * 2))
    spans = [ends[first + rest] - ends[first] for first in range(_CYCLE)]
    whole = cycles * ends[_CYCLE]
    return whole + min(spans), whole + max(spans)


@lru_cache(maxsize=1)
def _lengths() -> tuple[int, ...]:
    """The days of each month from 2000 to 2399."""
    of_year = {
        leap: tuple(monthrange(2000 if leap else 2001, month)[1] for month in range(1, 13))
        for leap in (True, False)
    }
    return tuple(days for year in range(2000, 2400) for days in of_year[isleap(year)])


def _fixed(microseconds: int) -> str:
    for unit, name in _UNITS:
        if microseconds % unit == 0:
            return _plural(microseconds // unit, name)
    return f"{microseconds} microseconds"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number in (1, -1) else 's'}"


@dataclass(frozen=True)
class OrderBy:
    """A column that compressed rows are ordered by. `nulls_first` None: as in ORDER BY, last ascending and first descending."""

    column: str
    descending: bool = False
    nulls_first: bool | None = None

    @property
    def nulls_come_first(self) -> bool:
        """Where NULLs stand, with the default filled in."""
        return self.descending if self.nulls_first is None else self.nulls_first


@dataclass(frozen=True)
class Compression:
    """How chunks are compressed. `after` is a policy; `on_the_way`: closed chunks are compressed during a backfill already."""

    enabled: bool = True
    segment_by: tuple[str, ...] | None = None
    order_by: tuple[OrderBy, ...] | None = None
    after: Span | Literal[False] | None = None
    schedule: Span | None = None
    on_the_way: bool = False


@dataclass(frozen=True)
class Retention:
    """Chunks older than `after` are dropped by a policy."""

    after: Span
    schedule: Span | None = None


@dataclass(frozen=True)
class Reorder:
    """A policy that rewrites closed chunks in the order of an index."""

    index: str
    schedule: Span | None = None


@dataclass(frozen=True)
class DeclaredIndex:
    """An index. `columns` are as they stand in CREATE INDEX: a column or an expression, with DESC, NULLS, COLLATE or an operator
    class after it; `include` are names of columns, unquoted. Without a `name` one is made from the table's and the columns'
    names."""

    name: str | None
    columns: tuple[str, ...]
    include: tuple[str, ...] = ()
    where: str | None = None
    unique: bool = False
    method: str = "btree"


@dataclass(frozen=True)
class Refresh:
    """A policy that refreshes from `start_offset` to `end_offset` before now; None: without that bound."""

    schedule: Span
    start_offset: Span | None = None
    end_offset: Span | None = None


@dataclass(frozen=True)
class ContinuousAggregate:
    """A continuous aggregate. `name` is as in SQL; without a schema it is in the hypertable's."""

    name: str
    query: str
    materialized_only: bool | None = None
    refresh: Refresh | Literal[False] | None = None
    indexes: tuple[DeclaredIndex, ...] = ()
    compression: Compression | None = None
    retention: Retention | Literal[False] | None = None


@dataclass(frozen=True)
class Declared:
    """Everything that the file wants of one hypertable. `chunk_interval` is as it was written ('7 days', or a number).
    `updates_within` says how long after its time a row may still be changed; `time_column` what the table is cut by, which is no
    wish but checked."""

    time_column: str | None = None
    chunk_interval: str | None = None
    updates_within: Span | None = None
    compression: Compression | None = None
    retention: Retention | Literal[False] | None = None
    reorder: Reorder | Literal[False] | None = None
    indexes: tuple[DeclaredIndex, ...] = ()
    aggregates: tuple[ContinuousAggregate, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it wants nothing at all."""
        return replace(self, time_column=None) == Declared()
