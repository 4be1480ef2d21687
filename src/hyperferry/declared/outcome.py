"""What a relation will have when the file is fulfilled: its wishes, and under them what the database has and the file
leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..model.declared import (
    Compression,
    ContinuousAggregate,
    Declared,
    DeclaredIndex,
    Refresh,
    Retention,
    Span,
)
from ..model.lifecycle import (
    AggregateReading,
    AggregateState,
    CompressionState,
    HypertableState,
    IndexReading,
    IndexState,
    JobKind,
    JobState,
    Readings,
    ServerState,
)
from ..model.names import TableName
from .query_text import bucket_of


@dataclass(frozen=True)
class Relation:
    """The hypertable, or one of its continuous aggregates: what the file says of it, and what the database has. `suffix`
    ends the keys of what belongs to an aggregate; `time_column` is None of one that is not there yet."""

    name: TableName
    suffix: str
    compression: Compression | None
    retention: Retention | bool | None
    refresh: Refresh | bool | None
    indexes: tuple[DeclaredIndex, ...]
    index_readings: tuple[IndexReading, ...]
    declared: (
        ContinuousAggregate | None
    )  # None: the hypertable itself, or an aggregate that the file does not mention
    reading: AggregateReading | None
    there: bool
    state_compression: CompressionState
    jobs: tuple[JobState, ...]
    state_indexes: tuple[IndexState, ...]
    columns: tuple[str, ...]
    time_column: str | None
    chunks: int
    compressed: int
    reads: tuple[TableName, ...]
    bucket: Span | None
    state: AggregateState | None = None

    def key(self, word: str) -> str:
        """The key of something of this relation."""
        return f"{word}:{self.suffix}" if self.suffix else word

    def job(self, kind: JobKind) -> JobState | None:
        """Its first policy of that kind."""
        return next((job for job in self.jobs if job.kind is kind), None)

    @property
    def words(self) -> str:
        """For a message: ' of the continuous aggregate x', or nothing."""
        return f" of {self.name}" if self.suffix else ""

    @property
    def retained(self) -> Span | None:
        """After which age its chunks will be dropped; None: never. Of a policy that goes by when a chunk was made, that length:
        nobody can rely on older rows."""
        if isinstance(self.retention, Retention):
            return self.retention.after
        job = self.job(JobKind.RETENTION) if self.retention is None else None
        if job is None:
            return None
        return job.created_before if job.created_before is not None else job.after

    @property
    def compressed_after(self) -> Span | None:
        """After which age its chunks will be compressed; None: never."""
        wish = self.compression
        if wish is not None and (not wish.enabled or wish.after is False):
            return None
        if wish is not None and isinstance(wish.after, Span):
            return wish.after
        job = self.job(JobKind.COMPRESSION)
        return job.after if job is not None else None

    @property
    def refreshed(self) -> Refresh | None:
        """How it will be refreshed; None: not by a policy."""
        if isinstance(self.refresh, Refresh):
            return self.refresh
        job = self.job(JobKind.REFRESH) if self.refresh is None else None
        return None if job is None else Refresh(job.schedule, job.start_offset, job.end_offset)


@dataclass(frozen=True)
class Case:
    """Everything that is known: the file, the database, and what the database makes of the file. `root` is the hypertable;
    `aggregates` are the declared ones and those that are there, each after those that it reads."""

    declared: Declared
    state: HypertableState
    server: ServerState
    readings: Readings
    root: Relation
    aggregates: tuple[Relation, ...]
    prune: frozenset[str] = frozenset()

    @property
    def relations(self) -> tuple[Relation, ...]:
        """The hypertable, then its aggregates."""
        return (self.root, *self.aggregates)

    def read_by(self, name: TableName) -> Iterator[Relation]:
        """The aggregates that read it directly."""
        return (each for each in self.aggregates if name in each.reads)

    def named(self, name: TableName) -> Relation | None:
        """The relation of that name."""
        return next((each for each in self.relations if each.name == name), None)


def case_of(
    declared: Declared,
    state: HypertableState,
    server: ServerState,
    readings: Readings,
    prune: frozenset[str] = frozenset(),
) -> Case:
    """Puts wishes and state of each relation side by side."""
    root = Relation(
        name=state.name,
        suffix="",
        compression=declared.compression,
        retention=declared.retention,
        refresh=None,
        indexes=declared.indexes,
        index_readings=readings.indexes,
        declared=None,
        reading=None,
        there=True,
        state_compression=state.compression,
        jobs=state.jobs,
        state_indexes=state.indexes,
        columns=state.columns,
        time_column=state.time_column,
        chunks=state.chunks,
        compressed=state.compressed,
        reads=(),
        bucket=None,
    )
    found = {each.name: each for each in state.aggregates}
    wanted = {each.name: each for each in readings.aggregates}
    relations = [
        _aggregate(name, found.get(name), wanted.get(name))
        for name in (*found, *(n for n in wanted if n not in found))
    ]
    return Case(declared, state, server, readings, root, _in_order(relations, state.name), prune)


def _aggregate(name: TableName, state: AggregateState | None, reading: AggregateReading | None) -> Relation:
    wish = reading.aggregate if reading is not None else None
    return Relation(
        name=name,
        suffix=str(name),
        compression=wish.compression if wish else None,
        retention=wish.retention if wish else None,
        refresh=wish.refresh if wish else None,
        indexes=wish.indexes if wish else (),
        index_readings=reading.indexes if reading else (),
        declared=wish,
        reading=reading,
        there=state is not None,
        state_compression=state.compression if state else CompressionState(),
        jobs=state.jobs if state else (),
        state_indexes=state.indexes if state else (),
        columns=state.columns if state else (reading.columns if reading else ()),
        time_column=state.time_column if state else None,
        chunks=state.chunks if state else 0,
        compressed=state.compressed if state else 0,
        reads=(state.reads,) if state else (reading.reads if reading else ()),
        bucket=reading.bucket if reading else (bucket_of(state.query) if state else None),
        state=state,
    )


def _in_order(relations: list[Relation], root: TableName) -> tuple[Relation, ...]:
    """Each after those that it reads; what waits for itself comes last, in the order given."""
    done: list[Relation] = []
    left = list(relations)
    names = {each.name for each in relations}
    while left:
        known = {root, *(each.name for each in done)}
        ready = [each for each in left if all(read in known or read not in names for read in each.reads)]
        if not ready:
            return (*done, *left)
        done += ready
        left = [each for each in left if each not in ready]
    return tuple(done)
