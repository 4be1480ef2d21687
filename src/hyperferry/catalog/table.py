"""The relation itself: facts, grants, columns, sequences."""

from __future__ import annotations

from ..db import fetch_all, fetch_value, load_queries
from ..db.connection import Connection
from ..model.inspection import Column, Grant, OwnedSequence, ServerFacts, TableFacts
from ..model.names import TableName
from .records import records

_FILE = "table.sql"


def table_facts(conn: Connection, oid: int, server: ServerFacts) -> TableFacts:
    """The relation of that OID, whatever kind it is."""
    row = records(conn, load_queries(__package__, _FILE)["table"], {"oid": oid})[0]
    name = TableName(row.pop("schema"), row.pop("name"))
    if server.timescaledb_installed and row["relkind"] == "r":
        params = {"schema": name.schema, "name": name.name}
        kind = fetch_value(conn, load_queries(__package__, _FILE)["is_hypertable"], params)
        row["kind"] = kind or row["kind"]
    return TableFacts(name=name, **row, grants=grants(conn, oid))


def grants(conn: Connection, oid: int) -> tuple[Grant, ...]:
    """Privileges on a relation and its columns."""
    rows = records(conn, load_queries(__package__, _FILE)["grants"], {"oid": oid})
    return tuple(Grant(**row) for row in rows)


def columns(conn: Connection, oid: int) -> tuple[Column, ...]:
    """The live columns in their order."""
    rows = records(conn, load_queries(__package__, _FILE)["columns"], {"oid": oid})
    return tuple(Column(**row) for row in rows)


def sequences(conn: Connection, oid: int) -> tuple[OwnedSequence, ...]:
    """Sequences owned by the table's columns, with their grants."""
    rows = records(conn, load_queries(__package__, _FILE)["sequences"], {"oid": oid})
    return tuple(
        OwnedSequence(
            name=TableName(row.pop("schema"), row.pop("name")), **row, grants=grants(conn, row["oid"])
        )
        for row in rows
    )


def security_labels(conn: Connection, oid: int) -> tuple[str, ...]:
    """Security labels of the table and its columns, 'provider: label'."""
    return tuple(
        row[0] for row in fetch_all(conn, load_queries(__package__, _FILE)["security_labels"], {"oid": oid})
    )


def odd_parts(conn: Connection, oid: int) -> tuple[str, ...]:
    """What a part of the table has that cannot be carried over, a sentence each."""
    return tuple(
        row[0] for row in fetch_all(conn, load_queries(__package__, "table.sql")["odd_parts"], {"oid": oid})
    )


def hypertables(conn: Connection, server: ServerFacts) -> frozenset[TableName]:
    """All hypertables of the database; none where TimescaleDB is not installed."""
    if not server.timescaledb_installed:
        return frozenset()
    rows = fetch_all(conn, load_queries(__package__, _FILE)["hypertables"])
    return frozenset(TableName(schema, name) for schema, name in rows)
