"""Rows as keyword arguments for the model's dataclasses."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from ..db import execute
from ..db.connection import Connection, Params


def records(conn: Connection, statement: sql.Composable, params: Params = None) -> list[dict[str, Any]]:
    """All rows as dicts by column name, arrays as tuples: a query's column names are the fields of a
    dataclass."""
    cursor = execute(conn, statement, params)
    names = [column.name for column in cursor.description or ()]
    return [
        {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in zip(names, row, strict=True)
        }
        for row in cursor.fetchall()
    ]
