"""The applier: takes slices of the change log until it is empty."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
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
from ..ledger import known, store, unseen
from ..ledger.compressed import compressed_below
from ..ledger.flow import Flow, Side
from ..ledger.transaction import UNFLUSHED, flow_transaction
from ..model.rollout import Direction
from . import cold, slices
from .barrier import pass_barrier, pending_truncation
from .places import Places, places_of
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
        self.compressed = flow.rollout.plan.compression is not None
        self.slice_rows = min(slice_rows, cold.SLICE_ROWS) if self.compressed else slice_rows
        self.say = say
        self._ahead: list[Slice] = []
        self._moves_seen = self._told = False
        self._places: Places | None = None
        self._places_known = False
        self._chunks: str | None = None
        self._chunks_known: str | None = None
        self.settings = (_KEEP_INDEXES if flow.pairs.by_image else _NESTED_LOOPS) | UNFLUSHED
        if self.compressed or cold.may_be_compressed(flow):
            self.settings |= cold.settings(conn)

    def drain(self, *, pending_batches: bool, at_most_seconds: float | None = None) -> Applied:
        """Applies slices until no applicable pair is left or the time is over."""
        started = time.monotonic()
        changes = quarantined = 0
        self._look_for_ways_in()
        while True:
            one = self.apply_slice(pending_batches=pending_batches)
            changes += one.changes
            quarantined += one.quarantined
            over = at_most_seconds is not None and time.monotonic() - started > at_most_seconds
            if one.empty or over:
                return Applied(changes, quarantined, one.empty)

    def _look_for_ways_in(self) -> None:
        """Where rows come into the table that capture does not see, no proof of before counts, even when that has ended by the
        time of the swap."""
        way_in = unseen.way_in(self.conn, self.flow)
        if way_in is not None:
            store.bump_epoch(self.conn, self.flow.rollout.id)
            if not self._told:
                self.say(f"{way_in}: nothing counts as proved until that has ended and `hyperferry verify` was run")
            self._told = True

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

    def apply_excused(self, started: datetime) -> None:
        """Applies nothing but the changes of those pairs that stand excused since a verification that began then; all of the
        backlog where a truncation stands in it. For few of them, and when no batch is pending: no pair is held back (I4)."""
        rows = fetch_all(self.conn, slices.of_excused(self.flow), {"started": started})
        ids = Ids.of(row[0] for row in rows)
        if not ids.size:
            return
        if self._moves_matter() and fetch_value(self.conn, slices.moved_excused(self.flow), {"started": started}):
            self._note_moves()
            self._moves_seen = True
        try:
            self._patiently(lambda: self._apply_ids(ids))
        except _Truncated:
            self.drain(pending_batches=False)
        except _Refused as refused:
            self._bisect(refused.ids, refused.reason)

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
        if not self._moves_matter() or len(groups) == 1:
            return False
        ids = Slice(tuple(groups)).ids
        return bool(fetch_value(self.conn, slices.moved_across_chunks(self.flow), {"ids": ids.text}))

    def _moves_matter(self) -> bool:
        """Whether it would be news, and is to be seen at all: rows without a key are not to be told from others."""
        if self._moves_seen or self.flow.direction is not Direction.FORWARD:
            return False
        return slices.can_move(self.flow)

    def _note_moves(self) -> None:
        """Records, once, that the application updates the time across chunks (I9: cross-chunk-updates)."""
        store.note_moves(self.conn, self.flow.rollout.id)

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
        timed = self._located([group for group in part.groups if group.bounds is not None])
        below = compressed_below(self.conn, self.flow) if self.compressed else None
        # A chunk that is made here and dropped later would be missed by nobody (cutover/dropped.py).
        making = self.flow.direction is Direction.FORWARD and any(chunk is None for _, chunk in timed)
        chunks = known.count(self.conn, self.flow) if making else 0
        among_compressed = cold.cold(self.conn, self.flow, [group for group, chunk in timed if chunk is None], below)
        for group, chunk in self._of_side(timed, ids, self.flow.passive):
            if self.flow.passive.hypertable and chunk is None and group.bounds in among_compressed:
                cold.delete(self.conn, self.flow, group)
                continue
            statement = slices.delete(self.flow, group.bounds, chunk=chunk)
            self._in_chunk(chunk, statement, {"ids": group.ids.text})
        for group, chunk in self._of_side(timed, ids, self.flow.active):
            statement = slices.insert(self.flow, group.bounds, chunk=chunk)
            read_once = self.flow.active.hypertable and chunk is None and group.bounds in among_compressed
            with cold.joined_freely(self.conn) if read_once else nullcontext():
                self._in_chunk(chunk, statement, {"ids": group.ids.text})
        if making and known.count(self.conn, self.flow) != chunks:
            execute(self.conn, known.record(self.flow, attached=True))
        for group in part.groups:
            if group.bounds is None:
                execute(self.conn, slices.insert(self.flow, None, null_time=True), {"ids": group.ids.text})
        if fetch_value(
            self.conn, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(self.flow.of_ledger("quarantine"))
        ):
            execute(self.conn, slices.forget_quarantine(self.flow), params)
        removed = execute(self.conn, slices.remove(self.flow), params).rowcount
        self._know_chunks()
        return removed

    def _know_chunks(self) -> None:
        """Last in a slice of the way back: whatever chunks its rows were read in are known from its commit on. Of one that is
        dropped before anybody looks the rows would stay in old, and come back by a rollback (I7)."""
        if self.flow.direction is Direction.REVERSE:
            self._chunks = known.chunk_set(self.conn, self.flow)
            if self._chunks != self._chunks_known:
                known.note(self.conn, self.flow, attached=False)

    def _located(self, groups: list[Group]) -> list[tuple[Group, str | None]]:
        """Each group with the chunk that may be used in the root's place, None where none may. Looked for at this transaction's
        snapshot, as the rows are; what becomes of chunks later is found at its end (`ledger.chunks`), or by the rows themselves:
        one that was moved away behind the snapshot is refused to us by the server."""
        if not self._places_known:
            self._places, self._places_known = places_of(self.conn, self.flow), True
        chunks: list[str | None] = [None] * len(groups)
        if self._places is not None and groups:
            bounds = {
                "lows": [group.bounds[0] for group in groups if group.bounds],
                "highs": [group.bounds[1] for group in groups if group.bounds],
            }
            chunks = [row[0] for row in fetch_all(self.conn, slices.chunks_of(self.flow, self._places), bounds)]
        located = list(zip(groups, chunks, strict=True))
        rest = [group for group, chunk in located if chunk is None]
        if len(rest) > MAX_GROUPS:
            together = Ids.of(text for group in rest for text in group.ids.texts)
            located = [pair for pair in located if pair[1] is not None] + [(Group(None, together), None)]
        return located

    def _of_side(
        self, timed: list[tuple[Group, str | None]], ids: Ids, side: Side
    ) -> list[tuple[Group, str | None]]:
        """What a side's statements are made for: each group, or all of them together. A plain table has no chunks."""
        if not self._by_group(side):
            return [(Group(None, ids), None)]
        return timed if side.hypertable else [(group, None) for group, _ in timed]

    def _in_chunk(self, chunk: str | None, statement: sql.Composed, params: dict[str, str]) -> None:
        """Executes it; a chunk that was dropped since it was looked for is no error: the slice is read anew."""
        try:
            execute(self.conn, statement, params)
        except psycopg.errors.UndefinedTable as error:
            if chunk is None:
                raise
            raise psycopg.errors.SerializationFailure(f"{chunk} was dropped or merged meanwhile") from error

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

    @contextmanager
    def _transaction(self, nothing_read: Callable[[], bool] = lambda: False) -> Iterator[None]:
        self._chunks = self._chunks_known
        with flow_transaction(
            self.conn,
            self.flow,
            snapshot=True,
            applier=True,
            passive_mode=LockMode.ROW_EXCLUSIVE,
            settings=self.settings,
            nothing_read=nothing_read,
        ):
            yield
        self._chunks_known = self._chunks  # not where it was rolled back

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
