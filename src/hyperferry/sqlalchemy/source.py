"""Where the rollout of a table stands, as the application's own role may see it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..flag.connected import connected
from ..flag.watch import Watch
from .other import Asked, Other, Seen, fresh_as_of, other_of

log = logging.getLogger("hyperferry.sqlalchemy")

Read = Callable[[str], Asked | None]
"""Asks the database of one table, by its name in quotes; None where no rollout of it runs. May raise what its driver raises."""

REFRESH_SECONDS = 2.0

MAY_ASK = (
    "SELECT COALESCE(bool_and(pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND "
    "pg_catalog.has_function_privilege(p.oid, 'EXECUTE')) AND count(*) = 3, false) "
    "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
    "WHERE n.nspname = 'hyperferry_reads' AND p.proname IN ('rollout', 'stands', 'hold')"
)
"""Whether `hyperferry reads` was run for this role; by what everybody may read."""

ROLLOUT = (
    "SELECT r.number, r.phase, t.relname::text, r.oldest, r.newest, COALESCE(r.quarantined, false), "
    "COALESCE(pg_catalog.has_schema_privilege(s.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'), false), "
    "t.relrowsecurity, NOT EXISTS (SELECT a.attname, a.atttypid FROM pg_catalog.pg_attribute a "
    "WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped EXCEPT SELECT b.attname, b.atttypid "
    "FROM pg_catalog.pg_attribute b WHERE b.attrelid = c.oid AND b.attnum > 0 AND NOT b.attisdropped) "
    "FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace "
    "CROSS JOIN LATERAL hyperferry_reads.rollout(n.nspname::text, t.relname::text) r "
    "LEFT JOIN pg_catalog.pg_namespace s "
    "ON s.nspname = CASE r.phase WHEN 'cut_over' THEN 'hyperferry_old_' ELSE 'hyperferry_new_' END || r.number "
    "LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = t.relname "
    "WHERE t.oid = pg_catalog.to_regclass(%s)"
)
"""Where a rollout stands, and whether this role may read the other side, which has all columns that the table has."""

SIGNS = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_catalog.pg_class t ON t.relname = c.relname WHERE t.oid = pg_catalog.to_regclass(%s) "
    r"AND n.nspname ~ '^hyperferry_(new|old)_\d+$')"
)
"""Whether the catalog, which everybody may read, shows that a rollout of a table of that name runs."""


class NotAllowed(Exception):
    """A rollout seems to run, but the role may not ask where it stands."""


def by_psycopg(dsn: str, *, connect_timeout: int = 5) -> Read:
    """Asks by psycopg 3, as the role that the application itself connects as, over one connection that is kept, and made anew
    when it is lost."""
    return _Reader(dsn, connect_timeout)


class _Reader:
    def __init__(self, dsn: str, timeout: int) -> None:
        self._dsn, self._timeout = dsn, timeout
        self._conn: Any = None
        self._pid = os.getpid()
        # The watchers of several tables ask over one connection; a forked process has a lock and a connection of its own.
        self._locks: dict[int, threading.Lock] = {}

    def __call__(self, table: str) -> Asked | None:
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            if self._pid != os.getpid():
                self._conn, self._pid = None, os.getpid()
            return self._ask(table)

    def _ask(self, table: str) -> Asked | None:
        if self._conn is None or self._conn.closed:
            self._conn = connected(self._dsn, "hyperferry reads", self._timeout, autocommit=True)
        with self._conn.transaction():
            # Not the session's: behind a pooler that would be the application's too.
            self._conn.execute("SET LOCAL lock_timeout = '1s'")
            if self._value(MAY_ASK):
                row = self._conn.execute(ROLLOUT, [table]).fetchone()
                return None if row is None else Asked(*row)
            if not self._value(SIGNS, [table]):
                return None
        raise NotAllowed("this role may not ask where it stands: run `hyperferry reads TABLE --role ROLE`")

    def _value(self, query: str, parameters: list[str] | None = None) -> Any:
        row = self._conn.execute(query, parameters).fetchone()
        return None if row is None else row[0]


@dataclass(frozen=True)
class State:
    """The other side of a table, while it can be read."""

    other: Other
    fresh: float | None
    """By time.monotonic(): up to then it has every change; None where that is not known."""


class Standing:
    """The state of one table, as a thread of its own last saw it. `looked` is called each time that it has looked."""

    def __init__(self, read: Read, table: str, seconds: float, looked: Callable[[], None]) -> None:
        self._read, self._table = read, table
        self._looks: deque[Seen] = deque(maxlen=1000)
        self._number_phase: tuple[int, str] | None = None
        self._told_of: object = None
        self._one_at_a_time = (os.getpid(), threading.Lock())  # a forked process may find it held by nobody
        self._watch = Watch(
            self._ask,
            seconds=seconds,
            name="hyperferry reads",
            troubled=self._troubled,
            changed=lambda state: None,
            asked=looked,
        )

    def start(self) -> None:
        """Begins to look, in this process."""
        self._watch.start()

    def now(self) -> State | None:
        """The other side; None: the table itself is read."""
        return self._watch.known

    def refresh(self) -> State | None:
        """Asks now. What the driver raises is raised."""
        return self._watch.refresh()

    def close(self) -> None:
        """Ends the thread."""
        self._watch.close()

    def _ask(self) -> State | None:
        if self._one_at_a_time[0] != os.getpid():
            self._one_at_a_time = (os.getpid(), threading.Lock())
        with self._one_at_a_time[1]:
            return self._look()

    def _look(self) -> State | None:
        at = time.monotonic()
        try:
            asked = self._read(self._table)
        except NotAllowed as error:
            if self._told_of is not NotAllowed:
                log.warning(
                    "a rollout of %s seems to run, but %s; the table itself is read", self._table, error
                )
            self._told_of = NotAllowed
            return None
        other = other_of(asked)
        self._tell(asked, other)
        if asked is None or other is None:
            self._looks.clear()
            self._number_phase = None
            return None
        if self._number_phase != (other.number, other.phase):  # another log
            self._looks.clear()
            self._number_phase = (other.number, other.phase)
        look = Seen(at, asked.newest)
        fresh = fresh_as_of(self._looks, look, asked.oldest)
        self._looks.append(look)
        return State(other, fresh)

    def _tell(self, asked: Asked | None, other: Other | None) -> None:
        """A line for each change, and for what keeps the other side from being read."""
        said = asked and (
            asked.number,
            asked.phase,
            asked.allowed,
            asked.quarantined,
            asked.row_security,
            asked.columns,
        )
        if said == self._told_of:
            return
        self._told_of = said
        if asked is None:
            log.info("no rollout of %s runs", self._table)
        elif other is not None:
            log.info(
                "rollout %s of %s is %s: %s can be read", asked.number, self._table, asked.phase, other.schema
            )
        elif asked.phase in ("synced", "cut_over", "rolled_back"):
            why = (
                "row level security is on"
                if asked.row_security
                else "rows are in quarantine (hyperferry status)"
                if asked.quarantined
                else "it lacks a column that the table has, or has it with another type"
                if asked.allowed
                else "this role may not read it (hyperferry reads TABLE --role ROLE)"
            )
            log.warning("the other side of %s is not read: %s", self._table, why)

    def _troubled(self, error: Exception) -> None:
        log.warning("where the rollout of %s stands cannot be read (%s)", self._table, error)
