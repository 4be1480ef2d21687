"""What a database has of a hypertable's life: chunks, compression, policies, indexes, continuous aggregates; and what it makes of
the wishes of a file. `catalog` and `reconcile` fill these, `declared` compares them with `model/declared`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .declared import ContinuousAggregate, DeclaredIndex, OrderBy, Span
from .names import TableName
from .upkeep import IndexPlan, Loss

__all__ = [
    "AggregateReading",
    "AggregateState",
    "CompressionState",
    "Drops",
    "HypertableState",
    "IndexReading",
    "IndexState",
    "JobKind",
    "JobState",
    "Readings",
    "ServerState",
]


@dataclass(frozen=True)
class ServerState:
    """The server, and whom we are. `session`: the role that is connected; `acts_as_owner`: it has the rights of the
    table's owner."""

    timescaledb: str
    edition: str  # 'apache', 'community'
    functions: str  # the schema of TimescaleDB's own functions
    session: str
    acts_as_owner: bool
    owner_may_login: bool
    columnstore: bool  # compression goes by the columnstore's names
    aggregate_trigger: bool  # a continuous aggregate puts a trigger on what it reads, and locks it for that
    settings_change: bool  # compression's settings can be changed while chunks are compressed

    @property
    def community(self) -> bool:
        """Whether compression, policies and continuous aggregates work."""
        return self.edition == "community"


@dataclass(frozen=True)
class IndexState:
    """An index of the root. `definition` is what stands behind the table's name, as PostgreSQL prints it."""

    name: str
    definition: str
    unique: bool
    constraint: str | None  # the constraint that owns it
    valid: bool


class JobKind(StrEnum):
    """The policies that are looked at."""

    RETENTION = "retention"
    COMPRESSION = "compression"
    REFRESH = "refresh"
    REORDER = "reorder"


@dataclass(frozen=True)
class JobState:
    """A policy. `after`: of retention and compression; `created_before`: of a retention that goes by when a chunk was made,
    whatever the age of its rows; offsets: of a refresh; `index`: of a reorder policy."""

    id: int
    kind: JobKind
    schedule: Span
    owner: str
    scheduled: bool  # False: it is paused
    after: Span | None = None
    start_offset: Span | None = None
    end_offset: Span | None = None
    index: str | None = None
    created_before: Span | None = None


@dataclass(frozen=True)
class CompressionState:
    """Whether compression is enabled, and its settings."""

    enabled: bool = False
    segment_by: tuple[str, ...] = ()
    order_by: tuple[OrderBy, ...] = ()


@dataclass(frozen=True)
class AggregateState:
    """A continuous aggregate. `reads` is the hypertable or the continuous aggregate that it is made from; `time_column` the
    column of its buckets, by which its rows are cut into chunks."""

    name: TableName
    owner: str
    reads: TableName
    materialization: TableName
    time_column: str
    query: str
    materialized_only: bool
    compression: CompressionState
    jobs: tuple[JobState, ...]
    indexes: tuple[IndexState, ...]
    columns: tuple[str, ...]
    chunks: int
    compressed: int


@dataclass(frozen=True)
class HypertableState:
    """A hypertable. `interval` is the width of its next chunk; `aggregates` are all that are made from it, also by way of others,
    each after those that it reads."""

    name: TableName
    oid: int
    owner: str
    time_column: str
    time_type: str
    interval: Span
    now_function: str | None
    partition_columns: tuple[str, ...]  # the time column and those of further dimensions
    columns: tuple[str, ...]
    row_security: bool
    indexes: tuple[IndexState, ...]
    compression: CompressionState
    jobs: tuple[JobState, ...]
    chunks: int
    compressed: int
    aggregates: tuple[AggregateState, ...] = ()

    @property
    def integer_time(self) -> bool:
        """Whether the time column is an integer."""
        return self.interval.integer


@dataclass(frozen=True)
class IndexReading:
    """What the server makes of a declared index. `definition` is in PostgreSQL's words, None where `problem` says why it
    has none. `name` None: the server will find one. `plan` is how it would be built; `refused` why it cannot be, with
    what to do."""

    index: DeclaredIndex
    name: str | None
    definition: str | None
    plan: IndexPlan | None = None
    problem: str | None = None
    refused: str | None = None
    remedy: str | None = None
    blocks: bool = False  # building it would keep writers waiting for long


@dataclass(frozen=True)
class AggregateReading:
    """What the server makes of a declared continuous aggregate. `query` is in PostgreSQL's words, None where `problem` says
    why it has none. `taken`: what else has its name. `cycle`: the declared ones, itself among them, that each wait for the
    next. `unrefreshed`: rows are there that it was never made from, and its policy would not look at them; None: not known."""

    aggregate: ContinuousAggregate
    name: TableName
    query: str | None
    reads: tuple[TableName, ...] = ()
    bucket: Span | None = None
    columns: tuple[str, ...] = ()
    taken: str | None = None
    problem: str | None = None
    cycle: tuple[TableName, ...] = ()
    indexes: tuple[IndexReading, ...] = ()
    unrefreshed: bool | None = None


@dataclass(frozen=True)
class Drops:
    """What a retention policy would drop now. `exact`: the rows were counted, not estimated. `losses`: what continuous aggregates
    that read it lose by that. `tiered`: it has chunks on Tiger Cloud's object storage as well, which are not listed here."""

    chunks: tuple[TableName, ...] = ()
    rows: int = 0
    exact: bool = True
    until: str | None = None  # the end of the newest of them
    losses: tuple[Loss, ...] = ()
    tiered: bool = False


@dataclass(frozen=True)
class Readings:
    """What the server makes of the whole file. `drops` by relation, where retention is declared."""

    indexes: tuple[IndexReading, ...] = ()
    aggregates: tuple[AggregateReading, ...] = ()
    drops: tuple[tuple[TableName, Drops], ...] = ()

    def drops_of(self, relation: TableName) -> Drops:
        """What its retention would drop now; nothing where that was not asked."""
        return dict(self.drops).get(relation, Drops())
