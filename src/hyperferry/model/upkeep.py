"""What the upkeep of a hypertable plans and reports: index builds, refreshes, and the checks of continuous aggregates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .names import TableName


class IndexMethod(StrEnum):
    """How an index comes onto a hypertable.

    `concurrent`: on each chunk with CREATE INDEX CONCURRENTLY, adopted by one on the root at the end; no writer waits.
    `per chunk`: by TimescaleDB, a transaction a chunk; writers of the chunk in work wait for that chunk.
    `at once`: in one transaction; every writer waits for all of it.
    """

    CONCURRENT = "concurrent"
    PER_CHUNK = "per chunk"
    AT_ONCE = "at once"


@dataclass(frozen=True)
class IndexPlan:
    """What building an index would do. `missing` of `chunks` have no valid index of this definition yet, with `bytes`
    of rows; `largest` is the largest of them. `definition` is what stands behind the table's name in CREATE INDEX, as
    PostgreSQL prints it. `cleans` are invalid indexes that an interruption left. `there`: nothing is to be done."""

    name: TableName
    definition: str
    unique: bool
    method: IndexMethod
    chunks: int
    missing: int
    bytes: int
    largest: int
    compressed: int
    cleans: tuple[TableName, ...]
    there: bool
    notes: tuple[str, ...] = ()
    locks_all: bool = False

    @property
    def seconds(self) -> float:
        """About how long the building takes."""
        return self.bytes / BYTES_PER_SECOND

    @property
    def longest_wait(self) -> float:
        """About how long one writer may have to wait, in seconds."""
        if self.method is IndexMethod.CONCURRENT:
            return 0.0
        one_chunk = self.method is IndexMethod.PER_CHUNK and not self.locks_all
        return (self.largest if one_chunk else self.bytes) / BYTES_PER_SECOND


BYTES_PER_SECOND = 40_000_000
"""Bytes of a table's rows of which a B-tree is built in a second, about. Measured as CPU time, one process, pages in
memory, on PostgreSQL 17 and 18: 28 MB with a text or an expression first, 78 MB with two numbers, 133 MB where the
rows are in the index's order."""


@dataclass(frozen=True)
class IndexReport:
    """What a build did. `built`: chunks that got the index now; `longest_seconds`: the longest single build among
    them."""

    name: TableName
    method: IndexMethod
    chunks: int
    built: int
    cleaned: tuple[TableName, ...]
    seconds: float
    longest_seconds: float


@dataclass(frozen=True)
class Window:
    """A span of an aggregate's time, from `start` up to and without `end`, as text that PostgreSQL reads as the type
    of the time column; None: from the first, to the last."""

    start: str | None = None
    end: str | None = None


@dataclass(frozen=True)
class RefreshReport:
    """What a refresh did: `windows` refreshed, newest first, `skipped` because nothing had changed there."""

    aggregate: TableName
    windows: int
    skipped: int
    start: str | None
    end: str | None
    seconds: float


@dataclass(frozen=True)
class Loss:
    """What one aggregate loses by the dropping of chunks, by which rule, and what would keep it from that."""

    rule: str
    aggregate: TableName
    message: str
    remedy: str


@dataclass(frozen=True)
class AggregateDifference:
    """A row of an aggregate that is not what its query gives now. `group` are the columns that it is grouped by, the
    bucket first; `values` the columns that differ: what is kept, what the query gives. `kind`: `differs`, `missing`
    (not kept), `extra` (kept alone), `count` (rows that no group tells apart: how many there are)."""

    bucket: str
    kind: str
    group: dict[str, str | None]
    values: dict[str, tuple[str | None, str | None]]


@dataclass(frozen=True)
class AggregateCheck:
    """What a check of one aggregate found, in buckets: `checked` in all; `waiting` differ and wait for a refresh;
    `dropped` differ because the rows that they were made of were dropped; `different` differ without such a reason,
    and were `repaired` or not."""

    aggregate: TableName
    checked: int
    waiting: tuple[str, ...]
    dropped: tuple[str, ...]
    different: tuple[str, ...]
    differences: tuple[AggregateDifference, ...]
    repaired: tuple[str, ...]
    rounded: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def match(self) -> bool:
        """Whether nothing differs that is not explained or mended."""
        return set(self.different) <= set(self.repaired)


@dataclass(frozen=True)
class CheckReport:
    """What a check of a hypertable's aggregates found."""

    table: TableName
    aggregates: tuple[AggregateCheck, ...]
    tolerance: float
    seconds: float

    @property
    def match(self) -> bool:
        """Whether no aggregate differs."""
        return all(each.match for each in self.aggregates)
