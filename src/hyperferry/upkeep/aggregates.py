"""A continuous aggregate refreshed in windows: each is a call of TimescaleDB's own, so that what was done is kept
whatever happens next."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ..db import blockers_of, fetch_one, fetch_value, is_lock_failure, pause_seconds
from ..db.connection import Connection
from ..db.locks import blocker_facts
from ..errors import LockUnavailable, Refused, Usage
from ..model.names import TableName
from ..model.upkeep import RefreshReport, Window
from ..throttle import Valve
from ..words import duration, plural
from .aggregate_facts import (
    LEAST,
    Aggregate,
    Clock,
    Span,
    aggregates,
    counted,
    find,
    overlaps,
    pending,
    query,
    time_from,
)
from .remains import Chunk, Late, at_risk, beginning, chunks_of, keeps, late, newest_lost, without
from .running import run_watched

AIM_SECONDS = 5.0
"""A window is made larger while one takes less than half of this, and smaller when one takes more than twice of it."""
MOST_BUCKETS = 100_000
ATTEMPTS = 60

Say = Callable[[str], None]
Stop = Callable[[], None]


@dataclass(frozen=True)
class Bounds:
    """From the bucket at `first` up to and without the one at `end`, in TimescaleDB's count; and `late`, spans of buckets before
    that, of rows that came when the time was dropped already."""

    first: int
    end: int
    late: tuple[tuple[int, int], ...] = ()


def refresh(
    conn: Connection,
    aggregate: TableName,
    window: Window,
    *,
    say: Say,
    should_stop: Stop,
    throttle: Valve | None = None,
) -> RefreshReport:
    """Refreshes the aggregate, and before it the aggregates that it reads, where anything waits for it within the window.

    Window by window, aligned to buckets, newest first; oldest first for one whose view reads the raw rows too, since
    that shows no rows of a bucket that lies before the newest refreshed one and is not refreshed itself. `conn` is in
    autocommit, outside of a transaction. `should_stop` raises to end it, `throttle` makes it rest between windows.
    What was refreshed is kept: the next call asks TimescaleDB's own log what waits, and skips the rest. An open
    bucket (now) is left, unless the window's end says otherwise; so is the time whose raw rows retention has dropped,
    since a refresh would delete their aggregates.

    Raises Refused on the Apache edition, without the owner's rights, or where the query is not understood, Usage for
    a wrong name or time, LockUnavailable that names the blockers.
    """
    found = find(conn, aggregate)
    every = aggregates(conn)
    report = None
    for each in _sources_first(found, every):
        report = _Refresh(conn, each, every, say, should_stop, throttle).run(window)
    assert report is not None
    return report


def _sources_first(aggregate: Aggregate, every: dict[int, Aggregate]) -> list[Aggregate]:
    chain = [aggregate]
    while (over := chain[-1].over) is not None and over in every:
        chain.append(every[over])
    return chain[::-1]


def bounds(conn: Connection, aggregate: Aggregate, clock: Clock, window: Window, say: Say) -> Bounds | None:
    """What of the window can be refreshed: whole buckets that have rows on either side. None: nothing.

    It ends before the bucket that is open now, and begins where those of the source's chunks begin that were never dropped, if
    the aggregate has rows from before: their source was dropped, and a refresh would delete them. Of rows that came late to
    before that, only those buckets are in it of which nothing is kept.
    """
    first, last = extent(conn, aggregate.source, aggregate.source_time, aggregate.source_kind)
    kept_first, kept_last = extent(conn, aggregate.kept, aggregate.time, aggregate.kind)
    chunks = chunks_of(conn, aggregate.source)
    if first is None or last is None or not chunks:
        return None
    waits = pending(conn, aggregate, {})
    end = clock.after(clock.start(max(last, kept_last if kept_last is not None else last)))
    lost = None if kept_first is None else newest_lost(conn, aggregate, clock, chunks, waits)
    begin = beginning(chunks, waits, lost)
    anew = begin != chunks[0].first
    start = end if begin is None else _start(conn, aggregate, clock, chunks, waits, begin, None if anew else first, kept_first)
    behind = late(conn, aggregate, clock, _source_time(conn, aggregate), start) if anew and start is not None else Late()
    start = end if start is None else start
    now = _now(conn, aggregate)
    if window.end is not None:
        end = min(end, clock.start(_read(clock, window.end)))
    elif now is not None:
        end = min(end, clock.start(now))
    wished = LEAST
    if window.start is not None:
        wished = clock.up(_read(clock, window.start))
        if wished < start and kept_first is not None and kept_first < start:
            say(
                f"{aggregate.name}: begins at {clock.text(start)}; before it the rows that it was made of are gone, and are kept"
            )
        start = max(start, wished)
    left = [each for each in behind.kept if wished <= each < end and overlaps(waits, each, each + 1)]
    if left:
        say(
            f"{aggregate.name}: {plural(len(left), 'bucket')} from {clock.text(left[0])} on left as kept: rows came late there, "
            "and others that they were made of were dropped"
        )
    free = tuple(
        (max(low, wished), min(high, end)) for low, high in behind.free if low < end and high > wished
    )
    return Bounds(min(start, end), end, free) if start < end or free else None


def _start(
    conn: Connection,
    aggregate: Aggregate,
    clock: Clock,
    chunks: Sequence[Chunk],
    waits: Sequence[Span],
    begin: int,
    first: int | None,
    kept_first: int | None,
) -> int | None:
    """The first bucket of what begins at `begin` and has its first row at `first` (None: not asked yet). None: it has no row."""
    if first is None:
        first, _ = extent(conn, aggregate.source, aggregate.source_time, aggregate.source_kind, begin)
    if first is None:
        return None
    start = clock.start(first)
    if start >= begin:
        return start
    if kept_first is not None and kept_first < start:
        return clock.after(start)
    return clock.after(start) if at_risk(conn, aggregate, clock, chunks, waits, start, begin) else start


def _source_time(conn: Connection, aggregate: Aggregate) -> sql.Composed:
    """The time of the source's rows, as SQL."""
    column = sql.SQL("{}").format(sql.Identifier(aggregate.source_time))
    return _uuid_time(conn, column) if aggregate.source_kind == "uuid" else column


def _uuid_time(conn: Connection, value: sql.Composable) -> sql.Composed:
    """The time that a UUID has in it, as SQL."""
    extension = fetch_value(conn, query("extension_schema"))
    return sql.SQL("{}({})").format(sql.Identifier(str(extension), "uuid_timestamp"), value)


def extent(
    conn: Connection, table: TableName, column: str, kind: str, since: int | None = None
) -> tuple[int | None, int | None]:
    """The first and the last time of a hypertable's rows, by TimescaleDB's count, `since` a time if that is given; None where it
    has none."""
    name = sql.Identifier(column)
    each: list[sql.Composable] = [sql.SQL("{}({})").format(sql.SQL(f), name) for f in ("min", "max")]
    moment: sql.Composable = name
    if kind == "uuid":
        each = [_uuid_time(conn, value) for value in each]
        moment, kind = _uuid_time(conn, name), "timestamp with time zone"
    where = sql.SQL("") if since is None else sql.SQL(" WHERE {} >= {}").format(moment, time_from(since, kind))
    row = fetch_one(
        conn,
        sql.SQL("SELECT {}, {} FROM {}{}").format(
            counted(each[0], kind), counted(each[1], kind), sql.Identifier(table.schema, table.name), where
        ),
    )
    assert row is not None
    return row[0], row[1]


def _now(conn: Connection, aggregate: Aggregate) -> int | None:
    if not aggregate.integer:
        return int(fetch_value(conn, "SELECT (EXTRACT(epoch FROM now()) * 1000000)::bigint"))
    if not aggregate.now:
        return None
    return int(fetch_value(conn, f"SELECT {aggregate.now}()::bigint"))


def _read(clock: Clock, text: str) -> int:
    try:
        return clock.read(text)
    except psycopg.DataError as error:
        raise Usage(
            f"{text!r} is no time of this aggregate.",
            facts={"server said": error.diag.message_primary or str(error)},
            remedy="write it as its time column is written: '2024-03-01', '2024-03-01 12:00+00', or a number for an "
            "integer column.",
        ) from None


class _Refresh:
    """One aggregate, window by window."""

    def __init__(
        self,
        conn: Connection,
        aggregate: Aggregate,
        every: dict[int, Aggregate],
        say: Say,
        should_stop: Stop,
        throttle: Valve | None,
    ) -> None:
        self._conn, self._aggregate, self._every = conn, aggregate, every
        self._say, self._should_stop, self._throttle = say, should_stop, throttle
        self._clock = Clock(conn, aggregate)

    def run(self, window: Window) -> RefreshReport:
        """All of it; gives what was done."""
        begun = time.monotonic()
        name = self._aggregate.name
        found = bounds(self._conn, self._aggregate, self._clock, window, self._say)
        if found is None:
            self._say(f"{name}: nothing to refresh")
            return RefreshReport(name, 0, 0, None, None, time.monotonic() - begun)
        done = skipped = 0
        buckets, rested_from = self._first_size(), 0.0
        at, newest_first = (found.end, True) if self._aggregate.materialized_only else (found.first, False)
        if not newest_first:
            done += self._late(found)
        while found.first < at if newest_first else at < found.end:
            self._should_stop()
            start, end = self._next(found, at, buckets, newest_first)
            at = start if newest_first else end
            parts = self._parts(start, end)
            if not parts:
                skipped += 1
                buckets = min(buckets * 2, MOST_BUCKETS)
                continue
            self._rest(rested_from)
            took = sum(self._one(*part) for part in parts)
            rested_from = took
            done += 1
            part = (found.end - at if newest_first else at - found.first) / (found.end - found.first)
            self._say(
                f"{name}: {self._clock.text(start)} to {self._clock.text(end)} refreshed in {duration(took)} ({part:.0%})"
            )
            if took < AIM_SECONDS / 2:
                buckets = min(buckets * 2, MOST_BUCKETS)
            elif took > AIM_SECONDS * 2:
                buckets = max(1, buckets // 2)
        if newest_first:
            done += self._late(found)
        seconds = time.monotonic() - begun
        self._say(f"{name}: {plural(done, 'window')} refreshed in {duration(seconds)}")
        return RefreshReport(
            name, done, skipped, self._clock.text(found.first), self._clock.text(found.end), seconds
        )

    def _pending(self) -> list[Span]:
        """What waits for this aggregate itself: its sources were refreshed before it."""
        return pending(self._conn, self._aggregate, {})

    def _parts(self, start: int, end: int) -> list[tuple[int, int]]:
        """What of a window is to be refreshed: what waits, without buckets of which rows may have been dropped."""
        waits = self._pending()
        if not overlaps(waits, start, end):
            return []
        chunks = chunks_of(self._conn, self._aggregate.source)
        left = at_risk(self._conn, self._aggregate, self._clock, chunks, waits, start, end)
        if left:
            self._say(
                f"{self._aggregate.name}: {plural(len(left), 'bucket')} from {self._clock.text(left[0][0])} on "
                "left as kept: rows that they were made of may have been dropped"
            )
        return [part for part in without(start, end, left) if overlaps(waits, *part)]

    def _late(self, found: Bounds) -> int:
        """The spans of rows that came late, where still nothing is kept of them; gives how many windows were refreshed."""
        done, took = 0, 0.0
        for first, end in found.late:
            while end > first:
                self._should_stop()
                start = max(first, self._clock.back(end, self._first_size()))
                if overlaps(self._pending(), start, end) and not keeps(self._conn, self._aggregate, start, end):
                    self._rest(took)
                    took = self._one(start, end)
                    done += 1
                end = start
        return done

    def _first_size(self) -> int:
        """Buckets in one chunk of the source, about: its rows are read together."""
        where = {"schema": self._aggregate.source.schema, "name": self._aggregate.source.name}
        width = fetch_value(self._conn, query("chunk_width"), where)
        if width is None:
            return 1
        bucket = self._aggregate.bucketing.width
        ratio = "{}::bigint / ({})::bigint" if self._aggregate.integer else (
            "EXTRACT(epoch FROM {}::interval) / EXTRACT(epoch FROM ({})::interval)"
        )  # fmt: skip
        statement = sql.SQL("SELECT ceil({})::bigint").format(
            sql.SQL(ratio).format(sql.Literal(width), sql.SQL(bucket))
        )
        return max(1, min(int(fetch_value(self._conn, statement)), MOST_BUCKETS))

    def _next(self, found: Bounds, at: int, buckets: int, newest_first: bool) -> tuple[int, int]:
        if newest_first:
            return max(found.first, self._clock.back(at, buckets)), at
        return at, min(found.end, self._clock.back(at, -buckets))

    def _rest(self, worked: float) -> None:
        begun = time.monotonic()
        while self._throttle is not None and self._throttle.must_wait(worked, time.monotonic() - begun):
            self._should_stop()
            time.sleep(0.1)

    def _one(self, start: int, end: int) -> float:
        """One window; seconds."""
        begun = time.monotonic()
        with self._throttle.batch() if self._throttle is not None else nullcontext():
            _call(self._conn, self._aggregate, start, end, "", self._should_stop)
        return time.monotonic() - begun


def forced(conn: Connection, aggregate: Aggregate, start: int, end: int, should_stop: Stop) -> None:
    """Refreshes whole buckets whether anything was logged as changed there or not (TimescaleDB 2.18)."""
    _call(conn, aggregate, start, end, ", force => true", should_stop)


def _call(conn: Connection, aggregate: Aggregate, start: int, end: int, more: str, should_stop: Stop) -> None:
    """One window. A lock that is not to be had at once is tried again: writers may queue behind it."""
    schema = str(fetch_value(conn, query("extension_schema")))
    statement = sql.SQL("CALL {}({}::regclass, {}, {}{})").format(
        sql.Identifier(schema, "refresh_continuous_aggregate"),
        sql.Literal(aggregate.name.quoted),
        time_from(start, aggregate.kind),
        time_from(end, aggregate.kind),
        sql.SQL(more),
    )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            run_watched(conn, statement, tick=lambda: None, should_stop=should_stop)
            return
        except psycopg.errors.FeatureNotSupported as error:
            raise Refused(
                f"{aggregate.name} cannot be refreshed here.",
                facts={"server said": error.diag.message_primary or str(error)},
                remedy="continuous aggregates need TimescaleDB's Community edition.",
            ) from None
        except psycopg.Error as error:
            if not is_lock_failure(error):
                raise
            should_stop()
            time.sleep(pause_seconds(attempt))
    raise LockUnavailable(
        f"Could not refresh {aggregate.name}: a lock was not to be had.",
        facts={
            "attempts": ATTEMPTS,
            **blocker_facts(blockers_of(conn, [aggregate.kept, aggregate.source], chunks=True)),
        },
        remedy="a refresh by a policy may be at work; what was refreshed is kept: run the same command again.",
    )
