"""The applier: takes slices of the change log until it is empty."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from psycopg import sql

from ..db import (
    LockMode,
    blocker_facts,
    blockers_of,
    execute,
    fetch_all,
    fetch_value,
    is_row_refused,
    is_transient,
    is_unique_violation,
    pause_seconds,
)
from ..db.connection import Connection
from ..errors import LockUnavailable
from ..ledger import store
from ..ledger.flow import Flow, Side
from ..ledger.transaction import UNFLUSHED, flow_transaction
from ..model.rollout import Direction
from . import slices
from .barrier import pass_barrier, pending_truncation
from .widen import widen
from .window import Group, Ids, Slice, pack

T = TypeVar("T")

SLICE_ROWS = 20_000
WINDOW_SLICES = 5
"""So many slices are read of the log at once, unless batches are pending: which pairs those hold back is asked for each slice."""
MAX_GROUPS = 1_000
ATTEMPTS = 60
_NESTED_LOOPS = {"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off", "jit": "off"}
_KEEP_INDEXES = {"enable_seqscan": "off", "jit": "off"}
_MOVES = "cross-chunk-updates"


class _Truncated(Exception):
    """The slice's snapshot shows a truncation: the barrier comes first."""


@dataclass(frozen=True)
class Applied:
    """What one call did: log rows applied, pairs quarantined, and whether nothing that may be applied was left."""

    changes: int
    quarantined: int
    empty: bool


class Applier:
    """Applies one direction's log on one connection. One at a time is enforced by the applier's lock, not by this class."""

    def __init__(
        self,
        conn: Connection,
        flow: Flow,
        *,
        should_stop: Callable[[], None] = lambda: None,
        slice_rows: int = SLICE_ROWS,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.conn = conn
        self.flow = flow
        self.should_stop = should_stop
        self.slice_rows = slice_rows
        self.say = say
        self._ahead: list[Slice] = []
        self._moves_seen = False
        self.settings = (_KEEP_INDEXES if flow.pairs.by_image else _NESTED_LOOPS) | UNFLUSHED

    def drain(self, *, pending_batches: bool, at_most_seconds: float | None = None) -> Applied:
        """Applies slices until no applicable pair is left or the time is over."""
        started = time.monotonic()
        changes = quarantined = 0
        while True:
            one = self.apply_slice(pending_batches=pending_batches)
            changes += one.changes
            quarantined += one.quarantined
            over = at_most_seconds is not None and time.monotonic() - started > at_most_seconds
            if one.empty or over:
                return Applied(changes, quarantined, one.empty)

    def apply_slice(self, *, pending_batches: bool) -> Applied:
        """Applies the next slice, in as many transactions as it takes to find the pairs that the target refuses."""
        try:
            return self._patiently(lambda: self._read_and_apply(pending_batches))
        except _Truncated:
            self._ahead = []
            self._patiently(lambda: pass_barrier(self.conn, self.flow))
            return Applied(1, 0, False)
        except _Refused as refused:
            quarantined = self._bisect(refused.ids, refused.reason)
            return Applied(refused.ids.size - quarantined, quarantined, False)

    def _read_and_apply(self, pending_batches: bool) -> Applied:
        """One transaction: applies the next slice of the window, which it reads where none is left. Raises _Refused with the
        slice's ids where the target refuses a row."""
        ahead = [] if pending_batches else self._ahead
        changes, full, moved = 0, True, False
        try:
            with self._transaction(nothing_read=lambda: not ahead):
                if fetch_value(self.conn, pending_truncation(self.flow)) is not None:
                    raise _Truncated
                if not ahead:
                    ahead, full, moved = self._read_window(pending_batches)
                if moved:
                    self._note_moves()
                if ahead:
                    changes = self._apply(ahead[0])
        except psycopg.Error as error:
            refused = _refusal(error, ahead[0].ids) if ahead else None
            if refused is None:
                raise
            if moved:  # it was rolled back with the slice
                self._note_moves()
            self._ahead, self._moves_seen = ahead[1:], self._moves_seen or moved
            raise refused from None
        self._ahead, self._moves_seen = ahead[1:], self._moves_seen or moved
        return Applied(changes, 0, empty=not self._ahead and not full)

    def _read_window(self, pending_batches: bool) -> tuple[list[Slice], bool, bool]:
        """The next slices; whether there may be more in the log; and whether they show an update of the time across chunks, if
        that is not known yet (I9)."""
        most = self.slice_rows * (1 if pending_batches else WINDOW_SLICES)
        rows = fetch_all(
            self.conn, slices.read_window(self.flow, pending_batches=pending_batches), {"limit": most}
        )
        groups = [_group(low, high, Ids(ids, size)) for low, high, ids, size, _ in rows]
        moved = any(updated for *_, updated in rows) and self._moves(groups)
        return pack(groups, self.slice_rows), sum(group.ids.size for group in groups) == most, moved

    def _moves(self, groups: list[Group]) -> bool:
        """Whether the application updates the time across chunks, as far as these pairs show; only where that is news."""
        if self._moves_seen or self.flow.pairs.by_image or self.flow.direction is not Direction.FORWARD:
            return False
        if len(self.flow.pairs.fields) == 1 or len(groups) == 1:
            return False
        ids = Slice(tuple(groups)).ids
        return bool(fetch_value(self.conn, slices.moved_across_chunks(self.flow), {"ids": ids.text}))

    def _note_moves(self) -> None:
        """Records, once, that the application updates the time across chunks (I9: cross-chunk-updates)."""
        if _MOVES not in store.found(self.conn, self.flow.rollout.id):
            store.event(self.conn, self.flow.rollout.id, "found", {"accept": [_MOVES]})

    def _apply_ids(self, ids: Ids) -> None:
        """One transaction: applies exactly these log rows, as far as they are still there, widened where needed."""
        try:
            with self._transaction():
                if fetch_value(self.conn, pending_truncation(self.flow)) is not None:
                    raise _Truncated
                rows = fetch_all(self.conn, slices.still_there(self.flow), {"ids": ids.text})
                if rows:
                    there = Ids.of(row[0] for row in rows)
                    wide = widen(self.conn, self.flow, there)
                    grouped = fetch_all(self.conn, slices.groups(self.flow), {"ids": wide.text})
                    self._apply(Slice(tuple(_group(low, high, Ids.of(part)) for low, high, part in grouped)))
        except psycopg.Error as error:
            raise _refusal(error, ids) or error from None

    def _apply(self, part: Slice) -> int:
        """Within a transaction: the target's rows with the pairs of these log rows, then the log rows. Returns how many."""
        ids = part.ids
        params = {"ids": ids.text}
        timed = [group for group in part.groups if group.bounds is not None]
        if len(timed) > MAX_GROUPS:
            timed = [Group(None, ids)]
        whole = [Group(None, ids)]
        for group in timed if self._by_group(self.flow.passive) else whole:
            execute(self.conn, slices.delete(self.flow, group.bounds), {"ids": group.ids.text})
        for group in timed if self._by_group(self.flow.active) else whole:
            execute(self.conn, slices.insert(self.flow, group.bounds), {"ids": group.ids.text})
        for group in part.groups:
            if group.bounds is None:
                execute(self.conn, slices.insert(self.flow, None, null_time=True), {"ids": group.ids.text})
        if fetch_value(
            self.conn, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(self.flow.of_ledger("quarantine"))
        ):
            execute(self.conn, slices.forget_quarantine(self.flow), params)
        return execute(self.conn, slices.remove(self.flow), params).rowcount

    def _by_group(self, side: Side) -> bool:
        """Whether the statements on a side are one for each group. On a hypertable, so that the other chunks are excluded; and
        without a key, so that whichever join the planner takes reads no more of the table than the group's time."""
        return side.hypertable or self.flow.pairs.by_image

    def _bisect(self, ids: Ids, reason: str) -> int:
        """Applies the ids in ever smaller parts; what is refused alone is quarantined. Returns how many were.

        A part may be refused by a unique key only because its other half is not in it: `widen` takes that in.
        """
        todo, quarantined = [ids], 0
        while todo:
            part = todo.pop()
            self.should_stop()
            try:
                self._patiently(lambda part=part: self._apply_ids(part))  # type: ignore[misc]
            except _Truncated:
                return quarantined
            except _Refused as refused:
                if part.size == 1:
                    self._patiently(lambda part=part, refused=refused: self._quarantine(part, refused.reason))  # type: ignore[misc]
                    quarantined += 1
                else:
                    todo += reversed(part.halves())
        return quarantined

    def _quarantine(self, ids: Ids, reason: str) -> None:
        with self._transaction():
            pairs = fetch_all(self.conn, slices.to_quarantine(self.flow), {"ids": ids.text, "reason": reason})
            new = [pair for pair, is_new in pairs if is_new]
            for pair in new:
                store.event(
                    self.conn,
                    self.flow.rollout.id,
                    "quarantined",
                    {"direction": self.flow.direction.value, "reason": reason, "pair": pair},
                )
        for pair in new:
            shown = ", ".join(f"{name} {value}" for name, value in pair.items())
            self.say(f"{self.flow.passive.name} cannot take the row {shown}: {reason}")

    def _transaction(
        self, nothing_read: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[None]:
        return flow_transaction(
            self.conn,
            self.flow,
            snapshot=True,
            applier=True,
            passive_mode=LockMode.ROW_EXCLUSIVE,
            settings=self.settings,
            nothing_read=nothing_read,
        )

    def _patiently(self, work: Callable[[], T]) -> T:
        """Runs a transaction again after lock, deadlock and serialization failures, a bounded number of times."""
        for attempt in range(1, ATTEMPTS + 1):
            self.should_stop()
            try:
                return work()
            except psycopg.Error as error:
                if not is_transient(error) or self.conn.closed:
                    raise
                last = error
                time.sleep(pause_seconds(attempt))
        raise LockUnavailable(
            "Changes could not be applied: the locks were not to be had.",
            facts={
                "attempts": ATTEMPTS,
                "direction": self.flow.direction,
                "server said": str(last).strip(),
                **blocker_facts(blockers_of(self.conn, [self.flow.active.name, self.flow.passive.name])),
            },
            remedy="another hyperferry may be applying this rollout's changes, or somebody holds ACCESS EXCLUSIVE on the "
            "table. Nothing is lost; run the same command again.",
        )


class _Refused(Exception):
    """The target refused a row of these log rows."""

    def __init__(self, ids: Ids, reason: str) -> None:
        super().__init__(reason)
        self.ids = ids
        self.reason = reason


def _group(low: str | None, high: str | None, ids: Ids) -> Group:
    return Group(None if low is None or high is None else (low, high), ids)


def _refusal(error: psycopg.Error, ids: Ids) -> _Refused | None:
    if ids.size and (is_unique_violation(error) or is_row_refused(error)):
        primary = error.diag.message_primary or str(error)
        detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
        return _Refused(ids, f"{primary}{detail}")
    return None


def backlog_size(conn: Connection, flow: Flow) -> int:
    """How many log rows of this direction are not applied yet."""
    return int(fetch_value(conn, sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(flow.log)))


def quarantine_size(conn: Connection, flow: Flow) -> int:
    """How many pairs of this direction the other side could not take."""
    return int(
        fetch_value(
            conn,
            sql.SQL("SELECT pg_catalog.count(*) FROM {} WHERE direction = {}").format(
                flow.of_ledger("quarantine"), sql.Literal(flow.direction.value)
            ),
        )
    )


def requeue_quarantined(conn: Connection, flow: Flow, *, most: int | None = None) -> None:
    """Has every quarantined pair of this direction (or `most` of them) tried once more."""
    execute(conn, slices.from_quarantine(flow, most))
