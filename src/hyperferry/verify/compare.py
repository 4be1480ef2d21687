"""One range: both sides at one snapshot, and the pairs that differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from ..db import at_most, execute, fetch_one, fetch_value, yield_and_retry
from ..db.connection import Connection
from ..ledger.flow import Flow, Side
from ..ledger.transaction import flow_transaction
from ..model.report import Difference, RangeParity
from . import statements
from .backlog import Sums, explained_by_backlog
from .groups import GroupSums, group_sums
from .ranges import Range

T = TypeVar("T")

LISTED = 1000
"""So many differences are listed; all are counted."""

# A range is read by bitmap: an index scan fetches the page of each row anew, which costs as much as hashing the row. The planner
# does not know that a bitmap's pages lie together where rows lie in the order of the time, and would read the whole plain table
# for a tenth of it, for each tenth again (`_read`); a chunk, which mostly lies in one range, is as well read whole.
SETTINGS = {"jit": "off", "enable_indexscan": "off"}


@dataclass(frozen=True)
class Task:
    """What a verification is given, for all of its ranges. `by` is the column of `--by`; `chunk` the one chunk in which they all
    lie, None for a verification of everything; `helpers`: parallel workers of a statement at most (None: as many as the server
    has)."""

    flow: Flow
    started: datetime
    tries: int
    dropped: tuple[tuple[str, str], ...] = ()
    by: str | None = None
    chunk: Side | None = None
    helpers: int | None = None

    def patiently(self, conn: Connection, what: str, work: Callable[[], T], stop: Callable[[], None]) -> T:
        """Runs one transaction of ours until its locks are to be had."""
        tables = [self.flow.active.name, self.flow.passive.name]
        return yield_and_retry(conn, what, tables, work, attempts=self.tries, should_stop=stop)


@dataclass(frozen=True)
class RangeResult:
    """One range at its snapshot. `truncated`: a TRUNCATE stood in the backlog, so nothing can be said of it
    yet."""

    within: Range
    source_rows: int = 0
    target_rows: int = 0
    dropped_source_rows: int = 0
    dropped_target_rows: int = 0
    excused: int = 0
    difference_count: int = 0
    differences: tuple[Difference, ...] = ()
    truncated: bool = False
    groups: GroupSums = field(default_factory=dict)

    @property
    def parity(self) -> RangeParity:
        """For the report."""
        return RangeParity(
            self.within.start, self.within.end, self.source_rows, self.target_rows, self.difference_count == 0
        )


def differences_of(flow: Flow, found: list[list[Any]] | None) -> tuple[Difference, ...]:
    """Differences from `[pair, source rows, target rows]`, the pair's columns in the order of the key."""
    labels = [f.label for f in flow.pairs.fields]
    return tuple(
        Difference(
            {label: pair[label] for label in labels},
            source_rows,
            target_rows,
            "missing" if target_rows == 0 else "extra" if source_rows == 0 else "different",
        )
        for pair, source_rows, target_rows in found or ()
    )


def compare_range(conn: Connection, task: Task, within: Range, stop: Callable[[], None]) -> RangeResult:
    """Compares one range in a transaction of its own; drills down in the same snapshot where the sides
    differ."""
    what = f"verify {task.flow.active.name}"
    return task.patiently(conn, what, lambda: _compare(conn, task, within), stop)


def _compare(conn: Connection, task: Task, within: Range) -> RangeResult:
    flow = task.flow
    with flow_transaction(conn, flow, snapshot=True, settings=SETTINGS, chunk=task.chunk):
        if task.helpers is not None:
            at_most(conn, "max_parallel_workers_per_gather", task.helpers)
        source_rows, source_hash, dropped_source = _read(conn, task, flow.active, within)
        target_rows, target_hash, dropped_target = _read(conn, task, flow.passive, within)
        sums = Sums(source_rows, target_rows, source_hash, target_hash)
        # What was written into a dropped range since has to be on both sides; what the target alone has there is no difference.
        equal = source_rows == target_rows and sums.source_hash == sums.target_hash and not dropped_source
        groups = group_sums(conn, flow, within, task.dropped, task.by) if task.by is not None else {}
        if not equal and fetch_value(conn, statements.query("pending_truncation").format(log=flow.log)):
            return RangeResult(within, truncated=True)
        excused, count, found = (0, 0, None) if equal else _explain(conn, task, within, sums)
        return RangeResult(
            within,
            source_rows,
            target_rows,
            dropped_source,
            dropped_target,
            excused,
            count,
            differences_of(flow, found),
            groups=groups,
        )


def _read(conn: Connection, task: Task, side: Side, within: Range) -> tuple[int, Decimal, int]:
    """Rows, sum of hashes, and dropped rows of one side at the transaction's snapshot."""
    if not side.hypertable:
        execute(conn, "SET LOCAL enable_seqscan = off")
    row = fetch_one(conn, statements.sums(task.flow, side, within, task.dropped))
    if not side.hypertable:
        execute(conn, "SET LOCAL enable_seqscan TO DEFAULT")
    assert row is not None
    return row[0], row[1], row[2]


def _explain(
    conn: Connection, task: Task, within: Range, sums: Sums
) -> tuple[int, int, list[list[Any]] | None]:
    """Excused pairs, differences and the first of these: by a look at the backlog's pairs, else by reading the range again."""
    if not task.dropped:
        excused = explained_by_backlog(conn, task.flow, within, sums, task.started)
        if excused is not None:
            return excused, 0, None
    return _drill(conn, task, within)


def _drill(conn: Connection, task: Task, within: Range) -> tuple[int, int, list[list[Any]] | None]:
    row = fetch_one(
        conn,
        statements.drill(task.flow, within, task.dropped),
        {"started": task.started, "limit": LISTED},
    )
    assert row is not None
    return row[0], row[1], row[2]
