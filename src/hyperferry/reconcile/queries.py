"""What the server makes of declared continuous aggregates: their queries in its own words, what they read, their
columns.

A query is understood by making a view of it, in a transaction that is taken back. A continuous aggregate that is not
there yet is made as a view of its own name, so that others that read it are understood too.
"""

from __future__ import annotations

import re
from dataclasses import replace

import psycopg
from psycopg import sql

from ..catalog.lifecycle import aggregate_names, squeezed
from ..catalog.resolve import user_schemas
from ..db import execute, fetch_all, fetch_one, fetch_value
from ..db.connection import Connection
from ..declared.query_text import bucket_of
from ..errors import Usage
from ..model.declared import ContinuousAggregate, Declared, DeclaredIndex
from ..model.definitions import printed_forms
from ..model.lifecycle import AggregateReading, HypertableState, IndexReading, ServerState
from ..model.names import TableName, name_parts
from ..model.statement import Fragment
from ..upkeep.index_text import clause
from .readings import query, read_indexes

_KINDS = {
    "r": "a table",
    "v": "a view",
    "m": "a materialized view",
    "S": "a sequence",
    "i": "an index",
    "f": "a foreign table",
}
_READ_ERRORS = (
    psycopg.ProgrammingError,
    psycopg.DataError,
    psycopg.NotSupportedError,
    psycopg.IntegrityError,
    psycopg.InternalError,
)


def full_name(written: str, home: str) -> TableName:
    """The relation that a name in the file means; without a schema it is in `home`."""
    parts = name_parts(written)
    return TableName(parts[0] if len(parts) == 2 else home, parts[-1])


def search_path(conn: Connection, home: str, server: ServerState) -> sql.Composed:
    """Where a declared query's names are looked for: where the user would, then beside the table, and among TimescaleDB's
    functions."""
    schemas = list(dict.fromkeys([*user_schemas(conn), home, server.functions]))
    return sql.SQL("SET LOCAL search_path = {}").format(sql.SQL(", ").join(map(sql.Identifier, schemas)))


def read_aggregates(
    conn: Connection, declared: Declared, state: HypertableState, server: ServerState
) -> tuple[AggregateReading, ...]:
    """The declared continuous aggregates, in the order of the file."""
    if not declared.aggregates:
        return ()
    home = state.name.schema
    there = aggregate_names(conn)
    found: dict[TableName, AggregateReading] = {}
    waiting = {full_name(each.name, home): each for each in declared.aggregates}
    failures: dict[TableName, str] = {}
    path = search_path(conn, home, server)
    other = server.acts_as_owner and server.session != state.owner
    owner = sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(state.owner)) if other else None
    with conn.transaction(force_rollback=True):
        if owner is not None:
            execute(conn, owner)
        while waiting:
            before = len(waiting)
            for name, aggregate in list(waiting.items()):
                reading = _read(conn, name, aggregate, name in there, path)
                if isinstance(reading, str):
                    failures[name] = reading
                    continue
                found[name] = reading
                del waiting[name]
            if len(waiting) == before:
                break
    for name, aggregate in waiting.items():
        cycle = _cycle(name, waiting)
        found[name] = AggregateReading(aggregate, name, None, problem=failures[name], cycle=cycle)
    kept = {each.name: each.query for each in state.aggregates}
    readings = (found[full_name(each.name, home)] for each in declared.aggregates)
    return tuple(
        _with_indexes(conn, _as_kept(conn, each, kept.get(each.name), owner), there) for each in readings
    )


def _as_kept(
    conn: Connection, reading: AggregateReading, kept: str | None, owner: sql.Composed | None
) -> AggregateReading:
    """The reading in the words of the aggregate that is there, where these mean the same. What went through a dump, or
    was printed and then written into a file, is in other words: see `printed_forms`."""
    if kept is None or reading.query is None or reading.query == kept:
        return reading
    view = TableName("pg_temp", "hyperferry_again")

    def again(text: str) -> str:
        with conn.transaction(force_rollback=True):
            if owner is not None:
                execute(conn, owner)
            name = sql.Identifier(view.name)
            conn.execute(sql.SQL("CREATE TEMP VIEW {} AS {}").format(name, Fragment(text)), binary=True)
            row = fetch_one(conn, query("definition"), {"view": view.quoted})
            assert row is not None
            return squeezed(row[0])

    try:
        same = not set(printed_forms(reading.query, again)).isdisjoint(printed_forms(kept, again))
    except _READ_ERRORS:
        return reading  # it reads what is yet to be made
    return replace(reading, query=kept) if same else reading


def _read(
    conn: Connection, name: TableName, aggregate: ContinuousAggregate, there: bool, path: sql.Composed
) -> AggregateReading | str:
    """The reading; or what the server said of a relation that is not there, which may be one that is declared."""
    kind = fetch_value(conn, query("kind"), {"schema": name.schema, "name": name.name})
    free = kind is None
    view = (
        name if free else TableName("pg_temp", f"hyperferry_query_{len(fetch_all(conn, query('my_views')))}")
    )
    create = sql.SQL("CREATE {} {} AS {}").format(
        sql.SQL("VIEW" if free else "TEMP VIEW"),
        Fragment(view.quoted if free else sql.Identifier(view.name).as_string(None)),
        Fragment(aggregate.query),
    )
    try:
        with conn.transaction():
            execute(conn, path)
            # By the extended protocol, in which the server refuses whatever is more than one statement.
            conn.execute(create, binary=True)
            execute(conn, "SET LOCAL search_path = pg_catalog, pg_temp")
            row = fetch_one(conn, query("definition"), {"view": view.quoted})
            assert row is not None
            reads = tuple(TableName(*each) for each in fetch_all(conn, query("reads"), {"view": view.quoted}))
            indexes = (
                () if there else tuple(_read_on_view(conn, view, each, path) for each in aggregate.indexes)
            )
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        return error.diag.message_primary or str(error)
    except _READ_ERRORS as error:
        return AggregateReading(aggregate, name, None, problem=error.diag.message_primary or str(error))
    printed = squeezed(row[0])
    return AggregateReading(
        aggregate,
        name,
        printed,
        reads,
        bucket_of(printed),
        tuple(row[1]),
        taken=None if free or there else _KINDS.get(str(kind), "something else"),
        indexes=indexes,
    )


def _read_on_view(
    conn: Connection, view: TableName, index: DeclaredIndex, path: sql.Composed
) -> IndexReading:
    """An index of a continuous aggregate that is not there yet, tried on an empty table with its columns."""
    table = sql.Identifier("pg_temp", "hyperferry_index")
    try:
        with conn.transaction(force_rollback=True):
            execute(
                conn,
                sql.SQL("CREATE TEMP TABLE {} (LIKE {})").format(
                    sql.Identifier("hyperferry_index"), Fragment(view.quoted)
                ),
            )
            execute(conn, path)
            execute(conn, sql.SQL("CREATE INDEX ON {} {}").format(table, Fragment(clause(index))))
    except Usage as error:
        return IndexReading(index, index.name, None, problem=error.message.rstrip("."))
    except _READ_ERRORS as error:
        return IndexReading(index, index.name, None, problem=error.diag.message_primary or str(error))
    return IndexReading(index, index.name, "")


def _with_indexes(
    conn: Connection, reading: AggregateReading, there: frozenset[TableName]
) -> AggregateReading:
    if reading.name not in there or not reading.aggregate.indexes:
        return reading
    return replace(reading, indexes=read_indexes(conn, reading.name, reading.aggregate.indexes))


def _cycle(name: TableName, waiting: dict[TableName, ContinuousAggregate]) -> tuple[TableName, ...]:
    """The way from a declared aggregate by what its query names back to itself; empty where there is none."""
    ways: list[tuple[TableName, ...]] = [(name,)]
    seen: set[TableName] = set()
    while ways:
        way = ways.pop()
        for other in waiting:
            if not _names(waiting[way[-1]].query, other):
                continue
            if other == name:
                return way
            if other not in seen:
                seen.add(other)
                ways.append((*way, other))
    return ()


def _names(text: str, relation: TableName) -> bool:
    plain = re.search(rf"(?<![\w\"]){re.escape(relation.name)}(?![\w\"])", text, re.IGNORECASE)
    return bool(plain) or f'"{relation.name}"' in text
