"""What is there of a continuous aggregate: where it reads, where it keeps its rows, how it cuts time, and what waits
for a refresh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from ..catalog import require
from ..db import fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..model.names import TableName
from ..model.statement import Fragment
from .index_state import query as index_query
from .query_text import Bucketing, Query, bucketing, parse

LEAST, MOST = -(2**63), 2**63 - 1
"""TimescaleDB's own count of a time without end: microseconds since 1970, or the integer, in 64 bits."""
INTEGERS = frozenset({"smallint", "integer", "bigint"})


def query(name: str) -> sql.SQL:
    """A statement of aggregates.sql."""
    return load_queries(__package__, "aggregates.sql")[name]


@dataclass(frozen=True)
class Span:
    """From `first` up to and with `last`, in TimescaleDB's count."""

    first: int
    last: int


@dataclass(frozen=True)
class Aggregate:
    """A continuous aggregate. `source` is the hypertable that it reads; for one over another aggregate that one's
    own, `over` its number. `time` is the bucket's column, of type `kind`; `source_time` the source's, `now` the
    source's function for an integer's now."""

    id: int
    source_id: int
    name: TableName
    source: TableName
    kept: TableName
    materialized_only: bool
    definition: str
    time: str
    kind: str
    source_time: str
    source_kind: str
    now: str | None
    over: int | None = None

    @property
    def integer(self) -> bool:
        """Whether its time is a number."""
        return self.kind in INTEGERS

    @cached_property
    def query(self) -> Query:
        """Its query, taken apart. Raises Refused where it is not understood."""
        try:
            return parse(self.definition)
        except (ValueError, StopIteration, IndexError) as error:
            raise self._not_understood(error) from None

    @cached_property
    def bucketing(self) -> Bucketing:
        """How it cuts time. Raises Refused where it is not understood."""
        try:
            return bucketing(self.query.columns[self.time])
        except (ValueError, KeyError) as error:
            raise self._not_understood(error) from None

    def _not_understood(self, error: Exception) -> Refused:
        return Refused(
            f"The query of {self.name} is not understood.",
            facts={"reason": error, "query": " ".join(self.definition.split())},
            remedy="refresh it by CALL refresh_continuous_aggregate(...), and compare it by hand.",
        )


def require_aggregates(conn: Connection) -> None:
    """Raises Refused on a server without continuous aggregates: the Apache edition, or no TimescaleDB."""
    version, edition = fetch_one(conn, index_query("version")) or (None, None)
    require("continuous_aggregates", version, "community" if edition == "timescale" else edition)


def aggregates(conn: Connection) -> dict[int, Aggregate]:
    """Every continuous aggregate of the database whose owner's rights the session has, by its number, sources first."""
    rows = fetch_all(conn, query("aggregates"))
    numbers = {int(row[0]) for row in rows}
    return {int(row[0]): _aggregate(conn, row, numbers) for row in rows if row[10] and row[12]}


def _aggregate(conn: Connection, row: tuple[object, ...], numbers: set[int]) -> Aggregate:
    mat, raw = int(str(row[0])), int(str(row[1]))
    name, source, kept = (TableName(str(row[i]), str(row[i + 1])) for i in (2, 4, 6))
    time, kind, _, _ = _time_of(conn, kept)
    source_time, source_kind, _, now = _time_of(conn, source)
    return Aggregate(
        mat, raw, name, source, kept, bool(row[8]), str(row[9]), time, kind, source_time, source_kind, now,
        raw if raw in numbers else None,
    )  # fmt: skip


def _time_of(conn: Connection, table: TableName) -> tuple[str, str, str | None, str | None]:
    row = fetch_one(conn, query("time_column"), {"schema": table.schema, "name": table.name})
    return row if row is not None else ("", "", None, None)


def find(conn: Connection, name: TableName) -> Aggregate:
    """The aggregate of that name. Raises Usage where there is none, Refused without its owner's rights or in its old
    form."""
    require_aggregates(conn)
    found = next((each for each in aggregates(conn).values() if each.name == name), None)
    if found is not None:
        return found
    for row in fetch_all(conn, query("aggregates")):
        if TableName(row[2], row[3]) == name:
            if not row[10]:
                raise Refused(
                    f"{name} is a continuous aggregate of the form before TimescaleDB 2.7.",
                    remedy=f"bring it into the new form: CALL cagg_migrate('{name}').",
                )
            raise Refused(
                f"Only the owner of {name} may refresh and check it.",
                facts={"owner": row[11], "connected as": conn.info.user},
                remedy=f"connect as {row[11]}, or as a member of that role.",
            )
    raise Usage(
        f"{name} is not a continuous aggregate.",
        facts={"there are": ", ".join(str(each.name) for each in aggregates(conn).values()) or "none"},
        remedy="name a continuous aggregate, with its schema.",
    )


def pending(conn: Connection, aggregate: Aggregate, every: dict[int, Aggregate]) -> list[Span]:
    """The spans of time in which it may be older than the rows that it is made of, those of its sources included."""
    spans = waiting(conn, aggregate.id, aggregate.source_id)
    if aggregate.over is not None and aggregate.over in every:
        spans += pending(conn, every[aggregate.over], every)
    return spans


def waiting(conn: Connection, number: int, source: int) -> list[Span]:
    """The spans of time in which an aggregate of that number may be older than what it reads."""
    params = {"mat": number, "raw": source}
    rows = fetch_all(conn, query("pending"), params)
    if fetch_value(conn, query("has_ranges")):
        rows += fetch_all(conn, query("ranges"), params)
    return [Span(int(first), int(last)) for first, last in rows if first <= last]


def overlaps(spans: Sequence[Span], start: int, end: int) -> bool:
    """Whether any span touches the time from `start` up to and without `end`."""
    return any(span.first < end and span.last >= start for span in spans)


def counted(expression: sql.Composable, kind: str) -> sql.Composed:
    """A time as TimescaleDB counts it: microseconds since 1970, or the number itself."""
    if kind in INTEGERS:
        return sql.SQL("({})::bigint").format(expression)
    return sql.SQL("(EXTRACT(epoch FROM ({})) * 1000000)::bigint").format(expression)


def time_from(count: int, kind: str) -> sql.Composed:
    """The time of a count, as SQL of type `kind`."""
    if kind in INTEGERS:
        return sql.SQL("({})::{}").format(sql.Literal(count), Fragment(kind))
    zone = (
        "timestamptz '1970-01-01 00:00:00+00'"
        if kind == "timestamp with time zone"
        else "timestamp '1970-01-01'"
    )
    # Days apart: an interval times a number goes through float8, which has no microseconds after 2255. The session's
    # zone is UTC.
    days, rest = divmod(count, 86_400_000_000)
    return sql.SQL("({} + make_interval(days => {}) + {} * interval '1 microsecond')::{}").format(
        sql.SQL(zone), sql.Literal(days), sql.Literal(rest), Fragment(kind)
    )


class Clock:
    """The arithmetic of one aggregate's buckets, done by the server: months, time zones and origins are its own affair.

    From a bucket's beginning, the next one lies one and a half widths further, and the k-th before it k widths less a
    half back, whatever the lengths of months and days are; numbers have exact widths.
    """

    def __init__(self, conn: Connection, aggregate: Aggregate) -> None:
        self._conn, self._aggregate = conn, aggregate
        self._width = Fragment(aggregate.bucketing.width)

    def bucket(self, moment: sql.Composable) -> sql.Composed:
        """The bucket of a time, as SQL."""
        typed = sql.SQL("({})::{}").format(moment, Fragment(self._aggregate.kind))
        cut = self._aggregate.bucketing
        return sql.SQL("{}{}{}").format(Fragment(cut.before), typed, Fragment(cut.after))

    def _moved(self, count: int, by: str) -> int:
        moment = time_from(count, self._aggregate.kind)
        moved = sql.SQL("{} {}").format(moment, sql.SQL(by).format(width=self._width))
        return int(
            fetch_value(
                self._conn, sql.SQL("SELECT {}").format(counted(self.bucket(moved), self._aggregate.kind))
            )
        )

    def start(self, count: int) -> int:
        """The beginning of the bucket in which a time lies."""
        return self._moved(count, "")

    def after(self, start: int) -> int:
        """The beginning of the next bucket."""
        return self._moved(start, "+ {width}" if self._aggregate.integer else "+ {width} * 1.5")

    def next(self, moment: sql.Composable) -> sql.Composed:
        """The bucket after the one that begins at a time, as SQL."""
        typed = sql.SQL("({})::{}").format(moment, Fragment(self._aggregate.kind))
        by = "+ {width}" if self._aggregate.integer else "+ {width} * 1.5"
        return self.bucket(sql.SQL("{} {}").format(typed, sql.SQL(by).format(width=self._width)))

    def back(self, start: int, buckets: int) -> int:
        """The beginning of the bucket so many before."""
        half = "" if self._aggregate.integer else " + {width} * 0.5"
        return self._moved(start, f"- {{width}} * {buckets}{half}")

    def up(self, count: int) -> int:
        """The first beginning of a bucket that is not before a time."""
        start = self.start(count)
        return start if start == count else self.after(start)

    def text(self, count: int) -> str:
        """A time for people."""
        return str(
            fetch_value(
                self._conn, sql.SQL("SELECT ({})::text").format(time_from(count, self._aggregate.kind))
            )
        )

    def read(self, text: str) -> int:
        """The count of a time that a person wrote. Raises psycopg's DataError."""
        moment = sql.SQL("{}::{}").format(sql.Literal(text), Fragment(self._aggregate.kind))
        return int(
            fetch_value(self._conn, sql.SQL("SELECT {}").format(counted(moment, self._aggregate.kind)))
        )
