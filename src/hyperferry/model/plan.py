"""What will be done with a table: decided once, kept in a file, done exactly so."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .finding import Finding
from .inspection import Inspection
from .names import TableName

PLAN_FORMAT = 1
IMAGE = 2
"""How the image of a row without a key is hashed by the plans that are made now (ledger/image.py)."""


class Strategy(StrEnum):
    """How the table becomes a hypertable."""

    BLUE_GREEN = "blue-green"
    IN_PLACE = "in-place"


class BatchBy(StrEnum):
    """By what the source is cut into batches: ranges of the time, of the key, or not at all."""

    TIME = "time"
    KEY = "key"
    WHOLE = "whole"


@dataclass(frozen=True)
class PairColumn:
    """A column of the identity: `equals` and `less` are qualified operators ('OPERATOR(pg_catalog.=)')."""

    name: str
    type_sql: str
    equals: str
    less: str | None
    collation: str | None


@dataclass(frozen=True)
class Identity:
    """By what a row is found again. `columns` empty: the hash of the row's image (table without a key).
    `index` is the unique index that provides the columns; the time column may be among them."""

    columns: tuple[PairColumn, ...]
    index: str | None

    @property
    def by_image(self) -> bool:
        """True for a table without a usable key."""
        return not self.columns


@dataclass(frozen=True)
class PlannedKey:
    """A unique key of the shadow. `definition` follows ADD CONSTRAINT name for constraints; for plain unique indexes
    `tail` follows CREATE UNIQUE INDEX name ON table. `widened` says that the time column was added."""

    name: str
    constraint: bool
    definition: str
    widened: bool
    columns: tuple[str, ...]
    tablespace: str | None
    comment: str | None


@dataclass(frozen=True)
class PlannedIndex:
    """A non-unique index of the shadow: CREATE INDEX name ON table followed by `tail`."""

    name: str
    tail: str
    tablespace: str | None
    comment: str | None
    statistics: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class ChunkInterval:
    """The width of a chunk. `literal` is SQL: "INTERVAL '7 days'" for times and dates, an integer for integer columns.
    `width` is the same in microseconds or in units of the integer column. `reason` shows the arithmetic, a line each."""

    literal: str
    width: int
    integer: bool
    reason: tuple[str, ...]


@dataclass(frozen=True)
class CompressedOrder:
    """A column by which the rows of a compressed chunk are ordered."""

    column: str
    descending: bool
    nulls_first: bool


@dataclass(frozen=True)
class PlannedCompression:
    """Closed chunks of the shadow are compressed while the copy goes on: those whose end is `after` behind now (microseconds), or
    behind the greatest time of the table where the time is an integer (in its unit)."""

    segment_by: tuple[str, ...]
    order_by: tuple[CompressedOrder, ...]
    after: int


@dataclass(frozen=True)
class Plan:
    """The whole decision. `start PLAN` refuses it when the table's fingerprint is no longer `fingerprint`."""

    table: TableName
    time_column: str
    strategy: Strategy
    interval: ChunkInterval
    identity: Identity
    keys: tuple[PlannedKey, ...]
    indexes: tuple[PlannedIndex, ...]
    batch_by: BatchBy
    batch_rows: int
    workers: int
    fingerprint: str
    inspection: Inspection
    findings: tuple[Finding, ...]
    accepts_needed: tuple[str, ...]  # what `cutover --accept` must be given
    notes: tuple[str, ...] = field(default=())
    hyperferry_version: str = ""
    drop_inbound_fks: tuple[str, ...] = field(default=())  # as the user named them (model/inbound.py)
    drop_from_publications: tuple[str, ...] = field(default=())
    compression: PlannedCompression | None = None  # None: nothing is compressed by us
    format: int = PLAN_FORMAT
    image: int = 1  # which hash of a row's image the rollout goes by to its end; a plan from before `IMAGE` was 2 does not say
