"""Attempts at locks, under the rule of yielding (invariant I0).

While we hold any lock that the application could want, a further one is asked for with NOWAIT. Only a first lock may wait, and
less than deadlock_timeout, so that in a deadlock with the application we are never the ones that make it the victim.
What fails releases everything and is tried again after a growing, jittered pause, a bounded number of times.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from ..errors import LockUnavailable
from ..model.names import TableName
from .connection import Connection, execute, fetch_all
from .queries import load_queries
from .sqlstate import is_transient

T = TypeVar("T")


class LockMode(StrEnum):
    """PostgreSQL's table lock modes that we use, weakest first."""

    ACCESS_SHARE = "ACCESS SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"


GONE_MS = 1_500
"""So long after its last statement a session of ours that holds a lock which writers could want is ended by the server."""


def not_held_by_the_gone(conn: Connection) -> None:
    """Within the caller's transaction, before its first lock: a client that hangs or vanishes keeps none for longer than
    `GONE_MS`."""
    execute(conn, sql.SQL("SET LOCAL idle_in_transaction_session_timeout = {}").format(sql.Literal(GONE_MS)))


@dataclass(frozen=True)
class FurtherLock:
    """A lock asked for while others are held: `at_once` (NOWAIT, or under the shortest lock_timeout), and how it is waited for
    where that may be; None: it is not."""

    at_once: sql.Composed
    waiting: sql.Composed | None = None


@dataclass(frozen=True)
class Blocker:
    """A session that stands in the way. `age_seconds` is the age of its transaction."""

    pid: int
    user: str
    application: str
    state: str
    age_seconds: float
    query: str

    def __str__(self) -> str:
        """For a message: who, since when, doing what."""
        return (
            f"pid {self.pid} (user {self.user or '?'}, application {self.application or '?'}, {self.state or '?'}, "
            f"transaction open for {self.age_seconds:.1f} s): {' '.join(self.query.split())[:200]}"
        )


def blockers_of(conn: Connection, tables: Sequence[TableName], *, chunks: bool = False) -> list[Blocker]:
    """The sessions that hold or wait for a lock on one of the tables (or their `chunks`) now, ours excepted, oldest
    transaction first.

    Without pg_monitor the server hides other users' queries; the pids are seen all the same.
    """
    rows = fetch_all(
        conn,
        load_queries(__package__, "locks.sql")["blockers"],
        {"tables": [table.quoted for table in tables], "chunks": chunks},
    )
    return [_blocker(row) for row in rows]


def exclusive_holders(conn: Connection) -> list[Blocker]:
    """The sessions that hold ACCESS EXCLUSIVE on any relation of this database, ours excepted: who may be in a reader's way."""
    return [
        _blocker(row) for row in fetch_all(conn, load_queries(__package__, "locks.sql")["exclusive_holders"])
    ]


def snapshot_holders_of(conn: Connection) -> list[Blocker]:
    """The sessions that are idle in a transaction and hold a snapshot (REPEATABLE READ, SERIALIZABLE, an open cursor), ours
    excepted."""
    return [
        _blocker(row) for row in fetch_all(conn, load_queries(__package__, "locks.sql")["snapshot_holders"])
    ]


def _blocker(row: tuple[Any, ...]) -> Blocker:
    return Blocker(int(row[0]), row[1] or "", row[2] or "", row[3] or "", float(row[4] or 0), row[5] or "")


def blocker_facts(blockers: Sequence[Blocker]) -> dict[str, object]:
    """The first few as facts of an error."""
    return {f"blocker {number}": blocker for number, blocker in enumerate(blockers[:5], 1)}


def pause_seconds(attempt: int, *, base: float = 0.1, ceiling: float = 5.0) -> float:
    """The pause after the `attempt`-th failure (from 1): growing by half each time, up to `ceiling`, jittered by half."""
    return float(min(ceiling, base * 1.5 ** (attempt - 1)) * random.uniform(0.5, 1.0))


def yield_and_retry(
    conn: Connection,
    what: str,
    tables: Sequence[TableName],
    work: Callable[[], T],
    *,
    attempts: int = 60,
    chunks: bool = False,
    should_stop: Callable[[], None] = lambda: None,
    on_failure: Callable[[int, list[Blocker]], None] = lambda attempt, blockers: None,
) -> T:
    """Runs `work` (one transaction that releases everything when it fails) until it succeeds.

    Lock, deadlock and serialization failures are tried again, at most `attempts` times; anything else is raised as it is.
    `should_stop` is called before each attempt and may raise. Raises LockUnavailable that names who was in the way on the tables
    (and their `chunks`).
    """
    last: list[Blocker] = []
    started = time.monotonic()
    for attempt in range(1, attempts + 1):
        should_stop()
        try:
            return work()
        except psycopg.Error as error:
            if not is_transient(error):
                raise
            if conn.closed:
                raise
            if conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                conn.rollback()
            last = blockers_of(conn, tables, chunks=chunks) or exclusive_holders(conn) or last
            on_failure(attempt, last)
            time.sleep(pause_seconds(attempt))
    facts: dict[str, object] = {
        "attempts": attempts,
        "seconds": f"{time.monotonic() - started:.1f}",
        "tables": ", ".join(str(t) for t in tables),
    }
    facts |= blocker_facts(last)
    raise LockUnavailable(
        f"Could not {what}: the lock was not to be had.",
        facts=facts,
        remedy="this step changed nothing, and nobody is kept waiting; end or wait for the sessions named, "
        "then run the same command again." + _wraparound_remedy(last),
    )


def again_after_deadlock(work: Callable[[], T], *, attempts: int = 5) -> T:
    """Runs `work`, a transaction on tables that only we use, again where it was a deadlock's victim: another starter, or a
    person who looks after the shadow, took the same locks the other way round. Raises the last attempt's error."""
    for left in range(attempts - 1, -1, -1):
        try:
            return work()
        except psycopg.errors.DeadlockDetected:
            if not left:
                raise
    raise AssertionError("attempts must be positive")


def _wraparound_remedy(blockers: Sequence[Blocker]) -> str:
    pids = [blocker.pid for blocker in blockers if "to prevent wraparound" in blocker.query]
    return f" pid {pids[0]} is an autovacuum against wraparound, which gives way to nobody: let it end." if pids else ""


READ_ATTEMPTS = 12
"""How often a reading is tried, where somebody rewrites a table: about 20 seconds, pauses included."""


def patient_read(conn: Connection, what: str, tables: Sequence[TableName], work: Callable[[], T]) -> T:
    """Runs `work`, which only reads, again while somebody holds ACCESS EXCLUSIVE on what it reads (VACUUM FULL, say); within a
    transaction of the caller's it is run once. Raises LockUnavailable that names the blockers."""
    if conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        return work()
    return yield_and_retry(conn, what, tables, work, attempts=READ_ATTEMPTS)


def deadlock_timeouts_ms(conn: Connection) -> tuple[int, ...]:
    """Every deadlock_timeout that a session of this server can have, in milliseconds, as far as it can be known: the server's,
    and what roles, databases and functions were given. Empty where the server's own is hidden behind one of those, or one
    cannot be read. A superuser's `SET deadlock_timeout` in a session of their own is seen by nobody else.
    """
    rows = fetch_all(conn, load_queries(__package__, "locks.sql")["deadlock_timeouts"])
    found = {_milliseconds(str(row[0])) for row in rows}
    return () if not found or None in found else tuple(sorted(each for each in found if each is not None))


_UNITS_MS = {
    "": 1.0,
    "us": 0.001,
    "ms": 1.0,
    "s": 1_000.0,
    "min": 60_000.0,
    "h": 3_600_000.0,
    "d": 86_400_000.0,
}


def _milliseconds(text: str) -> int | None:
    """A GUC's value with its unit; None where it cannot be read."""
    match = re.fullmatch(r"\s*'?\s*(\d+(?:\.\d*)?)\s*([a-z]*)\s*'?\s*", text)
    if match is None or match[2] not in _UNITS_MS:
        return None
    return max(1, int(float(match[1]) * _UNITS_MS[match[2]]))


PATIENCE_MS = 200
"""How long all further locks of an attempt are waited for together, at most."""


def further_locks(locks: Sequence[FurtherLock], timeouts_ms: Sequence[int]) -> sql.Composed:
    """A DO block that takes the locks in order while others are held already. Each is asked for at once; one that may wait does
    so where no session's deadlock check can find us waiting.

    A session looks for a deadlock once, when it has waited for its deadlock_timeout; whoever finds one then is the victim. So we
    wait no longer than a quarter of the shortest (`timeouts_ms`, from `deadlock_timeouts_ms`; empty: not at all): who begins to
    wait after our look cannot be that far before we have given up. Who waits already is seen in pg_locks, whatever for: where
    such a session's check falls due while we wait, or as long again after it (our own timer may be late), or fell due in the last
    second (theirs may), we give way at once. Where the role may, our own check comes first, so that a wait in vain is short.
    """
    budget = min(PATIENCE_MS, min(timeouts_ms, default=0) // 4)
    patiently = load_queries(__package__, "locks.sql")["patiently"]
    body: list[sql.Composable] = []
    for lock in locks:
        if lock.waiting is None or budget < 1:
            body.append(sql.SQL("{};\n").format(lock.at_once))
            continue
        body.append(
            patiently.format(
                at_once=lock.at_once,
                waiting=lock.waiting,
                timeouts=sql.Literal(list(timeouts_ms)),
                budget=sql.Literal(budget),
            )
            + sql.SQL(";\n")
        )
    quick = load_queries(__package__, "locks.sql")["quick_check"]
    text = sql.SQL("DECLARE looked timestamptz; spent double precision := 0;\nBEGIN\n{}{}END").format(
        sql.SQL("{};\n").format(quick) if budget >= 1 else sql.SQL(""), sql.Composed(body)
    )
    return sql.SQL("DO {}").format(sql.Literal(text.as_string(None)))
