"""What is known of a hypertable's health, and what is said of it. Moments are seconds since 1970 (UTC) as floats, None where
never; places on the time's axis are microseconds since 1970, or the integer of an integer time column."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .names import TableName

MICROSECONDS = 1_000_000


class Severity(StrEnum):
    """How much a finding matters: critical needs somebody now, a warning soon, a note when convenient."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return ("critical", "warning", "note").index(self.value)


@dataclass(frozen=True)
class HealthFinding:
    """One finding of one rule. `command` is a command line of ours that mends it and is safe; None where there is none."""

    rule: str
    level: Severity
    message: str
    remedy: str
    command: str | None = None


@dataclass(frozen=True)
class Width:
    """What ANALYZE knows of a column of one table: average stored bytes of a value, share of NULLs, and n_distinct as pg_stats
    has
    it (negative: a share of the rows)."""

    column: str
    bytes: int
    nulls: float = 0.0
    distinct: float = -1.0


@dataclass(frozen=True)
class Column:
    """A column in the order in which it is stored: length (-1: varies) and alignment in bytes."""

    name: str
    length: int
    align: int


@dataclass(frozen=True)
class Relation:
    """A table that holds rows: a chunk, or what a compressed chunk is kept in. `rows` is reltuples (-1: never counted); the bytes
    are by `pages` of the last VACUUM or ANALYZE unless `measured`."""

    oid: int
    name: TableName
    pages: int = 0
    rows: float = 0.0
    heap_bytes: int = 0
    index_bytes: int = 0
    toast_bytes: int = 0
    measured: bool = False
    scans: int = 0
    live: int = 0
    dead: int = 0
    modified: int = 0
    inserted: int = 0
    vacuumed: float | None = None
    autovacuumed: float | None = None
    analyzed: float | None = None
    xid_age: int = 0
    mxid_age: int = 0
    options: tuple[tuple[str, str], ...] = ()
    toast_options: tuple[tuple[str, str], ...] = ()
    widths: tuple[Width, ...] = ()

    @property
    def total_bytes(self) -> int:
        """Heap, indexes and TOAST."""
        return self.heap_bytes + self.index_bytes + self.toast_bytes

    def option(self, name: str) -> str | None:
        """A storage parameter."""
        return dict(self.options).get(name)

    @property
    def estimated_rows(self) -> float:
        """Rows by whichever count there is."""
        return max(self.rows, float(self.live), 0.0)


@dataclass(frozen=True)
class Chunk:
    """A chunk: its table, and `companion` that holds the rows once it is compressed; `partial` where rows came since.
    `before_bytes` and `after_bytes` are what
    compression made of it, as TimescaleDB noted then."""

    relation: Relation
    start: int
    end: int
    start_text: str
    end_text: str
    compressed: bool = False
    partial: bool = False
    companion: Relation | None = None
    before_bytes: int | None = None
    after_bytes: int | None = None

    @property
    def relations(self) -> tuple[Relation, ...]:
        """The table, and the one with the compressed rows."""
        return (self.relation,) if self.companion is None else (self.relation, self.companion)

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return sum(each.total_bytes for each in self.relations)

    @property
    def empty(self) -> bool:
        """Is known to hold no row: measured, and nothing is on disk; or counted and found empty, with nothing written since. What
        nobody looked at is not empty: pages and rows in the catalog are 0 for a table that was never counted, and so are the
        server's own counts after a crash, which forgets when it was counted as well."""
        own = self.relation
        if self.compressed or self.companion is not None or own.live or own.inserted:
            return False
        return (own.measured and own.heap_bytes == 0) or (
            own.rows == 0 and own.modified == 0 and own.analyzed is not None
        )


@dataclass(frozen=True)
class IndexFacts:
    """An index of the hypertable (`chunk` None) or of a chunk. `key` is what it is made of, equal for a chunk's index and the
    hypertable's it belongs to. `columns` are the stored ones, keys first; None for an expression."""

    oid: int
    name: TableName
    table_oid: int
    key: str
    method: str = "btree"
    columns: tuple[str | None, ...] = ()
    key_columns: int = 1
    unique: bool = False
    primary: bool = False
    exclusion: bool = False
    replica_identity: bool = False
    valid: bool = True
    partial: bool = False
    pages: int = 0
    rows: float = 0.0
    scans: int = 0
    fillfactor: int = 90
    definition: str = ""

    @property
    def enforces(self) -> bool:
        """Is there for more than speed."""
        return self.unique or self.primary or self.exclusion or self.replica_identity


@dataclass(frozen=True)
class Job:
    """A job of TimescaleDB's scheduler. `after` and `boundary`: what a policy of retention or compression is to do, and up to
    which place on the time's axis that is now. Times as in the module (a `next_start` of minus infinity: at once); intervals in
    seconds."""

    id: int
    procedure: str
    owner: str
    config: dict[str, Any] = field(default_factory=dict)
    table: str = ""
    owner_exists: bool = True
    owner_can_login: bool = True
    scheduled: bool = True
    schedule: float = 0.0
    max_retries: int = -1
    status: str | None = None  # Success, Failed
    state: str | None = None  # Running, Scheduled, Paused
    last_start: float | None = None
    last_success: float | None = None
    next_start: float | None = None
    runs: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    last_error: str | None = None
    last_error_at: float | None = None
    after: str | None = None
    boundary: int | None = None


@dataclass(frozen=True)
class Reach:
    """From where on a policy refreshes an aggregate: `offset` before the present (None: from the first row on), which is the
    place `start` now (None: from the first row on, or not known)."""

    job: int
    offset: str | None = None
    start: int | None = None


@dataclass(frozen=True)
class Aggregate:
    """A continuous aggregate. `watermark`: up to where it is materialized (None: nowhere); `newest`: the latest time of its
    source;
    `bucket`, `end_offset`: widths on the axis; `due`: up to where its policy is to have brought it by now, before the newest data
    and the bucket are thought of. `number` and `source_number` are TimescaleDB's for what keeps its rows, and for what it reads;
    `reaches`: from where on its policies refresh it."""

    name: TableName
    source: str
    materialized_only: bool = True
    watermark: int | None = None
    watermark_text: str = ""
    newest: int | None = None
    newest_text: str = ""
    bucket: int | None = None
    job: Job | None = None
    due: int | None = None
    number: int = 0
    source_number: int = 0
    reaches: tuple[Reach, ...] = ()


@dataclass(frozen=True)
class RolloutFacts:
    """The rollout that the table is in: phase, since when (seconds), and what lies around."""

    phase: str
    age: float
    backlog: int = 0
    log_bytes: int = 0
    worker: str | None = None
    old: str = ""
    old_bytes: int | None = None
    verified_seconds: float | None = None
    verified_match: bool | None = None


@dataclass(frozen=True)
class ExactBloat:
    """What pgstattuple measured: bytes of the relation, and of them free or dead."""

    oid: int
    bytes: int
    wasted: int


@dataclass(frozen=True)
class HealthFacts:
    """Everything that the rules look at. `now` is the server's clock; `number` is TimescaleDB's for the hypertable.
    `statistics_since`: not before then did the server begin to count uses; `oldest_chunk`: when the oldest one that is there was
    made (None before TimescaleDB 2.13); `serves_since`: when a rollout put it, or left it, in its table's place (None: no
    rollout, or not yet)."""

    table: TableName
    owner: str
    now: float
    timescaledb: str
    edition: str
    postgresql: int
    time_column: str
    integer_time: bool
    interval: int
    number: int = 0
    time_type: str = "timestamp with time zone"
    partitions: int = 1
    integer_now: int | None = None
    columns: tuple[Column, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    indexes: tuple[IndexFacts, ...] = ()
    chunk_indexes: tuple[IndexFacts, ...] = ()
    jobs: tuple[Job, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    block_size: int = 8192
    statistics_since: float | None = None
    oldest_chunk: float | None = None
    serves_since: float | None = None
    root_analyzed: float | None = None
    compression_enabled: bool = False
    scheduled_jobs: int = 0
    databases: int = 1
    autovacuum_workers: int | None = None
    scheduler_runs: bool | None = None
    holder: str | None = None
    rollout: RolloutFacts | None = None
    exact: tuple[ExactBloat, ...] | None = None
    hidden: tuple[str, ...] = ()

    @property
    def present(self) -> int | None:
        """Now, on the time's axis; None for an integer time without a function that tells."""
        return self.integer_now if self.integer_time else int(self.now * MICROSECONDS)

    @property
    def relations(self) -> tuple[Relation, ...]:
        """All tables that hold rows."""
        return tuple(each for chunk in self.chunks for each in chunk.relations)

    def policies(self, procedure: str) -> tuple[Job, ...]:
        """The hypertable's own jobs of this kind: those of its continuous aggregates are about other chunks."""
        return tuple(
            job
            for job in self.jobs
            if job.procedure == procedure and job.config.get("hypertable_id") == self.number
        )

    def setting(self, name: str, default: float) -> float:
        """A setting as a number, in the unit that pg_settings has it in."""
        text = self.settings.get(name)
        return default if text is None else float(text)


@dataclass(frozen=True)
class HealthReport:
    """The findings, the worst first, and the figures behind them."""

    table: str
    findings: tuple[HealthFinding, ...]
    figures: dict[str, Any]
    examined: str = ""
