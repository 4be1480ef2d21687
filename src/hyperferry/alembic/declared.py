"""What hyperferry.toml declares, as statements of a revision."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import Usage
from ..model.declared import (
    Compression,
    ContinuousAggregate,
    Declared,
    DeclaredIndex,
    Refresh,
    Retention,
    Span,
)
from ..model.names import TableName, name_parts
from . import statements
from .statements import Interval, Table

FILE_VARIABLE = "HYPERFERRY_CONFIG"


def of_file(table: Table, file: str | None, *, skip_on_apache: bool) -> tuple[str, ...]:
    """The statements that bring about what the file declares. Raises Usage for one that is not there, is wrong, or is about
    another table."""
    from ..config import load_settings  # late: it is much to import

    path = Path(file or os.environ.get(FILE_VARIABLE) or "hyperferry.toml")
    if not path.is_file():
        raise Usage(
            f"There is no file {path}.",
            remedy=f"name it: op.apply_policies({table.name!r}, file=...), or {FILE_VARIABLE} in the environment.",
        )
    settings = load_settings({}, config=path, by_file=True)
    *schema, name = name_parts(settings.table) if settings.table is not None else (table.name,)
    if name != table.name or (schema and table.schema is not None and schema[-1] != table.schema):
        own = table.name if table.schema is None else str(TableName(table.schema, table.name))
        raise Usage(f"{path} is about {settings.table}, not {own}.", remedy="name the file of this table.")
    return of_declared(table, settings.declared, str(path), skip_on_apache=skip_on_apache)


def of_declared(table: Table, declared: Declared, file: str, *, skip_on_apache: bool) -> tuple[str, ...]:
    """The statements, in an order in which each finds what it needs; what drops rows comes last. Raises Refused for wishes by
    which an aggregate would lose rows, or compressed rows be written, whatever the database has."""
    from ..declared.by_file import refusals_of_file  # late, as above
    from ..declared.registry import as_error

    refusals = refusals_of_file(TableName(table.schema or "public", table.name), declared)
    if refusals:
        raise as_error(table.name, refusals, f"correct {file} as said.")
    made: list[str] = []
    if declared.chunk_interval is not None:
        text = declared.chunk_interval
        made.append(statements.set_chunk_interval(table, int(text) if text.isdigit() else text))
    # Making one may wait for writers: before what locks the table to the end of the transaction.
    for aggregate in declared.aggregates:
        made += _aggregate(table, aggregate, file, skip_on_apache)
    for index in declared.indexes:
        made += _index(table, index, file)
    made += _compression(table, declared.compression, skip_on_apache)
    if declared.reorder is not None:
        made.append(
            statements.add_reorder(
                table,
                declared.reorder.index,
                schedule=_schedule(declared.reorder.schedule),
                skip_on_apache=skip_on_apache,
            )
            if declared.reorder
            else statements.remove_policy(table, "reorder")
        )
    if declared.retention is False:
        made.append(statements.remove_policy(table, "retention"))
    for aggregate in declared.aggregates:
        made += _retention(_view(table, aggregate), aggregate.retention, skip_on_apache)
    made += _retention(table, declared.retention, skip_on_apache)
    return tuple(made)


def _retention(table: Table, wish: Retention | bool | None, skip: bool) -> list[str]:
    """The policy that drops rows, where they are in the aggregates already: else it is left to `hyperferry apply`."""
    if not isinstance(wish, Retention):
        return []
    return [
        statements.add_retention(
            table,
            _interval(wish.after),
            schedule=_schedule(wish.schedule),
            skip_on_apache=skip,
            after_aggregates=True,
        )
    ]


def _compression(
    table: Table, wish: Compression | None, skip: bool, *, aggregate: bool = False
) -> list[str]:
    """Compression and its policy."""
    if wish is None:
        return []
    if not wish.enabled:
        return [statements.remove_compression(table)]
    made = [
        statements.add_compression(
            table,
            segment_by=wish.segment_by,
            order_by=wish.order_by,
            after=_interval(wish.after) if wish.after else None,
            schedule=_schedule(wish.schedule),
            skip_on_apache=skip,
            aggregate=aggregate,
        )
    ]
    if wish.after is False:
        made.append(statements.remove_policy(table, "compression"))  # how chunks are compressed stays
    return made


def _index(
    table: Table, index: DeclaredIndex, file: str, *, aggregate: bool = False, skip: bool = False
) -> tuple[str, ...]:
    if index.name is None:
        raise Usage(
            f"An [[index]] of {table.name} has no name, by which a revision could tell that it is there.",
            facts={"file": file, "columns": ", ".join(index.columns)},
            remedy="give it a name in the file.",
        )
    return statements.create_index(
        index.name,
        table,
        index.columns,
        unique=index.unique,
        using=None if index.method == "btree" else index.method,
        include=index.include,
        where=index.where,
        aggregate=aggregate,
        skip_on_apache=skip,
    )


def _aggregate(table: Table, wish: ContinuousAggregate, file: str, skip: bool) -> list[str]:
    view = _view(table, wish)
    made = [
        statements.create_continuous_aggregate(
            view, wish.query, materialized_only=wish.materialized_only, skip_on_apache=skip, change=True
        )
    ]
    if isinstance(wish.refresh, Refresh):
        made.append(
            statements.refresh_policy(
                view,
                start_offset=_offset(wish.refresh.start_offset),
                end_offset=_offset(wish.refresh.end_offset),
                schedule=str(wish.refresh.schedule),
                skip_on_apache=skip,
            )
        )
    elif wish.refresh is False:
        made.append(statements.remove_policy(view, "refresh"))
    for index in wish.indexes:
        made += _index(view, index, file, aggregate=True, skip=skip)
    made += _compression(view, wish.compression, skip, aggregate=True)
    if wish.retention is False:
        made.append(statements.remove_policy(view, "retention"))
    return made


def _view(table: Table, wish: ContinuousAggregate) -> Table:
    *schema, name = name_parts(wish.name)
    return Table(name, schema[0] if schema else table.schema)


def _interval(span: Span) -> Interval:
    return str(span) if span.units is None else span.units


def _schedule(span: Span | None) -> str | None:
    return None if span is None else str(span)


def _offset(span: Span | None) -> Interval | None:
    return None if span is None else _interval(span)
