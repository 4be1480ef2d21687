"""What depends on the table: views on views, materialized views, functions, types, policies and rules of
other tables."""

from __future__ import annotations

from ..db import load_queries
from ..db.connection import Connection
from ..model.inspection import Dependent
from ..model.names import TableName
from .records import records


def dependents(conn: Connection, oid: int) -> tuple[Dependent, ...]:
    """The dependents, nearest first. Triggers' functions and dynamic SQL leave no trace in the catalogs and
    are not among them."""
    rows = records(conn, load_queries(__package__, "dependents.sql")["dependents"], {"oid": oid})
    return tuple(
        Dependent(
            name=TableName(row.pop("schema"), row.pop("name")),
            of=_relation(row.pop("of_schema"), row.pop("of_name")),
            **row,
        )
        for row in rows
    )


def _relation(schema: str | None, name: str | None) -> TableName | None:
    return None if schema is None or name is None else TableName(schema, name)
