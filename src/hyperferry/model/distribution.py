"""How a table's rows lie over its time, and how they come, change and are asked for: what `advise` decides on.

`catalog.distribution` fills these, `advice` judges them. Places and widths are as `Axis` counts them; bytes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .axis import Axis
from .inspection import Inspection

__all__ = [
    "ChunkFacts",
    "ColumnSpread",
    "Distribution",
    "IndexUse",
    "Lag",
    "Memory",
    "PerInterval",
    "Spread",
    "StatementUse",
    "Writes",
]


@dataclass(frozen=True)
class Memory:
    """The server's settings that say how much memory it uses, in bytes."""

    shared_buffers: int
    effective_cache_size: int
    work_mem: int
    maintenance_work_mem: int


@dataclass(frozen=True)
class Spread:
    """The rows over the time, in bars of one `width` from place 0 on; `bars` are (number of the bar, rows in it, estimated).

    `low` and `high` are the first and the last place that the bulk of the rows has; what lies absurdly far from it (as `far`
    counts) is not in the bars. `exact`: every row was read.
    """

    width: float
    bars: tuple[tuple[int, float], ...]
    low: float
    high: float
    first: float  # the first and last place of all, the far ones too, as far as was seen
    last: float
    far_rows: float = 0.0
    far_places: tuple[float, ...] = ()
    exact: bool = False
    pages: int | None = None  # how many pages a sample has; None: all there are
    page_span: float = 0.0  # how much of the time the rows of one page cover (the median)
    intervals: tuple[float, int] | None = (
        None  # a width, and how many intervals of it hold rows, counted in an index
    )


@dataclass(frozen=True)
class ColumnSpread:
    """What is known of a column's values: how many `distinct` ones, and the part of the rows that has the most common one."""

    name: str
    distinct: float | None
    null_share: float
    top_share: float | None
    width_bytes: int
    source: str  # 'pg_stats', 'sample'
    true_share: float | None = None  # of a boolean column: the part of the rows that is true


@dataclass(frozen=True)
class PerInterval:
    """Within one interval (the median of some that were looked at): rows, and distinct values of a column."""

    column: str
    width: float
    rows: float
    distinct: float
    intervals: int  # how many were looked at


@dataclass(frozen=True)
class Lag:
    """How long after its time something happened to a row, in seconds, by `rows` that were looked at.

    `source` says in words by what that was judged. `share` is the part of the rows that lag at all (a minute or more)."""

    source: str
    rows: int
    share: float
    p50: float
    p90: float
    p99: float
    p999: float
    largest: float


@dataclass(frozen=True)
class Writes:
    """What the server counted on the table (all chunks together) since `since` (None: since it was made)."""

    inserted: int
    updated: int
    deleted: int
    since: str | None
    hours: float | None = None  # how long it has counted


@dataclass(frozen=True)
class IndexUse:
    """An index (with its parts on the chunks): bytes and how often it was used."""

    name: str
    bytes: int
    scans: int


@dataclass(frozen=True)
class ChunkFacts:
    """A chunk of a hypertable. `rows` by the statistics (-1: unknown); what was written since the server counts."""

    name: str
    start: float
    end: float
    rows: float
    bytes: int
    index_bytes: int
    compressed: bool
    updated: int
    deleted: int


@dataclass(frozen=True)
class StatementUse:
    """A statement on the table, as often as it was called (None: not known), and where it was seen."""

    text: str
    calls: int | None
    total_ms: float | None
    source: str  # 'pg_stat_statements', 'view public.x', 'file queries.sql'


@dataclass(frozen=True)
class Distribution:
    """Everything that advice on a table is made of. `inspection` has the sizes of all chunks together, and no scan."""

    inspection: Inspection
    axis: Axis
    now: float | None  # the server's clock as a place; None where the unit is not known
    rows: float
    spread: Spread | None  # None: no row was seen
    nulls: float = 0.0  # rows without a time
    memory: Memory = field(default_factory=lambda: Memory(0, 0, 0, 0))
    columns: tuple[ColumnSpread, ...] = ()
    per_interval: tuple[PerInterval, ...] = ()
    arrival: Lag | None = None  # by a column that says when a row came
    disorder: Lag | None = None  # by the order in which the rows lie in the table
    touched: Lag | None = None  # by a column that says when a row was changed
    logged: Lag | None = None  # by the change log of an open rollout
    writes: Writes | None = None
    indexes: tuple[IndexUse, ...] = ()
    chunks: tuple[ChunkFacts, ...] = ()
    interval: float | None = None  # of a hypertable's new chunks
    integer_now: bool = False
    statements: tuple[StatementUse, ...] = ()
    statements_missing: str | None = None  # why pg_stat_statements was not read
    read: tuple[str, ...] = ()  # what was read, and how much of it, a sentence each

    @property
    def hypertable(self) -> bool:
        """Whether the table is one already."""
        return self.inspection.table.kind == "hypertable"
