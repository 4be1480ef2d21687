"""What is defined on the table: indexes, constraints, foreign keys from elsewhere, triggers, policies,
rules, statistics."""

from __future__ import annotations

from collections import defaultdict

from ..db import fetch_all, load_queries
from ..db.connection import Connection
from ..model.inspection import (
    Constraint,
    ExtendedStatistics,
    InboundKey,
    Index,
    IndexColumn,
    Policy,
    Trigger,
)
from ..model.names import TableName
from .records import records

_FILE = "structure.sql"


def indexes(conn: Connection, oid: int) -> tuple[Index, ...]:
    """The indexes: the primary key's first, then unique ones, then by name."""
    queries = load_queries(__package__, _FILE)
    keys: defaultdict[int, list[IndexColumn]] = defaultdict(list)
    for row in records(conn, queries["index_columns"], {"oid": oid}):
        keys[row.pop("oid")].append(IndexColumn(**row))
    targets: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, column, target in fetch_all(conn, queries["index_statistics"], {"oid": oid}):
        targets[index].append((column, target))
    return tuple(
        Index(**row, columns=tuple(keys[row["oid"]]), statistics=tuple(targets[row["oid"]]))
        for row in records(conn, queries["indexes"], {"oid": oid})
    )


def constraints(conn: Connection, oid: int, hypertables: frozenset[TableName]) -> tuple[Constraint, ...]:
    """The constraints. `hypertables` are all of the database, so that a foreign key to one is known as
    such."""
    result = []
    for row in records(conn, load_queries(__package__, _FILE)["constraints"], {"oid": oid}):
        schema, name = row.pop("references_schema"), row.pop("references_name")
        references = TableName(schema, name) if name is not None else None
        result.append(
            Constraint(**row, references=references, references_hypertable=references in hypertables)
        )
    return tuple(result)


def inbound_keys(conn: Connection, oid: int, hypertables: frozenset[TableName]) -> tuple[InboundKey, ...]:
    """Foreign keys that point at the table. `hypertables` as for `constraints`."""
    result = []
    known = sorted(hypertables)
    params = {"oid": oid, "schemas": [each.schema for each in known], "names": [each.name for each in known]}
    for row in records(conn, load_queries(__package__, _FILE)["inbound_keys"], params):
        table = TableName(row.pop("table_schema"), row.pop("table_name"))
        result.append(InboundKey(table=table, hypertable=table in hypertables, **row))
    return tuple(result)


def triggers(conn: Connection, oid: int) -> tuple[Trigger, ...]:
    """The user's triggers."""
    rows = records(conn, load_queries(__package__, _FILE)["triggers"], {"oid": oid})
    return tuple(Trigger(**row) for row in rows)


def policies(conn: Connection, oid: int) -> tuple[Policy, ...]:
    """Row security policies."""
    rows = records(conn, load_queries(__package__, _FILE)["policies"], {"oid": oid})
    return tuple(Policy(**row) for row in rows)


def rules(conn: Connection, oid: int) -> tuple[str, ...]:
    """Names of the rules on the table."""
    return tuple(row[0] for row in fetch_all(conn, load_queries(__package__, _FILE)["rules"], {"oid": oid}))


def extended_statistics(conn: Connection, oid: int) -> tuple[ExtendedStatistics, ...]:
    """CREATE STATISTICS objects on the table."""
    rows = records(conn, load_queries(__package__, _FILE)["extended_statistics"], {"oid": oid})
    return tuple(
        ExtendedStatistics(name=TableName(row.pop("schema"), row.pop("name")), **row) for row in rows
    )
