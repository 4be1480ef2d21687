"""What of a file can be refused before there is a database to compare it with."""

from __future__ import annotations

import re
from dataclasses import replace

from ..model.declared import ContinuousAggregate, Declared, Span
from ..model.difference import Refusal
from ..model.lifecycle import AggregateReading, CompressionState, HypertableState, Readings, ServerState
from ..model.names import TableName, name_parts
from .outcome import case_of
from .registry import RULES

WITHOUT_A_DATABASE = ("compression-inside-updates", "refresh-behind-retention")
"""The rules that compare wishes of the file with each other, and whose breaking nobody would notice before rows are gone."""


def refusals_of_file(table: TableName, declared: Declared) -> tuple[Refusal, ...]:
    """What these rules say of the file alone. What the database has beside it they do not see; an aggregate whose query names
    neither the table nor an aggregate of the file is not judged by what it reads."""
    names = tuple(_full(each, table) for each in declared.aggregates)
    readings = Readings(
        aggregates=tuple(
            AggregateReading(aggregate, name, None, _reads(aggregate, name, (table, *names)))
            for aggregate, name in zip(declared.aggregates, names, strict=True)
        )
    )
    case = case_of(declared, _unseen(table, declared), _ANY_SERVER, readings)
    found = [
        replace(each, rule=name) for name in WITHOUT_A_DATABASE for each in RULES[name].check(case)
    ]
    return tuple(dict.fromkeys(found))


def _full(aggregate: ContinuousAggregate, table: TableName) -> TableName:
    *schema, name = name_parts(aggregate.name)
    return TableName(schema[0] if schema else table.schema, name)


def _reads(
    aggregate: ContinuousAggregate, own: TableName, known: tuple[TableName, ...]
) -> tuple[TableName, ...]:
    """Those of the known relations that stand behind a FROM or JOIN of its query."""
    return tuple(name for name in known if name != own and _behind_from(name.name).search(aggregate.query))


def _behind_from(name: str) -> re.Pattern[str]:
    quoted = '"' + re.escape(name.replace('"', '""')) + '"'
    written = f"(?:{quoted}|(?i:{re.escape(name)}))" if name == name.lower() else quoted
    schema = r'(?:(?:"(?:[^"]|"")*"|[\w$]+)\s*\.\s*)?'
    return re.compile(rf'\b(?i:from|join)\s+(?:(?i:only)\s+)?{schema}{written}(?![\w$"]|\s*\.)')


def _unseen(table: TableName, declared: Declared) -> HypertableState:
    """A hypertable of which nothing is known."""
    return HypertableState(
        name=table,
        oid=0,
        owner="",
        time_column=declared.time_column or "",
        time_type="",
        interval=Span(),
        now_function=None,
        partition_columns=(),
        columns=(),
        row_security=False,
        indexes=(),
        compression=CompressionState(),
        jobs=(),
        chunks=0,
        compressed=0,
    )


_ANY_SERVER = ServerState("", "community", "", "", True, True, True, True, True)
