"""What stands between a statement and the server: the side that it reads is decided here, in its own transaction."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Boolean, String, Table, bindparam, event, text
from sqlalchemy.engine import Connection, Engine

from .dialects import InDialect, Marks, plainly_committing, whole_name
from .other import Other
from .source import MAY_ASK
from .text import Place

OPTION = "hyperferry_read"
"""The execution option under which a statement carries its `Wish`."""

ASK_AGAIN_SECONDS = 10.0

_HOLD = (
    text("SELECT hyperferry_reads.hold(:schema, :name, :record, :number, :phase) AS held")
    .bindparams(
        bindparam("schema", type_=String),
        bindparam("name", type_=String),
        bindparam("record", type_=String),
        bindparam("number", type_=BigInteger),
        bindparam("phase", type_=String),
    )
    .columns(held=Boolean)
)

Offer = Callable[[dict[str, Any]], None]
"""Gets the evaluated parameters of a statement that reads the table of record (a shadow read)."""


class Wish:
    """Where a statement would like to read: the other sides of some tables; `offer` is told when it reads the table of record."""

    __slots__ = ("marks", "offer", "others")

    def __init__(self, marks: Marks, others: Mapping[Table, Other], offer: Offer | None = None) -> None:
        self.marks, self.others, self.offer = marks, others, offer


class Counts:
    """How many statements read the other side, and how many would have, but for the transaction that they stood in; and which
    engines' databases can be asked, by when they last could not."""

    def __init__(self) -> None:
        self.other = 0
        self.held_back = 0
        self._engines: weakref.WeakKeyDictionary[Engine, float | None] = weakref.WeakKeyDictionary()

    def can_ask(self, conn: Connection) -> bool:
        """Whether there is anything to ask where this connection goes, for its role: else asking would be an error, and the end
        of the application's transaction."""
        known = self._engines.get(conn.engine, 0.0)
        if known is not None and (known == 0.0 or time.monotonic() - known > ASK_AGAIN_SECONDS):
            known = None if conn.exec_driver_sql(MAY_ASK).scalar() else time.monotonic()
            self._engines[conn.engine] = known
        return known is None


class Link:
    """One connection on which wishes are heard."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._asking = False
        # Weakly: a transaction holds its connection, which is what this is kept by.
        self._at: tuple[weakref.ref[Any] | None, weakref.ref[Any] | None] = (None, None)
        self._held: dict[Other, bool] = {}

    def before(
        self, conn: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        """before_cursor_execute: the statement's text becomes that of the side that it reads."""
        wish: Wish | None = context.execution_options.get(OPTION) if context is not None else None
        if wish is None:
            self.heard_another()
            return statement, parameters
        written = wish.marks.of(conn.dialect)
        sides = written.sides(statement)
        where = self._where(conn, wish, written, sides.reads, sides.plain)
        if sides.calls or not sides.reads:  # a function that it calls may write
            self._forget()
        if where:
            self._counts.other += 1
            return sides.other(where), parameters
        if sides.reads and wish.offer is not None and not executemany:
            wish.offer(dict(context.compiled_parameters[0]))
        return sides.record, parameters

    def heard_another(self) -> None:
        """A statement without a wish: whatever it is, it may have written."""
        if not self._asking:
            self._forget()

    def _where(
        self,
        conn: Connection,
        wish: Wish,
        written: InDialect,
        reads: frozenset[Place],
        plain: Mapping[Place, str],
    ) -> dict[Place, str]:
        where: dict[Place, str] = {}
        for place in reads:
            table = written.places[place]
            other = wish.others.get(table)
            if other is None:
                continue
            if self._may(conn, other, table):
                where[place] = written.name_of(other)
            else:
                self._counts.held_back += 1
        return where

    def _forget(self) -> None:
        """What was promised is to be asked again; what was refused stays so until the transaction's end."""
        self._held = {other: held for other, held in self._held.items() if not held}

    def _may(self, conn: Connection, other: Other, table: Table) -> bool:
        root, nested = conn.get_transaction(), conn.get_nested_transaction()
        same = _is(self._at[0], root)
        if not (same and _is(self._at[1], nested)):  # a lock goes with the savepoint that it was taken in
            if not same:
                self._held = {}
            self._forget()
            self._at = (_weakly(root), _weakly(nested))
        held = self._held.get(other)
        if held is None:
            held = self._held[other] = not plainly_committing(conn) and self._ask(conn, other, table)
        return held

    def _ask(self, conn: Connection, other: Other, table: Table) -> bool:
        self._asking = True
        try:
            return self._counts.can_ask(conn) and bool(
                conn.execute(
                    _HOLD,
                    {
                        "schema": other.schema,
                        "name": other.name,
                        "record": whole_name(table),
                        "number": other.number,
                        "phase": other.phase,
                    },
                ).scalar()
            )
        finally:
            self._asking = False


def _weakly(what: Any) -> weakref.ref[Any] | None:
    return None if what is None else weakref.ref(what)


def _is(before: weakref.ref[Any] | None, now: Any) -> bool:
    """Whether that is the same still. One that is gone is the same as nothing, not even as None."""
    return now is None if before is None else now is not None and before() is now


class Links:
    """The connections on which wishes are heard; each goes when SQLAlchemy lets go of it."""

    def __init__(self, marks: Marks) -> None:
        self.counts = Counts()
        self._marks = marks
        self._known: weakref.WeakKeyDictionary[Connection, Link] = weakref.WeakKeyDictionary()
        self._anywhere: weakref.WeakKeyDictionary[Connection, Link] = weakref.WeakKeyDictionary()
        self._hears_all = False
        self._lock = threading.Lock()

    def hear(self, conn: Connection) -> None:
        """From now on, statements with a wish may be sent over this connection."""
        if not self._hears_all and conn not in self._known:
            link = self._known[conn] = Link(self.counts)
            event.listen(conn, "before_cursor_execute", link.before, retval=True)

    def hear_all(self) -> None:
        """From now on they may be sent over any connection of this process."""
        with self._lock:
            if not self._hears_all:
                event.listen(Engine, "before_cursor_execute", self._before, retval=True)
                self._hears_all = True

    def close(self) -> None:
        """Connections that nobody has named are heard no more."""
        with self._lock:
            if self._hears_all:
                event.remove(Engine, "before_cursor_execute", self._before)
                self._hears_all = False

    def _before(
        self, conn: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        if conn in self._known:
            return statement, parameters
        wish = context.execution_options.get(OPTION) if context is not None else None
        link = self._anywhere.get(conn)
        if type(wish) is Wish and wish.marks is self._marks:
            if link is None:
                link = self._anywhere[conn] = Link(self.counts)
            return link.before(conn, cursor, statement, parameters, context, executemany)
        if link is not None:
            link.heard_another()
        return statement, parameters
