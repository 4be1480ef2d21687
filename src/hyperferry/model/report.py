"""What was measured: the answers of the commands. `design.md` lists the keys that other programs may rely on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .plan import Strategy
from .rollout import Phase


@dataclass(frozen=True)
class RangeParity:
    """Parity of one range; `start` is inclusive, `end` exclusive, None is open."""

    start: str | None
    end: str | None
    source_rows: int
    target_rows: int
    match: bool


@dataclass(frozen=True)
class Difference:
    """A pair whose rows are not the same on both sides. `pair` is column -> value as text."""

    pair: dict[str, str | None]
    source_rows: int
    target_rows: int
    kind: str  # missing, extra, different


@dataclass(frozen=True)
class GroupParity:
    """`verify --by`: count and sums for one group on both sides; sums by numeric column, as text."""

    group: str | None
    source_rows: int
    target_rows: int
    match: bool
    source_sums: dict[str, str | None] = field(default_factory=dict)
    target_sums: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class VerifyReport:
    """The result of one verification. `excused` pairs differ, but stand in the backlog. Rows whose time lies
    in one of the `dropped` ranges (from, to) are counted apart and not compared."""

    match: bool
    source_rows: int
    target_rows: int
    ranges: tuple[RangeParity, ...]
    differences: tuple[Difference, ...]
    difference_count: int
    excused: int
    quarantined: int
    repaired: int
    seconds: float
    groups: tuple[GroupParity, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    dropped_source_rows: int = 0
    dropped_target_rows: int = 0


@dataclass(frozen=True)
class SwapReport:
    """A cutover or rollback. `stall_ms` is the time from the first lock of the successful attempt asked for
    until the commit, plus what writers waited behind failed attempts: `stall_ms` the longest single wait
    that we can have caused."""

    phase: Phase
    attempts: int
    stall_ms: float
    changes_under_lock: int
    messages: tuple[str, ...] = ()
    table: str = ""


@dataclass(frozen=True)
class QuarantinedPair:
    """A pair that the other side cannot take."""

    pair: dict[str, str | None]
    reason: str
    since: datetime


@dataclass(frozen=True)
class ThrottleReport:
    """How fast the copy may go: `state` is free, slowed or stopped, and `unwatched` where nobody works on the rollout.
    `limits` as they were written, `seen` what was measured against them, `blind` what the throttle cannot see and why."""

    state: str = "unwatched"
    pace: float | None = None
    rate: float | None = None
    reasons: tuple[str, ...] = ()
    limits: dict[str, str] = field(default_factory=dict)
    seen: dict[str, float | None] = field(default_factory=dict)
    blind: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True)
class Holder:
    """A session, prepared transaction or slot whose snapshot keeps dead rows from being cleaned. `age_seconds` is None where the
    server hides it; `transactions` is how many began since."""

    pid: int | None
    user: str
    what: str
    state: str
    age_seconds: float | None
    transactions: int


@dataclass(frozen=True)
class CompressedChunk:
    """A compressed chunk: its range as text, and its bytes on disk before and after, indexes and TOAST included."""

    chunk: str
    start: str | None
    end: str | None
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class CompressionReport:
    """Compression on the way: chunks of the hypertable, how many are compressed, how many of these have rows beside the
    compressed ones, and what the compressed ones took on disk before and took when they were compressed last."""

    chunks: int
    compressed: int
    partial: int
    bytes_before: int
    bytes_after: int
    each: tuple[CompressedChunk, ...] = ()

    @property
    def ratio(self) -> float | None:
        """How many times smaller; None where nothing is compressed."""
        return self.bytes_before / self.bytes_after if self.bytes_after else None


@dataclass(frozen=True)
class StatusReport:
    """Where a rollout stands now."""

    rollout: int
    phase: Phase
    strategy: Strategy
    rows_copied: int
    rows_estimated: int
    batches_done: int
    batches_total: int
    backlog: int
    rows_per_second: float | None
    eta_seconds: float | None
    throttled_by: str | None
    worker: str | None  # who works on it now: "pid 123 (hyperferry start)" or None
    quarantined: tuple[QuarantinedPair, ...] = ()
    quarantined_count: int = 0
    verified_at: datetime | None = None
    verified_match: bool | None = None
    last_event: str | None = None
    table: str = ""
    source: str = ""  # where the plain table is now
    shadow: str = ""  # where the hypertable is now
    dropped_ranges: tuple[str, ...] = field(default=())
    waiting_for: str | None = None  # what a cutover that runs now waits for
    throttle: ThrottleReport = field(default_factory=ThrottleReport)
    log_bytes: int = 0  # the change log of the present direction, with its indexes
    our_oldest_transaction: str | None = None  # the session of ours whose transaction is open for longest
    our_oldest_seconds: float | None = None
    xmin_holder: Holder | None = None  # whoever else keeps the log's dead rows from being cleaned
    finishing: bool = False  # a finish was interrupted: only it can go on
    unsettled: bool = False  # what comes after the last swap's commit was not done to its end
    compression: CompressionReport | None = None  # None: nothing is compressed on the way
