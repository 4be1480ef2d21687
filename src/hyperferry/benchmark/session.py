"""A session that runs the queries on one side: read-only, with a time limit, under the settings of its role."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg import sql
from psycopg.errors import QueryCanceled

from ..catalog.resolve import user_schemas
from ..db import connect, execute, fetch_all, fetch_value, is_lost_connection, is_transient, patient_read
from ..db.connection import Connection
from ..model.names import TableName
from .options import BenchOptions, Query, Run, Shape, Side
from .plans import Node, parse, run_of, shape_of
from .sides import query
from .statements import preparable, retarget
from .views import View, inline
from .volatile import volatile_calls

USERS_OWN = (
    "search_path",
    "timezone",
    "datestyle",
    "intervalstyle",
    "row_security",
    "extra_float_digits",
    "bytea_output",
    "lc_monetary",
)
"""Settings that a session of hyperferry's pins, and that a query of the application is to find as it is used to."""
EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, SETTINGS, TIMING OFF, FORMAT JSON) {}"
PART = 0.9
"""A statement that was cancelled after this part of the time limit was cancelled by it."""
PLAN_ALONE = "EXPLAIN (SETTINGS, FORMAT JSON) {}"


ONE_BY_ONE = "measure it with --alone --save FILE before the cutover and --against FILE after it"


class CannotRun(Exception):
    """Why a query cannot be run on a side, and what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class ServerRefuses(CannotRun):
    """The server would not plan a query on a side."""


class WrongTable(CannotRun):
    """A query reads another table than the side's."""


class TimedOut(Exception):
    """A query took longer than it may, and what to do."""

    remedy = (
        "look at its plan for what it reads, in chunks and in indexes; with a longer --timeout it is measured, and causes are "
        "looked for"
    )


def _named(views: Sequence[View]) -> str:
    return ", ".join(str(view.name) for view in views)


class Session:
    """The queries on one side. `table` is the application's name of the table, which the queries use."""

    def __init__(
        self, control: Connection, options: BenchOptions, side: Side, other: Side | None, table: TableName,
        views: Sequence[View] = (),
    ) -> None:  # fmt: skip
        self._control = control  # for looking things up, under our own settings
        self.side = side
        self._other = other
        self._table = table
        self._views = views
        self._numbers = count(1)
        self._timeout = options.timeout
        self._generic = options.generic
        self.conn: Connection = connect(options.dsn, purpose="bench")
        try:
            self._prepare_session(options)
        except BaseException:
            self.conn.close()
            raise
        self._names: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._used: dict[str, Sequence[View]] = {}
        """The views that a query goes through, until it was run once."""

    def _prepare_session(self, options: BenchOptions) -> None:
        conn, schema = self.conn, self.side.schema
        self._path = [*user_schemas(conn), "pg_catalog"]
        for name in USERS_OWN:
            execute(conn, sql.SQL("RESET {}").format(sql.Identifier(name)))
        settings = {
            "plan_cache_mode": "force_generic_plan" if options.generic else "force_custom_plan",
            "statement_timeout": f"{max(1, round(options.timeout * 1000))}ms",
            "default_transaction_read_only": "on",
        }
        for name, value in settings.items():
            execute(conn, sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        conn.read_only = True  # each transaction says so itself, whatever a function did to the default
        named = self.side.oid if schema is None else self._other.oid if self._other is not None else None
        if schema is not None and fetch_value(conn, query("means"), {"name": self._table.name}) == named:
            execute(conn, query("own_path"), {"schema": schema})

    def prepare(self, each: Query) -> str | None:
        """Makes the query ready, and checks that it reads this side's table and not the other's. Gives a note on it, or None.
        Raises CannotRun."""
        text = preparable(each.sql)
        if self.side.schema is not None:
            text = retarget(text, self._table, self.side.schema, self.conn.info.dbname)
        self._refuse_volatile(text)
        locked = self._plan(each, text)
        used = [view for view in self._views if view.oid in locked]
        for view in used:
            self._refuse_volatile(view.definition)
        self._used[each.name] = used
        if self.side.schema is None or self._other is None or self._other.oid not in locked:
            self._check(locked, used)
            return None
        inlined = inline(preparable(each.sql), used, self._table, self.side.schema, self.conn.info.dbname)
        if inlined is not None:
            self._refuse_volatile(inlined)
            try:
                locked = self._plan(each, inlined)
            except ServerRefuses as why:
                raise CannotRun(
                    f"with {_named(used)} written into it, as it has to be until the cutover, {why.reason}", ONE_BY_ONE
                ) from None
        self._check(locked, used)
        return f"on the {self.side.label} with {_named(used)} written into it, since that reads the {self._other.label}"

    def _plan(self, each: Query, text: str) -> set[int]:
        """Prepares the text and plans it once; gives the relations that were locked for it."""
        name = f"hyperferry_{next(self._numbers)}"
        statement = sql.SQL("PREPARE {} AS ").format(sql.Identifier(name)).as_string(self.conn) + text
        begun = time.monotonic()
        try:
            self._patiently(lambda: self._one(statement))
            self._names[each.name], self._texts[each.name] = name, text
            try:
                locked: set[int] = self._patiently(lambda: self._locked(each))
            except QueryCanceled:
                if self._early(begun):
                    raise  # somebody cancelled it
                begun = time.monotonic()  # once more: what planning reads may have come from the disk
                locked = self._patiently(lambda: self._locked(each))
        except psycopg.Error as error:
            cancelled = isinstance(error, QueryCanceled)
            if is_transient(error) or is_lost_connection(error) or (cancelled and self._early(begun)):
                raise
            if cancelled:
                raise ServerRefuses(
                    f"planning it takes longer than {self._timeout:g} s on the {self.side.label}", "raise --timeout"
                ) from None
            raise ServerRefuses(
                f"the server refuses it on the {self.side.label}: {error.diag.message_primary or error}",
                "correct the query, or the expressions of its parameters; a text that pg_stat_statements changed has to be "
                "written into a file, as the application has it",
            ) from None
        return locked

    def _early(self, begun: float) -> bool:
        """Whether what was cancelled now, and began then, cannot have been cancelled by the time limit."""
        return time.monotonic() - begun < PART * self._timeout

    def _refuse_volatile(self, text: str) -> None:
        names = volatile_calls(self._control, text, self._path)
        if names:
            raise CannotRun(
                f"it calls {names}, which is volatile and may do more than read",
                "leave the call out; or, where the function only reads, say so: ALTER FUNCTION ... STABLE",
            )

    def _one(self, statement: str) -> psycopg.Cursor[tuple[Any, ...]]:
        """Runs a text that can only be one statement: the extended protocol takes no second one."""
        return self.conn.execute(statement, binary=True)

    def _patiently(self, work: Any) -> Any:
        return patient_read(self.conn, f"read {self.side.name}", [self.side.name], work)

    def _locked(self, each: Query) -> set[int]:
        with self.conn.transaction():
            self._explain(PLAN_ALONE, each, each.drawn[0])
            return {int(row[0]) for row in fetch_all(self.conn, query("locked"))}

    def _check(self, locked: set[int], used: Sequence[View]) -> None:
        if self._other is not None and self._other.oid in locked:
            raise WrongTable(
                f"on the {self.side.label} it would still read the {self._other.label}, through {_named(used) or 'a function'}",
                ONE_BY_ONE,
            )
        if self.side.oid not in locked:
            raise CannotRun(f"it does not read {self._table}", "leave it out, or name the table with its schema")

    def run(self, each: Query, draw: int) -> tuple[Run, Shape]:
        """Runs the query once with a set of values, in a transaction of its own. The first run shows what functions in it read,
        which planning does not. Raises TimedOut, WrongTable, CannotRun."""

        def once() -> tuple[Run, Shape]:
            with self.conn.transaction():
                explained = self._explain(EXPLAIN, each, each.drawn[draw])
                if each.name in self._used:
                    self._check({int(row[0]) for row in fetch_all(self.conn, query("locked"))}, self._used[each.name])
                    del self._used[each.name]
            return run_of(explained, self.side, draw), shape_of(explained, self.side)

        begun = time.monotonic()
        try:
            result: tuple[Run, Shape] = self._patiently(once)
        except QueryCanceled:
            if not self._early(begun):
                raise TimedOut(f"it took longer than {self._timeout:g} s on the {self.side.label}") from None
            raise  # somebody cancelled it
        except psycopg.Error as error:
            if is_transient(error) or is_lost_connection(error):
                raise
            said = error.diag.message_primary or str(error)
            raise CannotRun(
                f"it failed on the {self.side.label}: {said}", "correct the query, or the expressions of its parameters"
            ) from None
        return result

    def shape(self, each: Query, draw: int) -> Shape | None:
        """The shape of the query's plan with a set of values, without running it; None where the server does not say."""

        def once() -> Shape:
            with self.conn.transaction():
                return shape_of(self._explain(PLAN_ALONE, each, each.drawn[draw]), self.side)

        try:
            shape: Shape = self._patiently(once)
        except psycopg.Error:
            if self.conn.closed:
                raise
            return None
        return shape

    def _explain(self, how: str, each: Query, values: Sequence[str | None]) -> Node:
        cursor = self._one(how.format(self._called(each, values)))
        result = cursor.pgresult
        assert result is not None
        return parse(result.get_value(0, 0) or b"[]")

    def _called(self, each: Query, values: Sequence[str | None]) -> str:
        """What is explained. A prepared statement without parameters is planned once, whatever plan_cache_mode says: where it
        is to be planned anew each time, its text stands there instead."""
        if not values and not self._generic:
            return self._texts[each.name]
        call: sql.Composable = sql.SQL("EXECUTE {}").format(sql.Identifier(self._names[each.name]))
        if values:
            call = sql.SQL("{}({})").format(call, sql.SQL(", ").join(sql.Literal(value) for value in values))
        return call.as_string(self.conn)

    def close(self) -> None:
        """Ends the session."""
        self.conn.close()
