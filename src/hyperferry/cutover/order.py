"""In which order the swap asks for its locks, and which of them may wait: everything that it changes, at full strength at once.

No one order suits every application. Who holds a view comes for its table; who has drawn a number comes for the table; who
writes the table comes for its sequence and for the parents of its foreign keys. What is taken first is queued for, so all who
hold it end first; what comes later is free at once, or held by somebody who needs nothing of ours and is soon done, or held by
somebody who waits for us, and then waiting for them is in vain. So the order changes from attempt to attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from ..db import FurtherLock
from ..model.statement import Statement

STEP = "locks"
PATIENT_FROM = 6
"""From this attempt on a further lock may wait for a short while, where no session's deadlock check can fall into it (I0)."""


@dataclass(frozen=True)
class Lock:
    """One lock of the swap: how it is asked for where it may wait, and how at once. For what has no NOWAIT the two are the same,
    and the shortest lock_timeout there is stands in for it. What waits asks for one relation only; where that has partitions,
    `partitioned` says that they are asked for at once behind it."""

    comment: str
    waiting: sql.Composed
    at_once: sql.Composed
    partitioned: bool = False


@dataclass(frozen=True)
class Wanted:
    """Everything that the swap locks: views outermost first, the sequences of serial columns, the table of record, the parents
    of its foreign keys (with the tables whose foreign keys point at it, and whose rules or policies read it), and the other
    table, which is ours and comes last."""

    views: tuple[Lock, ...]
    serials: tuple[Lock, ...]
    table: Lock
    parents: tuple[Lock, ...]
    other: Lock


Order = list[tuple[Lock, bool]]
"""Locks in order; a further one with True may wait where that is safe."""


def _rotated(locks: Sequence[Lock], first: int) -> list[Lock]:
    return [locks[first], *locks[:first], *locks[first + 1 :]]


def order(wanted: Wanted, attempt: int) -> Order:
    """The order of an attempt (from 1), the other table's lock at its end."""
    chosen = (
        _patient(wanted, attempt - PATIENT_FROM) if attempt >= PATIENT_FROM else _at_once(wanted, attempt)
    )
    return [*chosen, (wanted.other, False)]


def _at_once(wanted: Wanted, attempt: int) -> Order:
    """Only the first waits. The table comes first in every odd attempt: where writers are busy, there is never a moment at which
    it is free, so it has to be queued for. The same holds for the others where those are busy: each in its turn comes first in
    the even ones."""
    all_of_them = [wanted.table, *wanted.views, *wanted.parents, *wanted.serials]
    others = len(all_of_them) - 1
    first = 0 if attempt % 2 or not others else 1 + (attempt // 2 - 1) % others
    return [(lock, False) for lock in _rotated(all_of_them, first)]


def _patient(wanted: Wanted, turn: int) -> Order:
    """The orders in which waiting for a further lock is not in vain, one after the other.

    Views before the table, the table before its parents, as readers and writers come; numbers drawn first, before the table; the
    table first of all; each parent first of all. Where the table is held, whoever holds a view or a sequence only is about to
    ask for the table: those are not waited for.
    """
    views, serials, parents = wanted.views, wanted.serials, wanted.parents

    def line(*groups: tuple[Sequence[Lock], bool]) -> Order:
        return [(lock, waits) for locks, waits in groups for lock in locks]

    orders = [line((views, True), ([wanted.table], True), (serials, False), (parents, True))]
    if serials:
        orders.append(line((serials, True), (views, True), ([wanted.table], True), (parents, True)))
    if views:
        orders.append(line(([wanted.table], True), (views, False), (serials, False), (parents, True)))
    for number in range(len(parents)):
        orders.append(
            line((_rotated(parents, number), True), (views, True), ([wanted.table], True), (serials, False))
        )
    return orders[turn % len(orders)]


def first(chosen: Order) -> sql.Composed:
    """The first lock, which may wait: we hold nothing of the application's."""
    return chosen[0][0].waiting


def further(chosen: Order) -> list[FurtherLock]:
    """The further ones, in order."""
    partitions = [FurtherLock(chosen[0][0].at_once)] if chosen[0][0].partitioned else []
    return partitions + [
        FurtherLock(lock.at_once, lock.waiting if waits else None) for lock, waits in chosen[1:]
    ]


def statements(chosen: Order) -> tuple[Statement, ...]:
    """All of them for people to read, as if none but the first could wait."""
    asked = [first(chosen), *(lock.at_once for lock in further(chosen))]
    comments = [lock.comment for lock, _ in chosen]
    if chosen[0][0].partitioned:
        comments.insert(1, f"{comments[0]}, in its partitions too")
    return tuple(Statement(STEP, comment, text) for comment, text in zip(comments, asked, strict=True))
