"""Continuous aggregates against their queries: sampled buckets or all of them, while writers run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from psycopg import sql

from ..catalog import has
from ..db import execute, fetch_all, fetch_one, fetch_value, yield_and_retry
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..model.names import TableName
from ..model.upkeep import AggregateCheck, AggregateDifference, CheckReport
from ..words import plural
from . import compare
from .aggregate_facts import (
    Aggregate,
    Clock,
    Span,
    aggregates,
    counted,
    find,
    overlaps,
    pending,
    query,
    require_aggregates,
)
from .aggregates import extent, forced
from .index_state import query as index_query

KEPT_DIFFERENCES = 100
BUCKETS_AT_ONCE = 64
MOST_KEPT_BUCKETS = 200_000
SAY_SECONDS = 2.0

Say = Callable[[str], None]
Stop = Callable[[], None]


@dataclass
class _Found:
    """What is known of one aggregate so far."""

    checked: int = 0
    waiting: dict[int, str] = field(default_factory=dict)
    dropped: dict[int, str] = field(default_factory=dict)
    different: dict[int, str] = field(default_factory=dict)
    differences: list[AggregateDifference] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)


def check(
    conn: Connection,
    hypertable: TableName,
    *,
    only: TableName | None = None,
    samples: int = 20,
    every: bool = False,
    seed: int = 1,
    repair: bool = False,
    say: Say,
    should_stop: Stop,
) -> CheckReport:
    """Compares the continuous aggregates of the hypertable (those over aggregates included, sources first; `only` one
    of them) with what their queries give, for `samples` buckets drawn by `seed`, or `every` one.

    Each comparison is one statement at one snapshot. A bucket that differs is not a difference where it waits for a
    refresh (TimescaleDB's own log says so at that snapshot), or where the rows that it was made of were dropped.
    `repair` refreshes those that differ otherwise, and compares them again. Changes nothing without it.

    Raises Usage for a wrong name, Refused on the Apache edition and without the owner's rights.
    """
    require_aggregates(conn)
    begun = time.monotonic()
    chosen = _chosen(conn, hypertable, only)
    known = aggregates(conn)
    checks = []
    for each in chosen:
        checks.append(_Check(conn, each, known, say, should_stop).run(samples, every, seed, repair))
    return CheckReport(hypertable, tuple(checks), compare.RELATIVE, time.monotonic() - begun)


def _chosen(conn: Connection, hypertable: TableName, only: TableName | None) -> list[Aggregate]:
    """The aggregates to check, sources first. Raises Usage."""
    number = fetch_value(conn, query("hypertable_id"), {"schema": hypertable.schema, "name": hypertable.name})
    known = aggregates(conn)
    if number is None:
        kind = fetch_value(conn, index_query("kind"), {"schema": hypertable.schema, "name": hypertable.name})
        over = next((each for each in known.values() if each.name == hypertable), None)
        raise Usage(
            f"{hypertable} is not a hypertable.",
            facts={
                "it is": "a continuous aggregate"
                if over
                else "not there"
                if kind is None
                else "something else"
            },
            remedy=f"name its hypertable, and the aggregate with --aggregate: {_bottom(over, known)} --aggregate {over.name}."
            if over
            else "name a hypertable that has continuous aggregates.",
        )
    of_it = [each for each in known.values() if _reads(each, int(number), known)]
    if only is None:
        hidden = [
            row for row in fetch_all(conn, query("aggregates")) if int(row[1]) == number and not row[12]
        ]
        if not of_it and hidden:
            find(conn, TableName(hidden[0][2], hidden[0][3]))
        if not of_it:
            raise Usage(f"{hypertable} has no continuous aggregate.", remedy="there is nothing to check.")
        return of_it
    found = find(conn, only)
    if found.id not in {each.id for each in of_it}:
        raise Usage(
            f"{only} is not an aggregate of {hypertable}.",
            facts={
                "it reads": found.source,
                "there are": ", ".join(str(each.name) for each in of_it) or "none",
            },
            remedy="name one of those.",
        )
    return [found]


def _bottom(aggregate: Aggregate, known: dict[int, Aggregate]) -> TableName:
    """The hypertable under it, below all aggregates."""
    while aggregate.over is not None and aggregate.over in known:
        aggregate = known[aggregate.over]
    return aggregate.source


def _reads(aggregate: Aggregate, number: int, known: dict[int, Aggregate]) -> bool:
    if aggregate.source_id == number:
        return True
    return (
        aggregate.over in known and _reads(known[aggregate.over], number, known) if aggregate.over else False
    )


class _Check:
    """One aggregate."""

    def __init__(
        self, conn: Connection, aggregate: Aggregate, known: dict[int, Aggregate], say: Say, should_stop: Stop
    ) -> None:
        self._conn, self._aggregate, self._known = conn, aggregate, known
        self._say, self._should_stop = say, should_stop
        self._clock = Clock(conn, aggregate)
        rows = fetch_all(
            conn, query("columns"), {"schema": aggregate.kept.schema, "name": aggregate.kept.name}
        )
        self._columns = compare.columns_of(aggregate, {name: base for name, _, base in rows})
        self._found = _Found()

    def run(self, samples: int, every: bool, seed: int, repair: bool) -> AggregateCheck:
        """All of it."""
        spans = list(self._all() if every else self._sampled(samples, seed))
        said = time.monotonic()
        for number, (first, end) in enumerate(spans, 1):
            self._should_stop()
            self._compare(first, end, BUCKETS_AT_ONCE if every else 1)
            if time.monotonic() - said > SAY_SECONDS:
                said = time.monotonic()
                self._say(f"{self._aggregate.name}: {number / len(spans):.0%} compared")
        if repair and self._found.different:
            self._repair()
        found = self._found
        self._say(f"{self._aggregate.name}: {plural(found.checked, 'bucket')} compared")
        return AggregateCheck(
            self._aggregate.name,
            found.checked,
            tuple(text for _, text in sorted(found.waiting.items())),
            tuple(text for _, text in sorted(found.dropped.items())),
            tuple(text for _, text in sorted(found.different.items())),
            tuple(found.differences),
            tuple(found.repaired),
            tuple(self._columns.floats),
            () if self._columns.keyed else (NOT_KEYED,),
        )

    def _extent(self) -> tuple[int, int] | None:
        """From the first bucket on either side up to the end of the last."""
        both = [
            extent(
                self._conn, self._aggregate.source, self._aggregate.source_time, self._aggregate.source_kind
            ),
            extent(self._conn, self._aggregate.kept, self._aggregate.time, self._aggregate.kind),
        ]
        ends = [(first, last) for first, last in both if first is not None and last is not None]
        if not ends:
            return None
        return (
            self._clock.start(min(first for first, _ in ends)),
            self._clock.after(self._clock.start(max(last for _, last in ends))),
        )

    def _all(self) -> Iterator[tuple[int, int]]:
        """Spans of some buckets, newest first, that cover everything."""
        whole = self._extent()
        if whole is None:
            return
        first, end = whole
        while end > first:
            start = max(first, self._clock.back(end, BUCKETS_AT_ONCE))
            yield start, end
            end = start

    def _sampled(self, samples: int, seed: int) -> Iterator[tuple[int, int]]:
        """Buckets drawn by the seed: half of them among those that are kept (the first and the last always), half at
        moments within the source's chunks, which finds what is not kept."""
        drawn = random.Random(seed)
        time_column = sql.Identifier(self._aggregate.time)
        kept = [
            int(row[0])
            for row in fetch_all(
                self._conn,
                sql.SQL("SELECT DISTINCT {} FROM {} ORDER BY 1 DESC LIMIT {}").format(
                    counted(time_column, self._aggregate.kind),
                    sql.Identifier(self._aggregate.kept.schema, self._aggregate.kept.name),
                    sql.Literal(MOST_KEPT_BUCKETS),
                ),
            )
        ]
        chosen = {kept[0], kept[-1]} if kept else set()
        rest = [each for each in kept if each not in chosen]
        chosen |= set(drawn.sample(rest, min(len(rest), max(0, (samples + 1) // 2 - len(chosen)))))
        chunks = self._chunk_spans()
        for _ in range(samples * 3 if chunks else 0):
            if len(chosen) >= samples:
                break
            first, end = drawn.choice(chunks)
            chosen.add(self._clock.start(drawn.randrange(first, max(end, first + 1))))
        for start in sorted(chosen, reverse=True):
            yield start, self._clock.after(start)

    def _chunk_spans(self) -> list[tuple[int, int]]:
        source = self._aggregate.source
        rows = fetch_all(self._conn, query("chunk_spans"), {"schema": source.schema, "name": source.name})
        return [(int(first), int(end)) for first, end in rows]

    def _compare(self, first: int, end: int, buckets: int = 1) -> None:
        """Compares a span of so many buckets at one snapshot."""
        source, kept = self._aggregate.source, self._aggregate.kept

        def work() -> tuple[list[tuple[object, ...]], list[Span], list[tuple[int, int]]]:
            with self._conn.transaction():
                execute(self._conn, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                # Many expressions over a few rows: compiling them took two seconds, running them five milliseconds.
                execute(self._conn, "SET LOCAL jit = off")
                for table in (source, kept):
                    name = sql.Identifier(table.schema, table.name)
                    execute(self._conn, sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(name))
                waits = pending(self._conn, self._aggregate, self._known)
                chunks = self._chunk_spans()
                rows = fetch_all(
                    self._conn, compare.statement(self._aggregate, self._columns, first, end, buckets)
                )
                return rows, waits, chunks

        rows, waits, chunks = yield_and_retry(
            self._conn, f"compare {self._aggregate.name}", [source, kept], work, should_stop=self._should_stop
        )
        self._found.checked += int(str(rows[0][0]))
        rows = [row for row in rows if row[1] is not None]
        after = {start: self._clock.after(start) for start in {int(str(row[1])) for row in rows}}
        # drop_chunks is logged as a change too: it must not be taken for something that a refresh would mend.
        dropped = {
            start
            for start, kept_rows in ((int(str(row[1])), int(str(row[3]))) for row in rows)
            if kept_rows and _gone(chunks, start, after[start])
        }
        for row in rows:
            start, text = int(str(row[1])), str(row[2])
            if start in dropped:
                self._found.dropped[start] = text
            elif overlaps(waits, start, after[start]):
                self._found.waiting[start] = text
            else:
                self._found.different[start] = text
                if len(self._found.differences) < KEPT_DIFFERENCES:
                    self._found.differences.append(self._difference(row))

    def _difference(self, row: tuple[object, ...]) -> AggregateDifference:
        kept_rows, raw_rows = int(str(row[3])), int(str(row[4]))
        keys, others = self._columns.keys, self._columns.others
        group = {name: _text(value) for name, value in zip(keys, row[5 : 5 + len(keys)], strict=True)}
        cells = row[5 + len(keys) :]
        values = {
            name: (_text(cells[3 * n]), _text(cells[3 * n + 1]))
            for n, name in enumerate(others)
            if not cells[3 * n + 2]
        }
        if not self._columns.keyed:
            return AggregateDifference(str(row[2]), "count", group, {"rows": (str(kept_rows), str(raw_rows))})
        kind = "missing" if not kept_rows else "extra" if not raw_rows else "differs"
        return AggregateDifference(str(row[2]), kind, group, values)

    def _repair(self) -> None:
        """Refreshes the buckets that differ, one after the other, and compares each again: directly before as well, since what
        a bucket was made of may have been dropped meanwhile, and a refresh would delete the bucket."""
        version, edition = fetch_one(self._conn, index_query("version")) or (None, None)
        if not has("forced_refresh", version, "community" if edition == "timescale" else edition):
            raise Refused(
                "This TimescaleDB refreshes only what its log says was changed.",
                facts={"have": version, "need": "2.18 or later", "aggregate": self._aggregate.name},
                remedy="touch a row of each bucket that differs (an UPDATE that changes nothing), then refresh it.",
            )
        for start in sorted(self._found.different, reverse=True):
            self._should_stop()
            end = self._clock.after(start)
            now = self._again(start, end)
            if start not in now.different:
                self._no_longer(start, now)
                continue
            forced(self._conn, self._aggregate, start, end, self._should_stop)
            if start not in self._again(start, end).different:
                self._found.repaired.append(self._found.different[start])
        self._say(
            f"{self._aggregate.name}: {plural(len(self._found.repaired), 'bucket')} refreshed and equal now"
        )

    def _again(self, start: int, end: int) -> _Found:
        """What a bucket is now, without a word of it in what was found."""
        before, self._found = self._found, _Found()
        try:
            self._compare(start, end)
            return self._found
        finally:
            self._found = before

    def _no_longer(self, start: int, now: _Found) -> None:
        """Takes a bucket from those that differ: by now it waits, or what it was made of was dropped, or it was mended."""
        found = self._found
        text = found.different.pop(start)
        found.differences = [each for each in found.differences if each.bucket != text]
        found.dropped |= now.dropped
        found.waiting |= now.waiting


NOT_KEYED = "It is grouped by what is not among its columns, so that rows are compared by all their values, floats exactly."


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _gone(chunks: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether rows of the bucket may have been dropped: it begins before the first chunk that is there, or no chunk
    touches it."""
    if not chunks or start < chunks[0][0]:
        return True
    return not any(first < end and last > start for first, last in chunks)
