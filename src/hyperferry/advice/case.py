"""What every rule gets: the distribution, the statements as they were read, the width of a chunk, what is known of late rows."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.axis import length_text
from ..model.distribution import Distribution, Lag
from ..model.inspection import Column
from ..model.names import quoted_if_needed
from .shapes import Shape
from .spreads import by_interval, used

NICE_HOURS = (
    1,
    2,
    3,
    6,
    12,
    *(24 * n for n in (1, 2, 3, 7, 14, 30, 60, 90, 180, 365, 730, 1095, 1825, 3650)),
)
"""Lengths that people would write."""
TRUSTED = 0.1
"""Where more of the rows than this were updated or deleted, the order on disk says nothing of when rows came."""


@dataclass(frozen=True)
class Width:
    """The width of a chunk: as a place, in microseconds (None: the unit is not known), as toml and as people say it."""

    place: float
    microseconds: int | None
    toml: str
    words: str
    reason: tuple[str, ...]
    kept: bool = False  # it is what the hypertable has


@dataclass(frozen=True)
class Window:
    """How long after its time something still happens to a row, in seconds, and by what that was judged."""

    seconds: float
    words: str


@dataclass(frozen=True)
class Case:
    """What is judged. `width` None: there is no telling. `given`: the interval that the settings hold, as it was written."""

    d: Distribution
    shapes: tuple[Shape, ...] = ()
    width: Width | None = None
    given: str | None = None
    late: Window | None = None
    updates: Window | None = None

    @property
    def time(self) -> Column:
        """The time column."""
        column = self.d.inspection.time
        assert column is not None
        return column

    @property
    def time_sql(self) -> str:
        """Its name as in SQL."""
        return quoted_if_needed(self.time.name)

    @property
    def community(self) -> bool:
        """Whether the server has the Community edition."""
        return self.d.inspection.server.edition == "community"

    @property
    def chunks(self) -> int:
        """Chunks now: those there are, or as many as the width would make."""
        if self.d.hypertable and self.width is not None and self.width.kept:
            return len(self.d.chunks)
        return 0 if self.d.spread is None or self.width is None else used(self.d.spread, self.width.place)

    @property
    def rows_per_chunk(self) -> float:
        """Rows of a chunk on average."""
        if self.d.spread is None or self.width is None:
            return self.d.rows
        return sum(by_interval(self.d.spread, self.width.place).values()) / max(
            used(self.d.spread, self.width.place), 1
        )

    def length(self, seconds: float) -> str:
        """A length for the toml file: '7 days' in quotes, or a number in an integer column's unit."""
        if self.d.axis.integer and self.d.axis.per_second is not None:
            return str(int(seconds * self.d.axis.per_second))
        return f'"{nice_words(seconds)}"'


def nice(seconds: float) -> float:
    """The next length that people would write, not shorter."""
    return next(
        (hours * 3600.0 for hours in NICE_HOURS if hours * 3600.0 >= seconds - 1),
        -(-seconds // 86_400) * 86_400.0,
    )


def nice_words(seconds: float) -> str:
    """Such a length: '7 days', '12 hours', '10 minutes'."""
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


def late_window(d: Distribution) -> Window | None:
    """How late 999 of 1,000 rows come at most; None where nothing tells."""
    if d.arrival is not None:
        return _window(d.arrival, "rows come")
    writes = d.writes
    rewritten = writes is not None and writes.updated + writes.deleted > TRUSTED * max(d.rows, 1.0)
    if d.disorder is not None and not rewritten:
        return _window(d.disorder, "rows come")
    return None


def update_window(d: Distribution) -> Window | None:
    """How long after its time 999 of 1,000 changed rows are changed at most; None where nothing tells."""
    found = [_window(lag, "changes come") for lag in (d.touched, d.logged) if lag is not None]
    if found:
        return max(found, key=lambda window: window.seconds)
    writes = d.writes
    if writes is not None and writes.updated + writes.deleted == 0 and writes.inserted > 0:
        since = "since it was made" if writes.since is None else f"since {writes.since[:16]}"
        return Window(0.0, f"the server counted {writes.inserted:,} inserts and no update or delete {since}")
    return None


def _window(lag: Lag, what: str) -> Window:
    return Window(
        lag.p999,
        f"by {lag.source}, {lag.rows:,} rows: half of the {what} within {length_text(lag.p50)} of their time, 99 % within "
        f"{length_text(lag.p99)}, 99.9 % within {length_text(lag.p999)}, the last after {length_text(lag.largest)}",
    )
