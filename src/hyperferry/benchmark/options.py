"""What was asked of a benchmark, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..model.names import TableName

DEFAULT_RUNS = 10
DEFAULT_DRAWS = 5
DEFAULT_THRESHOLD = 20.0
DEFAULT_IGNORED = 0.2
DEFAULT_TIMEOUT = 30.0
DEFAULT_TOP = 20


@dataclass(frozen=True)
class Value:
    """Where a parameter's value comes from: SQL over the columns of the `row`-th drawn row. `assumed` says in words what was
    guessed, '' where nothing was. `inferred`: from the query's text; what its author said is not."""

    expression: str
    row: int = 1
    assumed: str = ""
    inferred: bool = False


@dataclass(frozen=True)
class Query:
    """A statement with `$n` in it. `drawn`: the sets of values, by parameter in ascending order; text or None for NULL."""

    name: str
    sql: str
    values: Mapping[int, Value] = field(default_factory=dict)
    drawn: tuple[tuple[str | None, ...], ...] = ()
    calls: int | None = None  # as pg_stat_statements counted
    total_ms: float | None = None


@dataclass(frozen=True)
class LeftOut:
    """A query that was not run, why, and what to do. `unknown`: the parameters that lack a value."""

    name: str
    sql: str
    reason: str
    remedy: str
    unknown: tuple[int, ...] = ()
    values: Mapping[int, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchOptions:
    """One call. `queries`: the text and the name of a file; without it, `against`'s queries, else pg_stat_statements.
    `timeout` in seconds, `threshold` in percent, `ignored` in milliseconds."""

    dsn: str
    table: str
    time_column: str | None = None
    queries: tuple[str, str] | None = None
    against: Report | None = None
    top: int = DEFAULT_TOP
    runs: int = DEFAULT_RUNS
    draws: int = DEFAULT_DRAWS
    seed: int = 1
    threshold: float = DEFAULT_THRESHOLD
    ignored: float = DEFAULT_IGNORED
    timeout: float = DEFAULT_TIMEOUT
    generic: bool = False
    cold: bool = False
    alone: bool = False


class Verdict(StrEnum):
    """What came of one query. `SLOWER` and `FAILED` make the benchmark fail."""

    FASTER = "faster"
    SAME = "same"
    SLOWER = "slower"
    UNCLEAR = "unclear"  # the median is beyond the threshold, but the runs do not agree
    FAILED = "failed"  # it ran before, and does not after
    MEASURED = "measured"  # there was nothing to compare it with
    NOT_MEASURED = "not measured"  # it could not be run on either side

    @property
    def fails(self) -> bool:
        """Whether the benchmark ends with exit code 3 for it."""
        return self in (Verdict.SLOWER, Verdict.FAILED)


@dataclass(frozen=True)
class Index:
    """An index of a side: `tail` is its definition from USING on."""

    name: str
    tail: str
    definition: str


@dataclass(frozen=True)
class Side:
    """One of the tables that are compared. `label`: 'plain table' or 'hypertable'. `schema`: where queries have to look for
    the table's name (None: where they say). `chunks`: the names of its chunk tables, None for a plain table."""

    label: str
    name: TableName
    oid: int
    rows: int  # estimated, -1 where it was never analyzed, or has compressed chunks
    time_column: str | None
    schema: str | None = None
    chunks: frozenset[str] | None = None
    chunk_count: int = 0
    chunk_interval: str | None = None
    range_width: str | None = None  # the same as SQL
    indexes: tuple[Index, ...] = ()
    never_analyzed: int = 0  # chunks, or 1 for a plain table


@dataclass(frozen=True)
class Run:
    """One execution, in milliseconds and pages of 8 kB; `draw` is the number of its set of values."""

    draw: int
    planning_ms: float
    execution_ms: float
    hit: int
    read: int
    temp: int
    planning_pages: int
    chunks: int
    rows: float

    @property
    def total_ms(self) -> float:
        """Planning and execution."""
        return self.planning_ms + self.execution_ms


@dataclass(frozen=True)
class Shape:
    """A plan without what differs from run to run: a line a node, equal chunks joined; and what it says about causes."""

    lines: tuple[str, ...]
    indexes: tuple[str, ...] = ()  # used, by the names that they have on the table itself
    sequential: bool = False  # the table, or a chunk of it, is read from end to end
    time_condition: bool = False  # the time column stands in a condition
    planned_chunks: int = 0
    decompressed: bool = False
    spilled: bool = False
    jit_ms: float = 0.0
    workers: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A query on one side. `error` says why it could not be run (to its end)."""

    runs: tuple[Run, ...] = ()
    shape: Shape | None = None
    cold: tuple[Run, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Cause:
    """Why a query is slower, in words, and what can be done about it. `code` is stable."""

    code: str
    words: str
    remedy: str


@dataclass(frozen=True)
class Outcome:
    """A query with what was measured, before and after (`before` None: there is nothing to compare with)."""

    query: Query
    before: Measured | None
    after: Measured
    verdict: Verdict
    ratio: float | None = None  # after over before, of the medians in all
    agreement: float | None = None  # the part of the pairs of runs in which after took longer
    causes: tuple[Cause, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole benchmark."""

    table: str
    before: Side | None
    after: Side
    compared: str  # 'source and hypertable', 'now and FILE', 'alone'
    outcomes: tuple[Outcome, ...]
    left_out: tuple[LeftOut, ...]
    server: str
    at: str
    seed: int
    runs: int
    draws: int
    threshold: float
    ignored: float
    timeout: float
    plans: str  # custom, generic
    cold: str  # measured, or why it was not
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    texts_planned: bool = True  # queries without parameters were planned each time; not in files that older versions kept

    @property
    def failed(self) -> bool:
        """Whether some query fails."""
        return any(outcome.verdict.fails for outcome in self.outcomes)
