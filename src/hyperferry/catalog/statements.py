"""What the application's statements and functions do that a hypertable answers otherwise (I9).

The texts are read with regular expressions, not parsed: they find what is written plainly, and the change
log sees the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import psycopg
from psycopg import sql

from ..db import fetch_all, fetch_value, load_queries
from ..db.connection import Connection
from ..model.inspection import StatementFacts
from ..model.names import TableName, identifier_pattern

_ISOLATION = re.compile(
    r"(isolation\s+level\s+(repeatable\s+read|serializable)|transaction_isolation\W+(repeatable|serializable))",
    re.I,
)
_MOST = 5


def statement_facts(conn: Connection, table: TableName, time_column: str) -> StatementFacts:
    """What pg_stat_statements and the sources of functions show of the table."""
    queries = load_queries(__package__, "statements.sql")
    params = {"name": table.name}
    functions = [(str(f), str(source)) for f, source in fetch_all(conn, queries["functions"], params)]
    conflicts = tuple(
        f"{function}: {text}" for function, source in functions for text in conflict_inserts(source, table)
    )[:_MOST]
    updates = tuple(f for f, source in functions if is_time_update(source, table, time_column))[:_MOST]
    alone = tuple(f for f, source in functions if names_parent_alone(source, table))[:_MOST]
    seen = StatementFacts(
        False, conflict_functions=conflicts, time_update_functions=updates, parent_alone_functions=alone
    )
    schema = fetch_value(conn, queries["extension_schema"])
    if schema is None:
        return seen
    view = sql.Identifier(schema, "pg_stat_statements")
    try:
        texts = [str(row[0]) for row in fetch_all(conn, queries["statements"].format(view=view), params)]
        hidden = int(fetch_value(conn, queries["hidden"].format(view=view)))
    except psycopg.Error:  # not preloaded, or not for this role
        return seen
    return replace(
        seen,
        available=True,
        conflict_targets=_first(text for text in texts if conflict_inserts(text, table)),
        time_updates=_first(text for text in texts if is_time_update(text, table, time_column)),
        isolation=_first(text for text in texts if _ISOLATION.search(text)),
        parent_alone=_first(text for text in texts if names_parent_alone(text, table)),
        hidden=hidden,
    )


def _first(texts: Iterable[str]) -> tuple[str, ...]:
    """The first few, each on one line."""
    return tuple(dict.fromkeys(" ".join(text.split()) for text in texts))[:_MOST]


def conflict_inserts(text: str, table: TableName) -> list[str]:
    """The INSERTs into the table that have ON CONFLICT, up to what they do then, each on one line."""
    schema = rf"(?:{identifier_pattern(table.schema)}\s*\.\s*)?"
    pattern = rf"insert\s+into\s+{schema}{identifier_pattern(table.name)}[^;]*?\bon\s+conflict\b[^;]*?\bdo\b\s*\w*"
    return [" ".join(found.split()) for found in re.findall(pattern, text, re.I | re.S)]


def names_parent_alone(text: str, table: TableName) -> bool:
    """Whether a statement names ONLY the table, or copies it out: neither has a hypertable's rows."""
    name = rf"(?:{identifier_pattern(table.schema)}\s*\.\s*)?{identifier_pattern(table.name)}"
    return bool(re.search(rf"\bonly\s+\(?\s*{name}|\bcopy\s+{name}\s*(?:\([^;)]*\)\s*)?to\b", text, re.I))


def is_time_update(text: str, table: TableName, time_column: str) -> bool:
    """Whether a statement sets the time column in an UPDATE of the table (or in ON CONFLICT DO UPDATE)."""
    schema = rf"(?:{identifier_pattern(table.schema)}\s*\.\s*)?"
    update = (
        rf"update\s+(?:only\s+)?{schema}{identifier_pattern(table.name)}[^;]*?"
        r"\bset\b(?P<set>[^;]*?)(?:\bwhere\b|\bfrom\b|\breturning\b|;|$)"
    )
    sets = [match["set"] for match in re.finditer(update, text, re.I | re.S)]
    if conflict_inserts(text, table):
        upsert = r"\bdo\s+update\s+set\b(?P<set>[^;]*?)(?:\bwhere\b|\breturning\b|;|$)"
        sets += [match["set"] for match in re.finditer(upsert, text, re.I | re.S)]
    assigned = rf"(?:^|[,(])\s*{identifier_pattern(time_column)}\s*(?:=|[,)][^=]*=)"
    return any(re.search(assigned, part.strip(), re.I | re.S) for part in sets)
