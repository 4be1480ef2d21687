"""The application, played on the clone: rows written, views read. What works on the plain table has to work on the hypertable."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from hyperferry.db import connect, execute, fetch_value
from hyperferry.db.connection import Connection
from hyperferry.model.inspection import Inspection
from hyperferry.model.statement import fragment

from .rows import Recipe, Times, find_recipe, said

VIEWS = ("view", "materialized view")


@dataclass(frozen=True)
class Outcome:
    """What came of one thing that the application does; `error` is None where it worked."""

    what: str
    error: str | None


class Application:
    """Writes made-up rows and reads the views, as the job's role, with the search_path that its sessions really have."""

    def __init__(self, dsn: str, inspection: Inspection, search_path: str) -> None:
        self.dsn, self.inspection, self.search_path = dsn, inspection, search_path
        self.recipe: Recipe | None = None
        self.refusal = ""
        self._next = 0

    def fill(self, times: Times) -> int:
        """Fills the table with a row for each chunk, if it takes any. Gives how many; `refusal` says why there are none."""
        with self._connect() as conn:
            self.recipe, count, self.refusal = find_recipe(conn, self.inspection, times)
            if self.recipe is not None:
                execute(conn, self.recipe.insert(0, count))
                self._next = count
            return count

    def play(self) -> list[Outcome]:
        """Inserts, updates and deletes rows, and reads every view."""
        with self._connect() as conn:
            outcomes = self._write(conn) if self.recipe is not None else []
            return [*outcomes, *self._read(conn)]

    def rows(self) -> int:
        """How many rows the table shows now."""
        with self._connect() as conn:
            return int(fetch_value(conn, sql.SQL("SELECT count(*) FROM {}").format(self._table)))

    @property
    def _table(self) -> sql.Identifier:
        return sql.Identifier(self.inspection.table.name.schema, self.inspection.table.name.name)

    def _connect(self) -> Connection:
        conn = connect(self.dsn, purpose="rehearse")
        execute(conn, "SELECT set_config('search_path', %s, false)", [self.search_path])
        # The application is subject to the policies, and gets no error for it.
        execute(conn, "SET row_security = on")
        return conn

    def _write(self, conn: Connection) -> list[Outcome]:
        assert self.recipe is not None
        kept, gone = self._next, self._next + 1
        self._next += 2
        written = [name for name in self.recipe.columns if name != self.inspection.time_column]
        outcomes = [_try(conn, "INSERT", self.recipe.insert(kept, 1))]
        if written:
            assignments = sql.SQL(", ").join(
                sql.SQL("{0} = {0}").format(sql.Identifier(name)) for name in written
            )
            update = sql.SQL("UPDATE {} SET {} WHERE {}").format(self._table, assignments, self._at("DESC"))
            outcomes.append(_try(conn, "UPDATE", update))
        outcomes.append(_try(conn, "a second INSERT", self.recipe.insert(gone, 1)))
        outcomes.append(
            _try(conn, "DELETE", sql.SQL("DELETE FROM {} WHERE {}").format(self._table, self._at("ASC")))
        )
        return outcomes

    def _at(self, order: str) -> sql.Composed:
        return sql.SQL("{time} = (SELECT {time} FROM {table} ORDER BY 1 {order} LIMIT 1)").format(
            time=sql.Identifier(self.inspection.time_column), table=self._table, order=fragment(order)
        )

    def _read(self, conn: Connection) -> list[Outcome]:
        return [
            _try(
                conn,
                f"SELECT from {each.kind} {each.name}",
                sql.SQL("SELECT * FROM {} LIMIT 1").format(sql.Identifier(each.name.schema, each.name.name)),
            )
            for each in self.inspection.dependents
            if each.kind in VIEWS
        ]


def _try(conn: Connection, what: str, statement: sql.Composable) -> Outcome:
    try:
        with conn.transaction():
            execute(conn, statement)
            execute(conn, "SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as error:
        return Outcome(what, said(error))
    return Outcome(what, None)
