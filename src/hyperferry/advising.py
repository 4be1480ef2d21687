"""Advice on a table: reads its distribution, decides on it, and reads a little more for the columns that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from . import db
from .advice import advise as _advise
from .advice import case_of, columns_of_interest
from .benchmark import query_file
from .benchmark.source import from_statements
from .catalog.distribution import Reading, read_distribution, with_intervals
from .catalog.distribution_rows import PAGES
from .db.connection import Connection
from .errors import Failed, Usage
from .model.advice import Advice
from .model.distribution import Distribution, StatementUse
from .model.inspection import Inspection
from .model.names import TableName

Say = Callable[[str], None]
TOP = 200
"""Statements of pg_stat_statements that are looked at, the costliest first."""
_VIEWS = ("view", "materialized view")


@dataclass(frozen=True)
class AdviseOptions:
    """What the user wishes. `queries`: a file of statements, as (text, name); `given`: the chunk interval of the settings."""

    dsn: str
    table: str
    time_column: str | None = None
    given: str | None = None
    arrived: str | None = None
    updated: str | None = None
    pages: int = PAGES
    exact: bool = False
    queries: tuple[str, str] | None = None


def advise(options: AdviseOptions, *, say: Say = lambda text: None) -> Advice:
    """Advice on one table, plain or hypertable. Only reads, under ACCESS SHARE and for moments. Raises Usage, Refused, Failed."""
    written = [] if options.queries is None else _of_file(*options.queries)
    with db.connect(options.dsn, purpose="advise") as conn:
        if options.exact:
            say(f"Reading every row of {options.table}, as --exact asks for; this can take long.")
        reading = read_distribution(
            conn,
            options.table,
            options.time_column,
            pages=options.pages,
            exact=options.exact,
            arrived=options.arrived,
            touched=options.updated,
        )
        views = _views(reading.distribution.inspection)
        reading = replace(
            reading, distribution=_with_statements(conn, reading, written, [view for view, _ in views])
        )
        names = [view for view, _ in views]
        case = case_of(reading.distribution, names, options.given)
        if case.width is not None:
            made = with_intervals(reading, columns_of_interest(case), case.width.place)
            case = case_of(made, names, options.given)
        return _advise(case)


def _views(inspection: Inspection) -> list[tuple[TableName, str]]:
    """Views on the table, with their queries."""
    return [
        (each.name, each.definition)
        for each in inspection.dependents
        if each.kind in _VIEWS and each.definition is not None
    ]


def _with_statements(
    conn: Connection, reading: Reading, written: Sequence[StatementUse], views: Sequence[TableName]
) -> Distribution:
    made = reading.distribution
    found = [*written]
    found += [StatementUse(text, None, None, f"view {name}") for name, text in _views(made.inspection)]
    missing = None
    try:
        queries = from_statements(conn, [made.inspection.table.name, *views], TOP)
        found += [StatementUse(each.sql, each.calls, each.total_ms, "pg_stat_statements") for each in queries]
    except (Usage, Failed) as error:
        missing = error.message.removeprefix("No queries were given, and ").rstrip(".")
    return replace(made, statements=tuple(found), statements_missing=missing)


def _of_file(text: str, file: str) -> list[StatementUse]:
    return [
        StatementUse(each.sql, None, None, f"file {file}, {each.name}")
        for each in query_file.parse(text, file)
    ]
