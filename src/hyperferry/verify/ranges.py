"""How the two tables are cut for verification: along the plain side's index, into ranges that together hold
every row.

The cuts are hints about size alone. The first and the last range are open, so a row that comes, goes or moves
while they are looked for, or afterwards, lies in exactly one range on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from psycopg import sql

from ..db import fetch_all, fetch_one, fetch_value, load_queries, yield_and_retry
from ..db.connection import Connection
from ..ledger.flow import Flow, Side
from ..ledger.objects import counts, range_columns
from ..ledger.pairs import PairField
from ..ledger.transaction import flow_transaction
from ..model.plan import BatchBy

RANGE_ROWS = 500_000
"""Rows of a range: a second or two of work, during which a snapshot is held."""

SAMPLED_RANGES = 4
"""A table of at least so many ranges is cut by a sample of its pages."""
SAMPLED_PERCENT = 1
"""How much of it is read: of a range of narrow rows some twenty pages."""

T = TypeVar("T")

Cut = tuple[str, ...]
"""The range columns' values as text."""

# OFFSET along anything but the index would read the whole table for each cut.
_ALONG_INDEX = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off", "jit": "off"}


@dataclass(frozen=True)
class Range:
    """From `low` (inclusive) to `high` (exclusive), None is open; or, with `null_time`, the rows without a
    time."""

    low: Cut | None
    high: Cut | None
    null_time: bool = False

    @property
    def start(self) -> str | None:
        """The lower end for the report."""
        return "NULL" if self.null_time else _label(self.low)

    @property
    def end(self) -> str | None:
        """The upper end for the report."""
        return "NULL" if self.null_time else _label(self.high)


def _label(cut: Cut | None) -> str | None:
    return None if cut is None else ", ".join(cut)


def _fields(flow: Flow) -> list[PairField]:
    by_name = {field.name: field for field in flow.pairs.fields}
    return [by_name[name] for name, _ in range_columns(flow)]


def _row(parts: Sequence[sql.Composable]) -> sql.Composable:
    # A plain comparison lets TimescaleDB exclude chunks; a row of one column would not.
    return parts[0] if len(parts) == 1 else sql.SQL("ROW({})").format(sql.SQL(", ").join(parts))


def _literals(flow: Flow, cut: Cut) -> sql.Composable:
    kinds = [kind for _, kind in range_columns(flow)]
    return _row(
        [sql.SQL("{}::{}").format(sql.Literal(value), kind) for value, kind in zip(cut, kinds, strict=True)]
    )


def row_condition(flow: Flow, within: Range, alias: str) -> sql.Composable:
    """That the table's row `alias` lies in the range. Bounds are literals, so that chunks are excluded when
    planning."""
    return _condition(flow, within, [f.of_row(alias) for f in _fields(flow)], flow.pairs.time.of_row(alias))


def pair_condition(flow: Flow, within: Range, alias: str) -> sql.Composable:
    """That the pair `alias` of the log lies in the range."""
    return _condition(
        flow, within, [sql.Identifier(alias, f.name) for f in _fields(flow)], sql.Identifier(alias, "t")
    )


def _condition(
    flow: Flow, within: Range, columns: Sequence[sql.Composable], time: sql.Composable
) -> sql.Composable:
    if within.null_time:
        return sql.SQL("{} IS NULL").format(time)
    if not columns:
        return sql.SQL("true")
    row = _row(columns)
    parts = _leading(flow, within, columns[0]) if len(columns) > 1 else []
    if within.low is not None:
        parts.append(sql.SQL("{} OPERATOR(pg_catalog.>=) {}").format(row, _literals(flow, within.low)))
    if within.high is not None:
        parts.append(sql.SQL("{} OPERATOR(pg_catalog.<) {}").format(row, _literals(flow, within.high)))
    if not parts:
        parts.append(sql.SQL("{} IS NOT NULL").format(columns[0]))
    return sql.SQL(" AND ").join(parts)


def _leading(flow: Flow, within: Range, first: sql.Composable) -> list[sql.Composable]:
    """That the first of several columns lies between the ends, both included: it follows from the rest, but the planner does not
    know that the two ends of a row make a range, and takes one in the middle for a quarter of the table."""
    _, kind = range_columns(flow)[0]
    ends = ((within.low, ">="), (within.high, "<="))
    return [
        sql.SQL("{} OPERATOR(pg_catalog.{}) {}::{}").format(first, sql.SQL(operator), sql.Literal(cut[0]), kind)
        for cut, operator in ends
        if cut is not None
    ]


def dropped_condition(flow: Flow, dropped: Sequence[tuple[str, str]], alias: str) -> sql.Composable:
    """That the table's row `alias` lies in a range of the time that was dropped on purpose; never NULL."""
    if not dropped:
        return sql.SQL("false")
    time = flow.pairs.time.of_row(alias)
    # The ends of a chunk need not lie within the type: smallint's last chunk ends beyond it.
    kind = sql.SQL("pg_catalog.int8") if counts(flow) else flow.pairs.time.type
    terms = [
        sql.SQL("({t} OPERATOR(pg_catalog.>=) {a}::{k} AND {t} OPERATOR(pg_catalog.<) {b}::{k})").format(
            t=time, a=sql.Literal(start), b=sql.Literal(end), k=kind
        )
        for start, end in dropped
    ]
    return sql.SQL("(({}) IS TRUE)").format(sql.SQL(" OR ").join(terms))


def _next_cut(conn: Connection, flow: Flow, last: Cut | None, rows: int) -> Cut | None:
    """One short transaction: the cut that follows `last`, None at the end of the index."""
    columns = [f.of_row("s") for f in _fields(flow)]
    behind: sql.Composable
    if last is None:
        behind = sql.SQL("{} IS NOT NULL").format(columns[0])
    else:
        behind = sql.SQL("{} OPERATOR(pg_catalog.>) {}").format(_row(columns), _literals(flow, last))
    statement = load_queries(__package__, "verify.sql")["next_cut"].format(
        texts=sql.SQL(", ").join(sql.SQL("{}::text").format(column) for column in columns),
        table=_plain(flow).ident,
        behind=behind,
        columns=sql.SQL(", ").join(columns),
    )
    with flow_transaction(conn, flow, snapshot=False, settings=_ALONG_INDEX):
        row = fetch_one(conn, statement, {"rows": rows})
    return None if row is None else tuple(row)


def _plain(flow: Flow) -> Side:
    return flow.passive if flow.active.hypertable else flow.active


def _sampled_cuts(conn: Connection, flow: Flow, rows: int) -> list[Cut]:
    """Cuts about `rows` rows apart from a look at a hundredth of the plain side's pages, in one short transaction; none where the
    table is so small that its index is soon read."""
    queries, plain = load_queries(__package__, "verify.sql"), _plain(flow)
    if int(fetch_value(conn, queries["rows"], {"oid": plain.oid}) or 0) < SAMPLED_RANGES * rows:
        return []
    columns = [f.of_row("s") for f in _fields(flow)]
    statement = queries["sampled_cuts"].format(
        texts=sql.SQL(", ").join(sql.SQL("{}::text").format(column) for column in columns),
        columns=sql.SQL(", ").join(columns),
        table=plain.ident,
        known=sql.SQL("{} IS NOT NULL").format(columns[0]),
    )
    every = max(1, rows * SAMPLED_PERCENT // 100)
    with flow_transaction(conn, flow, snapshot=False, settings={"jit": "off"}):
        found = fetch_all(conn, statement, {"percent": SAMPLED_PERCENT, "every": every})
    return [cut for cut, before in zip(found, [None, *found], strict=False) if cut != before]


def find_ranges(
    conn: Connection, flow: Flow, *, stop: Callable[[], None], tries: int, rows: int = RANGE_ROWS
) -> list[Range]:
    """The ranges, each of about `rows` rows. Of a large table a sample is read, and its index behind the last cut; of a small one
    the whole index; in short transactions."""
    plan = flow.rollout.plan

    def patiently(work: Callable[[], T]) -> T:
        tables = [flow.active.name, flow.passive.name]
        what = f"find ranges of {flow.active.name}"
        return yield_and_retry(conn, what, tables, work, attempts=tries, should_stop=stop)

    cuts: list[Cut] = []
    if plan.batch_by is not BatchBy.WHOLE:
        cuts = patiently(lambda: _sampled_cuts(conn, flow, rows))
        while (cut := patiently(lambda: _next_cut(conn, flow, cuts[-1] if cuts else None, rows))) is not None:
            cuts.append(cut)
    edges: list[Cut | None] = [None, *cuts, None]
    found = [Range(low, high) for low, high in pairwise(edges)]
    time = plan.inspection.time
    if plan.batch_by is BatchBy.TIME and not (time is not None and time.not_null):
        found.append(Range(None, None, null_time=True))
    return found
